//! Ends, and the rest of a process then.

use std::ops::ControlFlow;

use super::Tracker;
use super::known::TICK_NS;
use super::sight::End;
use crate::proc::pid::Stat;
use crate::record::comm_of;
use crate::record::{Body, ExitRecord, Put, Record, UNKNOWN_COMM, UNKNOWN_COUNT, UsageRecord};
use crate::source::look::Strings;
use crate::{Field, Flaw, Flaws, Pid};

impl Tracker {
    /// Reports an end.
    pub(crate) fn ended(&mut self, pid: Pid, end: &End, put: &mut Put<'_>) -> ControlFlow<()> {
        let Some(mut known) = self.living.remove(&pid) else { return ControlFlow::Continue(()) };
        self.takes_orphans.remove(&pid);
        let old_comm = known.comm;
        if let Some(stat) = &end.stat {
            known.comm = comm_of(&stat.comm);
            known.renew(stat);
            if stat.ppid != known.parent.pid {
                self.adopt(&mut known, stat.ppid);
            }
        }
        if !self.name_parent(&mut known, end.boot_ns) && known.parent.comm != UNKNOWN_COMM {
            known.marks.mark(Field::Parent, Flaw::AfterLoss);
        }
        let executed = end.stat.as_ref().and_then(Stat::has_executed);
        if executed.is_none_or(|executed| known.executed != Some(executed)) {
            // As last seen: it may have become another program since.
            [Field::Argv, Field::Exe].into_iter().for_each(|field| known.marks.mark(field, Flaw::AfterLoss));
        }
        if executed == Some(true) && known.executed == Some(false) && !known.kthread {
            // Only the name of its last program was seen.
            self.exec(pid, &known, old_comm, &Strings::default(), end.boot_ns, put)?;
        }
        if end.stat.is_none() {
            if known.executed == Some(false) {
                known.comm = UNKNOWN_COMM;
            }
            let name = if known.comm == UNKNOWN_COMM { Flaw::NotObserved } else { Flaw::AfterLoss };
            known.marks.mark(Field::Name, name);
            if known.marks.get(Field::Ppid).is_none() {
                known.marks.mark(Field::Ppid, Flaw::ReadLate);
            }
        }
        let mut flaws = Flaws::new();
        flaws.mark(Field::Time, end.time);
        flaws.mark(Field::Duration, Flaw::Estimated);
        flaws.mark(Field::Usage, Flaw::Estimated);
        if end.wait_status.is_none() {
            flaws.mark(Field::Status, Flaw::Unreadable);
        }
        let [utime_ns, stime_ns] = known.cpu.map(|ticks| ticks.saturating_mul(TICK_NS));
        let usage = UsageRecord {
            utime_ns,
            stime_ns,
            runtime_ns: utime_ns.saturating_add(stime_ns),
            maxrss_pages: UNKNOWN_COUNT,
            read_bytes: UNKNOWN_COUNT,
            write_bytes: UNKNOWN_COUNT,
            rchar: UNKNOWN_COUNT,
            wchar: UNKNOWN_COUNT,
            nvcsw: UNKNOWN_COUNT,
            nivcsw: UNKNOWN_COUNT,
            min_flt: known.faults[0],
            maj_flt: known.faults[1],
        };
        let exit = ExitRecord { wait_status: end.wait_status, killer: None, oom: false, usage: Some(usage) };
        let body = Body::Exit { subject: Self::subject(pid, &known), exit };
        put(&Record { boot_ns: end.boot_ns, processor: None, body, flaws, about: known.marks })
    }
}

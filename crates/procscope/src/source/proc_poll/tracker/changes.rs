//! Changes of a known process.

use std::ops::ControlFlow;

use super::Tracker;
use super::known::{Known, executed_since, hash};
use super::sight::{Judgement, Sight};
use crate::proc::pid::Stat;
use crate::record::comm_of;
use crate::record::{Body, Put, Record, Subject};
use crate::source::look::Strings;
use crate::{Field, Flaw, Flaws, Pid};

impl Tracker {
    /// The meaning of a known process's stat.
    pub(crate) fn judge(&self, pid: Pid, stat: &Stat) -> Judgement {
        let Some(known) = self.living.get(&pid) else { return Judgement::Other };
        if known.start != stat.start {
            return Judgement::Other;
        }
        if stat.has_ended() && stat.threads <= 1 {
            return Judgement::Ended;
        }
        if stat.is_over() || known.kthread && stat.is_kthread() {
            return Judgement::Same;
        }
        let blind = stat.places().is_none() || known.places.is_none();
        if blind || self.ids || known.brief || executed_since(known, stat) { Judgement::Look } else { Judgement::Same }
    }

    /// Applies the stat of a known process, and reports what changed.
    pub(crate) fn touch(&mut self, pid: Pid, stat: &Stat, boot_ns: u64, put: &mut Put<'_>) -> ControlFlow<()> {
        let Some(mut known) = self.living.remove(&pid) else { return ControlFlow::Continue(()) };
        let flow = self.changes(pid, &mut known, stat, None, boot_ns, put);
        self.living.insert(pid, known);
        flow
    }

    /// Applies a look at a known process, and reports what changed.
    pub(crate) fn again(&mut self, sight: Sight, put: &mut Put<'_>) -> ControlFlow<()> {
        let pid = sight.pid;
        if sight.loading {
            return ControlFlow::Continue(());
        }
        let Some(mut known) = self.living.remove(&pid) else { return ControlFlow::Continue(()) };
        let argv = sight.look.argv.as_deref().map(hash);
        let other_code = sight.code_kib != known.code_kib && sight.code_kib != 0 && known.code_kib != 0;
        // A process can overwrite its arguments and names; only an exec changes the code's size.
        let executed = executed_since(&known, &sight.stat)
            || (sight.stat.places().is_none() || known.places.is_none())
                && argv.is_some()
                && known.argv.is_some()
                && argv != known.argv
                && other_code;
        let flow = if executed && !sight.stat.is_over() {
            let old = std::mem::replace(&mut known.comm, comm_of(&sight.stat.comm));
            known.executed = sight.stat.has_executed();
            known.places = sight.stat.places();
            known.kthread = sight.stat.is_kthread();
            known.sid = sight.stat.sid;
            known.renew(&sight.stat);
            known.read_ns = sight.read_ns;
            if sight.stat.ppid != known.parent.pid {
                self.adopt(&mut known, sight.stat.ppid);
            }
            self.name_parent_or_none(&mut known, sight.read_ns);
            // Those of a set-uid program differ.
            known.ids = None;
            self.learn(&mut known, &sight, put);
            let strings = Strings::of(Some(sight.look));
            self.exec(pid, &known, old, &strings, sight.read_ns, put)
        } else {
            let ids = sight.look.status.map(|it| [it.uids[0], it.uids[1], it.gids[0], it.gids[1]]);
            let flow = self.changes(pid, &mut known, &sight.stat, ids, sight.read_ns, put);
            self.learn(&mut known, &sight, put);
            flow
        };
        self.living.insert(pid, known);
        flow
    }

    /// Reports changes not made by an exec.
    fn changes(
        &mut self,
        pid: Pid,
        known: &mut Known,
        stat: &Stat,
        ids: Option<[u32; 4]>,
        boot_ns: u64,
        put: &mut Put<'_>,
    ) -> ControlFlow<()> {
        let mut flaws = Flaws::new();
        flaws.mark(Field::Time, Flaw::Estimated);
        if !executed_since(known, stat) {
            known.read_ns = boot_ns;
        }
        known.renew(stat);
        if stat.ppid != known.parent.pid {
            self.adopt(known, stat.ppid);
        }
        let mut tell = |known: &Known, body: &dyn Fn(Subject) -> Body<'static>| {
            let body = body(Self::subject(pid, known));
            put(&Record { boot_ns, processor: None, body, flaws, about: known.marks })
        };
        let new = comm_of(&stat.comm);
        // By an unseen exec.
        let executed = known.executed == Some(false) && stat.has_executed() == Some(true);
        // The name of a kernel worker changes with its work.
        if new != known.comm && !executed {
            let old = std::mem::replace(&mut known.comm, new);
            if !known.kthread {
                tell(known, &|subject| Body::Comm { subject, old, new })?;
            }
        }
        if stat.sid != known.sid {
            known.sid = stat.sid;
            if stat.sid == pid {
                tell(known, &|subject| Body::Sid { subject })?;
            }
        }
        let Some(ids) = ids else { return ControlFlow::Continue(()) };
        if let Some(old) = known.ids.replace(ids) {
            if old[..2] != ids[..2] {
                tell(known, &|subject| Body::Uid { subject, old: Some([old[0], old[1]]) })?;
            }
            if old[2..] != ids[2..] {
                tell(known, &|subject| Body::Gid { subject, old: Some([old[2], old[3]]) })?;
            }
        }
        ControlFlow::Continue(())
    }
}

use std::ops::ControlFlow;

use super::Tracker;
use super::ends::Status;
use crate::record::{Body, ExitRecord, Put, Record, UNKNOWN_COMM, UNKNOWN_START};
use crate::source::happening::{End, Task};
use crate::source::look::Proc;
use crate::{Field, Flaw, Flaws};

impl Tracker {
    pub(super) fn exit(
        &mut self,
        boot_ns: u64,
        task: Task,
        end: End,
        parent: Option<Task>,
        proc: &mut dyn Proc,
        put: &mut Put<'_>,
    ) -> ControlFlow<()> {
        let (mut subject, mut about) = self.subject(task, boot_ns);
        if let Some(parent) = parent {
            subject.parent = self.reference(parent);
            about.clear(Field::Ppid);
            self.mark_parent(&subject.parent, &mut about);
        }
        if let Some(comm) = end.comm
            && task.is_leader()
        {
            subject.comm = comm;
            about.clear(Field::Name);
        }
        let mut flaws = Flaws::new();
        let mut last = true;
        let mut start = None;
        if let Some(known) = self.living.get_mut(&task.pid).filter(|known| known.exec_ns <= boot_ns) {
            if task.is_leader() {
                known.leader = false;
                known.found_ended = false;
            } else {
                known.threads.retain(|thread| thread.tid != task.tid);
            }
            last = end.last.unwrap_or(!known.leader && known.threads.is_empty());
            if known.epoch != self.epoch {
                flaws.mark(Field::Status, Flaw::AfterLoss);
            }
            start = known.tick();
            if !last {
                self.ends.insert(task, end, boot_ns);
            }
        } else if let Some(told) = end.last
            && !self.living.contains_key(&task.pid)
        {
            last = told;
        } else if !task.is_leader() || self.living.contains_key(&task.pid) || self.leader_to_come.remove(&task.pid) {
            // A thread of an unknown process; or one, perhaps the first, that ended by the exec of
            // another.
            last = false;
        }
        let mut mark = |status: &Status| _ = status.flaw.map(|flaw| flaws.mark(Field::Status, flaw));
        if !last {
            let status = Status::of(end);
            mark(&status);
            let comm = end.comm.unwrap_or(UNKNOWN_COMM);
            let wait_status = status.wait_status;
            let body = Body::ThreadExit { subject, wait_status, thread_start_ns: UNKNOWN_START, comm };
            return put(&Record { boot_ns, processor: self.processor, body, flaws, about });
        }
        let asked = || proc.wait_status(task.pid, start?);
        let status = self.ends.decide(task, end, boot_ns, self.settings.last_thread_decides, asked);
        mark(&status);
        let status = status.wait_status;
        let signo = status.map_or(0, |status| status & 0x7f);
        let (killer, flaw) = self.senders.killer(task.pid, signo);
        flaw.into_iter().for_each(|flaw| flaws.mark(Field::Killer, flaw));
        if self.living.remove(&task.pid).is_some_and(|known| known.found_ended) {
            self.leader_to_come.insert(task.pid);
        }
        // The fork was reported a little after the start, and /proc shows only its tick.
        flaws.mark(Field::Duration, Flaw::Estimated);
        let exit = ExitRecord { wait_status: status, killer, oom: end.oom, usage: None };
        put(&Record { boot_ns, processor: self.processor, body: Body::Exit { subject, exit }, flaws, about })
    }
}

use std::ops::ControlFlow;

use super::Tracker;
use super::known::{Known, TICK_NS};
use crate::record::{Body, CgroupKey, ImageRecord, NOBODY, Put, Record, UNKNOWN_COMM};
use crate::source::happening::{Birth, Task};
use crate::source::look::{Depth, Proc};
use crate::{Field, Flaw, Flaws, Kind, Pid};

/// At the usual speed the kernel notes a process's start this much before it reports the fork
/// (`copy_process`, `kernel/fork.c`).
const TOLD_AFTER_NS: u64 = 2_000;
/// A start this close after the beginning of a clock tick may belong to the tick before.
const DOUBTFUL_NS: u64 = 1_000_000;
/// This many new processes' starts are read in a second, and in a storm only the doubtful ones.
pub(super) const MOST_STARTS: u32 = 100;
const SECOND_NS: u64 = 1_000_000_000;
/// `CLONE_PARENT` in `include/uapi/linux/sched.h`.
const CLONE_PARENT: u64 = 0x8000;
/// `CLONE_INTO_CGROUP`, likewise: only `clone3(2)` accepts it.
const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;

impl Tracker {
    /// The forking thread may have been stopped before the fork was reported; only /proc shows
    /// that.
    pub(super) fn may_read_start(&mut self, boot_ns: u64) -> bool {
        let second = boot_ns / SECOND_NS;
        let read = if self.starts_read.0 == second { self.starts_read.1 } else { 0 };
        self.starts_read = (second, read.saturating_add(1));
        read < MOST_STARTS
    }

    /// The known facts about a process that this thread has just made.
    fn newborn(&self, boot_ns: u64, parent: Task, birth: Option<Birth>, orphaned: bool) -> Known {
        let creator = self.living.get(&parent.pid).filter(|known| known.epoch == self.epoch && !orphaned);
        let mut known =
            creator.map_or_else(|| Known::unknown(self.epoch), |creator| self.copy(creator, boot_ns, parent));
        if let Some(birth) = birth {
            known.comm = birth.comm;
            known.comm_read_ns = 0;
            known.marks.clear(Field::Name);
            if birth.flags & CLONE_INTO_CGROUP != 0 {
                known.cgroup = CgroupKey::default();
                known.marks.mark(Field::Cgroup, Flaw::NotObserved);
            }
        }
        known.start_ns = boot_ns.saturating_sub(TOLD_AFTER_NS);
        known.exact = false;
        known.marks.clear(Field::Id);
        known.marks.clear(Field::Ppid);
        known.ns_pid = 0;
        known.leader = true;
        known.threads = Vec::new();
        known.found_ended = false;
        known.exec_ns = 0;
        known.looked_ns = 0;
        known.existing = false;
        known.asked = false;
        known.epoch = self.epoch;
        known
    }

    /// The values that a child has from its creator.
    fn copy(&self, creator: &Known, boot_ns: u64, by: Task) -> Known {
        let mut known = creator.clone();
        known.marks = Flaws::new();
        known.comm_read_ns = if creator.comm_read_ns > boot_ns { creator.comm_read_ns } else { 0 };
        known.ids_read_ns = if creator.ids_read_ns > boot_ns { creator.ids_read_ns } else { 0 };
        for field in [Field::Name, Field::User, Field::Login, Field::Sid, Field::Tty, Field::Cgroup] {
            let read_later = match field {
                Field::Name => known.comm_read_ns != 0,
                Field::User => known.ids_read_ns != 0,
                _ => false,
            };
            let mark = match creator.marks.get(field) {
                Some(Flaw::ReadLate) if field == Field::Sid && creator.looked_ns > boot_ns => Flaw::Estimated,
                Some(Flaw::ReadLate) if read_later => Flaw::ReadLate,
                None | Some(Flaw::ReadLate | Flaw::Inherited) => Flaw::Inherited,
                Some(worse) => worse,
            };
            known.marks.mark(field, mark);
        }
        // Each thread has ids of its own.
        let (ids, assumed) = if self.settings.ids_told { creator.ids_of(by) } else { (creator.ids, false) };
        known.ids = ids;
        match ids {
            None => known.marks.mark(Field::User, Flaw::NotObserved),
            Some(_) if assumed => known.marks.mark(Field::User, Flaw::Estimated),
            Some(_) => {}
        }
        // Another thread may have another name than its process, and a kernel thread gets its own
        // without a message.
        if !by.is_leader() || known.kthread {
            known.comm = UNKNOWN_COMM;
            known.comm_read_ns = 0;
            known.marks.mark(Field::Name, Flaw::NotObserved);
        }
        known
    }

    /// Reads what a new process shows, or when it started.
    fn read_newborn(
        &mut self,
        known: &mut Known,
        pid: Pid,
        boot_ns: u64,
        orphaned: bool,
        proc: &mut dyn Proc,
        put: &mut Put<'_>,
    ) {
        if known.kthread || orphaned {
            if let Some(look) = proc.look(pid, Depth::Full)
                && let Some(stat) = &look.stat
                && known.confirm(stat.start)
            {
                self.learn(known, &look, put);
            }
        } else if self.may_read_start(boot_ns) || known.start_ns % TICK_NS < DOUBTFUL_NS {
            // If it belongs to another process, nothing is used.
            if let Some(start) = proc.start(pid) {
                known.confirm(start);
            }
        }
    }

    pub(super) fn fork(
        &mut self,
        mono_ns: u64,
        parent: Task,
        child: Task,
        birth: Option<Birth>,
        proc: &mut dyn Proc,
        put: &mut Put<'_>,
    ) -> ControlFlow<()> {
        let boot_ns = self.boot_ns(mono_ns);
        if self.settings.events.contains(Kind::Existing)
            && self.living.get(&child.pid).is_some_and(|known| {
                known.existing && known.start_ns <= boot_ns && boot_ns - known.start_ns < 2 * TICK_NS
            })
        {
            // Seen among the processes that were already running, before its fork was reported.
            return ControlFlow::Continue(());
        }
        self.name(parent.pid, proc, put);
        let mut creator = self.reference(parent);
        if let Some(birth) = birth.filter(|_| parent.is_leader()) {
            // A child is born with its creator's name at that moment, whatever is known about the
            // creator by now.
            creator.comm = birth.comm;
        }
        let brother = birth.is_some_and(|birth| birth.flags & CLONE_PARENT != 0);
        let from = match self.living.get(&parent.pid) {
            Some(known) if brother => self.parent(known),
            _ if brother => None,
            _ => Some(creator),
        };
        // The creator of a child of ours is unknown.
        let orphaned = birth.is_none() && self.settings.home == Some(parent.pid);
        let mut known = self.newborn(boot_ns, parent, birth, orphaned);
        known.parent = from.unwrap_or(NOBODY);
        if from.is_none() {
            known.marks.mark(Field::Ppid, Flaw::NotObserved);
        }
        self.ends.forget(child.pid);
        self.senders.forget(child.pid);
        self.leader_to_come.remove(&child.pid);
        self.read_newborn(&mut known, child.pid, boot_ns, orphaned, proc, put);
        self.living.insert(child.pid, known);
        let (mut subject, mut about) = self.subject(child, boot_ns);
        if let Some(from) = from {
            // The parent lived when it forked.
            subject.parent = from;
            about.clear(Field::Ppid);
            self.mark_parent(&from, &mut about);
        }
        let body = Body::Fork {
            subject,
            thread: false,
            unasked: false,
            call: None,
            flags: birth.map(|birth| birth.flags),
            creator: birth.map(|_| creator),
            image: orphaned.then(ImageRecord::default),
        };
        let mut flaws = Flaws::new();
        if orphaned {
            [Field::Argv, Field::Exe, Field::Cwd].into_iter().for_each(|field| flaws.mark(field, Flaw::NotObserved));
        }
        put(&Record { boot_ns, processor: self.processor, body, flaws, about })
    }
}

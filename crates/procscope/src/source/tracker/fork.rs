use std::ops::ControlFlow;

use super::Tracker;
use super::known::{Known, TICK_NS};
use crate::source::happening::{Birth, Task};
use crate::source::look::{Depth, Proc};
use crate::source::record::{Body, ImageRecord, NOBODY, Put, Record, UNKNOWN_COMM, UNKNOWN_ID};
use crate::{Field, Flaw, Flaws, Kind};

/// The kernel notes a process's start this much before it tells of the fork, at the usual speed (`copy_process`, `kernel/fork.c`).
const TOLD_AFTER_NS: u64 = 2_000;
/// A start so close behind the beginning of a clock tick may belong to the tick before.
const DOUBTFUL_NS: u64 = 1_000_000;
/// So many newborns' starts are read in a second, and in a storm only the doubtful ones'.
pub(super) const MOST_STARTS: u32 = 100;
const SECOND_NS: u64 = 1_000_000_000;
/// `CLONE_PARENT` in `include/uapi/linux/sched.h`.
const CLONE_PARENT: u64 = 0x8000;

impl Tracker {
    /// The thread that forks may have been kept from running before the fork was told, and nothing but /proc tells.
    pub(super) fn may_read_start(&mut self, boot_ns: u64) -> bool {
        let second = boot_ns / SECOND_NS;
        let read = if self.starts_read.0 == second { self.starts_read.1 } else { 0 };
        self.starts_read = (second, read.saturating_add(1));
        read < MOST_STARTS
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
            // Seen among those that ran already, before its fork was told of.
            return ControlFlow::Continue(());
        }
        self.name(parent.pid, proc, put);
        let mut creator = self.reference(parent);
        if let Some(birth) = birth.filter(|_| parent.is_leader()) {
            // A child is born with the name that its creator has at that moment, whatever is known of that one by now.
            creator.comm = birth.comm;
        }
        let brother = birth.is_some_and(|birth| birth.flags & CLONE_PARENT != 0);
        let from = match self.living.get(&parent.pid) {
            Some(known) if brother => self.parent(known),
            _ if brother => None,
            _ => Some(creator),
        };
        // Who made a child of ours is not known.
        let orphaned = birth.is_none() && self.settings.home == Some(parent.pid);
        let mut known = match self.living.get(&parent.pid).filter(|known| known.epoch == self.epoch && !orphaned) {
            Some(parent_known) => {
                let mut known = parent_known.clone();
                known.marks = Flaws::new();
                for field in [Field::Name, Field::User, Field::Tty, Field::Cgroup] {
                    let read_later = match field {
                        Field::Name => parent_known.comm_read_ns > boot_ns,
                        Field::User => parent_known.ids_read_ns > boot_ns,
                        _ => false,
                    };
                    let mark = match parent_known.marks.get(field) {
                        _ if field == Field::User && !self.settings.ids_told && known.ids.is_some() => Flaw::Estimated,
                        Some(Flaw::ReadLate) if read_later => Flaw::ReadLate,
                        None | Some(Flaw::ReadLate | Flaw::Inherited) => Flaw::Inherited,
                        Some(worse) => worse,
                    };
                    known.marks.mark(field, mark);
                }
                known.comm_read_ns = if parent_known.comm_read_ns > boot_ns { parent_known.comm_read_ns } else { 0 };
                known.ids_read_ns = if parent_known.ids_read_ns > boot_ns { parent_known.ids_read_ns } else { 0 };
                // Another thread may have another name than its process, and a kernel thread gets its own without a message.
                if !parent.is_leader() || known.kthread {
                    known.comm = UNKNOWN_COMM;
                    known.comm_read_ns = 0;
                    known.marks.mark(Field::Name, Flaw::NotObserved);
                }
                known
            }
            None => Known::unknown(self.epoch),
        };
        if !self.settings.ids_told {
            known.sid = UNKNOWN_ID;
        }
        if let Some(birth) = birth {
            known.comm = birth.comm;
            known.comm_read_ns = 0;
            known.marks.clear(Field::Name);
        }
        known.start_ns = boot_ns.saturating_sub(TOLD_AFTER_NS);
        known.exact = false;
        known.marks.clear(Field::Id);
        known.marks.clear(Field::Ppid);
        known.parent = from.unwrap_or(NOBODY);
        if from.is_none() {
            known.marks.mark(Field::Ppid, Flaw::NotObserved);
        }
        known.ns_pid = 0;
        known.leader = true;
        known.threads = Vec::new();
        known.found_ended = false;
        known.exec_ns = 0;
        known.existing = false;
        known.asked = false;
        known.epoch = self.epoch;
        self.leader_status.remove(&child.pid);
        self.senders.remove(&child.pid);
        self.leader_to_come.remove(&child.pid);
        if known.kthread || orphaned {
            if let Some(look) = proc.look(child.pid, Depth::Full)
                && let Some(stat) = &look.stat
                && known.confirm(stat.start)
            {
                self.learn(&mut known, &look, put);
            }
        } else if self.may_read_start(boot_ns) || known.start_ns % TICK_NS < DOUBTFUL_NS {
            // Where it is another one's, nothing is taken.
            if let Some(start) = proc.start(child.pid) {
                known.confirm(start);
            }
        }
        self.living.insert(child.pid, known);
        let (mut subject, mut about) = self.subject(child);
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

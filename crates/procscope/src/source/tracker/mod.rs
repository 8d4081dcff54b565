//! Makes records from events: knows which processes live, and what was learned about each, and from
//! where. No OS.

mod ends;
mod exec;
mod exit;
mod fork;
mod known;
mod roster;
mod senders;
mod subject;

use std::ops::ControlFlow;

use rustc_hash::{FxHashMap, FxHashSet};

use ends::Ends;
use known::Known;
use senders::Senders;

use crate::record::{Body, Comm, NOBODY, Put, Record, Subject, UNKNOWN_COMM, UNKNOWN_ID};
use crate::source::descendants;
use crate::source::happening::{Birth, Happening, Report, Sender, Task};
use crate::source::look::{CgroupKeys, Depth, Proc};
use crate::{EnvWanted, EventSet, Field, Flaw, Flaws, Pid, Want};

/// Fields that may change without any report, on at least one source.
const UNREPORTED: [Field; 6] = [Field::User, Field::Login, Field::Sid, Field::Pgid, Field::Tty, Field::Cgroup];

/// The four ids with a new real and effective one at this place.
fn with(mut ids: [u32; 4], at: usize, new: [u32; 2]) -> [u32; 4] {
    [ids[at], ids[at + 1]] = new;
    ids
}

/// The tracker's settings.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Settings {
    pub(crate) events: EventSet,
    /// The environment is wanted.
    pub(crate) env: bool,
    /// Forks and exits are listened to, so it is known which processes live.
    pub(crate) follows: bool,
    /// The status of a process whose threads ended one by one is the last one's (Linux 6.0), or its
    /// first thread's.
    pub(crate) last_thread_decides: bool,
    /// Changes of users, groups and sessions are reported.
    pub(crate) ids_told: bool,
    /// The process that started the command, if any: a child of it whose creator is not reported is
    /// a copy of another process.
    pub(crate) home: Option<Pid>,
    /// The kernel keeps the login.
    pub(crate) logins: bool,
}

impl Settings {
    pub(crate) fn new(want: &Want, follows: bool, last_thread_decides: bool, ids_told: bool) -> Self {
        let home = want.held.as_ref().map(|held| held.home().pid);
        let env = want.env != EnvWanted::No;
        Self { events: want.events, env, follows, last_thread_decides, ids_told, home, logins: true }
    }

    /// Nothing reports a change of this field.
    fn is_unreported(&self, field: Field) -> bool {
        UNREPORTED.contains(&field) && !(self.ids_told && matches!(field, Field::User | Field::Sid))
    }
}

/// See the module.
pub(crate) struct Tracker {
    settings: Settings,
    living: FxHashMap<Pid, Known>,
    ends: Ends,
    senders: Senders,
    /// Processes whose end was reported, while the message about their first thread may still come.
    leader_to_come: FxHashSet<Pid>,
    /// The second in which a start was last read, and how many were.
    starts_read: (u64, u32),
    cgroups: CgroupKeys,
    /// Rises with every loss.
    epoch: u64,
    /// CLOCK_BOOTTIME minus CLOCK_MONOTONIC, ns.
    boot_offset_ns: u64,
    /// The CPU of the present event.
    processor: Option<u32>,
}

impl Tracker {
    pub(crate) fn new(settings: Settings) -> Self {
        Self {
            settings,
            living: FxHashMap::default(),
            ends: Ends::default(),
            senders: Senders::default(),
            leader_to_come: FxHashSet::default(),
            starts_read: (0, 0),
            cgroups: CgroupKeys::default(),
            epoch: 0,
            boot_offset_ns: 0,
            processor: None,
        }
    }

    pub(crate) fn set_boot_offset(&mut self, ns: u64) {
        self.boot_offset_ns = ns;
    }

    pub(crate) fn boot_ns(&self, mono_ns: u64) -> u64 {
        mono_ns.saturating_add(self.boot_offset_ns)
    }

    /// Messages were lost: from here on the earlier owner of a pid is uncertain.
    pub(crate) fn doubt(&mut self) {
        self.epoch += 1;
    }

    pub(crate) fn depth(&self) -> Depth {
        if self.settings.env { Depth::Env } else { Depth::Full }
    }

    /// The living processes below these, with these.
    pub(crate) fn descendants(&self, roots: &[Pid]) -> Vec<Pid> {
        descendants(roots, || self.living.iter().map(|(&pid, known)| (pid, known.parent.pid)))
    }

    /// Makes a record of an event.
    pub(crate) fn feed(&mut self, told: Report, proc: &mut dyn Proc, put: &mut Put<'_>) -> ControlFlow<()> {
        let Report { mono_ns, processor, what, look } = told;
        let boot_ns = self.boot_ns(mono_ns);
        let task = what.task();
        match what {
            Happening::Fork { parent, child, .. } if child.is_leader() => {
                self.make_sure(parent.pid, boot_ns, proc, put)
            }
            // An unknown one has ended, and so did the process.
            Happening::Exit { .. } if !task.is_leader() && !self.living.contains_key(&task.pid) => {}
            Happening::Signal { .. } | Happening::Delivered { .. } => {}
            _ => self.make_sure(task.pid, boot_ns, proc, put),
        }
        self.processor = processor;
        match what {
            Happening::Fork { parent, child, birth } if child.is_leader() => {
                self.fork(mono_ns, parent, child, birth, proc, put)
            }
            Happening::Fork { parent, child, birth } => self.thread(boot_ns, parent, child, birth, put),
            Happening::Exec { task, started } => {
                self.exec(boot_ns, task, started.map(|started| *started), look.map(|look| *look), put)
            }
            Happening::ExecFailed { task, failed } => self.exec_failed(boot_ns, task, &failed, put),
            Happening::Signal { task, signo, sender, caller } => {
                let by = (sender == Sender::Caller).then(|| self.reference(caller));
                self.senders.send(task.pid, signo, sender, by);
                ControlFlow::Continue(())
            }
            Happening::Delivered { task, signo } => {
                self.senders.delivered(task.pid, signo);
                ControlFlow::Continue(())
            }
            Happening::Exit { task, end, parent } => self.exit(boot_ns, task, end, parent, proc, put),
            Happening::Comm { task, old, comm } => self.comm(boot_ns, task, old, comm, put),
            Happening::Uid { task, real, effective } => {
                let (subject, old, about) = self.change_ids(boot_ns, task, 0, [real, effective]);
                self.plain(boot_ns, Body::Uid { subject, old }, about, put)
            }
            Happening::Gid { task, real, effective } => {
                let (subject, old, about) = self.change_ids(boot_ns, task, 2, [real, effective]);
                self.plain(boot_ns, Body::Gid { subject, old }, about, put)
            }
            Happening::Sid { task } => self.sid(boot_ns, task, put),
            Happening::Ptrace { task, tracer } => {
                let (subject, about) = self.subject(task, boot_ns);
                let other = tracer.map_or(NOBODY, |tracer| self.reference(tracer));
                let body = Body::Ptrace { subject, other, attach: tracer.is_some(), of_caller: true };
                self.plain(boot_ns, body, about, put)
            }
            Happening::Core { task, signo } => {
                let (subject, about) = self.subject(task, boot_ns);
                self.plain(boot_ns, Body::Core { subject, signo }, about, put)
            }
        }
    }

    fn thread(
        &mut self,
        boot_ns: u64,
        parent: Task,
        child: Task,
        birth: Option<Birth>,
        put: &mut Put<'_>,
    ) -> ControlFlow<()> {
        self.ends.outlived(child.pid);
        if let Some(known) = self.living.get_mut(&child.pid) {
            known.add_thread(child.tid);
        }
        let (subject, about) = self.subject(child, boot_ns);
        let body = Body::Fork {
            subject,
            thread: true,
            unasked: false,
            call: None,
            flags: birth.map(|birth| birth.flags),
            creator: birth.map(|_| self.reference(parent)),
            image: None,
        };
        put(&Record { boot_ns, processor: self.processor, body, flaws: Flaws::new(), about })
    }

    /// A new name. `old`: as the source reports it, if it does.
    fn comm(&mut self, boot_ns: u64, task: Task, old: Option<Comm>, comm: Comm, put: &mut Put<'_>) -> ControlFlow<()> {
        let known_then = match self.living.get_mut(&task.pid) {
            // Values read later than this event are newer.
            Some(known) if task.is_leader() && known.comm_read_ns <= boot_ns => {
                known.marks.clear(Field::Name);
                known.comm_read_ns = 0;
                std::mem::replace(&mut known.comm, comm)
            }
            _ => UNKNOWN_COMM,
        };
        let old = old.unwrap_or(known_then);
        let (subject, mut about) = self.subject(task, boot_ns);
        if task.is_leader() {
            about.clear(Field::Name);
        }
        self.plain(boot_ns, Body::Comm { subject, old, new: comm }, about, put)
    }

    /// A new session and group, without a terminal: setsid(2).
    fn sid(&mut self, boot_ns: u64, task: Task, put: &mut Put<'_>) -> ControlFlow<()> {
        const CHANGED: [Field; 3] = [Field::Sid, Field::Pgid, Field::Tty];
        if let Some(known) = self.living.get_mut(&task.pid) {
            [known.sid, known.pgid] = [task.pid; 2];
            known.tty = None;
            CHANGED.into_iter().for_each(|field| known.marks.clear(field));
        }
        let (subject, mut about) = self.subject(task, boot_ns);
        if subject.sid == task.pid {
            CHANGED.into_iter().for_each(|field| about.clear(field));
        }
        self.plain(boot_ns, Body::Sid { subject }, about, put)
    }

    /// Applies a new real and effective id, at this place of the four, and reports the old ones if
    /// they are known.
    fn change_ids(&mut self, boot_ns: u64, task: Task, at: usize, new: [u32; 2]) -> (Subject, Option<[u32; 2]>, Flaws) {
        let (mut old, mut now, mut part_assumed) = (None, None, false);
        if let Some(known) = self.living.get_mut(&task.pid) {
            let (ids, assumed) = known.ids_of(task);
            let doubtful = matches!(known.marks.get(Field::User), Some(Flaw::Estimated | Flaw::AfterLoss));
            // Values read later than this event are newer.
            let newer = known.ids_read_ns > boot_ns;
            now = ids.map(|ids| with(ids, at, new));
            old = ids.filter(|_| !newer && !assumed && !doubtful).map(|ids| [ids[at], ids[at + 1]]);
            if task.is_leader() {
                known.ids = if newer { known.ids } else { now };
            } else if let Some(thread) = known.threads.iter_mut().find(|thread| thread.tid == task.tid) {
                thread.ids = now;
            }
            part_assumed = assumed;
        }
        let (mut subject, mut about) = self.subject(task, boot_ns);
        match now {
            Some(ids) => {
                [subject.uid, subject.euid, subject.gid, subject.egid] = ids;
                if part_assumed {
                    about.mark(Field::User, Flaw::Estimated);
                }
            }
            // One half of the ids alone cannot be reported.
            None => {
                [subject.uid, subject.euid, subject.gid, subject.egid] = [UNKNOWN_ID; 4];
                about.mark(Field::User, Flaw::NotObserved);
            }
        }
        (subject, old, about)
    }

    fn plain(&self, boot_ns: u64, body: Body<'_>, about: Flaws, put: &mut Put<'_>) -> ControlFlow<()> {
        put(&Record { boot_ns, processor: self.processor, body, flaws: Flaws::new(), about })
    }
}

#[cfg(test)]
mod tests;

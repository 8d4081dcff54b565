//! The living processes: listed at the beginning, and checked after a loss.

use std::ops::ControlFlow;

use rustc_hash::FxHashSet;

use super::Tracker;
use super::UNREPORTED;
use super::known::{Known, TICK_NS, Thread};
use crate::record::{Body, CgroupKey, Put, Record, UNKNOWN_COMM, UNKNOWN_ID, UNKNOWN_START};
use crate::source::happening::Task;
use crate::source::look::{Depth, Look, Proc, Strings};
use crate::{Field, Flaw, Flaws, Pid, StartTime};

impl Tracker {
    /// Leaves out processes whose fork is still to be reported, by FORKED (pid, and when it was
    /// reported, CLOCK_MONOTONIC ns), and later ones. Also leaves out zombies, except those whose
    /// end is still to be reported, by ENDED.
    pub(crate) fn keep_those_before(
        &self,
        looks: &mut Vec<(Pid, Look)>,
        forked: &[(Pid, u64)],
        ended: &FxHashSet<Pid>,
        attached_ns: u64,
    ) {
        looks.retain(|(pid, look)| {
            let Some(stat) = look.stat else { return false };
            let told_of = |&(child, mono_ns): &(Pid, u64)| {
                let told = StartTime::from_boot_ns(self.boot_ns(mono_ns));
                child == *pid && stat.start <= told && (told.0 - stat.start.0 <= 1 || mono_ns <= look.read_ns)
            };
            let lives = !look.is_zombie() || ended.contains(pid);
            lives && stat.start.boot_ns() <= attached_ns && !forked.iter().any(told_of)
        });
    }

    /// Adds the processes that were running when we began to listen.
    pub(crate) fn begin(&mut self, looks: &[(Pid, Look)], put: &mut Put<'_>) -> ControlFlow<()> {
        for (pid, look) in looks {
            let mut known = Known::unknown(self.epoch);
            self.learn(&mut known, look, put);
            Self::count_threads(&mut known, look);
            self.forgive(&mut known.marks, |field| !self.settings.is_unreported(field));
            known.existing = true;
            known.parent.pid = look.stat.map_or(0, |stat| stat.ppid);
            self.living.insert(*pid, known);
        }
        // Now every parent is known.
        for (pid, look) in looks {
            let ppid = look.stat.map_or(0, |stat| stat.ppid);
            let parent = self.reference(Task { tid: ppid, pid: ppid });
            let Some(known) = self.living.get_mut(pid) else { continue };
            known.parent = parent;
            known.marks.clear(Field::Ppid);
        }
        ControlFlow::Continue(())
    }

    /// Processes that were already running are reported as they are now, however late that was
    /// read.
    fn forgive(&self, marks: &mut Flaws, which: impl Fn(Field) -> bool) {
        for field in [Field::Name, Field::User, Field::Login, Field::Sid, Field::Pgid, Field::Tty, Field::Cgroup] {
            if which(field) && marks.get(field) == Some(Flaw::ReadLate) {
                marks.clear(field);
            }
        }
    }

    /// Reports them.
    pub(crate) fn tell(&mut self, looks: Vec<(Pid, Look)>, attached_ns: u64, put: &mut Put<'_>) -> ControlFlow<()> {
        for (pid, look) in looks {
            let kthread = self.living.get(&pid).is_some_and(|known| known.kthread);
            let (subject, mut about) = self.subject(Task { tid: pid, pid }, attached_ns);
            self.forgive(&mut about, |field| self.settings.is_unreported(field));
            let strings = Strings::of(Some(look));
            let flaws = if kthread { Flaws::new() } else { strings.flaws(Flaw::Unreadable, self.settings.env) };
            let body = Body::Existing { subject, image: strings.image() };
            put(&Record { boot_ns: attached_ns, processor: None, body, flaws, about })?;
        }
        ControlFlow::Continue(())
    }

    /// After a loss: checks which processes live.
    pub(crate) fn resume(&mut self, looks: Vec<(Pid, Look)>, put: &mut Put<'_>) {
        for (pid, look) in &looks {
            // The ends of zombies were reported.
            if !look.is_zombie() || self.living.contains_key(pid) {
                self.renew(*pid, look, put);
            }
        }
        let epoch = self.epoch;
        self.living.retain(|_, known| known.epoch == epoch);
        self.ends.retain(|pid| self.living.contains_key(&pid));
        self.senders.retain(|pid| self.living.contains_key(&pid));
        // Now every parent is known.
        for (pid, look) in &looks {
            let ppid = look.stat.map_or(0, |stat| stat.ppid);
            let parent = self.reference(Task { tid: ppid, pid: ppid });
            if let Some(known) = self.living.get_mut(pid) {
                known.parent = parent;
            }
        }
    }

    /// Processes that were forked since we began and whose end was not reported, and when they
    /// began.
    pub(crate) fn newcomers(&self) -> impl Iterator<Item = (Pid, Option<StartTime>, Pid)> {
        let new = self.living.iter().filter(|(_, known)| !known.existing && known.epoch == self.epoch);
        new.map(|(&pid, known)| (pid, known.tick(), known.parent.pid))
    }

    /// Whether the end of the process with this pid and start was not reported.
    pub(crate) fn is_alive(&self, pid: Pid, start: Option<StartTime>) -> bool {
        self.living.get(&pid).is_some_and(|known| {
            let ticks = known.tick().zip(start);
            ticks.is_none_or(|(known, start)| known.0.abs_diff(start.0) <= 1)
        })
    }

    /// Uses the look for the known facts about the process with this pid, except for values that
    /// cannot change.
    pub(super) fn renew(&mut self, pid: Pid, look: &Look, put: &mut Put<'_>) {
        let Some(stat) = &look.stat else { return };
        let known = self.living.remove(&pid).and_then(|mut known| known.confirm(stat.start).then_some(known));
        let mut known = known.unwrap_or_else(|| Known::unknown(self.epoch));
        known.epoch = self.epoch;
        // Values that may have changed unseen.
        known.comm = UNKNOWN_COMM;
        known.ids = None;
        known.sid = UNKNOWN_ID;
        known.cgroup = CgroupKey::default();
        for field in [Field::Name, Field::User, Field::Login, Field::Tty, Field::Cgroup] {
            known.marks.mark(field, Flaw::Unreadable);
        }
        self.learn(&mut known, look, put);
        Self::count_threads(&mut known, look);
        known.parent = self.reference(Task { tid: stat.ppid, pid: stat.ppid });
        known.marks.mark(Field::Ppid, Flaw::ReadLate);
        self.living.insert(pid, known);
    }

    /// Applies which threads live. If their messages are followed, those report it as it was then;
    /// a look may be later.
    fn count_threads(known: &mut Known, look: &Look) {
        let Some(stat) = &look.stat else { return };
        known.found_ended = stat.ended && known.leader;
        known.leader = !stat.ended;
        let thread = |&tid: &Pid| Thread { tid, ids: None, assumed: true };
        known.threads = look.threads.iter().map(thread).collect();
    }

    /// Fills in values that are not better known.
    pub(super) fn learn(&mut self, known: &mut Known, look: &Look, put: &mut Put<'_>) {
        let late = |known: &mut Known, field| known.marks.mark(field, Flaw::ReadLate);
        let read_ns = self.boot_ns(look.read_ns);
        for field in UNREPORTED {
            if !look.brief && known.marks.get(field) == Some(Flaw::ReadLate) {
                // That was an earlier look.
                known.marks.mark(field, Flaw::Estimated);
            }
        }
        known.looked_ns = if look.brief { known.looked_ns } else { read_ns };
        if let Some(stat) = &look.stat {
            if known.comm == UNKNOWN_COMM {
                known.comm = stat.comm;
                known.comm_read_ns = read_ns;
                late(known, Field::Name);
            }
            if known.sid == UNKNOWN_ID || self.settings.is_unreported(Field::Sid) {
                known.sid = stat.sid;
                late(known, Field::Sid);
            }
            known.pgid = stat.pgid;
            late(known, Field::Pgid);
            if !stat.ending {
                known.tty = stat.tty;
                late(known, Field::Tty);
            }
            known.kthread = stat.kthread;
            known.confirm(stat.start);
        }
        if let Some(status) = &look.status {
            let ids = [status.uids[0], status.uids[1], status.gids[0], status.gids[1]];
            match known.ids {
                _ if !self.settings.ids_told => {
                    known.ids = Some(ids);
                    known.ids_read_ns = read_ns;
                    late(known, Field::User);
                }
                // No message reported a change, so it had these all the time.
                Some(inherited) if inherited == ids => known.marks.clear(Field::User),
                Some(_) if known.marks.get(Field::User).is_none() => {}
                _ => {
                    known.ids = Some(ids);
                    known.ids_read_ns = read_ns;
                    late(known, Field::User);
                }
            }
            known.ns_pid = status.ns_pid;
            known.login = look.login;
            late(known, Field::Login);
        }
        if let Some(path) = &look.cgroup {
            known.cgroup = self.cgroups.key(path, put);
            late(known, Field::Cgroup);
        }
    }

    /// After a loss, or if forks are not listened to: finds out whether the pid still belongs to
    /// the same process. One that cannot be read any more may be another one, and counts as
    /// unknown.
    pub(super) fn make_sure(&mut self, pid: Pid, boot_ns: u64, proc: &mut dyn Proc, put: &mut Put<'_>) {
        let follows = self.settings.follows;
        if follows && self.living.get(&pid).is_some_and(|known| known.epoch == self.epoch) {
            return;
        }
        if !follows
            && let Some(known) = self.living.get_mut(&pid)
            && known.epoch == self.epoch
            && let Some(start) = proc.start(pid)
            && known.tick() == Some(start)
        {
            return;
        }
        let depth = self.depth();
        let look = proc.look(pid, depth).filter(|look| {
            // A process that started after the event is another one. Without forks to show it, it
            // is enough that no other process had the pid within a tick.
            look.stat
                .is_some_and(|stat| stat.start.boot_ns().saturating_add(if follows { TICK_NS } else { 0 }) <= boot_ns)
        });
        match look {
            Some(look) => self.renew(pid, &look, put),
            None => {
                self.living.remove(&pid);
                self.ends.forget(pid);
            }
        }
    }

    /// Reads a living process that was not read, or in vain, when it began or execed.
    pub(super) fn name(&mut self, pid: Pid, proc: &mut dyn Proc, put: &mut Put<'_>) {
        match self.living.get_mut(&pid) {
            Some(known) if known.comm == UNKNOWN_COMM && !known.asked && known.start_ns != UNKNOWN_START => {
                known.asked = true
            }
            _ => return,
        }
        if let Some(look) = proc.look(pid, Depth::Full)
            && let Some(stat) = look.stat
            && let Some(mut known) = self.living.remove(&pid)
        {
            if known.confirm(stat.start) {
                self.learn(&mut known, &look, put);
            }
            self.living.insert(pid, known);
        }
    }
}

//! Makes records of what happened: knows who lives, and what was learned of each, from where. No OS.

use std::ops::ControlFlow;

use rustc_hash::{FxHashMap, FxHashSet};

use crate::source::descendants;
use crate::source::happening::{Birth, End, Failed, Happening, Started, Task, Told};
use crate::source::look::{CgroupKeys, Depth, Look, Proc, Strings};
use crate::source::record::{
    Body, CgroupKey, Comm, ExitRecord, ListRecord, LoginRecord, NOBODY, Put, Record, RefRecord, Subject, UNKNOWN_COMM,
    UNKNOWN_ID, UNKNOWN_START,
};
use crate::{EnvWanted, EventSet, Field, Flaw, Flaws, Kind, Namespaces, Pid, StartTime, Tty, Want};

/// The kernel notes a process's start this much before it tells of the fork, at the usual speed (`copy_process`, `kernel/fork.c`).
const TOLD_AFTER_NS: u64 = 2_000;
/// A start so close behind the beginning of a clock tick may belong to the tick before.
const DOUBTFUL_NS: u64 = 1_000_000;
/// So many newborns' starts are read in a second, and in a storm only the doubtful ones'.
const MOST_STARTS: u32 = 100;
const SECOND_NS: u64 = 1_000_000_000;
const TICK_NS: u64 = 10_000_000;
/// Nobody is kept from running for so many ticks. A /proc that is this far off counts from elsewhere, as in a time namespace.
const MOST_LATE_TICKS: u64 = 1_000;
/// `CLONE_PARENT` in `include/uapi/linux/sched.h`.
const CLONE_PARENT: u64 = 0x8000;
/// So many senders of signals are remembered of one receiver.
const MOST_SENDERS: usize = 8;

/// What is known of a living process.
#[derive(Clone, Debug)]
struct Known {
    /// CLOCK_BOOTTIME, ns; of its tick alone where /proc told it.
    start_ns: u64,
    /// The tick was read, not worked out.
    exact: bool,
    parent: RefRecord,
    comm: Comm,
    /// When that was read, ns; 0 where a message told it.
    comm_read_ns: u64,
    /// Real and effective user, real and effective group.
    ids: Option<[u32; 4]>,
    ids_read_ns: u64,
    sid: Pid,
    pgid: Pid,
    tty: Option<Tty>,
    ns_pid: Pid,
    cgroup: CgroupKey,
    kthread: bool,
    /// Its first thread lives.
    leader: bool,
    /// Its other threads.
    threads: Vec<Pid>,
    /// It was found so, which the message may yet tell.
    found_ended: bool,
    /// When it last became another program, ns.
    exec_ns: u64,
    /// It ran already when we began.
    existing: bool,
    /// It was looked at for want of a name.
    asked: bool,
    marks: Flaws,
    /// How much had been lost when it was last sure who this is.
    epoch: u64,
}

impl Known {
    fn unknown(epoch: u64) -> Self {
        let mut marks = Flaws::new();
        for field in [Field::Id, Field::Ppid, Field::Name, Field::User, Field::Tty, Field::Cgroup] {
            marks.mark(field, Flaw::NotObserved);
        }
        Self {
            start_ns: UNKNOWN_START,
            exact: false,
            parent: NOBODY,
            comm: UNKNOWN_COMM,
            comm_read_ns: 0,
            ids: None,
            ids_read_ns: 0,
            sid: UNKNOWN_ID,
            pgid: UNKNOWN_ID,
            tty: None,
            ns_pid: 0,
            cgroup: CgroupKey::default(),
            kthread: false,
            leader: true,
            threads: Vec::new(),
            found_ended: false,
            exec_ns: 0,
            existing: false,
            asked: false,
            marks,
            epoch,
        }
    }

    fn tick(&self) -> Option<StartTime> {
        (self.start_ns != UNKNOWN_START).then(|| StartTime::from_boot_ns(self.start_ns))
    }

    /// Takes the start that /proc tells, read behind what is known. False where it is another process's.
    fn confirm(&mut self, read: StartTime) -> bool {
        match self.tick() {
            _ if self.start_ns == UNKNOWN_START => self.start_ns = read.boot_ns(),
            Some(tick) if tick == read => {}
            // Worked out from the fork, which is told a little later, or much where its thread was kept from running in between.
            // Who has the pid now and had begun by then had it then.
            Some(tick) if !self.exact && read < tick && tick.0 - read.0 <= MOST_LATE_TICKS => {
                self.start_ns = read.boot_ns() + TICK_NS - 1
            }
            _ => return false,
        }
        self.exact = true;
        self.marks.clear(Field::Id);
        true
    }
}

/// What the tracker needs to know of its run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Settings {
    pub(crate) events: EventSet,
    /// The environment is wanted.
    pub(crate) env: bool,
    /// Forks and exits are listened to, so that it is known who lives.
    pub(crate) follows: bool,
    /// The status of a process whose threads ended one by one is the last one's (Linux 6.0), or its first thread's.
    pub(crate) last_thread_decides: bool,
    /// Changes of users, groups and sessions are told.
    pub(crate) ids_told: bool,
}

impl Settings {
    pub(crate) fn new(want: &Want, follows: bool, last_thread_decides: bool, ids_told: bool) -> Self {
        Self { events: want.events, env: want.env != EnvWanted::No, follows, last_thread_decides, ids_told }
    }
}

/// See the module.
pub(crate) struct Tracker {
    settings: Settings,
    living: FxHashMap<Pid, Known>,
    /// How first threads ended that did before others.
    leader_status: FxHashMap<Pid, End>,
    /// Who sent a process its signals, the latest of each.
    senders: FxHashMap<Pid, Vec<(u8, RefRecord)>>,
    /// Processes whose end was told, while the message about their first thread may come yet.
    leader_to_come: FxHashSet<Pid>,
    /// The second that a start was read in last, and how many were.
    starts_read: (u64, u32),
    cgroups: CgroupKeys,
    /// Rises with every loss.
    epoch: u64,
    /// CLOCK_BOOTTIME minus CLOCK_MONOTONIC, ns.
    boot_offset_ns: u64,
    /// The CPU of what is being told.
    processor: Option<u32>,
}

impl Tracker {
    pub(crate) fn new(settings: Settings) -> Self {
        Self {
            settings,
            living: FxHashMap::default(),
            leader_status: FxHashMap::default(),
            senders: FxHashMap::default(),
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

    /// Messages were lost: from here on nobody is surely who had this pid before.
    pub(crate) fn doubt(&mut self) {
        self.epoch += 1;
    }

    pub(crate) fn depth(&self) -> Depth {
        if self.settings.env { Depth::Env } else { Depth::Full }
    }

    /// Who of the living is below these, with them.
    pub(crate) fn descendants(&self, roots: &[Pid]) -> Vec<Pid> {
        descendants(roots, || self.living.iter().map(|(&pid, known)| (pid, known.parent.pid)))
    }

    /// Leaves out whose fork is yet to be told, of FORKED (pid, and when it was told, CLOCK_MONOTONIC ns), and who came later.
    pub(crate) fn keep_those_before(&self, looks: &mut Vec<(Pid, Look)>, forked: &[(Pid, u64)], attached_ns: u64) {
        looks.retain(|(pid, look)| {
            let Some(stat) = look.stat else { return false };
            let told_of = |&(child, mono_ns): &(Pid, u64)| {
                let told = StartTime::from_boot_ns(self.boot_ns(mono_ns));
                child == *pid && stat.start <= told && (told.0 - stat.start.0 <= 1 || mono_ns <= look.read_ns)
            };
            stat.start.boot_ns() <= attached_ns && !forked.iter().any(told_of)
        });
    }

    /// Takes in the processes that ran when we began to listen.
    pub(crate) fn begin(&mut self, looks: &[(Pid, Look)], put: &mut Put<'_>) -> ControlFlow<()> {
        for (pid, look) in looks {
            let mut known = Known::unknown(self.epoch);
            self.learn(&mut known, look, put);
            for field in [Field::Name, Field::User, Field::Tty, Field::Cgroup] {
                if known.marks.get(field) == Some(Flaw::ReadLate) {
                    known.marks.clear(field);
                }
            }
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

    /// Tells of them.
    pub(crate) fn tell(&mut self, looks: Vec<(Pid, Look)>, attached_ns: u64, put: &mut Put<'_>) -> ControlFlow<()> {
        for (pid, look) in looks {
            let kthread = self.living.get(&pid).is_some_and(|known| known.kthread);
            let (subject, mut about) = self.subject(Task { tid: pid, pid });
            if about.get(Field::User) == Some(Flaw::Estimated) {
                about.clear(Field::User);
            }
            let strings = Strings::of(Some(look));
            let flaws = if kthread { Flaws::new() } else { strings.flaws(Flaw::Unreadable, self.settings.env) };
            let body = Body::Existing { subject, image: strings.image() };
            put(&Record { boot_ns: attached_ns, processor: None, body, flaws, about })?;
        }
        ControlFlow::Continue(())
    }

    /// After a loss: makes sure of who lives.
    pub(crate) fn resume(&mut self, looks: Vec<(Pid, Look)>, put: &mut Put<'_>) {
        for (pid, look) in &looks {
            // Of the dead that are not waited for the end was told.
            let dead = look.stat.is_some_and(|stat| stat.ended) && look.threads.is_empty();
            if !dead || self.living.contains_key(pid) {
                self.renew(*pid, look, put);
            }
        }
        let epoch = self.epoch;
        self.living.retain(|_, known| known.epoch == epoch);
        self.leader_status.retain(|pid, _| self.living.contains_key(pid));
        self.senders.retain(|pid, _| self.living.contains_key(pid));
        // Now every parent is known.
        for (pid, look) in &looks {
            let ppid = look.stat.map_or(0, |stat| stat.ppid);
            let parent = self.reference(Task { tid: ppid, pid: ppid });
            if let Some(known) = self.living.get_mut(pid) {
                known.parent = parent;
            }
        }
    }

    /// Takes the look for what is known of the process that has this pid, but for what cannot change.
    fn renew(&mut self, pid: Pid, look: &Look, put: &mut Put<'_>) {
        let Some(stat) = &look.stat else { return };
        let known = self.living.remove(&pid).and_then(|mut known| known.confirm(stat.start).then_some(known));
        let mut known = known.unwrap_or_else(|| Known::unknown(self.epoch));
        known.epoch = self.epoch;
        // What may have changed unseen.
        known.comm = UNKNOWN_COMM;
        known.ids = None;
        known.sid = UNKNOWN_ID;
        known.cgroup = CgroupKey::default();
        for field in [Field::Name, Field::User, Field::Tty, Field::Cgroup] {
            known.marks.mark(field, Flaw::Unreadable);
        }
        self.learn(&mut known, look, put);
        known.parent = self.reference(Task { tid: stat.ppid, pid: stat.ppid });
        known.marks.mark(Field::Ppid, Flaw::ReadLate);
        self.living.insert(pid, known);
    }

    /// Fills in what is not known better.
    fn learn(&mut self, known: &mut Known, look: &Look, put: &mut Put<'_>) {
        let late = |known: &mut Known, field| known.marks.mark(field, Flaw::ReadLate);
        let read_ns = self.boot_ns(look.read_ns);
        if let Some(stat) = &look.stat {
            if known.comm == UNKNOWN_COMM {
                known.comm = stat.comm;
                known.comm_read_ns = read_ns;
                late(known, Field::Name);
            }
            if known.sid == UNKNOWN_ID {
                known.sid = stat.sid;
            }
            known.pgid = stat.pgid;
            if !stat.ending {
                known.tty = stat.tty;
                late(known, Field::Tty);
            }
            known.kthread = stat.kthread;
            known.found_ended = stat.ended && known.leader;
            known.leader = !stat.ended;
            known.threads = look.threads.clone();
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
                // No message told of a change, so these they were all the time.
                Some(inherited) if inherited == ids => known.marks.clear(Field::User),
                Some(_) if known.marks.get(Field::User).is_none() => {}
                _ => {
                    known.ids = Some(ids);
                    known.ids_read_ns = read_ns;
                    late(known, Field::User);
                }
            }
            known.ns_pid = status.ns_pid;
        }
        if let Some(path) = &look.cgroup {
            known.cgroup = self.cgroups.key(path, put);
            late(known, Field::Cgroup);
        }
    }

    /// A process as others name it.
    fn reference(&self, task: Task) -> RefRecord {
        let known = self.living.get(&task.pid).filter(|known| known.epoch == self.epoch);
        let (start_ns, comm) = known.map_or((UNKNOWN_START, UNKNOWN_COMM), |known| (known.start_ns, known.comm));
        if task.pid == 0 { NOBODY } else { RefRecord { pid: task.pid, tid: task.tid, start_ns, comm } }
    }

    /// The parent, as long as it lives: who takes its children over is not told.
    fn parent(&self, known: &Known) -> Option<RefRecord> {
        let parent = &known.parent;
        if parent.pid == 0 {
            return (known.marks.get(Field::Ppid).is_none()).then_some(NOBODY);
        }
        let now = self.living.get(&parent.pid)?;
        // Who has the pid later began later; a start that was worked out may have been corrected to any earlier one.
        let known = parent.start_ns != UNKNOWN_START || now.start_ns == UNKNOWN_START;
        let same = known && now.start_ns <= parent.start_ns.saturating_add(TICK_NS) && now.epoch == self.epoch;
        same.then_some(RefRecord { start_ns: now.start_ns, comm: now.comm, ..*parent })
    }

    /// The parent's id may be worked out, too.
    fn mark_parent(&self, parent: &RefRecord, about: &mut Flaws) {
        about.clear(Field::Parent);
        if parent.start_ns != UNKNOWN_START && self.living.get(&parent.pid).is_some_and(|known| !known.exact) {
            about.mark(Field::Parent, Flaw::Estimated);
        }
    }

    /// What is known of the process, as records have it.
    fn subject(&self, task: Task) -> (Subject, Flaws) {
        let unknown;
        let known = match self.living.get(&task.pid) {
            Some(known) => known,
            None => {
                unknown = Known::unknown(self.epoch);
                &unknown
            }
        };
        let mut about = known.marks;
        if known.start_ns != UNKNOWN_START && !known.exact {
            about.mark(Field::Id, Flaw::Estimated);
        }
        if known.epoch != self.epoch {
            for field in [Field::Id, Field::Ppid, Field::Name, Field::User] {
                about.mark(field, Flaw::AfterLoss);
            }
        }
        let parent = self.parent(known).unwrap_or_else(|| {
            about.mark(Field::Ppid, Flaw::NotObserved);
            NOBODY
        });
        self.mark_parent(&parent, &mut about);
        if !self.settings.ids_told && known.ids.is_some() && about.get(Field::User).is_none() {
            // They may have changed since they were read.
            about.mark(Field::User, Flaw::Estimated);
        }
        let [uid, euid, gid, egid] = known.ids.unwrap_or([UNKNOWN_ID; 4]);
        let subject = Subject {
            pid: task.pid,
            tid: task.tid,
            start_ns: known.start_ns,
            comm: known.comm,
            parent,
            ns_pid: known.ns_pid,
            uid,
            gid,
            euid,
            egid,
            login: LoginRecord::default(),
            sid: known.sid,
            pgid: known.pgid,
            tty: known.tty,
            cgroup: known.cgroup,
            namespaces: Namespaces::default(),
            kthread: known.kthread,
            exec_id: None,
        };
        (subject, about)
    }

    /// After a loss, or where forks are not listened to: finds out whether this is still who had the pid. Whoever cannot be
    /// asked any more may be another one, and is nobody known.
    fn make_sure(&mut self, pid: Pid, boot_ns: u64, proc: &mut dyn Proc, put: &mut Put<'_>) {
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
            // A process that started after the event is another one. Without forks to tell it is good enough that nobody else
            // had the pid within a tick.
            look.stat.is_some_and(|stat| stat.start.boot_ns() + if follows { TICK_NS } else { 0 } <= boot_ns)
        });
        match look {
            Some(look) => self.renew(pid, &look, put),
            None => {
                self.living.remove(&pid);
                self.leader_status.remove(&pid);
            }
        }
    }

    /// Makes a record of what happened.
    pub(crate) fn feed(&mut self, told: Told, proc: &mut dyn Proc, put: &mut Put<'_>) -> ControlFlow<()> {
        let Told { mono_ns, processor, what, look } = told;
        let boot_ns = self.boot_ns(mono_ns);
        let task = what.task();
        match what {
            Happening::Fork { parent, child, .. } if child.is_leader() => {
                self.make_sure(parent.pid, boot_ns, proc, put)
            }
            // One that is not known any more has ended, and so did the process.
            Happening::Exit { .. } if !task.is_leader() && !self.living.contains_key(&task.pid) => {}
            Happening::Signal { .. } => {}
            _ => self.make_sure(task.pid, boot_ns, proc, put),
        }
        self.processor = processor;
        match what {
            Happening::Fork { parent, child, birth } if child.is_leader() => {
                self.fork(mono_ns, parent, child, birth, proc, put)
            }
            Happening::Fork { parent, child, birth } => {
                if let Some(known) = self.living.get_mut(&child.pid)
                    && !known.threads.contains(&child.tid)
                {
                    known.threads.push(child.tid);
                }
                let (subject, about) = self.subject(child);
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
            Happening::Exec { task, started } => {
                self.exec(boot_ns, task, started.map(|started| *started), look.map(|look| *look), put)
            }
            Happening::ExecFailed { task, failed } => self.exec_failed(boot_ns, task, &failed, put),
            Happening::Signal { task, signo, sender } => {
                let sender = sender.map(|sender| self.reference(sender));
                let senders = self.senders.entry(task.pid).or_default();
                senders.retain(|(of, _)| *of != signo);
                if senders.len() >= MOST_SENDERS {
                    senders.remove(0);
                }
                senders.extend(sender.map(|sender| (signo, sender)));
                ControlFlow::Continue(())
            }
            Happening::Exit { task, end, parent } => self.exit(boot_ns, task, end, parent, put),
            Happening::Comm { task, old: told, comm } => {
                let old = match self.living.get_mut(&task.pid) {
                    // What was read later than this happened is newer.
                    Some(known) if task.is_leader() && known.comm_read_ns <= boot_ns => {
                        known.marks.clear(Field::Name);
                        known.comm_read_ns = 0;
                        std::mem::replace(&mut known.comm, comm)
                    }
                    _ => UNKNOWN_COMM,
                };
                let old = told.unwrap_or(old);
                let (subject, mut about) = self.subject(task);
                if task.is_leader() {
                    about.clear(Field::Name);
                }
                self.plain(boot_ns, Body::Comm { subject, old, new: comm }, about, put)
            }
            Happening::Uid { task, real, effective } => {
                let (subject, old, about) = self.change_ids(boot_ns, task, 0, [real, effective]);
                self.plain(boot_ns, Body::Uid { subject, old }, about, put)
            }
            Happening::Gid { task, real, effective } => {
                let (subject, old, about) = self.change_ids(boot_ns, task, 2, [real, effective]);
                self.plain(boot_ns, Body::Gid { subject, old }, about, put)
            }
            Happening::Sid { task } => {
                if let Some(known) = self.living.get_mut(&task.pid) {
                    // setsid(2): a new session and group, without a terminal.
                    [known.sid, known.pgid] = [task.pid; 2];
                    known.tty = None;
                    known.marks.clear(Field::Tty);
                }
                let (subject, about) = self.subject(task);
                self.plain(boot_ns, Body::Sid { subject }, about, put)
            }
            Happening::Ptrace { task, tracer } => {
                let (subject, about) = self.subject(task);
                let other = tracer.map_or(NOBODY, |tracer| self.reference(tracer));
                let body = Body::Ptrace { subject, other, attach: tracer.is_some(), of_caller: true };
                self.plain(boot_ns, body, about, put)
            }
            Happening::Core { task, signo } => {
                let (subject, about) = self.subject(task);
                self.plain(boot_ns, Body::Core { subject, signo }, about, put)
            }
        }
    }

    /// Takes over a new real and effective id, at this place of the four, and tells the old ones where they are known.
    fn change_ids(&mut self, boot_ns: u64, task: Task, at: usize, new: [u32; 2]) -> (Subject, Option<[u32; 2]>, Flaws) {
        let mut old = None;
        if let Some(known) = self.living.get_mut(&task.pid)
            && let Some(ids) = &mut known.ids
            // What was read later than this happened is newer.
            && known.ids_read_ns <= boot_ns
            && task.is_leader()
        {
            old = Some([ids[at], ids[at + 1]]);
            [ids[at], ids[at + 1]] = new;
        }
        let (mut subject, mut about) = self.subject(task);
        if subject.uid == UNKNOWN_ID {
            // One half of the ids alone cannot be told.
            about.mark(Field::User, Flaw::NotObserved);
        } else if at == 0 {
            [subject.uid, subject.euid] = new;
        } else {
            [subject.gid, subject.egid] = new;
        }
        (subject, old, about)
    }

    fn plain(&self, boot_ns: u64, body: Body<'_>, about: Flaws, put: &mut Put<'_>) -> ControlFlow<()> {
        put(&Record { boot_ns, processor: self.processor, body, flaws: Flaws::new(), about })
    }

    /// Looks at a living process that was not looked at, or in vain, when it became what it is.
    fn name(&mut self, pid: Pid, proc: &mut dyn Proc, put: &mut Put<'_>) {
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

    /// The thread that forks may have been kept from running before the fork was told, and nothing but /proc tells.
    fn may_read_start(&mut self, boot_ns: u64) -> bool {
        let second = boot_ns / SECOND_NS;
        let read = if self.starts_read.0 == second { self.starts_read.1 } else { 0 };
        self.starts_read = (second, read.saturating_add(1));
        read < MOST_STARTS
    }

    fn fork(
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
        let mut known = match self.living.get(&parent.pid).filter(|known| known.epoch == self.epoch) {
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
        if known.kthread {
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
            image: None,
        };
        put(&Record { boot_ns, processor: self.processor, body, flaws: Flaws::new(), about })
    }

    fn exec(
        &mut self,
        boot_ns: u64,
        task: Task,
        started: Option<Started>,
        look: Option<Look>,
        put: &mut Put<'_>,
    ) -> ControlFlow<()> {
        // Who tells of a program's start tells its old name, or that it is missing: what is known may be the new one by now.
        let names_told = started.is_some();
        let started = started.unwrap_or_default();
        let found = self.living.remove(&task.pid);
        let sure = found.as_ref().is_some_and(|known| known.epoch == self.epoch);
        let mut known = found.unwrap_or_else(|| Known::unknown(self.epoch));
        let alone = known.threads.is_empty() && known.start_ns != UNKNOWN_START;
        let known_then = !names_told && alone && known.comm_read_ns <= boot_ns && known.comm != UNKNOWN_COMM;
        let old_comm = known_then.then_some(known.comm);
        let old_flaw = known.marks.get(Field::Name).filter(|flaw| *flaw == Flaw::Inherited);
        // Read of another process, which has the pid now.
        let look = look.filter(|look| look.stat.map_or(sure, |stat| known.confirm(stat.start)));
        // The thread that called exec is the only one left, and bears the leader's id.
        known.threads = Vec::new();
        known.leader = true;
        known.kthread = false;
        known.found_ended = false;
        known.exec_ns = boot_ns;
        known.asked = false;
        known.comm = UNKNOWN_COMM;
        known.comm_read_ns = 0;
        known.marks.mark(Field::Name, Flaw::Unreadable);
        if let Some(comm) = started.comm {
            known.comm = comm;
            known.marks.clear(Field::Name);
        }
        if !alone {
            // Each thread has ids of its own.
            known.ids = None;
            known.marks.mark(Field::User, Flaw::NotObserved);
        }
        if !self.settings.ids_told {
            known.sid = UNKNOWN_ID;
            if known.ids.is_some() {
                known.marks.mark(Field::User, Flaw::Estimated);
            }
        }
        // No message tells of setpgid(2), which shells call before they exec.
        known.pgid = UNKNOWN_ID;
        // Nor does one tell of these, which may have changed before the exec.
        for field in [Field::Tty, Field::Cgroup] {
            if matches!(known.marks.get(field), None | Some(Flaw::Inherited | Flaw::ReadLate)) {
                known.marks.mark(field, Flaw::Estimated);
            }
        }
        self.leader_status.remove(&task.pid);
        let mut missing = Flaw::Unreadable;
        if let Some(look) = &look {
            missing = if look.brief { Flaw::NotObserved } else { Flaw::Unreadable };
            if look.brief && look.stat.is_none() && started.comm.is_none() {
                known.marks.mark(Field::Name, Flaw::NotObserved);
            }
            self.learn(&mut known, look, put);
            known.kthread = false;
            if self.parent(&known).is_none()
                && let Some(stat) = &look.stat
            {
                known.parent = self.reference(Task { tid: stat.ppid, pid: stat.ppid });
                known.marks.mark(Field::Ppid, Flaw::ReadLate);
            }
        }
        self.living.insert(task.pid, known);
        let (subject, about) = self.subject(task);
        let strings = Strings::of(look);
        let mut flaws = strings.flaws(missing, self.settings.env);
        let mut image = strings.image();
        image.path = started.path.as_deref();
        if let Some(told) = started.argv.as_ref().filter(|told| !told.unreadable || !told.list.is_empty()) {
            let late = flaws.get(Field::Argv) == Some(Flaw::ReadLate);
            let same = late && image.argv.inline == told.list;
            let flaw = match (told.cut, told.as_called) {
                (false, false) => None,
                (false, true) if same => None,
                // What was read late is whole, and of this program: it begins alike.
                (true, false) if late && image.argv.inline.starts_with(&told.list) => Some(Flaw::ReadLate),
                (_, true) if late => Some(Flaw::ReadLate),
                (true, _) if told.unreadable => Some(Flaw::Unreadable),
                (true, _) => Some(Flaw::Truncated),
                (false, true) => Some(Flaw::Estimated),
            };
            flaws.clear(Field::Argv);
            if let Some(flaw) = flaw {
                flaws.mark(Field::Argv, flaw);
            }
            if flaw != Some(Flaw::ReadLate) {
                image.argv = ListRecord { inline: &told.list, len: told.list.len() };
            }
        }
        let (old_comm, old_flaw) = match started.old_comm {
            Some(told) => (Some(told), None),
            None => (old_comm, old_flaw),
        };
        match old_comm {
            None => flaws.mark(Field::OldName, Flaw::NotObserved),
            Some(_) => _ = old_flaw.map(|flaw| flaws.mark(Field::OldName, flaw)),
        }
        let old_tid = started.old_tid.or(alone.then_some(task.pid));
        let body = Body::Exec { subject, old_comm, old_tid, image };
        put(&Record { boot_ns, processor: self.processor, body, flaws, about })
    }

    fn exec_failed(&mut self, boot_ns: u64, task: Task, failed: &Failed, put: &mut Put<'_>) -> ControlFlow<()> {
        let (subject, about) = self.subject(task);
        let mut flaws = Flaws::new();
        match &failed.path {
            None => flaws.mark(Field::Path, Flaw::NotObserved),
            Some(path) => _ = path.flaw.map(|flaw| flaws.mark(Field::Path, flaw)),
        }
        match &failed.argv {
            None => flaws.mark(Field::Argv, Flaw::NotObserved),
            Some(argv) if argv.unreadable => flaws.mark(Field::Argv, Flaw::Unreadable),
            Some(argv) if argv.cut => flaws.mark(Field::Argv, Flaw::Truncated),
            Some(_) => {}
        }
        let argv = failed.argv.as_ref().map(|argv| &argv.list[..]).unwrap_or_default();
        let path = failed.path.as_ref().map(|path| &path.bytes[..]);
        let body = Body::ExecFailed { subject, errno: failed.errno, dirfd: failed.dirfd, path, argv };
        put(&Record { boot_ns, processor: self.processor, body, flaws, about })
    }

    fn exit(&mut self, boot_ns: u64, task: Task, end: End, parent: Option<Task>, put: &mut Put<'_>) -> ControlFlow<()> {
        let (mut subject, mut about) = self.subject(task);
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
        let mut status = end.wait_status;
        if status.is_none() {
            flaws.mark(Field::Status, Flaw::NotObserved);
        } else if end.worked_out {
            flaws.mark(Field::Status, Flaw::Estimated);
        }
        if let Some(known) = self.living.get_mut(&task.pid).filter(|known| known.exec_ns <= boot_ns) {
            if task.is_leader() {
                known.leader = false;
                known.found_ended = false;
            } else {
                known.threads.retain(|&tid| tid != task.tid);
            }
            last = end.last.unwrap_or(!known.leader && known.threads.is_empty());
            if known.epoch != self.epoch {
                flaws.mark(Field::Status, Flaw::AfterLoss);
            }
            if !last && task.is_leader() {
                self.leader_status.insert(task.pid, end);
            }
        } else if let Some(told) = end.last
            && !self.living.contains_key(&task.pid)
        {
            last = told;
        } else if !task.is_leader() || self.living.contains_key(&task.pid) || self.leader_to_come.remove(&task.pid) {
            // A thread of a process of which nothing is known; or one, be it the first, that ended by the exec of another.
            last = false;
        }
        if !last {
            let comm = end.comm.unwrap_or(UNKNOWN_COMM);
            let body = Body::ThreadExit { subject, wait_status: status, thread_start_ns: UNKNOWN_START, comm };
            return put(&Record { boot_ns, processor: self.processor, body, flaws, about });
        }
        if let Some(leader) = self.leader_status.remove(&task.pid)
            && leader.wait_status != status
        {
            // A signal ends all threads. Else whoever ended last decides, and who that was, messages sent at the same moment tell
            // in any order.
            let killed = |status: Option<u32>| status.is_some_and(|status| status & 0x7f != 0);
            let first_decides = !self.settings.last_thread_decides && !end.of_all;
            if first_decides || killed(leader.wait_status) && !killed(status) {
                status = leader.wait_status;
                flaws.clear(Field::Status);
                if leader.worked_out {
                    flaws.mark(Field::Status, Flaw::Estimated);
                }
            } else if !end.of_all && !killed(status) && status.is_some() {
                flaws.mark(Field::Status, Flaw::Estimated);
            }
            if status.is_none() {
                flaws.mark(Field::Status, Flaw::NotObserved);
            }
        }
        let senders = self.senders.remove(&task.pid).unwrap_or_default();
        let signo = status.map_or(0, |status| status & 0x7f);
        let killer = senders.into_iter().find(|(of, _)| u32::from(*of) == signo).map(|(_, sender)| sender);
        if self.living.remove(&task.pid).is_some_and(|known| known.found_ended) {
            self.leader_to_come.insert(task.pid);
        }
        // The fork was told of a little after the start, and /proc knows its tick alone.
        flaws.mark(Field::Duration, Flaw::Estimated);
        let exit = ExitRecord { wait_status: status, killer, oom: end.oom, usage: None };
        put(&Record { boot_ns, processor: self.processor, body: Body::Exit { subject, exit }, flaws, about })
    }
}

#[cfg(test)]
mod tests;

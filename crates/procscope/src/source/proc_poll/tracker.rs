//! Makes records of what was seen in /proc: who is new, who changed, who is gone. No OS.

use std::hash::{Hash, Hasher};
use std::ops::ControlFlow;

use rustc_hash::{FxHashMap, FxHashSet, FxHasher};

use crate::source::look::{CgroupKeys, Look, Strings};
use crate::source::record::{
    Body, CgroupKey, Comm, ExitRecord, ImageRecord, LoginRecord, NOBODY, Put, Record, RefRecord, Subject, UNKNOWN_COMM,
    UNKNOWN_COUNT, UNKNOWN_ID, UNKNOWN_START, UsageRecord,
};
use crate::source::{comm_of, descendants};
use crate::sys::proc_pid::Stat;
use crate::{Field, Flaw, Flaws, Namespaces, Pid, StartTime, Tty};

const TICK_NS: u64 = 10_000_000;

/// One process as it was seen.
#[derive(Clone, Debug)]
pub(crate) struct Sight {
    pub(crate) pid: Pid,
    /// CLOCK_BOOTTIME, ns.
    pub(crate) read_ns: u64,
    pub(crate) stat: Stat,
    pub(crate) look: Look,
    /// The size of the program's code, KiB; 0 where it is not known.
    pub(crate) code_kib: u64,
    /// See [`is_loading`]: what it runs is to be read later.
    pub(crate) loading: bool,
}

/// Whether a process has executed something and lives, so that it may be between two programs.
pub(crate) fn is_between(stat: &Stat) -> bool {
    stat.has_executed() == Some(true) && !stat.is_kthread() && !stat.is_ending()
}

/// Whether a process is between two programs: the old one is gone, and the kernel tells neither code nor arguments of the new one
/// before all of it is in place (`load_elf_binary` in `fs/binfmt_elf.c`), for which it may have to wait for the disk.
pub(crate) fn is_loading(stat: &Stat, look: &Look, code_kib: u64) -> bool {
    is_between(stat) && look.argv.is_none() && stat.lacks_code().unwrap_or(code_kib == 0)
}

/// What was read of a process between two readings of its stat, as far as it is of one program: that of the second reading.
pub(crate) fn settle(first: &Stat, mut look: Look, last: Option<&Stat>) -> Option<(Stat, Look)> {
    let Some(last) = last else {
        // It is gone. What it had executed by the first reading, or later, it had; what it had not may be either's.
        if first.has_executed() != Some(true) {
            forget_image(&mut look);
        }
        return Some((first.clone(), look));
    };
    // The parent as it was first: an orphan has another one.
    let mut last = last.clone();
    last.ppid = first.ppid;
    let same = first.has_executed() == last.has_executed() && first.comm == last.comm;
    if same && (first.places() == last.places() || last.is_ending()) {
        return Some((last, look));
    }
    if last.is_ending() {
        forget_image(&mut look);
        return Some((last, look));
    }
    None
}

fn forget_image(look: &mut Look) {
    (look.argv, look.env, look.exe) = (None, None, None);
}

/// What to do about a process that was known before.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Judgement {
    /// Another process has the pid now.
    Other,
    /// It has ended, and nobody has waited for it yet.
    Ended,
    /// More has to be read to know what changed.
    Look,
    /// What its stat tells is all there is to it.
    Same,
}

/// How a process ended, as far as it was seen.
#[derive(Clone, Debug)]
pub(crate) struct End {
    pub(crate) boot_ns: u64,
    /// What is wrong with that time.
    pub(crate) time: Flaw,
    pub(crate) wait_status: Option<u32>,
    /// What was left of it.
    pub(crate) stat: Option<Stat>,
}

#[derive(Clone, Debug)]
struct Known {
    start: StartTime,
    /// When it was last seen to be what is told here. CLOCK_BOOTTIME, ns.
    read_ns: u64,
    parent: RefRecord,
    comm: Comm,
    /// Real and effective user, real and effective group.
    ids: Option<[u32; 4]>,
    sid: Pid,
    pgid: Pid,
    tty: Option<Tty>,
    ns_pid: Pid,
    cgroup: CgroupKey,
    kthread: bool,
    executed: Option<bool>,
    places: Option<[u64; 3]>,
    code_kib: u64,
    argv: Option<u64>,
    /// Not all was read yet.
    brief: bool,
    faults: [u64; 2],
    cpu: [u64; 2],
    marks: Flaws,
}

/// See the module. Bounded by the number of pids.
pub(crate) struct Tracker {
    living: FxHashMap<Pid, Known>,
    cgroups: CgroupKeys,
    /// Those of the living to whom orphans went.
    takes_orphans: FxHashSet<Pid>,
    /// The environment is wanted.
    env: bool,
    /// Changes of ids are: each look has to read them.
    ids: bool,
}

fn hash(list: &[u8]) -> u64 {
    let mut hasher = FxHasher::default();
    list.hash(&mut hasher);
    hasher.finish()
}

impl Known {
    fn new(stat: &Stat, read_ns: u64) -> Self {
        Self {
            start: stat.start,
            read_ns,
            parent: NOBODY,
            comm: comm_of(&stat.comm),
            ids: None,
            sid: stat.sid,
            pgid: stat.pgid,
            tty: stat.tty(),
            ns_pid: 0,
            cgroup: CgroupKey::default(),
            kthread: stat.is_kthread(),
            executed: stat.has_executed(),
            places: stat.places(),
            code_kib: 0,
            argv: None,
            brief: true,
            faults: stat.faults,
            cpu: stat.cpu,
            marks: Flaws::new(),
        }
    }

    /// Takes what changes while nothing happens that is told of.
    fn renew(&mut self, stat: &Stat) {
        self.faults = stat.faults;
        self.cpu = stat.cpu;
        self.pgid = stat.pgid;
        if !stat.is_ending() {
            self.tty = stat.tty();
            self.places = stat.places().or(self.places);
        }
    }
}

impl Tracker {
    pub(crate) fn new(env: bool, ids: bool) -> Self {
        Self {
            living: FxHashMap::default(),
            cgroups: CgroupKeys::default(),
            takes_orphans: FxHashSet::default(),
            env,
            ids,
        }
    }

    pub(crate) fn knows(&self, pid: Pid) -> bool {
        self.living.contains_key(&pid)
    }

    pub(crate) fn start(&self, pid: Pid) -> Option<StartTime> {
        self.living.get(&pid).map(|known| known.start)
    }

    /// The parent of a process as it was read last.
    pub(crate) fn parent(&self, pid: Pid) -> Option<Pid> {
        self.living.get(&pid).map(|known| known.parent.pid)
    }

    /// Whether a living process was not read since then, so that it may have become another program.
    pub(crate) fn is_stale(&self, pid: Pid, since_ns: u64) -> bool {
        self.living.get(&pid).is_some_and(|known| known.read_ns < since_ns)
    }

    pub(crate) fn pids(&self) -> impl Iterator<Item = Pid> {
        self.living.keys().copied()
    }

    /// How many of the living may end.
    pub(crate) fn guardable(&self) -> usize {
        self.living.values().filter(|known| !known.kthread).count()
    }

    /// Who of the living is below these, with them.
    pub(crate) fn descendants(&self, roots: &[Pid]) -> Vec<Pid> {
        descendants(roots, || self.living.iter().map(|(&pid, known)| (pid, known.parent.pid)))
    }

    /// A process as others name it.
    fn reference(&self, pid: Pid) -> RefRecord {
        if pid == 0 {
            return NOBODY;
        }
        let known = self.living.get(&pid);
        let (start_ns, comm) = known.map_or((UNKNOWN_START, UNKNOWN_COMM), |known| (known.start.boot_ns(), known.comm));
        RefRecord { pid, tid: pid, start_ns, comm }
    }

    /// Takes the parent's name, if that was read since then: an earlier one may be of another program. Says whether it was.
    fn name_parent(&self, known: &mut Known, since_ns: u64) -> bool {
        if known.parent.pid == 0 {
            return true;
        }
        let parent = self.living.get(&known.parent.pid).filter(|parent| parent.read_ns >= since_ns);
        if let Some(parent) = parent {
            known.parent.comm = parent.comm;
            known.marks.mark(Field::Parent, Flaw::ReadLate);
        }
        parent.is_some()
    }

    /// As [`Self::name_parent`], and takes none else.
    fn name_parent_or_none(&self, known: &mut Known, since_ns: u64) {
        if !self.name_parent(known, since_ns) {
            known.parent.comm = UNKNOWN_COMM;
            known.marks.mark(Field::Parent, Flaw::Unreadable);
        }
    }

    /// Takes what is left of a process whose end is told of later, for those who name it.
    pub(crate) fn confirm(&mut self, pid: Pid, stat: &Stat, read_ns: u64) {
        if let Some(known) = self.living.get_mut(&pid)
            && !executed_since(known, stat)
            && known.comm == comm_of(&stat.comm)
        {
            known.read_ns = read_ns;
        }
    }

    /// Takes the parent that was read, and says how far it is the one that made the process.
    fn adopt(&mut self, known: &mut Known, ppid: Pid) {
        let another = known.parent.pid != 0 && known.parent.pid != ppid;
        known.parent = self.reference(ppid);
        // Orphans go to the first process of the namespace, or to one that has asked for them.
        let younger = self.living.get(&ppid).is_some_and(|parent| parent.start > known.start);
        if another || younger {
            self.takes_orphans.insert(ppid);
        }
        let orphan = ppid <= 1 && !known.kthread || self.takes_orphans.contains(&ppid);
        let flaw = if orphan { Flaw::Estimated } else { Flaw::ReadLate };
        known.marks.mark(Field::Ppid, flaw);
        // As it was seen last: whoever tells of an event looks again first, where it can.
        if ppid == 0 {
            known.marks.clear(Field::Parent);
        } else {
            known.marks.mark(Field::Parent, Flaw::AfterLoss);
        }
    }

    /// Fills in what a look tells of.
    fn learn(&mut self, known: &mut Known, sight: &Sight, put: &mut Put<'_>) {
        let look = &sight.look;
        let late = |known: &mut Known, field, has| {
            known.marks.mark(field, if has { Flaw::ReadLate } else { Flaw::Unreadable })
        };
        if let Some(status) = &look.status {
            known.ids = Some([status.uids[0], status.uids[1], status.gids[0], status.gids[1]]);
            known.ns_pid = status.ns_pid;
        }
        if let Some(path) = &look.cgroup {
            known.cgroup = self.cgroups.key(path, put);
        }
        let missing = |known: &mut Known, field, has: bool| match has {
            false if look.brief => known.marks.mark(field, Flaw::NotObserved),
            has => late(known, field, has),
        };
        missing(known, Field::User, known.ids.is_some());
        missing(known, Field::Cgroup, known.cgroup != CgroupKey::default());
        late(known, Field::Name, true);
        late(known, Field::Tty, true);
        known.brief = look.brief;
        known.code_kib = sight.code_kib;
        if let Some(argv) = &look.argv {
            known.argv = Some(hash(argv));
        }
    }

    fn subject(pid: Pid, known: &Known) -> Subject {
        let [uid, euid, gid, egid] = known.ids.unwrap_or([UNKNOWN_ID; 4]);
        Subject {
            pid,
            tid: pid,
            start_ns: known.start.boot_ns(),
            comm: known.comm,
            parent: known.parent,
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
        }
    }

    /// Takes in the processes that ran when we began.
    pub(crate) fn begin(&mut self, sights: &[Sight], put: &mut Put<'_>) {
        for sight in sights {
            let mut known = Known::new(&sight.stat, sight.read_ns);
            self.learn(&mut known, sight, put);
            if sight.loading {
                known.executed = Some(false);
            }
            // They are told of as they are now.
            for field in [Field::User, Field::Cgroup, Field::Name, Field::Tty] {
                if known.marks.get(field) == Some(Flaw::ReadLate) {
                    known.marks.clear(field);
                }
            }
            known.parent.pid = sight.stat.ppid;
            self.living.insert(sight.pid, known);
        }
        // Now every parent is known.
        for sight in sights {
            let parent = self.reference(sight.stat.ppid);
            let Some(known) = self.living.get_mut(&sight.pid) else { continue };
            known.parent = parent;
            if parent.start_ns != UNKNOWN_START && parent.start_ns > known.start.boot_ns() {
                self.takes_orphans.insert(parent.pid);
            }
        }
    }

    /// Tells of them.
    pub(crate) fn tell(&mut self, sights: Vec<Sight>, boot_ns: u64, put: &mut Put<'_>) -> ControlFlow<()> {
        for sight in sights {
            let Some(known) = self.living.get_mut(&sight.pid) else { continue };
            let subject = Self::subject(sight.pid, known);
            let about = known.marks;
            // What is told of them from here on was read before.
            for field in [Field::User, Field::Cgroup, Field::Name, Field::Tty, Field::Ppid] {
                if known.marks.get(field).is_none() {
                    known.marks.mark(field, Flaw::ReadLate);
                }
            }
            if known.parent.pid != 0 {
                known.marks.mark(Field::Parent, Flaw::AfterLoss);
            }
            let strings = Strings::of(Some(sight.look));
            let flaws = if known.kthread { Flaws::new() } else { strings.flaws(Flaw::Unreadable, self.env) };
            let body = Body::Existing { subject, image: strings.image() };
            put(&Record { boot_ns, processor: None, body, flaws, about })?;
        }
        ControlFlow::Continue(())
    }

    /// Tells of a process that was not there at `since_ns`, as far as is known.
    pub(crate) fn born(&mut self, sight: Sight, since_ns: u64, put: &mut Put<'_>) -> ControlFlow<()> {
        let Sight { pid, read_ns, loading, .. } = sight;
        let mut known = Known::new(&sight.stat, read_ns);
        self.adopt(&mut known, sight.stat.ppid);
        self.name_parent_or_none(&mut known, read_ns);
        self.learn(&mut known, &sight, put);
        let executed = !known.kthread && known.executed.unwrap_or_else(|| self.differs_from_parent(&known));
        if sight.loading {
            // Of which program the name is nobody can tell.
            (known.executed, known.comm) = (Some(false), UNKNOWN_COMM);
        }
        let start_ns = known.start.boot_ns();
        let forked_ns = if (start_ns..start_ns + TICK_NS).contains(&since_ns) { since_ns } else { start_ns };
        let mut flaws = Flaws::new();
        flaws.mark(Field::Time, Flaw::Estimated);

        let strings = Strings::of(Some(sight.look));
        let env = self.env;
        let mut subject = Self::subject(pid, &known);
        let mut about = known.marks;
        let mut image = ImageRecord::default();
        let mut of_fork = flaws;
        if executed {
            subject.comm = UNKNOWN_COMM;
            about.mark(Field::Name, Flaw::NotObserved);
            [Field::Argv, Field::Exe, Field::Cwd].into_iter().for_each(|field| of_fork.mark(field, Flaw::NotObserved));
        } else {
            image = strings.image();
            strings.flaws(Flaw::Unreadable, env).iter().for_each(|(field, flaw)| of_fork.mark(field, flaw));
        }
        let image = (!known.kthread).then_some(image);
        self.living.insert(pid, known.clone());
        let body = Body::Fork { subject, thread: false, unasked: false, call: None, flags: None, creator: None, image };
        put(&Record { boot_ns: forked_ns.min(read_ns), processor: None, body, flaws: of_fork, about })?;
        if executed && !loading {
            return self.exec(pid, &known, UNKNOWN_COMM, &strings, read_ns, put);
        }
        ControlFlow::Continue(())
    }

    /// Where the kernel does not tell whether a process has executed anything: it has if it is not what its parent is.
    fn differs_from_parent(&self, known: &Known) -> bool {
        let parent = self.living.get(&known.parent.pid);
        parent.is_none_or(|parent| (parent.argv, parent.comm) != (known.argv, known.comm))
    }

    fn exec(
        &self,
        pid: Pid,
        known: &Known,
        old_comm: Comm,
        strings: &Strings,
        boot_ns: u64,
        put: &mut Put<'_>,
    ) -> ControlFlow<()> {
        let mut flaws = strings.flaws(if known.brief { Flaw::NotObserved } else { Flaw::Unreadable }, self.env);
        flaws.mark(Field::Time, Flaw::Estimated);
        // Another program may have been between.
        flaws.mark(Field::OldName, if old_comm == UNKNOWN_COMM { Flaw::NotObserved } else { Flaw::Estimated });
        let old_comm = (old_comm != UNKNOWN_COMM).then_some(old_comm);
        let subject = Self::subject(pid, known);
        let body = Body::Exec { subject, old_comm, old_tid: None, image: strings.image() };
        put(&Record { boot_ns, processor: None, body, flaws, about: known.marks })
    }

    /// What a known process's stat says of it.
    pub(crate) fn judge(&self, pid: Pid, stat: &Stat) -> Judgement {
        let Some(known) = self.living.get(&pid) else { return Judgement::Other };
        if known.start != stat.start {
            return Judgement::Other;
        }
        if stat.has_ended() && stat.threads <= 1 {
            return Judgement::Ended;
        }
        if stat.is_ending() || known.kthread && stat.is_kthread() {
            return Judgement::Same;
        }
        let blind = stat.places().is_none() || known.places.is_none();
        if blind || self.ids || known.brief || executed_since(known, stat) { Judgement::Look } else { Judgement::Same }
    }

    /// Takes what the stat of a known process says, and tells of what changed.
    pub(crate) fn touch(&mut self, pid: Pid, stat: &Stat, boot_ns: u64, put: &mut Put<'_>) -> ControlFlow<()> {
        let Some(mut known) = self.living.remove(&pid) else { return ControlFlow::Continue(()) };
        let flow = self.changes(pid, &mut known, stat, None, boot_ns, put);
        self.living.insert(pid, known);
        flow
    }

    /// Takes a look at a known process, and tells of what changed.
    pub(crate) fn again(&mut self, sight: Sight, put: &mut Put<'_>) -> ControlFlow<()> {
        let pid = sight.pid;
        if sight.loading {
            return ControlFlow::Continue(());
        }
        let Some(mut known) = self.living.remove(&pid) else { return ControlFlow::Continue(()) };
        let argv = sight.look.argv.as_deref().map(hash);
        let other_code = sight.code_kib != known.code_kib && sight.code_kib != 0 && known.code_kib != 0;
        // Arguments and names may be overwritten; the code's size is changed by an exec alone.
        let executed = executed_since(&known, &sight.stat)
            || (sight.stat.places().is_none() || known.places.is_none())
                && argv.is_some()
                && known.argv.is_some()
                && argv != known.argv
                && other_code;
        let flow = if executed && !sight.stat.is_ending() {
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
            // Those of a set-uid program are others.
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

    /// Tells of what changed otherwise than by an exec.
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
        // By an exec that nobody saw.
        let executed = known.executed == Some(false) && stat.has_executed() == Some(true);
        // That of a worker of the kernel changes with its work.
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

    /// Tells of an end.
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
            // Of what it executed last nobody saw more than the name.
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

/// What nothing but an exec changes.
fn executed_since(known: &Known, stat: &Stat) -> bool {
    let flag = known.executed == Some(false) && stat.has_executed() == Some(true);
    let moved = matches!((known.places, stat.places()), (Some(old), Some(new)) if old != new);
    flag || moved || known.kthread && !stat.is_kthread()
}

#[cfg(test)]
mod tests;

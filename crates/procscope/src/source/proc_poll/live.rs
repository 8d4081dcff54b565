use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashSet};
use std::io;
use std::mem::MaybeUninit;
use std::ops::{ControlFlow, RangeInclusive};
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use rustc_hash::FxHashMap;
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Mode, OFlags, RawDir};
use rustix::io::Errno;
use rustix::thread::CapabilitySet;

use super::decode::{decode_hidepid, decode_last_pid, decode_pid, pids_between, place_of_pids};
use super::ledger::{Holder, Ledger};
use super::tracker::{End, Judgement, Sight, Tracker, is_between, is_loading, settle};
use super::{EVENTS, pidfd};
use crate::launch::Held;
use crate::pipeline::{Outlet, Pipeline};
use crate::source::cgroups::resolve_cgroups;
use crate::source::look::{Depth, Look};
use crate::source::proc_files::look_between;
use crate::source::stop::Stop;
use crate::source::{Source, foreign_proc, parents_alone};
use crate::sys::proc_pid::Stat;
use crate::sys::{self, ProcDir};
use crate::{
    Cause, EnvWanted, Error, Flaw, KIND_COUNT, Kind, Obstacle, Pid, SourceId, StartTime, Timestamp, Verdict, Want,
};

/// How long it waits where something happened, and where nothing does, each time twice as long.
const SHORTEST: Duration = Duration::from_millis(1);
const LONGEST: Duration = Duration::from_millis(8);
/// It rests this many times as long as it worked: a tenth of a CPU at most, and a fiftieth when nothing happens.
const REST_BUSY: u32 = 9;
const REST_QUIET: u32 = 49;
/// The longest rest, whatever the work was.
const LONGEST_REST: Duration = Duration::from_millis(500);
/// How often all of /proc is listed where that is not needed for what the mark tells.
const FULL_EVERY_NS: u64 = 1_000_000_000;
/// A process is looked at again when its age has grown by a quarter, but within these.
const AGAIN_SOONEST_NS: u64 = 1_000_000;
const AGAIN_LATEST_NS: u64 = 1_000_000_000;
/// So many of them are looked at in a round: it rests many times as long as it worked, and that is to be no long time at once.
const MOST_DUE: usize = 16;
/// How often it tells how many were missed.
const MISSED_EVERY_NS: u64 = 1_000_000_000;
/// How long an end waits for the status that the kernel tells once the parent has been told.
const STATUS_WITHIN_NS: u64 = 1_000_000_000;
/// So many processes are looked at thoroughly in a round; those beyond are asked for their arguments alone.
const THOROUGH: usize = 40;
/// Descriptors that are left to others, and the most that are taken.
const SPARE_FDS: u64 = 128;
const MOST_GUARDS: u64 = 16_384;
/// A list of all of /proc takes a few of these.
const LIST_BYTES: usize = 64 << 10;

fn unavailable(what: impl Into<String>, cause: Cause, remedy: impl Into<String>) -> Obstacle {
    Obstacle { what: what.into(), cause, remedy: remedy.into() }
}

/// `ptrace(2)`, access mode PTRACE_MODE_READ_FSCREDS.
fn reads_others() -> bool {
    sys::has_capabilities(CapabilitySet::SYS_PTRACE)
}

fn no_proc() -> Option<Obstacle> {
    let unmounted = || {
        unavailable(
            "/proc is not mounted, and it is all that proc-poll has",
            Cause::NotConfigured,
            "mount it: mount -t proc proc /proc",
        )
    };
    sys::list_processes().is_empty().then(|| sys::limit_at_proc().unwrap_or_else(unmounted))
}

fn hides_others() -> bool {
    let hidden = std::fs::read("/proc/self/mountinfo").is_ok_and(|mounts| decode_hidepid(&mounts));
    hidden && ProcDir::open(1).and_then(|dir| dir.stat()).is_none()
}

const HIDDEN: &str = "other users' processes are hidden: /proc is mounted with hidepid";

pub(super) fn probe() -> Verdict {
    if let Some(obstacle) = no_proc() {
        return Verdict::Unavailable(obstacle);
    }
    let mut obstacles = Vec::new();
    if sys::proc_has_own_pids() != Some(true) {
        obstacles.push(unavailable(
            "the status of most ends is missing, ends are seen late, and nobody counts who was missed: /proc is that of another pid \
             namespace",
            Cause::NotConfigured,
            "mount it anew: mount -t proc proc /proc",
        ));
    }
    if hides_others() {
        obstacles.push(unavailable(HIDDEN, Cause::Privilege, "sudo mount -o remount,hidepid=0 /proc"));
    }
    if !reads_others() {
        obstacles.push(unavailable(
            "the programs' paths, directories and environments of other users' processes may not be read",
            Cause::Privilege,
            "run it as root: sudo procscope --source proc-poll",
        ));
    }
    if obstacles.is_empty() { Verdict::Ready } else { Verdict::Degraded(obstacles) }
}

/// Tells which pid was given out last.
struct Mark(OwnedFd);

impl Mark {
    /// `None` where it does not tell at once of a new thread: gVisor's is empty, that of LXCFS is late.
    fn open() -> Option<Self> {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        let mark = Self(rustix::fs::open("/proc/loadavg", flags, Mode::empty()).ok()?);
        for _ in 0..2 {
            let before = mark.read()?;
            let thread = std::thread::Builder::new().spawn(rustix::thread::gettid).ok()?;
            let tid = thread.join().ok()?.as_raw_nonzero().get().unsigned_abs();
            let after = mark.read()?;
            let told = pids_between(before, after, Pid::MAX).into_iter().any(|range| range.contains(&tid));
            if !told {
                return None;
            }
        }
        Some(mark)
    }

    fn read(&self) -> Option<Pid> {
        let mut line = [0; 128];
        let len = rustix::io::pread(&self.0, &mut line, 0).ok()?;
        decode_last_pid(&line[..len])
    }
}

/// /proc as a list.
struct List {
    dir: OwnedFd,
    buffer: Vec<MaybeUninit<u8>>,
    /// Where in it a pid stands, less the pid.
    place: Option<u64>,
}

impl List {
    fn open() -> io::Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let dir = rustix::fs::open("/proc", flags, Mode::empty())?;
        let mut list = Self { dir, buffer: vec![MaybeUninit::uninit(); LIST_BYTES], place: None };
        let mut entries = Vec::new();
        list.read(0, |pid, place| {
            entries.push((pid, place));
            true
        })?;
        list.place = place_of_pids(&entries);
        Ok(list)
    }

    /// Gives pids from this place on, each with the place behind it, while they are wanted.
    fn read(&mut self, from: u64, mut take: impl FnMut(Pid, u64) -> bool) -> io::Result<()> {
        rustix::fs::seek(&self.dir, rustix::fs::SeekFrom::Start(from))?;
        let mut entries = RawDir::new(&self.dir, &mut self.buffer);
        while let Some(entry) = entries.next() {
            let entry = entry?;
            if let Some(pid) = decode_pid(entry.file_name().to_bytes())
                && !take(pid, entry.next_entry_cookie())
            {
                break;
            }
        }
        Ok(())
    }

    fn all(&mut self) -> io::Result<Vec<Pid>> {
        let mut pids = Vec::new();
        self.read(0, |pid, _| {
            pids.push(pid);
            true
        })?;
        Ok(pids)
    }

    /// Those in these ranges, and where the last is behind all that were given out, beyond it too.
    fn within(&mut self, ranges: &[RangeInclusive<Pid>]) -> io::Result<Vec<Pid>> {
        let Some(offset) = self.place else {
            return self.all();
        };
        let mut pids = Vec::new();
        for range in ranges {
            let last = range.end().saturating_add(BEYOND);
            self.read(offset + u64::from(*range.start()), |pid, _| {
                if pid <= last {
                    pids.push(pid);
                }
                pid <= last
            })?;
        }
        Ok(pids)
    }
}

/// Who came since the mark was read stands behind it.
const BEYOND: Pid = 256;

/// An end that is known, and its status not yet.
struct Ending {
    pid: Pid,
    end: End,
    until_ns: u64,
}

pub(super) struct Live {
    want: Want,
    env: bool,
    tracker: Tracker,
    list: List,
    /// Whom to tell of only a thorough look says.
    chosen_by_look: bool,
    /// The /proc that is seen is that of the own pid namespace, so that its pids are those of system calls.
    own_pids: bool,
    mark: Option<Mark>,
    ledger: Ledger,
    /// Whether the kernel tells who has a pid.
    answers: bool,
    /// Those whose end was told of, and who are still there to be waited for.
    dead: FxHashMap<Pid, StartTime>,
    /// Those who ran when it was opened.
    sights: Vec<Sight>,
    epoll: OwnedFd,
    guards: FxHashMap<Pid, OwnedFd>,
    most_guards: usize,
    tells_status: bool,
    endings: Vec<Ending>,
    /// When to look at whom again.
    due: BinaryHeap<Reverse<(u64, Pid, StartTime)>>,
    /// When it was told of last how many were missed.
    missed_told_ns: u64,
    scanned_ns: u64,
    listed_ns: u64,
    interval: Duration,
    held: Option<std::sync::Arc<Held>>,
    attached_ns: u64,
    attached: Timestamp,
    notes: Vec<String>,
    surprises: Vec<String>,
    cgroup_paths: Vec<String>,
}

fn may_open_guards() -> usize {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current.unwrap_or(u64::MAX);
    limit.saturating_sub(SPARE_FDS).min(MOST_GUARDS) as usize
}

fn most_pid() -> Pid {
    let read = std::fs::read_to_string("/proc/sys/kernel/pid_max").ok();
    read.and_then(|most| most.trim().parse::<Pid>().ok()).map_or(Pid::MAX >> 1, |most| most.saturating_sub(1))
}

impl Live {
    pub(super) fn open(want: &Want) -> Result<Self, Error> {
        let source_id = SourceId::ProcPoll;
        if let Some(obstacle) = no_proc() {
            return Err(Error::Unavailable { source_id, obstacle });
        }
        let cgroups = resolve_cgroups(want)?;
        let system = |what| move |error: Errno| Error::System { what, error: error.into() };
        let epoll = epoll::create(CreateFlags::CLOEXEC).map_err(system("making an epoll descriptor"))?;
        let list = List::open().map_err(|error| Error::Source { source_id, what: "listing /proc", error })?;
        let own_pids = sys::proc_has_own_pids() == Some(true);
        if !own_pids && want.held.is_some() {
            return Err(Error::Unavailable { source_id, obstacle: foreign_proc() });
        }
        let mark = own_pids.then(Mark::open).flatten();
        let env = want.env != EnvWanted::No;
        let ids = want.events.contains(Kind::Uid) || want.events.contains(Kind::Gid);
        let attached_ns = sys::now_boot_ns();
        let mut live = Self {
            want: want.clone(),
            env,
            tracker: Tracker::new(env, ids),
            list,
            chosen_by_look: !(want.uids.is_empty() && want.cgroups.is_empty() && want.containers.is_empty())
                || want.filter.is_some(),
            own_pids,
            ledger: Ledger::new(mark.as_ref().and_then(Mark::read), most_pid()),
            mark,
            answers: who_has(NOBODYS) == Holder::Nobody && who_has(std::process::id()) == Holder::Process,
            dead: FxHashMap::default(),
            sights: Vec::new(),
            epoll,
            guards: FxHashMap::default(),
            most_guards: may_open_guards(),
            tells_status: pidfd::tells_status(),
            endings: Vec::new(),
            due: BinaryHeap::new(),
            missed_told_ns: attached_ns,
            scanned_ns: attached_ns,
            listed_ns: attached_ns,
            interval: SHORTEST,
            held: want.held.clone(),
            attached_ns,
            attached: sys::clock().wall(attached_ns),
            notes: Vec::new(),
            surprises: Vec::new(),
            cgroup_paths: [cgroups.unified_paths, cgroups.paths].concat(),
        };
        live.see_all().map_err(|error| Error::Source { source_id, what: "listing /proc", error })?;
        live.note();
        Ok(live)
    }

    fn note(&mut self) {
        let missing = self.want.events.iter().filter(|kind| !EVENTS.contains(*kind) && *kind != Kind::Lost);
        let missing = missing.map(Kind::name).collect::<Vec<_>>();
        if !missing.is_empty() {
            self.notes.push(format!("{} events are missing: /proc does not show them", missing.join(", ")));
        }
        self.notes.extend(parents_alone(&self.want));
        if !reads_others() {
            self.notes.push(
                "the programs' paths, directories and environments of other users' processes are missing: CAP_SYS_PTRACE \
                 reads them"
                    .to_owned(),
            );
        }
        if hides_others() {
            self.surprises.push(HIDDEN.to_owned());
        }
        if self.mark.is_none() {
            let why =
                if self.own_pids { "/proc/loadavg does not tell of pids" } else { "/proc is of another pid namespace" };
            self.surprises.push(format!("processes that are missed are not counted: {why}"));
        }
        if !self.own_pids || pidfd::open(std::process::id()).is_none() {
            self.surprises.push("ends are seen late: processes cannot be waited for here".to_owned());
        }
    }

    /// Looks at a process that is not known, and puts a guard at it.
    fn look(&mut self, pid: Pid, depth: Depth) -> Option<(Sight, Option<OwnedFd>)> {
        let dir = ProcDir::open(pid)?;
        let guard = (self.own_pids && self.guards.len() < self.most_guards).then(|| pidfd::open(pid)).flatten();
        // What is read now has not been waited for yet, so the descriptor is its own and no later one's.
        Some((sight(&dir, pid, depth)?, guard))
    }

    fn depth(&self, looked: usize) -> Depth {
        match looked {
            _ if self.env => Depth::Env,
            looked if looked > THOROUGH && !self.chosen_by_look => Depth::Brief,
            _ => Depth::Full,
        }
    }

    fn guard(&mut self, pid: Pid, guard: Option<OwnedFd>) {
        self.guards.remove(&pid);
        let Some(guard) = guard else { return };
        let flags = EventFlags::IN | EventFlags::ONESHOT;
        if epoll::add(&self.epoll, &guard, EventData::new_u64(u64::from(pid)), flags).is_ok() {
            self.guards.insert(pid, guard);
        }
    }

    /// Has a process looked at again, as soon as can be where its program is being loaded.
    fn expect(&mut self, pid: Pid, start: StartTime, now_ns: u64, loading: bool) {
        let age_ns = if loading { 0 } else { now_ns.saturating_sub(start.boot_ns()) };
        let due_ns = now_ns + (age_ns / 4).clamp(AGAIN_SOONEST_NS, AGAIN_LATEST_NS);
        self.due.push(Reverse((due_ns, pid, start)));
    }

    /// Looks at those who run already.
    fn see_all(&mut self) -> io::Result<()> {
        let depth = self.depth(0);
        let most = self.most_guards;
        // The rest is for those to come.
        self.most_guards = most / 2;
        let mut seen = Vec::new();
        for pid in self.list.all()? {
            seen.extend(self.look(pid, depth));
        }
        // Those who came meanwhile are for the first round to tell of.
        let since = self.mark.as_ref().and_then(Mark::read).map(|mark| self.ledger.until(mark)).unwrap_or_default();
        let attached = StartTime::from_boot_ns(self.attached_ns);
        for (sight, guard) in seen {
            let (pid, start) = (sight.pid, sight.stat.start);
            if start >= attached && since.iter().any(|range| range.contains(&pid)) {
                continue;
            }
            if sight.stat.has_ended() && sight.stat.threads <= 1 {
                self.dead.insert(pid, start);
                continue;
            }
            self.guard(pid, guard.filter(|_| !sight.stat.is_kthread()));
            self.sights.push(sight);
        }
        self.most_guards = most;
        Ok(())
    }

    /// Tells of them.
    fn begin(&mut self, out: &mut Outlet<'_>) -> ControlFlow<()> {
        out.set_clock(sys::clock());
        let sights = std::mem::take(&mut self.sights);
        self.tracker.begin(&sights, &mut |record| out.push(record));
        out.plant(self.tracker.descendants(&self.want.trees));
        for sight in &sights {
            self.expect(sight.pid, sight.stat.start, sight.read_ns, sight.loading);
        }
        self.tracker.tell(sights, self.attached_ns, &mut |record| out.push(record))
    }

    /// Tells of who is new among these pids. Gives how many there were.
    fn meet(&mut self, pids: Vec<Pid>, out: &mut Outlet<'_>) -> ControlFlow<(), usize> {
        let mut new: Vec<Pid> = Vec::new();
        for pid in pids {
            if !self.tracker.knows(pid) {
                new.push(pid);
                continue;
            }
            // Given out since the last time, it may be another one's by now.
            if !self.ledger.is_due(pid) {
                continue;
            }
            match self.guards.get(&pid) {
                None => {
                    self.look_again(pid, out)?;
                    if self.tracker.knows(pid) {
                        self.ledger.meet(pid);
                    }
                }
                Some(guard) if !pidfd::has_ended(guard) => self.ledger.meet(pid),
                Some(_) => {
                    self.end(pid, sys::now_boot_ns(), Flaw::Estimated, out)?;
                    self.settle_endings(u64::MAX, out)?;
                    new.push(pid);
                }
            }
        }
        let mut met = Vec::with_capacity(new.len());
        // The latest first: who has lived longest has a reason to live on.
        for pid in new.into_iter().rev() {
            let depth = self.depth(met.len());
            let Some((sight, guard)) = self.look(pid, depth) else { continue };
            if self.dead.get(&pid) != Some(&sight.stat.start) {
                met.push((sight, guard));
            } else if self.ledger.is_due(pid) {
                // It was told of, and has its pid still.
                self.ledger.meet(pid);
            }
        }
        // Of one tick, they stand in the order of their pids.
        met.reverse();
        met.sort_by_key(|(sight, _)| sight.stat.start);
        let count = met.len();
        for (sight, guard) in met {
            self.welcome(sight, guard, out)?;
        }
        ControlFlow::Continue(count)
    }

    fn welcome(&mut self, sight: Sight, guard: Option<OwnedFd>, out: &mut Outlet<'_>) -> ControlFlow<()> {
        let (pid, start) = (sight.pid, sight.stat.start);
        self.ledger.meet(pid);
        self.expect(pid, start, sight.read_ns, sight.loading);
        self.guard(pid, guard);
        self.refresh(sight.stat.ppid, sight.read_ns, out)?;
        self.tracker.born(sight, self.scanned_ns, &mut |record| out.push(record))?;
        self.ledger.count(out.take_undecided());
        ControlFlow::Continue(())
    }

    /// Looks at whom the last round did not meet: who may have come since, or have been on the way.
    fn ask(&mut self) -> Vec<Pid> {
        let answers = self.answers;
        self.ledger.ask(|pid| if answers { who_has(pid) } else { Holder::Nobody })
    }

    /// Tells how many were missed since the last time.
    fn tell_missed(&mut self, now_ns: u64, out: &mut Outlet<'_>) -> ControlFlow<()> {
        if now_ns - self.missed_told_ns < MISSED_EVERY_NS {
            return ControlFlow::Continue(());
        }
        let missed = self.ledger.take_missed();
        if missed == 0 {
            return ControlFlow::Continue(());
        }
        self.missed_told_ns = now_ns;
        let mut counts = [0; KIND_COUNT];
        counts[Kind::Lost as usize] = missed;
        out.miss(counts)
    }

    /// Looks for new processes. Gives how many there were.
    fn scan(&mut self, now_ns: u64, out: &mut Outlet<'_>) -> io::Result<ControlFlow<(), usize>> {
        self.ledger.begin(self.mark.as_ref().and_then(Mark::read));
        let asked = self.ask();
        let unguarded = self.mark.is_none() || self.guards.len() < self.tracker.guardable();
        let full = unguarded || now_ns - self.listed_ns >= FULL_EVERY_NS;
        let mut pids = asked;
        let mut gone = Vec::new();
        if full {
            let all = self.list.all()?;
            self.listed_ns = now_ns;
            let here: HashSet<Pid> = all.iter().copied().collect();
            self.dead.retain(|pid, _| here.contains(pid));
            gone.extend(self.tracker.pids().filter(|pid| !here.contains(pid)));
            pids.retain(|pid| !here.contains(pid));
            pids.extend(all);
        } else if !self.ledger.ranges().is_empty() {
            pids.extend(self.list.within(self.ledger.ranges())?);
        }
        let ControlFlow::Continue(count) = self.meet(pids, out) else { return Ok(ControlFlow::Break(())) };
        for pid in gone {
            if !self.guards.contains_key(&pid) && self.end(pid, now_ns, Flaw::Estimated, out).is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
        self.scanned_ns = now_ns;
        if full {
            self.ledger.close();
        }
        self.ledger.end();
        if self.tell_missed(now_ns, out).is_break() {
            return Ok(ControlFlow::Break(()));
        }
        Ok(ControlFlow::Continue(count))
    }

    /// Looks at those who were not looked at for long.
    fn look_at_due(&mut self, now_ns: u64, out: &mut Outlet<'_>) -> ControlFlow<()> {
        let mut looked = 0;
        while let Some(&Reverse((due_ns, pid, start))) = self.due.peek() {
            if due_ns > now_ns || looked == MOST_DUE {
                break;
            }
            self.due.pop();
            if self.tracker.start(pid) != Some(start) {
                continue;
            }
            looked += 1;
            let loading = self.look_again(pid, out)?;
            if self.tracker.start(pid) == Some(start) {
                self.expect(pid, start, now_ns, loading);
            }
        }
        ControlFlow::Continue(())
    }

    /// Looks again at a process that another one is about to name, unless it was looked at since then.
    fn refresh(&mut self, pid: Pid, since_ns: u64, out: &mut Outlet<'_>) -> ControlFlow<()> {
        if !self.tracker.is_stale(pid, since_ns) {
            return ControlFlow::Continue(());
        }
        let read = ProcDir::open(pid).and_then(|dir| dir.stat().map(|stat| (dir, stat)));
        let Some((dir, stat)) = read else { return ControlFlow::Continue(()) };
        let now_ns = sys::now_boot_ns();
        match self.tracker.judge(pid, &stat) {
            Judgement::Other => ControlFlow::Continue(()),
            Judgement::Ended => {
                self.tracker.confirm(pid, &stat, now_ns);
                ControlFlow::Continue(())
            }
            Judgement::Same => self.tracker.touch(pid, &stat, now_ns, &mut |record| out.push(record)),
            Judgement::Look => match sight(&dir, pid, self.depth(0)) {
                Some(sight) => self.tracker.again(sight, &mut |record| out.push(record)),
                None => ControlFlow::Continue(()),
            },
        }
    }

    /// Tells of what changed of a process. Gives whether its program is being loaded.
    fn look_again(&mut self, pid: Pid, out: &mut Outlet<'_>) -> ControlFlow<(), bool> {
        let now_ns = sys::now_boot_ns();
        let mut loading = false;
        let Some((dir, stat)) = ProcDir::open(pid).and_then(|dir| dir.stat().map(|stat| (dir, stat))) else {
            return self.gone(pid, now_ns, out).map_continue(|()| loading);
        };
        match self.tracker.judge(pid, &stat) {
            Judgement::Other => {
                self.end(pid, now_ns, Flaw::Estimated, out)?;
                if let Some((sight, guard)) = self.look(pid, self.depth(0)) {
                    self.welcome(sight, guard, out)?;
                }
            }
            // Its guard tells when.
            Judgement::Ended if self.guards.contains_key(&pid) => {}
            Judgement::Ended => self.end(pid, now_ns, Flaw::Estimated, out)?,
            Judgement::Same => self.tracker.touch(pid, &stat, now_ns, &mut |record| out.push(record))?,
            Judgement::Look => {
                if let Some(sight) = sight(&dir, pid, self.depth(0)) {
                    loading = sight.loading;
                    self.refresh(sight.stat.ppid, sight.read_ns, out)?;
                    self.tracker.again(sight, &mut |record| out.push(record))?;
                }
            }
        }
        ControlFlow::Continue(loading)
    }

    fn gone(&mut self, pid: Pid, now_ns: u64, out: &mut Outlet<'_>) -> ControlFlow<()> {
        if self.guards.contains_key(&pid) {
            return ControlFlow::Continue(());
        }
        self.end(pid, now_ns, Flaw::Estimated, out)
    }

    /// A process has ended: tells so, or notes it until its status is known.
    fn end(&mut self, pid: Pid, boot_ns: u64, time: Flaw, out: &mut Outlet<'_>) -> ControlFlow<()> {
        let Some(start) = self.tracker.start(pid) else { return ControlFlow::Continue(()) };
        let left = ProcDir::open(pid).and_then(|dir| remains(&dir, start));
        let (stat, mut wait_status) = left.map_or((None, None), |(stat, status)| (Some(stat), status));
        if stat.is_some() {
            self.dead.insert(pid, start);
        }
        if let Some(held) = self.held.as_ref().filter(|held| held.pid() == pid) {
            wait_status = wait_status.or_else(|| held.command().wait_status());
        }
        let parent = stat.as_ref().map(|stat| stat.ppid).or_else(|| self.tracker.parent(pid));
        let end = End { boot_ns, time, wait_status, stat };
        self.refresh(parent.unwrap_or_default(), boot_ns, out)?;
        let guard = self.guards.get(&pid);
        if end.wait_status.is_none() && self.tells_status && guard.is_some() {
            self.endings.push(Ending { pid, end, until_ns: boot_ns + STATUS_WITHIN_NS });
            return ControlFlow::Continue(());
        }
        self.guards.remove(&pid);
        self.tracker.ended(pid, &end, &mut |record| out.push(record))
    }

    /// Tells of ends whose status has come, or will not.
    fn settle_endings(&mut self, now_ns: u64, out: &mut Outlet<'_>) -> ControlFlow<()> {
        let mut waiting = std::mem::take(&mut self.endings).into_iter();
        for mut it in waiting.by_ref() {
            it.end.wait_status = self.guards.get(&it.pid).and_then(pidfd::wait_status);
            if it.end.wait_status.is_none() && now_ns < it.until_ns {
                self.endings.push(it);
                continue;
            }
            self.guards.remove(&it.pid);
            self.tracker.ended(it.pid, &it.end, &mut |record| out.push(record))?;
        }
        ControlFlow::Continue(())
    }

    /// Takes the ends that guards tell of. Gives how many.
    fn take_ends(&mut self, time: Flaw, out: &mut Outlet<'_>) -> io::Result<ControlFlow<(), usize>> {
        let mut events = Vec::with_capacity(256);
        let mut count = 0;
        loop {
            match epoll::wait(&self.epoll, rustix::buffer::spare_capacity(&mut events), Some(&Timespec::default())) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
            if events.is_empty() {
                return Ok(ControlFlow::Continue(count));
            }
            let now_ns = sys::now_boot_ns();
            for event in events.drain(..) {
                count += 1;
                let pid = { event.data }.u64() as Pid;
                if self.end(pid, now_ns, time, out).is_break() {
                    return Ok(ControlFlow::Break(()));
                }
            }
        }
    }

    fn round(&mut self, time: Flaw, out: &mut Outlet<'_>) -> io::Result<ControlFlow<(), usize>> {
        out.set_clock(sys::clock());
        let now_ns = sys::now_boot_ns();
        let ControlFlow::Continue(met) = self.scan(now_ns, out)? else { return Ok(ControlFlow::Break(())) };
        let ControlFlow::Continue(ended) = self.take_ends(time, out)? else { return Ok(ControlFlow::Break(())) };
        if self.look_at_due(now_ns, out).is_break() || self.settle_endings(sys::now_boot_ns(), out).is_break() {
            return Ok(ControlFlow::Break(()));
        }
        Ok(ControlFlow::Continue(met + ended))
    }

    fn pump(&mut self, out: &mut Outlet<'_>, stop: &Stop) -> io::Result<()> {
        if self.begin(out).is_break() || out.batch_end().is_break() {
            return Ok(());
        }
        let mut time = Flaw::Estimated;
        loop {
            let stopping = stop.is_stopped();
            let before = sys::thread_cpu_time();
            let ControlFlow::Continue(count) = self.round(time, out)? else { return Ok(()) };
            if out.batch_end().is_break() {
                return Ok(());
            }
            if stopping {
                return self.finish(out);
            }
            // Pids were given out: to those who were missed, or are on their way.
            let busy = count > 0 || !self.ledger.ranges().is_empty();
            self.interval = if busy || self.ledger.is_open() { SHORTEST } else { (self.interval * 2).min(LONGEST) };
            let used = sys::thread_cpu_time().saturating_sub(before);
            let rest = (used * if busy { REST_BUSY } else { REST_QUIET }).min(LONGEST_REST);
            time = self.wait(rest, stop)?;
        }
    }

    /// What has ended is told of, status or not, and who is to be seen yet.
    fn finish(&mut self, out: &mut Outlet<'_>) -> io::Result<()> {
        self.ledger.begin(None);
        let asked = self.ask();
        let _ = self.meet(asked, out);
        self.ledger.end();
        self.ledger.close();
        let _ = self.settle_endings(u64::MAX, out);
        let _ = self.tell_missed(u64::MAX, out);
        let _ = out.batch_end();
        Ok(())
    }

    /// Rests, then waits for the next round. Says how the time of an end is to be taken that shows now.
    fn wait(&self, rest: Duration, stop: &Stop) -> io::Result<Flaw> {
        // A short one does not tire anybody.
        let slack = SHORTEST;
        if rest > slack {
            wait([stop.fd()], rest)?;
            if stop.is_stopped() || rest > self.interval {
                return Ok(Flaw::Estimated);
            }
        }
        wait([stop.fd(), self.epoll.as_fd()], self.interval)?;
        Ok(Flaw::ReadLate)
    }
}

/// A pid that is higher than any may be: `PID_MAX_LIMIT` in `include/linux/threads.h`.
const NOBODYS: Pid = 1 << 30;

/// Who has this pid: whoever it is, no signal is sent.
fn who_has(pid: Pid) -> Holder {
    let Some(id) = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw) else { return Holder::Nobody };
    let is_in_use = || matches!(rustix::process::test_kill_process(id), Ok(()) | Err(Errno::PERM));
    if !is_in_use() {
        Holder::Nobody
    } else if pidfd::leads(pid) {
        Holder::Process
    } else if is_in_use() {
        Holder::Thread
    } else {
        // It may have been a process until now.
        Holder::Nobody
    }
}

fn sight(dir: &ProcDir, pid: Pid, depth: Depth) -> Option<Sight> {
    let file = dir.open_file(c"stat")?;
    for _ in 0..3 {
        let first = file.stat()?;
        let (look, code_kib) = look_between(dir, &first, depth);
        if let Some((stat, look)) = settle(&first, look, file.stat().as_ref()) {
            let loading = is_loading(&stat, &look, code_kib);
            return Some(Sight { pid, read_ns: sys::now_boot_ns(), stat, look, code_kib, loading });
        }
    }
    // It executes one program after the other: which one stays is to be seen.
    let (stat, look) = (file.stat()?, Look::default());
    let loading = is_between(&stat);
    Some(Sight { pid, read_ns: sys::now_boot_ns(), stat, look, code_kib: 0, loading })
}

/// What is left of a process that has ended, and how it ended where that may be known.
fn remains(dir: &ProcDir, start: StartTime) -> Option<(Stat, Option<u32>)> {
    let stat = dir.stat().filter(|stat| stat.start == start && stat.has_ended())?;
    // To those who may not know, the status is 0; and what a link leads to is refused, instead of not there.
    let known = stat.wait_status != 0 || dir.link_error(c"cwd") == Some(Errno::NOENT);
    let status = known.then_some(stat.wait_status);
    Some((stat, status))
}

/// Waits until one of them can be read.
fn wait<const N: usize>(fds: [std::os::fd::BorrowedFd<'_>; N], time: Duration) -> io::Result<()> {
    let timeout = Timespec { tv_sec: time.as_secs() as i64, tv_nsec: i64::from(time.subsec_nanos()) };
    match poll(&mut fds.map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN)), Some(&timeout)) {
        Ok(_) | Err(Errno::INTR) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

impl Source for Live {
    fn attached(&self) -> Timestamp {
        self.attached
    }

    fn notes(&self) -> Vec<String> {
        [&self.notes[..], &self.surprises].concat()
    }

    fn surprises(&self) -> Vec<String> {
        self.surprises.clone()
    }

    /// It reads other users' processes.
    fn rights(&self) -> &'static [&'static str] {
        &["CAP_SYS_PTRACE"]
    }

    fn prepare(&self, pipeline: &mut Pipeline) {
        pipeline.choose(&self.want);
        pipeline.filter_cgroup_paths(self.cgroup_paths.clone());
    }

    fn run(&mut self, out: &mut Outlet<'_>, stop: &Stop) -> Result<(), Error> {
        let fail = |error| Error::Source { source_id: SourceId::ProcPoll, what: "reading /proc", error };
        self.pump(out, stop).map_err(fail)
    }
}

mod ends;
mod looks;
mod pids;
mod probe;

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashSet};
use std::io;
use std::ops::ControlFlow;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use rustc_hash::FxHashMap;
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

use super::ledger::{Holder, Ledger};
use super::tracker::{Sight, Tracker};
use super::{EVENTS, pidfd};
use crate::launch::Held;
use crate::proc::{List, Mark, most_pid};
use crate::source::cgroups::resolve_cgroups;
use crate::source::intake::Intake;
use crate::source::stop::Stop;
use crate::source::{Attached, Left, Source, foreign_proc, not_reported, note, parents_alone};
use crate::{EnvWanted, Error, EventSet, Flaw, Kind, Lack, Lost, Note, Pid, SourceId, StartTime, Want, sys};
use ends::Ending;
use pids::{NOBODYS, who_has};
pub(super) use probe::probe;
use probe::{hides_others, no_proc, reads_others};

/// How long it waits after an event, and without events, each time twice as long.
const SHORTEST: Duration = Duration::from_millis(1);
const LONGEST: Duration = Duration::from_millis(8);
/// It rests this many times as long as it worked: a tenth of a CPU at most, and a fiftieth if
/// nothing happens.
const REST_BUSY: u32 = 9;
const REST_QUIET: u32 = 49;
/// The longest rest, whatever the work was.
const LONGEST_REST: Duration = Duration::from_millis(500);
/// How often all of /proc is listed even if the mark does not require it.
const FULL_EVERY_NS: u64 = 1_000_000_000;
/// How often it reports the number of missed processes.
const MISSED_EVERY_NS: u64 = 1_000_000_000;
/// Descriptors that are left to others, and the most that are used.
const SPARE_FDS: u64 = 128;
const MOST_GUARDS: u64 = 16_384;

pub(super) struct Live {
    want: Want,
    env: bool,
    tracker: Tracker,
    list: List,
    /// Only a complete look shows whether to report a process.
    chosen_by_look: bool,
    /// The visible /proc is that of our own pid namespace, so its pids are those of system calls.
    own_pids: bool,
    mark: Option<Mark>,
    ledger: Ledger,
    /// Whether the kernel says which process has a pid.
    answers: bool,
    /// Those whose end was reported, and that were not waited for yet.
    dead: FxHashMap<Pid, StartTime>,
    /// The processes that ran when it was opened.
    sights: Vec<Sight>,
    epoll: OwnedFd,
    guards: FxHashMap<Pid, OwnedFd>,
    most_guards: usize,
    tells_status: bool,
    endings: Vec<Ending>,
    /// When to read which process again.
    due: BinaryHeap<Reverse<(u64, Pid, StartTime)>>,
    /// When it last reported the number of missed processes.
    missed_told_ns: u64,
    scanned_ns: u64,
    listed_ns: u64,
    interval: Duration,
    held: Option<std::sync::Arc<Held>>,
    attached_ns: u64,
}

fn may_open_guards() -> usize {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current.unwrap_or(u64::MAX);
    limit.saturating_sub(SPARE_FDS).min(MOST_GUARDS) as usize
}

impl Live {
    pub(super) fn open(want: &Want) -> Result<Attached, Error> {
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
        };
        live.see_all().map_err(|error| Error::Source { source_id, what: "listing /proc", error })?;
        Ok(Attached {
            since: sys::clock().wall(attached_ns),
            notes: live.notes(),
            surprises: live.surprises(),
            unavailable: EventSet::NONE,
            // It reads other users' processes.
            rights: &["CAP_SYS_PTRACE"],
            left: Left { processes: true, cgroup_paths: [cgroups.unified_paths, cgroups.paths].concat() },
            source: Box::new(live),
        })
    }

    /// What it cannot do here.
    fn notes(&self) -> Vec<Note> {
        let mut notes: Vec<_> = not_reported(&self.want, SourceId::ProcPoll, EVENTS).into_iter().collect();
        notes.extend(parents_alone(&self.want));
        notes.extend((!reads_others()).then(|| note(Lack::OtherUsersFields)));
        notes
    }

    /// The same, where its cost does not say it.
    fn surprises(&self) -> Vec<Note> {
        let mut surprises = Vec::new();
        if hides_others() {
            surprises.push(note(Lack::HiddenProcesses));
        }
        if self.mark.is_none() {
            let why = if self.own_pids { Lack::NoLastPid } else { Lack::ForeignProc };
            surprises.push(note(Lack::UncountedProcesses { why: why.into() }));
        }
        if !self.own_pids || pidfd::open(std::process::id()).is_none() {
            surprises.push(note(Lack::LateEnds));
        }
        surprises
    }

    fn guard(&mut self, pid: Pid, guard: Option<OwnedFd>) {
        self.guards.remove(&pid);
        let Some(guard) = guard else { return };
        let flags = EventFlags::IN | EventFlags::ONESHOT;
        if epoll::add(&self.epoll, &guard, EventData::new_u64(u64::from(pid)), flags).is_ok() {
            self.guards.insert(pid, guard);
        }
    }

    /// Reads the processes that are already running.
    fn see_all(&mut self) -> io::Result<()> {
        let depth = self.depth(0);
        let most = self.most_guards;
        // The rest is for new ones.
        self.most_guards = most / 2;
        let mut seen = Vec::new();
        for pid in self.list.all()? {
            seen.extend(self.look(pid, depth));
        }
        // Processes that came meanwhile are reported by the first round.
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

    /// Reports them.
    fn begin(&mut self, out: &mut dyn Intake) -> ControlFlow<()> {
        out.set_clock(sys::clock());
        let sights = std::mem::take(&mut self.sights);
        self.tracker.begin(&sights, &mut |record| out.push(record));
        out.plant(self.tracker.descendants(&self.want.trees));
        for sight in &sights {
            self.expect(sight.pid, sight.stat.start, sight.read_ns, sight.loading);
        }
        self.tracker.tell(sights, self.attached_ns, &mut |record| out.push(record))
    }

    /// Reports the new processes among these pids. Returns how many there were.
    fn meet(&mut self, pids: Vec<Pid>, out: &mut dyn Intake) -> ControlFlow<(), usize> {
        let mut new: Vec<Pid> = Vec::new();
        for pid in pids {
            if !self.tracker.knows(pid) {
                new.push(pid);
                continue;
            }
            // Given out since the last time, it may now be another process's.
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
        // The latest first: old processes tend to live on.
        for pid in new.into_iter().rev() {
            let depth = self.depth(met.len());
            let Some((sight, guard)) = self.look(pid, depth) else { continue };
            if self.dead.get(&pid) != Some(&sight.stat.start) {
                met.push((sight, guard));
            } else if self.ledger.is_due(pid) {
                // It was reported, and still has its pid.
                self.ledger.meet(pid);
            }
        }
        // Within one tick, they are in the order of their pids.
        met.reverse();
        met.sort_by_key(|(sight, _)| sight.stat.start);
        let count = met.len();
        for (sight, guard) in met {
            self.welcome(sight, guard, out)?;
        }
        ControlFlow::Continue(count)
    }

    fn welcome(&mut self, sight: Sight, guard: Option<OwnedFd>, out: &mut dyn Intake) -> ControlFlow<()> {
        let (pid, start) = (sight.pid, sight.stat.start);
        self.ledger.meet(pid);
        self.expect(pid, start, sight.read_ns, sight.loading);
        self.guard(pid, guard);
        self.refresh(sight.stat.ppid, sight.read_ns, out)?;
        self.tracker.born(sight, self.scanned_ns, &mut |record| out.push(record))?;
        self.ledger.count(out.take_undecided());
        ControlFlow::Continue(())
    }

    /// Looks for those that the last round did not find: they may have come since, or have been on
    /// the way.
    fn ask(&mut self) -> Vec<Pid> {
        let answers = self.answers;
        self.ledger.ask(|pid| if answers { who_has(pid) } else { Holder::Nobody })
    }

    /// Reports the number of missed processes since the last time.
    fn tell_missed(&mut self, now_ns: u64, out: &mut dyn Intake) -> ControlFlow<()> {
        if now_ns.saturating_sub(self.missed_told_ns) < MISSED_EVERY_NS {
            return ControlFlow::Continue(());
        }
        let missed = self.ledger.take_missed();
        if missed == 0 {
            return ControlFlow::Continue(());
        }
        self.missed_told_ns = now_ns;
        out.miss(Lost::of(Kind::Lost, missed))
    }

    /// Looks for new processes. Returns how many there were.
    fn scan(&mut self, now_ns: u64, out: &mut dyn Intake) -> io::Result<ControlFlow<(), usize>> {
        self.ledger.begin(self.mark.as_ref().and_then(Mark::read));
        let asked = self.ask();
        let unguarded = self.mark.is_none() || self.guards.len() < self.tracker.guardable();
        let full = unguarded || now_ns.saturating_sub(self.listed_ns) >= FULL_EVERY_NS;
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

    fn round(&mut self, time: Flaw, out: &mut dyn Intake) -> io::Result<ControlFlow<(), usize>> {
        out.set_clock(sys::clock());
        let now_ns = sys::now_boot_ns();
        let ControlFlow::Continue(met) = self.scan(now_ns, out)? else { return Ok(ControlFlow::Break(())) };
        let ControlFlow::Continue(ended) = self.take_ends(time, out)? else { return Ok(ControlFlow::Break(())) };
        if self.look_at_due(now_ns, out).is_break() || self.settle_endings(sys::now_boot_ns(), out).is_break() {
            return Ok(ControlFlow::Break(()));
        }
        Ok(ControlFlow::Continue(met + ended))
    }

    fn pump(&mut self, out: &mut dyn Intake, stop: &Stop) -> io::Result<()> {
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
            // Pids were given out: to missed processes, or to some that are on their way.
            let busy = count > 0 || !self.ledger.ranges().is_empty();
            self.interval = if busy || self.ledger.is_open() { SHORTEST } else { (self.interval * 2).min(LONGEST) };
            let used = sys::thread_cpu_time().saturating_sub(before);
            let rest = (used * if busy { REST_BUSY } else { REST_QUIET }).min(LONGEST_REST);
            time = self.wait(rest, stop)?;
        }
    }

    /// Reports ended processes, with or without a status, and those still to be seen.
    fn finish(&mut self, out: &mut dyn Intake) -> io::Result<()> {
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

    /// Rests, then waits for the next round. Returns how to treat the time of an end that shows
    /// now.
    fn wait(&self, rest: Duration, stop: &Stop) -> io::Result<Flaw> {
        // A short round needs no rest.
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

/// Waits until one of them can be read.
fn wait<const N: usize>(fds: [std::os::fd::BorrowedFd<'_>; N], time: Duration) -> io::Result<()> {
    let timeout = Timespec { tv_sec: time.as_secs() as i64, tv_nsec: i64::from(time.subsec_nanos()) };
    match poll(&mut fds.map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN)), Some(&timeout)) {
        Ok(_) | Err(Errno::INTR) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

impl Source for Live {
    fn run(&mut self, out: &mut dyn Intake, stop: &Stop) -> Result<(), Error> {
        let fail = |error| Error::Source { source_id: SourceId::ProcPoll, what: "reading /proc", error };
        self.pump(out, stop).map_err(fail)
    }
}

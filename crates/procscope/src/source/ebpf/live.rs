use std::collections::HashSet;
use std::io;
use std::ops::ControlFlow;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::time::{Duration, Instant};

use libbpf_rs::{Link, MapCore, MapFlags, Object};
use rustix::event::{Timespec, epoll};

use super::calls::CALLS;
use super::complaints::Complaints;
use super::decode::{decode, is_unasked, losses, lost_before};
use super::object::{
    DEFAULT_RING, calls_missing, command_elsewhere, first_of, load, map, purpose, require_btf, without_proc,
};
use super::ring::{Ring, Shared, Slot};
use super::running::tell_unsure;
use super::tracepoint::{self, Tracefs};
use super::wire::{TWICE, kind};
use crate::record::comm_of;
use crate::record::{Body, Record};
use crate::source::cgroups::resolve_cgroups;
use crate::source::intake::Intake;
use crate::source::stop::Stop;
use crate::source::{Attached, Left, Source, not_reported, note};
use crate::{Counts, Error, EventSet, Kind, Lack, Lost, Note, Pid, SourceId, Want, sys};

/// How long the reader stays away while there are events.
const INTERVAL: Duration = Duration::from_millis(20);
/// The same after an interval without events, if the event that woke the reader is not shown: the
/// exec after a fork is half a millisecond away. Twice as long each time.
const SOON: Duration = Duration::from_millis(1);
/// The same if so many records come at a time that each visit, with cold caches, is worth saving.
const BUSY_INTERVAL: Duration = Duration::from_millis(40);
const BUSY: usize = 200;
/// How long a record may lie that was sent just when the reader went to sleep.
const LINGER: Duration = Duration::from_millis(25);
/// How often a sleeping reader wakes, to count what the kernel skipped.
const ASLEEP: Duration = Duration::from_secs(1);
/// This many records are read before their room is given back.
const RELEASE_EVERY: usize = 64;

/// A program whose skipped runs are counted: the kernel does not run one twice at a time on a CPU.
struct Watched {
    fd: OwnedFd,
    kind: Kind,
    misses: u64,
    /// Its place in [`TWICE`], if a second program makes up for them.
    twice: Option<usize>,
}

/// Attached programs. For each detached tracepoint of a system call the kernel waits for every CPU,
/// so all detach at once.
struct Links(Vec<Link>);

impl Drop for Links {
    fn drop(&mut self) {
        std::thread::scope(|scope| {
            for link in self.0.drain(..) {
                // If there can be no thread, it happens here.
                let _ = std::thread::Builder::new().spawn_scoped(scope, move || drop(link));
            }
        });
    }
}

pub(super) struct Live {
    pub(super) want: Want,
    pub(super) object: Object,
    links: Links,
    watched: Vec<Watched>,
    pub(super) ring: Ring,
    pub(super) shared: Shared,
    epoll: OwnedFd,
    pub(super) attached_ns: u64,
    /// The trees' members when the programs took over, and the place in the ring up to which they had not.
    pub(super) members: HashSet<Pid>,
    pub(super) unfiltered_until: u64,
    /// The processes reported as existing, by pid and start.
    pub(super) existing: HashSet<(Pid, u64)>,
    /// Processes that may have begun before we attached, or just after.
    pub(super) unsure: HashSet<Pid>,
    /// Losses that were reported, by kind.
    told: Counts,
}

impl Live {
    pub(super) fn open(want: &Want) -> Result<Attached, Error> {
        let _kept = Complaints::keep();
        require_btf()?;
        if want.held.is_some() && !sys::in_initial_pid_namespace() {
            return Err(command_elsewhere());
        }
        let cgroups = resolve_cgroups(want)?;
        let (object, ring_bytes) = load(want, &cgroups)?;
        let fail = |what| move |error: io::Error| Error::Source { source_id: SourceId::Ebpf, what, error };

        let fill = |name: &str, keys: Vec<Vec<u8>>| -> Result<(), Error> {
            let filled = map(&object, name).and_then(|map| {
                keys.iter().try_for_each(|key| map.update(key, &[1], MapFlags::ANY).map_err(io::Error::other))
            });
            filled.map_err(fail("filling a filter"))
        };
        fill("pids", want.pids.iter().map(|pid| pid.to_ne_bytes().to_vec()).collect())?;
        fill("trees", want.trees.iter().map(|pid| pid.to_ne_bytes().to_vec()).collect())?;
        fill("uids", want.uids.iter().map(|uid| uid.to_ne_bytes().to_vec()).collect())?;
        fill("names", want.names.iter().map(|name| comm_of(name).to_vec()).collect())?;
        fill("cgroups", cgroups.unified.iter().map(|id| [id.to_ne_bytes(), [0; 8]].concat()).collect())?;

        let ring = map(&object, "ring").map_err(fail("finding the ring"))?;
        let bss = object.maps().find(|map| map.name().to_string_lossy().ends_with(".bss"));
        let bss = bss.ok_or_else(|| io::ErrorKind::NotFound.into()).map_err(fail("finding the shared words"))?;
        let shared = Shared::new(bss.as_fd()).map_err(fail("mapping the shared words"))?;
        let epoll =
            epoll::create(epoll::CreateFlags::CLOEXEC).map_err(|e| fail("making an epoll descriptor")(e.into()))?;
        epoll::add(&epoll, ring.as_fd(), epoll::EventData::new_u64(0), epoll::EventFlags::IN | epoll::EventFlags::ET)
            .map_err(|e| fail("watching the ring")(e.into()))?;
        let ring = Ring::new(ring.as_fd(), ring_bytes).map_err(fail("mapping the ring"))?;

        let mut live = Self {
            want: want.clone(),
            links: Links(Vec::new()),
            watched: Vec::new(),
            ring,
            shared,
            epoll,
            attached_ns: 0,
            members: HashSet::new(),
            unfiltered_until: 0,
            existing: HashSet::new(),
            unsure: HashSet::new(),
            told: Counts::default(),
            object,
        };
        let mut notes: Vec<_> = not_reported(want, SourceId::Ebpf, EventSet::LINUX).into_iter().collect();
        let missing = live.attach().map_err(fail("attaching"))?;
        notes.extend(missing.as_ref().map(|(kinds, error)| Note::from(calls_missing(*kinds, error))));
        if ring_bytes < want.ring_bytes.unwrap_or(DEFAULT_RING) {
            notes.push(note(Lack::SmallBuffer { bytes: ring_bytes as u64, each_cpu: false }));
        }
        if !sys::in_initial_pid_namespace() {
            notes.push(note(Lack::OuterPids));
        }
        if sys::list_processes().is_empty() {
            notes.push(without_proc().into());
        }
        live.attached_ns = sys::now_boot_ns();
        let since = sys::clock().wall(live.attached_ns);
        // From here on, losses are counted only for the trees.
        live.plant_trees().map_err(fail("listing the processes"))?;
        Ok(Attached {
            since,
            notes,
            surprises: Vec::new(),
            unavailable: missing.map_or(EventSet::NONE, |(kinds, _)| kinds),
            // Before Linux 5.19 CAP_BPF is needed at every call; CAP_SYS_PTRACE shows already running
            // processes in a /proc with `hidepid`, and their environments.
            rights: if sys::kernel_version() < (5, 19) { &["CAP_BPF", "CAP_SYS_PTRACE"] } else { &["CAP_SYS_PTRACE"] },
            // The programs filter by all else.
            left: Left { processes: false, cgroup_paths: cgroups.paths },
            source: Box::new(live),
        })
    }

    /// Attaches the programs. Returns the kinds that stay without theirs, and why the first of them does.
    fn attach(&mut self) -> io::Result<Option<(EventSet, io::Error)>> {
        let mut tracefs = None;
        let mut missing: Option<(EventSet, io::Error)> = None;
        for program in self.object.progs_mut() {
            let name = program.name().to_string_lossy().into_owned();
            let Some(kind) = purpose(&name, &self.want) else { continue };
            if name == "existing" {
                continue;
            }
            if !CALLS.iter().any(|(call, ..)| *call == name) {
                self.links.0.push(program.attach_trace().map_err(io::Error::other)?);
            } else {
                let calls = CALLS.iter().filter(|&&(call, kind, _)| call == name && self.want.events.contains(kind));
                let calls = calls.flat_map(|&(_, kind, tracepoints)| tracepoints.iter().map(move |name| (kind, name)));
                for (kind, tracepoint) in calls {
                    let tracefs = tracefs.get_or_insert_with(Tracefs::open);
                    let attached = match tracefs {
                        Ok(tracefs) => tracepoint::attach(tracefs, &program, tracepoint),
                        Err(error) => Err(error.kind().into()),
                    };
                    match attached {
                        Ok(link) => self.links.0.push(link),
                        Err(error) => {
                            let (kinds, _) = missing.get_or_insert((EventSet::NONE, error));
                            *kinds = kinds.with(kind);
                        }
                    }
                }
            }
            // A run of the second is skipped only if the first has done it all.
            if first_of(&name).is_none() {
                let fd = program.as_fd().try_clone_to_owned()?;
                let twice = TWICE.iter().position(|first| *first == name);
                self.watched.push(Watched { fd, kind, misses: 0, twice });
            }
        }
        Ok(missing)
    }

    /// Runs that the kernel skipped because the program was already running on that CPU.
    fn skipped(&mut self) -> Option<Lost> {
        let mut lost = Lost::default();
        for program in &mut self.watched {
            let misses = match program.twice {
                Some(which) => uncaught(&program.fd, || self.shared.caught(which)),
                None => read_misses(&program.fd),
            };
            // Programs that only add to other events lose none of their own.
            if program.kind != Kind::Lost {
                lost.counts.add(program.kind, misses.saturating_sub(program.misses));
            }
            program.misses = misses.max(program.misses);
        }
        (lost.total() != 0).then_some(lost)
    }

    /// Reads the records up to a position. Returns how many there were.
    fn drain(&mut self, end: u64, out: &mut dyn Intake) -> ControlFlow<(), usize> {
        let mut count = 0;
        let (mut told, mut borne): (u64, u64) = (self.told.total(), 0);
        loop {
            let position = self.ring.position();
            if position >= end {
                break;
            }
            let (slot, next) = self.ring.look(position);
            let mut flow = ControlFlow::Continue(());
            match slot {
                Slot::End | Slot::Busy => break,
                Slot::Discarded => {}
                Slot::Record(bytes)
                    if position >= self.unfiltered_until
                        && lost_before(bytes) > told
                        && (lost_before(bytes) > borne || losses(bytes).is_some()) =>
                {
                    borne = lost_before(bytes);
                    if let Some(lost) = self.losses_told_next(position, end).filter(|(total, _)| *total == borne) {
                        told = borne;
                        if let Some(counts) = unreported(&lost.1, &mut self.told) {
                            flow = out.lose(counts);
                        }
                    }
                    if flow.is_continue() {
                        continue;
                    }
                }
                Slot::Record(bytes) if losses(bytes).is_some() => {}
                Slot::Record(bytes) => match decode(bytes) {
                    Ok(record) if position < self.unfiltered_until && !adopt(&mut self.members, &record.body) => {
                        out.note(&record);
                    }
                    Ok(record) if is_unasked(bytes) => out.note(&record),
                    // The list of processes had it before its fork was recorded.
                    Ok(Record { body: Body::Fork { subject, thread: false, .. }, .. })
                        if subject.start_ns < self.attached_ns
                            && self.existing.contains(&(subject.pid, subject.start_ns)) => {}
                    Ok(record) => {
                        if !self.unsure.is_empty() {
                            let (existing, unsure) = (&mut self.existing, &mut self.unsure);
                            flow = tell_unsure(&self.want, existing, unsure, self.attached_ns, &record, out);
                        }
                        if flow.is_continue() {
                            flow = out.push(&record);
                        }
                    }
                    Err(_) => out.count_malformed(),
                },
            }
            self.ring.advance(next);
            count += 1;
            if count % RELEASE_EVERY == 0 {
                self.ring.release();
            }
            if flow.is_break() {
                self.ring.release();
                return ControlFlow::Break(());
            }
        }
        self.ring.release();
        ControlFlow::Continue(count)
    }

    /// The number of lost events, in total and of each kind, as in the next record that holds it.
    /// That record precedes the first one after a loss. A loss on another processor while a record
    /// was made is in that record's total, and reported after it.
    fn losses_told_next(&mut self, mut position: u64, end: u64) -> Option<(u64, [u64; kind::KINDS])> {
        while position < end {
            let (slot, next) = self.ring.look(position);
            match slot {
                Slot::Record(bytes) => {
                    if let Some(lost) = losses(bytes) {
                        return Some((lost_before(bytes), lost));
                    }
                }
                Slot::Discarded => {}
                Slot::Busy | Slot::End => break,
            }
            position = next;
        }
        None
    }

    /// Looks at the waiting records without consuming them, and whether each was requested.
    pub(super) fn peek(&mut self, mut see: impl FnMut(&Record<'_>, bool)) {
        let end = self.ring.end();
        let mut position = self.ring.position();
        while position < end {
            let (slot, next) = self.ring.look(position);
            match slot {
                Slot::Record(bytes) => {
                    if let Ok(record) = decode(bytes) {
                        see(&record, !is_unasked(bytes));
                    }
                }
                Slot::Discarded => {}
                // Its program is at work on another CPU.
                Slot::Busy => {
                    std::thread::yield_now();
                    continue;
                }
                Slot::End => return,
            }
            position = next;
        }
    }

    /// Sleeps until woken by the programs, by the stop handle or by time.
    fn wait(&self, time: Duration) -> io::Result<()> {
        let mut events = [epoll::Event { flags: epoll::EventFlags::empty(), data: epoll::EventData::new_u64(0) }; 2];
        let timeout = Timespec { tv_sec: time.as_secs() as i64, tv_nsec: i64::from(time.subsec_nanos()) };
        match epoll::wait(&self.epoll, &mut events, Some(&timeout)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    fn pump(&mut self, out: &mut dyn Intake, stop: &Stop) -> io::Result<()> {
        out.set_clock(sys::clock());
        epoll::add(&self.epoll, stop.fd(), epoll::EventData::new_u64(1), epoll::EventFlags::IN)?;
        if self.snapshot(out)?.is_break() || out.batch_end().is_break() {
            return Ok(());
        }
        let mut idle = false;
        let mut soon = INTERVAL;
        let mut looked = Instant::now();
        loop {
            let stopping = stop.is_stopped();
            out.set_clock(sys::clock());
            // Records that come while we read wait for the next batch, so that the sink sees an
            // end.
            let end = self.ring.end();
            let ControlFlow::Continue(mut count) = self.drain(end, out) else { return Ok(()) };
            while stopping && self.ring.position() < end {
                // A program on another CPU is still writing.
                std::thread::yield_now();
                let ControlFlow::Continue(more) = self.drain(end, out) else { return Ok(()) };
                count += more;
            }
            if stopping || looked.elapsed() >= ASLEEP {
                looked = Instant::now();
                if let Some(counts) = self.skipped()
                    && out.skip(counts).is_break()
                {
                    return Ok(());
                }
            }
            // Reported here too, because no record may come that would.
            if (count == 0 || stopping)
                && let Some(counts) = unreported(&self.shared.lost(), &mut self.told)
                && out.lose(counts).is_break()
            {
                return Ok(());
            }
            let shown = out.has_batch();
            if out.batch_end().is_break() || stopping {
                return Ok(());
            }
            if count > 0 {
                self.shared.set_pacing(PACE_TIMER);
                soon = if shown || count >= BUSY { INTERVAL } else { soon };
                self.wait(if count < BUSY { soon } else { BUSY_INTERVAL })?;
                soon = INTERVAL.min(2 * soon);
                idle = false;
            } else if !idle {
                if soon == INTERVAL {
                    soon = SOON;
                }
                self.shared.set_pacing(PACE_SLEEP);
                idle = true;
                self.wait(LINGER)?;
            } else {
                self.wait(ASLEEP)?;
            }
        }
    }
}

const PACE_SLEEP: u32 = 0;
const PACE_TIMER: u32 = 1;

impl Source for Live {
    fn run(&mut self, out: &mut dyn Intake, stop: &Stop) -> Result<(), Error> {
        self.pump(out, stop).map_err(|error| Error::Source {
            source_id: SourceId::Ebpf,
            what: "reading the ring",
            error,
        })
    }
}

/// `recursion_misses` of `struct bpf_prog_info`, since Linux 5.12; 0 before.
fn read_misses(fd: &OwnedFd) -> u64 {
    // SAFETY: all zeroes is a valid request for no arrays.
    let mut info: libbpf_rs::libbpf_sys::bpf_prog_info = unsafe { std::mem::zeroed() };
    let mut len = size_of_val(&info) as u32;
    // SAFETY: info is valid for len bytes.
    let result = unsafe { libbpf_rs::libbpf_sys::bpf_prog_get_info_by_fd(fd.as_raw_fd(), &raw mut info, &raw mut len) };
    if result == 0 { info.recursion_misses } else { 0 }
}

/// The skipped runs for which no second program made up: both numbers at one moment.
fn uncaught(fd: &OwnedFd, caught: impl Fn() -> u64) -> u64 {
    let mut misses = read_misses(fd);
    for _ in 0..16 {
        let made_up = caught();
        let now = read_misses(fd);
        if now == misses {
            return misses.saturating_sub(made_up);
        }
        misses = now;
    }
    // They come in so fast that this is reported the next time.
    0
}

/// Whether a record that was sent before the programs knew the trees is of a member; a member's
/// child becomes one.
fn adopt(members: &mut HashSet<Pid>, body: &Body<'_>) -> bool {
    let Some(subject) = body.subject() else { return true };
    if body.descent().is_some_and(|descent| descent.is_below(|pid| members.contains(&pid))) {
        members.insert(subject.pid);
    }
    members.contains(&subject.pid)
}

/// Losses not yet reported, by kind.
fn unreported(lost: &[u64; kind::KINDS], reported: &mut Counts) -> Option<Lost> {
    let mut new = Lost::default();
    for (&kind, &lost) in Kind::ALL.iter().zip(lost) {
        new.counts.set(kind, lost.saturating_sub(reported.of(kind)));
        reported.set(kind, lost.max(reported.of(kind)));
    }
    (new.total() != 0).then_some(new)
}

use std::io;
use std::ops::ControlFlow;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::EVENTS;
use super::decode::{What, what};
use super::merge::{Merge, Received};
use super::own::{Files, Own};
use super::probe::{nameless, reads_others, refused, unavailable};
use super::socket::{Batch, Kinds, Socket};
use crate::source::cgroups::resolve_cgroups;
use crate::source::intake::Intake;
use crate::source::look::{Depth, Look, Proc};
use crate::source::looker::{Inlet, Looker, wait};
use crate::source::proc_files::{Pace, ProcFiles, look_at_all};
use crate::source::settling::SETTLE_NS;
use crate::source::stop::Stop;
use crate::source::tracker::{Settings, Tracker};
use crate::source::{Attached, Left, Source, no_proc, not_reported, note, parents_alone};
use crate::{
    Cause, EnvWanted, Error, EventSet, Kind, Lack, Lost, Note, Obstacle, Pid, Remedy, SourceId, StartTime, Want, sys,
};

/// How long messages wait for one another while there are some.
const INTERVAL: Duration = Duration::from_millis(20);
/// The same while there are more than this many in that time: each visit costs as much as some
/// processes do.
const MANY_INTERVAL: Duration = Duration::from_millis(40);
const FEW: usize = 16;
/// How often a sleeping reader wakes.
const ASLEEP: Duration = Duration::from_secs(1);
/// While losses continue, all living processes are read again this often.
const RESUME_EVERY: Duration = Duration::from_secs(1);
/// This long procscope waits for the last messages of processes that have ended.
const LAST_MESSAGES: Duration = Duration::from_secs(2);
/// The default size of each socket, bytes; kernel memory, used only while we are behind.
const DEFAULT_BUFFER: usize = 64 << 20;
/// The kinds of message that show which processes live, and their state.
fn follows(events: EventSet) -> bool {
    let whole_lives = [Kind::Existing, Kind::Fork, Kind::Clone, Kind::Exec, Kind::Exit, Kind::ThreadExit]
        .map(|kind| events.contains(kind));
    whole_lives.contains(&true)
}

/// The kinds of message that the events need, if no process's life is followed.
fn kinds_of(events: EventSet) -> Kinds {
    let table = [
        (Kind::Core, what::COREDUMP),
        (Kind::Comm, what::COMM),
        (Kind::Uid, what::UID),
        (Kind::Gid, what::GID),
        (Kind::Sid, what::SID),
        (Kind::Ptrace, what::PTRACE),
    ];
    Kinds(table.into_iter().filter(|(kind, _)| events.contains(*kind)).fold(0, |kinds, (_, bit)| kinds | bit))
}

/// This many execs are received at once, mostly one.
const AT_ONCE: usize = 8;
/// This many other messages.
const MANY: usize = 64;

/// The socket for execs alone: a process has to be read at once.
struct Execs {
    socket: Socket,
    batch: Batch<AT_ONCE>,
    seen: Vec<Received>,
    /// The size of the arguments and environments in its looks, bytes.
    held: usize,
    malformed: u64,
    pace: Pace,
}

/// Looks that the other thread has not taken yet hold this much; later ones are in vain.
const MOST_HELD: usize = 8 << 20;

impl Inlet for Execs {
    fn drain(&mut self) -> io::Result<()> {
        loop {
            let before = self.seen.len();
            let (seen, malformed) = (&mut self.seen, &mut self.malformed);
            let more = self.batch.receive(&self.socket, |message| match message {
                Ok(message) => seen.push(Received { message, look: None }),
                Err(_) => *malformed += 1,
            })?;
            // The latest first: the others may be gone already.
            for index in (before..self.seen.len()).rev() {
                let depth = self.pace.depth();
                let it = &mut self.seen[index];
                if let What::Exec { task } = it.message.what
                    && self.held < MOST_HELD
                {
                    it.look = ProcFiles.look(task.pid, depth).map(Box::new);
                    let lists = it.look.iter().flat_map(|look| [&look.argv, &look.env]).flatten();
                    self.held += lists.map(Vec::capacity).sum::<usize>();
                }
            }
            if !more {
                return Ok(());
            }
        }
    }

    fn is_empty(&self) -> bool {
        self.seen.is_empty()
    }
}

/// How many messages were lost, and reported.
#[derive(Default)]
struct Losses {
    drops: [u32; 2],
    /// Losses of execs, and of others, by the sockets' count.
    dropped: [u64; 2],
    /// By the messages' numbers.
    missing: u64,
    told: u64,
    told_execs: u64,
}

impl Losses {
    fn count_drops(&mut self, socket: usize, drops: Option<u32>) {
        if let Some(drops) = drops {
            self.dropped[socket] += u64::from(drops.wrapping_sub(self.drops[socket]));
            self.drops[socket] = drops;
        }
    }

    /// Those not reported yet. The sockets count at once; the numbers show what the sockets do not
    /// know.
    fn take_new(&mut self) -> Option<Lost> {
        let new = self.missing.max(self.dropped.iter().sum()).saturating_sub(self.told);
        if new == 0 {
            return None;
        }
        let execs = (self.dropped[0] - self.told_execs).min(new);
        self.told += new;
        self.told_execs += execs;
        let mut lost = Lost::of(Kind::Exec, execs);
        lost.counts.set(Kind::Lost, new - execs);
        Some(lost)
    }
}

pub(super) struct Live {
    want: Want,
    settings: Settings,
    looker: Option<Arc<Looker<Execs>>>,
    rest: Socket,
    batch: Batch<MANY>,
    merge: Merge,
    tracker: Tracker,
    losses: Losses,
    /// After when messages are missing, and how many, as far as that is not reported.
    lost: Option<(u64, Lost)>,
    /// Since the last loss not all processes were read.
    doubtful: bool,
    resumed: Instant,
    attached_ns: u64,
    own: Option<Own>,
}

impl Live {
    pub(super) fn open(want: &Want) -> Result<Attached, Error> {
        if !want.cgroups.is_empty() && sys::list_processes().is_empty() {
            return Err(unavailable(no_proc()));
        }
        let cgroups = resolve_cgroups(want)?;
        let follows = follows(want.events.union(want.needs));
        let buffer = want.ring_bytes.unwrap_or(DEFAULT_BUFFER);
        let kinds = if follows { Kinds(what::ALL & !what::EXEC) } else { kinds_of(want.events) };
        let event_filter = !follows && sys::kernel_version() >= (6, 6);
        let rest = Socket::listen(kinds, buffer, event_filter).map_err(refused)?;
        let looker = if follows {
            let socket = Socket::listen(Kinds(what::EXEC), buffer, false).map_err(refused)?;
            let exec_fd = socket.as_fd().try_clone_to_owned();
            let exec_fd = exec_fd.map_err(|error| Error::System { what: "sharing a socket", error })?;
            let execs = Execs {
                socket,
                batch: Batch::new(),
                seen: Vec::new(),
                held: 0,
                malformed: 0,
                pace: Pace::new(want.env != EnvWanted::No),
            };
            Some(Looker::new(vec![exec_fd], execs)?)
        } else {
            None
        };
        let since_ns = if follows { sys::now_mono_ns() } else { 0 };
        let attached_ns = sys::now_boot_ns();
        let mut settings = Settings::new(want, follows, sys::kernel_version() >= (6, 0), true);
        settings.logins = sys::keeps_logins();
        let live = Self {
            want: want.clone(),
            settings,
            looker,
            rest,
            batch: Batch::new(),
            merge: Merge::new(!follows, since_ns),
            tracker: Tracker::new(settings),
            losses: Losses::default(),
            lost: None,
            doubtful: false,
            resumed: Instant::now(),
            attached_ns,
            own: want.held.as_ref().filter(|_| follows).and_then(Own::of),
        };
        Ok(Attached {
            since: sys::clock().wall(attached_ns),
            notes: live.notes(buffer),
            surprises: Vec::new(),
            unavailable: EventSet::NONE,
            // It reads other users' processes.
            rights: &["CAP_SYS_PTRACE"],
            left: Left { processes: true, cgroup_paths: [cgroups.unified_paths, cgroups.paths].concat() },
            source: Box::new(live),
        })
    }

    /// What it cannot do here.
    fn notes(&self, buffer: usize) -> Vec<Note> {
        let mut notes: Vec<_> = parents_alone(&self.want).into_iter().collect();
        notes.extend(not_reported(&self.want, SourceId::ProcessConnector, EVENTS));
        if self.rest.buffer_bytes < buffer / 2 {
            let small = Lack::SmallBuffer { bytes: self.rest.buffer_bytes as u64, each_cpu: false };
            notes.push(Obstacle::new(small, Cause::Privilege, Remedy::LargerBuffer).into());
        }
        if self.rest.drops().is_none() && !self.settings.follows {
            notes.push(note(Lack::UncountedLosses));
        }
        if sys::list_processes().is_empty() {
            notes.push(nameless().into());
        } else if !reads_others() {
            notes.push(note(Lack::OtherUsersFields));
        }
        notes
    }

    /// Takes the messages of both sockets. Returns how many there were, or an error of a socket.
    fn receive(&mut self, out: &mut dyn Intake) -> io::Result<()> {
        let mut malformed = 0;
        let execs = |looker: &Looker<Execs>, merge: &mut Merge, malformed: &mut u64| -> io::Result<Option<u32>> {
            let mut execs = looker.lock();
            execs.drain()?;
            execs.held = 0;
            merge.take(std::mem::take(&mut execs.seen));
            *malformed += std::mem::take(&mut execs.malformed);
            Ok(execs.socket.drops())
        };
        if let Some(looker) = &self.looker {
            execs(looker, &mut self.merge, &mut malformed)?;
        }
        let mut received = Vec::new();
        loop {
            let more = self.batch.receive(&self.rest, |message| match message {
                Ok(message) => received.push(Received { message, look: None }),
                Err(_) => malformed += 1,
            })?;
            if !more {
                break;
            }
        }
        self.merge.take(received);
        if let Some(looker) = &self.looker {
            self.merge.mark();
            let drops = execs(looker, &mut self.merge, &mut malformed)?;
            self.losses.count_drops(0, drops);
            self.losses.missing += self.merge.count_lost();
        }
        // Last: a process read by now had its fork sent, or counted here.
        self.losses.count_drops(1, self.rest.drops());
        (0..malformed).for_each(|_| out.count_malformed());
        Ok(())
    }

    fn set_clocks(&mut self, out: &mut dyn Intake) {
        out.set_clock(sys::clock());
        let offset = (0..4).map(|_| {
            let mono = sys::now_mono_ns();
            sys::now_boot_ns().saturating_sub(mono)
        });
        // Two clocks cannot be read at once: the smallest difference is the closest. Only a suspend
        // makes it grow.
        let (offset, known) = (offset.min().unwrap_or(0), self.tracker.boot_ns(0));
        if offset < known || offset - known > 100_000 {
            self.tracker.set_boot_offset(offset);
        }
    }

    /// Reports processes that are already running. A process forked since we listen comes as a
    /// fork.
    fn begin(&mut self, out: &mut dyn Intake) -> io::Result<ControlFlow<()>> {
        self.set_clocks(out);
        if !self.settings.follows {
            return Ok(ControlFlow::Continue(()));
        }
        let mut looks = look_at_all(self.tracker.depth());
        self.receive(out)?;
        let (forked, ended) = (self.merge.forked(), self.merge.ended());
        self.tracker.keep_those_before(&mut looks, &forked, &ended, self.attached_ns);
        self.own.iter().for_each(|own| own.put_into(&mut looks));
        if self.tracker.begin(&looks, &mut |record| out.push(record)).is_break() {
            return Ok(ControlFlow::Break(()));
        }
        out.plant(self.tracker.descendants(&self.want.trees));
        Ok(self.tracker.tell(looks, self.attached_ns, &mut |record| out.push(record)))
    }

    fn give(&mut self, until_ns: u64, out: &mut dyn Intake) -> ControlFlow<(), usize> {
        let given = self.merge.give(until_ns);
        let count = given.len();
        for mut it in given {
            self.own.iter_mut().for_each(|own| own.complete(&mut it));
            self.tracker.feed(it, &mut Files(self.own.as_ref()), &mut |record| out.push(record))?;
        }
        ControlFlow::Continue(count)
    }

    /// Delivers the events up to this time.
    fn round(&mut self, until_ns: u64, out: &mut dyn Intake) -> io::Result<ControlFlow<(), usize>> {
        self.set_clocks(out);
        self.receive(out)?;
        if let Some(new) = self.losses.take_new() {
            self.merge.distrust();
            let after_ns = self.merge.lost_after();
            let lost = self.lost.get_or_insert((after_ns, Lost::default()));
            lost.0 = lost.0.min(after_ns);
            lost.1.counts.add_all(&new.counts);
        }
        let mut count = 0;
        if let Some((after_ns, counts)) = self.lost.take_if(|(after_ns, _)| *after_ns <= until_ns) {
            let ControlFlow::Continue(before) = self.give(after_ns, out) else { return Ok(ControlFlow::Break(())) };
            count += before;
            self.tracker.doubt();
            self.doubtful = true;
            if out.lose(counts).is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
        let ControlFlow::Continue(after) = self.give(until_ns, out) else { return Ok(ControlFlow::Break(())) };
        count += after;
        if self.want.held.as_ref().is_some_and(|held| !held.home().sole) && out.miss_undecided().is_break() {
            return Ok(ControlFlow::Break(()));
        }
        let quiet = count == 0 && self.merge.is_empty();
        if self.doubtful && (quiet || self.resumed.elapsed() > RESUME_EVERY) {
            self.resumed = Instant::now();
            self.doubtful = !quiet;
            let looks: Vec<(Pid, Look)> = look_at_all(Depth::Full);
            self.tracker.resume(looks, &mut |record| out.push(record));
        }
        Ok(ControlFlow::Continue(count))
    }

    /// Processes that have ended except for the message: procscope's children, or with a command
    /// all.
    fn due(&self) -> Vec<(Pid, Option<StartTime>)> {
        let us = std::process::id();
        let mine = self.tracker.newcomers().filter(|(.., parent)| self.own.is_some() || *parent == us);
        let own = self.own.iter().map(Own::identity).filter(|&(pid, start)| self.tracker.is_alive(pid, start));
        let due = mine.map(|(pid, start, _)| (pid, start)).chain(own);
        due.filter(|&(pid, start)| ProcFiles.is_over(pid, start)).collect()
    }

    /// Waits for the messages of processes known to have ended: the kernel lets a process be reaped
    /// before it sends that (`do_exit` in `kernel/exit.c`), and a busy machine may delay it in
    /// between.
    fn finish(&mut self, out: &mut dyn Intake) -> io::Result<()> {
        // Without /proc every process would seem to be gone.
        let mut due = if ProcFiles.is_over(std::process::id(), None) { Vec::new() } else { self.due() };
        let began = Instant::now();
        while !due.is_empty() && began.elapsed() < LAST_MESSAGES {
            wait([self.rest.as_fd()], INTERVAL)?;
            std::thread::sleep(Duration::from_nanos(SETTLE_NS));
            if self.round(sys::now_mono_ns(), out)?.is_break() || out.batch_end().is_break() {
                return Ok(());
            }
            due.retain(|&(pid, start)| self.tracker.is_alive(pid, start));
        }
        let own = self.own.as_ref().map(Own::identity);
        if own.is_some_and(|own| due.contains(&own)) && self.losses.told == 0 {
            let _ = out.lose(Lost::of(Kind::Exit, 1));
        }
        Ok(())
    }

    fn pump(&mut self, out: &mut dyn Intake, stop: &Stop) -> io::Result<()> {
        if self.begin(out)?.is_break() || out.batch_end().is_break() {
            return Ok(());
        }
        loop {
            let stopping = stop.is_stopped();
            let mut until_ns = sys::now_mono_ns();
            if stopping {
                // Messages on their way belong to it.
                std::thread::sleep(Duration::from_nanos(SETTLE_NS));
            } else if self.looker.is_some() {
                until_ns = until_ns.saturating_sub(SETTLE_NS);
            }
            let ControlFlow::Continue(count) = self.round(until_ns, out)? else { return Ok(()) };
            if out.batch_end().is_break() {
                return Ok(());
            }
            if stopping {
                return self.finish(out);
            }
            if count > 0 || !self.merge.is_empty() {
                wait([stop.fd()], if count > FEW { MANY_INTERVAL } else { INTERVAL })?;
                continue;
            }
            match &self.looker {
                Some(looker) => looker.sleep([stop.fd(), self.rest.as_fd()].into_iter(), ASLEEP)?,
                None => wait([stop.fd(), self.rest.as_fd()], ASLEEP)?,
            }
        }
    }
}

impl Source for Live {
    fn run(&mut self, out: &mut dyn Intake, stop: &Stop) -> Result<(), Error> {
        let fail = |error| Error::Source { source_id: SourceId::ProcessConnector, what: "receiving messages", error };
        let pumped = match self.looker.clone() {
            Some(looker) => looker.beside(|| self.pump(out, stop))?,
            None => self.pump(out, stop),
        };
        pumped.map_err(fail)
    }
}

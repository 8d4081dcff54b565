//! The messages of both sockets, and what they report.

use std::io;
use std::ops::ControlFlow;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::decode::What;
use super::merge::{Merge, Received};
use super::own::{Files, Own};
use super::socket::{Batch, Socket};
use crate::source::follow::{Follower, INTERVAL, Moment, Supply};
use crate::source::happening::Report;
use crate::source::intake::Intake;
use crate::source::look::{Look, Proc};
use crate::source::looker::{Inlet, Looker, wait};
use crate::source::proc_files::{Pace, ProcFiles};
use crate::source::settling::Settling;
use crate::source::stop::Stop;
use crate::source::tracker::Tracker;
use crate::{Kind, Lost, Pid, StartTime};

/// How long messages wait while there are more than this many in the usual time: each visit costs as
/// much as some processes do.
const MANY_INTERVAL: Duration = Duration::from_millis(40);
const FEW: usize = 16;
/// How often a sleeping reader wakes.
const ASLEEP: Duration = Duration::from_secs(1);
/// This long procscope waits for the last messages of processes that have ended.
const LAST_MESSAGES: Duration = Duration::from_secs(2);

/// This many execs are received at once, mostly one.
const AT_ONCE: usize = 8;
/// This many other messages.
const MANY: usize = 64;

/// The socket for execs alone: a process has to be read at once.
pub(super) struct Execs {
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

impl Execs {
    pub(super) fn new(socket: Socket, with_env: bool) -> Self {
        let batch = Batch::new();
        Self { socket, batch, seen: Vec::new(), held: 0, malformed: 0, pace: Pace::new(with_env) }
    }
}

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

/// See the module.
pub(super) struct Messages {
    looker: Option<Arc<Looker<Execs>>>,
    pub(super) rest: Socket,
    batch: Batch<MANY>,
    merge: Merge,
    losses: Losses,
    own: Option<Own>,
}

impl Messages {
    /// With a looker every kind of message comes; without one only some, and no process's life is
    /// followed.
    pub(super) fn new(looker: Option<Arc<Looker<Execs>>>, rest: Socket, since_ns: u64, own: Option<Own>) -> Self {
        let merge = Merge::new(looker.is_none(), since_ns);
        Self { looker, rest, batch: Batch::new(), merge, losses: Losses::default(), own }
    }

    pub(super) fn looker(&self) -> Option<Arc<Looker<Execs>>> {
        self.looker.clone()
    }

    /// Processes that have ended except for the message: procscope's children, or with a command
    /// all.
    fn due(&self, tracker: &Tracker) -> Vec<(Pid, Option<StartTime>)> {
        let us = std::process::id();
        let mine = tracker.newcomers().filter(|(.., parent)| self.own.is_some() || *parent == us);
        let own = self.own.iter().map(Own::identity).filter(|&(pid, start)| tracker.is_alive(pid, start));
        let due = mine.map(|(pid, start, _)| (pid, start)).chain(own);
        due.filter(|&(pid, start)| ProcFiles.is_over(pid, start)).collect()
    }
}

impl Supply for Messages {
    const LATE_NS: u64 = 0;

    fn receive(&mut self, _: &Moment, out: &mut dyn Intake) -> io::Result<()> {
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

    fn take_lost(&mut self, _: &Moment) -> Option<(u64, Lost)> {
        let new = self.losses.take_new()?;
        Some((self.merge.lost_after(), new))
    }

    fn settling(&mut self) -> &mut Settling {
        self.merge.settling()
    }

    fn is_empty(&self) -> bool {
        self.merge.is_empty()
    }

    fn put(&mut self, mut report: Report, tracker: &mut Tracker, out: &mut dyn Intake) -> ControlFlow<()> {
        self.own.iter_mut().for_each(|own| own.complete(&mut report));
        tracker.feed(report, &mut Files(self.own.as_ref()), &mut |record| out.push(record))
    }

    fn follows(&self) -> bool {
        self.looker.is_some()
    }

    fn complete(&mut self, looks: &mut Vec<(Pid, Look)>) {
        self.own.iter().for_each(|own| own.put_into(looks));
    }

    fn wait(&mut self, count: usize, stop: &Stop) -> io::Result<()> {
        if count > 0 || !self.is_empty() {
            return wait([stop.fd()], if count > FEW { MANY_INTERVAL } else { INTERVAL });
        }
        match &self.looker {
            Some(looker) => looker.sleep([stop.fd(), self.rest.as_fd()].into_iter(), ASLEEP),
            None => wait([stop.fd(), self.rest.as_fd()], ASLEEP),
        }
    }

    /// Waits for the messages of processes known to have ended: the kernel lets a process be reaped
    /// before it sends that (`do_exit` in `kernel/exit.c`), and a busy machine may delay it in
    /// between.
    fn finish(&mut self, follower: &mut Follower, out: &mut dyn Intake) -> io::Result<()> {
        // Without /proc every process would seem to be gone.
        let blind = ProcFiles.is_over(std::process::id(), None);
        let mut due = if blind { Vec::new() } else { self.due(&follower.tracker) };
        let began = Instant::now();
        while !due.is_empty() && began.elapsed() < LAST_MESSAGES {
            wait([self.rest.as_fd()], INTERVAL)?;
            if follower.last_round(self, out)?.is_break() {
                return Ok(());
            }
            due.retain(|&(pid, start)| follower.tracker.is_alive(pid, start));
        }
        let own = self.own.as_ref().map(Own::identity);
        if own.is_some_and(|own| due.contains(&own)) && self.losses.told == 0 {
            let _ = out.lose(Lost::of(Kind::Exit, 1));
        }
        Ok(())
    }
}

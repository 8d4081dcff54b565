//! The one loop of the sources whose reports come in batches, out of order, and whose processes are
//! read from /proc.

use std::io;
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use super::intake::Intake;
use super::look::{Depth, Look};
use super::proc_files::look_at_all;
use super::settling::{SETTLE_NS, Settling};
use super::stop::Stop;
use super::tracker::Tracker;
use crate::source::happening::Report;
use crate::{Lost, Pid, Want, sys};

/// How long reports wait for one another while there are some.
pub(crate) const INTERVAL: Duration = Duration::from_millis(20);
/// While losses continue, all living processes are read again this often.
const RESUME_EVERY: Duration = Duration::from_secs(1);
/// A suspend is longer than that.
const SUSPENDED_NS: u64 = 1_000_000;

/// The moments that a mechanism's reports are held against.
#[derive(Clone, Copy)]
pub(crate) struct Moment {
    /// Reports up to this are all at hand: CLOCK_MONOTONIC, ns.
    pub(crate) until_ns: u64,
    /// CLOCK_BOOTTIME minus CLOCK_MONOTONIC, ns.
    pub(crate) boot_offset_ns: u64,
    /// CLOCK_BOOTTIME, ns.
    pub(crate) attached_ns: u64,
    /// Nothing is received any more afterwards.
    pub(crate) last: bool,
}

/// A mechanism's reports.
pub(crate) trait Supply {
    /// A report may come this much later than what it is about happened, ns.
    const LATE_NS: u64;

    /// Takes what is at hand, and makes the reports up to the moment ready.
    fn receive(&mut self, at: &Moment, out: &mut dyn Intake) -> io::Result<()>;

    /// New losses: after when on CLOCK_MONOTONIC, ns, and how many.
    fn take_lost(&mut self, at: &Moment) -> Option<(u64, Lost)>;

    fn settling(&mut self) -> &mut Settling;

    /// Nothing waits.
    fn is_empty(&self) -> bool;

    /// Gives a report to the tracker, and its records to the intake.
    fn put(&mut self, report: Report, tracker: &mut Tracker, out: &mut dyn Intake) -> ControlFlow<()>;

    /// Which processes live is followed, so that those already running matter, and looks at them.
    fn follows(&self) -> bool {
        true
    }

    /// The boot offset was measured anew.
    fn clock_moved(&mut self) {}

    /// Reports were lost.
    fn doubt(&mut self) {}

    /// The processes that live now.
    fn learn(&mut self, _: &[(Pid, Look)]) {}

    /// Adds what it knows of processes that were already running.
    fn complete(&mut self, _: &mut Vec<(Pid, Look)>) {}

    /// Waits for more. `count` reports were given last; with none, and nothing waiting, it sleeps.
    fn wait(&mut self, count: usize, stop: &Stop) -> io::Result<()>;

    /// Waits for reports that are still owed after the stop.
    fn finish(&mut self, _: &mut Follower, _: &mut dyn Intake) -> io::Result<()> {
        Ok(())
    }
}

/// See the module.
pub(crate) struct Follower {
    pub(crate) tracker: Tracker,
    trees: Vec<Pid>,
    /// A command runs among others' processes: some forks may or may not be its.
    shared_home: bool,
    attached_ns: u64,
    boot_offset_ns: u64,
    /// After when reports are missing, and how many, as far as that is not reported.
    lost: Option<(u64, Lost)>,
    /// Since the last loss not all processes were read.
    doubtful: bool,
    resumed: Instant,
}

impl Follower {
    pub(crate) fn new(want: &Want, tracker: Tracker, attached_ns: u64) -> Self {
        Self {
            tracker,
            trees: want.trees.clone(),
            shared_home: want.held.as_ref().is_some_and(|held| !held.home().sole),
            attached_ns,
            boot_offset_ns: 0,
            lost: None,
            doubtful: false,
            resumed: Instant::now(),
        }
    }

    fn moment(&self, until_ns: u64, last: bool) -> Moment {
        Moment { until_ns, boot_offset_ns: self.boot_offset_ns, attached_ns: self.attached_ns, last }
    }

    /// Two clocks cannot be read at once: the smallest difference is the closest. Only a suspend
    /// makes it grow. Waiting records have their time by the last one. So if it only seems to grow, a
    /// process's exec could come before its fork.
    fn set_clocks<S: Supply>(&mut self, supply: &mut S, out: &mut dyn Intake) {
        out.set_clock(sys::clock());
        let measure = |times: usize| {
            let all = (0..times).map(|_| {
                let mono = sys::now_mono_ns();
                sys::now_boot_ns().saturating_sub(mono)
            });
            all.min().unwrap_or(0)
        };
        let known = self.boot_offset_ns;
        let mut offset = measure(4);
        if offset > known + SUSPENDED_NS {
            offset = offset.min(measure(64));
        }
        if offset < known || offset - known > SUSPENDED_NS {
            self.boot_offset_ns = offset;
            self.tracker.set_boot_offset(offset);
            supply.clock_moved();
        }
    }

    /// Reports processes that are already running. A process forked since comes as a fork.
    fn begin<S: Supply>(&mut self, supply: &mut S, out: &mut dyn Intake) -> io::Result<ControlFlow<()>> {
        self.set_clocks(supply, out);
        if !supply.follows() {
            return Ok(ControlFlow::Continue(()));
        }
        let mut looks = look_at_all(self.tracker.depth());
        supply.receive(&self.moment(sys::now_mono_ns(), false), out)?;
        let (forked, ended) = (supply.settling().forked(), supply.settling().ended());
        self.tracker.keep_those_before(&mut looks, &forked, &ended, self.attached_ns);
        supply.complete(&mut looks);
        if self.tracker.begin(&looks, &mut |record| out.push(record)).is_break() {
            return Ok(ControlFlow::Break(()));
        }
        out.plant(self.tracker.descendants(&self.trees));
        Ok(self.tracker.tell(looks, self.attached_ns, &mut |record| out.push(record)))
    }

    fn give<S: Supply>(&mut self, supply: &mut S, until_ns: u64, out: &mut dyn Intake) -> ControlFlow<(), usize> {
        let given = supply.settling().give(until_ns);
        let count = given.len();
        for report in given {
            supply.put(report, &mut self.tracker, out)?;
        }
        ControlFlow::Continue(count)
    }

    /// Delivers the events up to this time, and with `last` every one.
    pub(crate) fn round<S: Supply>(
        &mut self,
        supply: &mut S,
        until_ns: u64,
        last: bool,
        out: &mut dyn Intake,
    ) -> io::Result<ControlFlow<(), usize>> {
        self.set_clocks(supply, out);
        let at = self.moment(until_ns, last);
        supply.receive(&at, out)?;
        if let Some((after_ns, new)) = supply.take_lost(&at) {
            supply.settling().distrust();
            let lost = self.lost.get_or_insert((after_ns, Lost::default()));
            lost.0 = lost.0.min(after_ns);
            lost.1.counts.add_all(&new.counts);
        }
        let until_ns = until_ns.saturating_sub(if last || !supply.follows() { 0 } else { SETTLE_NS });
        let delivered = self.deliver(supply, until_ns, out);
        if let ControlFlow::Continue(count) = delivered {
            self.read_again(supply, count, out);
        }
        Ok(delivered)
    }

    fn deliver<S: Supply>(&mut self, supply: &mut S, until_ns: u64, out: &mut dyn Intake) -> ControlFlow<(), usize> {
        let mut count = 0;
        if let Some((after_ns, missing)) = self.lost.take_if(|(after_ns, _)| *after_ns <= until_ns) {
            count += self.give(supply, after_ns, out)?;
            self.tracker.doubt();
            supply.doubt();
            self.doubtful = true;
            out.lose(missing)?;
        }
        count += self.give(supply, until_ns, out)?;
        if self.shared_home {
            out.miss_undecided()?;
        }
        ControlFlow::Continue(count)
    }

    /// After losses, all living processes: once it is quiet, and now and then before.
    fn read_again<S: Supply>(&mut self, supply: &mut S, count: usize, out: &mut dyn Intake) {
        let quiet = count == 0 && supply.is_empty();
        if self.doubtful && (quiet || self.resumed.elapsed() > RESUME_EVERY) {
            self.resumed = Instant::now();
            self.doubtful = !quiet;
            let looks: Vec<(Pid, Look)> = look_at_all(Depth::Full);
            supply.learn(&looks);
            self.tracker.resume(looks, &mut |record| out.push(record));
        }
    }

    /// Puts records into the intake until stopped, then those up to that moment.
    pub(crate) fn pump<S: Supply>(&mut self, supply: &mut S, out: &mut dyn Intake, stop: &Stop) -> io::Result<()> {
        if self.begin(supply, out)?.is_break() || out.batch_end().is_break() {
            return Ok(());
        }
        loop {
            let stopping = stop.is_stopped();
            let mut until_ns = sys::now_mono_ns();
            if stopping {
                // Messages on their way belong to it.
                std::thread::sleep(Duration::from_nanos(SETTLE_NS));
            } else {
                until_ns = until_ns.saturating_sub(S::LATE_NS);
            }
            let ControlFlow::Continue(count) = self.round(supply, until_ns, stopping, out)? else { return Ok(()) };
            if out.batch_end().is_break() {
                return Ok(());
            }
            if stopping {
                return supply.finish(self, out);
            }
            supply.wait(count, stop)?;
        }
    }

    /// Gives reports that are on their way a moment, and then what came.
    pub(crate) fn last_round<S: Supply>(
        &mut self,
        supply: &mut S,
        out: &mut dyn Intake,
    ) -> io::Result<ControlFlow<()>> {
        std::thread::sleep(Duration::from_nanos(SETTLE_NS));
        let given = self.round(supply, sys::now_mono_ns(), true, out)?;
        Ok(if given.is_break() { ControlFlow::Break(()) } else { out.batch_end() })
    }
}

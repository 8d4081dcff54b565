//! The records of both buffers, and what they report.

use std::io;
use std::ops::ControlFlow;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustc_hash::FxHashMap;

use super::assemble::{Assembler, Threads};
use super::decode::{Raw, RawWhat, Schema};
use super::instance::{Gap, Instance, TraceClock};
use super::probes::Probes;
use crate::record::Record;
use crate::source::follow::{INTERVAL, Moment, Supply};
use crate::source::happening::{Happening, Report};
use crate::source::intake::Intake;
use crate::source::look::{Look, Proc};
use crate::source::looker::{Inlet, Looker, wait};
use crate::source::proc_files::{Pace, ProcFiles};
use crate::source::settling::Settling;
use crate::source::stop::Stop;
use crate::source::tracker::Tracker;
use crate::{Field, Flaw, Kind, Lost, Pid, sys};

/// How often a sleeping reader wakes.
const ASLEEP: Duration = Duration::from_millis(500);
/// This often the counters of lost records are read while no page reports a gap.
const COUNT_EVERY: Duration = Duration::from_secs(1);

impl Threads for ProcFiles {
    fn process_of(&mut self, tid: Pid) -> Option<Pid> {
        sys::process_of(tid)
    }
}

/// The buffer for execs alone: a process has to be read at once.
pub(super) struct Execs {
    pub(super) instance: Instance,
    schema: Schema,
    pace: Pace,
    raws: Vec<Raw>,
    looks: FxHashMap<(u64, Pid), Box<Look>>,
    gaps: Vec<Gap>,
    malformed: u64,
}

impl Execs {
    pub(super) fn new(instance: Instance, schema: Schema, with_env: bool) -> Self {
        Self {
            instance,
            schema,
            pace: Pace::new(with_env),
            raws: Vec::new(),
            looks: FxHashMap::default(),
            gaps: Vec::new(),
            malformed: 0,
        }
    }
}

impl Inlet for Execs {
    fn drain(&mut self) -> io::Result<()> {
        let before = self.raws.len();
        self.instance.take(&self.schema, &mut self.malformed, &mut self.raws, &mut self.gaps)?;
        // The latest first: the others may be gone already.
        for raw in self.raws[before..].iter().rev() {
            if let RawWhat::Exec { pid, .. } = raw.what
                && let Some(look) = ProcFiles.look(pid, self.pace.depth())
            {
                self.looks.insert((raw.ns, pid), Box::new(look));
            }
        }
        Ok(())
    }

    fn is_empty(&self) -> bool {
        self.raws.is_empty()
    }
}

/// See the module.
pub(super) struct Records {
    /// Before the probes: a probe in use cannot be removed.
    pub(super) looker: Arc<Looker<Execs>>,
    pub(super) main: Instance,
    schema: Schema,
    _probes: Probes,
    raws: Vec<Raw>,
    looks: FxHashMap<(u64, Pid), Box<Look>>,
    gaps: Vec<Gap>,
    pub(super) assembler: Assembler,
    settling: Settling,
    counted: Instant,
}

impl Records {
    pub(super) fn new(looker: Arc<Looker<Execs>>, main: Instance, schema: Schema, probes: Probes) -> Self {
        Self {
            looker,
            main,
            schema,
            _probes: probes,
            raws: Vec::new(),
            looks: FxHashMap::default(),
            gaps: Vec::new(),
            assembler: Assembler::default(),
            settling: Settling::default(),
            counted: Instant::now(),
        }
    }

    /// CLOCK_BOOTTIME at a moment of the trace.
    fn boot_ns(&self, ns: u64, at: &Moment) -> u64 {
        match self.main.clock {
            TraceClock::Boot => ns,
            TraceClock::Mono => ns.saturating_add(at.boot_offset_ns),
            TraceClock::Other(behind) => ns.saturating_add_signed(behind),
        }
    }

    fn mono_ns(&self, ns: u64, at: &Moment) -> u64 {
        self.boot_ns(ns, at).saturating_sub(at.boot_offset_ns)
    }

    /// The moment by the clock of the trace.
    fn trace_ns(&self, at: &Moment) -> u64 {
        let boot_ns = at.until_ns.saturating_add(at.boot_offset_ns);
        match self.main.clock {
            TraceClock::Boot => boot_ns,
            TraceClock::Mono => at.until_ns,
            TraceClock::Other(behind) => boot_ns.saturating_add_signed(behind.saturating_neg()),
        }
    }

    /// Reads the records of both buffers.
    fn read(&mut self, last: bool, out: &mut dyn Intake) -> io::Result<()> {
        let mut malformed = 0;
        let count = last || self.counted.elapsed() > COUNT_EVERY;
        self.main.take(&self.schema, &mut malformed, &mut self.raws, &mut self.gaps)?;
        if count {
            self.main.rest_lost(&mut self.gaps);
        }
        let mut execs = self.looker.lock();
        execs.drain()?;
        if count {
            self.counted = Instant::now();
            let Execs { instance, gaps, .. } = &mut *execs;
            instance.rest_lost(gaps);
        }
        self.raws.append(&mut execs.raws);
        self.gaps.append(&mut execs.gaps);
        self.looks.extend(execs.looks.drain());
        malformed += std::mem::take(&mut execs.malformed);
        (0..malformed).for_each(|_| out.count_malformed());
        Ok(())
    }

    /// Works out the reports of the records up to the moment. It is before both buffers were read,
    /// one after the other: of later events the second may hold an exec, and the first not yet its
    /// name.
    fn assemble(&mut self, at: &Moment) {
        let until_ns = self.trace_ns(at);
        self.raws.sort_by_key(|raw| raw.ns);
        let count = self.raws.partition_point(|raw| raw.ns <= until_ns);
        let rest = self.raws.split_off(count);
        let raws = std::mem::replace(&mut self.raws, rest);
        let mut happened = Vec::with_capacity(raws.len());
        self.assembler.take(raws, &mut ProcFiles, &mut |ns, processor, what| happened.push((ns, processor, what)));
        for (ns, processor, what) in happened {
            if self.boot_ns(ns, at) < at.attached_ns {
                continue;
            }
            let look = match what {
                Happening::Exec { task, .. } => self.looks.remove(&(ns, task.pid)),
                _ => None,
            };
            self.settling.push(Report { mono_ns: self.mono_ns(ns, at), processor, what, look });
        }
        if self.raws.is_empty() {
            self.looks.clear();
        }
    }
}

impl Supply for Records {
    /// A record of another CPU, or of the other buffer.
    const LATE_NS: u64 = 5_000_000;

    fn receive(&mut self, at: &Moment, out: &mut dyn Intake) -> io::Result<()> {
        self.read(at.last, out)?;
        self.assemble(at);
        Ok(())
    }

    fn take_lost(&mut self, at: &Moment) -> Option<(u64, Lost)> {
        let after = self.gaps.iter().map(|gap| self.mono_ns(gap.after_ns, at)).min()?;
        let missing = self.gaps.drain(..).fold(0u64, |sum, gap| sum.saturating_add(gap.count));
        Some((after, Lost::of(Kind::Lost, missing)))
    }

    fn settling(&mut self) -> &mut Settling {
        &mut self.settling
    }

    fn is_empty(&self) -> bool {
        self.settling.is_empty() && self.raws.is_empty()
    }

    fn put(&mut self, report: Report, tracker: &mut Tracker, out: &mut dyn Intake) -> ControlFlow<()> {
        let estimated = matches!(self.main.clock, TraceClock::Other(_));
        tracker.feed(report, &mut ProcFiles, &mut |record: &Record<'_>| {
            if !estimated {
                return out.push(record);
            }
            let mut record = record.clone();
            record.flaws.mark(Field::Time, Flaw::Estimated);
            out.push(&record)
        })
    }

    fn clock_moved(&mut self) {
        self.main.measure_clock();
    }

    fn doubt(&mut self) {
        self.assembler.doubt();
    }

    fn learn(&mut self, looks: &[(Pid, Look)]) {
        for (pid, look) in looks {
            self.assembler.learn(*pid, *pid);
            look.threads.iter().for_each(|&tid| self.assembler.learn(tid, *pid));
        }
    }

    fn wait(&mut self, count: usize, stop: &Stop) -> io::Result<()> {
        if count > 0 || !self.is_empty() {
            return wait([stop.fd()], INTERVAL);
        }
        let pipes = self.main.pipes().map(AsFd::as_fd);
        self.looker.sleep(pipes.chain([stop.fd()]), ASLEEP)
    }
}

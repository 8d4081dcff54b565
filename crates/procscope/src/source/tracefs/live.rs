use std::io;
use std::ops::ControlFlow;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustc_hash::FxHashMap;
use rustix::thread::CapabilitySet;

use super::assemble::{Assembler, Threads};
use super::decode::{Format, Kernel, Raw, RawWhat, Role, Schema};
use super::instance::{Gap, Instance, Names, TraceClock, Tracefs, clean};
use super::probes::{Probes, has_event_probes, has_kprobes};
use crate::error::limit_of;
use crate::record::Record;
use crate::source::cgroups::resolve_cgroups;
use crate::source::happening::{Happening, Report};
use crate::source::intake::Intake;
use crate::source::look::{Depth, Look, Proc};
use crate::source::looker::{Inlet, Looker, wait};
use crate::source::proc_files::{Pace, ProcFiles, look_at_all};
use crate::source::settling::{SETTLE_NS, Settling};
use crate::source::stop::Stop;
use crate::source::tracker::{Settings, Tracker};
use crate::source::{Attached, Left, Source, no_proc, not_reported, note};
use crate::{
    Cause, EnvWanted, Error, EventSet, Field, Flaw, Kind, Lack, Lost, Note, Obstacle, Pid, Remedy, SourceId, Verdict,
    Want, sys,
};

/// How long records wait for one another while there are some.
const INTERVAL: Duration = Duration::from_millis(20);
/// How often a sleeping reader wakes.
const ASLEEP: Duration = Duration::from_millis(500);
/// While losses continue, all living processes are read again this often.
const RESUME_EVERY: Duration = Duration::from_secs(1);
/// This often the counters of lost records are read while no page reports a gap.
const COUNT_EVERY: Duration = Duration::from_secs(1);
/// A record of another CPU, or of the other buffer, may come this much later than it was made.
const LATE_NS: u64 = 5_000_000;
/// A suspend is longer than that.
const SUSPENDED_NS: u64 = 1_000_000;
/// The default for all CPUs together, bytes; each has at least and at most this many of them.
const DEFAULT_BUFFER: usize = 32 << 20;
const LEAST_BUFFER: usize = 1 << 20;
const MOST_BUFFER: usize = 8 << 20;
/// The buffer for execs alone is smaller by this factor.
const EXEC_SHARE: usize = 8;

fn unavailable(obstacle: Obstacle) -> Error {
    Error::Unavailable { source_id: SourceId::Tracefs, obstacle }
}

const FTRACE: Remedy = Remedy::Kernel { least: None, options: &["CONFIG_FTRACE", "CONFIG_FTRACE_SYSCALLS"] };

fn mount(fs: &'static str, at: &'static str) -> Remedy {
    Remedy::Mount { fs, at, options: String::new(), sudo: false }
}

/// `lockdown=confidentiality` closes tracefs to all (`security/lockdown`, Linux 5.4).
fn locked_down() -> bool {
    let state = std::fs::read_to_string("/sys/kernel/security/lockdown");
    state.is_ok_and(|state| state.contains("[confidentiality]"))
}

fn refused(error: &io::Error) -> Obstacle {
    if let Some(limit) = limit_of(error.raw_os_error()) {
        return limit;
    }
    let of = SourceId::Tracefs;
    match error.raw_os_error() {
        _ if locked_down() => {
            let remedy = Remedy::Boot { parameter: "lockdown=integrity" };
            Obstacle::new(Lack::LockedDown { by: of }, Cause::NotConfigured, remedy)
        }
        Some(libc::EACCES | libc::EPERM) if !sys::in_initial_user_namespace() => {
            let remedy = Remedy::Host { options: &["--privileged"], user_namespace: false };
            Obstacle::new(Lack::OtherUserNamespace { of }, Cause::Privilege, remedy)
        }
        Some(libc::EACCES | libc::EPERM) => {
            Obstacle::new(Lack::TracefsOfRoot { error: error.into() }, Cause::Privilege, Remedy::Root)
        }
        Some(libc::ENODEV | libc::ENOENT | libc::ENOSYS) if sys::kernel_version() < (5, 2) => {
            let debugfs = sys::kernel_version() < (4, 1);
            let remedy =
                if debugfs { mount("debugfs", "/sys/kernel/debug") } else { mount("tracefs", "/sys/kernel/tracing") };
            Obstacle::new(Lack::NotMounted { path: "tracefs" }, Cause::NotConfigured, remedy)
        }
        Some(libc::ENODEV | libc::ENOENT) => {
            Obstacle::new(Lack::NoTracefs { error: error.into() }, Cause::NotConfigured, FTRACE)
        }
        _ => {
            let remedy = mount("tracefs", "/sys/kernel/tracing");
            Obstacle::new(Lack::Tracefs { error: error.into() }, Cause::Io, remedy)
        }
    }
}

/// Opens tracefs if it can be useful; changes nothing.
fn open_tracefs() -> Result<Tracefs, Obstacle> {
    if !sys::in_initial_pid_namespace() {
        let remedy = Remedy::Host { options: &["--pid=host"], user_namespace: true };
        return Err(Obstacle::new(Lack::OtherPidNamespace { of: SourceId::Tracefs }, Cause::Privilege, remedy));
    }
    let tracefs = Tracefs::open().map_err(|error| refused(&error))?;
    if !tracefs.has("instances") {
        let old =
            Obstacle::new(Lack::NoInstances, Cause::TooOld, Remedy::Kernel { least: Some((3, 10)), options: &[] });
        return Err(old.or(Remedy::OtherSource { id: Some(SourceId::ProcessConnector) }));
    }
    tracefs.may_write("instances").map_err(|error| refused(&error))?;
    for role in [Role::NewTask, Role::Exec, Role::Exit] {
        let Some((group, name)) = role.event() else { continue };
        if !tracefs.has(&format!("events/{group}/{name}/format")) {
            return Err(Obstacle::new(Lack::NoTraceEvent { group, name }, Cause::NotConfigured, FTRACE));
        }
    }
    // It alone says whose the threads are that ftrace names.
    if sys::list_processes().is_empty() {
        return Err(sys::limit_at_proc().unwrap_or_else(no_proc));
    }
    Ok(tracefs)
}

/// `ptrace(2)`, access mode PTRACE_MODE_READ_FSCREDS.
fn reads_others() -> bool {
    sys::has_capabilities(CapabilitySet::SYS_PTRACE)
}

/// Whether this kernel is known to have no kprobes; `false` if that may not be read.
pub(super) fn lacks_kprobes() -> bool {
    open_tracefs().is_ok_and(|tracefs| !has_kprobes(&tracefs))
}

/// Whether it can be used, and what is missing.
pub(super) fn probe() -> Verdict {
    let tracefs = match open_tracefs() {
        Ok(tracefs) => tracefs,
        Err(obstacle) => return Verdict::Unavailable(obstacle),
    };
    let mut obstacles = Vec::new();
    if !has_kprobes(&tracefs) {
        let lack = Lack::NoKprobes { event_probes: has_event_probes(&tracefs) };
        let remedy = Remedy::Kernel { least: None, options: &["CONFIG_KPROBE_EVENTS"] };
        let ebpf = Remedy::OtherSource { id: Some(SourceId::Ebpf) };
        obstacles.push(Obstacle::new(lack, Cause::NotConfigured, remedy).or(ebpf));
    }
    if !reads_others() {
        obstacles.push(Obstacle::new(Lack::OtherUsersFields, Cause::Privilege, Remedy::Root));
    }
    if obstacles.is_empty() { Verdict::Ready } else { Verdict::Degraded(obstacles) }
}

impl Threads for ProcFiles {
    fn process_of(&mut self, tid: Pid) -> Option<Pid> {
        sys::process_of(tid)
    }
}

/// The buffer for execs alone: a process has to be read at once.
struct Execs {
    instance: Instance,
    schema: Schema,
    pace: Pace,
    raws: Vec<Raw>,
    looks: FxHashMap<(u64, Pid), Box<Look>>,
    gaps: Vec<Gap>,
    malformed: u64,
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

pub(super) struct Live {
    want: Want,
    /// Before the probes: a probe in use cannot be removed.
    looker: Arc<Looker<Execs>>,
    main: Instance,
    schema: Schema,
    _probes: Probes,
    raws: Vec<Raw>,
    looks: FxHashMap<(u64, Pid), Box<Look>>,
    gaps: Vec<Gap>,
    assembler: Assembler,
    settling: Settling,
    tracker: Tracker,
    /// CLOCK_BOOTTIME minus CLOCK_MONOTONIC, ns.
    boot_offset_ns: u64,
    /// After when records are missing, and how many, as far as that is not reported.
    lost: Option<(u64, u64)>,
    counted: Instant,
    /// Since the last loss not all processes were read.
    doubtful: bool,
    resumed: Instant,
    attached_ns: u64,
}

/// A schema of these events of an instance, as far as they exist.
fn schema_of(instance: &Instance, events: &[(Role, String)]) -> Result<(Schema, Vec<Role>), Error> {
    let fail = |error| unavailable(refused(&error));
    let mut schema: Option<Schema> = None;
    let mut found = Vec::new();
    for (role, event) in events {
        let path = format!("events/{event}/format");
        if !instance.has(&path) {
            continue;
        }
        let format = Format::decode(&instance.read(&path).map_err(fail)?).map_err(|_| strange(event))?;
        if schema.is_none() {
            schema = Some(Schema::new(&format).map_err(|_| strange(event))?);
        }
        if let Some(schema) = &mut schema
            && schema.add(*role, &format).is_ok()
        {
            found.push(*role);
        }
    }
    schema.map(|schema| (schema, found)).ok_or_else(|| strange("any"))
}

fn strange(event: &str) -> Error {
    let strange = Lack::StrangeTraceEvent { event: event.to_owned() };
    unavailable(Obstacle::new(strange, Cause::Io, Remedy::OtherSource { id: None }))
}

fn named(roles: &[Role]) -> Vec<(Role, String)> {
    roles.iter().filter_map(|&role| role.event().map(|(group, name)| (role, format!("{group}/{name}")))).collect()
}

impl Live {
    pub(super) fn open(want: &Want) -> Result<Attached, Error> {
        if !want.cgroups.is_empty() && sys::list_processes().is_empty() {
            return Err(unavailable(no_proc()));
        }
        let cgroups = resolve_cgroups(want)?;
        let tracefs = Arc::new(open_tracefs().map_err(unavailable)?);
        clean(&tracefs);
        let names = Names::new();
        let events = want.events.union(want.needs);
        let wants = |kinds: &[Kind]| kinds.iter().any(|&kind| events.contains(kind));
        let ends = wants(&[Kind::Exit, Kind::ThreadExit]);
        let failures = events.contains(Kind::ExecFailed);

        let mut probes = Probes::new(&tracefs, &names);
        if wants(&[Kind::Existing, Kind::Exec, Kind::Exit]) {
            probes.image();
        }
        if ends {
            probes.doom();
        }
        if failures || !probes.has(Role::Image) {
            probes.calls();
        }
        let last_thread_decides = sys::kernel_version() >= (6, 0);
        let probed = |role| probes.has(role);
        let mut roles = vec![Role::NewTask, Role::Exit, Role::Rename];
        if ends {
            roles.extend([Role::Generate, Role::Deliver, Role::OomVictim]);
            // Before Linux 6.0 the first thread's status is the process's, unless all end with one.
            if !probed(Role::Doom) || !last_thread_decides {
                roles.extend([Role::EnterExit, Role::EnterExitGroup]);
            }
        } else if events.contains(Kind::Core) {
            roles.push(Role::Deliver);
        }
        if failures || events.contains(Kind::Comm) || probed(Role::CallPath) || probed(Role::CallArguments) {
            roles.extend([Role::EnterExec, Role::EnterExecAt, Role::LeaveExec, Role::LeaveExecAt]);
        }
        if events.contains(Kind::Sid) {
            roles.push(Role::LeaveSetsid);
        }

        let cpus = std::thread::available_parallelism().map_or(1, usize::from);
        let buffer = match want.ring_bytes {
            Some(bytes) => bytes / cpus,
            None => (DEFAULT_BUFFER / cpus).clamp(LEAST_BUFFER, MOST_BUFFER),
        };
        let made = |error: io::Error| unavailable(refused(&error));
        let main = Instance::make(&tracefs, &names, "main", buffer).map_err(made)?;
        let mut all = named(&roles);
        all.extend(probes.defined.clone());
        let (mut schema, found) = schema_of(&main, &all)?;
        let shows_paths = found.contains(&Role::EnterExec) && schema.shows_paths();
        let mut kernel = Kernel { tells_faults: sys::kernel_version() >= (6, 2), ..Kernel::default() };
        if shows_paths && let Some(bytes) = main.keep_user_strings() {
            kernel.user_string = bytes;
        }
        schema.set_kernel(kernel);
        let execs = Instance::make(&tracefs, &names, "execs", buffer / EXEC_SHARE).map_err(made)?;
        let (exec_schema, _) = schema_of(&execs, &named(&[Role::Exec]))?;
        for role in [Role::Generate, Role::Deliver] {
            if let Some((group, name)) = role.event().filter(|_| found.contains(&role)) {
                // Each end sends one, which ends no process.
                let _ = main.write(&format!("events/{group}/{name}/filter"), &format!("sig != {}", libc::SIGCHLD));
            }
        }
        let pipes = execs.pipes().map(|pipe| pipe.try_clone()).collect::<io::Result<_>>();
        let pipes = pipes.map_err(|error| Error::System { what: "sharing a pipe", error })?;
        let execs = Execs {
            instance: execs,
            schema: exec_schema,
            pace: Pace::new(want.env != EnvWanted::No),
            raws: Vec::new(),
            looks: FxHashMap::default(),
            gaps: Vec::new(),
            malformed: 0,
        };
        let looker = Looker::new(pipes, execs)?;
        let mut settings = Settings::new(want, true, last_thread_decides, false);
        settings.logins = sys::keeps_logins();
        let mut live = Self {
            want: want.clone(),
            looker,
            main,
            schema,
            _probes: probes,
            raws: Vec::new(),
            looks: FxHashMap::default(),
            gaps: Vec::new(),
            assembler: Assembler::default(),
            settling: Settling::default(),
            tracker: Tracker::new(settings),
            boot_offset_ns: 0,
            lost: None,
            counted: Instant::now(),
            doubtful: false,
            resumed: Instant::now(),
            attached_ns: 0,
        };
        live.attach(&all, &found)?;
        let failures_missing = failures && !found.contains(&Role::LeaveExec);
        Ok(Attached {
            since: sys::clock().wall(live.attached_ns),
            notes: live.notes(&found, shows_paths, buffer),
            surprises: Vec::new(),
            unavailable: if failures_missing { EventSet::NONE.with(Kind::ExecFailed) } else { EventSet::NONE },
            // It reads other users' processes; without root it needs more than a name to remove the
            // instance in the end.
            rights: match rustix::process::geteuid().is_root() {
                true => &["CAP_SYS_PTRACE"],
                false => &["CAP_SYS_PTRACE", "CAP_DAC_OVERRIDE"],
            },
            left: Left { processes: true, cgroup_paths: [cgroups.unified_paths, cgroups.paths].concat() },
            source: Box::new(live),
        })
    }

    /// Turns the events on. A thread's process has to be known before the first record of it: later
    /// births are reported, and the others are listed before any other event is turned on.
    fn attach(&mut self, all: &[(Role, String)], found: &[Role]) -> Result<(), Error> {
        let fail = |error: io::Error| unavailable(refused(&error));
        let enable = |instance: &Instance, (_, event): &(Role, String)| instance.enable(event).map_err(fail);
        let (births, rest): (Vec<_>, Vec<_>) =
            all.iter().filter(|(role, _)| found.contains(role)).partition(|(role, _)| *role == Role::NewTask);
        births.iter().try_for_each(|event| enable(&self.main, event))?;
        for pid in sys::list_processes() {
            self.assembler.learn(pid, pid);
            sys::list_threads(pid).into_iter().for_each(|tid| self.assembler.learn(tid, pid));
        }
        rest.iter().try_for_each(|event| enable(&self.main, event))?;
        named(&[Role::Exec]).iter().try_for_each(|event| enable(&self.looker.lock().instance, event))?;
        self.attached_ns = sys::now_boot_ns();
        Ok(())
    }

    /// What it cannot do here.
    fn notes(&self, found: &[Role], shows_paths: bool, buffer: usize) -> Vec<Note> {
        let has = |role| found.contains(&role);
        let events = self.want.events;
        let mut notes: Vec<_> = not_reported(&self.want, SourceId::Tracefs, EventSet::LINUX).into_iter().collect();
        let mut lacks = |what: Lack| notes.push(note(what));
        if !has(Role::Image) && events.contains(Kind::Exec) {
            lacks(if has(Role::CallArguments) { Lack::ArgumentsOfCall } else { Lack::LateArguments });
        }
        let ends = events.contains(Kind::Exit);
        if ends && !has(Role::Doom) {
            lacks(if has(Role::EnterExitGroup) { Lack::StatusWorkedOut } else { Lack::StatusUnknown });
        }
        if events.contains(Kind::ExecFailed) {
            if !has(Role::LeaveExec) {
                let kinds = EventSet::NONE.with(Kind::ExecFailed);
                lacks(Lack::Kinds { kinds, why: Lack::NoCallEvents.into() });
            } else if !(has(Role::CallPath) && has(Role::CallArguments)) {
                lacks(Lack::TriedWithout { paths: shows_paths, why: Lack::NoProbes.into() });
            }
        }
        let calls = has(Role::LeaveExec) && events.contains(Kind::ExecFailed) || has(Role::LeaveSetsid);
        if calls && cfg!(any(target_arch = "x86_64", target_arch = "aarch64")) {
            lacks(Lack::No32BitCalls);
        }
        if matches!(self.main.clock, TraceClock::Other(_)) {
            lacks(Lack::TimesWorkedOut);
        }
        if self.main.buffer_kib < buffer >> 11 {
            lacks(Lack::SmallBuffer { bytes: (self.main.buffer_kib as u64) << 10, each_cpu: true });
        }
        if !reads_others() {
            lacks(Lack::OtherUsersFields);
        }
        notes
    }

    fn boot_ns(&self, ns: u64) -> u64 {
        match self.main.clock {
            TraceClock::Boot => ns,
            TraceClock::Mono => ns.saturating_add(self.boot_offset_ns),
            TraceClock::Other(behind) => ns.saturating_add_signed(behind),
        }
    }

    fn mono_ns(&self, ns: u64) -> u64 {
        self.boot_ns(ns).saturating_sub(self.boot_offset_ns)
    }

    /// The same moment by the clock of the trace.
    fn trace_ns(&self, mono_ns: u64) -> u64 {
        let boot_ns = mono_ns.saturating_add(self.boot_offset_ns);
        match self.main.clock {
            TraceClock::Boot => boot_ns,
            TraceClock::Mono => mono_ns,
            TraceClock::Other(behind) => boot_ns.saturating_add_signed(behind.saturating_neg()),
        }
    }

    /// Reads the records of both buffers.
    fn receive(&mut self, out: &mut dyn Intake) -> io::Result<()> {
        let mut malformed = 0;
        let count = self.counted.elapsed() > COUNT_EVERY;
        self.main.take(&self.schema, &mut malformed, &mut self.raws, &mut self.gaps)?;
        if count {
            self.main.rest_lost(&mut self.gaps);
        }
        let looker = Arc::clone(&self.looker);
        let mut execs = looker.lock();
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

    /// Works out the reports of the records up to this time. It is before both buffers were read,
    /// one after the other: of later events the second may hold an exec, and the first not yet its
    /// name.
    fn assemble(&mut self, until_ns: u64) {
        self.raws.sort_by_key(|raw| raw.ns);
        let count = self.raws.partition_point(|raw| raw.ns <= until_ns);
        let rest = self.raws.split_off(count);
        let raws = std::mem::replace(&mut self.raws, rest);
        let mut assembler = std::mem::take(&mut self.assembler);
        let mut told = Vec::with_capacity(raws.len());
        assembler.take(raws, &mut ProcFiles, &mut |ns, processor, what| told.push((ns, processor, what)));
        self.assembler = assembler;
        for (ns, processor, what) in told {
            if self.boot_ns(ns) < self.attached_ns {
                continue;
            }
            let look = match what {
                Happening::Exec { task, .. } => self.looks.remove(&(ns, task.pid)),
                _ => None,
            };
            self.settling.push(Report { mono_ns: self.mono_ns(ns), processor, what, look });
        }
        if self.raws.is_empty() {
            self.looks.clear();
        }
    }

    fn set_clocks(&mut self, out: &mut dyn Intake) {
        out.set_clock(sys::clock());
        let measure = |times: usize| {
            let all = (0..times).map(|_| {
                let mono = sys::now_mono_ns();
                sys::now_boot_ns().saturating_sub(mono)
            });
            all.min().unwrap_or(0)
        };
        // Two clocks cannot be read at once: the smallest difference is the closest. Only a suspend
        // makes it grow. Waiting records have their time by the last one. So if it only seems to
        // grow, a process's exec could come before its fork.
        let known = self.boot_offset_ns;
        let mut offset = measure(4);
        if offset > known + SUSPENDED_NS {
            offset = offset.min(measure(64));
        }
        if offset < known || offset - known > SUSPENDED_NS {
            self.boot_offset_ns = offset;
            self.tracker.set_boot_offset(offset);
            self.main.measure_clock();
        }
    }

    /// Reports processes that are already running. A process forked since comes as a fork.
    fn begin(&mut self, out: &mut dyn Intake) -> io::Result<ControlFlow<()>> {
        self.set_clocks(out);
        let mut looks = look_at_all(self.tracker.depth());
        let until_ns = self.trace_ns(sys::now_mono_ns());
        self.receive(out)?;
        self.assemble(until_ns);
        let (forked, ended) = (self.settling.forked(), self.settling.ended());
        self.tracker.keep_those_before(&mut looks, &forked, &ended, self.attached_ns);
        if self.tracker.begin(&looks, &mut |record| out.push(record)).is_break() {
            return Ok(ControlFlow::Break(()));
        }
        out.plant(self.tracker.descendants(&self.want.trees));
        Ok(self.tracker.tell(looks, self.attached_ns, &mut |record| out.push(record)))
    }

    fn give(&mut self, until_ns: u64, out: &mut dyn Intake) -> ControlFlow<(), usize> {
        let estimated = matches!(self.main.clock, TraceClock::Other(_));
        let given = self.settling.give(until_ns);
        let count = given.len();
        for told in given {
            self.tracker.feed(told, &mut ProcFiles, &mut |record: &Record<'_>| {
                if !estimated {
                    return out.push(record);
                }
                let mut record = record.clone();
                record.flaws.mark(Field::Time, Flaw::Estimated);
                out.push(&record)
            })?;
        }
        ControlFlow::Continue(count)
    }

    /// Delivers the events up to this time; with `all` every one.
    fn round(&mut self, until_ns: u64, all: bool, out: &mut dyn Intake) -> io::Result<ControlFlow<(), usize>> {
        self.set_clocks(out);
        self.receive(out)?;
        for gap in std::mem::take(&mut self.gaps) {
            self.settling.distrust();
            let after_ns = self.mono_ns(gap.after_ns);
            let lost = self.lost.get_or_insert((after_ns, 0));
            *lost = (lost.0.min(after_ns), lost.1.saturating_add(gap.count));
        }
        self.assemble(self.trace_ns(until_ns));
        let until_ns = until_ns.saturating_sub(if all { 0 } else { SETTLE_NS });
        let mut count = 0;
        if let Some((after_ns, missing)) = self.lost.take_if(|(after_ns, _)| *after_ns <= until_ns) {
            let ControlFlow::Continue(before) = self.give(after_ns, out) else { return Ok(ControlFlow::Break(())) };
            count += before;
            self.tracker.doubt();
            self.assembler.doubt();
            self.doubtful = true;
            if out.lose(Lost::of(Kind::Lost, missing)).is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
        let ControlFlow::Continue(after) = self.give(until_ns, out) else { return Ok(ControlFlow::Break(())) };
        count += after;
        let quiet = count == 0 && self.is_empty();
        if self.doubtful && (quiet || self.resumed.elapsed() > RESUME_EVERY) {
            self.resumed = Instant::now();
            self.doubtful = !quiet;
            let looks: Vec<(Pid, Look)> = look_at_all(Depth::Full);
            for (pid, look) in &looks {
                self.assembler.learn(*pid, *pid);
                look.threads.iter().for_each(|&tid| self.assembler.learn(tid, *pid));
            }
            self.tracker.resume(looks, &mut |record| out.push(record));
        }
        Ok(ControlFlow::Continue(count))
    }

    fn is_empty(&self) -> bool {
        self.settling.is_empty() && self.raws.is_empty()
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
                self.counted -= 2 * COUNT_EVERY;
            } else {
                until_ns = until_ns.saturating_sub(LATE_NS);
            }
            let ControlFlow::Continue(count) = self.round(until_ns, stopping, out)? else { return Ok(()) };
            if out.batch_end().is_break() || stopping {
                return Ok(());
            }
            if count > 0 || !self.is_empty() {
                wait([stop.fd()], INTERVAL)?;
                continue;
            }
            let pipes = self.main.pipes().map(AsFd::as_fd);
            self.looker.sleep(pipes.chain([stop.fd()]), ASLEEP)?;
        }
    }
}

impl Source for Live {
    fn run(&mut self, out: &mut dyn Intake, stop: &Stop) -> Result<(), Error> {
        let fail = |error| Error::Source { source_id: SourceId::Tracefs, what: "reading the trace", error };
        let looker = Arc::clone(&self.looker);
        looker.beside(|| self.pump(out, stop))?.map_err(fail)
    }
}

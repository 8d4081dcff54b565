//! Real processes for a mechanism to find, and its reports on them.

use std::ffi::{OsStr, OsString};
use std::io::{self, Read};
use std::ops::ControlFlow;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use procscope::{
    Counts, Error, Event, EventKind, EventSet, Kind, Monitor, Process, Reconciler, Side, SourceId, Summary, Timestamp,
    Verification,
};

use crate::program;

use super::judge::{End, Probe, Truth, has_label};
use super::storm::{Agreement, Storm};

/// The first argument of a probe. Its exit code and its odd arguments follow.
const PROBE: &str = "doctor-probe";
/// The first argument of a process that starts the probes itself, for a mechanism that reports only
/// a command. The parts of its labels follow.
const FAMILY: &str = "doctor-probes";
const CODE: u32 = 7;
const SIGKILL: u8 = 9;
/// How long an event may take.
const PATIENCE: Duration = Duration::from_secs(3);
/// A mechanism that reads /proc has at least this long to do so.
const LIFE: Duration = Duration::from_millis(100);
/// This many events are kept: a mechanism that cannot follow only the probes reports every process.
const MOST: usize = 200_000;
/// This many threads make a storm.
const SPAWNERS: u64 = 2;

/// The work of a process that the doctor started: it waits until its standard input ends, and then
/// ends as requested.
pub(crate) fn answer(arguments: impl IntoIterator<Item = OsString>) -> Option<ExitCode> {
    let mut arguments = arguments.into_iter().skip(1);
    let first = arguments.next()?;
    if first == FAMILY {
        let base = arguments.next()?.into_vec();
        return Some(start_family(&family_labels(&base)).map_or(ExitCode::FAILURE, |()| ExitCode::SUCCESS));
    }
    if first != PROBE {
        return None;
    }
    let code = arguments.next()?.to_str()?.parse::<u8>().ok()?;
    let _ = io::stdin().read_to_end(&mut Vec::new());
    Some(ExitCode::from(code))
}

/// This program, so that no other is needed: /proc's link works even if the file is gone.
fn own_program() -> PathBuf {
    let link = PathBuf::from("/proc/self/exe");
    if link.exists() { link } else { OsStr::from_bytes(rustix::param::linux_execfn().to_bytes()).into() }
}

/// Which events came, and how many.
#[derive(Default)]
struct Seen {
    events: Vec<Event>,
    /// For each kind, of any process.
    counts: Counts,
    /// Execs of the storm with the right arguments, and with wrong ones.
    exact: u64,
    wrong: u64,
}

/// Receives a monitor's events, for another thread to look at.
#[derive(Clone)]
struct Keep {
    seen: Arc<Mutex<Seen>>,
    /// Keeps no events, and looks at execs with this argument.
    counted: Option<Arc<[u8]>>,
    /// A reconciler that also receives them, and the side.
    held_against: Vec<(Arc<Mutex<Reconciler>>, Side)>,
}

impl Keep {
    fn new(counted: Option<&[u8]>) -> Self {
        Self { seen: Arc::default(), counted: counted.map(Into::into), held_against: Vec::new() }
    }

    fn lock(&self) -> MutexGuard<'_, Seen> {
        lock(&self.seen)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl procscope::Sink for Keep {
    fn event(&mut self, event: &Event) -> io::Result<ControlFlow<()>> {
        for (reconciler, side) in &self.held_against {
            lock(reconciler).add(*side, event);
        }
        let counted = self.counted.clone();
        let mut seen = self.lock();
        seen.counts.add(event.kind.kind(), 1);
        let Some(label) = counted else {
            if seen.events.len() < MOST {
                seen.events.push(event.clone());
            }
            return Ok(ControlFlow::Continue(()));
        };
        if matches!(event.kind, EventKind::Exec(_)) && has_label(event, &label) {
            let right = event.process.as_ref().is_some_and(|process| is_of_storm(process, &label));
            *(if right { &mut seen.exact } else { &mut seen.wrong }) += 1;
        }
        Ok(ControlFlow::Continue(()))
    }
}

/// A monitor on a thread of its own.
struct Running {
    keep: Keep,
    stop: procscope::StopHandle,
    thread: thread::JoinHandle<Result<Summary, Error>>,
    notes: Vec<String>,
}

/// Attaches, following this process and its descendants. In another pid namespace its pid outside
/// is unknown, so all are followed.
fn attach(source: SourceId, events: EventSet, everybody: bool) -> Result<Monitor, Error> {
    let builder = Monitor::builder().source(source).events(events).user_names(false);
    if everybody { builder.build() } else { builder.tree(std::process::id()).build() }
}

impl Running {
    fn start(monitor: Monitor, keep: Keep) -> Self {
        let (stop, notes) = (monitor.stop_handle(), program::notes(monitor.session()));
        let mut sink = keep.clone();
        let thread = thread::spawn(move || monitor.run(&mut sink));
        Self { keep, stop, thread, notes }
    }

    /// Waits until what came is enough, or for long enough.
    fn wait(&self, patience: Duration, mut enough: impl FnMut(&Seen) -> bool) {
        let until = Instant::now() + patience;
        while !enough(&self.keep.lock()) && Instant::now() < until && !self.thread.is_finished() {
            thread::sleep(Duration::from_millis(10));
        }
    }

    fn end(self) -> Result<(Seen, Summary), Error> {
        self.stop.stop();
        let summary = self.thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
        let seen = std::mem::take(&mut *self.keep.lock());
        Ok((seen, summary))
    }
}

/// The actions, the events, how many were lost meanwhile, and the mechanism's session.
pub(super) struct Tried {
    pub(super) truth: Truth,
    pub(super) events: Vec<Event>,
    pub(super) lost: u64,
    pub(super) notes: Vec<String>,
}

/// Why nothing could be tried.
pub(super) enum Refusal {
    Mechanism(Error),
    /// No probe could be started.
    Probe(io::Error),
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        Self::Mechanism(error)
    }
}

fn now() -> Timestamp {
    let since = std::time::UNIX_EPOCH.elapsed().unwrap_or_default();
    Timestamp(i64::try_from(since.as_nanos()).unwrap_or(i64::MAX))
}

fn label(what: &str) -> Vec<u8> {
    let now = std::time::UNIX_EPOCH.elapsed().unwrap_or_default().as_nanos();
    format!("{what}-{}-{now}", std::process::id()).into_bytes()
}

fn spawn(program: &PathBuf, argv: &[Vec<u8>]) -> io::Result<Child> {
    let os = |text: &Vec<u8>| OsString::from_vec(text.clone());
    let mut command = Command::new(program);
    if let Some(first) = argv.first() {
        command.arg0(os(first));
    }
    command.args(argv.iter().skip(1).map(os));
    // If nothing is mounted there is no /dev/null.
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()
}

const PROBED: [Kind; 4] = [Kind::Fork, Kind::Exec, Kind::ExecFailed, Kind::Exit];

/// The arguments of a probe.
fn probe_argv(label: &[u8]) -> Vec<Vec<u8>> {
    let odd: [&[u8]; 5] = [b"", b"two\nlines", b"\xff\xfe no UTF-8", b"\x1b[31m", b""];
    let usual = [&b"procscope"[..], PROBE.as_bytes(), b"7", label];
    usual.into_iter().chain(odd).map(<[u8]>::to_vec).collect()
}

/// The arguments of an exec that fails.
fn failed_argv(label: Vec<u8>) -> Vec<Vec<u8>> {
    vec![b"procscope".to_vec(), b"".to_vec(), b"\xff\n".to_vec(), label]
}

/// The labels of the probes and of the failed exec; the family itself has none of them.
fn family_labels(base: &[u8]) -> [Vec<u8>; 3] {
    [&b"code-"[..], b"signal-", b"none-"].map(|what| [what, base].concat())
}

/// Starts the probes as their parent, and waits for their ends.
fn start_family([code, signal, failed]: &[Vec<u8>; 3]) -> io::Result<()> {
    let program = own_program();
    let mut coded = spawn(&program, &probe_argv(code))?;
    let mut killed = spawn(&program, &probe_argv(signal))?;
    let _ = spawn(&"/nonexistent/procscope-doctor".into(), &failed_argv(failed.clone()));
    thread::sleep(LIFE);
    killed.kill()?;
    killed.wait()?;
    drop(coded.stdin.take());
    coded.wait().map(|_| ())
}

/// Tries a mechanism that reports only a command, on one that starts the probes.
pub(super) fn try_family(source: SourceId) -> Result<Tried, Refusal> {
    let base = label("family");
    let words = [own_program().into_os_string(), FAMILY.into(), OsString::from_vec(base.clone())];
    let events = PROBED.into_iter().fold(EventSet::NONE, EventSet::with);
    let builder = Monitor::builder().source(source).events(events).user_names(false);
    let monitor = builder.command(words).wait_all(true).sole_command(true).build()?;
    let (notes, command) = (program::notes(monitor.session()), monitor.command());
    let mut keep = Keep::new(None);
    let begun = now();
    let summary = monitor.run(&mut keep)?;
    let [code, signal, failed] = family_labels(&base);
    let probe = |label: Vec<u8>, end| Probe { pid: 0, argv: probe_argv(&label), label, end };
    let probes = vec![probe(code, End::Code(CODE)), probe(signal, End::Signal(SIGKILL))];
    let events = std::mem::take(&mut keep.lock().events);
    // Only the family knows the pids of its probes: they are found by their labels.
    let parent = command.map_or(0, |command| command.pid());
    let own = |event: &&Event| event.process.as_ref().is_some_and(|process| process.id.pid == parent);
    let name = events.iter().filter(own).find_map(|event| event.process.as_ref()?.name.clone());
    let parent_name = name.map(|name| name.to_vec()).unwrap_or_default();
    let (span, failed) = ([begun, now()], failed_argv(failed));
    let truth = Truth { parent, parent_name, other_pids: true, probes, span, parent_start: None, failed };
    Ok(Tried { truth, events, lost: summary.total_lost(), notes })
}

/// Tries a mechanism on a few processes with odd arguments.
pub(super) fn try_few(source: SourceId, other_pids: bool) -> Result<Tried, Refusal> {
    let events = PROBED.into_iter().fold(EventSet::NONE, EventSet::with);
    let running = Running::start(attach(source, events, other_pids)?, Keep::new(None));
    let (program, span_begun) = (own_program(), now());
    let argv = probe_argv;
    let mut children = Vec::new();
    let mut probes = Vec::new();
    for (what, end) in [("code", End::Code(CODE)), ("signal", End::Signal(SIGKILL))] {
        let label = label(what);
        let argv = argv(&label);
        let child = spawn(&program, &argv).map_err(Refusal::Probe)?;
        probes.push(Probe { pid: child.id(), argv, label, end });
        children.push((child, end));
    }
    let failed = failed_argv(label("none"));
    // It is missing on purpose.
    let _ = spawn(&"/nonexistent/procscope-doctor".into(), &failed);

    let name = rustix::thread::name().map(|name| name.into_bytes()).unwrap_or_default();
    let (parent, span) = (std::process::id(), [span_begun; 2]);
    let parent_start = procscope::start_of(parent);
    let mut truth = Truth { parent, parent_name: name, other_pids, probes, span, parent_start, failed };
    let begun = Instant::now();
    running.wait(PATIENCE, |seen| truth.have_come(Kind::Exec, &seen.events));
    thread::sleep(LIFE.saturating_sub(begun.elapsed()));
    for (mut child, end) in children {
        if matches!(end, End::Signal(_)) {
            child.kill().map_err(Refusal::Probe)?;
        }
        drop(child.stdin.take());
        child.wait().map_err(Refusal::Probe)?;
    }
    truth.span[1] = now();
    running.wait(PATIENCE, |seen| truth.have_come(Kind::Exit, &seen.events));
    let notes = running.notes.clone();
    let (seen, summary) = running.end()?;
    Ok(Tried { truth, events: seen.events, lost: summary.total_lost(), notes })
}

/// The arguments of one of the storm.
fn storm_argv(label: &[u8], number: u64) -> Vec<Vec<u8>> {
    let usual = [&b"procscope"[..], PROBE.as_bytes(), b"0", label];
    let own = [number.to_string().into_bytes(), vec![b'x'; (number % 97) as usize]];
    usual.into_iter().map(<[u8]>::to_vec).chain(own).collect()
}

fn is_of_storm(process: &Process, label: &[u8]) -> bool {
    let argv: Vec<Vec<u8>> = process.argv.iter().flat_map(|argv| argv.iter()).map(|text| text.to_vec()).collect();
    let number = argv.get(4).and_then(|number| std::str::from_utf8(number).ok()?.parse().ok());
    number.is_some_and(|number| argv == storm_argv(label, number))
}

/// Tries mechanisms, all at once, on very many processes, each of which ends at once. The first is
/// compared with each other one.
pub(super) fn try_storm(
    sources: &[SourceId],
    made: u64,
    other_pids: bool,
) -> Result<Vec<Result<Storm, Error>>, io::Error> {
    let kinds = [Kind::Fork, Kind::Exec, Kind::Exit];
    let events = kinds.into_iter().fold(EventSet::NONE, EventSet::with);
    let label = label("storm");
    let monitors: Vec<_> = sources.iter().map(|&source| attach(source, events, other_pids)).collect();
    let first = monitors.iter().position(Result::is_ok);
    let mut pairs = Vec::new();
    let mut keeps: Vec<_> = monitors.iter().map(|_| Keep::new(Some(&label))).collect();
    for (other, monitor) in monitors.iter().enumerate() {
        let Some(first) = first.filter(|&first| first != other) else { continue };
        if let (Ok(one), Ok(monitor)) = (&monitors[first], monitor) {
            let reconciler = Arc::new(Mutex::new(Reconciler::new(one.session(), monitor.session())));
            keeps[first].held_against.push((Arc::clone(&reconciler), Side::First));
            keeps[other].held_against.push((Arc::clone(&reconciler), Side::Second));
            pairs.push((first, other, reconciler));
        }
    }
    let running: Vec<_> =
        monitors.into_iter().zip(keeps).map(|(monitor, keep)| Ok(Running::start(monitor?, keep))).collect();

    make_storm(made, &label)?;
    let all = |seen: &Seen| match other_pids {
        // Among the events of all processes, only execs show whose they are.
        true => seen.exact >= made,
        false => kinds.into_iter().all(|kind| seen.counts.of(kind) >= made),
    };
    running.iter().flatten().for_each(|running: &Running| running.wait(PATIENCE, all));
    let ended = running.into_iter().zip(0..).map(|(running, place): (Result<Running, Error>, usize)| {
        let (seen, summary) = running?.end()?;
        for (first, other, reconciler) in &pairs {
            let sides = [(*first, Side::First), (*other, Side::Second)];
            sides.into_iter().filter(|(of, _)| *of == place).for_each(|(_, side)| {
                lock(reconciler).end(side, summary.until);
            });
        }
        let [forks, execs, exits] = match other_pids {
            true => [seen.exact + seen.wrong; 3],
            false => kinds.map(|kind| seen.counts.of(kind)),
        };
        let lost_elsewhere = other_pids || summary.lost(Kind::Lost) > 0;
        let (exact, wrong, lost) = (seen.exact, seen.wrong, summary.total_lost());
        Ok(Storm { made, forks, execs, exits, exact, wrong, lost, lost_elsewhere, agreements: Vec::new() })
    });
    let mut storms: Vec<Result<Storm, Error>> = ended.collect();
    for (first, other, reconciler) in pairs {
        let it = lock(&reconciler).finish();
        for (this, that, side) in [(first, other, Side::First), (other, first, Side::Second)] {
            if let Ok(storm) = &mut storms[this] {
                storm.agreements.push(agreement(&it, side, sources[that], [sources[first], sources[other]]));
            }
        }
    }
    Ok(storms)
}

fn agreement(it: &Verification, side: Side, with: SourceId, both: [SourceId; 2]) -> Agreement {
    let counts_loss = |id: SourceId| procscope::sources().iter().any(|it| it.id == id && it.capabilities.counts_loss);
    Agreement {
        with: with.name(),
        compared: it.total_compared(),
        agreed: it.total_agreed(),
        alone: it.total_missing(side.other()),
        missing: it.total_missing(side),
        explained: Side::BOTH.into_iter().map(|side| it.total_explained(side)).sum(),
        differing: it.differing.iter().map(|(_, n)| n).sum(),
        claimed: both.into_iter().all(counts_loss),
    }
}

fn make_storm(made: u64, label: &[u8]) -> io::Result<()> {
    let program = own_program();
    let spawner = |first: u64| -> io::Result<()> {
        for number in (first..made).step_by(SPAWNERS as usize) {
            spawn(&program, &storm_argv(label, number))?.wait()?;
        }
        Ok(())
    };
    thread::scope(|scope| {
        let threads: Vec<_> = (0..SPAWNERS)
            .map(|first| {
                scope.spawn({
                    let spawner = &spawner;
                    move || spawner(first)
                })
            })
            .collect();
        threads.into_iter().try_for_each(|it| it.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
    })
}

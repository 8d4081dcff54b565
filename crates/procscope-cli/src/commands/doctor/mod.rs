//! Tries every mechanism on real processes, and names the fix for what fails.

// On a system without mechanisms, their judge is compiled and tested all the same.
#![cfg_attr(not(target_os = "linux"), allow(dead_code))]

mod document;
mod facts;
mod judge;
#[cfg(target_os = "linux")]
pub(crate) mod probe;
mod storm;
mod text;

use std::io;
use std::process::ExitCode;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use procscope::{Error, Kind, Obstacle, SourceId, SourceInfo, Verdict};
use serde::Serialize;

use self::document::JsonReport;
use self::facts::Facts;
use self::judge::Check;
use self::storm::Storm;
#[cfg(any(target_os = "linux", test))]
use self::storm::judge_storm;
use crate::args::{Doctor, Report as Format};
use crate::failure::Failure;
use crate::program;
use crate::{json, output};

/// The exit status if a mechanism works, but none with all that it claims.
const STATUS_PARTLY: u8 = 3;
/// A slower mechanism is considered dead.
const LIMIT: Duration = Duration::from_secs(20);
const STORM_LIMIT: Duration = Duration::from_secs(120);
/// How many processes `--deep` makes.
const STORM: u64 = 2000;

/// Whether a mechanism works.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Works {
    No,
    /// It could not be tried.
    Unknown,
    Partly,
    Yes,
}

impl Works {
    fn name(self) -> &'static str {
        match self {
            Self::No => "no",
            Self::Unknown => "unknown",
            Self::Partly => "partly",
            Self::Yes => "yes",
        }
    }
}

/// What fails, why, and what to type.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
struct Trouble {
    what: String,
    cause: String,
    help: String,
}

/// The result of one mechanism.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Trial {
    id: &'static str,
    /// It reports only a command that procscope runs.
    command_only: bool,
    works: Works,
    checks: Vec<Check>,
    storm: Option<Storm>,
    troubles: Vec<Trouble>,
}

/// All that the doctor found.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Report {
    facts: Facts,
    /// The one picked if none is named.
    auto: Option<&'static str>,
    trials: Vec<Trial>,
}

/// Tries the mechanisms.
pub(crate) fn run(doctor: &Doctor) -> Result<ExitCode, Failure> {
    let facts = facts::read_facts();
    let sources = procscope::sources();
    let asked = |info: &SourceInfo| doctor.source.0.is_none_or(|id| id == info.id);
    let trials = try_sources(sources.into_iter().filter(asked).collect(), &facts, doctor.deep);
    let report = Report::new(facts, trials);
    match doctor.format {
        Format::Text => output::print(text::text(&report).as_bytes())?,
        Format::Json => output::print(&json::document(&JsonReport::new(&report)))?,
    }
    Ok(match report.works() {
        Some(Works::Yes) => ExitCode::SUCCESS,
        Some(Works::Partly) => ExitCode::from(STATUS_PARTLY),
        _ => ExitCode::FAILURE,
    })
}

impl Report {
    fn new(facts: Facts, trials: Vec<Trial>) -> Self {
        let first = trials.iter().find(|trial| trial.works >= Works::Partly && !trial.command_only);
        Self { auto: first.map(|trial| trial.id), facts, trials }
    }

    /// How well the best works, if possible of those that report every process.
    fn works(&self) -> Option<Works> {
        let of = |command_only: bool| {
            let trials = self.trials.iter().filter(move |trial| trial.command_only == command_only);
            trials.map(|trial| trial.works).max()
        };
        of(false).or_else(|| of(true))
    }
}

/// Waits at most this long for an answer: a call that never returns keeps its thread, and the
/// program ends without it. An error means that no thread could be started.
fn within<T: Send + 'static>(limit: Duration, ask: impl FnOnce() -> T + Send + 'static) -> io::Result<Option<T>> {
    let (tell, told) = mpsc::channel();
    thread::Builder::new().spawn(move || _ = tell.send(ask()))?;
    Ok(told.recv_timeout(limit).ok())
}

fn trouble(what: String, source: SourceId, obstacle: &Obstacle) -> Trouble {
    let help = program::help(&obstacle.remedies, source).unwrap_or_default();
    Trouble { what, cause: obstacle.what.to_string(), help }
}

fn mechanism_fails(id: &str, error: Error) -> Trouble {
    let what = format!("{id} does not work");
    match error {
        Error::Unavailable { source_id, obstacle } => trouble(what, source_id, &obstacle),
        error => Trouble { what, ..troubled(Failure::from(error)) },
    }
}

fn troubled(failure: Failure) -> Trouble {
    Trouble { what: failure.what, cause: failure.cause, help: failure.help }
}

fn dead(id: &str, limit: Duration) -> Trouble {
    Trouble {
        what: format!("{id} does not work"),
        cause: format!("it gave no answer in {} seconds", limit.as_secs()),
        help: format!("procscope doctor --source {id}, when the system is less busy"),
    }
}

/// A mechanism, its results so far, and its session if it could be attached.
#[cfg(target_os = "linux")]
struct Tried {
    info: SourceInfo,
    trial: Trial,
    notes: Option<Vec<String>>,
}

#[cfg(target_os = "linux")]
fn try_sources(sources: Vec<SourceInfo>, facts: &Facts, deep: bool) -> Vec<Trial> {
    let other_pids = facts.linux.as_ref().is_some_and(|linux| linux.initial_pid_namespace == Some(false));
    let mut tried: Vec<_> = sources.into_iter().map(|info| try_source(info, other_pids)).collect();
    if deep {
        try_storm(&mut tried, other_pids);
    }
    let conclude = |it: Tried| match it.notes {
        Some(notes) => conclude(it.trial, it.info.id, &it.info.verdict, &notes),
        None => it.trial,
    };
    tried.into_iter().map(conclude).collect()
}

#[cfg(target_os = "linux")]
fn refused(id: &str, refusal: probe::Refusal) -> (Works, Trouble) {
    match refusal {
        probe::Refusal::Mechanism(error) => (Works::No, mechanism_fails(id, error)),
        probe::Refusal::Probe(error) => (Works::Unknown, no_probe(id, &error)),
    }
}

#[cfg(target_os = "linux")]
fn try_source(info: SourceInfo, other_pids: bool) -> Tried {
    let (source, command_only) = (info.id, info.command_only);
    let id = source.name();
    let mut trial = Trial { id, command_only, works: Works::No, checks: Vec::new(), storm: None, troubles: Vec::new() };
    let tried =
        within(
            LIMIT,
            move || {
                if command_only { probe::try_family(source) } else { probe::try_few(source, other_pids) }
            },
        );
    let (works, trouble) = match tried {
        Ok(Some(Ok(tried))) => {
            trial.checks = judge::judge(&tried.truth, &info.capabilities, &tried.events, tried.lost);
            return Tried { info, trial, notes: Some(tried.notes) };
        }
        Ok(Some(Err(refusal))) => refused(id, refusal),
        Ok(None) => (Works::No, dead(id, LIMIT)),
        Err(error) => (Works::Unknown, no_probe(id, &error)),
    };
    trial.works = works;
    trial.troubles.push(trouble);
    Tried { info, trial, notes: None }
}

/// Starts a storm for all that work and report every process.
#[cfg(target_os = "linux")]
fn try_storm(tried: &mut [Tried], other_pids: bool) {
    let mut able: Vec<_> = tried.iter_mut().filter(|it| it.notes.is_some() && !it.info.command_only).collect();
    let sources: Vec<_> = able.iter().map(|it| it.info.id).collect();
    if sources.is_empty() {
        return;
    }
    let troubles: Vec<Trouble> = match within(STORM_LIMIT, move || probe::try_storm(&sources, STORM, other_pids)) {
        Ok(Some(Ok(storms))) => {
            for (it, storm) in able.into_iter().zip(storms) {
                match storm {
                    Ok(storm) => {
                        it.trial.checks.extend(judge_storm(&storm, &it.info.capabilities));
                        it.trial.storm = Some(storm);
                    }
                    Err(error) => it.trial.troubles.push(mechanism_fails(it.trial.id, error)),
                }
            }
            return;
        }
        Ok(None) => able.iter().map(|it| dead(it.trial.id, STORM_LIMIT)).collect(),
        Ok(Some(Err(error))) | Err(error) => able.iter().map(|it| no_probe(it.trial.id, &error)).collect(),
    };
    able.iter_mut().zip(troubles).for_each(|(it, trouble)| it.trial.troubles.push(trouble));
}

#[cfg(not(target_os = "linux"))]
fn try_sources(sources: Vec<SourceInfo>, _: &Facts, _: bool) -> Vec<Trial> {
    let try_source = |info: SourceInfo| {
        let id = info.id.name();
        let error = procscope::Monitor::builder().source(info.id).build().err();
        let (works, troubles) = match error {
            Some(error) => (Works::No, vec![mechanism_fails(id, error)]),
            None => (Works::Unknown, Vec::new()),
        };
        Trial { id, command_only: info.command_only, works, checks: Vec::new(), storm: None, troubles }
    };
    sources.into_iter().map(try_source).collect()
}

#[cfg(target_os = "linux")]
fn no_probe(id: &str, error: &io::Error) -> Trouble {
    Trouble {
        what: format!("{id} could not be tried"),
        cause: format!("no process or thread could be started: {}", crate::failure::describe(error)),
        help: "look at the limits that `ulimit -a` prints, then procscope doctor".to_owned(),
    }
}

/// Whether it works, by its checks and by its own notes.
fn conclude(mut trial: Trial, source: SourceId, verdict: &Verdict, notes: &[String]) -> Trial {
    let id = trial.id;
    if let Verdict::Degraded(obstacles) = verdict {
        let troubles = obstacles.iter().map(|obstacle| trouble(format!("{id} works in part"), source, obstacle));
        trial.troubles.extend(troubles);
    }
    let failed = trial.checks.iter().filter(|check| !check.holds());
    // The probe's obstacles are explained already.
    let explains = |obstacle: &Obstacle, check: &Check| {
        let kinds = obstacle.what.kinds().iter().map(Kind::name);
        kinds.chain(obstacle.what.fields().iter().map(|field| field.name())).any(|name| name == check.name)
    };
    let explained =
        |check: &&Check| matches!(verdict, Verdict::Degraded(all) if all.iter().any(|it| explains(it, check)));
    let unexplained: Vec<_> = failed.filter(|check| !explained(check)).collect();
    if !unexplained.is_empty() {
        let list = unexplained.iter().map(|check| format!("{} {}", check.name, check.found.name()));
        let details = unexplained.iter().filter(|check| check.name == "time" && !check.detail.is_empty());
        let details = details.map(|check| format!("the times of events are {}", check.detail));
        let causes: Vec<_> = details.chain(notes.iter().cloned()).collect();
        let cause = if causes.is_empty() { "no obstacle is known".to_owned() } else { causes.join("; ") };
        let trouble = Trouble {
            what: format!("{id} did not report the probes correctly: {}", list.collect::<Vec<_>>().join(", ")),
            cause,
            help: format!("procscope doctor --source {id} --format json, to report it"),
        };
        trial.troubles.push(trouble);
    }
    let came = |name| trial.checks.iter().any(|check| check.name == name && check.found == judge::Found::Ok);
    trial.works = if !["fork", "exec", "exit"].into_iter().any(came) {
        Works::No
    } else if trial.troubles.is_empty() {
        Works::Yes
    } else {
        Works::Partly
    };
    trial
}

#[cfg(test)]
mod tests {
    use procscope::{Cause, EventSet, Lack, Remedy};

    use super::judge::{Claim, Found};
    use super::storm::Agreement;
    use super::*;

    fn check(name: &'static str, claim: Claim, found: Found) -> Check {
        Check { name, claim, found, detail: String::new() }
    }

    fn trial(checks: Vec<Check>) -> Trial {
        Trial { id: "ebpf", command_only: false, works: Works::No, checks, storm: None, troubles: Vec::new() }
    }

    fn came() -> Vec<Check> {
        ["fork", "exec", "exit"].map(|name| check(name, Claim::Exact, Found::Ok)).to_vec()
    }

    fn degraded() -> Verdict {
        let kinds = EventSet::NONE.with(Kind::ExecFailed);
        let what = Lack::Kinds { kinds, why: Lack::UnreadableTracepoints.into() };
        let remedy = Remedy::Remount { at: "/sys/kernel/tracing", options: "mode=755".into() };
        Verdict::Degraded(vec![Obstacle::new(what, Cause::Privilege, remedy)])
    }

    #[test]
    fn a_mechanism_that_tells_nothing_does_not_work() {
        let silent = came().into_iter().map(|it| Check { found: Found::Missing, ..it }).collect();
        let concluded = conclude(trial(silent), SourceId::Ebpf, &Verdict::Ready, &[]);
        assert_eq!(concluded.works, Works::No);
        assert_eq!(concluded.troubles.len(), 1);
        assert_eq!(conclude(trial(came()), SourceId::Ebpf, &Verdict::Ready, &[]).works, Works::Yes);
    }

    #[test]
    fn what_is_missing_is_explained_once() {
        let checks = [came(), vec![check("exec-failed", Claim::Exact, Found::Missing)]].concat();
        let concluded = conclude(trial(checks.clone()), SourceId::Ebpf, &degraded(), &[]);
        assert_eq!((concluded.works, concluded.troubles.len()), (Works::Partly, 1));
        let concluded = conclude(trial(checks), SourceId::Ebpf, &Verdict::Ready, &["no room".to_owned()]);
        assert_eq!((concluded.works, concluded.troubles.len()), (Works::Partly, 1));
        assert_eq!(concluded.troubles[0].cause, "no room");
    }

    #[test]
    fn nobody_is_waited_for_for_ever() {
        let (_keep, never) = mpsc::channel::<()>();
        assert_eq!(within(Duration::from_millis(20), move || never.recv()).unwrap(), None);
        assert_eq!(within(LIMIT, || 7).unwrap(), Some(7));
        assert_eq!(within(LIMIT, || -> u32 { panic!("a mechanism that fails") }).unwrap(), None);
    }

    fn report() -> Report {
        let linux = facts::Linux {
            uid: 1000,
            capabilities: vec!["CAP_BPF", "CAP_PERFMON"],
            btf: true,
            lockdown: Some("integrity".into()),
            proc: true,
            tracefs: "unreadable",
            initial_pid_namespace: Some(true),
            initial_user_namespace: Some(true),
            container: false,
        };
        let facts = Facts {
            procscope: "0.1.0",
            os: "linux",
            kernel: "6.18.44\u{202e}".into(),
            arch: "x86_64".into(),
            linux: Some(linux),
        };
        let agreement = Agreement {
            with: "process-connector",
            compared: 6000,
            agreed: 5988,
            alone: 2,
            missing: 0,
            explained: 10,
            differing: 0,
            claimed: true,
        };
        let storm = Storm {
            made: 2000,
            forks: 2000,
            execs: 1990,
            exits: 2000,
            exact: 1990,
            lost: 10,
            agreements: vec![agreement],
            ..Storm::default()
        };
        let capabilities = |n: usize| procscope::sources().swap_remove(n).capabilities;
        let mut first = [came(), vec![check("exec-failed", Claim::Exact, Found::Missing)]].concat();
        first.extend(judge_storm(&storm, &capabilities(0)));
        let first = Trial { storm: Some(storm), ..conclude(trial(first), SourceId::Ebpf, &degraded(), &[]) };
        let mut second =
            [came(), vec![check("argv", Claim::Late, Found::Late), check("killer", Claim::No, Found::Missing)]]
                .concat();
        second[1] = Check { found: Found::Wrong, detail: "1 of 2".into(), ..second[1].clone() };
        let second = Trial { id: "process-connector", ..trial(second) };
        let second = conclude(second, SourceId::ProcessConnector, &Verdict::Ready, &[]);
        let third = Trial { id: "tracefs", troubles: vec![dead("tracefs", LIMIT)], ..trial(Vec::new()) };
        Report::new(facts, vec![first, second, third])
    }

    #[test]
    fn reports_fit_a_screen() {
        let text = text::text(&report());
        assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
        insta::assert_snapshot!(text);
    }

    #[test]
    fn reports_are_json() {
        let document = json::document(&JsonReport::new(&report()));
        let text = String::from_utf8(document).unwrap();
        assert!(serde_json::from_str::<serde_json::Value>(&text).is_ok() && !text.contains('\u{202e}'));
        insta::assert_snapshot!(text);
    }
}

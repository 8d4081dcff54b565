//! The mechanisms of this build: whether they work, and the opening of one.

#[cfg(feature = "ebpf")]
use super::ebpf;
use super::{Attached, Mechanism, auto};
use super::{proc_poll, process_connector, ptrace, tracefs};
use crate::launch::Launch;
use crate::plan::{Explanation, plan};
use crate::{Capabilities, Cause, Error, Lack, Note, Obstacle, Remedy, SourceId, SourceInfo, Want, sys};

/// Every mechanism of this build: of two that can report the same, the better one first.
pub(crate) static SOURCES: &[&dyn Mechanism] = &[
    #[cfg(feature = "ebpf")]
    &ebpf::Ebpf,
    &ptrace::Ptrace,
    &process_connector::ProcessConnector,
    &tracefs::Tracefs,
    &proc_poll::ProcPoll,
];

/// The mechanisms of this build, and whether they work here: the best first, for exec, exec-failed
/// and exit events.
pub fn sources() -> Vec<SourceInfo> {
    let info = |mechanism: &dyn Mechanism| SourceInfo {
        id: mechanism.id(),
        command_only: mechanism.needs_command(),
        capabilities: mechanism.capabilities(),
        verdict: mechanism.probe(),
    };
    let want = Want { launch: Some(Launch::default()), ..Want::default() };
    auto::best_first(SOURCES, &want).into_iter().map(info).collect()
}

/// The mechanisms planned for a system that has none yet.
fn planned() -> &'static str {
    match std::env::consts::OS {
        "windows" => "etw, wmi, a driver, toolhelp",
        "macos" => "dtrace, eslogger",
        _ => "none",
    }
}

/// A mechanism that was opened.
pub(crate) struct Opened {
    pub(crate) id: SourceId,
    pub(crate) capabilities: Capabilities,
    /// If it is not the best one, its notes begin with that: why, its cost, and the remedy.
    pub(crate) attached: Attached,
}

/// The named mechanism, or those that can do this, the best first.
fn candidates(named: Option<SourceId>, want: &Want) -> Vec<&'static dyn Mechanism> {
    match named {
        Some(id) => SOURCES.iter().copied().filter(|mechanism| mechanism.id() == id).collect(),
        None => auto::best_first(SOURCES, want),
    }
}

/// Opens the named mechanism, or the best that works here. A named one never falls back.
pub(crate) fn open(named: Option<SourceId>, want: &Want) -> Result<Opened, Error> {
    let none = Error::NoMechanism { os: std::env::consts::OS, planned: planned() };
    if named.is_none() && !cfg!(target_os = "linux") {
        return Err(none);
    }
    #[cfg(target_os = "linux")]
    crate::proc::timens::renew();
    let (mut failures, mut tried) = (Vec::new(), Vec::new());
    for mechanism in candidates(named, want) {
        let plan = plan(want, mechanism.id(), &mechanism.pushdown(), sys::uid_of);
        tried.push(mechanism.id());
        match mechanism.open(&plan.want) {
            Ok(mut attached) => {
                let surprises = std::mem::take(&mut attached.surprises);
                if let (Some(better), Some(tried)) = (failures.first(), tried.first()) {
                    attached.notes = vec![instead_of(better, *tried, mechanism)];
                }
                attached.notes.extend(surprises);
                #[cfg(target_os = "linux")]
                attached.notes.extend((!crate::proc::timens::is_known()).then(unknown_time));
                return Ok(Opened { id: mechanism.id(), capabilities: mechanism.capabilities(), attached });
            }
            Err(error @ (Error::Choice { .. } | Error::Sink(_))) => return Err(error),
            Err(error) => failures.push(error),
        }
    }
    Err(match failures.len() {
        0 => none,
        1 => failures.swap_remove(0),
        _ => Error::NoSourceWorks { failures },
    })
}

/// What is unknown without /proc.
#[cfg(target_os = "linux")]
fn unknown_time() -> Note {
    Obstacle::new(Lack::UnknownTimeNamespace, Cause::NotConfigured, Remedy::mount_proc()).into()
}

/// Says why this mechanism was picked, what that costs, and how to get the better one.
fn instead_of(error: &Error, better: SourceId, mechanism: &dyn Mechanism) -> Note {
    let (source, cost) = (mechanism.id(), mechanism.capabilities().cost);
    Note::InsteadOf { source, cost, better, obstacle: error.obstacle() }
}

/// The filter's effect on the named mechanism, or on the best.
pub(crate) fn explain(named: Option<SourceId>, want: &Want) -> Result<Explanation, Error> {
    let mechanism = candidates(named, want)
        .into_iter()
        .next()
        .ok_or(Error::NoMechanism { os: std::env::consts::OS, planned: planned() })?;
    Ok(plan(want, mechanism.id(), &mechanism.pushdown(), sys::uid_of).explanation)
}

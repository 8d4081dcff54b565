//! The contract that every mechanism meets, and the table of them.
//!
//! A mechanism's static value is there on every OS, so that naming it anywhere explains itself. What only its own system
//! can do stands in `live.rs`, its only file with FFI; what it reads is decoded in `decode.rs`, on every OS.

#[cfg(feature = "ebpf")]
pub(crate) mod ebpf;
pub(crate) mod record;

use crate::pipeline::{Outlet, Pipeline};
use crate::plan::{Explanation, Pushdown, plan};
use crate::{Error, SourceId, StopHandle, Timestamp, Want, sys};

/// One way by which a system tells of its processes.
pub(crate) trait Mechanism: Sync {
    fn id(&self) -> SourceId;

    /// What of a filter it can decide by itself.
    fn pushdown(&self) -> Pushdown {
        Pushdown::default()
    }

    /// Attaches. From its return on every event wanted is buffered or counted as lost.
    fn open(&self, want: &Want) -> Result<Box<dyn Source>, Error>;
}

/// A mechanism that is attached.
pub(crate) trait Source: Send {
    /// When it was attached.
    fn attached(&self) -> Timestamp;

    /// What it cannot do here, in words fit for a person.
    fn notes(&self) -> Vec<String>;

    /// Tells the pipeline what this mechanism leaves to it.
    fn prepare(&self, pipeline: &mut Pipeline);

    /// Puts records into the outlet until stopped, then what had happened by then. It stays attached until dropped.
    fn run(&mut self, out: &mut Outlet<'_>, stop: &StopHandle) -> Result<(), Error>;
}

/// Every mechanism of this build, the best first.
pub(crate) static SOURCES: &[&dyn Mechanism] = &[
    #[cfg(feature = "ebpf")]
    &ebpf::Ebpf,
];

/// The mechanisms planned for a system that has none yet.
fn to_come() -> &'static str {
    match std::env::consts::OS {
        "windows" => "etw, wmi, a driver, toolhelp",
        "macos" => "dtrace, eslogger",
        _ => "none",
    }
}

/// Opens the mechanism that was named, or else the best that works here. A named one never falls back.
pub(crate) fn open(named: Option<SourceId>, want: &Want) -> Result<(SourceId, Box<dyn Source>), Error> {
    let none = Error::NoMechanism { os: std::env::consts::OS, to_come: to_come() };
    if named.is_none() && !cfg!(target_os = "linux") {
        return Err(none);
    }
    let mut failure = None;
    for mechanism in SOURCES.iter().filter(|mechanism| named.is_none_or(|id| id == mechanism.id())) {
        let plan = plan(want, mechanism.id(), &mechanism.pushdown(), sys::uid_of);
        match mechanism.open(&plan.want) {
            Ok(source) => return Ok((mechanism.id(), source)),
            Err(error @ (Error::Filter { .. } | Error::Sink(_))) => return Err(error),
            Err(error) => _ = failure.get_or_insert(error),
        }
    }
    Err(failure.unwrap_or(none))
}

/// What a filter would make the mechanism do that was named, or else the best.
pub(crate) fn explain(named: Option<SourceId>, want: &Want) -> Result<Explanation, Error> {
    let mut mechanisms = SOURCES.iter().filter(|mechanism| named.is_none_or(|id| id == mechanism.id()));
    let mechanism = mechanisms.next().ok_or(Error::NoMechanism { os: std::env::consts::OS, to_come: to_come() })?;
    Ok(plan(want, mechanism.id(), &mechanism.pushdown(), sys::uid_of).explanation)
}

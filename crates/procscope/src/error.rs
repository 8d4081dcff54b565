use std::io;

use crate::{Capabilities, Cause, Lack, Obstacle, Remedy, SourceId};

/// The obstacle of a process or a system that may open no more files, whatever it was for; `None` of other errors.
#[cfg(target_os = "linux")]
pub(crate) fn limit_of(code: Option<i32>) -> Option<Obstacle> {
    let (system, remedy) = match code? {
        libc::EMFILE => (false, Remedy::OpenFiles),
        libc::ENFILE => (true, Remedy::SystemFiles),
        _ => return None,
    };
    Some(Obstacle::new(Lack::OpenFiles { system }, Cause::Busy, remedy))
}

/// Whether a mechanism works here.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Verdict {
    /// It does, with all that it can report.
    Ready,
    /// It does, with less than it could.
    Degraded(Vec<Obstacle>),
    /// It does not.
    Unavailable(Obstacle),
    /// Only trying shows it.
    Unsure(Obstacle),
}

/// A mechanism of this build, and whether it works here.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct SourceInfo {
    /// Its identity.
    pub id: SourceId,
    /// It reports only a command that the monitor itself runs.
    pub command_only: bool,
    /// What it can report at its best.
    pub capabilities: Capabilities,
    /// Whether it works here, found out without changing anything.
    pub verdict: Verdict,
}

/// An error of the library.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The mechanism cannot be used here.
    #[error("{}: {}", source_id.name(), obstacle.what)]
    Unavailable {
        /// Which mechanism.
        source_id: SourceId,
        /// The obstacle.
        obstacle: Obstacle,
    },
    /// None of the mechanisms that can report the requested events works here.
    #[error("no mechanism works here: {}", failures.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    NoSourceWorks {
        /// The reason for each of them, the best first.
        failures: Vec<Error>,
    },
    /// This build has no mechanism for this system.
    #[error("there is no mechanism for {os} yet; to come: {planned}")]
    NoMechanism {
        /// The operating system.
        os: &'static str,
        /// The mechanisms planned for it.
        planned: &'static str,
    },
    /// A choice names something that does not exist.
    #[error("{}", obstacle.what)]
    Choice {
        /// What does not exist.
        obstacle: Obstacle,
    },
    /// The command cannot be run.
    #[error("{name}: {error}")]
    Command {
        /// Its name.
        name: String,
        /// The system's error.
        #[source]
        error: io::Error,
    },
    /// The system refused something that every run needs.
    #[error("{what}: {error}")]
    System {
        /// The attempted action.
        what: &'static str,
        /// The system's error.
        #[source]
        error: io::Error,
    },
    /// The sink failed.
    #[error(transparent)]
    Sink(io::Error),
    /// The source failed while running.
    #[error("{}: {what}", source_id.name())]
    Source {
        /// Which mechanism.
        source_id: SourceId,
        /// The attempted action.
        what: &'static str,
        /// The system's error.
        #[source]
        error: io::Error,
    },
}

impl Error {
    /// What a person can do about it: any one of these.
    pub fn remedies(&self) -> &[Remedy] {
        match self {
            Self::Unavailable { obstacle, .. } | Self::Choice { obstacle } => &obstacle.remedies,
            Self::NoSourceWorks { failures } => {
                failures.iter().map(Self::remedies).find(|all| !all.is_empty()).unwrap_or_default()
            }
            Self::NoMechanism { .. }
            | Self::Command { .. }
            | Self::System { .. }
            | Self::Sink(_)
            | Self::Source { .. } => &[],
        }
    }

    /// The obstacle, if one mechanism was tried.
    pub(crate) fn obstacle(&self) -> Obstacle {
        match self {
            Self::Unavailable { obstacle, .. } | Self::Choice { obstacle } => obstacle.clone(),
            Self::System { what, error } | Self::Source { what, error, .. } => {
                Obstacle::lasting(Lack::Failed { what, error: error.into() }, Cause::Io)
            }
            Self::Command { error, .. } | Self::Sink(error) => {
                Obstacle::lasting(Lack::Failed { what: "running", error: error.into() }, Cause::Io)
            }
            Self::NoSourceWorks { failures } if let Some(first) = failures.first() => first.obstacle(),
            Self::NoSourceWorks { .. } | Self::NoMechanism { .. } => Obstacle::lasting(Lack::NoAnswer, Cause::WrongOs),
        }
    }
}

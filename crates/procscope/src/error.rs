use std::io;

use crate::{Capabilities, SourceId};

/// Why a mechanism cannot be used.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Cause {
    /// It belongs to another operating system.
    WrongOs,
    /// The caller lacks a privilege.
    Privilege,
    /// The kernel is older than the mechanism.
    TooOld,
    /// The kernel was built or set up without it.
    NotConfigured,
    /// Another program holds it.
    Busy,
    /// A file or a system call failed.
    Io,
}

/// An obstacle to a mechanism, and its remedy.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Obstacle {
    /// What was tried, and what happened.
    pub what: String,
    /// The kind of reason.
    pub cause: Cause,
    /// What to type next.
    pub remedy: String,
}

impl Obstacle {
    /// The obstacle if no more files can be opened, whatever they were for; `None` for other
    /// errors.
    #[cfg(target_os = "linux")]
    pub(crate) fn of_limit(error: Option<i32>) -> Option<Self> {
        let (what, remedy) = match error? {
            libc::EMFILE => {
                ("this process may open no more files", "raise the limit: ulimit -n 1024, then start procscope again")
            }
            libc::ENFILE => (
                "the system may open no more files",
                "close programs, or raise the limit: sudo sysctl -w fs.file-max=1000000",
            ),
            _ => return None,
        };
        Some(Self { what: what.to_owned(), cause: Cause::Busy, remedy: remedy.to_owned() })
    }
}

impl std::fmt::Display for Obstacle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}; {}", self.what, self.remedy)
    }
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
    NoneWorks {
        /// The reason for each of them, the best first.
        failures: Vec<Error>,
    },
    /// This build has no mechanism for this system.
    #[error("procscope has no mechanism for {os} yet; to come: {to_come}")]
    NoMechanism {
        /// The operating system.
        os: &'static str,
        /// The mechanisms planned for it.
        to_come: &'static str,
    },
    /// A filter names something that does not exist.
    #[error("{what}")]
    Filter {
        /// What is wrong.
        what: String,
        /// What to type next.
        remedy: String,
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
    /// What to type next, if something helps.
    pub fn remedy(&self) -> Option<&str> {
        match self {
            Self::Unavailable { obstacle, .. } => Some(&obstacle.remedy),
            Self::Filter { remedy, .. } => Some(remedy),
            Self::NoneWorks { failures } => failures.iter().find_map(Self::remedy),
            Self::NoMechanism { .. }
            | Self::Command { .. }
            | Self::System { .. }
            | Self::Sink(_)
            | Self::Source { .. } => None,
        }
    }
}

use std::fmt;
use std::io::{self, Write};

use procscope::{Error, Remedy};
use procscope_format::json::ReadError;

use crate::program;
use procscope_format::escape;

/// Why the program ends with status 1, in the three lines that every error has.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Failure {
    pub(crate) what: String,
    pub(crate) cause: String,
    /// What to type next.
    pub(crate) help: String,
}

impl Failure {
    pub(crate) fn print(&self) {
        // A closed stderr must not turn an error into a panic.
        let _ = writeln!(io::stderr(), "{self}");
    }

    /// An output that cannot be written.
    pub(crate) fn writing(target: &str, error: &io::Error) -> Self {
        let help = remedy(error).unwrap_or("write elsewhere: procscope -o FILE");
        Self { what: format!("cannot write to {target}"), cause: describe(error), help: help.to_owned() }
    }
}

impl Failure {
    /// A recording that cannot be read, or not to its end.
    pub(crate) fn reading(error: &(dyn std::error::Error + 'static)) -> Self {
        let (cause, help) = match error.downcast_ref::<ReadError>() {
            Some(ReadError::Foreign(_)) => (error.to_string(), "record events first: procscope --format json -o FILE"),
            Some(ReadError::Io { error: io, .. }) => (
                error.to_string(),
                remedy(io).unwrap_or("see what it is: file FILE; test a compressed one: gzip -t, zstd -t"),
            ),
            _ => (error.to_string(), "see procscope replay --help"),
        };
        Self { what: "cannot replay the recording, or not to its end".to_owned(), cause, help: help.to_owned() }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { what, cause, help } = self;
        let [what, cause, help] = [what, cause, help].map(|line| escape::visible(line));
        write!(f, "procscope: {what}\ncause: {cause}\nhelp: {help}")
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        match error {
            Error::Unavailable { source_id, obstacle } => Self {
                what: format!("cannot watch processes through {}", source_id.name()),
                cause: obstacle.what.to_string(),
                help: program::help(&obstacle.remedies, source_id).unwrap_or_else(|| SEE_DOCTOR.to_owned()),
            },
            Error::NoSourceWorks { failures } => {
                let help = failures.iter().find_map(|failure| match failure {
                    Error::Unavailable { source_id, obstacle } => program::help(&obstacle.remedies, *source_id),
                    _ => None,
                });
                Self {
                    what: "cannot watch processes: no mechanism works here".to_owned(),
                    cause: failures.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "),
                    help: help.map_or(SEE_DOCTOR.to_owned(), |help| format!("{help}; {SEE_DOCTOR}")),
                }
            }
            Error::NoMechanism { os, planned } => Self {
                what: format!("cannot watch processes on {os} yet"),
                cause: format!("this version has no mechanism for {os}; to come: {planned}"),
                help: "run procscope on Linux".to_owned(),
            },
            Error::Choice { obstacle } => Self {
                what: "cannot watch what you asked for".to_owned(),
                cause: obstacle.what.to_string(),
                help: joined(&obstacle.remedies),
            },
            Error::Sink(error) => Self::writing("the output", &error),
            Error::Source { source_id, what, error } => Self {
                what: format!("{} stopped; events after this moment are missing", source_id.name()),
                cause: format!("{what}: {}", describe(&error)),
                help: remedy(&error)
                    .unwrap_or("start procscope again; if it happens again, report it with the output of `uname -r`")
                    .to_owned(),
            },
            Error::Command { name, error } => Self {
                what: format!("cannot run {name}"),
                help: match error.kind() {
                    _ if remedy(&error).is_some() => remedy(&error).unwrap_or_default(),
                    io::ErrorKind::NotFound => "name a program in $PATH, or a file by its path: ./program",
                    io::ErrorKind::PermissionDenied => "check that it may be executed: ls -l; if not: chmod +x",
                    _ => "see what it is: file FILE",
                }
                .to_owned(),
                cause: describe(&error),
            },
            Error::System { what, error } => Self {
                what: "cannot start watching".to_owned(),
                cause: format!("{what}: {}", describe(&error)),
                help: remedy(&error)
                    .unwrap_or("look at the limits that `ulimit -a` prints, then start procscope again")
                    .to_owned(),
            },
            other => Self {
                what: "cannot go on".to_owned(),
                cause: other.to_string(),
                help: "see procscope --help".to_owned(),
            },
        }
    }
}

const SEE_DOCTOR: &str = "procscope doctor explains each";

fn joined(remedies: &[Remedy]) -> String {
    remedies.iter().map(ToString::to_string).collect::<Vec<_>>().join(", or ")
}

/// What to type after reaching a limit, whatever was tried.
pub(crate) fn remedy(error: &io::Error) -> Option<&'static str> {
    match error.kind() {
        io::ErrorKind::StorageFull => {
            return Some("free some space (df -h shows where), or write elsewhere: procscope -o FILE");
        }
        io::ErrorKind::QuotaExceeded => {
            return Some("free some of your space (quota -s shows it), or write elsewhere: procscope -o FILE");
        }
        io::ErrorKind::FileTooLarge => {
            return Some("raise the limit: ulimit -f unlimited, or write elsewhere: procscope -o FILE");
        }
        _ => {}
    }
    #[cfg(target_os = "linux")]
    match error.raw_os_error() {
        Some(libc::EMFILE) => return Some("raise the limit: ulimit -n 1024, then start procscope again"),
        Some(libc::ENFILE) => {
            return Some("close programs, or raise the limit: sudo sysctl -w fs.file-max=1000000");
        }
        _ => {}
    }
    None
}

/// The system's words for an error, without Rust's "(os error 28)".
pub(crate) fn describe(error: &io::Error) -> String {
    let text = error.to_string();
    match text.find(" (os error ") {
        Some(end) => text[..end].to_owned(),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use procscope::{Cause, Lack, Obstacle, SourceId};

    use super::*;

    #[test]
    fn every_error_has_three_lines() {
        let obstacle = || Obstacle::new(Lack::ForeignProc, Cause::NotConfigured, Remedy::mount_proc());
        let unavailable = |source_id| Error::Unavailable { source_id, obstacle: obstacle() };
        let errors = [
            unavailable(SourceId::Ebpf),
            Error::NoMechanism { os: "windows", planned: "etw, wmi, toolhelp" },
            Error::NoSourceWorks { failures: vec![unavailable(SourceId::Ebpf), unavailable(SourceId::ProcPoll)] },
            Error::Choice {
                obstacle: Obstacle::new(
                    Lack::NoCgroup { path: "/x".to_owned(), error: None },
                    Cause::Io,
                    Remedy::NameCgroup,
                ),
            },
            Error::System { what: "making an event descriptor", error: io::Error::from_raw_os_error(24) },
            Error::Source {
                source_id: SourceId::Ebpf,
                what: "reading the ring",
                error: io::Error::from_raw_os_error(5),
            },
        ];
        let mut text = String::new();
        for error in errors {
            text += &format!("{}\n\n", Failure::from(error));
        }
        // ENOSPC, EDQUOT, EFBIG, EMFILE, ENFILE, EIO.
        for number in [28, 122, 27, 24, 23, 5] {
            text += &format!("{}\n\n", Failure::writing("/var/log/x", &io::Error::from_raw_os_error(number)));
        }
        assert!(text.split("\n\n").filter(|part| !part.is_empty()).all(|part| part.lines().count() == 3));
        insta::assert_snapshot!(text);
    }

    #[test]
    fn a_hostile_path_stays_harmless() {
        let failure = Failure::writing("/tmp/\x1b[2J\nx", &io::Error::from(io::ErrorKind::NotFound));
        assert!(!failure.to_string().contains('\x1b'));
        assert_eq!(failure.to_string().lines().count(), 3);
    }
}

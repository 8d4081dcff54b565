//! Obstacles to a mechanism, as data: a program words them for its users.

mod lack;
mod remedy;

use std::fmt;
use std::io;

pub use lack::Lack;
pub use remedy::Remedy;

use crate::SourceId;

/// The kind of reason why a mechanism cannot be used, or not fully.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Cause {
    /// It belongs to another operating system.
    WrongOs,
    /// The caller lacks a privilege.
    Privilege,
    /// The kernel is older than the mechanism.
    TooOld,
    /// The system was built or set up without it.
    NotConfigured,
    /// A limit is reached, or another program holds it.
    Busy,
    /// A file or a system call failed.
    Io,
}

/// An obstacle to a mechanism, and its remedies.
///
/// Its [`Display`](fmt::Display) is plain English that names no program: `WHAT; REMEDY, or REMEDY`.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Obstacle {
    /// The missing part, or the failure.
    pub what: Lack,
    /// The kind of reason.
    pub cause: Cause,
    /// Its remedies: any one is enough.
    pub remedies: Vec<Remedy>,
}

impl Obstacle {
    /// An obstacle with one remedy.
    pub fn new(what: Lack, cause: Cause, remedy: Remedy) -> Self {
        Self { what, cause, remedies: vec![remedy] }
    }

    /// An obstacle without a remedy.
    pub fn lasting(what: Lack, cause: Cause) -> Self {
        Self { what, cause, remedies: Vec::new() }
    }

    /// The same with another remedy.
    #[must_use]
    pub fn or(mut self, remedy: Remedy) -> Self {
        self.remedies.push(remedy);
        self
    }
}

impl fmt::Display for Obstacle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.what)?;
        let joints = std::iter::once("; ").chain(std::iter::repeat(", or "));
        self.remedies.iter().zip(joints).try_for_each(|(remedy, joint)| write!(f, "{joint}{remedy}"))
    }
}

/// The system's answer to a failed call.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct SystemError {
    /// Its number, if the system gave one.
    pub code: Option<i32>,
    /// Its kind.
    pub kind: io::ErrorKind,
    text: String,
}

impl From<&io::Error> for SystemError {
    fn from(error: &io::Error) -> Self {
        Self { code: error.raw_os_error(), kind: error.kind(), text: error.to_string() }
    }
}

impl fmt::Display for SystemError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// A limitation of an attached mechanism.
///
/// Its [`Display`](fmt::Display) is plain English that names no program.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Note {
    /// Something is missing.
    Obstacle(Obstacle),
    /// A mechanism was picked in place of a better one.
    InsteadOf {
        /// The one that was picked.
        source: SourceId,
        /// Its cost: [`Capabilities::cost`](crate::Capabilities::cost).
        cost: &'static str,
        /// The better one.
        better: SourceId,
        /// The obstacle to that one.
        obstacle: Obstacle,
    },
    /// The note of a feed that is not a mechanism.
    Text(String),
}

impl From<Obstacle> for Note {
    fn from(obstacle: Obstacle) -> Self {
        Self::Obstacle(obstacle)
    }
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Obstacle(obstacle) => obstacle.fmt(f),
            Self::InsteadOf { source, cost, better, obstacle } => {
                write!(f, "{source} in place of {better}, since {}. So {cost}", obstacle.what)?;
                let joints = std::iter::once(". For all of it: ").chain(std::iter::repeat(", or "));
                obstacle.remedies.iter().zip(joints).try_for_each(|(remedy, joint)| write!(f, "{joint}{remedy}"))
            }
            Self::Text(text) => f.write_str(text),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{EventSet, Field, Kind};

    fn words(remedy: Remedy) -> String {
        remedy.to_string()
    }

    #[test]
    fn remedies_are_what_one_types() {
        assert_eq!(words(Remedy::mount_proc()), "mount -t proc proc /proc");
        let tracefs = Remedy::Mount { fs: "tracefs", at: "/t", options: "gid=7,mode=750".into(), sudo: true };
        assert_eq!(words(tracefs), "sudo mount -t tracefs -o gid=7,mode=750 tracefs /t");
        let names = &["CAP_BPF", "CAP_PERFMON"];
        assert_eq!(
            words(Remedy::Capabilities { names }),
            "grant CAP_BPF and CAP_PERFMON; to a container with: --cap-add BPF --cap-add PERFMON"
        );
        let options = &["CONFIG_A", "CONFIG_B"];
        assert_eq!(
            words(Remedy::Kernel { least: Some((5, 11)), options }),
            "boot Linux 5.11 or later with CONFIG_A=y and CONFIG_B=y: grep -e CONFIG_A -e CONFIG_B /boot/config-$(uname -r)"
        );
        assert_eq!(words(Remedy::Kernel { least: Some((5, 11)), options: &[] }), "boot Linux 5.11 or later");
        let options = &["--pid=host"];
        assert_eq!(
            words(Remedy::Host { options, user_namespace: false }),
            "run it on the host, or start the container with --pid=host and without a user namespace"
        );
    }

    #[test]
    fn an_obstacle_names_each_remedy() {
        let what = Lack::LockedDown { by: SourceId::Ebpf };
        let it =
            Obstacle::new(what, Cause::Privilege, Remedy::Try).or(Remedy::Boot { parameter: "lockdown=integrity" });
        let text = "the kernel is locked down (confidentiality), and lets no program read its memory; try it, or boot \
                    with lockdown=integrity";
        assert_eq!(it.to_string(), text);
        let missing = EventSet::NONE.with(Kind::Uid).with(Kind::ExecFailed);
        let what = Lack::Kinds { kinds: missing, why: Lack::NoSeccomp.into() };
        assert_eq!(what.kinds(), missing);
        let text = "exec-failed, uid events are missing: this kernel has no seccomp filters";
        assert_eq!(Obstacle::lasting(what, Cause::NotConfigured).to_string(), text);
        let fields = &[Field::Name, Field::Argv, Field::Exe];
        let what = Lack::Fields { fields, why: Lack::NotMounted { path: "/proc" }.into() };
        let text = "name, argv and exe are missing: /proc is not mounted";
        assert_eq!((what.to_string().as_str(), what.fields()), (text, &fields[..]));
    }
}

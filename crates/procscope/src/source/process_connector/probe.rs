//! Whether the process connector is available, and why not.

use std::io;

use rustix::thread::CapabilitySet;

use super::decode::what;
use super::socket::{Kinds, Refusal, Socket};
use crate::error::limit_of;
use crate::source::{perhaps_filtered, without_proc};
use crate::{Cause, Error, Field, Lack, Obstacle, Remedy, SourceId, Verdict, sys};

pub(super) fn unavailable(obstacle: Obstacle) -> Error {
    Error::Unavailable { source_id: SourceId::ProcessConnector, obstacle }
}

const CONFIGURE: Remedy = Remedy::Kernel { least: None, options: &["CONFIG_CONNECTOR", "CONFIG_PROC_EVENTS"] };

fn configure(what: Lack) -> Obstacle {
    Obstacle::new(what, Cause::NotConfigured, CONFIGURE)
}

const ANSWER: &str = "the kernel's answer";

/// The obstacle if the kernel refused to listen to us, or to answer.
fn obstacle_of(refusal: Refusal) -> Obstacle {
    let privilege = |error: &io::Error| {
        error.kind() == io::ErrorKind::PermissionDenied || error.raw_os_error() == Some(libc::EPERM)
    };
    match refusal {
        Refusal::Call(call, error) if privilege(&error) => perhaps_filtered(call, Some(&error)).unwrap_or_else(|| {
            let needs_net_admin = sys::kernel_version() < (6, 6);
            let error = Some((&error).into());
            let refused = Lack::Refused { call, error, filtered: false, needs_net_admin };
            Obstacle::new(refused, Cause::Privilege, Remedy::Root)
        }),
        Refusal::Call(call, error) => match error.raw_os_error() {
            Some(libc::EPROTONOSUPPORT | libc::EAFNOSUPPORT | libc::ENOENT) => configure(Lack::NoConnector { call }),
            // The kernel's end is a socket of the first network namespace: `drivers/connector/connector.c`.
            Some(libc::ECONNREFUSED) => {
                let options = &["--network=host", "--pid=host"];
                let remedy = Remedy::Host { options, user_namespace: true };
                Obstacle::new(Lack::OtherNetworkNamespace, Cause::Privilege, remedy)
            }
            number => limit_of(number).unwrap_or_else(|| {
                Obstacle::new(Lack::Failed { what: call, error: (&error).into() }, Cause::Io, Remedy::Limits)
            }),
        },
        Refusal::Answer(error) if privilege(&error) => {
            Obstacle::new(Lack::Failed { what: ANSWER, error: (&error).into() }, Cause::Privilege, Remedy::Root)
        }
        Refusal::Answer(error) => {
            Obstacle::new(Lack::Failed { what: ANSWER, error: (&error).into() }, Cause::Io, CONFIGURE)
        }
        Refusal::Silence if !sys::in_initial_pid_namespace() || !sys::in_initial_user_namespace() => {
            let remedy = Remedy::Host { options: &["--pid=host"], user_namespace: false };
            Obstacle::new(Lack::Contained, Cause::Privilege, remedy)
        }
        Refusal::Silence => configure(Lack::NoAnswer),
    }
}

pub(super) fn refused(refusal: Refusal) -> Error {
    unavailable(obstacle_of(refusal))
}

/// What is missing without /proc.
pub(super) fn nameless() -> Obstacle {
    let fields = &[Field::Parent, Field::Name, Field::Exe, Field::Argv, Field::Cwd, Field::User];
    without_proc(|why| Lack::Fields { fields, why })
}

/// Whether the kernel answers, and what it withholds.
pub(super) fn probe() -> Verdict {
    // Room for messages before the answer: in the smallest buffer the execs of a busy system would
    // leave no room for it.
    match Socket::listen(Kinds(what::EXEC), 1 << 20, false) {
        Ok(socket) => drop(socket),
        Err(refusal) => return Verdict::Unavailable(obstacle_of(refusal)),
    }
    let mut obstacles = Vec::new();
    if sys::list_processes().is_empty() {
        obstacles.push(nameless());
    } else if !reads_others() {
        obstacles.push(Obstacle::new(Lack::OtherUsersFields, Cause::Privilege, Remedy::Root));
    }
    if obstacles.is_empty() { Verdict::Ready } else { Verdict::Degraded(obstacles) }
}

/// `ptrace(2)`, access mode PTRACE_MODE_READ_FSCREDS.
pub(super) fn reads_others() -> bool {
    sys::has_capabilities(CapabilitySet::SYS_PTRACE)
}

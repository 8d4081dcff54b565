//! Whether the process connector is available, and why not.

use std::io;

use rustix::thread::CapabilitySet;

use super::decode::what;
use super::socket::{Kinds, Refusal, Socket};
use crate::source::perhaps_filtered;
use crate::{Cause, Error, Obstacle, SourceId, Verdict, sys};

pub(super) fn unavailable(what: impl Into<String>, cause: Cause, remedy: impl Into<String>) -> Error {
    let obstacle = Obstacle { what: what.into(), cause, remedy: remedy.into() };
    Error::Unavailable { source_id: SourceId::ProcessConnector, obstacle }
}

const CONFIGURE: &str =
    "boot a kernel with CONFIG_CONNECTOR=y and CONFIG_PROC_EVENTS=y: grep PROC_EVENTS /boot/config-$(uname -r)";

pub(super) fn refused(refusal: Refusal) -> Error {
    let old = sys::kernel_version() < (6, 6);
    let privilege = |error: &io::Error| error.kind() == io::ErrorKind::PermissionDenied;
    match refusal {
        Refusal::Call(what, error) if privilege(&error) || error.raw_os_error() == Some(libc::EPERM) => {
            if let Some(obstacle) = perhaps_filtered(&format!("{what}: {error}")) {
                return Error::Unavailable { source_id: SourceId::ProcessConnector, obstacle };
            }
            unavailable(
                if old {
                    format!("{what}: {error}; before Linux 6.6 that needs CAP_NET_ADMIN")
                } else {
                    format!("{what}: {error}")
                },
                Cause::Privilege,
                "run it as root: sudo procscope --source process-connector",
            )
        }
        Refusal::Call(what, error) => match error.raw_os_error() {
            Some(libc::EPROTONOSUPPORT | libc::EAFNOSUPPORT | libc::ENOENT) => {
                unavailable(format!("{what}: this kernel has no process connector"), Cause::NotConfigured, CONFIGURE)
            }
            // The kernel's end is a socket of the first network namespace:
            // `drivers/connector/connector.c`.
            Some(libc::ECONNREFUSED) => unavailable(
                "the process connector answers only in the initial network namespace, and this is another one",
                Cause::Privilege,
                "run procscope on the host, or start the container with --network=host --pid=host",
            ),
            number => match Obstacle::of_limit(number) {
                Some(Obstacle { what, cause, remedy }) => unavailable(what, cause, remedy),
                None => {
                    unavailable(format!("{what}: {error}"), Cause::Io, "see `ulimit -a`, then start procscope again")
                }
            },
        },
        Refusal::Answer(error) if privilege(&error) || error.raw_os_error() == Some(libc::EPERM) => unavailable(
            format!("the kernel refused to report processes: {error}"),
            Cause::Privilege,
            "run it as root: sudo procscope --source process-connector",
        ),
        Refusal::Answer(error) => {
            unavailable(format!("the kernel refused to report processes: {error}"), Cause::Io, CONFIGURE)
        }
        Refusal::Silence if !sys::in_initial_pid_namespace() || !sys::in_initial_user_namespace() => unavailable(
            "the process connector answers only in the initial pid and user namespaces, and this is a container",
            Cause::Privilege,
            "run procscope on the host, or start the container with --pid=host and without a user namespace",
        ),
        Refusal::Silence => unavailable("the kernel did not answer", Cause::NotConfigured, CONFIGURE),
    }
}

/// Whether the kernel answers, and what it withholds.
pub(super) fn probe() -> Verdict {
    // Room for messages before the answer: in the smallest buffer the execs of a busy system would
    // leave no room for it.
    let socket = match Socket::listen(Kinds(what::EXEC), 1 << 20, false) {
        Ok(socket) => socket,
        Err(refusal) => {
            return match refused(refusal) {
                Error::Unavailable { obstacle, .. } => Verdict::Unavailable(obstacle),
                other => Verdict::Unsure(Obstacle {
                    what: other.to_string(),
                    cause: Cause::Io,
                    remedy: "try it: procscope --source process-connector".into(),
                }),
            };
        }
    };
    drop(socket);
    let mut obstacles = Vec::new();
    if sys::list_processes().is_empty() {
        obstacles.push(Obstacle {
            what: "/proc is not mounted, so that names and arguments are missing".into(),
            cause: Cause::NotConfigured,
            remedy: "mount -t proc proc /proc".into(),
        });
    } else if !reads_others() {
        obstacles.push(Obstacle {
            what: "the programs' paths, directories and environments of other users' processes may not be read".into(),
            cause: Cause::Privilege,
            remedy: "run it as root: sudo procscope --source process-connector".into(),
        });
    }
    if obstacles.is_empty() { Verdict::Ready } else { Verdict::Degraded(obstacles) }
}

/// `ptrace(2)`, access mode PTRACE_MODE_READ_FSCREDS.
pub(super) fn reads_others() -> bool {
    sys::has_capabilities(CapabilitySet::SYS_PTRACE)
}

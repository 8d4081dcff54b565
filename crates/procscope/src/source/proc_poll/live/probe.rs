//! What /proc shows here, and what it hides.

use rustix::thread::CapabilitySet;

use crate::proc::hides_processes;
use crate::sys::{self, ProcDir};
use crate::{Cause, Obstacle, Verdict};

pub(super) fn unavailable(what: impl Into<String>, cause: Cause, remedy: impl Into<String>) -> Obstacle {
    Obstacle { what: what.into(), cause, remedy: remedy.into() }
}

/// `ptrace(2)`, access mode PTRACE_MODE_READ_FSCREDS.
pub(super) fn reads_others() -> bool {
    sys::has_capabilities(CapabilitySet::SYS_PTRACE)
}

pub(super) fn no_proc() -> Option<Obstacle> {
    let unmounted = || {
        unavailable(
            "/proc is not mounted, and proc-poll has no other way",
            Cause::NotConfigured,
            "mount it: mount -t proc proc /proc",
        )
    };
    sys::list_processes().is_empty().then(|| sys::limit_at_proc().unwrap_or_else(unmounted))
}

pub(super) fn hides_others() -> bool {
    hides_processes() && ProcDir::open(1).and_then(|dir| dir.stat()).is_none()
}

pub(super) const HIDDEN: &str = "other users' processes are hidden: /proc is mounted with hidepid";

pub(in crate::source::proc_poll) fn probe() -> Verdict {
    if let Some(obstacle) = no_proc() {
        return Verdict::Unavailable(obstacle);
    }
    let mut obstacles = Vec::new();
    if sys::proc_has_own_pids() != Some(true) {
        obstacles.push(unavailable(
            "the status of most ends is missing, ends are seen late, and missed processes are not counted: /proc \
             is that of another pid \
             namespace",
            Cause::NotConfigured,
            "mount it again: mount -t proc proc /proc",
        ));
    }
    if hides_others() {
        obstacles.push(unavailable(HIDDEN, Cause::Privilege, "sudo mount -o remount,hidepid=0 /proc"));
    }
    if !reads_others() {
        obstacles.push(unavailable(
            "the programs' paths, directories and environments of other users' processes may not be read",
            Cause::Privilege,
            "run it as root: sudo procscope --source proc-poll",
        ));
    }
    if obstacles.is_empty() { Verdict::Ready } else { Verdict::Degraded(obstacles) }
}

//! What /proc shows here, and what it hides.

use rustix::thread::CapabilitySet;

use crate::proc::hides_processes;
use crate::source;
use crate::sys::{self, ProcDir};
use crate::{Cause, Lack, Obstacle, Remedy, Verdict};

/// `ptrace(2)`, access mode PTRACE_MODE_READ_FSCREDS.
pub(super) fn reads_others() -> bool {
    sys::has_capabilities(CapabilitySet::SYS_PTRACE)
}

pub(super) fn no_proc() -> Option<Obstacle> {
    sys::list_processes().is_empty().then(|| sys::limit_at_proc().unwrap_or_else(source::no_proc))
}

pub(super) fn hides_others() -> bool {
    hides_processes() && ProcDir::open(1).and_then(|dir| dir.stat()).is_none()
}

/// The obstacle of hidden processes.
pub(super) fn hidden() -> Obstacle {
    let remedy = Remedy::Remount { at: "/proc", options: "hidepid=0".into() };
    Obstacle::new(Lack::HiddenProcesses, Cause::Privilege, remedy)
}

pub(in crate::source::proc_poll) fn probe() -> Verdict {
    if let Some(obstacle) = no_proc() {
        return Verdict::Unavailable(obstacle);
    }
    let mut obstacles = Vec::new();
    if sys::proc_has_own_pids() != Some(true) {
        let lack = Lack::Ends { why: Lack::ForeignProc.into() };
        obstacles.push(Obstacle::new(lack, Cause::NotConfigured, Remedy::mount_proc()));
    }
    if hides_others() {
        obstacles.push(hidden());
    }
    if !reads_others() {
        obstacles.push(Obstacle::new(Lack::OtherUsersFields, Cause::Privilege, Remedy::Root));
    }
    if obstacles.is_empty() { Verdict::Ready } else { Verdict::Degraded(obstacles) }
}

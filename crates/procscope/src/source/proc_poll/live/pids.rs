//! The holder of a pid.

use rustix::io::Errno;

use super::super::ledger::Holder;
use super::super::pidfd;
use crate::Pid;

/// A pid higher than any can be: `PID_MAX_LIMIT` in `include/linux/threads.h`.
pub(super) const NOBODYS: Pid = 1 << 30;

/// The holder of this pid: no signal is sent.
pub(super) fn who_has(pid: Pid) -> Holder {
    let Some(id) = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw) else { return Holder::Nobody };
    let is_in_use = || matches!(rustix::process::test_kill_process(id), Ok(()) | Err(Errno::PERM));
    if !is_in_use() {
        Holder::Nobody
    } else if pidfd::leads(pid) {
        Holder::Process
    } else if is_in_use() {
        Holder::Thread
    } else {
        // It may have been a process until now.
        Holder::Nobody
    }
}

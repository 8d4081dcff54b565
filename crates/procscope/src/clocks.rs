use crate::{Pid, StartTime, Timestamp, sys};

/// When the living process with this pid was started, as in [`ProcessId`](crate::ProcessId); `None`
/// if there is none.
///
/// In a time namespace `/proc/PID/stat` shows other starts than events have: this subtracts the
/// namespace's offset.
pub fn start_of(pid: Pid) -> Option<StartTime> {
    sys::start_of(pid)
}

/// The moment at which the kernel's CLOCK_MONOTONIC was 0, by the wall clock as it is set now.
/// Tracers stamp events by that clock, whatever time namespace they run in.
pub fn monotonic_origin() -> Timestamp {
    sys::monotonic_origin()
}

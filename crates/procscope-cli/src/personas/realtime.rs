//! Real-time scheduling.

use std::io;

use thread_priority::{
    RealtimeThreadSchedulePolicy, ThreadPriority, ThreadSchedulePolicy, set_thread_priority_and_policy,
    thread_native_id,
};

/// Sets SCHED_FIFO at the highest priority, for this thread and those that it starts. If this is
/// refused, prints so.
pub(super) fn begin() -> Option<String> {
    let policy = ThreadSchedulePolicy::Realtime(RealtimeThreadSchedulePolicy::Fifo);
    set_thread_priority_and_policy(thread_native_id(), ThreadPriority::Max, policy).err().map(|error| {
        let why = match error {
            thread_priority::Error::OS(code) => crate::failure::describe(&io::Error::from_raw_os_error(code)),
            error => format!("{error:?}"),
        };
        format!("it continues without real-time scheduling: {why}; that needs CAP_SYS_NICE, or a limit: ulimit -r 99")
    })
}

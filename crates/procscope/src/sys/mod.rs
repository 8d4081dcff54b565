//! What each OS must supply besides its sources: the boot's id, the clocks, the names of users, the
//! size of a page.

mod clock;
#[cfg(target_os = "linux")]
mod linux;
mod users;
#[cfg(target_os = "linux")]
pub(crate) use linux::{
    be_prompt, clock, has_capabilities, host_name, kernel_version, monotonic_origin, now_boot_ns, now_mono_ns,
    page_bytes, thread_cpu_time,
};

#[cfg(target_os = "linux")]
pub(crate) use crate::proc::{
    ProcDir, ReadProcess, boot_id, handles_signal, id_maps, in_initial_pid_namespace, in_initial_user_namespace,
    is_filtered, is_start, keeps_logins, limit_at_proc, list_processes, list_threads, mount_nameless,
    proc_has_own_pids, process_of, read_argv, read_argv_now, read_comm, read_environment, read_process, start_of,
};

#[cfg(not(target_os = "linux"))]
mod other {
    /// Unknown until a source of this OS needs it.
    pub(crate) fn boot_id() -> crate::BootId {
        crate::BootId::default()
    }

    pub(crate) fn host_name() -> Option<String> {
        None
    }

    pub(crate) fn id_maps() -> Option<crate::proc::id_maps::IdMaps> {
        None
    }

    pub(crate) fn page_bytes() -> u64 {
        4096
    }

    pub(crate) fn in_initial_pid_namespace() -> bool {
        true
    }

    pub(crate) fn start_of(_: crate::Pid) -> Option<crate::StartTime> {
        None
    }

    /// Every clock that events have there is the wall's.
    pub(crate) fn monotonic_origin() -> crate::Timestamp {
        crate::Timestamp(0)
    }
}
pub(crate) use clock::Clock;
#[cfg(not(target_os = "linux"))]
pub(crate) use other::{boot_id, host_name, id_maps, in_initial_pid_namespace, monotonic_origin, page_bytes, start_of};
pub(crate) use users::{Names, Numeric, UserDatabase, uid_of};

//! What /proc says: `proc(5)`. Nothing outside this room opens a file of it.

#[cfg(target_os = "linux")]
mod dir;
pub(crate) mod id_maps;
#[cfg(target_os = "linux")]
mod list;
#[cfg(target_os = "linux")]
mod mount;
#[cfg(target_os = "linux")]
mod own;
pub(crate) mod pid;
pub(crate) mod pids;
pub(crate) mod timens;

#[cfg(target_os = "linux")]
pub(crate) use dir::{
    ProcDir, ReadProcess, handles_signal, is_start, list_processes, list_threads, process_of, read_argv, read_argv_now,
    read_comm, read_environment, read_process, start_of,
};
#[cfg(target_os = "linux")]
pub(crate) use list::{List, Mark, hides_processes, most_pid};
#[cfg(target_os = "linux")]
pub(crate) use mount::mount_nameless;
#[cfg(target_os = "linux")]
pub(crate) use own::{
    boot_id, id_maps, in_initial_pid_namespace, in_initial_user_namespace, is_filtered, keeps_logins, limit_at_proc,
    proc_has_own_pids,
};

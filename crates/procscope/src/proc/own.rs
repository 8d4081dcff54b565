//! What /proc says of this process, and of the system as this process sees it.

use super::id_maps::{IdMap, IdMaps};
use crate::BootId;

/// `/proc/sys/kernel/random/boot_id`; all zeroes without /proc.
pub(crate) fn boot_id() -> BootId {
    std::fs::read_to_string("/proc/sys/kernel/random/boot_id")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or_default()
}

/// `PROC_PID_INIT_INO` in `include/linux/proc_ns.h` names the first one; true if /proc does not
/// show it.
pub(crate) fn in_initial_pid_namespace() -> bool {
    let link = std::fs::read_link("/proc/self/ns/pid");
    link.map_or(true, |link| link.as_os_str() == "pid:[4026531836]")
}

/// Whether /proc names processes by the pids of system calls: in a new pid namespace it does not
/// before it is mounted again. `None` without /proc.
pub(crate) fn proc_has_own_pids() -> Option<bool> {
    let own = std::fs::read_link("/proc/self").ok()?;
    Some(own.as_os_str() == std::process::id().to_string().as_str())
}

/// Whether a filter decides which system calls this thread may make: `seccomp(2)`. False if /proc
/// does not show it.
pub(crate) fn is_filtered() -> bool {
    let status = std::fs::read_to_string("/proc/thread-self/status").unwrap_or_default();
    status.lines().find_map(|line| line.strip_prefix("Seccomp:")).is_some_and(|mode| mode.trim() == "2")
}

/// `PROC_USER_INIT_INO`, likewise.
pub(crate) fn in_initial_user_namespace() -> bool {
    let link = std::fs::read_link("/proc/self/ns/user");
    link.map_or(true, |link| link.as_os_str() == "user:[4026531837]")
}

/// The numbers in the namespace above of the ids that /proc shows here. `None` in the initial one,
/// where they are the kernel's own.
pub(crate) fn id_maps() -> Option<IdMaps> {
    if in_initial_user_namespace() {
        return None;
    }
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let map = |kind: &str| {
        IdMap::decode(&read(&format!("/proc/self/{kind}_map")), &read(&format!("/proc/sys/kernel/overflow{kind}")))
    };
    Some(IdMaps { users: map("uid"), groups: map("gid") })
}

/// Whether this kernel keeps the login (`CONFIG_AUDIT`).
pub(crate) fn keeps_logins() -> bool {
    std::fs::exists("/proc/self/loginuid").unwrap_or(false)
}

/// An obstacle to listing /proc that is not /proc's own.
pub(crate) fn limit_at_proc() -> Option<crate::Obstacle> {
    crate::error::limit_of(std::fs::read_dir("/proc").err()?.raw_os_error())
}

//! What each OS must supply besides its sources: the boot's id, the clocks, the names of users, the size of a page,
//! and on Linux what /proc tells of a process.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::pipeline::Names;

#[cfg(target_os = "linux")]
mod linux;
pub(crate) mod proc_pid;
pub(crate) mod timens;
#[cfg(target_os = "linux")]
pub(crate) use linux::{
    ProcDir, ReadProcess, be_prompt, boot_id, clock, has_capabilities, host_name, in_initial_pid_namespace,
    in_initial_user_namespace, is_filtered, is_start, kernel_version, list_processes, list_threads, monotonic_origin,
    mount_nameless, now_boot_ns, now_mono_ns, page_bytes, proc_has_own_pids, process_of, read_argv, read_argv_now,
    read_environment, read_process, start_of, thread_cpu_time,
};
#[cfg(target_os = "linux")]
use linux::{exists, read_at};

#[cfg(not(target_os = "linux"))]
mod other {
    /// Unknown until a source of this OS needs it.
    pub(crate) fn boot_id() -> crate::BootId {
        crate::BootId::default()
    }

    pub(crate) fn host_name() -> Option<String> {
        None
    }

    pub(crate) fn page_bytes() -> u64 {
        4096
    }

    pub(crate) fn start_of(_: crate::Pid) -> Option<crate::StartTime> {
        None
    }

    /// Every clock that events have there is the wall's.
    pub(crate) fn monotonic_origin() -> crate::Timestamp {
        crate::Timestamp(0)
    }
}
#[cfg(not(target_os = "linux"))]
pub(crate) use other::{boot_id, host_name, monotonic_origin, page_bytes, start_of};

/// The id of a user, where that user's name is this one: of two with one id the system names but one.
#[cfg(unix)]
pub(crate) fn uid_of(name: &str) -> Option<u32> {
    let uid = uzers::get_user_by_name(name)?.uid();
    uzers::get_user_by_uid(uid).filter(|user| user.name() == name).map(|_| uid)
}

#[cfg(not(unix))]
pub(crate) fn uid_of(_: &str) -> Option<u32> {
    None
}

/// How long a looked-up name stands.
const FRESH: Duration = Duration::from_secs(60);
/// So many names are remembered.
const MOST: usize = 4096;

type Cache = HashMap<u32, Option<Arc<str>>>;

/// Names from the system's user database, looked up once a minute at most.
pub(crate) struct UserDatabase {
    users: Cache,
    groups: Cache,
    since: Instant,
    asked: u32,
}

impl UserDatabase {
    pub(crate) fn new() -> Self {
        Self { users: Cache::new(), groups: Cache::new(), since: Instant::now(), asked: 0 }
    }

    fn renew(&mut self) {
        // The clock is looked at now and then only: this is asked four times an event.
        self.asked = self.asked.wrapping_add(1);
        let stale = self.asked.is_multiple_of(256) && self.since.elapsed() > FRESH;
        if stale || self.users.len() > MOST || self.groups.len() > MOST {
            self.users.clear();
            self.groups.clear();
            self.since = Instant::now();
        }
    }
}

impl Names for UserDatabase {
    fn user(&mut self, uid: u32) -> Option<Arc<str>> {
        self.renew();
        self.users.entry(uid).or_insert_with(|| read_user_name(uid)).clone()
    }

    fn group(&mut self, gid: u32) -> Option<Arc<str>> {
        self.renew();
        self.groups.entry(gid).or_insert_with(|| read_group_name(gid)).clone()
    }
}

/// No names: numbers alone.
pub(crate) struct Numeric;

impl Names for Numeric {
    fn user(&mut self, _: u32) -> Option<Arc<str>> {
        None
    }

    fn group(&mut self, _: u32) -> Option<Arc<str>> {
        None
    }
}

#[cfg(unix)]
fn read_user_name(uid: u32) -> Option<Arc<str>> {
    uzers::get_user_by_uid(uid).map(|user| user.name().to_string_lossy().into())
}

#[cfg(unix)]
fn read_group_name(gid: u32) -> Option<Arc<str>> {
    uzers::get_group_by_gid(gid).map(|group| group.name().to_string_lossy().into())
}

#[cfg(not(unix))]
fn read_user_name(_: u32) -> Option<Arc<str>> {
    None
}

#[cfg(not(unix))]
fn read_group_name(_: u32) -> Option<Arc<str>> {
    None
}

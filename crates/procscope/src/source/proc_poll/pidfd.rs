//! Descriptors of processes: they report an end when it happens, and never another process's.

use std::os::fd::{AsRawFd as _, OwnedFd};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{PidfdFlags, pidfd_open};

use crate::{Pid, sys};

/// `struct pidfd_info` in `include/uapi/linux/pidfd.h`, in its first form.
#[repr(C)]
#[derive(Default)]
struct Info {
    mask: u64,
    cgroup: u64,
    ids: [u32; 11],
    exit_code: i32,
}

/// `PIDFD_GET_INFO`, Linux 6.13.
const GET_INFO: libc::c_ulong = 0xc040_ff0b;
/// `PIDFD_INFO_EXIT`, Linux 6.15: once the process has been waited for.
const INFO_EXIT: u64 = 1 << 3;

const _: () = assert!(size_of::<Info>() == 64);

/// The descriptor of the process that has this pid now.
pub(super) fn open(pid: Pid) -> Option<OwnedFd> {
    let pid = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw)?;
    pidfd_open(pid, PidfdFlags::empty()).ok()
}

/// Whether a process has this pid, and not one of its further threads. No signal is sent.
pub(super) fn leads(pid: Pid) -> bool {
    let id = pid as libc::c_long;
    // SAFETY: a plain system call with three numbers.
    let done = unsafe { libc::syscall(libc::SYS_tgkill, id, id, 0) } == 0;
    done || std::io::Error::last_os_error().raw_os_error() == Some(libc::EPERM)
}

/// Whether it has ended, all its threads with it.
pub(super) fn has_ended(pidfd: &OwnedFd) -> bool {
    let mut fds = [PollFd::new(pidfd, PollFlags::IN)];
    poll(&mut fds, Some(&Timespec::default())).is_ok_and(|ready| ready > 0)
}

/// Whether [`wait_status`] can report anything here.
pub(super) fn tells_status() -> bool {
    sys::kernel_version() >= (6, 15)
}

/// How the process ended, after its parent was notified.
pub(super) fn wait_status(pidfd: &OwnedFd) -> Option<u32> {
    let mut info = Info { mask: INFO_EXIT, ..Info::default() };
    // SAFETY: the kernel writes no more than the size in the number.
    let done = unsafe { libc::ioctl(pidfd.as_raw_fd(), GET_INFO, &raw mut info) } == 0;
    (done && info.mask & INFO_EXIT != 0).then_some(info.exit_code as u32)
}

//! New processes with a chosen pid or cgroup.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd as _;

/// The work of a new process that has one thread and nothing of its parent's to release.
#[derive(Clone, Copy, Debug)]
pub enum Life {
    /// It ends at once.
    Ends,
    /// It waits to be killed.
    Waits,
}

/// `clone3(2)` with a chosen pid, or into a cgroup.
///
/// # Panics
/// If the kernel refuses.
pub fn clone3(pid: Option<u32>, cgroup: Option<&File>, life: Life) -> u32 {
    const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;
    let pid = pid.map(|pid| pid as i32);
    // flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_size, tls, set_tid, set_tid_size, cgroup
    let mut args = [0u64; 11];
    args[4] = libc::SIGCHLD as u64;
    if let Some(pid) = &pid {
        (args[8], args[9]) = (std::ptr::from_ref(pid) as u64, 1);
    }
    if let Some(cgroup) = cgroup {
        (args[0], args[10]) = (CLONE_INTO_CGROUP, cgroup.as_raw_fd() as u64);
    }
    // SAFETY: without CLONE_VM the child has memory of its own, in which it makes only system
    // calls.
    let child = unsafe { libc::syscall(libc::SYS_clone3, args.as_ptr(), size_of_val(&args)) };
    match child {
        0 => {
            if matches!(life, Life::Waits) {
                // SAFETY: always safe.
                unsafe { libc::pause() };
            }
            // SAFETY: ends only the child.
            unsafe { libc::_exit(0) }
        }
        child => u32::try_from(child).unwrap_or_else(|_| panic!("clone3: {}", io::Error::last_os_error())),
    }
}

/// Waits for a child.
///
/// # Panics
/// If it is none.
pub fn reap(pid: u32) {
    // SAFETY: nothing is filled in.
    assert_eq!(unsafe { libc::waitpid(pid as i32, std::ptr::null_mut(), 0) }, pid as i32);
}

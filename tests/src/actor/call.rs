//! System calls that make a process.

use std::io;

/// The system call that makes the child, with its flags except the exit signal.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs, reason = "each variant is the system call of that name")]
pub enum Call {
    Fork,
    Clone(u64),
    Clone3(u64),
}

impl Call {
    /// Makes a child as fork does: with a copy of all memory.
    ///
    /// # Errors
    /// Those of the system call.
    ///
    /// # Safety
    /// As for `fork(2)`; the flags share no memory.
    pub unsafe fn make(self) -> io::Result<u32> {
        let sigchld = libc::SIGCHLD as u64;
        // SAFETY: without CLONE_VM the child has a stack of its own at the same place; the caller
        // vouches for the flags.
        let pid = unsafe {
            match self {
                #[cfg(target_arch = "x86_64")]
                Self::Fork => libc::syscall(libc::SYS_fork),
                #[cfg(not(target_arch = "x86_64"))]
                Self::Fork => libc::syscall(libc::SYS_clone, sigchld, 0, 0, 0, 0),
                Self::Clone(flags) => libc::syscall(libc::SYS_clone, flags | sigchld, 0, 0, 0, 0),
                Self::Clone3(flags) => {
                    // flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_size, tls
                    let args = [flags, 0, 0, 0, sigchld, 0, 0, 0];
                    libc::syscall(libc::SYS_clone3, args.as_ptr(), size_of_val(&args))
                }
            }
        };
        if pid < 0 { Err(io::Error::last_os_error()) } else { Ok(pid as u32) }
    }

    /// The name and the flags that the kernel sees.
    pub fn seen(self) -> (&'static str, u64) {
        match self {
            Self::Fork if cfg!(target_arch = "x86_64") => ("fork", 0),
            Self::Fork => ("clone", 0),
            Self::Clone(flags) => ("clone", flags),
            Self::Clone3(flags) => ("clone3", flags),
        }
    }
}

//! What runs between the two.

use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};

use super::{TELL, WAIT, WAIT_THREADS};
use crate::storm::pipe;

pub(super) struct Pipes {
    pub(super) told: (OwnedFd, OwnedFd),
    pub(super) go: (OwnedFd, OwnedFd),
    pub(super) go_threads: (OwnedFd, OwnedFd),
}

impl Pipes {
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self { told: pipe()?, go: pipe()?, go_threads: pipe()? })
    }

    /// In the child: at the numbers that every program knows, and there open across exec.
    pub(super) fn place(&self) {
        // If that fails, the parent hears nothing.
        let _ = self.copy_ends();
        // Otherwise the child would keep its own pipes from ending.
        for fd in [&self.go.1, &self.go_threads.1] {
            // SAFETY: the child uses only the copies; it never runs the destructors.
            unsafe { libc::close(fd.as_raw_fd()) };
        }
    }
}

impl Pipes {
    pub(super) fn copy_ends(&self) -> io::Result<()> {
        for (fd, to) in [(&self.told.1, TELL), (&self.go.0, WAIT), (&self.go_threads.0, WAIT_THREADS)] {
            // SAFETY: nothing else uses these numbers.
            if unsafe { libc::dup2(fd.as_raw_fd(), to) } < 0 {
                return Err(io::Error::last_os_error());
            }
        }
        Ok(())
    }
}

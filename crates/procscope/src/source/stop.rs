use std::io;

use crate::StopHandle;

/// The request to stop, in the forms that sources need.
pub(crate) struct Stop {
    handle: StopHandle,
    #[cfg(target_os = "linux")]
    wake: std::sync::Arc<std::os::fd::OwnedFd>,
}

impl Stop {
    pub(crate) fn new(handle: StopHandle) -> io::Result<Self> {
        #[cfg(target_os = "linux")]
        {
            use rustix::event::EventfdFlags;
            let wake = rustix::event::eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
            let wake = std::sync::Arc::new(wake);
            let woken = std::sync::Arc::clone(&wake);
            // Full is as good as written: the reader is woken either way.
            handle.on_stop(move || _ = rustix::io::write(&woken, &1u64.to_ne_bytes()));
            Ok(Self { handle, wake })
        }
        #[cfg(not(target_os = "linux"))]
        Ok(Self { handle })
    }

    pub(crate) fn is_stopped(&self) -> bool {
        self.handle.is_stopped()
    }

    /// Becomes readable when stopped.
    #[cfg(target_os = "linux")]
    pub(crate) fn fd(&self) -> std::os::fd::BorrowedFd<'_> {
        use std::os::fd::AsFd;
        self.wake.as_fd()
    }
}

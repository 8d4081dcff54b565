use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Ends a monitor's run from any thread.
#[derive(Clone, Debug)]
pub struct StopHandle {
    flag: Arc<AtomicBool>,
    #[cfg(target_os = "linux")]
    wake: Arc<std::os::fd::OwnedFd>,
}

impl StopHandle {
    pub(crate) fn new() -> std::io::Result<Self> {
        Ok(Self {
            flag: Arc::default(),
            #[cfg(target_os = "linux")]
            wake: Arc::new(rustix::event::eventfd(
                0,
                rustix::event::EventfdFlags::CLOEXEC | rustix::event::EventfdFlags::NONBLOCK,
            )?),
        })
    }

    /// Asks the run to end. It still delivers what had happened by now.
    pub fn stop(&self) {
        self.flag.store(true, Ordering::Release);
        // Full is as good as written: the reader is woken either way.
        #[cfg(target_os = "linux")]
        let _ = rustix::io::write(&self.wake, &1u64.to_ne_bytes());
    }

    pub(crate) fn is_stopped(&self) -> bool {
        self.flag.load(Ordering::Acquire)
    }

    /// Becomes readable when stopped.
    #[cfg(target_os = "linux")]
    pub(crate) fn fd(&self) -> std::os::fd::BorrowedFd<'_> {
        use std::os::fd::AsFd;
        self.wake.as_fd()
    }
}

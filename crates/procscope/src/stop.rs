use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::Timestamp;

/// Ends a monitor's run from any thread.
#[derive(Clone, Debug)]
pub struct StopHandle {
    /// When it was stopped first; until then [`RUNS`].
    when: Arc<AtomicI64>,
    #[cfg(target_os = "linux")]
    wake: Arc<std::os::fd::OwnedFd>,
}

const RUNS: i64 = i64::MAX;

/// What the system's clock shows.
pub(crate) fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(i64::try_from(since.as_nanos()).unwrap_or(RUNS - 1))
}

impl StopHandle {
    pub(crate) fn new() -> std::io::Result<Self> {
        Ok(Self {
            when: Arc::new(AtomicI64::new(RUNS)),
            #[cfg(target_os = "linux")]
            wake: Arc::new(rustix::event::eventfd(
                0,
                rustix::event::EventfdFlags::CLOEXEC | rustix::event::EventfdFlags::NONBLOCK,
            )?),
        })
    }

    /// Asks the run to end. It still delivers what had happened by now.
    pub fn stop(&self) {
        let _ = self.when.compare_exchange(RUNS, now().0, Ordering::Release, Ordering::Relaxed);
        // Full is as good as written: the reader is woken either way.
        #[cfg(target_os = "linux")]
        let _ = rustix::io::write(&self.wake, &1u64.to_ne_bytes());
    }

    pub(crate) fn is_stopped(&self) -> bool {
        self.when.load(Ordering::Acquire) != RUNS
    }

    /// When it was stopped.
    pub(crate) fn stopped(&self) -> Option<Timestamp> {
        Some(self.when.load(Ordering::Acquire)).filter(|&when| when != RUNS).map(Timestamp)
    }

    /// Becomes readable when stopped.
    #[cfg(target_os = "linux")]
    pub(crate) fn fd(&self) -> std::os::fd::BorrowedFd<'_> {
        use std::os::fd::AsFd;
        self.wake.as_fd()
    }
}

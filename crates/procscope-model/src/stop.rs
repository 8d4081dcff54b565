use std::fmt;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::Timestamp;

/// Ends a feed's run from any thread.
#[derive(Clone, Default)]
pub struct StopHandle(Arc<Stop>);

struct Stop {
    /// When it was first stopped; until then [`RUNS`].
    when: AtomicI64,
    wake: Mutex<Vec<Wake>>,
}

type Wake = Box<dyn Fn() + Send>;

const RUNS: i64 = i64::MAX;

impl Default for Stop {
    fn default() -> Self {
        Self { when: AtomicI64::new(RUNS), wake: Mutex::default() }
    }
}

impl StopHandle {
    /// Asks the run to end. It still delivers everything that has happened by now.
    pub fn stop(&self) {
        // The last nanosecond of a timestamp's years is given up, to distinguish it from none.
        let now = Timestamp::now().0.min(RUNS - 1);
        let _ = self.0.when.compare_exchange(RUNS, now, Ordering::Release, Ordering::Relaxed);
        self.0.wake.lock().unwrap_or_else(PoisonError::into_inner).iter().for_each(|wake| wake());
    }

    /// Whether it was stopped.
    pub fn is_stopped(&self) -> bool {
        self.stopped().is_some()
    }

    /// When it was stopped.
    pub fn stopped(&self) -> Option<Timestamp> {
        Some(self.0.when.load(Ordering::Acquire)).filter(|&when| when != RUNS).map(Timestamp)
    }

    /// Calls `wake` at each [`StopHandle::stop`], on the thread that stops, and at once if it was
    /// already stopped: this is how a sleeping feed learns of it. It must not block, and must not
    /// use this handle.
    pub fn on_stop(&self, wake: impl Fn() + Send + 'static) {
        let mut all = self.0.wake.lock().unwrap_or_else(PoisonError::into_inner);
        if self.is_stopped() {
            wake();
        }
        all.push(Box::new(wake));
    }
}

impl fmt::Debug for StopHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("StopHandle").field(&self.stopped()).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU32;

    use super::*;

    #[test]
    fn a_sleeper_is_woken_whenever_it_came() {
        let woken = Arc::new(AtomicU32::new(0));
        let count = || {
            let woken = woken.clone();
            move || _ = woken.fetch_add(1, Ordering::Relaxed)
        };
        let stop = StopHandle::default();
        stop.on_stop(count());
        assert!(!stop.is_stopped());
        stop.clone().stop();
        assert_eq!((stop.is_stopped(), woken.load(Ordering::Relaxed)), (true, 1));
        stop.on_stop(count());
        assert_eq!(woken.load(Ordering::Relaxed), 2);
    }

    #[test]
    fn the_first_moment_counts() {
        let stop = StopHandle::default();
        stop.stop();
        let when = stop.stopped();
        stop.stop();
        assert_eq!(stop.stopped(), when);
    }
}

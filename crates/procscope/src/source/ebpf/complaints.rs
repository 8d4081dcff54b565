//! What libbpf would print. It has one callback for the whole process, which may be our caller's: ours stands there only while a thread
//! of ours is at work in libbpf, passes on what other threads cause, and leaves the place as it was.

use std::cell::RefCell;
use std::marker::PhantomData;
use std::sync::{Mutex, MutexGuard, PoisonError};

use libbpf_rs::{PrintCallback, PrintLevel, get_print, set_print};

/// The verifier's log can be long; what failed is said first.
const MOST: usize = 8;

struct Place {
    /// So many [`Complaints`] are kept, on all threads.
    keepers: usize,
    /// What stood there before the first of them.
    before: Option<(PrintLevel, PrintCallback)>,
}

static PLACE: Mutex<Place> = Mutex::new(Place { keepers: 0, before: None });

thread_local! {
    /// What was said on this thread; `None` while nobody here keeps it.
    static KEPT: RefCell<Option<Vec<String>>> = const { RefCell::new(None) };
}

fn place() -> MutexGuard<'static, Place> {
    PLACE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Keeps what libbpf says on this thread, until dropped.
pub(super) struct Complaints {
    /// Another one does so too, which outlives this.
    is_inner: bool,
    on_this_thread: PhantomData<*const ()>,
}

impl Complaints {
    pub(super) fn keep() -> Self {
        let mut place = place();
        if place.keepers == 0 {
            let level = get_print().map_or(PrintLevel::Warn, |(level, _)| level.max(PrintLevel::Warn));
            place.before = set_print(Some((level, callback)));
        }
        place.keepers += 1;
        let is_inner = KEPT.with_borrow(Option::is_some);
        if !is_inner {
            KEPT.set(Some(Vec::new()));
        }
        Self { is_inner, on_this_thread: PhantomData }
    }

    /// What was said so far, the first few lines.
    pub(super) fn take() -> Vec<String> {
        KEPT.with_borrow_mut(|kept| kept.as_mut().map(std::mem::take)).unwrap_or_default()
    }
}

impl Drop for Complaints {
    fn drop(&mut self) {
        if !self.is_inner {
            KEPT.set(None);
        }
        let mut place = place();
        place.keepers -= 1;
        // Whoever has put something else there meanwhile keeps it.
        let is_ours = get_print().is_some_and(|(_, now)| std::ptr::fn_addr_eq(now, callback as PrintCallback));
        if place.keepers == 0 && is_ours {
            // It stays known here too: another thread may have just come upon ours.
            set_print(place.before);
        }
    }
}

fn callback(level: PrintLevel, text: String) {
    let kept = KEPT.with_borrow_mut(|kept| {
        if let Some(lines) = kept
            && lines.len() < MOST
            && level == PrintLevel::Warn
        {
            lines.push(text.trim().chars().take(160).collect());
        }
        kept.is_some()
    });
    if kept {
        return;
    }
    let before = place().before;
    if let Some((most, before)) = before
        && level <= most
    {
        before(level, text);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::thread;

    use super::*;

    static TOLD: AtomicUsize = AtomicUsize::new(0);

    fn callers_own(_: PrintLevel, _: String) {
        TOLD.fetch_add(1, Ordering::SeqCst);
    }

    fn say(text: &str) {
        if let Some((_, callback)) = get_print() {
            callback(PrintLevel::Warn, text.to_owned());
        }
    }

    #[test]
    fn each_thread_keeps_its_own_and_the_callers_callback_stays() {
        set_print(Some((PrintLevel::Info, callers_own)));
        thread::scope(|scope| {
            for name in ["one", "two"] {
                scope.spawn(move || {
                    for _ in 0..1000 {
                        let _kept = Complaints::keep();
                        drop(Complaints::keep());
                        say(name);
                        assert_eq!(Complaints::take(), [name]);
                    }
                });
            }
            for _ in 0..1000 {
                say("the caller's own business");
            }
        });
        assert_eq!(TOLD.load(Ordering::SeqCst), 1000);
        say("and afterwards");
        assert_eq!(TOLD.load(Ordering::SeqCst), 1001);
        assert_eq!(place().keepers, 0);
    }
}

//! The messages of libbpf. It has one callback for the whole process, which may be our caller's.
//! Ours is there only while a thread of ours is in libbpf; it passes on the messages of other
//! threads, and the earlier one is restored.

use std::cell::RefCell;
use std::marker::PhantomData;
use std::sync::{Mutex, MutexGuard, PoisonError};

use libbpf_rs::{PrintCallback, PrintLevel, get_print, set_print};

/// The verifier's log can be long; the failure comes first.
const MOST: usize = 8;

struct Place {
    /// This many [`Complaints`] are kept, on all threads.
    keepers: usize,
    /// The callback before the first of them.
    before: Option<(PrintLevel, PrintCallback)>,
}

static PLACE: Mutex<Place> = Mutex::new(Place { keepers: 0, before: None });

thread_local! {
    /// The messages on this thread; `None` while nothing here keeps them.
    static KEPT: RefCell<Option<Vec<String>>> = const { RefCell::new(None) };
}

fn place() -> MutexGuard<'static, Place> {
    PLACE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Keeps libbpf's messages on this thread, until dropped.
pub(super) struct Complaints {
    /// Another one does so too, and outlives this one.
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

    /// The messages so far, the first few lines.
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
        // A callback that another caller has set meanwhile stays.
        let is_ours = get_print().is_some_and(|(_, now)| std::ptr::fn_addr_eq(now, callback as PrintCallback));
        if place.keepers == 0 && is_ours {
            // It stays known here too: another thread may have just found ours.
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

//! Whether standard output and standard error were open when the program began: before main, std
//! opens /dev/null in place of a closed one.

use std::sync::atomic::{AtomicBool, Ordering};

static CLOSED: [AtomicBool; 2] = [AtomicBool::new(false), AtomicBool::new(false)];

/// The C library calls this before anything of std begins.
// SAFETY: the section holds addresses of functions of this kind, and everything that `look` needs
// exists by then.
#[used]
#[unsafe(link_section = ".init_array")]
static LOOK: extern "C" fn() = look;

extern "C" fn look() {
    for (number, closed) in [libc::STDOUT_FILENO, libc::STDERR_FILENO].into_iter().zip(&CLOSED) {
        // SAFETY: it asks for the flags of a descriptor, which may be closed.
        closed.store(unsafe { libc::fcntl(number, libc::F_GETFD) } == -1, Ordering::Relaxed);
    }
}

pub(crate) fn output_is_closed() -> bool {
    CLOSED[0].load(Ordering::Relaxed)
}

pub(crate) fn error_is_closed() -> bool {
    CLOSED[1].load(Ordering::Relaxed)
}

//! One test at a time: every test takes its turn first. One test's processes would make another's
//! quiet machine busy. And a fresh copy of a program may not run yet ("text file busy") while
//! another test is about to start something.

use std::fs::{self, File};
use std::path::Path;

/// Numbers of `linux/capability.h`.
const CAP_SYS_ADMIN: u32 = 21;
const CAP_PERFMON: u32 = 38;
const CAP_BPF: u32 = 39;

/// The turn of a test; over when dropped.
pub(crate) struct Turn {
    _lock: File,
}

/// Waits for the turn of the calling test, which fails if procscope has no chance to work.
pub(crate) fn take() -> Turn {
    let status = fs::read_to_string("/proc/self/status").expect("our own status can be read");
    let line = status.lines().find_map(|line| line.strip_prefix("CapEff:\t")).expect("the kernel shows capabilities");
    let capabilities = u64::from_str_radix(line, 16).expect("they are hexadecimal");
    let has = |number: u32| capabilities >> number & 1 == 1;
    assert!(
        has(CAP_SYS_ADMIN) || has(CAP_BPF) && has(CAP_PERFMON),
        "live tests need root, or CAP_BPF and CAP_PERFMON; type: sudo -E env \"PATH=$PATH\" cargo test -p procscope-tests"
    );
    // A process started in the background of a script, or by nohup, ignores some of them, and so
    // would everything that tests start.
    for signal in [libc::SIGINT, libc::SIGQUIT, libc::SIGHUP, libc::SIGTERM] {
        // SAFETY: the default action is not a handler, and nothing here has set another.
        unsafe { libc::signal(signal, libc::SIG_DFL) };
    }
    let path = Path::new("/tmp/procscope-live-tests.lock");
    let lock = File::create(path).expect("the lock can be made");
    lock.lock().expect("the lock can be taken");
    Turn { _lock: lock }
}

//! The resources used by a running process.

use std::fs;
use std::thread::sleep;
use std::time::{Duration, Instant};

use procscope_tests::proc_files;

/// CPU time of a process and its descendants, ns; of the process itself with that of its dead threads.
pub fn cpu_ns(pid: u32) -> u64 {
    let children = proc_files::children(pid).unwrap_or_default();
    own_cpu_ns(pid) + children.into_iter().map(cpu_ns).sum::<u64>()
}

fn own_cpu_ns(pid: u32) -> u64 {
    // The id of another process's clock: `include/linux/posix-timers.h`, CPUCLOCK_SCHED.
    let clock = (!pid << 3 | 2) as i32;
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the kernel fills the given memory, or does not know the process.
    if unsafe { libc::clock_gettime(clock, &mut time) } < 0 {
        return 0;
    }
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

fn kib(pid: u32, key: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(key)?.trim().strip_suffix(" kB")?.trim().parse().ok());
    line.unwrap_or(0)
}

/// The largest resident set so far, KiB.
pub fn max_rss_kib(pid: u32) -> u64 {
    kib(pid, "VmHWM:")
}

/// The resident set now, KiB.
pub fn rss_kib(pid: u32) -> u64 {
    kib(pid, "VmRSS:")
}

/// Waits until a process has nothing more to do: for half a second it uses next to nothing.
pub fn settle(pid: u32) {
    const STEP: Duration = Duration::from_millis(100);
    let begun = Instant::now();
    let mut quiet = 0;
    let mut last = cpu_ns(pid);
    while quiet < 5 && begun.elapsed() < Duration::from_secs(30) {
        sleep(STEP);
        let now = cpu_ns(pid);
        quiet = if now - last.min(now) < 2_000_000 { quiet + 1 } else { 0 };
        last = now;
    }
}

//! The clocks of the kernel's stamps on processes.

fn read(clock: libc::clockid_t) -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the kernel fills the given memory.
    unsafe { libc::clock_gettime(clock, &mut time) };
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// CLOCK_BOOTTIME: the clock of start times.
pub fn boot_ns() -> u64 {
    read(libc::CLOCK_BOOTTIME)
}

/// CLOCK_REALTIME less CLOCK_BOOTTIME.
pub fn realtime_offset_ns() -> i64 {
    let before = boot_ns();
    let real = read(libc::CLOCK_REALTIME);
    let after = boot_ns();
    real as i64 - ((before + after) / 2) as i64
}

/// The clock tick that a moment falls in, as field 22 of `/proc/PID/stat` counts.
pub fn ticks(boot_ns: u64) -> u64 {
    boot_ns / 10_000_000
}

//! The clocks of the kernel's stamps on processes, and what they measure.

use std::io;
use std::ptr;

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

/// The CPU time that this machine needs to return a MiB of memory, ns: the most of several rounds.
///
/// # Errors
/// If there is no memory for it.
pub fn free_mib_ns() -> io::Result<u64> {
    (0..8).map(|_| free_once()).try_fold(0, |most, once| Ok(most.max(once?)))
}

fn free_once() -> io::Result<u64> {
    const MIB: usize = 16;
    let (len, access) = (MIB << 20, libc::PROT_READ | libc::PROT_WRITE);
    // SAFETY: memory of its own, which nobody else knows.
    unsafe {
        let memory = libc::mmap(ptr::null_mut(), len, access, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS, -1, 0);
        if memory == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        // Single pages are the most work.
        libc::madvise(memory, len, libc::MADV_NOHUGEPAGE);
        ptr::write_bytes(memory.cast::<u8>(), 1, len);
        let before = read(libc::CLOCK_THREAD_CPUTIME_ID);
        libc::munmap(memory, len);
        Ok((read(libc::CLOCK_THREAD_CPUTIME_ID) - before) / MIB as u64)
    }
}

use rustix::thread::CapabilitySet;
use rustix::time::{ClockId, Timespec, clock_gettime};

use crate::Timestamp;
use crate::proc::timens;
use crate::sys::clock::Clock;

fn ns(time: Timespec) -> i64 {
    time.tv_sec.saturating_mul(1_000_000_000).saturating_add(time.tv_nsec)
}

/// CLOCK_BOOTTIME as the kernel has it, ns.
pub(crate) fn now_boot_ns() -> u64 {
    kernel_ns(ClockId::Boottime, timens::offsets().boot_ns)
}

/// CLOCK_MONOTONIC as the kernel has it, ns.
pub(crate) fn now_mono_ns() -> u64 {
    kernel_ns(ClockId::Monotonic, timens::offsets().mono_ns)
}

fn kernel_ns(clock: ClockId, offset_ns: i64) -> u64 {
    u64::try_from(ns(clock_gettime(clock)).saturating_sub(offset_ns)).unwrap_or(0)
}

/// The CPU time of this thread.
pub(crate) fn thread_cpu_time() -> std::time::Duration {
    std::time::Duration::from_nanos(ns(clock_gettime(ClockId::ThreadCPUTime)).unsigned_abs())
}

/// Major and minor number of the running kernel; zeroes if they cannot be read.
pub(crate) fn kernel_version() -> (u32, u32) {
    let release = rustix::system::uname();
    let release = release.release().to_string_lossy();
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(|number| number.parse().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
}

/// The present difference between boot time and wall time.
pub(crate) fn clock() -> Clock {
    let clock = Clock::new(ns(clock_gettime(ClockId::Realtime)), now_boot_ns());
    clock.read_in(timens::offsets(), timens::is_known())
}

/// When the kernel's CLOCK_MONOTONIC was 0, by the present clocks.
pub(crate) fn monotonic_origin() -> Timestamp {
    Timestamp(ns(clock_gettime(ClockId::Realtime)).saturating_sub_unsigned(now_mono_ns()))
}

pub(crate) fn page_bytes() -> u64 {
    rustix::param::page_size() as u64
}

/// The name of this system: `uname(2)`.
pub(crate) fn host_name() -> Option<String> {
    let name = rustix::system::uname();
    name.nodename().to_str().ok().filter(|name| !name.is_empty()).map(str::to_owned)
}

/// Whether the calling thread has these capabilities, in whichever user namespace it is.
pub(crate) fn has_capabilities(capabilities: CapabilitySet) -> bool {
    rustix::thread::capabilities(None).is_ok_and(|sets| sets.effective.contains(capabilities))
}

/// Makes this thread run as soon as it is woken, as far as the system allows: the shortest slice
/// (`sched_setattr(2)`, Linux 6.12), which any process may have, and with CAP_SYS_NICE the best
/// nice value.
pub(crate) fn be_prompt() {
    /// `struct sched_attr` in its first form.
    #[repr(C)]
    struct Attributes {
        size: u32,
        policy: u32,
        flags: u64,
        nice: i32,
        priority: u32,
        runtime_ns: u64,
        deadline_ns: u64,
        period_ns: u64,
    }
    let mut attributes = Attributes {
        size: size_of::<Attributes>() as u32,
        policy: libc::SCHED_OTHER as u32,
        flags: 0,
        nice: -20,
        priority: 0,
        runtime_ns: 100_000,
        deadline_ns: 0,
        period_ns: 0,
    };
    // SAFETY: the kernel reads as many bytes as `size` says, and only for this thread.
    if unsafe { libc::syscall(libc::SYS_sched_setattr, 0, &raw const attributes, 0) } != 0 {
        attributes.nice = 0;
        // SAFETY: as above.
        unsafe { libc::syscall(libc::SYS_sched_setattr, 0, &raw const attributes, 0) };
    }
}

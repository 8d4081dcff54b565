use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd};

use rustix::fs::{Mode, OFlags, openat};
use rustix::time::{ClockId, Timespec, clock_gettime};

use crate::pipeline::Clock;
use crate::{BootId, Pid, StartTime};

fn ns(time: Timespec) -> i64 {
    time.tv_sec.saturating_mul(1_000_000_000).saturating_add(time.tv_nsec)
}

/// CLOCK_BOOTTIME, ns.
pub(crate) fn now_boot_ns() -> u64 {
    ns(clock_gettime(ClockId::Boottime)).unsigned_abs()
}

/// How boot time and wall time stand to each other now.
pub(crate) fn clock() -> Clock {
    Clock::new(ns(clock_gettime(ClockId::Realtime)), now_boot_ns())
}

pub(crate) fn page_bytes() -> u64 {
    rustix::param::page_size() as u64
}

/// `/proc/sys/kernel/random/boot_id`; all zeroes where there is no /proc.
pub(crate) fn boot_id() -> BootId {
    std::fs::read_to_string("/proc/sys/kernel/random/boot_id")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or_default()
}

fn read_at(dir: BorrowedFd<'_>, name: &str, most: u64) -> io::Result<Vec<u8>> {
    let file = File::from(openat(dir, name, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?);
    let mut bytes = Vec::new();
    file.take(most).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Field 22 of `/proc/PID/stat`: `proc(5)`. The comm before it may hold blanks and parentheses.
pub(crate) fn decode_stat_start(stat: &[u8]) -> Option<StartTime> {
    let behind = stat.iter().rposition(|&b| b == b')')?;
    let field = stat.get(behind + 1..)?.split(|b| b.is_ascii_whitespace()).filter(|field| !field.is_empty()).nth(19)?;
    str::from_utf8(field).ok()?.parse().ok().map(StartTime)
}

/// The longest list that an exec takes: three quarters of 8 MiB (`fs/exec.c`).
const LONGEST_LIST: u64 = 6 << 20;

/// A file of the very process that started then: its directory, once opened, never becomes another process's.
fn read_of(pid: Pid, start: StartTime, name: &str) -> Option<Vec<u8>> {
    let dir = File::open(format!("/proc/{pid}")).ok()?;
    let stat = read_at(dir.as_fd(), "stat", 4096).ok()?;
    if decode_stat_start(&stat)? != start {
        return None;
    }
    read_at(dir.as_fd(), name, LONGEST_LIST).ok()
}

/// `/proc/PID/cmdline` of the process that started then; `None` where it is gone.
pub(crate) fn read_argv(pid: Pid, start: StartTime) -> Option<Vec<u8>> {
    read_of(pid, start, "cmdline")
}

/// `/proc/PID/environ`, likewise.
pub(crate) fn read_environment(pid: Pid, start: StartTime) -> Option<Vec<u8>> {
    read_of(pid, start, "environ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn start_of_a_hostile_name() {
        let stat = b"7 (a) b) (c) S 1 7 7 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 98765 1 2 3\n";
        assert_eq!(decode_stat_start(stat), Some(StartTime(98765)));
        assert_eq!(decode_stat_start(b""), None);
        assert_eq!(decode_stat_start(b"7 (a"), None);
        assert_eq!(decode_stat_start(b"7 (a) S 1 2"), None);
    }

    #[test]
    fn own_arguments() {
        let pid = std::process::id();
        let start = decode_stat_start(&std::fs::read("/proc/self/stat").unwrap()).unwrap();
        assert_eq!(read_argv(pid, start).unwrap(), std::fs::read("/proc/self/cmdline").unwrap());
        assert_eq!(read_argv(pid, StartTime(start.0 + 1)), None);
    }
}

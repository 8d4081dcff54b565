//! The reader's time namespace (`time_namespaces(7)`): `clock_gettime(2)` and the starts in /proc
//! are its own, while the kernel stamps events by its own clocks. Everything in this crate is in
//! the kernel's clocks; this module has the difference.

use crate::StartTime;

/// A tick of `/proc/PID/stat`, ns.
const TICK_NS: i64 = 10_000_000;

/// The namespace's additions to the kernel's clocks, ns.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Offsets {
    pub(crate) mono_ns: i64,
    pub(crate) boot_ns: i64,
}

impl Offsets {
    /// Reads `/proc/PID/timens_offsets`: of the namespace in which that process's children begin.
    pub(crate) fn decode(file: &[u8]) -> Option<Self> {
        let file = str::from_utf8(file).ok()?;
        let of = |clock: &str| {
            let mut words = file.lines().find_map(|line| line.strip_prefix(clock))?.split_ascii_whitespace();
            let mut number = || words.next()?.parse::<i64>().ok();
            let (seconds, nanos) = (number()?, number()?);
            seconds.checked_mul(1_000_000_000)?.checked_add(nanos)
        };
        Some(Self { mono_ns: of("monotonic")?, boot_ns: of("boottime")? })
    }

    /// The start shown by /proc, by the kernel's own clock.
    ///
    /// It is at most a tick too early, and only if [`Self::blurs`] says so.
    pub(crate) fn start(self, shown: StartTime) -> StartTime {
        if self.boot_ns == 0 {
            return shown;
        }
        // The kernel adds and divides without a sign: a process older than the namespace's clock
        // seems to be from the far future.
        let shown = i128::from(shown.0) * i128::from(TICK_NS);
        let shown = if shown > i128::from(i64::MAX) { shown - (1 << 64) } else { shown };
        let start = (shown - i128::from(self.boot_ns)).max(0) / i128::from(TICK_NS);
        StartTime(u64::try_from(start).unwrap_or(u64::MAX))
    }

    /// Whether a start that was read may be one tick too early, because its ticks here are not the
    /// kernel's.
    pub(crate) fn blurs(self, start: StartTime) -> bool {
        let here = i128::from(start.0) * i128::from(TICK_NS) + i128::from(self.boot_ns);
        self.boot_ns % TICK_NS != 0 || here < 0
    }
}

#[cfg(target_os = "linux")]
pub(crate) use live::{is_known, offsets, renew};

#[cfg(target_os = "linux")]
mod live {
    use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
    use std::sync::Once;
    use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

    use rustix::fs::{Mode, OFlags, openat, readlinkat};
    use rustix::io::Errno;

    use super::super::mount::{exists, mount_nameless, read_at};
    use super::Offsets;

    // All threads of a process are in one time namespace, which a process can leave while it has
    // only one thread.
    static MONO_NS: AtomicI64 = AtomicI64::new(0);
    static BOOT_NS: AtomicI64 = AtomicI64::new(0);
    static KNOWN: AtomicBool = AtomicBool::new(false);
    static FIRST: Once = Once::new();

    pub(crate) fn offsets() -> Offsets {
        FIRST.call_once(renew);
        Offsets { mono_ns: MONO_NS.load(Ordering::Relaxed), boot_ns: BOOT_NS.load(Ordering::Relaxed) }
    }

    /// Whether they could be found out.
    pub(crate) fn is_known() -> bool {
        FIRST.call_once(renew);
        KNOWN.load(Ordering::Relaxed)
    }

    /// Looks again: a child of a process that already looked may be in a namespace of its own.
    pub(crate) fn renew() {
        let directory = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let mounted = openat(rustix::fs::CWD, "/proc", directory, Mode::empty());
        let read = |proc: OwnedFd| read(proc.as_fd());
        let found = mounted.ok().and_then(read).or_else(|| mount_nameless("proc").ok().and_then(read));
        let Offsets { mono_ns, boot_ns } = found.unwrap_or_default();
        MONO_NS.store(mono_ns, Ordering::Relaxed);
        BOOT_NS.store(boot_ns, Ordering::Relaxed);
        KNOWN.store(found.is_some(), Ordering::Relaxed);
    }

    /// `PROC_TIME_INIT_INO` in `include/linux/proc_ns.h`.
    const INITIAL: &[u8] = b"time:[4026531834]";

    fn link(proc: BorrowedFd<'_>, process: &str, name: &str) -> Result<Vec<u8>, Errno> {
        readlinkat(proc, format!("{process}/ns/{name}"), Vec::new()).map(|link| link.into_bytes())
    }

    /// The additions of this process's namespace; `None` if this /proc does not show them.
    fn read(proc: BorrowedFd<'_>) -> Option<Offsets> {
        let own = match link(proc, "self", "time") {
            Ok(own) if own == INITIAL => return Some(Offsets::default()),
            Ok(own) => own,
            // A kernel without time namespaces; or a /proc without this process.
            Err(_) => return exists(proc, "self/stat").then(Offsets::default),
        };
        let offsets_for_children = |process: &str| {
            let same = link(proc, process, "time_for_children").is_ok_and(|children| children == own);
            let read = || read_at(proc, &format!("{process}/timens_offsets"), 4096).ok();
            same.then(read).flatten().and_then(|file| Offsets::decode(&file))
        };
        // After unshare(2) the children's namespace is another one; another process's children may
        // be in this.
        offsets_for_children("self").or_else(|| {
            let dir = openat(proc, ".", OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()).ok()?;
            let entries = rustix::fs::Dir::new(dir).ok()?.flatten();
            let mut pids = entries.filter_map(|entry| Some(entry.file_name().to_str().ok()?.to_owned()));
            pids.find_map(|name| name.parse::<u32>().ok().and_then(|_| offsets_for_children(&name)))
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn offsets_of_a_namespace() {
        let of = |file: &str| Offsets::decode(file.as_bytes()).map(|it| (it.mono_ns, it.boot_ns));
        assert_eq!(of("monotonic           0         0\nboottime            0         0\n"), Some((0, 0)));
        assert_eq!(
            of("monotonic      864000         0\nboottime          -10 500000000\n"),
            Some((864_000_000_000_000, -9_500_000_000))
        );
        for bad in
            ["", "monotonic 1 0\n", "monotonic x 0\nboottime 1 0\n", "monotonic 1 0\nboottime 99999999999999 0\n"]
        {
            assert_eq!(of(bad), None, "{bad}");
        }
    }

    /// The start as `do_task_stat` in `fs/proc/array.c` shows it.
    fn shown(start_ns: u64, offset_ns: i64) -> StartTime {
        StartTime(start_ns.wrapping_add_signed(offset_ns) / TICK_NS as u64)
    }

    proptest! {
        /// The start outside is the worked-out one, or one tick after it if that is marked.
        #[test]
        fn starts_are_those_outside(start_ns in 0u64..1 << 55, seconds in -1_000_000_000i64..1_000_000_000, nanos in 0i64..1_000_000_000, odd: bool) {
            let offset_ns = seconds * 1_000_000_000 + if odd { nanos } else { 0 };
            let offsets = Offsets { mono_ns: 0, boot_ns: offset_ns };
            let (found, truth) = (offsets.start(shown(start_ns, offset_ns)), StartTime::from_boot_ns(start_ns));
            let blurred = offsets.blurs(found);
            prop_assert!(found == truth || blurred && found.0 + 1 == truth.0, "{found:?} {truth:?}");
        }

        #[test]
        fn any_file_is_taken(file: Vec<u8>, shown: u64, boot_ns: i64) {
            let _ = Offsets::decode(&file);
            let offsets = Offsets { mono_ns: 0, boot_ns };
            let _ = offsets.blurs(offsets.start(StartTime(shown)));
        }
    }
}

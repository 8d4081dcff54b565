//! tracefs, and instances of our own in it. Those that have our name and belong to no living
//! process are removed.

use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use rustix::fs::{AtFlags, Dir, Mode, OFlags, mkdirat, openat, unlinkat};

use super::decode::{Malformed, PageLayout, Raw, Schema};
use crate::{Pid, StartTime, sys};

/// The file system at its mount point, or in a mount of our own that has no name anywhere and ends
/// with us.
pub(super) struct Tracefs(OwnedFd);

/// Its possible mount points: `/proc/self/mountinfo`, `proc_pid_mountinfo(5)`.
fn mounts() -> Vec<String> {
    let mut paths = vec!["/sys/kernel/tracing".to_owned(), "/sys/kernel/debug/tracing".to_owned()];
    let table = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    for line in table.lines() {
        let (Some((_, kind)), Some(path)) = (line.split_once(" - "), line.split(' ').nth(4)) else { continue };
        match kind.split(' ').next() {
            // Blanks are written \040.
            Some("tracefs") if !path.contains('\\') => paths.push(path.to_owned()),
            Some("debugfs") if !path.contains('\\') => paths.push(format!("{path}/tracing")),
            _ => {}
        }
    }
    paths
}

impl Tracefs {
    pub(super) fn open() -> io::Result<Self> {
        let directory = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let mut refused = None;
        for path in mounts() {
            match openat(rustix::fs::CWD, &path, directory, Mode::empty()) {
                Ok(dir) => {
                    let tracefs = Self(dir);
                    if tracefs.has("events/header_page") {
                        return Ok(tracefs);
                    }
                }
                Err(rustix::io::Errno::NOENT) => {}
                Err(error) => refused = Some(error),
            }
        }
        let mounted = sys::mount_nameless("tracefs");
        Ok(Self(mounted.map_err(|error| refused.map_or(error, Into::into))?))
    }

    pub(super) fn has(&self, path: &str) -> bool {
        rustix::fs::accessat(&self.0, path, rustix::fs::Access::EXISTS, AtFlags::EACCESS).is_ok()
    }

    pub(super) fn may_write(&self, path: &str) -> io::Result<()> {
        Ok(rustix::fs::accessat(&self.0, path, rustix::fs::Access::WRITE_OK, AtFlags::EACCESS)?)
    }

    pub(super) fn read(&self, path: &str) -> io::Result<String> {
        read_at(&self.0, path)
    }

    /// Adds a line to a file of definitions.
    pub(super) fn define(&self, path: &str, line: &str) -> io::Result<()> {
        write_at(&self.0, path, line, OFlags::APPEND)
    }

    fn list(&self, path: &str) -> io::Result<Vec<String>> {
        list_at(&self.0, path)
    }
}

/// This much is requested at once.
const ONE_READ: usize = 1 << 16;
/// No text here is longer.
const LONGEST_TEXT: usize = 16 << 20;

fn read_at(dir: &OwnedFd, path: &str) -> io::Result<String> {
    let file = openat(dir, path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
    // Some of these files give the content of one read, and nothing after it (`show_header` in
    // `kernel/trace/trace_events.c`).
    let (mut text, mut part) = (Vec::new(), vec![0; ONE_READ]);
    while text.len() < LONGEST_TEXT {
        match rustix::io::read(&file, &mut part[..])? {
            0 => break,
            len => text.extend_from_slice(&part[..len]),
        }
    }
    Ok(String::from_utf8_lossy(&text).into_owned())
}

fn write_at(dir: &OwnedFd, path: &str, text: &str, flags: OFlags) -> io::Result<()> {
    let file = openat(dir, path, OFlags::WRONLY | OFlags::CLOEXEC | flags, Mode::empty())?;
    File::from(file).write_all(text.as_bytes())
}

fn list_at(dir: &OwnedFd, path: &str) -> io::Result<Vec<String>> {
    let dir = openat(dir, path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    let names = Dir::new(dir)?.filter_map(|entry| Some(entry.ok()?.file_name().to_str().ok()?.to_owned()));
    Ok(names.filter(|name| name != "." && name != "..").collect())
}

/// The beginning of all our names.
const OURS: &str = "procscope";
/// Distinguishes the monitors of one process.
static NEXT: AtomicU32 = AtomicU32::new(0);

/// The owner of one of our objects: a process, by its pid and start.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Owner {
    pid: Pid,
    start: StartTime,
}

impl Owner {
    /// From names such as `procscope-PID-START-N`, whatever the separators.
    fn of(name: &str, between: char) -> Option<Self> {
        let mut parts = name.strip_prefix(OURS)?.strip_prefix(between)?.split(between);
        Some(Self { pid: parts.next()?.parse().ok()?, start: StartTime(parts.next()?.parse().ok()?) })
    }

    /// It may live in another namespace, and then it is unknown here: only processes of the initial
    /// one get here.
    fn lives(self) -> bool {
        // Seen from another time namespace it may differ by a tick.
        sys::start_of(self.pid).is_some_and(|start| start.0.abs_diff(self.start.0) <= 1)
    }
}

/// The names of one monitor.
#[derive(Clone, Debug)]
pub(super) struct Names {
    instance: String,
    /// The names of probes, in which no hyphen may be.
    pub(super) group: String,
}

impl Names {
    pub(super) fn new() -> Self {
        let pid = std::process::id();
        // Without /proc no start is known; such an owner never counts as dead.
        let start = sys::start_of(pid).map_or(0, |start| start.0);
        let n = NEXT.fetch_add(1, Ordering::Relaxed);
        Self { instance: format!("{OURS}-{pid}-{start}-{n}"), group: format!("{OURS}_{pid}_{start}_{n}") }
    }
}

/// Files with definitions of probes.
const DEFINITIONS: [&str; 2] = ["dynamic_events", "kprobe_events"];

/// Removes objects that have our name and belong to no living process.
pub(super) fn clean(tracefs: &Tracefs) {
    // Without /proc no process seems to live.
    if sys::start_of(std::process::id()).is_none() {
        return;
    }
    let dead = |name: &str, between| Owner::of(name, between).is_some_and(|owner| !owner.lives());
    for name in tracefs.list("instances").unwrap_or_default() {
        if dead(&name, '-') {
            let _ = unlinkat(&tracefs.0, format!("instances/{name}"), AtFlags::REMOVEDIR);
        }
    }
    remove_probes(tracefs, |group| dead(group, '_'));
}

/// Removes the probes of these groups.
pub(super) fn remove_probes(tracefs: &Tracefs, of: impl Fn(&str) -> bool) {
    for file in DEFINITIONS {
        let Ok(text) = tracefs.read(file) else { continue };
        for line in text.lines() {
            // p:GROUP/NAME …
            let Some((_, rest)) = line.split_once(':') else { continue };
            let event = rest.split_whitespace().next().unwrap_or_default();
            if event.split_once('/').is_some_and(|(group, _)| of(group)) {
                let _ = tracefs.define(file, &format!("-:{event}\n"));
            }
        }
    }
}

/// The clock of a buffer's times.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum TraceClock {
    Boot,
    Mono,
    /// Another one, behind CLOCK_BOOTTIME by this much, ns.
    Other(i64),
}

/// One CPU's buffer.
struct Cpu {
    number: Option<u32>,
    pipe: OwnedFd,
    stats: String,
    /// When its last record was made.
    last_ns: u64,
    /// Records that were counted as lost.
    lost: u64,
}

/// Records that are missing, and after when.
#[derive(Clone, Copy, Debug)]
pub(super) struct Gap {
    pub(super) after_ns: u64,
    pub(super) count: u64,
}

/// A directory of our own, which is removed when it is dropped.
struct Home {
    tracefs: Arc<Tracefs>,
    path: String,
    dir: OwnedFd,
}

impl Home {
    fn make(tracefs: &Arc<Tracefs>, names: &Names, what: &str) -> io::Result<Self> {
        let path = format!("instances/{}-{what}", names.instance);
        mkdirat(&tracefs.0, &path, Mode::from_bits_truncate(0o750))?;
        match openat(&tracefs.0, &path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()) {
            Ok(dir) => Ok(Self { tracefs: Arc::clone(tracefs), path, dir }),
            Err(error) => {
                let _ = unlinkat(&tracefs.0, &path, AtFlags::REMOVEDIR);
                Err(error.into())
            }
        }
    }

    fn read(&self, path: &str) -> io::Result<String> {
        read_at(&self.dir, path)
    }

    fn write(&self, path: &str, text: &str) -> io::Result<()> {
        write_at(&self.dir, path, text, OFlags::empty())
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        let _ = self.write("tracing_on", "0");
        let _ = unlinkat(&self.tracefs.0, &self.path, AtFlags::REMOVEDIR);
    }
}

/// A buffer of our own.
pub(super) struct Instance {
    /// Before the home: one that is read is busy.
    cpus: Vec<Cpu>,
    pub(super) clock: TraceClock,
    layout: PageLayout,
    page: Vec<u8>,
    pub(super) buffer_kib: usize,
    home: Home,
}

/// This many pages of one CPU are read before the next one's turn.
const AT_ONCE: usize = 1024;

impl Instance {
    /// Makes one in which nothing is recorded yet. `bytes`: of each CPU's buffer.
    pub(super) fn make(tracefs: &Arc<Tracefs>, names: &Names, what: &str, bytes: usize) -> io::Result<Self> {
        let home = Home::make(tracefs, names, what)?;
        let clocks = [("boot", TraceClock::Boot), ("mono", TraceClock::Mono), ("global", TraceClock::Other(0))];
        let set = clocks.into_iter().find(|(name, _)| home.write("trace_clock", name).is_ok());
        let clock = set.map_or(TraceClock::Other(0), |(_, clock)| clock);
        home.write("buffer_size_kb", &(bytes >> 10).max(8).to_string())?;
        let size = home.read("buffer_size_kb")?;
        let buffer_kib = size.split_whitespace().next().and_then(|n| n.parse().ok()).unwrap_or(0);
        // The newest are kept, and replaced ones are reported where they are missing.
        home.write("options/overwrite", "1")?;
        // Not every kernel has these: names of threads that nothing reads, and how full a buffer
        // must be to wake us.
        let _ = home.write("options/record-cmd", "0");
        let _ = home.write("buffer_percent", "0");
        let header = |name: &str| {
            let path = format!("events/{name}");
            home.read(&path).or_else(|_| tracefs.read(&path))
        };
        let layout = PageLayout::decode(&header("header_page")?, &header("header_event")?).map_err(malformed)?;
        let page = vec![0; layout.size];
        let mut cpus = Vec::new();
        for name in list_at(&home.dir, "per_cpu")? {
            let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
            let pipe = openat(&home.dir, format!("per_cpu/{name}/trace_pipe_raw"), flags, Mode::empty())?;
            let number = name.strip_prefix("cpu").and_then(|number| number.parse().ok());
            cpus.push(Cpu { number, pipe, stats: format!("per_cpu/{name}/stats"), last_ns: 0, lost: 0 });
        }
        let mut made = Self { cpus, clock, layout, page, buffer_kib, home };
        made.measure_clock();
        Ok(made)
    }

    /// If the clock cannot be read: how far it is behind.
    pub(super) fn measure_clock(&mut self) {
        if !matches!(self.clock, TraceClock::Other(_)) {
            return;
        }
        let Some(cpu) = self.cpus.first() else { return };
        let Ok(stats) = self.read(&cpu.stats) else { return };
        let now = stats.lines().find_map(|line| line.strip_prefix("now ts:"));
        let Some((seconds, micros)) = now.and_then(|now| now.trim().split_once('.')) else { return };
        if let (Ok(seconds), Ok(micros)) = (seconds.parse::<i64>(), micros.parse::<i64>()) {
            let now = seconds.saturating_mul(1_000_000_000).saturating_add(micros.saturating_mul(1000));
            self.clock = TraceClock::Other((sys::now_boot_ns() as i64).saturating_sub(now));
        }
    }

    pub(super) fn has(&self, path: &str) -> bool {
        rustix::fs::accessat(&self.home.dir, path, rustix::fs::Access::EXISTS, AtFlags::empty()).is_ok()
    }

    pub(super) fn read(&self, path: &str) -> io::Result<String> {
        self.home.read(path)
    }

    pub(super) fn write(&self, path: &str, text: &str) -> io::Result<()> {
        self.home.write(path, text)
    }

    pub(super) fn enable(&self, event: &str) -> io::Result<()> {
        self.write(&format!("events/{event}/enable"), "1")
    }

    /// Makes the kernel keep as much as it can of the strings of system calls, and returns how much
    /// that is, bytes.
    pub(super) fn keep_user_strings(&self) -> Option<usize> {
        const FILE: &str = "syscall_user_buf_size";
        // It accepts at most 165 (`SYSCALL_FAULT_USER_MAX` in `kernel/trace/trace.h`).
        let _ = self.write(FILE, "4095");
        self.read(FILE).ok()?.trim().parse().ok()
    }

    /// The descriptors to wait for.
    pub(super) fn pipes(&self) -> impl Iterator<Item = &OwnedFd> {
        self.cpus.iter().map(|cpu| &cpu.pipe)
    }

    /// Reads the waiting records. Returns the gaps that it found; counts malformed records.
    pub(super) fn take(
        &mut self,
        schema: &Schema,
        malformed: &mut u64,
        raws: &mut Vec<Raw>,
        gaps: &mut Vec<Gap>,
    ) -> io::Result<()> {
        let Self { home, layout, page, cpus, .. } = self;
        for cpu in cpus {
            for _ in 0..AT_ONCE {
                let len = match rustix::io::read(&cpu.pipe, &mut page[..]) {
                    Err(rustix::io::Errno::AGAIN) => break,
                    // Not empty, and yet nothing available: a writer is at work.
                    Ok(0) | Err(rustix::io::Errno::INTR) => continue,
                    Err(error) => return Err(error.into()),
                    Ok(len) => len,
                };
                let after_ns = cpu.last_ns;
                let (processor, last_ns) = (cpu.number, &mut cpu.last_ns);
                let missed = layout.records(&page[..len], |ns, record| {
                    *last_ns = ns;
                    match schema.decode(ns, record) {
                        Ok(raw) => raws.extend(raw.map(|raw| Raw { processor, ..raw })),
                        Err(Malformed) => *malformed += 1,
                    }
                });
                match missed {
                    Ok(missed) if missed.before => gaps.extend(count_lost(&home.dir, cpu, after_ns)),
                    Ok(_) => {}
                    Err(Malformed) => *malformed += 1,
                }
            }
        }
        Ok(())
    }

    /// Losses that no page reported.
    pub(super) fn rest_lost(&mut self, gaps: &mut Vec<Gap>) {
        let Self { home, cpus, .. } = self;
        for cpu in cpus {
            let after_ns = cpu.last_ns;
            gaps.extend(count_lost(&home.dir, cpu, after_ns));
        }
    }
}

/// Losses in the buffer's counters that were not reported: replaced before they were read, dropped,
/// or refused to a writer that interrupted another one.
fn count_lost(dir: &OwnedFd, cpu: &mut Cpu, after_ns: u64) -> Option<Gap> {
    let stats = read_at(dir, &cpu.stats).ok()?;
    let count = |name: &str| {
        let line = stats.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        line.and_then(|number| number.trim().parse::<u64>().ok()).unwrap_or(0)
    };
    let lost = count("overrun") + count("commit overrun") + count("dropped events");
    let new = lost.saturating_sub(cpu.lost);
    cpu.lost = lost.max(cpu.lost);
    (new > 0).then_some(Gap { after_ns, count: new })
}

fn malformed(_: Malformed) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "an unknown layout")
}

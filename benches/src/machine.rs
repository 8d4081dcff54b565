//! The machine of the measurement.

use std::ffi::CString;
use std::fmt;
use std::fs;
use std::io;
use std::path::Path;

/// The machine, for the head of a table.
#[derive(Clone, Debug)]
pub struct Machine {
    kernel: String,
    cpu: String,
    cores: usize,
    memory_gib: u64,
    load: String,
}

impl Machine {
    /// Looks at it.
    pub fn here() -> Self {
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let cpuinfo = read("/proc/cpuinfo");
        let cpu = cpuinfo.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
        let meminfo = read("/proc/meminfo");
        let kib =
            meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:")?.trim().strip_suffix(" kB")?.parse().ok());
        Self {
            kernel: format!("Linux {} {}", read("/proc/sys/kernel/osrelease").trim(), std::env::consts::ARCH),
            cpu: cpu.map_or("unknown processor", |(_, model)| model).trim().to_owned(),
            cores: std::thread::available_parallelism().map_or(1, Into::into),
            memory_gib: kib.unwrap_or(0u64) >> 20,
            load: read("/proc/loadavg").split(' ').next().unwrap_or_default().to_owned(),
        }
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kernel, cpu, cores, memory_gib, load } = self;
        write!(f, "{kernel}, {cores} cores of {cpu}, {memory_gib} GiB; load average before: {load}")
    }
}

/// Mounts tracefs if it is missing, because libbpf's tools and bpftrace need it; only we and our
/// children see it.
///
/// # Errors
/// Without the right to.
pub fn see_tracefs() -> io::Result<()> {
    let dir = "/sys/kernel/tracing";
    if Path::new(dir).join("events").exists() {
        return Ok(());
    }
    let text = |s: &str| CString::new(s).expect("no NUL");
    let (root, none, tracefs, dir) = (text("/"), text("none"), text("tracefs"), text(dir));
    // SAFETY: strings with their NULs, and no data.
    let results = unsafe {
        [
            libc::unshare(libc::CLONE_NEWNS),
            libc::mount(
                none.as_ptr(),
                root.as_ptr(),
                std::ptr::null(),
                libc::MS_REC | libc::MS_PRIVATE,
                std::ptr::null(),
            ),
            libc::mount(none.as_ptr(), dir.as_ptr(), tracefs.as_ptr(), 0, std::ptr::null()),
        ]
    };
    if results == [0; 3] { Ok(()) } else { Err(io::Error::last_os_error()) }
}

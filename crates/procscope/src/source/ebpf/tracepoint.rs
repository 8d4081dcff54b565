//! Tracepoints of system calls, which tp_btf programs cannot reach: `perf_event_open(2)` with the
//! id from tracefs.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::path::Path;

use rustix::fs::{Mode, OFlags};

use crate::sys;

/// Access to tracefs: its mount point, or a mount of our own that has no name anywhere and ends
/// with us.
pub(super) struct Tracefs(OwnedFd);

/// Whether bpf(2) is refused for every command: an unknown command gives EINVAL to permitted
/// callers.
pub(super) fn is_refused() -> bool {
    // SAFETY: nothing is read.
    let result = unsafe { libc::syscall(libc::SYS_bpf, -1, std::ptr::null::<u8>(), 0) };
    result < 0 && io::Error::last_os_error().raw_os_error() == Some(libc::EPERM)
}

impl Tracefs {
    pub(super) fn open() -> io::Result<Self> {
        for path in ["/sys/kernel/tracing", "/sys/kernel/debug/tracing"] {
            if Path::new(path).join("events").is_dir() {
                return Ok(Self(File::open(path)?.into()));
            }
        }
        sys::mount_nameless("tracefs").map(Self)
    }

    /// The id of `syscalls:NAME`.
    pub(super) fn id(&self, name: &str) -> io::Result<u64> {
        let path = format!("events/syscalls/{name}/id");
        let file = rustix::fs::openat(&self.0, path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
        let mut text = String::new();
        File::from(file).read_to_string(&mut text)?;
        text.trim().parse().map_err(|_| io::ErrorKind::InvalidData.into())
    }

    /// Opens `syscalls:NAME` for a BPF program.
    pub(super) fn open_syscall(&self, name: &str) -> io::Result<OwnedFd> {
        const PERF_FLAG_FD_CLOEXEC: libc::c_ulong = 8;
        // SAFETY: all zeroes is a valid attr.
        let mut attr: libbpf_rs::libbpf_sys::perf_event_attr = unsafe { std::mem::zeroed() };
        attr.type_ = libbpf_rs::libbpf_sys::PERF_TYPE_TRACEPOINT;
        attr.size = size_of_val(&attr) as u32;
        attr.config = self.id(name)?;
        // SAFETY: attr is valid for its size. The program runs on every CPU, whichever the event is
        // opened on.
        let fd = unsafe { libc::syscall(libc::SYS_perf_event_open, &raw const attr, -1, 0, -1, PERF_FLAG_FD_CLOEXEC) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: a new descriptor that nothing else has.
        Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) })
    }
}

/// Attaches a program to a system call's tracepoint.
pub(super) fn attach(
    tracefs: &Tracefs,
    program: &libbpf_rs::ProgramMut<'_>,
    name: &str,
) -> io::Result<libbpf_rs::Link> {
    let fd = tracefs.open_syscall(name)?;
    let link = program.attach_perf_event(fd.as_raw_fd()).map_err(io::Error::other)?;
    // The link closes it.
    std::mem::forget(fd);
    Ok(link)
}

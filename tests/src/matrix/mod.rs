//! The program `ps-matrix`: the behaviour of each source on its kernel, one line for each.
//!
//! It only reports what it saw; xtask's table holds the expectations. As the first process of a
//! guest it needs no other program there than procscope and ps-workload.

mod behaviours;
mod cgroups;
mod doctor;
mod places;
mod watch;
mod words;

use std::ffi::CStr;
use std::process::{Command, ExitCode};
use std::{fs, io, ptr};

use watch::Trouble;

/// The beginning of our lines, among those of the kernel.
const MARK: &str = "@@";

/// Does everything, or the named behaviours and sources; as process 1 prepares the system first and
/// ends it afterwards.
pub fn main() -> ExitCode {
    if std::process::id() != 1 {
        let named: Vec<String> = std::env::args().skip(1).collect();
        behaviours::all(&named, report);
        return ExitCode::SUCCESS;
    }
    let done = begin().and_then(|()| reap());
    match done {
        Ok(status) => println!("{MARK} end {status}"),
        Err(error) => println!("error: {error}"),
    }
    // SAFETY: everything was reported.
    unsafe {
        libc::sync();
        libc::reboot(libc::RB_POWER_OFF);
    }
    ExitCode::FAILURE
}

fn report(source: &str, behaviour: &str, seen: Result<(), Trouble>) {
    let (outcome, text) = match seen {
        Ok(()) => ("works", String::new()),
        Err(Trouble::Says(text)) => ("says", text),
        Err(Trouble::Wrong(text)) => ("wrong", text),
    };
    let text: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    println!("{MARK} cell {source} {behaviour} {outcome} {}", text.join(" / "));
}

fn begin() -> io::Result<()> {
    mount(c"/proc", c"proc", c"")?;
    mount(c"/sys", c"sysfs", c"")?;
    mount(c"/dev", c"devtmpfs", c"")?;
    fs::create_dir_all("/dev/pts")?;
    mount(c"/dev/pts", c"devpts", c"")?;
    mount(c"/tmp", c"tmpfs", c"mode=1777")?;
    mount(c"/sys/fs/cgroup", c"cgroup2", c"")?;
    // The case oom wants a limit.
    fs::write("/sys/fs/cgroup/cgroup.subtree_control", "+memory")?;
    mount(c"/sys/kernel/tracing", c"tracefs", c"")
}

fn mount(on: &CStr, kind: &CStr, options: &CStr) -> io::Result<()> {
    // SAFETY: strings with their NUL.
    let result = unsafe { libc::mount(kind.as_ptr(), on.as_ptr(), kind.as_ptr(), 0, options.as_ptr().cast()) };
    match result {
        0 => Ok(()),
        _ => Err(io::Error::other(format!("{}: {}", on.to_string_lossy(), io::Error::last_os_error()))),
    }
}

/// A bind mount, a change of one, or a file system that has the name of what it is mounted from.
fn mount_flagged(on: &CStr, from: &CStr, flags: libc::c_ulong) -> io::Result<()> {
    // SAFETY: strings with their NUL.
    match unsafe { libc::mount(from.as_ptr(), on.as_ptr(), from.as_ptr(), flags, ptr::null()) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

fn unmount(from: &CStr) -> io::Result<()> {
    // SAFETY: a string with its NUL.
    match unsafe { libc::umount2(from.as_ptr(), 0) } {
        0 => Ok(()),
        _ => Err(io::Error::other(format!("{}: {}", from.to_string_lossy(), io::Error::last_os_error()))),
    }
}

/// Lets a child do it, and reaps orphans meanwhile.
fn reap() -> io::Result<i32> {
    // The words after "--" of the kernel's command line.
    let child = Command::new("/init").args(std::env::args_os().skip(1)).env("PATH", "/bin").env("HOME", "/").spawn()?;
    loop {
        let mut status = 0;
        // SAFETY: the kernel fills the status.
        match unsafe { libc::wait4(-1, &mut status, 0, ptr::null_mut()) } {
            pid if pid < 0 => return Err(io::Error::last_os_error()),
            pid if pid as u32 == child.id() => return Ok(status),
            _ => {}
        }
    }
}

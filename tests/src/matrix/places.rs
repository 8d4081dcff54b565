//! Places that show only part of the system: as in containers, without an engine.

use std::ffi::{CStr, CString};
use std::fs::{self, File};
use std::io;
use std::os::fd::AsRawFd as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;

use super::watch::{Trouble, Watch, Workload};
use super::{behaviours, mount, mount_flagged, unmount};

type Result<T = ()> = std::result::Result<T, Trouble>;

const EVENTS: [&str; 2] = ["-e", "fork,exec,exit"];

/// procscope as the first process of a pid namespace, with that namespace's /proc; the storm is
/// outside.
pub(super) fn pid_namespace(source: &str) -> Result {
    let mut command = Command::new("/bin/procscope");
    // SAFETY: only system calls between fork and exec.
    unsafe { command.pre_exec(own_proc) };
    let ours = File::open("/proc/self/ns/pid")?;
    // SAFETY: only this thread's next children are in it.
    check(unsafe { libc::unshare(libc::CLONE_NEWPID) })?;
    let watch = Watch::spawn_command(command, source, &EVENTS);
    // SAFETY: a descriptor of our own; the children after this are here again.
    check(unsafe { libc::setns(ours.as_raw_fd(), libc::CLONE_NEWPID) })?;
    tell(source, watch?)
}

fn own_proc() -> io::Result<()> {
    // SAFETY: no memory is shared with the parent except the kernel's copies.
    check(unsafe { libc::unshare(libc::CLONE_NEWNS) })?;
    mount_flagged(c"/", c"none", libc::MS_REC | libc::MS_PRIVATE)?;
    mount_flagged(c"/proc", c"proc", 0)
}

/// In a directory with programs and /tmp, without /proc, /sys and /dev.
pub(super) fn chroot(source: &str) -> Result {
    let jail = Jail::new()?;
    let mut command = Command::new("/bin/procscope");
    // SAFETY: only system calls between fork and exec.
    unsafe {
        command.pre_exec(|| {
            check(libc::chroot(JAIL.as_ptr()))?;
            check(libc::chdir(c"/".as_ptr()))
        })
    };
    let told = Watch::spawn_command(command, source, &EVENTS).and_then(|watch| tell(source, watch));
    drop(jail);
    told
}

/// tracefs without some of its files, as on kernels that lack them; whole again when dropped.
pub(super) struct Hidden {
    /// The rest is in its place.
    covered: bool,
}

const TRACEFS: &str = "/sys/kernel/tracing";
const REST: &str = "/traced";

impl Hidden {
    pub(super) fn new(files: &[&str]) -> Result<Self> {
        fs::create_dir_all(REST)?;
        mount(c"/traced", c"tmpfs", c"")?;
        let mut hidden = Self { covered: false };
        for entry in fs::read_dir(TRACEFS)? {
            let entry = entry?;
            let name = entry.file_name();
            if files.iter().any(|file| name == **file) {
                continue;
            }
            let to = Path::new(REST).join(&name);
            if entry.file_type()?.is_dir() {
                fs::create_dir(&to)?
            } else {
                File::create(&to).map(drop)?
            }
            mount_flagged(&c_path(&to)?, &c_path(&entry.path())?, libc::MS_BIND)?;
        }
        mount_flagged(c"/sys/kernel/tracing", c"/traced", libc::MS_BIND | libc::MS_REC)?;
        hidden.covered = true;
        Ok(hidden)
    }
}

impl Drop for Hidden {
    fn drop(&mut self) {
        // Leftovers show in the next behaviour.
        if self.covered {
            let _ = detach(c"/sys/kernel/tracing");
        }
        let _ = detach(c"/traced");
    }
}

fn c_path(path: &Path) -> io::Result<CString> {
    Ok(CString::new(path.as_os_str().as_bytes())?)
}

/// Including its mounts.
fn detach(from: &CStr) -> io::Result<()> {
    // SAFETY: a string with its NUL.
    check(unsafe { libc::umount2(from.as_ptr(), libc::MNT_DETACH) })
}

const JAIL: &CStr = c"/jail";

/// The directory; its mounts are removed with it.
struct Jail(Vec<&'static CStr>);

impl Jail {
    fn new() -> Result<Self> {
        fs::create_dir_all("/jail")?;
        mount(JAIL, c"tmpfs", c"")?;
        let mut jail = Self(vec![JAIL]);
        for (from, to) in
            [(c"/bin", c"/jail/bin"), (c"/lib", c"/jail/lib"), (c"/lib64", c"/jail/lib64"), (c"/tmp", c"/jail/tmp")]
        {
            if !Path::new(&*from.to_string_lossy()).exists() {
                continue;
            }
            fs::create_dir(Path::new(&*to.to_string_lossy()))?;
            mount_flagged(to, from, libc::MS_BIND)?;
            jail.0.push(to);
        }
        Ok(jail)
    }
}

impl Drop for Jail {
    fn drop(&mut self) {
        // Leftovers show in the next behaviour.
        self.0.drain(..).rev().for_each(|at| _ = unmount(at));
    }
}

fn tell(source: &str, watch: Watch) -> Result {
    let truth = Workload::new(&["storm", "--count", "50"], "place")?.run()?;
    let ended = watch.stop()?.well()?;
    behaviours::right(source, &ended, truth, Some(&["fork", "exec", "exit"]))
}

fn check(result: libc::c_int) -> io::Result<()> {
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

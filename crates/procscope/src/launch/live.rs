use std::ffi::{CStr, CString, OsStr};
use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::ptr;
use std::sync::Mutex;

use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};

use super::filter;
use super::{Home, Launch, RunningCommand};
use crate::{Error, Pid};

/// A child of ours that becomes the command once released. Dropped before that, it ends.
#[derive(Debug)]
pub(crate) struct Held {
    command: RunningCommand,
    name: String,
    home: Home,
    image: Image,
    /// Readable once the shell is to run it.
    by_shell: OwnedFd,
    gate: Mutex<Option<File>>,
    /// The error of its exec, if any; ends with the exec.
    refusal: Mutex<File>,
}

fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    let mut fds = [0; 2];
    // SAFETY: room for the two descriptors, which belong to nothing else.
    unsafe {
        if libc::pipe2(fds.as_mut_ptr(), libc::O_CLOEXEC) != 0 {
            return Err(io::Error::last_os_error());
        }
        Ok((OwnedFd::from_raw_fd(fds[0]), OwnedFd::from_raw_fd(fds[1])))
    }
}

/// Whether this process has no child, and gets no orphans.
fn is_childless() -> bool {
    // SAFETY: plain data, for which all zeroes is a valid value.
    let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
    let flags = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT | libc::__WALL;
    // SAFETY: the kernel fills the given memory.
    let waited = unsafe { libc::waitid(libc::P_ALL, 0, &raw mut info, flags) };
    let childless = waited != 0 && io::Error::last_os_error().raw_os_error() == Some(libc::ECHILD);
    let mut heir: libc::c_int = 1;
    // SAFETY: as above.
    let asked = unsafe { libc::prctl(libc::PR_GET_CHILD_SUBREAPER, &raw mut heir) };
    childless && asked == 0 && heir == 0 && std::process::id() != 1
}

fn c_string(text: &OsStr) -> io::Result<CString> {
    CString::new(text.as_bytes()).map_err(|_| io::ErrorKind::InvalidInput.into())
}

fn pointers(strings: &[CString]) -> Vec<*const libc::c_char> {
    strings.iter().map(|string| string.as_ptr()).chain([ptr::null()]).collect()
}

/// The arguments of a shell that runs a script.
const SHELL: &CStr = c"/bin/sh";

/// Everything that an exec needs, prepared before the fork: after it nothing may be allocated.
#[derive(Debug)]
struct Image {
    path: CString,
    argv: Vec<CString>,
    env: Vec<CString>,
    dir: Option<CString>,
}

impl Image {
    fn new(launch: &Launch) -> io::Result<Self> {
        let variable = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
            c_string(OsStr::from_bytes(&[name.as_bytes(), b"=", value.as_bytes()].concat()))
        };
        Ok(Self {
            path: c_string(launch.program()?.as_os_str())?,
            argv: launch.argv().iter().map(|word| c_string(word)).collect::<io::Result<_>>()?,
            env: launch.variables().into_iter().map(variable).collect::<io::Result<_>>()?,
            dir: launch.dir.as_ref().map(|dir| c_string(dir.as_os_str())).transpose()?,
        })
    }
}

const GO: u8 = b'.';
const GO_FILTERED: u8 = b'f';

/// Makes execs, and calls that would hide a process, stop for the tracer. Without CAP_SYS_ADMIN
/// that needs no_new_privs, by which set-uid programs gain nothing; nor do they under a tracer
/// without CAP_SYS_PTRACE.
///
/// # Safety
/// Always; for a child after a fork, too.
unsafe fn install_filter() {
    let filter = &filter::STOPS;
    let program = libc::sock_fprog { len: filter.len() as u16, filter: filter.as_ptr().cast_mut() };
    let install = |flags: libc::c_ulong| {
        // SAFETY: the kernel reads the program, whose length is correct.
        unsafe { libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, flags, &raw const program) == 0 }
    };
    // Without the mitigations that a sandbox would want, because they would slow the command down.
    let spec_allow = libc::SECCOMP_FILTER_FLAG_SPEC_ALLOW;
    if install(spec_allow) || install(0) {
        return;
    }
    // SAFETY: plain numbers.
    unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) };
    let _ = install(spec_allow) || install(0);
}

impl Held {
    /// Forks the child, which waits.
    pub(crate) fn start(launch: &Launch) -> Result<Self, Error> {
        let name = launch.argv().first().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let image = Image::new(launch).map_err(|error| Error::Command { name: name.clone(), error })?;
        let system = |error| Error::System { what: "starting a command", error };
        let (gate, refusal) = (pipe().map_err(system)?, pipe().map_err(system)?);
        let home = Home { pid: std::process::id(), sole: launch.sole && is_childless() };
        let argv = pointers(&image.argv);
        let env = pointers(&image.env);
        let dir = image.dir.as_ref().map_or(ptr::null(), |dir| dir.as_ptr());
        // A script without a first line that names an interpreter is run by the shell, as by
        // execvp(3).
        let script: Vec<_> =
            [SHELL.as_ptr(), image.path.as_ptr()].into_iter().chain(argv.iter().skip(1).copied()).collect();
        let by_shell =
            eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK).map_err(|errno| system(errno.into()))?;
        // SAFETY: up to its exec or end the child makes only system calls, because it may be the
        // copy of one of many threads. Everything that it reads was made above, and the lists end
        // with null.
        let pid = unsafe { libc::fork() };
        match pid {
            -1 => return Err(system(io::Error::last_os_error())),
            0 => {
                // SAFETY: as above.
                unsafe {
                    libc::close(gate.1.as_raw_fd());
                    let mut go = 0u8;
                    while libc::read(gate.0.as_raw_fd(), (&raw mut go).cast(), 1) < 0
                        && *libc::__errno_location() == libc::EINTR
                    {}
                    match go {
                        GO => {}
                        GO_FILTERED => install_filter(),
                        _ => libc::_exit(127),
                    }
                    // Rust's runtime ignores it.
                    libc::signal(libc::SIGPIPE, libc::SIG_DFL);
                    if dir.is_null() || libc::chdir(dir) == 0 {
                        libc::execve(image.path.as_ptr(), argv.as_ptr(), env.as_ptr());
                    }
                    if *libc::__errno_location() == libc::ENOEXEC {
                        libc::write(by_shell.as_raw_fd(), 1u64.to_ne_bytes().as_ptr().cast(), size_of::<u64>());
                        libc::execve(SHELL.as_ptr(), script.as_ptr(), env.as_ptr());
                    }
                    let errno = (*libc::__errno_location()).to_ne_bytes();
                    libc::write(refusal.1.as_raw_fd(), errno.as_ptr().cast(), errno.len());
                    libc::_exit(if errno == libc::ENOENT.to_ne_bytes() { 127 } else { 126 })
                }
            }
            _ => {}
        }
        Ok(Self {
            command: RunningCommand::new(pid as Pid),
            name,
            home,
            image,
            by_shell,
            gate: Mutex::new(Some(gate.1.into())),
            refusal: Mutex::new(refusal.0.into()),
        })
    }

    pub(crate) fn command(&self) -> RunningCommand {
        self.command.clone()
    }

    pub(crate) fn pid(&self) -> Pid {
        self.command.pid()
    }

    pub(crate) fn home(&self) -> Home {
        self.home
    }

    /// The file that it is to execute, and the arguments, each with its NUL; once the exec is
    /// reported, the real ones.
    pub(crate) fn program(&self) -> (&[u8], Vec<u8>) {
        let by_shell = poll(&mut [PollFd::new(&self.by_shell, PollFlags::IN)], Some(&Timespec::default()));
        let Image { path, argv, .. } = &self.image;
        let list = |words: &[&CStr], rest: &[CString]| {
            let words = words.iter().copied().chain(rest.iter().map(CString::as_c_str));
            words.flat_map(CStr::to_bytes_with_nul).copied().collect()
        };
        match by_shell {
            Ok(1) => (SHELL.to_bytes(), list(&[SHELL, path], argv.get(1..).unwrap_or_default())),
            _ => (path.to_bytes(), list(&[], argv)),
        }
    }

    /// How it ended, as by `wait(2)`, whether it was waited for or not.
    pub(crate) fn wait_status(&self) -> Option<u32> {
        self.command.wait_status_or(|| {
            let info = self.wait_for_end(libc::WNOHANG)?;
            // SAFETY: waitid(2) filled both.
            let (pid, status) = unsafe { (info.si_pid(), info.si_status() as u32) };
            match info.si_code {
                _ if pid == 0 => None,
                libc::CLD_EXITED => Some((status & 0xff) << 8),
                libc::CLD_DUMPED => Some(status | 0x80),
                _ => Some(status),
            }
        })
    }

    /// Waits for its end, and leaves it to be reaped. `None` if there is no child any more.
    fn wait_for_end(&self, flags: i32) -> Option<libc::siginfo_t> {
        loop {
            // SAFETY: plain data, for which all zeroes is a valid value.
            let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
            let flags = libc::WEXITED | libc::WNOWAIT | flags;
            // SAFETY: our own child; the kernel fills the given memory.
            let waited = unsafe { libc::waitid(libc::P_PID, self.pid(), &raw mut info, flags) };
            if waited == 0 {
                return Some(info);
            }
            if io::Error::last_os_error().kind() != io::ErrorKind::Interrupted {
                return None;
            }
        }
    }

    /// Releases it.
    pub(crate) fn open_gate(&self) {
        self.let_go(GO);
    }

    /// Releases it, so that its execs and those of its descendants stop for the tracer.
    pub(crate) fn open_gate_with_filter(&self) {
        self.let_go(GO_FILTERED);
    }

    fn let_go(&self, how: u8) {
        let gate = self.gate.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take();
        // If it was killed meanwhile, its status shows it.
        let _ = gate.map(|mut gate| gate.write_all(&[how]));
    }

    /// Waits until it has become the command, or could not.
    pub(crate) fn became(&self) -> Result<(), Error> {
        let mut errno = [0; 4];
        let mut refusal = self.refusal.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        match refusal.read_exact(&mut errno) {
            Ok(()) => {
                let error = io::Error::from_raw_os_error(i32::from_ne_bytes(errno));
                Err(Error::Command { name: self.name.clone(), error })
            }
            Err(_) => Ok(()),
        }
    }

    /// Waits for its end, and reaps it.
    pub(crate) fn wait(&self) {
        let pid = self.pid();
        let _ = self.wait_for_end(0);
        self.command.end(|| {
            let mut status = 0;
            // SAFETY: as above. A process that ignores SIGCHLD sees no status.
            let waited = unsafe { libc::waitpid(pid as i32, &raw mut status, libc::WNOHANG) };
            Some((waited == pid as i32).then_some(status as u32))
        });
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let gate = self.gate.get_mut().unwrap_or_else(std::sync::PoisonError::into_inner);
        // Still held. It would end without the gate, unless a sibling that is also held has a copy
        // of it.
        if gate.take().is_some() {
            let _ = self.command.signal(libc::SIGKILL);
            self.wait();
        }
    }
}

pub(super) fn send(pid: Pid, signo: i32) -> io::Result<()> {
    // SAFETY: a child of ours that is not reaped yet.
    match unsafe { libc::kill(pid as i32, signo) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

//! A process that is held still at chosen moments, so that its truth can be read from `/proc`.
//!
//! The child waits for a byte before it does anything, and again in the program that it becomes
//! (see the tiny program's steps `n` and `r`). It writes lines to descriptor 200, and waits for
//! bytes at 201; its threads wait at 202.

mod call;
mod child;
mod pipes;

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsRawFd as _, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::ptr;

use procscope_model::{ExitStatus, signal_name};

pub use call::Call;
pub use child::{Child, List};
use pipes::Pipes;

use crate::clock;
use crate::proc_files::{self, Sight};
use crate::raw;
use crate::tiny::c_path;
use crate::truth::{Bytes, Exec, Exit, FailedExec, Fork, Killer, Life, Usage};

/// Where the child writes, where it waits, and where its threads wait.
const TELL: RawFd = 200;
const WAIT: RawFd = 201;
const WAIT_THREADS: RawFd = 202;

/// The steps by which a program reports that it runs, and waits.
pub const HOLD: &str = "n200r201";

/// How long a child may need to answer.
const PATIENCE_MS: i32 = 120_000;

/// The parent's side of a held child.
pub struct Actor {
    /// The known facts about it so far.
    pub life: Life,
    /// Its comm, as far as known.
    pub name: Vec<u8>,
    told: OwnedFd,
    go: Option<OwnedFd>,
    go_threads: Option<OwnedFd>,
    /// The bytes that it still has to read before its end, by which `rchar` grows.
    tail_reads: u64,
}

impl Actor {
    /// Makes a child that waits, then does `body`, which has to end in an exec; a body that returns
    /// ends the child with 98.
    ///
    /// # Errors
    /// Those of the system calls.
    pub fn begin(case: &str, call: Call, body: impl FnOnce(&Child)) -> io::Result<Self> {
        let pipes = Pipes::new()?;
        let before = clock::boot_ns();
        // SAFETY: this program has one thread, so the child may do anything.
        let pid = unsafe { call.make() }?;
        if pid == 0 {
            pipes.place();
            reset_signals();
            let child = Child(());
            child.wait();
            body(&child);
            // SAFETY: ends the child without running the parent's destructors.
            unsafe { libc::_exit(98) }
        }
        let (name, flags) = call.seen();
        let mut actor = Self::of(case, pid, pipes, before)?;
        if let Some(fork) = &mut actor.life.fork {
            fork.call = Some(name.into());
            fork.flags = Some(flags);
        }
        Ok(actor)
    }

    /// Makes a child by vfork, or a clone like it, that becomes the tiny program at once.
    ///
    /// # Errors
    /// Those of the system calls.
    pub fn begin_vfork(case: &str, nr: usize, flags: u64, path: &Path, argv: &List, steps: &str) -> io::Result<Self> {
        let pipes = Pipes::new()?;
        // The child has no moment of its own to place them.
        pipes.copy_ends()?;
        let (path, env) = (c_path(path), List::steps(steps));
        let before = clock::boot_ns();
        // SAFETY: all lists are properly terminated; the flags are those of a vfork.
        let pid = unsafe {
            let flags = flags as usize | libc::SIGCHLD as usize;
            raw::spawn(nr, flags, path.as_ptr().cast(), argv.as_ptr().cast(), env.as_ptr().cast())
        };
        [TELL, WAIT, WAIT_THREADS].iter().for_each(|fd| {
            // SAFETY: placed above.
            unsafe { libc::close(*fd) };
        });
        if pid < 0 {
            return Err(io::Error::from_raw_os_error(-pid as i32));
        }
        Self::of(case, pid as u32, pipes, before)
    }

    fn of(case: &str, pid: u32, pipes: Pipes, before: u64) -> io::Result<Self> {
        let born_ns = Some((before, clock::boot_ns()));
        let ppid = std::process::id();
        let name = proc_files::comm(ppid)?;
        let start_ticks = Some(proc_files::stat(pid)?.start_ticks);
        let fork = Some(Fork { ppid, parent_name: Some(Bytes(name.clone())), ..Fork::default() });
        let life = Life { case: case.into(), pid, start_ticks, born_ns, fork, ..Life::default() };
        let Pipes { told, go, go_threads } = pipes;
        Ok(Self { life, name, told: told.0, go: Some(go.1), go_threads: Some(go_threads.1), tail_reads: 0 })
    }

    /// Lets the child do its next piece.
    ///
    /// # Errors
    /// If it is gone.
    pub fn go(&mut self) -> io::Result<()> {
        let go = self.go.as_ref().ok_or(io::ErrorKind::BrokenPipe)?;
        File::from(go.try_clone()?).write_all(b".")
    }

    /// Lets one thread continue.
    ///
    /// # Errors
    /// If it is gone.
    pub fn go_thread(&mut self) -> io::Result<()> {
        let go = self.go_threads.as_ref().ok_or(io::ErrorKind::BrokenPipe)?;
        File::from(go.try_clone()?).write_all(b".")
    }

    /// Lets all threads continue at once.
    pub fn go_all_threads(&mut self) {
        self.go_threads = None;
    }

    /// The child's next line.
    ///
    /// # Errors
    /// If it ended or is silent for long.
    pub fn line(&mut self) -> io::Result<String> {
        let mut line = Vec::new();
        let mut told = File::from(self.told.try_clone()?);
        loop {
            let mut wait = libc::pollfd { fd: self.told.as_raw_fd(), events: libc::POLLIN, revents: 0 };
            // SAFETY: one entry, as given.
            if unsafe { libc::poll(&mut wait, 1, PATIENCE_MS) } <= 0 {
                return Err(io::Error::new(io::ErrorKind::TimedOut, "the child says nothing"));
            }
            let mut byte = [0];
            if told.read(&mut byte)? == 0 {
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the child ended"));
            }
            if byte[0] == b'\n' {
                return Ok(String::from_utf8_lossy(&line).into_owned());
            }
            line.push(byte[0]);
        }
    }

    /// The child's next line, which has to be a number.
    ///
    /// # Errors
    /// If it is not.
    pub fn number(&mut self) -> io::Result<u32> {
        let line = self.line()?;
        line.parse().map_err(|_| io::Error::other(format!("the child says {line:?}, not a number")))
    }

    /// The child's next line, which has to report that the program runs.
    ///
    /// # Errors
    /// If it is another line.
    pub fn runs(&mut self) -> io::Result<()> {
        match &*self.line()? {
            "." => Ok(()),
            other => Err(io::Error::other(format!("the child could not do its part: {other}"))),
        }
    }

    /// A failed exec: the child's next line is its error.
    ///
    /// # Errors
    /// If it succeeded.
    pub fn saw_failure(&mut self, path: Option<&[u8]>, argv: Option<&List>) -> io::Result<()> {
        let errno = self.line()?;
        if !errno.starts_with('E') {
            return Err(io::Error::other(format!("the exec of {:?} was to fail: {errno}", path.map(Bytes::from))));
        }
        self.life.failed.push(FailedExec { errno, path: path.map(Bytes::from), argv: argv.map(List::bytes) });
        Ok(())
    }

    /// An exec: waits until the program runs, and notes the content of `/proc`.
    ///
    /// # Errors
    /// If the program did not start, or has other arguments than it was given.
    pub fn saw_exec(&mut self, path: &Path, argv: &[Bytes]) -> io::Result<&mut Exec> {
        self.runs()?;
        let exec = self.look(Some(path.as_os_str().as_bytes()))?;
        if exec.argv != argv {
            return Err(io::Error::other(format!("given {argv:?}, has {:?}", exec.argv)));
        }
        Ok(exec)
    }

    /// An exec that has happened, as `/proc` shows it.
    ///
    /// # Errors
    /// Those of reading it.
    pub fn look(&mut self, path: Option<&[u8]>) -> io::Result<&mut Exec> {
        let sight = Sight::of(self.life.pid)?;
        let old_name = std::mem::replace(&mut self.name, sight.name.clone());
        let parent_name = proc_files::comm(sight.ppid).ok();
        self.life.execs.push(Exec {
            path: path.map(Bytes::from),
            exe: Some(sight.exe.into()),
            interpreter: None,
            argv: sight.argv.into_iter().map(Bytes).collect(),
            env: None,
            cwd: Some(sight.cwd.into()),
            old_tid: None,
            old_name: Some(old_name.into()),
            name: Some(sight.name.into()),
            ids: Some(sight.ids),
            sid: Some(sight.sid),
            pgid: Some(sight.pgid),
            ppid: Some(sight.ppid),
            parent_name: parent_name.map(Bytes),
            tty: Some(sight.tty),
            cgroup: Some(sight.cgroup),
            container: None,
            unit: None,
            ns_pid: Some(sight.ns_pid),
            namespaces: Some(sight.namespaces),
            traits: Some(Vec::new()),
        });
        self.life.execs.last_mut().ok_or(io::ErrorKind::Other.into())
    }

    /// Lets the child end, and waits for it.
    ///
    /// # Errors
    /// Those of the system calls.
    pub fn end(mut self) -> io::Result<Life> {
        let io = proc_files::settled_io(self.life.pid).ok();
        let before = clock::boot_ns();
        if self.go.is_some() {
            self.go()?;
            self.tail_reads += 1;
        }
        let tail = self.tail_reads;
        self.reap(before, io.map(|[rchar, wchar, read, write]| [rchar + tail, wchar, read, write]), None)
    }

    /// Sends a signal that ends the child, and waits for it.
    ///
    /// # Errors
    /// Those of the system calls.
    pub fn kill(self, signo: i32) -> io::Result<Life> {
        let io = proc_files::settled_io(self.life.pid).ok();
        let before = clock::boot_ns();
        // SAFETY: a child that is not waited for yet.
        if unsafe { libc::kill(self.life.pid as i32, signo) } < 0 {
            return Err(io::Error::last_os_error());
        }
        let killer = Killer { pid: std::process::id(), name: proc_files::comm(std::process::id())?.into() };
        self.reap(before, io, Some(killer))
    }

    /// Waits for a child that ends by itself or by another process.
    ///
    /// # Errors
    /// Those of the system calls.
    pub fn reap(mut self, before: u64, io: Option<[u64; 4]>, killer: Option<Killer>) -> io::Result<Life> {
        let mut status = 0;
        // SAFETY: the kernel fills the given memory; zeroes are a valid usage.
        let usage = unsafe {
            let mut usage: libc::rusage = std::mem::zeroed();
            if libc::wait4(self.life.pid as i32, &mut status, libc::__WALL, &mut usage) < 0 {
                return Err(io::Error::last_os_error());
            }
            usage
        };
        self.life.died_ns = Some((before, clock::boot_ns()));
        let exit = Exit {
            ppid: Some(std::process::id()),
            killer: Some(killer),
            usage: Some(Usage {
                user_us: usage.ru_utime.tv_sec as u64 * 1_000_000 + usage.ru_utime.tv_usec as u64,
                system_us: usage.ru_stime.tv_sec as u64 * 1_000_000 + usage.ru_stime.tv_usec as u64,
                max_rss_kib: usage.ru_maxrss as u64,
                nvcsw: usage.ru_nvcsw as u64,
                nivcsw: usage.ru_nivcsw as u64,
                io,
            }),
            ..Exit::default()
        };
        self.life.exit = Some(with_status(exit, status as u32));
        Ok(self.life)
    }

    /// Lets a process end that is another's child, and waits until it is gone.
    ///
    /// # Errors
    /// If it stays.
    pub fn end_elsewhere(mut self) -> io::Result<Life> {
        let before = clock::boot_ns();
        self.go()?;
        for _ in 0..PATIENCE_MS {
            if !Path::new(&format!("/proc/{}", self.life.pid)).exists() {
                self.life.died_ns = Some((before, clock::boot_ns()));
                return Ok(self.life);
            }
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
        Err(io::Error::new(io::ErrorKind::TimedOut, "nothing reaps it"))
    }

    /// The same channel for a process that the child made, while the child keeps it too.
    ///
    /// # Errors
    /// Those of reading its files.
    pub fn channel(&self, pid: u32, fork: Fork) -> io::Result<Self> {
        let same = |fd: &Option<OwnedFd>| fd.as_ref().map(OwnedFd::try_clone).transpose();
        let (go, go_threads) = (same(&self.go)?, same(&self.go_threads)?);
        let (life, name, told) = (self.life.clone(), self.name.clone(), self.told.try_clone()?);
        Self { life, name, told, go, go_threads, tail_reads: 0 }.hand_over(pid, fork)
    }

    /// Makes two of one: the child, now without a channel, and a process that it made.
    ///
    /// # Errors
    /// Those of reading its files.
    pub fn split(self, pid: u32, fork: Fork) -> io::Result<(Self, Self)> {
        let (life, name) = (self.life.clone(), self.name.clone());
        let told = self.told.try_clone()?;
        let first = Self { life, name, told, go: None, go_threads: None, tail_reads: 0 };
        Ok((first, self.hand_over(pid, fork)?))
    }

    /// The same channel, now for another process that the child made.
    ///
    /// # Errors
    /// Those of reading its files.
    pub fn hand_over(self, pid: u32, fork: Fork) -> io::Result<Self> {
        let start_ticks = Some(proc_files::stat(pid)?.start_ticks);
        let life = Life { case: self.life.case.clone(), pid, start_ticks, fork: Some(fork), ..Life::default() };
        Ok(Self { life, name: proc_files::comm(pid)?, ..self })
    }
}

/// Adds a wait status.
pub fn with_status(exit: Exit, status: u32) -> Exit {
    match ExitStatus::from_wait_status(status) {
        ExitStatus::Signal { signo, core } => Exit { signal: Some(signal_name(signo).into()), core, ..exit },
        ExitStatus::Code(code) => Exit { code: Some(code), ..exit },
        _ => exit,
    }
}

/// Signals that a parent ignores or blocks would stay so in the child.
fn reset_signals() {
    // SAFETY: plain system calls on our own process.
    unsafe {
        for signo in 1..=64 {
            libc::signal(signo, libc::SIG_DFL);
        }
        let mut none: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&mut none);
        libc::sigprocmask(libc::SIG_SETMASK, &none, ptr::null_mut());
    }
}

//! A thread that looks at processes as soon as the kernel reports their execs, beside the thread
//! that reports events: a process has to be read at once.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use rustix::io::Errno;

use crate::source::proc_files::Budget;
use crate::{Error, sys};

/// A mechanism's reports of execs, and the looks at them.
pub(crate) trait Inlet: Send + 'static {
    /// Takes the waiting reports, and looks at their processes.
    fn drain(&mut self) -> io::Result<()>;

    /// The other thread has taken everything.
    fn is_empty(&self) -> bool;
}

/// The state that both threads share.
pub(crate) struct Looker<E> {
    /// To wait for without the lock. Before the execs: an instance of tracefs that is read is busy,
    /// and cannot be removed.
    fds: Vec<OwnedFd>,
    execs: Mutex<E>,
    /// The other thread sleeps.
    idle: AtomicBool,
    ended: AtomicBool,
    /// Wakes the other thread.
    bell: OwnedFd,
    /// Ends the looking.
    end: OwnedFd,
}

impl<E: Inlet> Looker<E> {
    /// Looks when one of these can be read, from [`Looker::beside`] on.
    pub(crate) fn new(fds: Vec<OwnedFd>, execs: E) -> Result<Arc<Self>, Error> {
        let made = || eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK);
        let failed = |error: Errno| Error::System { what: "making an event descriptor", error: error.into() };
        let (bell, end) = (made().map_err(failed)?, made().map_err(failed)?);
        let (idle, ended) = (AtomicBool::new(false), AtomicBool::new(false));
        Ok(Arc::new(Self { fds, execs: Mutex::new(execs), idle, ended, bell, end }))
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, E> {
        // A panic leaves nothing in it half done that would matter.
        self.execs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks while WORK continues.
    pub(crate) fn beside<T>(self: &Arc<Self>, work: impl FnOnce() -> T) -> Result<T, Error> {
        let theirs = Arc::clone(self);
        let thread = std::thread::Builder::new().spawn(move || theirs.look());
        let thread = thread.map_err(|error| Error::System { what: "starting a thread", error })?;
        let done = work();
        self.ended.store(true, Ordering::Release);
        let _ = rustix::io::write(&self.end, &1u64.to_ne_bytes());
        let _ = thread.join();
        Ok(done)
    }

    fn look(&self) {
        sys::be_prompt();
        let mut budget = Budget::new();
        let mut fds: Vec<_> = self.fds.iter().chain([&self.end]).map(|fd| PollFd::new(fd, PollFlags::IN)).collect();
        while !self.ended.load(Ordering::Acquire) {
            if let Some(rest) = budget.spent() {
                let _ = wait([self.end.as_fd()], rest);
                continue;
            }
            if poll(&mut fds, None).is_err_and(|error| error != Errno::INTR) {
                return;
            }
            let failed = self.lock().drain().is_err();
            if self.idle.swap(false, Ordering::AcqRel) {
                let _ = rustix::io::write(&self.bell, &1u64.to_ne_bytes());
            }
            if failed {
                return;
            }
        }
    }

    /// Sleeps until it has looked at something, or one of these can be read.
    pub(crate) fn sleep<'a>(&'a self, others: impl Iterator<Item = BorrowedFd<'a>>, time: Duration) -> io::Result<()> {
        self.idle.store(true, Ordering::Release);
        // What it saw before it could know that we sleep.
        let slept = if self.lock().is_empty() { wait(others.chain([self.bell.as_fd()]), time) } else { Ok(()) };
        self.idle.store(false, Ordering::Release);
        let _ = rustix::io::read(&self.bell, &mut [0u8; 8]);
        slept
    }
}

/// Waits until one of them can be read.
pub(crate) fn wait<'a>(fds: impl IntoIterator<Item = BorrowedFd<'a>>, time: Duration) -> io::Result<()> {
    let timeout = Timespec { tv_sec: time.as_secs() as i64, tv_nsec: i64::from(time.subsec_nanos()) };
    let mut fds: Vec<_> = fds.into_iter().map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN)).collect();
    match poll(&mut fds, Some(&timeout)) {
        Ok(_) | Err(Errno::INTR) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

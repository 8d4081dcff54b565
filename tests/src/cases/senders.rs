//! The sender of a signal: among several senders, none, or one with a false claim.

use std::io;

use super::{Case, Stage, checked};
use crate::actor::{Actor, Child};
use crate::clock;
use crate::truth::{Change, Killer};

pub(super) const CASES: &[(&str, Case)] = &[
    ("killed-by-the-first", |stage| killed_by_two(stage, libc::SIGRTMIN() + 5, true)),
    ("killed-by-the-first-unblocked", |stage| killed_by_two(stage, libc::SIGRTMIN() + 6, false)),
    ("killed-with-a-core-by-another", |stage| killed_by_two(stage, libc::SIGQUIT, true)),
    ("handler-reset", handler_reset),
    ("broken-pipe", |stage| by_the_kernel(stage, "SIGPIPE", broken_pipe)),
    ("broken-pipe-blocked", |stage| {
        by_the_kernel(stage, "SIGPIPE", |child| blocked(libc::SIGPIPE, || broken_pipe(child)))
    }),
    ("file-too-large", |stage| by_the_kernel(stage, "SIGXFSZ", file_too_large)),
    ("alarm", |stage| by_the_kernel(stage, "SIGALRM", alarm)),
    ("timer", |stage| by_the_kernel(stage, "SIGUSR1", timer)),
    ("sent-as-another", sent_as_another),
];

fn blocked(signo: i32, body: impl FnOnce()) {
    // SAFETY: plain system calls; an empty set is a valid one.
    unsafe {
        let mut set: libc::sigset_t = std::mem::zeroed();
        libc::sigaddset(&mut set, signo);
        libc::sigprocmask(libc::SIG_BLOCK, &set, std::ptr::null_mut());
        body();
        libc::sigprocmask(libc::SIG_UNBLOCK, &set, std::ptr::null_mut());
    }
}

/// Prevents a core dump, so that an end is no slower than another.
fn without_core(child: &Child) {
    let none = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: a plain system call.
    child.must("setrlimit", unsafe { libc::setrlimit(libc::RLIMIT_CORE, &none) });
}

/// A process with its own name that sends a signal.
fn sends(stage: &mut Stage, name: &'static [u8], send: impl FnOnce(&Child)) -> io::Result<Killer> {
    let mut sender = stage.actor(|child| {
        // SAFETY: a name of at most 15 bytes, with its NUL.
        child.must("prctl", unsafe { libc::prctl(libc::PR_SET_NAME, name.as_ptr()) });
        send(child);
        child.tell(".");
        child.wait();
        // SAFETY: ends only the child.
        unsafe { libc::_exit(0) }
    })?;
    let name = name.strip_suffix(b"\0").unwrap_or(name);
    let (tid, old) = (sender.life.pid, sender.name.clone().into());
    sender.life.changes.push(Change::Comm { tid, old, new: name.into() });
    sender.go()?;
    sender.runs()?;
    let killer = Killer { pid: sender.life.pid, name: name.into() };
    stage.note(sender.end()?);
    Ok(killer)
}

fn kills(stage: &mut Stage, name: &'static [u8], pid: u32, signo: i32) -> io::Result<Killer> {
    // SAFETY: a plain system call.
    sends(stage, name, |child| child.must("kill", unsafe { libc::kill(pid as i32, signo) }))
}

/// Two processes send the same signal: the first one's is delivered, whether it had to wait or
/// ended the process at once.
fn killed_by_two(stage: &mut Stage, signo: i32, waits: bool) -> io::Result<()> {
    let mut victim = stage.actor(|child| {
        without_core(child);
        let wait = || {
            child.tell(".");
            child.wait();
        };
        if waits { blocked(signo, wait) } else { wait() }
    })?;
    victim.go()?;
    victim.runs()?;
    let pid = victim.life.pid;
    let before = clock::boot_ns();
    let first = kills(stage, b"the-first\0", pid, signo)?;
    kills(stage, b"the-second\0", pid, signo)?;
    ends_by(stage, victim, before, waits, Some(first))
}

/// A handler was in place when the signal came, and is not when it is delivered.
fn handler_reset(stage: &mut Stage) -> io::Result<()> {
    extern "C" fn handler(_: i32) {}
    let mut victim = stage.actor(|child| {
        // SAFETY: a handler that does nothing.
        unsafe { libc::signal(libc::SIGUSR2, handler as extern "C" fn(i32) as libc::sighandler_t) };
        blocked(libc::SIGUSR2, || {
            child.tell(".");
            child.wait();
            // SAFETY: a plain system call.
            unsafe { libc::signal(libc::SIGUSR2, libc::SIG_DFL) };
        });
    })?;
    victim.go()?;
    victim.runs()?;
    let before = clock::boot_ns();
    let sender = kills(stage, b"the-sender\0", victim.life.pid, libc::SIGUSR2)?;
    ends_by(stage, victim, before, true, Some(sender))
}

fn ends_by(stage: &mut Stage, mut victim: Actor, before: u64, held: bool, killer: Option<Killer>) -> io::Result<()> {
    if held {
        victim.go()?;
    }
    let life = victim.reap(before, None, killer)?;
    match life.exit.as_ref().and_then(|exit| exit.signal.as_ref()) {
        Some(_) => stage.note(life),
        None => return Err(io::Error::other(format!("no signal ended it: {:?}", life.exit))),
    }
    Ok(())
}

/// The kernel sends some signals in the name of the process itself.
fn by_the_kernel(stage: &mut Stage, signal: &str, body: fn(&Child)) -> io::Result<()> {
    let mut actor = stage.actor(|child| {
        without_core(child);
        body(child);
    })?;
    let before = clock::boot_ns();
    actor.go()?;
    let life = actor.reap(before, None, None)?;
    if life.exit.as_ref().and_then(|exit| exit.signal.as_deref()) != Some(signal) {
        return Err(io::Error::other(format!("{:?}, not {signal}", life.exit)));
    }
    stage.note(life);
    Ok(())
}

fn broken_pipe(child: &Child) {
    let mut ends = [0; 2];
    // SAFETY: room for two descriptors, and a byte to write.
    unsafe {
        child.must("pipe", libc::pipe(ends.as_mut_ptr()));
        libc::close(ends[0]);
        libc::write(ends[1], b".".as_ptr().cast(), 1);
    }
}

fn file_too_large(child: &Child) {
    let limit = libc::rlimit { rlim_cur: 1, rlim_max: 1 };
    // SAFETY: plain system calls, with strings that have their NULs and bytes to write.
    unsafe {
        child.must("setrlimit", libc::setrlimit(libc::RLIMIT_FSIZE, &limit));
        let fd = libc::open(c"/tmp".as_ptr(), libc::O_TMPFILE | libc::O_WRONLY, 0o600);
        child.must("open", fd);
        libc::lseek(fd, 1, libc::SEEK_SET);
        libc::write(fd, b".".as_ptr().cast(), 1);
    }
}

fn wait_forever() -> ! {
    loop {
        // SAFETY: a plain system call.
        unsafe { libc::pause() };
    }
}

fn alarm(child: &Child) {
    let soon = libc::itimerval {
        it_interval: libc::timeval { tv_sec: 0, tv_usec: 0 },
        it_value: libc::timeval { tv_sec: 0, tv_usec: 1000 },
    };
    // SAFETY: a valid time, and the old one is not requested.
    child.must("setitimer", unsafe { libc::syscall(libc::SYS_setitimer, libc::ITIMER_REAL, &raw const soon, 0) });
    wait_forever()
}

fn timer(child: &Child) {
    // SAFETY: all zeroes is a valid event, and the kernel fills the timer.
    unsafe {
        let mut event: libc::sigevent = std::mem::zeroed();
        (event.sigev_notify, event.sigev_signo) = (libc::SIGEV_SIGNAL, libc::SIGUSR1);
        let mut timer: i32 = 0;
        child.must(
            "timer_create",
            libc::syscall(libc::SYS_timer_create, libc::CLOCK_MONOTONIC, &raw mut event, &raw mut timer),
        );
        // it_interval, it_value: seconds and nanoseconds.
        let soon = [0i64, 0, 0, 1_000_000];
        child.must("timer_settime", libc::syscall(libc::SYS_timer_settime, timer, 0, soon.as_ptr(), 0));
    }
    wait_forever()
}

/// `rt_sigqueueinfo(2)` accepts any pid as the sender's.
fn sent_as_another(stage: &mut Stage) -> io::Result<()> {
    let mut victim = stage.actor(|child| {
        without_core(child);
        child.tell(".");
        child.wait();
    })?;
    victim.go()?;
    victim.runs()?;
    let pid = victim.life.pid;
    let before = clock::boot_ns();
    let sender = sends(stage, b"the-impostor\0", |child| {
        // si_signo, si_errno, si_code, padding, si_pid
        let mut info = [0i32; 32];
        (info[0], info[2], info[4]) = (libc::SIGQUIT, libc::SI_QUEUE, 1);
        // SAFETY: as long as a siginfo_t.
        let result = unsafe { libc::syscall(libc::SYS_rt_sigqueueinfo, pid, libc::SIGQUIT, info.as_ptr()) };
        child.must("rt_sigqueueinfo", checked(result).map_or(-1, |_| 0));
    })?;
    ends_by(stage, victim, before, false, Some(sender))
}

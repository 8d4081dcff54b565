//! The parts of cases that need a C library and real threads.

use std::fs;
use std::io;
use std::sync::mpsc;
use std::thread;

use crate::chosen::{Life, clone3, reap};

/// The descriptors of [`crate::actor`].
const TELL: i32 = 200;
const WAIT: i32 = 201;

fn tell(line: impl std::fmt::Display) {
    let line = format!("{line}\n");
    // SAFETY: the buffer has the given length.
    unsafe { libc::write(TELL, line.as_ptr().cast(), line.len()) };
}

fn wait() {
    let mut byte = 0u8;
    // SAFETY: the buffer holds the one requested byte.
    unsafe { libc::read(WAIT, (&raw mut byte).cast(), 1) };
}

/// Does one act.
///
/// # Errors
/// If there is no such act.
pub(crate) fn run(act: &str) -> io::Result<()> {
    tell(".");
    wait();
    match act {
        "abort" => {
            // SAFETY: always safe, and the end.
            unsafe { libc::abort() }
        }
        "thread-name" => in_thread(|| {
            // SAFETY: a string with its NUL.
            unsafe { libc::pthread_setname_np(libc::pthread_self(), c"a-thread".as_ptr()) };
        }),
        "leader-name" => {
            in_thread(|| drop(fs::write(format!("/proc/self/task/{}/comm", std::process::id()), "by-a-thread")))
        }
        "leader-gone" => leave_to_a_thread(),
        "thread-ids" => in_thread(fork_with_other_ids),
        _ => match act.strip_prefix("pid-again-").and_then(|rest| rest.split_once('-')) {
            Some((pid, times)) => {
                let number = |text: &str| text.parse::<u32>().map_err(io::Error::other);
                let (pid, times) = (number(pid)?, number(times)?);
                (0..times).for_each(|_| reap(clone3(Some(pid), None, Life::Ends)));
            }
            None => return Err(io::Error::other(format!("there is no act '{act}'"))),
        },
    }
    wait();
    Ok(())
}

/// Changes the ids of only the calling thread, and then forks; the child becomes root again.
fn fork_with_other_ids() {
    let set = |uid: u32| {
        // SAFETY: the raw call, which a C library would make for all threads.
        unsafe { libc::syscall(libc::SYS_setresuid, uid, uid, 0) };
    };
    set(1000);
    // SAFETY: the child makes only system calls.
    let child = unsafe { libc::fork() };
    if child == 0 {
        wait();
        set(0);
        wait();
        // SAFETY: ends only the child.
        unsafe { libc::_exit(0) }
    }
    tell(child);
    // SAFETY: nothing is filled in.
    unsafe { libc::waitpid(child, std::ptr::null_mut(), 0) };
}

/// The first thread ends, and another one forks and then ends the process with 7.
fn leave_to_a_thread() -> ! {
    thread::spawn(|| {
        wait();
        // SAFETY: the child makes only system calls.
        let child = unsafe { libc::fork() };
        if child == 0 {
            wait();
            // SAFETY: ends only the child.
            unsafe { libc::_exit(5) }
        }
        tell(child);
        // SAFETY: nothing is filled in.
        unsafe { libc::waitpid(child, std::ptr::null_mut(), 0) };
        // SAFETY: ends the process without the data of its first thread.
        unsafe { libc::_exit(7) }
    });
    // SAFETY: ends only this thread.
    unsafe { libc::syscall(libc::SYS_exit, 3) };
    unreachable!("it has ended")
}

/// Does something in a thread that has ended when this returns, and returns its tid.
fn in_thread(body: impl FnOnce() + Send + 'static) {
    let (sender, receiver) = mpsc::channel();
    let thread = thread::spawn(move || {
        body();
        // SAFETY: always safe.
        let _ = sender.send(unsafe { libc::gettid() });
    });
    let _ = thread.join();
    tell(receiver.recv().unwrap_or_default());
}

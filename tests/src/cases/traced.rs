//! Debuggers.

use std::io;
use std::ptr;

use super::{Case, Stage, checked};
use crate::actor::{HOLD, List};
use crate::clock;
use crate::truth::Change;

pub(super) const CASES: &[(&str, Case)] = &[
    ("ptrace-attach", |stage| attach(stage, libc::PTRACE_ATTACH)),
    ("ptrace-seize", |stage| attach(stage, libc::PTRACE_SEIZE)),
    ("ptrace-traceme", traceme),
];

fn ptrace(request: libc::c_uint, pid: u32) -> io::Result<i64> {
    // SAFETY: these requests have no address and only zeroes as data.
    checked(unsafe { libc::ptrace(request, pid as i32, ptr::null_mut::<u8>(), ptr::null_mut::<u8>()) })
}

fn stopped(pid: u32) -> io::Result<i32> {
    let mut status = 0;
    // SAFETY: the kernel fills the given memory.
    checked(unsafe { libc::waitpid(pid as i32, &mut status, libc::__WALL) })?;
    if libc::WIFSTOPPED(status) { Ok(status) } else { Err(io::Error::other(format!("it ended: {status:#x}"))) }
}

fn attach(stage: &mut Stage, request: libc::c_uint) -> io::Result<()> {
    let mut actor = stage.tiny("e0")?;
    let (pid, tracer) = (actor.life.pid, std::process::id());
    ptrace(request, pid)?;
    if request == libc::PTRACE_SEIZE {
        ptrace(libc::PTRACE_INTERRUPT, pid)?;
    }
    stopped(pid)?;
    ptrace(libc::PTRACE_DETACH, pid)?;
    actor.life.changes.push(Change::PtraceAttach { tracer });
    actor.life.changes.push(Change::PtraceDetach { tracer });
    stage.note(actor.end()?);
    Ok(())
}

/// The child asks to be traced, so its exec stops it.
fn traceme(stage: &mut Stage) -> io::Result<()> {
    let (path, argv, env) = (stage.bin.tiny(), List::new([stage.case]), List::steps(&format!("{HOLD}s15")));
    let mut actor = stage.actor(|child| {
        // SAFETY: needs no further arguments.
        child.must("ptrace", unsafe { libc::ptrace(libc::PTRACE_TRACEME, 0, 0, 0) });
        child.exec(&path, &argv, &env);
    })?;
    let (pid, tracer) = (actor.life.pid, std::process::id());
    actor.go()?;
    stopped(pid)?;
    actor.life.changes.push(Change::PtraceAttach { tracer });
    ptrace(libc::PTRACE_CONT, pid)?;
    actor.saw_exec(&path, &argv.bytes())?;
    let killer = crate::truth::Killer { pid, name: actor.name.clone().into() };
    let before = clock::boot_ns();
    actor.go()?;
    // The signal comes to the tracer first, which passes it on.
    stopped(pid)?;
    // SAFETY: the data is the number of the signal.
    checked(unsafe { libc::ptrace(libc::PTRACE_CONT, pid as i32, 0, libc::SIGTERM) })?;
    stage.note(actor.reap(before, None, Some(killer))?);
    Ok(())
}

//! Users, groups, sessions, process groups, names.

use std::fs;
use std::io;
use std::ptr;

use super::{Case, Stage};
use crate::actor::{Actor, HOLD, List};
use crate::truth::{Change, Thread};

pub(super) const CASES: &[(&str, Case)] = &[
    ("ids", ids),
    ("ids-effective", ids_effective),
    ("setsid", |stage| grouped(stage, true)),
    ("setpgid", |stage| grouped(stage, false)),
    ("comm-prctl", comm_prctl),
    ("comm-thread", comm_thread),
    ("comm-by-another", comm_by_another),
];

fn ids(stage: &mut Stage) -> io::Result<()> {
    let mut actor = held_before(stage, |child| {
        // SAFETY: plain system calls.
        unsafe {
            child.must("setgroups", libc::setgroups(0, ptr::null()));
            child.must("setresgid", libc::setresgid(1002, 1003, 1003));
            child.must("setresuid", libc::setresuid(1000, 1001, 1001));
        }
    })?;
    actor.life.changes.push(Change::Gid { gid: 1002, egid: 1003 });
    actor.life.changes.push(Change::Uid { uid: 1000, euid: 1001 });
    finish(stage, actor, Some([1000, 1001, 1002, 1003]))
}

/// Down and up again, as a daemon does it that keeps root in reserve.
fn ids_effective(stage: &mut Stage) -> io::Result<()> {
    let mut actor = held_before(stage, |child| {
        // SAFETY: plain system calls.
        unsafe {
            child.must("setresuid", libc::setresuid(1000, 1000, 0));
            child.must("setresuid", libc::setresuid(0, 0, 0));
            child.must("seteuid", libc::syscall(libc::SYS_setresuid, -1, 1000, -1));
            // Nothing changes, so nothing has to be reported.
            child.must("setresuid", libc::setresuid(0, 1000, 0));
        }
    })?;
    for (uid, euid) in [(1000, 1000), (0, 0), (0, 1000)] {
        actor.life.changes.push(Change::Uid { uid, euid });
    }
    finish(stage, actor, Some([0, 1000, 0, 0]))
}

fn grouped(stage: &mut Stage, session: bool) -> io::Result<()> {
    let mut actor = held_before(stage, |child| {
        // SAFETY: plain system calls.
        let result = unsafe { if session { libc::setsid() } else { libc::setpgid(0, 0) } };
        child.must("setsid", result);
    })?;
    if session {
        actor.life.changes.push(Change::Sid);
    }
    finish(stage, actor, None)
}

fn comm_prctl(stage: &mut Stage) -> io::Result<()> {
    let mut actor = held_before(stage, |child| {
        // SAFETY: strings with their NULs.
        unsafe {
            child.must("prctl", libc::prctl(libc::PR_SET_NAME, c"renamed by prctl, cut".as_ptr()));
            child.must("prctl", libc::prctl(libc::PR_SET_NAME, c"\xff odd\n".as_ptr()));
        }
    })?;
    let own = actor.name.clone();
    let tid = actor.life.pid;
    let first: &[u8] = b"renamed by prct";
    actor.life.changes.push(Change::Comm { tid, old: own.into(), new: first.into() });
    actor.life.changes.push(Change::Comm { tid, old: first.into(), new: b"\xff odd\n"[..].into() });
    actor.name = b"\xff odd\n".to_vec();
    finish(stage, actor, None)
}

/// A thread that gives itself a name, in a program with a C library; its process keeps its own.
fn comm_thread(stage: &mut Stage) -> io::Result<()> {
    let own_exe = fs::read_link("/proc/self/exe")?;
    let argv = List::new(["ps-workload", "act", "thread-name"]);
    let env = List::new(["LC_ALL=C"]);
    let mut actor = stage.actor(|child| child.exec(&own_exe, &argv, &env))?;
    actor.go()?;
    actor.saw_exec(&own_exe, &argv.bytes())?;
    let name = actor.name.clone();
    actor.go()?;
    let tid = actor.number()?;
    actor.life.threads.push(Thread { tid, call: None });
    actor.life.changes.push(Change::Comm { tid, old: name.into(), new: b"a-thread"[..].into() });
    actor.life.changes.push(Change::ThreadExit { tid, code: Some(0) });
    stage.note(actor.end()?);
    Ok(())
}

/// Only threads of the same process can write `/proc/PID/comm`, so a thread does it for the leader.
fn comm_by_another(stage: &mut Stage) -> io::Result<()> {
    let own_exe = fs::read_link("/proc/self/exe")?;
    let argv = List::new(["ps-workload", "act", "leader-name"]);
    let env = List::new(["LC_ALL=C"]);
    let mut actor = stage.actor(|child| child.exec(&own_exe, &argv, &env))?;
    actor.go()?;
    actor.saw_exec(&own_exe, &argv.bytes())?;
    let (name, pid) = (actor.name.clone(), actor.life.pid);
    actor.go()?;
    let tid = actor.number()?;
    actor.life.threads.push(Thread { tid, call: None });
    actor.life.changes.push(Change::Comm { tid: pid, old: name.into(), new: b"by-a-thread"[..].into() });
    actor.life.changes.push(Change::ThreadExit { tid, code: Some(0) });
    stage.note(actor.end()?);
    Ok(())
}

fn held_before(stage: &Stage, body: impl FnOnce(&crate::actor::Child)) -> io::Result<Actor> {
    let (path, argv, env) = (stage.bin.tiny(), List::new([stage.case]), List::steps(&format!("{HOLD}e0")));
    stage.actor(|child| {
        body(child);
        child.exec(&path, &argv, &env);
    })
}

fn finish(stage: &mut Stage, mut actor: Actor, ids: Option<[u32; 4]>) -> io::Result<()> {
    actor.go()?;
    let path = stage.bin.tiny();
    let exec = actor.saw_exec(&path, &List::new([stage.case]).bytes())?;
    if ids.is_some() && exec.ids != ids {
        return Err(io::Error::other(format!("the ids are {:?}, not {ids:?}", exec.ids)));
    }
    stage.note(actor.end()?);
    Ok(())
}

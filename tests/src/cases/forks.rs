//! The ways by which a process begins.

use std::io;

use super::{Case, Stage, checked, unsupported};
use crate::actor::{Actor, Call, HOLD, List};
use crate::proc_files;
use crate::raw;
use crate::truth::{Exit, Fork};

pub(super) const CASES: &[(&str, Case)] = &[
    ("fork", |stage| by(stage, Call::Fork)),
    ("clone", |stage| by(stage, Call::Clone(0))),
    ("clone-flags", |stage| by(stage, Call::Clone((libc::CLONE_IO | libc::CLONE_SYSVSEM) as u32 as u64))),
    ("clone3", |stage| by(stage, Call::Clone3(0))),
    ("vfork", vfork),
    ("posix-spawn", posix_spawn),
    ("fork-no-exec", fork_no_exec),
    ("clone-parent", clone_parent),
    ("double-fork-subreaper", |stage| double_fork(stage, true)),
    ("double-fork-init", |stage| double_fork(stage, false)),
];

fn by(stage: &mut Stage, call: Call) -> io::Result<()> {
    let path = stage.bin.tiny();
    let argv = List::new([stage.case, "an argument"]);
    let env = List::steps(&format!("{HOLD}e3"));
    let mut actor = Actor::begin(stage.case, call, |child| child.exec(&path, &argv, &env))?;
    actor.go()?;
    actor.saw_exec(&path, &argv.bytes())?;
    stage.note(actor.end()?);
    Ok(())
}

fn vfork(stage: &mut Stage) -> io::Result<()> {
    #[cfg(target_arch = "x86_64")]
    {
        let flags = (libc::CLONE_VM | libc::CLONE_VFORK) as u64;
        let (path, argv) = (stage.bin.tiny(), List::new([stage.case]));
        let mut actor = Actor::begin_vfork(stage.case, raw::nr::VFORK, flags, &path, &argv, &format!("{HOLD}e0"))?;
        if let Some(fork) = &mut actor.life.fork {
            (fork.call, fork.flags) = (Some("vfork".into()), Some(flags));
        }
        actor.saw_exec(&path, &argv.bytes())?;
        stage.note(actor.end()?);
        Ok(())
    }
    #[cfg(not(target_arch = "x86_64"))]
    {
        let _ = stage;
        Err(unsupported("this architecture has no vfork call"))
    }
}

fn posix_spawn(stage: &mut Stage) -> io::Result<()> {
    let flags = (libc::CLONE_VM | libc::CLONE_VFORK) as u64;
    let (path, argv) = (stage.bin.tiny(), List::new([stage.case]));
    let mut actor = Actor::begin_vfork(stage.case, raw::nr::CLONE, flags, &path, &argv, &format!("{HOLD}e0"))?;
    if let Some(fork) = &mut actor.life.fork {
        (fork.call, fork.flags) = (Some("clone".into()), Some(flags));
    }
    actor.saw_exec(&path, &argv.bytes())?;
    stage.note(actor.end()?);
    Ok(())
}

/// A process that never becomes another program.
fn fork_no_exec(stage: &mut Stage) -> io::Result<()> {
    let mut actor = stage.actor(|child| {
        child.tell(".");
        child.wait();
        // SAFETY: ends only the child.
        unsafe { libc::_exit(42) }
    })?;
    actor.go()?;
    actor.runs()?;
    stage.note(actor.end()?);
    Ok(())
}

/// A caller of clone with CLONE_PARENT makes a sibling, not a child.
fn clone_parent(stage: &mut Stage) -> io::Result<()> {
    let path = stage.bin.tiny();
    let argv = List::new([stage.case]);
    let env = List::steps(&format!("{HOLD}e7"));
    let call = Call::Clone(libc::CLONE_PARENT as u64);
    let mut maker = stage.actor(|child| {
        // SAFETY: this process has one thread.
        match unsafe { call.make() } {
            Ok(0) => {
                child.wait();
                child.exec(&path, &argv, &env);
            }
            Ok(pid) => child.tell(pid),
            Err(error) => child.tell(error),
        }
        // SAFETY: ends only the process.
        unsafe { libc::_exit(0) }
    })?;
    let maker_pid = maker.life.pid;
    maker.go()?;
    let pid = maker.number()?;
    let own = std::process::id();
    let fork = Fork {
        call: Some("clone".into()),
        flags: Some(libc::CLONE_PARENT as u64),
        ppid: own,
        parent_name: Some(proc_files::comm(own)?.into()),
        ns_pid: None,
    };
    let made = maker.life.clone();
    let mut sibling = maker.hand_over(pid, fork)?;
    let mut status = 0;
    // SAFETY: the kernel fills the given memory.
    checked(unsafe { libc::waitpid(maker_pid as i32, &mut status, 0) })?;
    stage.note(crate::truth::Life {
        exit: Some(Exit { code: Some(0), killer: Some(None), ppid: Some(own), ..Exit::default() }),
        ..made
    });
    sibling.go()?;
    sibling.saw_exec(&path, &argv.bytes())?;
    stage.note(sibling.end()?);
    Ok(())
}

/// The middle process ends between the exec and the end of the last one, which gets another parent.
fn double_fork(stage: &mut Stage, subreaper: bool) -> io::Result<()> {
    let path = stage.bin.tiny();
    let argv = List::new([stage.case]);
    let env = List::steps(&format!("{HOLD}e5"));
    // SAFETY: a plain system call.
    checked(unsafe { libc::prctl(libc::PR_SET_CHILD_SUBREAPER, libc::c_ulong::from(subreaper)) })?;
    let mut middle = stage.actor(|child| {
        // SAFETY: this process has one thread.
        match unsafe { Call::Fork.make() } {
            Ok(0) => child.exec(&path, &argv, &env),
            Ok(pid) => {
                child.tell(pid);
                // SAFETY: waits for any signal, which is SIGTERM.
                unsafe { libc::pause() };
            }
            Err(error) => child.tell(error),
        }
        // SAFETY: ends only the process.
        unsafe { libc::_exit(1) }
    })?;
    middle.go()?;
    let (mut pid, mut running) = (None, false);
    for _ in 0..2 {
        match &*middle.line()? {
            "." => running = true,
            line => pid = line.parse().ok(),
        }
    }
    let (Some(pid), true) = (pid, running) else { return Err(io::Error::other("the grandchild did not come")) };
    let middle_name = middle.name.clone();
    let (name, flags) = Call::Fork.seen();
    let fork = Fork {
        call: Some(name.into()),
        flags: Some(flags),
        ppid: middle.life.pid,
        parent_name: Some(middle_name.clone().into()),
        ns_pid: None,
    };
    let (middle, mut last) = middle.split(pid, fork)?;
    last.name = middle_name;
    let exec = last.look(Some(path.as_os_str().as_encoded_bytes()))?;
    if exec.argv != argv.bytes() {
        return Err(io::Error::other("/proc shows other arguments"));
    }
    stage.note(middle.kill(libc::SIGTERM)?);
    let heir = proc_files::stat(pid)?.ppid;
    if subreaper {
        stage.note(last.end()?);
        // SAFETY: a plain system call.
        checked(unsafe { libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 0 as libc::c_ulong) })?;
    } else {
        if heir == std::process::id() {
            return Err(unsupported("the orphan came to us, not to init"));
        }
        let mut life = last.end_elsewhere()?;
        life.exit = Some(Exit { code: Some(5), killer: Some(None), ppid: Some(heir), ..Exit::default() });
        stage.note(life);
    }
    Ok(())
}

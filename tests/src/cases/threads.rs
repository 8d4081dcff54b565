//! Threads that begin, end, exec and outlive each other.

use std::io;
use std::path::Path;
use std::time::Duration;

use super::{Case, Stage};
use crate::actor::{Actor, Child, HOLD, List};
use crate::clock;
use crate::proc_files;
use crate::truth::{Change, Life, Thread};

pub(super) const CASES: &[(&str, Case)] = &[
    ("thread", thread),
    ("threads-many", |stage| many(stage, false)),
    ("threads-exit-group", |stage| many(stage, true)),
    ("exec-chain", exec_chain),
    ("exec-thread", exec_thread),
    ("exec-with-threads", exec_with_threads),
    ("leader-first", |stage| leader_first(stage, "x7", None)),
    ("leader-first-group", |stage| leader_first(stage, "e7", None)),
    ("leader-first-killed", |stage| leader_first(stage, "x7", Some(libc::SIGKILL))),
    ("leader-first-fault", |stage| leader_first(stage, "f", None)),
    ("leader-first-exec", leader_first_exec),
    ("leader-filtered", |stage| leader_filtered(stage, "e44")),
    ("leader-filtered-alone", |stage| leader_filtered(stage, "x44")),
];

const MANY: usize = 50;

/// Registers a thread that the tiny program started by clone.
fn took(actor: &mut Actor) -> io::Result<u32> {
    let tid = actor.number()?;
    actor.life.threads.push(Thread { tid, call: Some("clone".into()) });
    Ok(tid)
}

fn gone(pid: u32, tid: u32) -> io::Result<()> {
    until(|| !Path::new(&format!("/proc/{pid}/task/{tid}")).exists())
}

fn until(mut done: impl FnMut() -> bool) -> io::Result<()> {
    for _ in 0..10_000 {
        if done() {
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    Err(io::Error::new(io::ErrorKind::TimedOut, "what was waited for did not come"))
}

/// A thread that ends before its process.
fn thread(stage: &mut Stage) -> io::Result<()> {
    let mut actor = stage.tiny("p(g200r202x5)r201e0")?;
    actor.go()?;
    let tid = took(&mut actor)?;
    actor.go_thread()?;
    gone(actor.life.pid, tid)?;
    actor.life.changes.push(Change::ThreadExit { tid, code: Some(5) });
    stage.note(actor.end()?);
    Ok(())
}

fn many(stage: &mut Stage, group: bool) -> io::Result<()> {
    let threads = "p(g200r202x1)".repeat(MANY);
    let mut actor = stage.tiny(&format!("{threads}r201e9"))?;
    actor.go()?;
    let tids = (0..MANY).map(|_| took(&mut actor)).collect::<io::Result<Vec<_>>>()?;
    if !group {
        actor.go_all_threads();
        tids.iter().try_for_each(|&tid| gone(actor.life.pid, tid))?;
        actor.life.changes.extend(tids.iter().map(|&tid| Change::ThreadExit { tid, code: Some(1) }));
    }
    // Otherwise several ends of threads may be the end of the process, in any order.
    stage.note(actor.end()?);
    Ok(())
}

/// One process, five programs one after another.
fn exec_chain(stage: &mut Stage) -> io::Result<()> {
    let paths = (1..=5).map(|n| stage.bin.copy(format!("chain-{n}"))).collect::<io::Result<Vec<_>>>()?;
    let mut list: Vec<Vec<u8>> = paths.iter().map(|path| path.as_os_str().as_encoded_bytes().to_vec()).collect();
    list.push(b"the rest".to_vec());
    let argv = List::new(&list);
    let env = List::steps(&format!("{}{HOLD}e4", format!("{HOLD}c").repeat(4)));
    let mut actor = stage.actor(|child| child.exec(&paths[0], &argv, &env))?;
    for (nth, path) in paths.iter().enumerate() {
        actor.go()?;
        actor.saw_exec(path, &argv.bytes()[nth..])?;
    }
    stage.note(actor.end()?);
    Ok(())
}

/// A thread execs: it takes over the process's pid, and all others end.
fn exec_thread(stage: &mut Stage) -> io::Result<()> {
    let path = stage.bin.copy("by-a-thread")?;
    let first = stage.bin.tiny();
    let argv = List::new([first.as_os_str().as_encoded_bytes(), path.as_os_str().as_encoded_bytes(), b"x"]);
    let env = List::steps(&format!("{HOLD}p(g200r202c{HOLD}e6)r201"));
    let mut actor = stage.actor(|child| child.exec(&first, &argv, &env))?;
    actor.go()?;
    actor.saw_exec(&first, &argv.bytes())?;
    actor.go()?;
    let tid = took(&mut actor)?;
    actor.go_thread()?;
    actor.saw_exec(&path, &argv.bytes()[1..])?.old_tid = Some(tid);
    stage.note(actor.end()?);
    Ok(())
}

/// The leader execs while other threads live, which this ends.
fn exec_with_threads(stage: &mut Stage) -> io::Result<()> {
    let second = stage.bin.copy("second")?;
    let first = stage.bin.tiny();
    let argv = List::new([first.as_os_str().as_encoded_bytes(), second.as_os_str().as_encoded_bytes()]);
    let env = List::steps(&format!("{HOLD}{}r201c{HOLD}e0", "p(g200r202x0)".repeat(3)));
    let mut actor = stage.actor(|child| child.exec(&first, &argv, &env))?;
    actor.go()?;
    actor.saw_exec(&first, &argv.bytes())?;
    actor.go()?;
    for _ in 0..3 {
        let tid = took(&mut actor)?;
        actor.life.changes.push(Change::ThreadExit { tid, code: None });
    }
    actor.go()?;
    actor.saw_exec(&second, &argv.bytes()[1..])?;
    stage.note(actor.end()?);
    Ok(())
}

/// The first thread ends with code 3 while another lives on, which later ends the process.
fn leader_first(stage: &mut Stage, last: &str, signo: Option<i32>) -> io::Result<()> {
    let mut actor = stage.tiny(&format!("p(g200r202{last})r201x3"))?;
    actor.go()?;
    took(&mut actor)?;
    let pid = actor.life.pid;
    actor.go()?;
    until(|| proc_files::stat(pid).is_ok_and(|stat| stat.state == b'Z'))?;
    actor.life.changes.push(Change::ThreadExit { tid: pid, code: Some(3) });
    let life: Life = match signo {
        Some(signo) => actor.kill(signo)?,
        None => {
            let before = clock::boot_ns();
            actor.go_thread()?;
            actor.reap(before, None, None)?
        }
    };
    stage.note(life);
    Ok(())
}

/// The first thread has ended when the other execs, and so the pid comes back to life.
fn leader_first_exec(stage: &mut Stage) -> io::Result<()> {
    let path = stage.bin.copy("after-the-leader")?;
    let first = stage.bin.tiny();
    let argv = List::new([first.as_os_str().as_encoded_bytes(), path.as_os_str().as_encoded_bytes()]);
    let env = List::steps(&format!("{HOLD}p(g200r202c{HOLD}e8)r201x3"));
    let mut actor = stage.actor(|child| child.exec(&first, &argv, &env))?;
    actor.go()?;
    actor.saw_exec(&first, &argv.bytes())?;
    actor.go()?;
    let tid = took(&mut actor)?;
    let pid = actor.life.pid;
    actor.go()?;
    until(|| proc_files::stat(pid).is_ok_and(|stat| stat.state == b'Z'))?;
    actor.life.changes.push(Change::ThreadExit { tid: pid, code: Some(3) });
    actor.go_thread()?;
    actor.saw_exec(&path, &argv.bytes()[1..])?.old_tid = Some(tid);
    stage.note(actor.end()?);
    Ok(())
}

/// A filter of system calls kills the first thread alone; the other one ends the process.
fn leader_filtered(stage: &mut Stage, last: &str) -> io::Result<()> {
    let (path, argv) = (stage.bin.tiny(), List::new([stage.case]));
    let env = List::steps(&format!("{HOLD}p(g200r202{last})r201h{}x1", libc::SYS_getppid));
    let mut actor = stage.actor(|child| {
        kill_who_asks_for_its_parent(child);
        child.exec(&path, &argv, &env);
    })?;
    actor.go()?;
    actor.saw_exec(&path, &argv.bytes())?;
    actor.go()?;
    took(&mut actor)?;
    let pid = actor.life.pid;
    actor.go()?;
    until(|| proc_files::stat(pid).is_ok_and(|stat| stat.state == b'Z'))?;
    actor.life.changes.push(Change::ThreadExit { tid: pid, code: None });
    let before = clock::boot_ns();
    actor.go_thread()?;
    stage.note(actor.reap(before, None, None)?);
    Ok(())
}

/// For this program and those that it becomes.
fn kill_who_asks_for_its_parent(child: &Child) {
    let step = |code: u32, jt, jf, k| libc::sock_filter { code: code as u16, jt, jf, k };
    let give = |what| step(libc::BPF_RET | libc::BPF_K, 0, 0, what);
    let filter = [
        // The call's number: the first member of `struct seccomp_data`.
        step(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, 0),
        step(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, 0, 1, libc::SYS_getppid as u32),
        give(libc::SECCOMP_RET_KILL_THREAD),
        give(libc::SECCOMP_RET_ALLOW),
    ];
    let program = libc::sock_fprog { len: filter.len() as u16, filter: filter.as_ptr().cast_mut() };
    // SAFETY: the kernel reads the program, which has the given length.
    unsafe {
        child.must("prctl", libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
        child.must("prctl", libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program));
    }
}

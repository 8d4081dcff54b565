//! Signals, faults, cores and exhausted memory.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use procscope_model::signal_name;

use super::{Case, Stage, unsupported};
use crate::actor::{Actor, Call, HOLD, List};
use crate::clock;
use crate::truth::{Change, Killer};

pub(super) const CASES: &[(&str, Case)] = &[
    ("codes", codes),
    ("signals", signals),
    ("signals-self", signals_self),
    ("signal-real-time", signal_real_time),
    ("killed-by-another", killed_by_another),
    ("killed-before-exec", killed_before_exec),
    ("killed-with-threads", killed_with_threads),
    ("fault", |stage| ends_by(stage, "f", "SIGSEGV", None)),
    ("abort", abort),
    ("core-fault", |stage| core(stage, "f", false)),
    ("core-signal", |stage| core(stage, "s3", true)),
    ("oom", oom),
];

fn codes(stage: &mut Stage) -> io::Result<()> {
    for code in [0, 1, 127, 128, 255, 256 + 7] {
        let actor = stage.tiny(&format!("e{code}"))?;
        stage.note(actor.end()?);
    }
    Ok(())
}

fn signals(stage: &mut Stage) -> io::Result<()> {
    for signo in 1..=15 {
        let actor = stage.tiny("r201")?;
        stage.note(actor.kill(signo)?);
    }
    Ok(())
}

fn signals_self(stage: &mut Stage) -> io::Result<()> {
    for signo in [1, 6, 9, 13, 15, 31] {
        let actor = stage.tiny(&format!("s{signo}"))?;
        let killer = Killer { pid: actor.life.pid, name: actor.name.clone().into() };
        stage.note(released(actor, Some(killer))?);
    }
    Ok(())
}

fn signal_real_time(stage: &mut Stage) -> io::Result<()> {
    for signo in [34, 40, 64] {
        let actor = stage.tiny("r201")?;
        stage.note(actor.kill(signo)?);
    }
    Ok(())
}

fn released(mut actor: Actor, killer: Option<Killer>) -> io::Result<crate::truth::Life> {
    let before = clock::boot_ns();
    actor.go()?;
    actor.reap(before, None, killer)
}

/// By neither its parent nor itself.
fn killed_by_another(stage: &mut Stage) -> io::Result<()> {
    let victim = stage.tiny("r201")?;
    let pid = victim.life.pid;
    let mut killer = stage.actor(|child| {
        // SAFETY: plain system calls; the name has its NUL.
        unsafe {
            child.must("prctl", libc::prctl(libc::PR_SET_NAME, c"the-killer".as_ptr()));
            child.must("kill", libc::kill(pid as i32, libc::SIGTERM));
        }
        child.tell(".");
        child.wait();
        // SAFETY: ends only the child.
        unsafe { libc::_exit(0) }
    })?;
    let (tid, old) = (killer.life.pid, killer.name.clone().into());
    killer.life.changes.push(Change::Comm { tid, old, new: b"the-killer"[..].into() });
    let before = clock::boot_ns();
    killer.go()?;
    killer.runs()?;
    let by = Killer { pid: killer.life.pid, name: b"the-killer"[..].into() };
    stage.note(victim.reap(before, None, Some(by))?);
    stage.note(killer.end()?);
    Ok(())
}

fn killed_before_exec(stage: &mut Stage) -> io::Result<()> {
    let actor = stage.actor(|_| {})?;
    stage.note(actor.kill(libc::SIGKILL)?);
    Ok(())
}

/// The signal goes to the process, and any thread may handle it.
fn killed_with_threads(stage: &mut Stage) -> io::Result<()> {
    let mut actor = stage.tiny(&format!("{}r201", "p(g200r202)".repeat(4)))?;
    actor.go()?;
    for _ in 0..4 {
        let tid = actor.number()?;
        actor.life.threads.push(crate::truth::Thread { tid, call: Some("clone".into()) });
    }
    stage.note(actor.kill(libc::SIGTERM)?);
    Ok(())
}

/// An end without a signal's sender.
fn ends_by(stage: &mut Stage, steps: &str, signal: &str, killer: Option<Killer>) -> io::Result<()> {
    let actor = stage.tiny(steps)?;
    let life = released(actor, killer)?;
    if life.exit.as_ref().and_then(|exit| exit.signal.as_deref()) != Some(signal) {
        return Err(io::Error::other(format!("{:?}, not {signal}", life.exit)));
    }
    stage.note(life);
    Ok(())
}

/// `abort(3)`, which sends itself a signal.
fn abort(stage: &mut Stage) -> io::Result<()> {
    let own_exe = fs::read_link("/proc/self/exe")?;
    let argv = List::new(["ps-workload", "act", "abort"]);
    let env = List::new(["LC_ALL=C"]);
    let mut actor = stage.actor(|child| {
        let no_core = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
        // SAFETY: a plain system call.
        child.must("setrlimit", unsafe { libc::setrlimit(libc::RLIMIT_CORE, &no_core) });
        child.exec(&own_exe, &argv, &env);
    })?;
    actor.go()?;
    actor.saw_exec(&own_exe, &argv.bytes())?;
    let killer = Killer { pid: actor.life.pid, name: actor.name.clone().into() };
    stage.note(released(actor, Some(killer))?);
    Ok(())
}

fn core(stage: &mut Stage, steps: &str, own: bool) -> io::Result<()> {
    let dir = stage.bin.path().join(format!("{}-dir", stage.case));
    fs::create_dir(&dir)?;
    let c_dir = crate::tiny::c_path(&dir);
    let (path, argv, env) = (stage.bin.tiny(), List::new([stage.case]), List::steps(&format!("{HOLD}{steps}")));
    let mut actor = stage.actor(|child| {
        let all = libc::rlimit { rlim_cur: libc::RLIM_INFINITY, rlim_max: libc::RLIM_INFINITY };
        // SAFETY: plain system calls; the path has its NUL.
        unsafe {
            child.must("setrlimit", libc::setrlimit(libc::RLIMIT_CORE, &all));
            child.must("chdir", libc::chdir(c_dir.as_ptr()));
        }
        child.exec(&path, &argv, &env);
    })?;
    actor.go()?;
    actor.saw_exec(&path, &argv.bytes())?;
    let killer = own.then(|| Killer { pid: actor.life.pid, name: actor.name.clone().into() });
    let life = released(actor, killer)?;
    let dumped = life.exit.as_ref().is_some_and(|exit| exit.core);
    stage.note(life);
    if dumped { Ok(()) } else { Err(unsupported("the kernel writes no cores here (kernel.core_pattern)")) }
}

/// A memory cgroup of any available hierarchy; removed when dropped.
struct MemoryCgroup(PathBuf);

impl MemoryCgroup {
    fn new(limit: u64) -> io::Result<Self> {
        let name = format!("ps-workload-{}", std::process::id());
        for (root, key) in [
            ("/sys/fs/cgroup/memory", "memory.limit_in_bytes"),
            ("/sys/fs/cgroup", "memory.max"),
            ("/sys/fs/cgroup/unified", "memory.max"),
        ] {
            let dir = Self(Path::new(root).join(&name));
            let made = Path::new(root).join("cgroup.procs").exists() && fs::create_dir(&dir.0).is_ok();
            if made && fs::write(dir.0.join(key), limit.to_string()).is_ok() {
                // With swap, the limit alone would only be slow.
                let _ = fs::write(dir.0.join("memory.swap.max"), "0");
                return Ok(dir);
            }
        }
        Err(unsupported("no memory cgroup can be made, so NOTHING WAS KILLED FOR WANT OF MEMORY"))
    }
}

impl Drop for MemoryCgroup {
    fn drop(&mut self) {
        let _ = fs::remove_dir(&self.0);
    }
}

fn oom(stage: &mut Stage) -> io::Result<()> {
    let cgroup = MemoryCgroup::new(8 << 20)?;
    let procs = crate::tiny::c_path(&cgroup.0.join("cgroup.procs"));
    let (path, argv, env) = (stage.bin.tiny(), List::new([stage.case]), List::steps(&format!("{HOLD}m64e0")));
    let mut actor = Actor::begin(stage.case, Call::Fork, |child| {
        // SAFETY: strings with their NULs, and a buffer of the given length.
        unsafe {
            let fd = libc::open(procs.as_ptr(), libc::O_WRONLY | libc::O_CLOEXEC);
            child.must("open cgroup.procs", fd);
            child.must("write cgroup.procs", libc::write(fd, c"0".as_ptr().cast(), 1) as i64);
        }
        child.exec(&path, &argv, &env);
    })?;
    actor.go()?;
    actor.saw_exec(&path, &argv.bytes())?;
    let mut life = released(actor, None)?;
    let Some(exit) = &mut life.exit else { return Err(io::ErrorKind::Other.into()) };
    if exit.signal.as_deref() != Some(&*signal_name(9)) {
        return Err(unsupported(format!("the limit killed no process: {exit:?}")));
    }
    exit.oom = true;
    stage.note(life);
    Ok(())
}

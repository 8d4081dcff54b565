//! One pid for many processes.

use std::fs;
use std::io::{self, Write as _};
use std::path::Path;
use std::time::Duration;

use super::{Case, Stage, unsupported};
use crate::actor::{Actor, Call, HOLD, List};
use crate::clock;
use crate::proc_files;
use crate::truth::{Exit, Fork, Life};

pub(super) const CASES: &[(&str, Case)] = &[("pid-reuse", pid_reuse)];

/// How often the pid is used.
const TIMES: usize = 5;
/// The pid inside the namespace, where its processes find no other.
const PID: u32 = 300;

/// In a pid namespace of our own the next pid can be chosen, so that several processes have the
/// same one after another.
fn pid_reuse(stage: &mut Stage) -> io::Result<()> {
    let (path, argv) = (stage.bin.tiny(), List::new([stage.case, "again"]));
    let env = List::steps(&format!("{HOLD}e6"));
    let call = Call::Clone(libc::CLONE_NEWPID as u64);
    let mut init = Actor::begin(stage.case, call, |child| {
        for _ in 0..TIMES {
            let last = fs::File::options().write(true).open("/proc/sys/kernel/ns_last_pid");
            if let Err(error) = last.and_then(|mut file| file.write_all((PID - 1).to_string().as_bytes())) {
                child.tell(format_args!("ns_last_pid: {error}"));
                return;
            }
            // SAFETY: this process has one thread.
            match unsafe { Call::Fork.make() } {
                Ok(0) => {
                    child.wait();
                    child.exec(&path, &argv, &env);
                    return;
                }
                Ok(pid) => {
                    child.tell(pid);
                    // SAFETY: the kernel fills nothing.
                    unsafe { libc::waitpid(pid as i32, std::ptr::null_mut(), 0) };
                    child.tell("gone");
                }
                Err(error) => return child.tell(error),
            }
            child.wait();
        }
        // SAFETY: ends only the child.
        unsafe { libc::_exit(0) }
    })?;
    let init_pid = init.life.pid;
    init.go()?;
    let mut lives = Vec::new();
    let mut last = 0;
    for _ in 0..TIMES {
        let inside = init.line()?;
        if inside.parse() != Ok(PID) {
            return Err(unsupported(format!("the next pid cannot be chosen: {inside}")));
        }
        let [pid] = proc_files::children(init_pid)?[..] else { return Err(io::Error::other("not one child")) };
        let mut again = once(&mut init, &path, &argv, pid)?;
        let before = clock::boot_ns();
        init.go()?;
        if init.line()? != "gone" {
            return Err(io::Error::other("it did not end"));
        }
        again.died_ns = Some((before, clock::boot_ns()));
        lives.push(again);
        // Within one tick of the clock even the start time would be the same.
        std::thread::sleep(Duration::from_millis(30));
        last = clock::boot_ns();
        init.go()?;
    }
    let mut life = init.reap(last, None, None)?;
    // The parent also gets the usage of the processes that it waited for.
    life.exit.iter_mut().for_each(|exit| exit.usage = None);
    stage.note(life);
    lives.into_iter().for_each(|life| stage.note(life));
    Ok(())
}

fn once(init: &mut Actor, path: &Path, argv: &List, pid: u32) -> io::Result<Life> {
    let (name, flags) = Call::Fork.seen();
    let parent_name = init.name.clone();
    let fork = Fork {
        call: Some(name.into()),
        flags: Some(flags),
        ppid: init.life.pid,
        parent_name: Some(parent_name.clone().into()),
        ns_pid: Some(PID),
    };
    let mut one = init.channel(pid, fork)?;
    one.name = parent_name;
    one.go()?;
    let exec = one.saw_exec(path, &argv.bytes())?;
    if exec.ns_pid != Some(PID) {
        return Err(io::Error::other(format!("its own pid is {:?}, not {PID}", exec.ns_pid)));
    }
    let mut life = one.life;
    life.exit = Some(Exit { code: Some(6), killer: Some(None), ppid: Some(init.life.pid), ..Exit::default() });
    Ok(life)
}

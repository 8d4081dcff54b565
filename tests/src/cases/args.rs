//! Arguments of every shape and size.

use std::io;
use std::ptr;

use super::{Case, Stage};
use crate::actor::{HOLD, List};
use crate::tiny::c_path;

pub(super) const CASES: &[(&str, Case)] = &[
    ("argc-0", argc_0),
    ("args-empty", |stage| with(stage, ["", "", "a", ""])),
    ("args-newline", |stage| with(stage, ["a\nb", "\n", "\r\n", "\t", " "])),
    ("args-not-utf8", |stage| with(stage, [&b"\xff"[..], b"a\x80b", b"\xc3", b"\xed\xa0\x80", "\u{fffd}".as_bytes()])),
    ("args-controls", |stage| with(stage, ["\x1b[2J\x1b]0;title\x07", "\u{202e}gpj.exe", "\u{9b}31m", "\x7f\x01"])),
    ("args-quotes", |stage| with(stage, ["it's", "\"", "\\", "$HOME", "`id`", "-n", "a=b", "#", "~"])),
    ("arg-128k", |stage| with(stage, ["x".repeat(MAX_ARG_STRLEN - 1)])),
    ("args-20000", |stage| with(stage, (0..20_000).map(|n| n.to_string()))),
    ("args-100000-empty", |stage| with(stage, std::iter::repeat_n("", 100_000))),
    ("args-2m", |stage| largest(stage, None)),
    ("args-6m", |stage| largest(stage, Some(64 << 20))),
    ("env-odd", env_odd),
    ("env-none", env_none),
];

/// `include/uapi/linux/binfmts.h`, with the NUL.
const MAX_ARG_STRLEN: usize = 128 << 10;

fn with<S: AsRef<[u8]>>(stage: &mut Stage, rest: impl IntoIterator<Item = S>) -> io::Result<()> {
    let path = stage.bin.tiny();
    let rest: Vec<Vec<u8>> = rest.into_iter().map(|s| s.as_ref().to_vec()).collect();
    let argv = List::new(std::iter::once(stage.case.as_bytes().to_vec()).chain(rest));
    let env = List::steps(&format!("{HOLD}e0"));
    let mut actor = stage.actor(|child| child.exec(&path, &argv, &env))?;
    actor.go()?;
    actor.saw_exec(&path, &argv.bytes())?;
    stage.note(actor.end()?);
    Ok(())
}

/// No argument at all; since 5.18 the kernel makes that one empty argument.
fn argc_0(stage: &mut Stage) -> io::Result<()> {
    let path = stage.bin.tiny();
    let (argv, env) = (List::new([""; 0]), List::steps(&format!("{HOLD}e0")));
    let mut actor = stage.actor(|child| child.exec(&path, &argv, &env))?;
    actor.go()?;
    actor.runs()?;
    actor.look(Some(path.as_os_str().as_encoded_bytes()))?;
    stage.note(actor.end()?);
    // The same by a null pointer in place of the list.
    let mut actor = stage.actor(|child| {
        // SAFETY: Linux reads a null pointer as an empty list.
        unsafe { libc::execve(c_path(&path).as_ptr(), ptr::null(), env.as_ptr()) };
        child.tell_errno();
    })?;
    actor.go()?;
    actor.runs()?;
    actor.look(Some(path.as_os_str().as_encoded_bytes()))?;
    stage.note(actor.end()?);
    Ok(())
}

/// As much as the kernel accepts: a quarter of the stack's limit, and never more than three
/// quarters of 8 MiB.
fn largest(stage: &mut Stage, stack: Option<u64>) -> io::Result<()> {
    const CHUNK: usize = 100_000;
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the kernel fills the given memory.
    unsafe { libc::getrlimit(libc::RLIMIT_STACK, &mut limit) };
    let stack_bytes = stack.unwrap_or(limit.rlim_cur);
    let most = (stack_bytes / 4).min(6 << 20) as usize;
    let path = stage.bin.tiny();
    let env = List::steps(&format!("{HOLD}e0"));
    // The first tries are slightly too large, and are interesting failed execs; the last one fits.
    let lists: Vec<List> = (0..4)
        .map(|slack| {
            // Strings, pointers to them, and the path, which the kernel counts too.
            let mut room = most - slack * 96 - path.as_os_str().len() - 64;
            let mut list = vec![stage.case.to_owned()];
            while room > CHUNK + 16 {
                list.push(char::from(b'a' + (list.len() % 26) as u8).to_string().repeat(CHUNK));
                room -= CHUNK + 1 + 8;
            }
            list.push("z".repeat(room));
            List::new(list)
        })
        .collect();
    // Two such lists at once may exceed a monitor's buffer, and full ones are tested elsewhere.
    std::thread::sleep(std::time::Duration::from_millis(200));
    let mut actor = stage.actor(|child| {
        if stack.is_some() {
            let limit = libc::rlimit { rlim_cur: stack_bytes, ..limit };
            // SAFETY: a plain system call.
            child.must("setrlimit", unsafe { libc::setrlimit(libc::RLIMIT_STACK, &limit) });
        }
        for list in &lists {
            child.exec(&path, list, &env);
        }
    })?;
    actor.go()?;
    for list in &lists {
        let line = actor.line()?;
        if line == "." {
            let exec = actor.look(Some(path.as_os_str().as_encoded_bytes()))?;
            if exec.argv != list.bytes() {
                return Err(io::Error::other("/proc shows other arguments"));
            }
            stage.note(actor.end()?);
            return Ok(());
        }
        let path = Some(path.as_os_str().as_encoded_bytes().into());
        actor.life.failed.push(crate::truth::FailedExec { errno: line, path, argv: Some(list.bytes()) });
    }
    Err(io::Error::other("none of the lists was accepted"))
}

fn env_odd(stage: &mut Stage) -> io::Result<()> {
    let path = stage.bin.tiny();
    let argv = List::new([stage.case]);
    let env = List::new([
        format!("PS={HOLD}e0").as_bytes(),
        b"EMPTY=",
        b"",
        b"NO_EQUALS_SIGN",
        b"=starts",
        b"RAW=\xff\xfe",
        b"LINES=a\nb",
        b"TWICE=1",
        b"TWICE=2",
        "x".repeat(50_000).as_bytes(),
    ]);
    let mut actor = stage.actor(|child| child.exec(&path, &argv, &env))?;
    actor.go()?;
    actor.saw_exec(&path, &argv.bytes())?.env = Some(env.bytes());
    stage.note(actor.end()?);
    Ok(())
}

/// Without an environment the program cannot wait, so it ends at once and only its status is
/// certain.
fn env_none(stage: &mut Stage) -> io::Result<()> {
    let path = stage.bin.tiny();
    let (argv, env) = (List::new([stage.case]), List::new([""; 0]));
    let mut actor = stage.actor(|child| child.exec(&path, &argv, &env))?;
    let before = crate::clock::boot_ns();
    actor.look(None)?;
    actor.go()?;
    // The exec has other arguments and files than those seen before it.
    if let Some(exec) = actor.life.execs.last_mut() {
        exec.argv = argv.bytes();
        exec.path = Some(path.as_os_str().as_encoded_bytes().into());
        exec.exe.clone_from(&exec.path);
        exec.name = Some(crate::tiny::comm(&path).into());
    }
    stage.note(actor.reap(before, None, None)?);
    Ok(())
}

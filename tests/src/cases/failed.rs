//! Execs that the kernel refuses.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use super::{Case, Stage, unsupported};
use crate::actor::{Actor, Child, HOLD, List};
use crate::tiny::c_path;

pub(super) const CASES: &[(&str, Case)] = &[
    ("enoent", |stage| path(stage, |stage| Ok(stage.bin.path().join("not-there")), "ENOENT")),
    ("enoent-empty", |stage| path(stage, |_| Ok(PathBuf::new()), "ENOENT")),
    ("enoent-interpreter", |stage| path(stage, |s| s.bin.file("bad-script", "#!/not/there -x\n", 0o755), "ENOENT")),
    ("eacces-mode", |stage| path(stage, |stage| stage.bin.file("not-executable", "x", 0o644), "EACCES")),
    ("eacces-directory", |stage| path(stage, |stage| Ok(stage.bin.path().to_owned()), "EACCES")),
    ("enoexec", |stage| path(stage, |stage| stage.bin.file("garbage", b"\x00\x01garbage", 0o755), "ENOEXEC")),
    ("enotdir", |stage| path(stage, |stage| Ok(stage.bin.tiny().join("below-a-file")), "ENOTDIR")),
    ("eloop", |stage| path(stage, a_loop, "ELOOP")),
    ("enametoolong", |stage| path(stage, |stage| Ok(stage.bin.path().join("n".repeat(256))), "ENAMETOOLONG")),
    ("enametoolong-path", |stage| path(stage, |_| Ok(PathBuf::from("/x".repeat(3000))), "ENAMETOOLONG")),
    ("e2big-argument", e2big_argument),
    ("e2big-all", e2big_all),
    ("efault-path", efault_path),
    ("efault-argv", efault_argv),
    ("ebadf", ebadf),
    ("etxtbsy", etxtbsy),
    ("search-path", search_path),
];

fn a_loop(stage: &mut Stage) -> io::Result<PathBuf> {
    let (a, b) = (stage.bin.path().join("loop-a"), stage.bin.path().join("loop-b"));
    symlink(&a, &b)?;
    symlink(&b, &a)?;
    Ok(a)
}

/// Does `fail` in a child, which then becomes the tiny program to show that it continues.
pub(super) fn failing(
    stage: &mut Stage,
    fail: impl FnOnce(&Child),
    saw: impl FnOnce(&mut Actor) -> io::Result<()>,
) -> io::Result<()> {
    let (path, argv, env) = (stage.bin.tiny(), List::new([stage.case]), List::steps(&format!("{HOLD}e0")));
    let mut actor = stage.actor(|child| {
        fail(child);
        child.exec(&path, &argv, &env);
    })?;
    actor.go()?;
    saw(&mut actor)?;
    actor.saw_exec(&path, &argv.bytes())?;
    stage.note(actor.end()?);
    Ok(())
}

pub(super) fn expect(actor: &Actor, errno: &str) -> io::Result<()> {
    match actor.life.failed.last() {
        Some(failed) if failed.errno == errno => Ok(()),
        other => Err(io::Error::other(format!("{:?}, not {errno}", other.map(|f| &f.errno)))),
    }
}

fn path(stage: &mut Stage, make: fn(&mut Stage) -> io::Result<PathBuf>, errno: &str) -> io::Result<()> {
    let path = make(stage)?;
    let argv = List::new([&b"tried"[..], b"", b"\xff", b"two\nlines"]);
    let env = List::new(["A=b"]);
    failing(
        stage,
        |child| child.exec(&path, &argv, &env),
        |actor| {
            // The kernel accepts at most 4095 bytes of a path, and does not look at a longer one.
            let bytes = path.as_os_str().as_encoded_bytes();
            actor.saw_failure((bytes.len() < 4096).then_some(bytes), Some(&argv))?;
            expect(actor, errno)
        },
    )
}

fn e2big_argument(stage: &mut Stage) -> io::Result<()> {
    let path = stage.bin.tiny();
    let argv = List::new(["tried".to_owned(), "x".repeat(128 << 10)]);
    refused(stage, &path, &argv, "E2BIG")
}

fn e2big_all(stage: &mut Stage) -> io::Result<()> {
    let path = stage.bin.tiny();
    let argv = List::new(std::iter::once("tried".to_owned()).chain((0..70).map(|n| format!("{n}").repeat(50_000))));
    refused(stage, &path, &argv, "E2BIG")
}

fn refused(stage: &mut Stage, path: &Path, argv: &List, errno: &str) -> io::Result<()> {
    let env = List::new(["A=b"]);
    failing(
        stage,
        |child| child.exec(path, argv, &env),
        |actor| {
            actor.saw_failure(Some(path.as_os_str().as_encoded_bytes()), Some(argv))?;
            expect(actor, errno)
        },
    )
}

fn efault_path(stage: &mut Stage) -> io::Result<()> {
    let argv = List::new(["tried", "a"]);
    failing(
        stage,
        |child| {
            // SAFETY: the kernel checks the address.
            unsafe { libc::syscall(libc::SYS_execve, 8, argv.as_ptr(), [0usize].as_ptr()) };
            child.tell_errno();
        },
        |actor| {
            actor.saw_failure(None, Some(&argv))?;
            expect(actor, "EFAULT")
        },
    )
}

fn efault_argv(stage: &mut Stage) -> io::Result<()> {
    let path = stage.bin.tiny();
    failing(
        stage,
        |child| {
            // SAFETY: the kernel checks the address.
            unsafe { libc::syscall(libc::SYS_execve, c_path(&path).as_ptr(), 8, [0usize].as_ptr()) };
            child.tell_errno();
        },
        |actor| {
            actor.saw_failure(Some(path.as_os_str().as_encoded_bytes()), None)?;
            expect(actor, "EFAULT")
        },
    )
}

fn ebadf(stage: &mut Stage) -> io::Result<()> {
    let argv = List::new(["tried", "a"]);
    let env = List::new(["A=b"]);
    failing(
        stage,
        |child| child.exec_at(199, Path::new("ps-tiny"), &argv, &env, 0),
        |actor| {
            actor.saw_failure(Some(b"ps-tiny"), Some(&argv))?;
            expect(actor, "EBADF")
        },
    )
}

/// A file that is open for writing; 6.11 and 6.12 allowed it.
fn etxtbsy(stage: &mut Stage) -> io::Result<()> {
    let path = stage.bin.copy("being-written")?;
    let writer = File::options().write(true).open(&path)?;
    let (argv, env) = (List::new(["tried"]), List::steps(HOLD));
    let mut actor = stage.actor(|child| child.exec(&path, &argv, &env))?;
    let before = crate::clock::boot_ns();
    actor.go()?;
    let line = actor.line()?;
    drop(writer);
    if line == "." {
        drop(actor.end()?);
        return Err(unsupported("this kernel runs files that are open for writing"));
    }
    let path = Some(path.as_os_str().as_encoded_bytes().into());
    actor.life.failed.push(crate::truth::FailedExec { errno: line, path, argv: Some(argv.bytes()) });
    expect(&actor, "ETXTBSY")?;
    stage.note(actor.reap(before, None, None)?);
    Ok(())
}

/// As a shell does it: one directory after another.
fn search_path(stage: &mut Stage) -> io::Result<()> {
    let dirs: Vec<PathBuf> = (0..20).map(|n| stage.bin.path().join(format!("bin-{n}"))).collect();
    dirs.iter().try_for_each(fs::create_dir)?;
    let argv = List::new(["tried"]);
    let env = List::new(["A=b"]);
    let paths: Vec<PathBuf> = dirs.iter().map(|dir| dir.join("program")).collect();
    failing(
        stage,
        |child| paths.iter().for_each(|path| child.exec(path, &argv, &env)),
        |actor| {
            paths.iter().try_for_each(|path| {
                actor.saw_failure(Some(path.as_os_str().as_encoded_bytes()), Some(&argv))?;
                expect(actor, "ENOENT")
            })
        },
    )
}

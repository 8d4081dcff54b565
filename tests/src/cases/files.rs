//! Executable things other than a plain path to a plain file.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::fd::{AsRawFd as _, FromRawFd as _, RawFd};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use super::{Case, Stage, checked, unsupported};
use crate::actor::{HOLD, List};
use crate::tiny;
use crate::truth::{Bytes, Change};

pub(super) const CASES: &[(&str, Case)] = &[
    ("path-relative", path_relative),
    ("path-symlink", path_symlink),
    ("path-name-255", |stage| named(stage, "n".repeat(255).as_bytes())),
    ("path-comm-15", |stage| named(stage, b"fifteen-bytes-x")),
    ("path-comm-16", |stage| named(stage, b"sixteen-bytes-xy")),
    ("path-not-utf8", |stage| named(stage, b"ne\nw\xff line")),
    ("path-comm-cut-in-char", |stage| named(stage, "fourteen-bytes\u{1f980}".as_bytes())),
    ("path-parentheses", |stage| named(stage, b") S 1 1 1 (")),
    ("execveat", execveat),
    ("fexecve", fexecve),
    ("memfd", memfd),
    ("deleted-before", deleted_before),
    ("deleted-while", deleted_while),
    ("script", |stage| script(stage, "")),
    ("script-argument", |stage| script(stage, " -x  two words ")),
    ("script-script", script_script),
    ("setuid", |stage| set_id(stage, 0o4755, "setuid")),
    ("setgid", |stage| set_id(stage, 0o2755, "setgid")),
];

fn path_relative(stage: &mut Stage) -> io::Result<()> {
    let dir = tiny::c_path(stage.bin.path());
    let path = Path::new("./../.").join(stage.bin.path().file_name().unwrap_or_default()).join("ps-tiny");
    let (argv, env) = (List::new([stage.case]), List::steps(&format!("{HOLD}e0")));
    let mut actor = stage.actor(|child| {
        // SAFETY: a string with its NUL.
        child.must("chdir", unsafe { libc::chdir(dir.as_ptr()) });
        child.exec(&path, &argv, &env);
    })?;
    actor.go()?;
    actor.saw_exec(&path, &argv.bytes())?;
    stage.note(actor.end()?);
    Ok(())
}

fn path_symlink(stage: &mut Stage) -> io::Result<()> {
    let path = stage.bin.path().join("a-link");
    symlink("ps-tiny", &path)?;
    plain(stage, &path)
}

fn named(stage: &mut Stage, name: &[u8]) -> io::Result<()> {
    let path = stage.bin.copy(OsStr::from_bytes(name))?;
    plain(stage, &path)
}

fn plain(stage: &mut Stage, path: &Path) -> io::Result<()> {
    let (argv, env) = (List::new([stage.case, "a"]), List::steps(&format!("{HOLD}e0")));
    let mut actor = stage.actor(|child| child.exec(path, &argv, &env))?;
    actor.go()?;
    actor.saw_exec(path, &argv.bytes())?;
    stage.note(actor.end()?);
    Ok(())
}

fn execveat(stage: &mut Stage) -> io::Result<()> {
    let dir = File::open(stage.bin.path())?;
    by_descriptor(stage, dir.as_raw_fd(), Path::new("ps-tiny"), 0, &[])
}

fn fexecve(stage: &mut Stage) -> io::Result<()> {
    let file = File::open(stage.bin.tiny())?;
    by_descriptor(stage, file.as_raw_fd(), Path::new(""), libc::AT_EMPTY_PATH, &[])
}

fn memfd(stage: &mut Stage) -> io::Result<()> {
    // SAFETY: a string with its NUL; nothing else owns the returned descriptor.
    let mut file = unsafe {
        let fd = checked(libc::memfd_create(c"in memory".as_ptr(), libc::MFD_CLOEXEC))?;
        File::from_raw_fd(fd as RawFd)
    };
    file.write_all(tiny::program()?)?;
    by_descriptor(stage, file.as_raw_fd(), Path::new(""), libc::AT_EMPTY_PATH, &["memfd", "deleted"])
}

fn deleted_before(stage: &mut Stage) -> io::Result<()> {
    let path = stage.bin.copy("soon-gone")?;
    let file = File::open(&path)?;
    fs::remove_file(&path)?;
    by_descriptor(stage, file.as_raw_fd(), Path::new(""), libc::AT_EMPTY_PATH, &["deleted"])
}

fn by_descriptor(stage: &mut Stage, fd: RawFd, path: &Path, flags: i32, special: &[&str]) -> io::Result<()> {
    let (argv, env) = (List::new([stage.case, "a"]), List::steps(&format!("{HOLD}e0")));
    let mut actor = stage.actor(|child| child.exec_at(fd, path, &argv, &env, flags))?;
    actor.go()?;
    // Besides the given name the kernel keeps its beginning, as scripts receive it.
    let called = Path::new("/dev/fd").join(fd.to_string()).join(path);
    let exec = actor.saw_exec(&called, &argv.bytes())?;
    if path.as_os_str().is_empty() {
        exec.path = Some(format!("/dev/fd/{fd}").into());
    }
    exec.traits = Some(special.iter().map(|word| (*word).to_owned()).collect());
    stage.note(actor.end()?);
    Ok(())
}

/// The file is removed while the program runs: it had its name at the exec.
fn deleted_while(stage: &mut Stage) -> io::Result<()> {
    let path = stage.bin.copy("gone-while-it-runs")?;
    let (argv, env) = (List::new([stage.case]), List::steps(&format!("{HOLD}e0")));
    let mut actor = stage.actor(|child| child.exec(&path, &argv, &env))?;
    actor.go()?;
    actor.saw_exec(&path, &argv.bytes())?;
    fs::remove_file(&path)?;
    stage.note(actor.end()?);
    Ok(())
}

fn script(stage: &mut Stage, argument: &str) -> io::Result<()> {
    let interpreter = stage.bin.tiny();
    let text = format!("#! {}{argument}\nnothing\n", interpreter.display());
    let path = stage.bin.file(&format!("a {}", stage.case), text, 0o755)?;
    let (argv, env) = (List::new(["lost", "a", "", "b"]), List::steps(&format!("{HOLD}e0")));
    // The whole rest of the line is one argument, without the blanks at its ends; the path replaces
    // argv[0].
    let received: Vec<Bytes> = [Bytes::from(interpreter.as_os_str().as_bytes())]
        .into_iter()
        .chain((!argument.is_empty()).then(|| argument.trim().into()))
        .chain([path.as_os_str().as_bytes().into(), "a".into(), "".into(), "b".into()])
        .collect();
    let mut actor = stage.actor(|child| child.exec(&path, &argv, &env))?;
    actor.go()?;
    let exec = actor.saw_exec(&path, &received)?;
    exec.interpreter = Some(interpreter.as_os_str().as_bytes().into());
    stage.note(actor.end()?);
    Ok(())
}

/// A script whose interpreter is a script.
fn script_script(stage: &mut Stage) -> io::Result<()> {
    let interpreter = stage.bin.tiny();
    let inner = stage.bin.file("inner", format!("#!{} inner-argument\n", interpreter.display()), 0o755)?;
    let path = stage.bin.file("outer", format!("#!{} outer-argument\n", inner.display()), 0o755)?;
    let (argv, env) = (List::new(["lost", "a"]), List::steps(&format!("{HOLD}e0")));
    let bytes = |path: &PathBuf| Bytes::from(path.as_os_str().as_bytes());
    let received = [
        bytes(&interpreter),
        "inner-argument".into(),
        bytes(&inner),
        "outer-argument".into(),
        bytes(&path),
        "a".into(),
    ];
    let mut actor = stage.actor(|child| child.exec(&path, &argv, &env))?;
    actor.go()?;
    let exec = actor.saw_exec(&path, &received)?;
    // The last one in the search.
    exec.interpreter = Some(bytes(&interpreter));
    stage.note(actor.end()?);
    Ok(())
}

/// Run by nobody, the file gives root's id back.
fn set_id(stage: &mut Stage, mode: u32, word: &str) -> io::Result<()> {
    const NOBODY: u32 = 65534;
    let path = stage.bin.copy(word)?;
    fs::set_permissions(&path, fs::Permissions::from_mode(mode))?;
    let (argv, env) = (List::new([stage.case]), List::steps(&format!("{HOLD}e0")));
    let mut actor = stage.actor(|child| {
        // SAFETY: plain system calls.
        unsafe {
            child.must("setgroups", libc::setgroups(0, std::ptr::null()));
            child.must("setresgid", libc::setresgid(NOBODY, NOBODY, NOBODY));
            child.must("setresuid", libc::setresuid(NOBODY, NOBODY, NOBODY));
        }
        child.exec(&path, &argv, &env);
    })?;
    actor.life.changes.push(Change::Gid { gid: NOBODY, egid: NOBODY });
    actor.life.changes.push(Change::Uid { uid: NOBODY, euid: NOBODY });
    actor.go()?;
    let exec = actor.saw_exec(&path, &argv.bytes())?;
    exec.traits = Some(vec![word.into()]);
    let setuid = word == "setuid";
    let expected = if setuid { [NOBODY, 0, NOBODY, NOBODY] } else { [NOBODY, NOBODY, NOBODY, 0] };
    if exec.ids != Some(expected) {
        return Err(unsupported(format!("the bit does nothing here, perhaps for nosuid: {:?}", exec.ids)));
    }
    let change = if setuid { Change::Uid { uid: NOBODY, euid: 0 } } else { Change::Gid { gid: NOBODY, egid: 0 } };
    actor.life.changes.push(change);
    stage.note(actor.end()?);
    Ok(())
}

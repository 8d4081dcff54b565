//! Paths longer than a record: the gap shows, and nothing is decided by the missing part.

use std::ffi::CString;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use procscope_tests::seen::Seen;

use crate::turn;
use crate::watch::Watch;

/// Together longer than 12 KiB for a program, and than 16 for a directory.
const DEPTH: usize = 550;

/// Starts a copy of cat, which waits for its input, in a directory this deep; its path ends with
/// these names.
fn start_deep(top: &Path) -> Child {
    fs::copy("/bin/cat", top.join("program")).expect("it can be copied");
    let c = |text: &[u8]| CString::new(text).expect("no NUL is in it");
    let (program, top) = (c(top.join("program").as_os_str().as_bytes()), c(top.as_os_str().as_bytes()));
    let names: Vec<CString> = (0..DEPTH).map(|n| c(format!("{n:030}").as_bytes())).collect();
    let go_down = move || {
        let checked = |result: i32| if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) };
        // SAFETY: only system calls, on strings with their NULs.
        unsafe {
            checked(libc::chdir(top.as_ptr()))?;
            for name in &names {
                checked(libc::mkdir(name.as_ptr(), 0o755))?;
                checked(libc::chdir(name.as_ptr()))?;
            }
            checked(libc::link(program.as_ptr(), c"program".as_ptr()))
        }
    };
    let mut command = Command::new("./program");
    command.stdin(Stdio::piped()).stdout(Stdio::null());
    // SAFETY: it allocates nothing.
    unsafe { command.pre_exec(go_down) };
    command.spawn().expect("it can be run")
}

fn shows_the_gap(seen: &Seen) {
    let names = |count: usize| (DEPTH - count..DEPTH).map(|n| format!("/{n:030}")).collect::<String>();
    let (exe, cwd) = (format!("{}/program", names(100)), names(100));
    for (key, path, end) in [("exe", &seen.exe, exe), ("cwd", &seen.cwd, cwd)] {
        let path = path.as_deref().unwrap_or_else(|| panic!("no {key}: {seen:?}"));
        assert!(path.starts_with("\u{2026}/0") && path.ends_with(&end), "{key}: {path}");
        assert_eq!(seen.flaws.get(key).map(String::as_str), Some("truncated"), "{seen:?}");
    }
}

#[test]
fn what_is_missing_of_a_path_shows() {
    let _turn = turn::take();
    let dir = tempfile::tempdir().expect("a directory can be made");
    let watch = Watch::start(["-e", "exec"]);
    let mut child = start_deep(dir.path());
    let pid = format!(r#""pid":{},"#, child.id());
    watch.wait_for(&pid);
    let later = Watch::start(["-e", "existing"]);
    later.wait_for(&pid);
    drop(child.stdin.take());
    let _ = child.wait();
    for (watch, event) in [(watch, "exec"), (later, "existing")] {
        let events = watch.stop().well().events();
        let seen = events.iter().find(|seen| seen.event == event && seen.pid == Some(child.id()));
        shows_the_gap(seen.unwrap_or_else(|| panic!("no {event}")));
    }
}

/// It may begin with the requested text.
#[test]
fn a_filter_does_not_decide_by_a_cut_path() {
    let _turn = turn::take();
    let dir = tempfile::tempdir().expect("a directory can be made");
    let top = format!("{}/*", dir.path().display());
    let by_beginning = Watch::start(["-e", "exec", &format!("exe ~ {top:?}")]);
    let by_end = Watch::start(["-e", "exec", r#"exe ~ "*/program" and cwd?"#]);
    let mut child = start_deep(dir.path());
    by_end.wait_for(&format!(r#""pid":{},"#, child.id()));
    drop(child.stdin.take());
    let _ = child.wait();
    assert_eq!(by_end.stop().well().events().len(), 1);
    let ended = by_beginning.stop().well();
    assert_eq!(ended.events().len(), 0);
    assert!(ended.stderr.contains("undecided   1:"), "{}", ended.stderr);
}

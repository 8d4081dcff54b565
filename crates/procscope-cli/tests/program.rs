//! The real binary, as far as it needs no privilege.

use std::process::{Command, Output};

fn procscope(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_procscope")).args(args).output().unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

#[test]
fn help_and_version_go_to_stdout() {
    for args in [&["--help"][..], &["-h"], &["watch", "--help"]] {
        let output = procscope(args);
        assert_eq!(output.status.code(), Some(0));
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(text.contains("Usage: procscope [watch] [OPTIONS]") && text.contains("Examples:"), "{text}");
        assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
    }
    let output = procscope(&["--version"]);
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(output.stdout, format!("procscope {}\n", env!("CARGO_PKG_VERSION")).as_bytes());
}

#[test]
fn wrong_usage_is_status_2() {
    for args in [
        &["--events", "exce"][..],
        &["-u", "no-such-user-here"],
        &["--columns", "nope"],
        &["--format", "json", "--columns", "pid"],
        &["--duration", "soon"],
        &["--ring-size", "lots"],
        &["--no-such-option"],
        &["no-such-command"],
        &["-p", "1", "watch"],
    ] {
        let output = procscope(args);
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        assert!(output.stdout.is_empty());
        let text = stderr(&output);
        assert!(text.starts_with("error: ") && text.contains("--help"), "{text}");
    }
    assert!(stderr(&procscope(&["-u", "no-such-user-here"])).contains("there is no such user"));
}

/// Another user may have chosen the words of a command line.
#[test]
fn messages_show_all_of_what_they_repeat() {
    for args in
        [&["--duration", "1\u{200d}\x1b]0;x\x07"][..], &["-u", "a\u{3164}b"], &["name == 'x\u{115f}"], &["a\u{fe0f}b"]]
    {
        let text = stderr(&procscope(args));
        assert!(!text.contains(['\u{200d}', '\x1b', '\x07', '\u{3164}', '\u{115f}', '\u{fe0f}']), "{text:?}");
    }
    for filter in ["name == 'x\u{115f}'", "exe ~ '/\u{200d}*'", "exe =~ 'a\u{3164}'"] {
        let output = procscope(&["--explain", filter]);
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(!text.is_empty() && !text.contains(['\u{115f}', '\u{200d}', '\u{3164}']), "{text:?}");
    }
}

#[test]
fn a_file_that_cannot_be_opened_is_status_1_in_three_lines() {
    let dir = tempfile::tempdir().unwrap();
    let missing = dir.path().join("no/such/dir/file");
    for path in [dir.path(), &missing] {
        let output = procscope(&["-o", path.to_str().unwrap()]);
        assert_eq!(output.status.code(), Some(1));
        let text = stderr(&output);
        let starts = ["procscope: cannot open ", "cause: ", "help: "];
        assert_eq!(text.lines().count(), 3, "{text}");
        assert!(text.lines().zip(starts).all(|(line, start)| line.starts_with(start)), "{text}");
    }
}

/// On other systems the program runs, and names the mechanisms to come.
#[test]
#[cfg(not(target_os = "linux"))]
fn without_a_mechanism_it_says_which_are_to_come() {
    let output = procscope(&["watch"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("to come: "), "{}", stderr(&output));
}

/// A file keeps its content if watching never began.
#[test]
#[cfg(target_os = "linux")]
fn a_failed_start_leaves_the_file_alone() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("kept");
    std::fs::write(&path, "kept").unwrap();
    let output = procscope(&["--cgroup", "/no/such/cgroup", "-o", path.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    assert_eq!(stderr(&output).lines().count(), 3, "{}", stderr(&output));
    assert_eq!(std::fs::read(&path).unwrap(), b"kept");
}

/// The libraries of a system without compilers.
#[test]
#[cfg(target_os = "linux")]
fn it_needs_the_c_library_alone() {
    // The released one, if there is one.
    let program = std::env::var("PROCSCOPE_BIN").unwrap_or_else(|_| env!("CARGO_BIN_EXE_procscope").to_owned());
    let output = Command::new("readelf").args(["--dynamic", "--wide", &program]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let needed: Vec<_> = text.lines().filter(|line| line.contains("(NEEDED)")).collect();
    assert!(needed.iter().any(|line| line.contains("[libc.so")), "{text}");
    let has = |line: &str| ["[libc.so", "[libgcc_s.so", "[libm.so", "[ld-linux"].iter().any(|name| line.contains(name));
    assert!(needed.iter().all(|line| has(line)), "{needed:?}");
}

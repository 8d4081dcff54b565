//! How it starts and ends.

use std::io::BufRead as _;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::process::Command;
use std::time::{Duration, Instant};

use crate::turn;
use crate::watch::{Watch, for_everyone, piped, program, run, wait};
use crate::workload::{Workload, lives};

const NOBODY: u32 = 65534;

#[test]
fn duration_ends_it() {
    let _turn = turn::take();
    let begun = Instant::now();
    let ended = Watch::start(["--duration", "500ms"]).end().well();
    assert!(begun.elapsed() >= Duration::from_millis(500), "{:?}", begun.elapsed());
    assert!(ended.stderr.contains("delivered"), "{}", ended.stderr);
}

#[test]
fn count_ends_it() {
    let _turn = turn::take();
    let watch = Watch::start(["-e", "fork,exec,exit", "--count", "77"]);
    Workload::new(&["storm", "--count", "100"]).run();
    let ended = watch.end().well();
    assert_eq!(ended.events().len(), 77);
}

/// All events before the signal are in the file, and a summary on standard error.
#[test]
fn sigterm_flushes() {
    let _turn = turn::take();
    let watch = Watch::start(["-e", "fork,exec,exit"]);
    let truth = Workload::new(&["storm", "--count", "1000"]).run();
    let count = lives(&truth).count();
    watch.signal(libc::SIGTERM);
    let ended = watch.end().well();
    let report = ended.compare(truth, Some(&["fork", "exec", "exit"]));
    assert!(report.is_exact(), "{report}");
    assert!(count > 1000);
    for word in ["delivered", "lost", "none", "exec", "exit"] {
        assert!(ended.stderr.contains(word), "no {word} in {}", ended.stderr);
    }
}

/// timeout(1) sends its signal to the process, and to its group.
#[test]
fn the_same_signal_twice_flushes_too() {
    let _turn = turn::take();
    for _ in 0..5 {
        let watch = Watch::start(["-e", "fork,exec,exit"]);
        let truth = Workload::new(&["storm", "--count", "300"]).run();
        watch.signal(libc::SIGTERM);
        std::thread::sleep(Duration::from_millis(1));
        watch.signal(libc::SIGTERM);
        let ended = watch.end().well();
        let report = ended.compare(truth, Some(&["fork", "exec", "exit"]));
        assert!(report.is_exact(), "{report}");
        assert!(ended.stderr.contains("delivered"), "{}", ended.stderr);
    }
}

/// A flush may wait for ever for a reader that does not read.
#[test]
fn a_later_signal_ends_it_at_once() {
    let _turn = turn::take();
    let (mut child, _stdout, _stderr) = piped(&["-e", "fork,exec,exit"]);
    // More than a pipe holds.
    Workload::new(&["storm", "--count", "500"]).run();
    let signal = |child: &std::process::Child| {
        // SAFETY: our child, not waited for yet.
        assert_eq!(unsafe { libc::kill(child.id() as i32, libc::SIGINT) }, 0);
    };
    signal(&child);
    std::thread::sleep(Duration::from_millis(600));
    assert!(child.try_wait().expect("our own child").is_none(), "it has not written all");
    signal(&child);
    assert_eq!(wait(&mut child).signal(), Some(libc::SIGINT));
}

#[test]
fn quiet_says_nothing() {
    let _turn = turn::take();
    let mut command = Command::new(program());
    command.args(["--quiet", "--duration", "300ms", "--format", "json"]);
    let (status, stderr) = run(command);
    assert!(status.success());
    assert_eq!(stderr, "");
}

#[test]
fn closed_pipe_ends_it_quietly() {
    let _turn = turn::take();
    let (mut child, mut stdout, stderr) = piped(&["-e", "fork,exec,exit"]);
    Workload::new(&["storm", "--count", "20"]).run();
    stdout.read_line(&mut String::new()).expect("it writes");
    drop(stdout);
    Workload::new(&["storm", "--count", "200"]).run();
    assert_eq!(wait(&mut child).code(), Some(0));
    let stderr = stderr.join().expect("it was read");
    for word in ["cannot", "error", "panicked", "cause"] {
        assert!(!stderr.contains(word), "{stderr}");
    }
}

/// No event could be written, and still the closed pipe is noticed.
#[test]
fn a_reader_that_goes_away_ends_it_at_once() {
    let _turn = turn::take();
    let (mut child, mut stdout, stderr) = piped(&["-e", "existing"]);
    stdout.read_line(&mut String::new()).expect("it writes");
    // All of it: no write is delayed.
    std::thread::sleep(Duration::from_millis(300));
    drop(stdout);
    assert_eq!(wait(&mut child).code(), Some(0));
    let stderr = stderr.join().expect("it was read");
    assert_eq!(stderr.lines().filter(|line| !line.starts_with("procscope: watching")).count(), 0, "{stderr}");
}

#[test]
fn full_disk_is_an_error() {
    let _turn = turn::take();
    let mut command = Command::new(program());
    command.args(["--format", "json", "-e", "existing,exec", "-o", "/dev/full", "--duration", "1h"]);
    let (status, stderr) = run(command);
    assert_eq!(status.code(), Some(1), "{stderr}");
    assert!(stderr.contains("/dev/full") && stderr.contains("No space left"), "{stderr}");
    three_lines(&stderr);
}

fn three_lines(stderr: &str) {
    let lines: Vec<&str> = stderr.lines().filter(|line| !line.starts_with("procscope: watching")).collect();
    let begins = ["procscope: ", "cause: ", "help: "];
    assert!(lines.len() == 3 && lines.iter().zip(begins).all(|(line, begin)| line.starts_with(begin)), "{stderr}");
}

#[test]
fn without_rights_it_says_what_to_do() {
    let _turn = turn::take();
    let (_dir, path) = for_everyone();
    let mut command = Command::new(path);
    command.uid(NOBODY).gid(NOBODY).args(["--source", "ebpf", "--duration", "5s"]);
    let (status, stderr) = run(command);
    assert_eq!(status.code(), Some(1), "{stderr}");
    three_lines(&stderr);
    assert!(stderr.contains("sudo") || stderr.contains("setcap"), "{stderr}");
}

/// CAP_BPF and CAP_PERFMON are enough, without root and without CAP_SYS_RESOURCE.
#[test]
fn two_capabilities_are_enough() {
    let _turn = turn::take();
    let (_dir, path) = for_everyone();
    let mut command = Command::new("setpriv");
    let only = "-all,+bpf,+perfmon";
    command.args(["--reuid", "65534", "--regid", "65534", "--clear-groups"]);
    command.args(["--inh-caps", only, "--ambient-caps", only, "--bounding-set", only]);
    command.arg(path).args(["--duration", "500ms", "--format", "json"]);
    let (status, stderr) = run(command);
    assert!(status.success(), "{stderr}");
    assert!(stderr.contains("procscope: watching"), "{stderr}");
}

#[test]
fn memlock_limit_does_not_stop_it() {
    let _turn = turn::take();
    let mut command = Command::new("prlimit");
    command.arg("--memlock=0:0").arg(program()).args(["--duration", "500ms", "--format", "json"]);
    let (status, stderr) = run(command);
    assert!(status.success(), "{stderr}");
}

#[test]
fn two_at_once_do_not_disturb_each_other() {
    let _turn = turn::take();
    let watches = [Watch::start(["-e", "fork,exec,exit"]), Watch::start(["-e", "fork,exec,exit"])];
    let truth = Workload::new(&["storm", "--count", "1000"]).run();
    for watch in watches {
        let report = watch.stop().well().compare(truth.clone(), Some(&["fork", "exec", "exit"]));
        assert!(report.is_exact(), "{report}");
    }
}

//! A recording gives the events from which it was made.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

use crate::turn;
use crate::watch::{Watch, piped, program, wait};
use crate::workload::Workload;

/// Runs a command that forks, fails, kills and is refused; returns the lines of its recording.
fn record(path: &Path) -> Vec<Value> {
    let script = "ls / > /dev/null; sh -c 'exit 3'; sleep 60 & killed=$!; sleep 0.3; kill -9 $killed; wait; \
                  perl -e 'exec q(/no/such)'; true";
    let mut command = Command::new(program());
    command.args(["run", "-q", "-e", "all", "--format", "json", "-o"]).arg(path).args(["--", "sh", "-c", script]);
    let output = command.output().expect("procscope runs");
    assert!(output.status.success(), "{output:?}");
    values(&fs::read(path).expect("it was written"))
}

fn values(lines: &[u8]) -> Vec<Value> {
    let lines = lines.split(|&byte| byte == b'\n').filter(|line| !line.is_empty());
    lines.map(|line| serde_json::from_slice(line).expect("a line of JSON")).collect()
}

/// `procscope replay FILE OPTIONS`, with success.
fn replay(path: &Path, options: &[&str]) -> Output {
    let output = Command::new(program()).arg("replay").arg(path).args(options).output().expect("procscope runs");
    assert!(output.status.success(), "{options:?}: {output:?}");
    output
}

fn replayed(path: &Path, options: &[&str]) -> Vec<Value> {
    values(&replay(path, &[options, &["--format", "json"]].concat()).stdout)
}

/// Without its number, which counts the lines of one output.
fn unnumbered(mut lines: Vec<Value>) -> Vec<Value> {
    lines.iter_mut().for_each(|line| _ = line.as_object_mut().and_then(|line| line.remove("seq")));
    lines
}

#[test]
fn it_is_what_was_recorded() {
    let _turn = turn::take();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("events.jsonl");
    let recorded = record(&path);
    let kinds: std::collections::BTreeSet<_> = recorded.iter().map(|line| line["event"].as_str().unwrap()).collect();
    for kind in ["fork", "exec", "exec-failed", "exit"] {
        assert!(kinds.contains(kind), "{kinds:?}");
    }
    assert_eq!(replayed(&path, &[]), recorded);

    let status = Command::new("gzip").arg(&path).status().expect("gzip runs");
    assert!(status.success());
    assert_eq!(replayed(&path.with_extension("jsonl.gz"), &[]), recorded);
}

/// Of odd processes, too, and whatever a mechanism could not read.
#[test]
fn every_line_of_every_mechanism_comes_back_byte_for_byte() {
    let _turn = turn::take();
    for source in ["ebpf", "tracefs", "process-connector", "proc-poll"] {
        let watch = Watch::start(["--source", source, "-e", "all", "--env"]);
        let truth = Workload::new(&["odd", "all"]).run();
        let ended = watch.stop().well();
        let recorded = fs::read(ended.path()).expect("it was written");
        let replayed = replay(&ended.path(), &["--format", "json"]).stdout;
        let lines = |bytes: &'_ [u8]| bytes.split(|&byte| byte == b'\n').map(<[u8]>::to_vec).collect::<Vec<_>>();
        let (recorded, replayed) = (lines(&recorded), lines(&replayed));
        assert!(recorded.len() > truth.len(), "{source}: {} lines", recorded.len());
        for (before, after) in recorded.iter().zip(&replayed) {
            assert!(before == after, "{source}: {} became {}", before.escape_ascii(), after.escape_ascii());
        }
        assert_eq!(recorded.len(), replayed.len(), "{source}");
    }
}

/// Each filter and option chooses the same events as the lines themselves show.
#[test]
fn a_choice_takes_what_the_lines_say() {
    let _turn = turn::take();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("events.jsonl");
    let recorded = record(&path);
    let shell = recorded.iter().find(|line| line["event"] == "exec").expect("the command's exec").clone();
    let sleep = recorded.iter().find(|line| line["name"] == "sleep").expect("its exec or exit").clone();
    let shell_pid = shell["pid"].to_string();
    let sleep_pid = sleep["pid"].to_string();
    let ancestor = format!("ancestor.pid == {shell_pid}");
    let id = format!("id == {}", sleep["id"].as_str().unwrap());
    type Takes<'a> = Box<dyn Fn(&Value) -> bool + 'a>;
    let choices: [(&[&str], Takes<'_>); 8] = [
        (&["exit == 3"], Box::new(|line| line["exit_code"] == 3)),
        (&["signal == KILL"], Box::new(|line| line["signal"] == "SIGKILL")),
        (&["-e", "exec-failed"], Box::new(|line| line["event"] == "exec-failed")),
        (&["path", "==", "/no/such"], Box::new(|line| line["path"] == "/no/such")),
        (&["-n", "sleep"], Box::new(|line| line["name"] == "sleep")),
        (&["-p", &sleep_pid], Box::new(|line| line["pid"] == sleep["pid"])),
        (&[&ancestor], Box::new(|line| line["pid"] != shell["pid"])),
        (&[&id], Box::new(|line| line["id"] == sleep["id"])),
    ];
    for (options, takes) in choices {
        let expected: Vec<_> = recorded.iter().filter(|line| takes(line)).cloned().collect();
        assert!(!expected.is_empty(), "{options:?}");
        assert_eq!(unnumbered(replayed(&path, options)), unnumbered(expected), "{options:?}");
    }
    assert_eq!(replayed(&path, &["--tree", &shell_pid]), recorded);

    // The table and CSV show a fork as it is shown live: with the program of its creator.
    let table = replay(&path, &["-e", "fork", "--columns", "pid,command", "--no-header"]).stdout;
    let table = String::from_utf8(table).unwrap();
    assert!(table.lines().count() >= 3 && table.lines().all(|line| line.contains("sh -c")), "{table}");
}

#[test]
fn a_pipe_loses_nothing() {
    let _turn = turn::take();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("events.jsonl");
    let mut workload = Workload::new(&["storm", "--count", "3000"]);
    let tree = workload.pid().to_string();
    let (mut watch, stdout, _) = piped(&["-e", "fork,exec,exit", "--tree", &tree]);
    let mut tee =
        Command::new("tee").arg(&path).stdin(stdout.into_inner()).stdout(Stdio::piped()).spawn().expect("tee starts");
    let replay = Command::new(program())
        .args(["replay", "-q", "-", "--format", "json"])
        .stdin(tee.stdout.take().expect("it is piped"))
        .stdout(Stdio::piped())
        .spawn()
        .expect("procscope starts");
    workload.go();
    workload.truth();
    // SAFETY: our child, not waited for yet.
    assert_eq!(unsafe { libc::kill(watch.id() as i32, libc::SIGINT) }, 0);
    let output = replay.wait_with_output().expect("it ends with the pipe");
    assert!(output.status.success() && wait(&mut watch).success() && tee.wait().unwrap().success());
    let written = values(&fs::read(&path).unwrap());
    assert!(written.len() > 6000, "{}", written.len());
    assert_eq!(values(&output.stdout), written);
}

#[test]
fn a_damaged_recording_says_what_is_missing() {
    let _turn = turn::take();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("events.jsonl");
    let recorded = record(&path);
    let whole = fs::read(&path).unwrap();
    let mut file = File::create(&path).unwrap();
    file.write_all(b"{\"v\":1,\"event\":\"exec\"}\n").unwrap();
    file.write_all(&whole[..whole.len() - 20]).unwrap();
    let output =
        Command::new(program()).arg("replay").arg(&path).args(["--format", "json", "--strict"]).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(3), "{said}");
    assert_eq!(values(&output.stdout), recorded[..recorded.len() - 1]);
    let last = recorded.len() + 1;
    assert!(said.contains("skipped line 1: `source` is missing"), "{said}");
    assert!(said.contains(&format!("skipped line {last}: cut off")), "{said}");
    assert!(said.contains("malformed   2: lines that were skipped"), "{said}");
}

/// Each persona shows a recording as it shows live events.
#[test]
fn personas_show_it() {
    let _turn = turn::take();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("events.jsonl");
    let recorded = record(&path);
    let count = |kind: &str| recorded.iter().filter(|line| line["event"] == kind).count();
    let path = path.to_str().unwrap();
    let lines = |words: &[&str]| {
        let output = Command::new(program()).args(words).output().expect("procscope runs");
        assert!(output.status.success() && output.stderr.is_empty(), "{words:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect::<Vec<_>>()
    };
    let (execs, exits) = (count("exec"), count("exit"));
    assert_eq!(lines(&["execsnoop", "--replay", path]).len(), 1 + execs);
    assert_eq!(lines(&["exitsnoop", "--replay", path]).len(), 1 + exits);
    assert_eq!(lines(&["newproc", "--replay", path]).len(), execs);
    assert_eq!(lines(&["sketch", "--replay", path]).len(), execs + exits);
    assert_eq!(lines(&["forkstat", "--replay", path, "-e", "exec"]).len(), 1 + execs);
    let extrace = lines(&["extrace", "--replay", path, "-t"]);
    assert!(extrace.iter().any(|line| line.contains("exited status=3")), "{extrace:?}");
    let sleep = recorded.iter().find(|line| line["signal"] == "SIGKILL").expect("sleep was killed");
    let pid = sleep["pid"].to_string();
    assert_eq!(lines(&["pwait", "-v", "--replay", path, &pid]), [format!("{pid}: killed by signal 9.")]);
}

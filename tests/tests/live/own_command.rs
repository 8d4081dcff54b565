//! The command that procscope runs itself, by the process connector: the kernel's messages come
//! late, and the facts known without them are reported all the same. Two busy loops delay their
//! senders.

use std::process::{Child, Command, Stdio};

use procscope_tests::seen::Seen;
use procscope_tests::tiny::Bin;

use crate::turn;
use crate::watch::{events, program};

const RUNS: usize = 40;
const SOURCE: [&str; 2] = ["--source", "process-connector"];
/// Four threads one after another, of which the last may still be about to end; then 7.
const THREADS: &str = "p(x0)z1p(x0)z1p(x0)z1p(x0)e7";

struct Busy(Vec<Child>);

impl Busy {
    fn loops() -> Self {
        let begin = |_| Command::new("sh").args(["-c", "while :; do :; done"]).spawn().expect("sh can be run");
        Self((0..2).map(begin).collect())
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        for child in &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn run(steps: &str, kinds: &str, words: &[&str]) -> Vec<Seen> {
    let dir = tempfile::tempdir().expect("a directory can be made");
    let file = dir.path().join("events");
    let mut command = Command::new(program());
    command.args(["run", "--strict", "--format", "json", "-e", kinds]).args(SOURCE).arg("-o").arg(&file);
    command.arg("--").args(words).env("PS", steps).stderr(Stdio::null());
    assert_eq!(command.status().expect("procscope can be run").code(), Some(7), "{steps}");
    events(&file)
}

#[test]
fn its_exec_and_end_are_whole() {
    let _turn = turn::take();
    let (bin, _busy) = (Bin::new().expect("files can be made"), Busy::loops());
    let tiny = bin.tiny();
    let words = [tiny.to_str().expect("a path"), "x"];
    for steps in ["e7", THREADS] {
        for _ in 0..RUNS {
            let seen = run(steps, "exec,exit", &words);
            let [exec, exit] = &seen[..] else { panic!("{steps}: {seen:#?}") };
            for (event, seen) in [("exec", exec), ("exit", exit)] {
                assert_eq!((event, seen.name.as_deref()), (&*seen.event, Some("ps-tiny")), "{seen:#?}");
                assert!(seen.id == exec.id && seen.id.is_some() && !seen.flaws.contains_key("id"), "{seen:#?}");
                assert!(seen.uid == Some(0) && !seen.flaws.contains_key("status"), "{seen:#?}");
                assert_eq!(seen.argv.as_deref(), Some(&words.map(str::to_owned)[..]));
            }
            assert_eq!((exec.old_name.is_some(), exit.exit_code), (true, Some(7)));
        }
    }
}

/// The processes that the command waited for have ended before it, too.
#[test]
fn the_ends_of_its_children_are_reported() {
    let _turn = turn::take();
    let _busy = Busy::loops();
    for _ in 0..RUNS {
        let seen = run("", "exit", &["sh", "-c", "(exit 3); (exit 3); (exit 3); exit 7"]);
        let ends: Vec<_> = seen.iter().filter(|seen| seen.event == "exit").map(|seen| seen.exit_code).collect();
        assert_eq!((ends.len(), ends.iter().filter(|code| **code == Some(3)).count()), (4, 3), "{seen:#?}");
    }
}

#[test]
fn personas_that_run_one_report_its_end() {
    let _turn = turn::take();
    let (bin, _busy) = (Bin::new().expect("files can be made"), Busy::loops());
    let tiny = bin.tiny();
    let tiny = tiny.to_str().expect("a path");
    let output = |words: &[&str]| {
        let output = Command::new(program()).args(words).env("PS", "e7").output().expect("procscope can be run");
        String::from_utf8(output.stdout).expect("text")
    };
    for _ in 0..RUNS {
        let text = output(&[&["extrace", "-t"], &SOURCE[..], &[tiny, "an argument"]].concat());
        let exec = text.lines().filter(|line| line.contains("ps-tiny 'an argument'"));
        let exit = text.lines().filter(|line| line.contains("exited status=7"));
        assert_eq!((exec.count(), exit.count()), (1, 1), "{text}");
    }
}

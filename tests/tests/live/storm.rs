//! Many processes at full speed.

use std::process::{Command, Stdio};

use crate::turn;
use crate::watch::Watch;
use crate::workload::Workload;

const KINDS: &[&str] = &["fork", "exec", "exit"];

fn storm(words: &[&str], events: &str, kinds: Option<&[&str]>) {
    let _turn = turn::take();
    let watch = Watch::start(["-e", events]);
    let truth = Workload::new(words).run();
    let report = watch.stop().well().compare(truth, kinds);
    assert!(report.lost.is_empty() && report.is_exact(), "{report}");
    print!("{report}");
}

#[test]
fn storm_of_two_spawners() {
    storm(&["storm", "--count", "5000"], "fork,exec,exit", Some(KINDS));
}

#[test]
fn storm_of_four_spawners() {
    storm(&["storm", "--count", "5000", "--spawners", "4", "--seed", "4"], "fork,exec,exit", Some(KINDS));
}

#[test]
fn storm_with_all_events() {
    storm(&["storm", "--count", "5000", "--seed", "2"], "all", None);
}

/// The default kinds leave out forks, so a process is first seen at its exec.
#[test]
fn storm_with_default_events() {
    let kinds = &["exec", "exec-failed", "exit"];
    storm(&["storm", "--count", "2000", "--seed", "3"], "exec,exec-failed,exit", Some(kinds));
}

/// Only the requested events come.
#[test]
fn only_wanted_kinds_come() {
    let _turn = turn::take();
    let watch = Watch::start(["-e", "exit"]);
    let truth = Workload::new(&["storm", "--count", "500"]).run();
    let ended = watch.stop().well();
    assert!(ended.events().iter().all(|seen| seen.event == "exit"), "{:?}", ended.events().first());
    let report = ended.compare(truth, Some(&["exit"]));
    assert_eq!(report.wrong("exit.delivered") + report.wrong("exit.status"), 0, "{report}");
}

/// A process that ends has the arguments of its exec, or of its creator's, though neither is
/// requested; and none has those of an earlier program.
#[test]
fn ends_alone_tell_what_ran() {
    let _turn = turn::take();
    let waits = |script: &str| {
        let mut shell = Command::new("sh");
        shell.args(["-c", &format!("read line; {script}"), "before"]).stdin(Stdio::piped()).stdout(Stdio::null());
        shell.spawn().expect("it can be run")
    };
    let mut becomes = waits("exec sleep 0");
    let mut stays = waits("(exit 3); exit 4");
    let watch = Watch::start(["--source", "ebpf", "-e", "exit"]);
    for shell in [&mut becomes, &mut stays] {
        drop(shell.stdin.take());
        let _ = shell.wait();
    }
    let ran = Command::new("sh").args(["-c", "exit 5", "after"]).status().expect("it can be run");
    assert_eq!(ran.code(), Some(5));
    let ended = watch.stop().well();
    let told = ended.events();
    let exits = |code: u32, flaw: Option<&str>, argv: &[&str]| {
        let wanted: Vec<Vec<u8>> = argv.iter().map(|word| word.as_bytes().to_vec()).collect();
        let is = |seen: &&procscope_tests::seen::Seen| {
            let marked = seen.flaws.get("argv").map(|flaw| &**flaw);
            seen.exit_code == Some(code) && marked == flaw && seen.arguments().as_ref() == Some(&wanted)
        };
        assert_eq!(told.iter().filter(is).count(), 1, "{code} {argv:?}: {told:?}");
    };
    exits(0, None, &["sleep", "0"]);
    let of_stays = ["sh", "-c", "read line; (exit 3); exit 4", "before"];
    exits(3, Some("read-late"), &of_stays);
    exits(4, Some("read-late"), &of_stays);
    exits(5, None, &["sh", "-c", "exit 5", "after"]);
}

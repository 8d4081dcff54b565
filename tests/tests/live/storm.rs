//! Many processes at full speed.

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

/// The default kinds leave out forks, so that a process is first seen at its exec.
#[test]
fn storm_with_default_events() {
    let kinds = &["exec", "exec-failed", "exit"];
    storm(&["storm", "--count", "2000", "--seed", "3"], "exec,exec-failed,exit", Some(kinds));
}

/// Only what is asked for comes.
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

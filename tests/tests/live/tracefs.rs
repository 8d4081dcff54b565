//! tracefs: nothing missing is uncounted, nothing is wrong, and nothing is left behind.

use std::os::unix::process::CommandExt as _;
use std::process::Command;
use std::thread;
use std::time::Duration;

use procscope_tests::report::Report;

use crate::turn;
use crate::watch::{Watch, for_everyone, run};
use crate::workload::Workload;

const KINDS: &[&str] = &["fork", "exec", "exit"];
const NOBODY: u32 = 65534;

fn watch(options: &[&str]) -> Watch {
    Watch::start([&["--source", "tracefs"], options].concat())
}

fn is_true(report: &Report) {
    assert!(report.lost.is_empty() && report.is_exact() && report.misnamed() == 0, "{report}");
    assert!(report.ids_off * 100 <= report.ids_estimated, "{report}");
    print!("{report}");
}

/// The instances and probes with the name of this process.
fn left(pid: u32) -> Vec<String> {
    // Whether it is mounted here or not.
    let script = "{ mountpoint -q /sys/kernel/tracing || mount -t tracefs tracefs /sys/kernel/tracing; } && cd /sys/kernel/tracing && ls instances && \
                  { [ ! -e kprobe_events ] || cat kprobe_events; }";
    let output = Command::new("unshare").args(["--mount", "sh", "-c", script]).output().expect("unshare can be run");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let names = [format!("procscope-{pid}-"), format!("procscope_{pid}_")];
    text.lines().filter(|line| names.iter().any(|name| line.contains(name))).map(str::to_owned).collect()
}

#[test]
fn a_storm_is_told_or_counted() {
    let _turn = turn::take();
    let watch = watch(&["-e", "fork,exec,exit"]);
    let truth = Workload::new(&["storm", "--count", "10000", "--compact"]).run();
    is_true(&watch.stop().well().compare_late(truth, Some(KINDS)));
}

/// The reader is stopped while more happens than fits into the buffer.
#[test]
fn every_lost_record_is_counted() {
    let _turn = turn::take();
    let watch = watch(&["-e", "fork,exec,exit", "--ring-size", "256KiB"]);
    watch.signal(libc::SIGSTOP);
    let count = 3000;
    Workload::new(&["storm", "--count", &count.to_string(), "--compact"]).run();
    watch.signal(libc::SIGCONT);
    thread::sleep(Duration::from_millis(1500));
    let truth = Workload::new(&["storm", "--count", "100", "--compact"]).run();
    let ended = watch.stop().well();
    let events = ended.events();
    let lost: u64 = events.iter().filter(|seen| seen.event == "lost").filter_map(|seen| seen.count).sum();
    let told = events.iter().filter(|seen| KINDS.contains(&&*seen.event)).count() as u64;
    assert!(lost > 1000, "only {lost} were lost, so nothing was tested");
    assert!(told + lost >= 3 * (count + 100), "{told} and {lost}");
    // Once it has caught up, all is right again.
    let report = ended.compare_late(truth, Some(KINDS));
    assert!(report.is_exact() && report.misnamed() == 0, "{report}");
}

#[test]
fn two_run_side_by_side_and_leave_nothing_behind() {
    let _turn = turn::take();
    let [one, other] = [watch(&["-e", "fork,exec,exit"]), watch(&["-e", "all"])];
    let pids = [one.pid(), other.pid()];
    assert!(pids.iter().all(|&pid| left(pid).len() >= 2), "they have instances");
    let truth = Workload::new(&["storm", "--count", "500", "--compact"]).run();
    is_true(&one.stop().well().compare_late(truth.clone(), Some(KINDS)));
    assert_eq!(left(pids[0]), [""; 0]);
    is_true(&other.stop().well().compare_late(truth, Some(KINDS)));
    assert_eq!(left(pids[1]), [""; 0]);
}

#[test]
fn the_next_one_takes_away_what_a_killed_one_left() {
    let _turn = turn::take();
    let (killed, living) = (watch(&["-e", "exec"]), watch(&["-e", "exec"]));
    let pids = [killed.pid(), living.pid()];
    killed.signal(libc::SIGKILL);
    drop(killed);
    assert!(!left(pids[0]).is_empty());
    let next = watch(&["-e", "exec"]);
    assert_eq!(left(pids[0]), [""; 0]);
    assert!(!left(pids[1]).is_empty(), "the living one keeps its own");
    let truth = Workload::new(&["storm", "--count", "100", "--compact"]).run();
    for watch in [living, next] {
        is_true(&watch.stop().well().compare_late(truth.clone(), Some(&["exec"])));
    }
}

#[test]
fn nobody_is_told_what_it_takes() {
    let _turn = turn::take();
    let (_dir, path) = for_everyone();
    let mut command = Command::new(path);
    command.uid(NOBODY).gid(NOBODY).args(["--source", "tracefs", "--duration", "5s"]);
    let (status, stderr) = run(command);
    assert_eq!(status.code(), Some(1), "{stderr}");
    assert!(stderr.contains("tracefs may not be used") && stderr.contains("sudo "), "{stderr}");
}

//! One mechanism compared with another, on real events.

use std::ops::ControlFlow;
use std::process::Command;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use std::{io, thread};

use procscope::{
    Discrepancy, Event, EventKind, EventSet, ExitStatus, Kind, Monitor, Reconciler, Side, Sink, SourceId, Verification,
};

use crate::run::run;
use crate::turn;
use crate::watch::{Ended, Watch, program};
use crate::workload::{Workload, lives};

const LIFE: &str = "fork,exec,exit";

/// The text after a word at the beginning of a line of the report.
fn row(stderr: &str, words: &str) -> Option<String> {
    let rows = stderr.lines().filter_map(|line| line.strip_prefix("  "));
    let mut found = rows.filter_map(|line| {
        let line = line.split_whitespace().collect::<Vec<_>>().join(" ");
        Some(line.strip_prefix(words)?.trim().to_owned())
    });
    found.next()
}

fn number(text: Option<String>) -> u64 {
    let digits: String = text.unwrap_or_default().chars().take_while(char::is_ascii_digit).collect();
    digits.parse().unwrap_or(0)
}

/// Only children of this process: the kernel may report an unrelated fork to only one mechanism.
fn own_tree() -> [String; 2] {
    ["--tree".to_owned(), std::process::id().to_string()]
}

/// Nothing is missing from either.
fn confirmed(ended: &Ended, at_least: usize) {
    let stderr = &ended.stderr;
    assert!(stderr.contains(" confirms all "), "{stderr}");
    assert!(!stderr.contains("told of") && !stderr.contains("differ"), "{stderr}");
    assert!(number(row(stderr, "agreed")) >= at_least as u64, "{stderr}");
}

#[test]
fn a_storm_is_confirmed() {
    let _turn = turn::take();
    for (source, other) in [("ebpf", "process-connector"), ("process-connector", "ebpf")] {
        let verify = format!("--verify={other}");
        let [tree, own] = &own_tree();
        let watch = Watch::start(["--source", source, &verify, "--strict", "-e", LIFE, tree, own]);
        let truth = Workload::new(&["storm", "--count", "5000"]).run();
        let ended = watch.stop().well();
        confirmed(&ended, 3 * lives(&truth).count() - 10);
        assert!(ended.stderr.contains(&format!("{other} confirms")), "{}", ended.stderr);
    }
}

#[test]
fn odd_cases_are_confirmed() {
    let _turn = turn::take();
    for source in ["ebpf", "process-connector"] {
        let [tree, own] = &own_tree();
        let watch = Watch::start(["--source", source, "--verify", "--strict", "-e", "all", tree, own]);
        let truth = Workload::new(&["odd", "all"]).run();
        confirmed(&watch.stop().well(), 3 * lives(&truth).count());
    }
}

/// The command and its events, whose owner both mechanisms know.
#[test]
fn a_command_is_confirmed() {
    let _turn = turn::take();
    let script = "for i in 1 2 3 4 5 6 7 8 9 10; do (sh -c 'exit 3'); done; /no/such/program; setsid sh -c 'exit 4'";
    for (source, verify) in [("ebpf", "--verify"), ("process-connector", "--verify"), ("ptrace", "--verify=ebpf")] {
        let ended = run(source, &[verify, "--strict", "--wait-all", "-e", LIFE], &["sh", "-c", script]);
        assert!(ended.status.code().is_some_and(|code| code != 3), "{source}: {}", ended.stderr);
        assert!(ended.stderr.contains(" confirms all "), "{source}: {}", ended.stderr);
        assert_eq!(number(row(&ended.stderr, "agreed")), ended.events.len() as u64, "{source}: {}", ended.stderr);
        assert_eq!(row(&ended.stderr, "left out"), None, "{source}: {}", ended.stderr);
    }
}

/// A stopped one lost exactly as much as it counted, and the report says so.
#[test]
fn a_counted_loss_explains_what_is_missing() {
    let _turn = turn::take();
    let mut workload = Workload::new(&["storm", "--count", "4000"]);
    let tree = workload.pid().to_string();
    let options =
        ["--source", "ebpf", "--verify=process-connector", "-e", LIFE, "--ring-size", "256KiB", "--tree", &tree];
    let watch = Watch::start(options);
    watch.signal(libc::SIGSTOP);
    workload.go();
    workload.truth();
    watch.signal(libc::SIGCONT);
    let ended = watch.stop().well();
    let lost = number(row(&ended.stderr, "lost"));
    assert!(lost > 1000, "only {lost} were lost, so nothing was tested: {}", ended.stderr);
    assert_eq!(number(row(&ended.stderr, "explained")), lost, "{}", ended.stderr);
    for name in ["ebpf", "process-connector"] {
        assert_eq!(row(&ended.stderr, &format!("only {name}:")).as_deref(), Some("none"), "{}", ended.stderr);
    }
    let told = ended.events().iter().filter(|seen| seen.event != "lost").count() as u64;
    assert_eq!(number(row(&ended.stderr, "agreed")), told, "{}", ended.stderr);
}

/// Passes a monitor's events to a reconciler, except those that it leaves out.
struct Holed {
    reconciler: Arc<Mutex<Reconciler>>,
    side: Side,
    leaves_out: fn(&Event) -> bool,
    left_out: Vec<(Kind, u32)>,
}

impl Sink for Holed {
    fn event(&mut self, event: &Event) -> io::Result<ControlFlow<()>> {
        if (self.leaves_out)(event) {
            let pid = event.process.as_ref().map_or(0, |process| process.id.pid);
            self.left_out.push((event.kind.kind(), pid));
        } else {
            self.reconciler.lock().unwrap_or_else(PoisonError::into_inner).add(self.side, event);
        }
        Ok(ControlFlow::Continue(()))
    }
}

/// A mechanism that hides the ends with one code is found out, event by event.
#[test]
fn a_hole_is_found_event_by_event() {
    let _turn = turn::take();
    let hidden: fn(&Event) -> bool =
        |event| matches!(&event.kind, EventKind::Exit(exit) if exit.status == ExitStatus::Code(42));
    let events = [Kind::Fork, Kind::Exec, Kind::Exit].into_iter().fold(EventSet::NONE, EventSet::with);
    let of = |source| {
        let builder = Monitor::builder().source(source).events(events).tree(std::process::id());
        builder.build().expect("it can be opened")
    };
    let monitors = [of(SourceId::Ebpf), of(SourceId::ProcessConnector)];
    let reconciler = Reconciler::new(monitors[0].session(), monitors[1].session());
    assert_eq!(reconciler.kinds(), events);
    let reconciler = Arc::new(Mutex::new(reconciler));
    let stops = monitors.each_ref().map(Monitor::stop_handle);
    let mut monitors = monitors.into_iter();
    let running = [(Side::First, hidden), (Side::Second, |_: &Event| false)].map(|(side, leaves_out)| {
        let monitor = monitors.next().expect("there are two");
        let reconciler = Arc::clone(&reconciler);
        thread::spawn(move || {
            let mut sink = Holed { reconciler, side, leaves_out, left_out: Vec::new() };
            (monitor.run(&mut sink).expect("it runs"), sink.left_out)
        })
    });
    thread::sleep(Duration::from_millis(200));
    for n in 0..60 {
        let code = if n % 3 == 0 { 42 } else { 0 };
        let status = Command::new("sh").args(["-c", &format!("exit {code}")]).status().expect("sh can be run");
        assert_eq!(status.code(), Some(code));
    }
    thread::sleep(Duration::from_millis(200));
    stops.iter().for_each(procscope::StopHandle::stop);
    let mut left_out = Vec::new();
    for (thread, side) in running.into_iter().zip(Side::BOTH) {
        let (summary, left) = thread.join().expect("it does not panic");
        reconciler.lock().expect("nobody panicked").end(side, summary.until);
        left_out.extend(left);
    }
    let mut reconciler = reconciler.lock().expect("nobody panicked");
    let verification: Verification = reconciler.finish();
    let found: Vec<_> = std::iter::from_fn(|| reconciler.take()).collect();
    let mut named: Vec<(Kind, u32)> = found
        .iter()
        .map(|it| match it {
            Discrepancy::Missing { event, from: SourceId::Ebpf } => {
                (event.kind.kind(), event.process.as_ref().expect("all have").id.pid)
            }
            other => panic!("{other:?}"),
        })
        .collect();
    named.sort_by_key(|it| it.1);
    left_out.sort_by_key(|it| it.1);
    assert_eq!(left_out.len(), 20);
    assert_eq!(named, left_out);
    assert_eq!(verification.total_missing(Side::First), 20);
    assert_eq!(verification.total_agreed(), 3 * 60 - 20, "{verification:?}");
}

/// A name that both know equally: processes with it are looked for on either side.
#[test]
fn with_a_choice_that_both_can_make_it_looks_both_ways() {
    let _turn = turn::take();
    let expected = [("tracefs", true), ("process-connector", false)];
    for (other, both_ways) in expected {
        let verify = format!("--verify={other}");
        let watch = Watch::start(["--source", "ebpf", &verify, "--strict", "-e", LIFE, "-n", "ps-tiny"]);
        // Events too near to either end are left out, and a fast machine finishes in no time.
        thread::sleep(Duration::from_millis(200));
        Workload::new(&["storm", "--count", "500"]).run();
        thread::sleep(Duration::from_millis(200));
        let ended = watch.stop().well();
        confirmed(&ended, 100);
        let says = ended.stderr.contains("only that every reported event happened");
        assert_eq!(says, !both_ways, "{other}: {}", ended.stderr);
        assert!(
            says == ended.stderr.contains("with a choice of names, which process-connector learns late"),
            "{}",
            ended.stderr
        );
        // Those of other names.
        assert!(number(row(&ended.stderr, "unheld")) > 100, "{}", ended.stderr);
    }
}

/// A filter of only the first one makes nothing missing.
#[test]
fn with_a_filter_only_what_is_told_is_looked_for() {
    let _turn = turn::take();
    let watch = Watch::start(["--verify", "--strict", "-e", LIFE, "argv ~ *storm*"]);
    Workload::new(&["storm", "--count", "500"]).run();
    let ended = watch.stop().well();
    assert!(ended.stderr.contains(" confirms all "), "{}", ended.stderr);
}

#[test]
fn what_cannot_be_verified_says_why() {
    let _turn = turn::take();
    let cases: [(&[&str], i32); 4] = [
        (&["--source", "ebpf", "--verify=ebpf"], 1),
        (&["--source", "process-connector", "--verify=ebpf", "-e", "ptrace"], 1),
        (&["--verify=ptrace"], 1),
        (&["--verify=nothing"], 2),
    ];
    for (options, code) in cases {
        let output = Command::new(program()).args(options).output().expect("procscope can be run");
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{options:?}: {stderr}");
        if code == 1 {
            let begins = ["procscope: ", "cause: ", "help: "];
            assert!(stderr.lines().count() == 3, "{options:?}: {stderr}");
            assert!(stderr.lines().zip(begins).all(|(line, begin)| line.starts_with(begin)), "{options:?}: {stderr}");
        }
    }
}

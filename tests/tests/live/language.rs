//! The filter language on the real kernel: exactly the events come that the truth requires.

use std::collections::BTreeSet;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use procscope_tests::truth::{Life, Line};

use crate::filters::{beside_another, exactly};
use crate::turn;
use crate::watch::{Ended, Watch, for_everyone};
use crate::workload::{Workload, lives};

const ALL: &str = "fork,exec,exit";

/// Runs a storm beside another one, with a filter that knows its pid.
fn below(events: &str, filter: &str) -> (Ended, Vec<Line>) {
    let workload = Workload::new(&["storm", "--count", "300"]);
    let filter = filter.replace("PID", &workload.pid().to_string());
    let mut all = vec!["-e", events];
    all.push(&filter);
    let mut other = Workload::new(&["storm", "--count", "300", "--seed", "99"]);
    let watch = Watch::start(all);
    let mut workload = workload;
    other.go();
    workload.go();
    let truth = workload.truth();
    other.truth();
    (watch.stop().well(), truth)
}

fn pids(ended: &Ended, event: &str) -> BTreeSet<u32> {
    let events = ended.events();
    assert!(events.iter().all(|seen| seen.event == event), "only {event} is to come");
    events.iter().filter_map(|seen| seen.pid).collect()
}

fn those(truth: &[Line], which: impl Fn(&Life) -> bool) -> BTreeSet<u32> {
    let pids: BTreeSet<u32> = lives(truth).filter(|life| which(life)).map(|life| life.pid).collect();
    assert!(!pids.is_empty(), "the storm has none of these");
    pids
}

#[test]
fn by_user() {
    let _turn = turn::take();
    const UID: u32 = 54_322;
    let workload = Workload::as_user(&["storm", "--count", "300"], Some(UID));
    let pid = workload.pid();
    let (ended, truth) = beside_another(&[&format!("user == {UID}")], workload);
    exactly(&ended, truth, pid);
}

#[test]
fn by_ancestor() {
    let _turn = turn::take();
    let (ended, truth) = below(ALL, "ancestor.pid == PID");
    exactly(&ended, truth, 0);
}

/// A process that was given to another parent is still below.
#[test]
fn by_ancestor_with_orphans() {
    let _turn = turn::take();
    let workload = Workload::new(&["odd", "double-fork-init"]);
    let pid = workload.pid();
    let (ended, truth) = beside_another(&[&format!("ancestor.pid == {pid} or pid == {pid}")], workload);
    exactly(&ended, truth, pid);
}

/// The choice of the options for showing does not exclude ancestors.
#[test]
fn by_ancestor_of_another_user() {
    let _turn = turn::take();
    const UID: u32 = 54_323;
    let workload = Workload::as_user(&["storm", "--count", "300"], Some(UID));
    let pid = workload.pid();
    // The tests themselves run as root.
    let filter = format!("ancestor.pid == {}", std::process::id());
    let (ended, truth) = beside_another(&["-u", &UID.to_string(), &filter], workload);
    exactly(&ended, truth, pid);
}

#[test]
fn an_exit_by_what_ran() {
    let _turn = turn::take();
    let (ended, truth) = below("exit", "exe ~ */true and ancestor.pid == PID");
    let ran = |life: &Life| {
        let exe = life.execs.last().and_then(|exec| exec.exe.as_ref());
        exe.is_some_and(|exe| exe.0.ends_with(b"/true"))
    };
    assert_eq!(pids(&ended, "exit"), those(&truth, ran));
}

/// Without other reasons to read it.
#[test]
fn an_exit_by_what_ran_alone() {
    let _turn = turn::take();
    let (ended, truth) = below("exit", "exe ~ */ps-tiny and argc > 4");
    let wanted = |life: &Life| {
        life.execs.last().is_some_and(|exec| {
            exec.exe.as_ref().is_some_and(|exe| exe.0.ends_with(b"/ps-tiny")) && exec.argv.len() > 4
        })
    };
    let wanted = those(&truth, wanted);
    assert!(wanted.is_subset(&pids(&ended, "exit")));
    for seen in ended.events() {
        assert!(seen.argv.is_some_and(|argv| argv.len() > 4));
        assert!(seen.exe.is_some_and(|exe| exe.ends_with("/ps-tiny")));
    }
}

#[test]
fn by_arguments() {
    let _turn = turn::take();
    let (ended, truth) = below("exec,exit", "event == exec and argc > 5 and ancestor.pid == PID");
    let wanted = those(&truth, |life| life.execs.iter().any(|exec| exec.argv.len() > 5));
    assert_eq!(pids(&ended, "exec"), wanted);
    let (ended, truth) = below("exec,exit", "event == exec and not arg == \"\" and ancestor.pid == PID");
    let wanted = those(&truth, |life| life.execs.iter().any(|exec| exec.argv.iter().all(|arg| !arg.0.is_empty())));
    assert_eq!(pids(&ended, "exec"), wanted);
}

#[test]
fn by_how_it_ended() {
    let _turn = turn::take();
    let (ended, truth) = below("all", "(exit > 0 or signal?) and duration < 1h and ancestor.pid == PID");
    let events = ended.events();
    assert!(events.iter().all(|seen| seen.exit_code.is_some_and(|code| code > 0) || seen.signal.is_some()));
    let exits = events.iter().filter(|seen| seen.event == "exit").filter_map(|seen| seen.pid);
    let wanted = those(&truth, |life| life.exit.as_ref().is_some_and(|exit| exit.code != Some(0)));
    assert_eq!(exits.collect::<BTreeSet<_>>(), wanted);
    let (ended, _) = below("exit", "duration > 1h and ancestor.pid == PID");
    assert_eq!(ended.events().len(), 0);
}

/// The kernel has no names of more than 15 bytes.
#[test]
fn by_name() {
    let _turn = turn::take();
    let (ended, truth) = below("exec", "name in (true, a-name-of-more-)");
    let names = [b"true".as_slice(), b"a-name-of-more-"];
    let wanted =
        |life: &Life| life.execs.iter().any(|exec| exec.name.as_ref().is_some_and(|name| names.contains(&&*name.0)));
    assert!(those(&truth, wanted).is_subset(&pids(&ended, "exec")));
    assert!(ended.events().iter().all(|seen| matches!(seen.name.as_deref(), Some("true" | "a-name-of-more-"))));
}

/// An event refused because of an unreadable field is not refused silently.
#[test]
fn what_could_not_be_decided_is_counted() {
    let _turn = turn::take();
    for (source, some) in [("process-connector", true), ("ebpf", false)] {
        let watch = Watch::start(["--source", source, "-e", "exec", "arg == 'no storm has this'"]);
        let truth = Workload::new(&["storm", "--count", "3000"]).run();
        let ended = watch.stop().well();
        assert_eq!(ended.events().len(), 0, "{}", ended.stderr);
        let undecided = ended.stderr.lines().find_map(|line| line.trim_start().strip_prefix("undecided"));
        let count =
            undecided.map(|rest| rest.trim().split(':').next().unwrap_or_default().parse::<usize>().expect("a number"));
        let execs = lives(&truth).count();
        match some {
            true => assert!(count.is_some_and(|count| count > 100 && count <= execs), "{count:?}: {}", ended.stderr),
            false => assert_eq!(count, None, "{}", ended.stderr),
        }
    }
}

#[test]
fn explaining_needs_no_privilege() {
    let _turn = turn::take();
    let (_dir, program) = for_everyone();
    let mut command = Command::new(program);
    command.args(["--explain", "event == exec and pid == 1 and exe ~ /tmp/*"]).uid(54_321).gid(54_321);
    let output = command.output().expect("procscope can be run");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(text.contains("kernel     event == exec") && text.contains("procscope  exe ~ /tmp/*"), "{text}");
}

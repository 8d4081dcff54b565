//! The CPU of an event.

use std::process::{Command, Stdio};

use procscope_tests::seen::Seen;

use crate::turn;
use crate::watch::Watch;

/// The first and the last CPU on which we may run.
fn processors() -> [u32; 2] {
    let status = std::fs::read_to_string("/proc/self/status").expect("there is one");
    let list = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:")).expect("it shows the CPUs");
    let mut numbers = list.trim().split([',', '-']).map(|number| number.parse().expect("it is a number"));
    let first = numbers.next().expect("there is a CPU");
    [first, numbers.next_back().unwrap_or(first)]
}

/// Runs programs by a shell that stays on this CPU; returns the shell's pid.
fn run_on(processor: u32) -> u32 {
    let script = "for number in 1 2 3 4 5; do (sleep 0.1; exit 3); done; ./not-there; exit 0";
    let mut shell = Command::new("taskset")
        .args(["-c", &processor.to_string(), "sh", "-c", script])
        .stderr(Stdio::null())
        .spawn()
        .expect("taskset can be run");
    let pid = shell.id();
    assert!(shell.wait().expect("it can be waited for").success());
    pid
}

fn below(events: &[Seen], shell: u32) -> Vec<&Seen> {
    let mut family = vec![shell];
    for seen in events.iter().filter(|seen| seen.event == "fork") {
        if seen.ppid.is_some_and(|ppid| family.contains(&ppid)) {
            family.extend(seen.pid);
        }
    }
    let in_family = |seen: &&Seen| seen.pid.is_some_and(|pid| pid != shell && family.contains(&pid));
    events.iter().filter(in_family).collect()
}

#[test]
fn who_stays_on_a_cpu_is_told_to_be_there() {
    let _turn = turn::take();
    for source in ["ebpf", "process-connector", "tracefs"] {
        let watch = Watch::start(["--source", source, "-e", "existing,fork,exec,exec-failed,exit"]);
        let made = processors().map(|processor| (processor, run_on(processor)));
        let told = watch.stop().well().events();
        for (processor, shell) in made {
            let below = below(&told, shell);
            for kind in ["fork", "exec", "exit"] {
                let least = if kind == "exec" { 5 } else { 10 };
                assert!(below.iter().filter(|seen| seen.event == kind).count() >= least, "{source} {kind}: {below:?}");
            }
            let failed = told.iter().filter(|seen| seen.event == "exec-failed" && seen.ppid == Some(shell));
            for seen in below.into_iter().chain(failed) {
                assert_eq!(seen.processor, Some(processor), "{source}: {seen:?}");
            }
        }
        assert!(told.iter().all(|seen| seen.event != "existing" || seen.processor.is_none()), "{source}");
    }
}

#[test]
fn what_cannot_tell_it_tells_none() {
    let _turn = turn::take();
    let watch = Watch::start(["--source", "proc-poll", "-e", "fork,exec,exit"]);
    let shell = run_on(processors()[0]);
    let told = watch.stop().well().events();
    assert!(!below(&told, shell).is_empty() && told.iter().all(|seen| seen.processor.is_none()));

    // All events refused because of it are counted.
    let watch = Watch::start(["--source", "proc-poll", "-e", "exit", "processor == 0"]);
    run_on(processors()[0]);
    let ended = watch.stop().well();
    let told = ended.events();
    assert!(told.iter().all(|seen| seen.event == "lost") && ended.stderr.contains("undecided"), "{}", ended.stderr);
}

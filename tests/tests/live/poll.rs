//! Only /proc: processes that live long enough are reported correctly, and others are counted; no
//! report is wrong.

use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use procscope_tests::seen::Seen;

use crate::doctor::{NOBODY, under};
use crate::turn;
use crate::watch::{Watch, events, for_everyone};
use crate::workload::{Workload, lives};

/// Processes that have to be seen.
const LIFE: &str = "0.5";

fn watch(options: &[&str]) -> Watch {
    Watch::start([&["--source", "proc-poll"], options].concat())
}

/// Makes processes that live for a while, several at a time, each with its own arguments; returns
/// their pids.
fn make_slow(count: usize) -> Vec<(u32, String)> {
    let mut made = Vec::new();
    for at in (0..count).step_by(10) {
        let children: Vec<_> = (at..count.min(at + 10))
            .map(|number| {
                let word = format!("number {number}\n\u{1b}[31m");
                let script = format!("sleep {LIFE}; exit {}", number % 200);
                let child = Command::new("sh").args(["-c", &script, "", &word]).spawn().expect("it can be run");
                (child, word)
            })
            .collect();
        for (mut child, word) in children {
            let _ = child.wait();
            made.push((child.id(), word));
        }
    }
    made
}

fn of<'a>(events: &'a [Seen], event: &str, pid: u32) -> Vec<&'a Seen> {
    events.iter().filter(|seen| seen.event == event && seen.pid == Some(pid)).collect()
}

/// Each came once, with its arguments and its status, and its time is marked as not exact.
fn are_told(events: &[Seen], made: &[(u32, String)], status: bool) {
    for (number, (pid, word)) in made.iter().enumerate() {
        let [forks, execs, exits] = ["fork", "exec", "exit"].map(|event| of(events, event, *pid));
        assert!(forks.len() == 1 && !execs.is_empty() && exits.len() == 1, "{pid}: {forks:?} {execs:?} {exits:?}");
        let script = format!("sleep {LIFE}; exit {}", number % 200);
        let argv: Vec<Vec<u8>> = ["sh", "-c", &script, "", word].iter().map(|word| word.as_bytes().to_vec()).collect();
        assert_eq!(execs[execs.len() - 1].arguments(), Some(argv.clone()));
        assert_eq!(exits[0].arguments(), Some(argv));
        for seen in forks.iter().chain(&execs).chain(&exits) {
            assert!(seen.flaws.contains_key("time"), "{seen:?}");
            assert_eq!(seen.ppid, Some(std::process::id()), "{seen:?}");
        }
        match exits[0].exit_code {
            Some(code) => assert_eq!(code, number as u32 % 200, "{:?}", exits[0]),
            None => assert!(!status && exits[0].flaws.contains_key("status"), "{:?}", exits[0]),
        }
        let age = exits[0].duration_ns.expect("its start is known");
        assert!((300_000_000..10_000_000_000).contains(&age), "{age}");
    }
}

fn kernel_tells_status() -> bool {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").expect("/proc is mounted");
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).filter_map(|number| number.parse::<u32>().ok());
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0)) >= (6, 15)
}

#[test]
fn slow_processes_are_told_exactly() {
    let _turn = turn::take();
    let watch = watch(&["-e", "fork,exec,exit"]);
    let made = make_slow(60);
    are_told(&watch.stop().well().events(), &made, kernel_tells_status());
}

/// While a program is read from the disk the kernel shows neither its code nor its arguments.
#[test]
fn programs_that_load_slowly_are_told_exactly() {
    let _turn = turn::take();
    let watch = watch(&["-e", "fork,exec,exit"]);
    let done = std::sync::atomic::AtomicBool::new(false);
    let made = thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(std::sync::atomic::Ordering::Relaxed) {
                std::fs::write("/proc/sys/vm/drop_caches", "1").expect("root may write it");
                thread::sleep(Duration::from_millis(2));
            }
        });
        let made = make_slow(30);
        done.store(true, std::sync::atomic::Ordering::Relaxed);
        made
    });
    are_told(&watch.stop().well().events(), &made, kernel_tells_status());
}

#[test]
fn without_any_right_too() {
    let _turn = turn::take();
    let (dir, program) = for_everyone();
    std::fs::set_permissions(dir.path(), std::os::unix::fs::PermissionsExt::from_mode(0o777)).expect("it is ours");
    let mut command = under(&NOBODY, &program);
    let path = dir.path().join("events");
    command.args(["--source", "proc-poll", "--format", "json", "-e", "fork,exec,exit", "-o"]).arg(&path);
    let watch = Watch::of(command);
    let made = make_slow(30);
    let _ended = watch.stop().well();
    let told = events(&path);
    are_told(&told, &made, kernel_tells_status());
    // Other users' paths may not be read, and a message says so.
    let exec = told.iter().find(|seen| seen.event == "exec" && seen.pid == Some(made[0].0)).expect("it came");
    assert!(exec.exe.is_none() && exec.flaws.get("exe").is_some_and(|flaw| flaw == "unreadable"), "{exec:?}");
}

/// Most are gone before they can be seen. The reports are right all the same, and missed processes
/// are counted.
#[test]
fn a_storm_is_told_right_as_far_as_it_is() {
    let _turn = turn::take();
    let watch = watch(&["-e", "fork,exec,exit"]);
    let truth = Workload::new(&["storm", "--count", "3000", "--compact"]).run();
    thread::sleep(Duration::from_millis(200));
    let ended = watch.stop().well();
    let events = ended.events();
    let pids: std::collections::BTreeSet<u32> = lives(&truth).map(|life| life.pid).collect();
    let forks = events.iter().filter(|seen| seen.event == "fork" && seen.pid.is_some_and(|pid| pids.contains(&pid)));
    let seen = forks.count() as u64;
    let lost: u64 = events.iter().filter_map(|seen| seen.count).sum();
    println!("{seen} of {} processes were seen, {lost} pids were counted as missed", pids.len());
    assert!(seen + lost >= pids.len() as u64, "{seen} and {lost} of {}", pids.len());
    assert!(seen > 0, "none was seen");
    for life in lives(&truth) {
        let ends = events.iter().filter(|seen| seen.event == "exit" && seen.pid == Some(life.pid));
        let own = |seen: &&Seen| life.start_ticks.is_none() || seen.start_ticks() == life.start_ticks;
        for (end, exit) in ends.filter(own).zip(&life.exit) {
            let known = !end.flaws.contains_key("status");
            assert!(!known || (end.exit_code, &end.signal) == (exit.code, &exit.signal), "{end:?}, not {exit:?}");
        }
    }
    let report = ended.compare_late(truth, Some(&["fork", "exec", "exit"]));
    assert_eq!(report.misnamed(), 0, "{report}");
}

/// With nothing to see it costs next to nothing.
#[test]
fn a_quiet_system_costs_little() {
    let _turn = turn::take();
    let (_dir, program) = for_everyone();
    let inside = ["unshare", "--pid", "--fork", "--mount-proc"];
    let mut command = under(&inside, &program);
    command.args(["--source", "proc-poll", "--duration", "3s", "--format", "json"]).stdout(Stdio::null());
    let before = children_cpu();
    let watch = Watch::of(command);
    let ended = watch.end();
    assert!(ended.status.success(), "{}", ended.stderr);
    let used = children_cpu() - before;
    println!("{used:?} of CPU in 3 s");
    assert!(used < Duration::from_millis(450), "{used:?}");
}

fn children_cpu() -> Duration {
    // SAFETY: plain data, which the kernel fills.
    let usage = unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        assert_eq!(libc::getrusage(libc::RUSAGE_CHILDREN, &raw mut usage), 0);
        usage
    };
    let of = |time: libc::timeval| Duration::from_secs(time.tv_sec as u64) + Duration::from_micros(time.tv_usec as u64);
    of(usage.ru_utime) + of(usage.ru_stime)
}

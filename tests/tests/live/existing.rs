//! Processes that were already running.

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::fd::AsRawFd as _;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use procscope_tests::proc_files::{self, Sight};

use crate::turn;
use crate::watch::{PATIENCE, Watch};
use crate::workload::Workload;

/// Once, with its arguments, before anything else.
#[test]
fn existing_processes_come_once() {
    let _turn = turn::take();
    let workload = Workload::new(&["odd", "fork"]);
    let pid = workload.pid();
    let watch = Watch::start(["-e", "existing,exit"]);
    // Its arguments are read when it is reported, and would be gone with it.
    watch.wait_for(&format!(r#""pid":{pid},"#));
    workload.run();
    let ended = watch.stop().well();
    let events = ended.events();
    let own: Vec<_> = events.iter().filter(|seen| seen.pid == Some(pid)).collect();
    assert_eq!(own.iter().map(|seen| &*seen.event).collect::<Vec<_>>(), ["existing", "exit"]);
    let argv = own[0].argv.clone().unwrap_or_default();
    assert_eq!(argv[1..4], ["odd", "fork", "--gate"], "{argv:?}");
    assert_eq!(own[0].ppid, Some(std::process::id()));
    assert_eq!(own[0].id, own[1].id);
    let first_exit = events.iter().position(|seen| seen.event == "exit");
    let last_existing = events.iter().rposition(|seen| seen.event == "existing");
    assert!(last_existing < first_exit, "{last_existing:?} {first_exit:?}");
    // Kernel threads and the first process, and ourselves.
    for pid in [1, 2, std::process::id()] {
        assert_eq!(events.iter().filter(|seen| seen.event == "existing" && seen.pid == Some(pid)).count(), 1, "{pid}");
    }
}

/// Started within a storm: each process begins once, either as already running or by its fork, and
/// ends once.
#[test]
fn starting_within_a_storm_misses_nothing() {
    let _turn = turn::take();
    // A fault is a matter of microseconds, so it does not happen every time.
    (0..5).for_each(|_| start_within_a_storm());
}

fn start_within_a_storm() {
    let mut workload = Workload::new(&["storm", "--count", "8000"]);
    workload.go();
    let watch = Watch::start(["-e", "existing,fork,exec,exit"]);
    workload.truth();
    let ended = watch.stop().well();
    let mut begun: HashMap<String, u32> = HashMap::new();
    let mut ended_ids: HashMap<String, u32> = HashMap::new();
    for seen in ended.events() {
        let id = seen.id.clone().unwrap_or_default();
        match &*seen.event {
            "existing" | "fork" => *begun.entry(id).or_default() += 1,
            "exit" | "exec" => {
                assert!(begun.contains_key(&id), "{} of a process that never began: {seen:?}", seen.event);
                if seen.event == "exit" {
                    *ended_ids.entry(id).or_default() += 1;
                }
            }
            other => panic!("{other}"),
        }
    }
    let twice = |map: &HashMap<String, u32>| map.iter().filter(|(_, n)| **n > 1).map(|(id, _)| id.clone()).next();
    assert_eq!((twice(&begun), twice(&ended_ids)), (None, None));
}

/// The sources that watch all processes.
const SOURCES: [&str; 4] = ["ebpf", "tracefs", "process-connector", "proc-poll"];

/// Waits until the first thread of a process has ended.
fn until_ended(pid: u32) {
    let begun = Instant::now();
    while proc_files::stat(pid).expect("nothing waits for it").state != b'Z' {
        assert!(begun.elapsed() < PATIENCE, "{pid} does not end");
        thread::sleep(Duration::from_millis(1));
    }
}

/// A program whose first thread is about to end. It reads bytes from its standard input, and writes
/// lines to its output.
fn with_a_thread_to_end() -> Child {
    act("leader-gone")
}

/// The generator, doing this act.
pub(crate) fn act(name: &str) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ps-workload"));
    command.args(["act", name]).stdin(Stdio::piped()).stdout(Stdio::piped());
    // SAFETY: copies descriptors in the child, to the numbers of its acts.
    unsafe {
        command.pre_exec(|| {
            for (from, to) in [(std::io::stdout().as_raw_fd(), 200), (std::io::stdin().as_raw_fd(), 201)] {
                if libc::dup2(from, to) < 0 {
                    return Err(std::io::Error::last_os_error());
                }
            }
            Ok(())
        });
    }
    command.spawn().expect("it can be run")
}

/// Its dead first thread's files would be empty, or wrong: the root for a cgroup.
#[test]
fn a_process_lives_on_in_another_thread() {
    let _turn = turn::take();
    SOURCES.iter().for_each(|source| live_on_in_another_thread(source));
}

fn live_on_in_another_thread(source: &str) {
    let mut child = with_a_thread_to_end();
    let pid = child.id();
    let mut told = BufReader::new(child.stdout.take().expect("it is piped")).lines();
    let mut go = child.stdin.take().expect("it is piped");
    let mut next = || told.next().expect("a line").expect("it can be read");
    next();
    let truth = Sight::of(pid).expect("it is held");
    go.write_all(b".").expect("it waits");
    until_ended(pid);
    let watch = Watch::start(["--source", source, "-e", "existing,fork,exit"]);
    watch.wait_for(&format!(r#""pid":{pid},"#));
    go.write_all(b".").expect("it waits");
    let born: u32 = next().parse().expect("a pid");
    watch.wait_for(&format!(r#""pid":{born},"#));
    go.write_all(b".").expect("it waits");
    assert_eq!(child.wait().expect("our own child").code(), Some(7));
    thread::sleep(Duration::from_millis(300));
    let events = watch.stop().well().events();
    let of = |event: &str, pid| {
        let all: Vec<_> = events.iter().filter(|seen| seen.event == event && seen.pid == Some(pid)).collect();
        assert_eq!(all.len(), 1, "{source}: {event} of {pid}: {all:?}");
        all[0]
    };
    let seen = of("existing", pid);
    let exe = truth.exe.clone();
    assert_eq!(seen.arguments(), Some(truth.argv), "{source}: {seen:?}");
    assert_eq!(seen.exe.clone().map(String::into_bytes), Some(exe), "{source}: {seen:?}");
    assert_eq!(seen.cwd.clone().map(String::into_bytes), Some(truth.cwd), "{source}: {seen:?}");
    assert_eq!((seen.uid, seen.pgid, seen.sid), (Some(truth.ids[0]), Some(truth.pgid), Some(truth.sid)), "{source}");
    for (event, pid) in [("existing", pid), ("fork", born), ("exit", born), ("exit", pid)] {
        let seen = of(event, pid);
        let right = match &seen.cgroup {
            Some(cgroup) => *cgroup == truth.cgroup,
            None => seen.flaws.contains_key("cgroup"),
        };
        assert!(right && (event != "existing" || seen.cgroup.is_some()), "{source}: {seen:?}");
    }
    assert_eq!(of("exit", pid).exit_code, Some(7), "{source}");
}

/// A process that ended before, and was not waited for, does not exist, and does not end again.
#[test]
fn zombies_do_not_exist() {
    let _turn = turn::take();
    for source in SOURCES {
        let mut child = Command::new("true").spawn().expect("it can be run");
        until_ended(child.id());
        let watch = Watch::start(["--source", source, "-e", "all"]);
        let _ = child.wait();
        thread::sleep(Duration::from_millis(100));
        let events = watch.stop().well().events();
        assert!(events.iter().any(|seen| seen.event == "existing"), "{source}");
        assert!(!events.iter().any(|seen| seen.pid == Some(child.id())), "{source}");
    }
}

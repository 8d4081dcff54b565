//! The identity of processes, and their ids and cgroup.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use procscope_tests::chosen::{Life, clone3, reap};

use crate::existing::act;
use crate::turn;
use crate::watch::Watch;

/// These show the order of a pid's processes.
const SOURCES: [&str; 3] = ["ebpf", "tracefs", "process-connector"];

fn kill(pid: u32) {
    // SAFETY: our child, not waited for yet.
    assert_eq!(unsafe { libc::kill(pid as i32, libc::SIGKILL) }, 0);
    reap(pid);
}

/// A pid that no process has, far from those that are given out.
fn free_pid() -> u32 {
    let most = fs::read_to_string("/proc/sys/kernel/pid_max").expect("it can be read");
    let last = fs::read_to_string("/proc/loadavg").expect("it can be read");
    let last: u32 = last.split_whitespace().last().and_then(|last| last.parse().ok()).expect("a pid");
    let most: u32 = most.trim().parse().expect("a number");
    let far = (last + most / 2) % most;
    (far.max(1000)..most).find(|pid| !Path::new(&format!("/proc/{pid}")).exists()).expect("there are more pids")
}

/// An id comes twice if the pid does within a tick, and the second one is marked. Each process ends
/// once.
#[test]
fn an_id_that_repeats_is_marked() {
    let _turn = turn::take();
    for source in SOURCES {
        // On a busy machine no two processes may begin within one tick.
        let repeated = (0..20).any(|_| repeats_are_marked(source) > 0);
        assert!(repeated, "{source}: no pid was used twice within a tick, so nothing was tested");
    }
}

/// Uses one pid again and again; how many ids were marked as repeated.
fn repeats_are_marked(source: &str) -> usize {
    let pid = free_pid();
    let watch = Watch::start(["--source", source, "-e", "fork,exit"]);
    let times = 60;
    // Not this process: the copy of its memory may take longer than a tick.
    let mut maker = act(&format!("pid-again-{pid}-{times}"));
    let mut said = BufReader::new(maker.stdout.take().expect("it is piped")).lines();
    assert_eq!(said.next().expect("it says so").expect("text"), ".");
    maker.stdin.as_mut().expect("it is piped").write_all(b"..").expect("it reads");
    assert!(maker.wait().expect("our own child").success());
    thread::sleep(Duration::from_millis(100));
    let events = watch.stop().well().events();
    let (mut ids, mut repeats) = (HashSet::new(), 0);
    for event in ["fork", "exit"] {
        let all: Vec<_> = events.iter().filter(|seen| seen.event == event && seen.pid == Some(pid)).collect();
        assert_eq!(all.len(), times, "{source}: {event}");
        ids.clear();
        for seen in all {
            let marked = seen.flaws.get("id").is_some_and(|flaw| flaw == "repeated");
            // A worked-out start may be corrected later.
            let estimated = seen.flaws.get("id").is_some_and(|flaw| flaw == "estimated");
            let again = !ids.insert(seen.id.clone());
            assert!(again == marked || estimated && source != "ebpf", "{source}: {seen:?}");
            repeats += usize::from(again && marked);
        }
    }
    repeats
}

/// `--pid` for a running process means that process.
#[test]
fn a_pid_that_was_chosen_is_one_process() {
    let _turn = turn::take();
    for source in [&SOURCES[..], &["proc-poll"]].concat() {
        let pid = free_pid();
        let chosen = clone3(Some(pid), None, Life::Waits);
        let watch = Watch::start(["--source", source, "-e", "fork,exit", "--pid", &pid.to_string()]);
        kill(chosen);
        thread::sleep(Duration::from_millis(50));
        let stranger = clone3(Some(pid), None, Life::Waits);
        thread::sleep(Duration::from_millis(200));
        kill(stranger);
        thread::sleep(Duration::from_millis(200));
        let events = watch.stop().well().events();
        let kinds: Vec<&str> = events.iter().map(|seen| &*seen.event).filter(|event| *event != "lost").collect();
        assert_eq!(kinds, ["exit"], "{source}: {events:?}");
    }
}

/// A system call changes only the ids of its thread: a child has those of the thread that made it.
#[test]
fn a_child_has_the_ids_of_its_thread() {
    let _turn = turn::take();
    for source in [&SOURCES[..], &["proc-poll"]].concat() {
        let watch = Watch::start(["--source", source, "-e", "exec,fork,uid,exit"]);
        let mut child = act("thread-ids");
        let mut told = BufReader::new(child.stdout.take().expect("it is piped")).lines();
        let mut go = child.stdin.take().expect("it is piped");
        let mut next = || told.next().expect("a line").expect("it can be read");
        next();
        watch.wait_for(&format!(r#""pid":{},"#, child.id()));
        go.write_all(b".").expect("it waits");
        let born: u32 = next().parse().expect("a pid");
        watch.wait_for(&format!(r#""pid":{born},"#));
        go.write_all(b"...").expect("it waits");
        assert!(child.wait().expect("our own child").success());
        thread::sleep(Duration::from_millis(300));
        let events = watch.stop().well().events();
        let of = |event: &str| events.iter().find(|seen| seen.event == event && seen.pid == Some(born));
        let fork = of("fork").expect("it was forked");
        assert!(fork.uid == Some(1000) || fork.flaws.get("user").is_some_and(|flaw| flaw != "inherited"), "{fork:?}");
        if let Some(change) = of("uid") {
            assert_eq!(change.uid, Some(0), "{source}: {change:?}");
            assert!(change.old_uid.is_none_or(|old| old == 1000), "{source}: {change:?}");
        }
        let reported = matches!(source, "ebpf" | "process-connector");
        assert_eq!(of("uid").map(|change| change.old_uid), reported.then_some(Some(1000)), "{source}");
    }
}

/// A cgroup of the unified hierarchy, removed when dropped.
struct Cgroup(PathBuf);

impl Cgroup {
    fn new() -> Self {
        let root = ["/sys/fs/cgroup/unified", "/sys/fs/cgroup"].map(Path::new);
        let root = root.into_iter().find(|root| root.join("cgroup.procs").exists()).expect("a unified hierarchy");
        let path = root.join(format!("procscope-test-{}", std::process::id()));
        fs::create_dir(&path).expect("it can be made");
        Self(path)
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        let _ = fs::remove_dir(&self.0);
    }
}

/// `clone3(2)` puts a child into another cgroup than its creator's.
#[test]
fn a_child_is_in_the_cgroup_that_was_chosen() {
    let _turn = turn::take();
    let cgroup = Cgroup::new();
    let name = cgroup.0.file_name().expect("it has one").to_string_lossy().into_owned();
    let dir = File::open(&cgroup.0).expect("it can be opened");
    for source in [&SOURCES[..], &["proc-poll"]].concat() {
        let watch = Watch::start(["--source", source, "-e", "fork,exit"]);
        let child = clone3(None, Some(&dir), Life::Waits);
        thread::sleep(Duration::from_millis(100));
        kill(child);
        thread::sleep(Duration::from_millis(300));
        let events = watch.stop().well().events();
        let own: Vec<_> = events.iter().filter(|seen| seen.pid == Some(child)).collect();
        assert_eq!(own.iter().map(|seen| &*seen.event).collect::<Vec<_>>(), ["fork", "exit"], "{source}");
        for seen in own {
            let right = seen.cgroup.as_deref() == Some(&format!("/{name}"));
            let marked = seen.flaws.get("cgroup").is_some_and(|flaw| flaw != "inherited" && flaw != "read-late");
            assert!(right || marked && source != "ebpf", "{source}: {seen:?}");
            assert!(right || source != "tracefs" || seen.cgroup.is_none(), "{source}: {seen:?}");
        }
    }
}

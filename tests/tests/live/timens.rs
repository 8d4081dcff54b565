//! procscope in a time namespace: its own clocks and those of the kernel's events differ by days,
//! and its output does not.

use std::ffi::CStr;
use std::io;
use std::os::unix::process::CommandExt as _;
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use procscope_tests::seen::Seen;

use crate::doctor::{document, source, text};
use crate::turn;
use crate::watch::{Watch, events, for_everyone, program, run};
use crate::workload::Workload;

/// Sources that watch all processes.
const SOURCES: [&str; 4] = ["ebpf", "process-connector", "tracefs", "proc-poll"];

/// Later by ten days since boot and by five of running.
const LATER: &CStr = c"monotonic 432000 0\nboottime 864000 0\n";
/// Ticks here are not those of the kernel.
const BETWEEN_TICKS: &CStr = c"monotonic 1 500000000\nboottime 1 503000000\n";

fn checked(result: impl Into<i64>) -> io::Result<i32> {
    match result.into() {
        r if r < 0 => Err(io::Error::last_os_error()),
        r => Ok(r as i32),
    }
}

/// Puts the process itself into a new namespace; unshare(2) does so only to its children.
fn enter(offsets: &CStr) -> io::Result<()> {
    // SAFETY: plain system calls between fork and exec, on strings with their NUL.
    unsafe {
        checked(libc::unshare(libc::CLONE_NEWTIME))?;
        let file = checked(libc::open(c"/proc/self/timens_offsets".as_ptr(), libc::O_WRONLY))?;
        checked(libc::write(file, offsets.as_ptr().cast(), offsets.count_bytes()) as i64)?;
        let namespace = checked(libc::open(c"/proc/self/ns/time_for_children".as_ptr(), libc::O_RDONLY))?;
        checked(libc::setns(namespace, libc::CLONE_NEWTIME))?;
        libc::close(namespace);
        libc::close(file);
    }
    Ok(())
}

fn inside(offsets: &'static CStr) -> impl FnOnce(&mut Command) {
    move |command| {
        // SAFETY: it allocates nothing.
        unsafe { command.pre_exec(move || enter(offsets)) };
    }
}

fn odd_cases(id: &str, events: &str, kinds: Option<&[&str]>) {
    let _turn = turn::take();
    let watch = Watch::prepared(inside(LATER), ["--source", id, "-e", events]);
    let truth = Workload::new(&["odd", "all"]).run();
    let ended = watch.stop().well();
    let report = if id == "ebpf" { ended.compare(truth, kinds) } else { ended.compare_late(truth, kinds) };
    assert!(report.lost.is_empty() && report.is_exact() && report.misnamed() == 0, "{report}");
    assert!(report.ids_off * 100 <= report.ids_estimated, "{report}");
}

#[test]
fn ebpf_tells_odd_cases_exactly() {
    odd_cases("ebpf", "all", None);
}

#[test]
fn process_connector_tells_odd_cases() {
    odd_cases("process-connector", "all", None);
}

#[test]
fn tracefs_tells_odd_cases() {
    odd_cases("tracefs", "fork,exec,exit", Some(&["fork", "exec", "exit"]));
}

fn of(events: &[Seen], kind: &str, pid: u32) -> Seen {
    let found = events.iter().find(|seen| seen.event == kind && seen.pid == Some(pid));
    found.unwrap_or_else(|| panic!("no {kind} of {pid}")).clone()
}

/// A process that was already running has the same id, arguments and end, seen from inside and from
/// outside.
fn existing(offsets: &'static CStr, exact: bool) {
    let _turn = turn::take();
    for id in SOURCES {
        let workload = Workload::new(&["odd", "fork"]);
        let pid = workload.pid();
        let options = ["--source", id, "-e", "existing,exit"];
        let watches = [Watch::start(options), Watch::prepared(inside(offsets), options)];
        watches.iter().for_each(|watch| watch.wait_for(&format!(r#""pid":{pid},"#)));
        workload.run();
        let [outside, inside] = watches.map(|watch| watch.stop().well().events());
        for kind in ["existing", "exit"] {
            let (outer, inner) = (of(&outside, kind, pid), of(&inside, kind, pid));
            assert!(inner.arguments().is_some(), "{id}: {inner:?}");
            assert_eq!(outer.arguments(), inner.arguments(), "{id}");
            let estimated = inner.flaws.get("id").is_some_and(|flaw| flaw == "estimated");
            assert!(outer.id == inner.id || !exact && estimated, "{id}: {outer:?} {inner:?}");
            let apart = outer.time_ns().zip(inner.time_ns()).map(|(outer, inner)| outer.abs_diff(inner));
            assert!(apart.is_some_and(|ns| ns < 10_000_000_000), "{id}: {outer:?} {inner:?}");
        }
        let (outer, inner) = (of(&outside, "exit", pid).duration_ns, of(&inside, "exit", pid).duration_ns);
        let apart = outer.zip(inner).map(|(outer, inner)| outer.abs_diff(inner));
        assert!(apart.is_some_and(|ns| ns < 1_000_000_000), "{id}: {outer:?} {inner:?}");
    }
}

#[test]
fn existing_processes_are_the_same_inside_and_outside() {
    existing(LATER, true);
}

#[test]
fn ids_between_the_ticks_are_right_or_estimated() {
    existing(BETWEEN_TICKS, false);
}

#[test]
fn a_command_is_told_by_every_source() {
    let _turn = turn::take();
    let dir = tempfile::tempdir().expect("a directory can be made");
    for id in ["ebpf", "ptrace", "process-connector", "tracefs", "proc-poll"] {
        let file = dir.path().join(id);
        let mut command = Command::new(program());
        command.args(["run", "--source", id, "-e", "exec,exit", "--format", "json", "-o"]).arg(&file);
        command.args(["--", "sh", "-c", "sleep 0.3; exit 7"]);
        inside(LATER)(&mut command);
        let before = SystemTime::now();
        let (status, stderr) = run(command);
        assert_eq!(status.code(), Some(7), "{id}: {stderr}");
        let events = events(&file);
        let exit = events.iter().find(|seen| seen.event == "exit" && seen.exit_code == Some(7));
        let exit = exit.unwrap_or_else(|| panic!("{id}: {events:?}"));
        assert!(exit.duration_ns.is_some_and(|ns| (280_000_000..10_000_000_000).contains(&ns)), "{id}: {exit:?}");
        let begun = before.duration_since(UNIX_EPOCH).expect("it is later").as_nanos() as i64;
        for seen in events.iter().filter(|seen| seen.event != "lost") {
            let later = seen.time_ns().map(|time| time - begun);
            assert!(later.is_some_and(|ns| (0..20_000_000_000).contains(&ns)), "{id}: {seen:?}");
        }
    }
}

/// The doctor finds the same as outside, and the times right.
#[test]
fn the_doctor_finds_what_it_finds_outside() {
    let _turn = turn::take();
    let (_dir, program) = for_everyone();
    let before = ["unshare", "--time", "--monotonic", "432000", "--boottime", "864000", "--fork"];
    let (_, report) = document(&before, &program, &["doctor"]);
    let (_, outside) = document(&[], &program, &["doctor"]);
    for id in ["ebpf", "process-connector", "tracefs", "proc-poll"] {
        let it = source(&report, id);
        assert_eq!(text(it, "works"), text(source(&outside, id), "works"), "{it:#}");
        let checks = it["checks"].as_array().expect("a list");
        let time = checks.iter().find(|check| check["name"] == "time").unwrap_or_else(|| panic!("{it:#}"));
        assert!(matches!(text(time, "found"), "ok" | "late"), "{it:#}");
    }
}

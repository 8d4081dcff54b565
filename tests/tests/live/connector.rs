//! The process connector: names that are read late are absent or right, and never another
//! process's.

use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::io::Write as _;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use procscope::{EventKind, Kind, Monitor, SourceId};
use procscope_tests::proc_files;
use procscope_tests::report::Report;
use procscope_tests::seen::Seen;
use procscope_tests::truth::Line;

use crate::turn;
use crate::watch::{Ended, Watch, compare, for_everyone, run};
use crate::workload::{Workload, lives};

const KINDS: &[&str] = &["fork", "exec", "exit"];
const NOBODY: u32 = 65534;

fn watch(options: &[&str]) -> Watch {
    Watch::start([&["--source", "process-connector"], options].concat())
}

/// Nothing is missing or wrong except as flaws say, and hardly an id.
fn is_true(report: &Report) {
    assert!(report.lost.is_empty() && report.is_exact() && report.misnamed() == 0, "{report}");
    assert!(report.ids_off * 100 <= report.ids_estimated, "{report}");
    print!("{report}");
    println!("{:.3} % of the execs have arguments", named(report));
}

fn named(report: &Report) -> f64 {
    report.named as f64 * 100.0 / report.execs.max(1) as f64
}

fn storm(words: &[&str], events: &str, kinds: Option<&[&str]>) {
    let _turn = turn::take();
    let watch = watch(&["-e", events]);
    let truth = Workload::new(words).run();
    is_true(&watch.stop().well().compare_late(truth, kinds));
}

#[test]
fn storm_of_two_spawners() {
    storm(&["storm", "--count", "20000", "--compact"], "fork,exec,exit", Some(KINDS));
}

#[test]
fn storm_of_four_spawners() {
    storm(&["storm", "--count", "20000", "--compact", "--spawners", "4", "--seed", "4"], "fork,exec,exit", Some(KINDS));
}

#[test]
fn storm_with_default_events() {
    storm(&["storm", "--count", "2000", "--seed", "3"], "exec,exit", Some(&["exec", "exit"]));
}

#[test]
fn odd_cases_are_told_as_far_as_it_goes() {
    let _turn = turn::take();
    let case = std::env::var("PROCSCOPE_CASE").unwrap_or("all".to_owned());
    let watch = watch(&["-e", "all", "--env"]);
    let truth = Workload::new(&["odd", &case]).run();
    is_true(&watch.stop().well().compare_late(truth, None));
}

fn same(a: &Seen, b: &Seen) -> bool {
    let near = a.time_ns().zip(b.time_ns()).is_some_and(|(a, b)| a.abs_diff(b) < 1_000_000);
    near && (&a.event, a.pid, a.tid) == (&b.event, b.pid, b.tid)
}

fn happened(ended: &Ended) -> Vec<Seen> {
    ended.events().into_iter().filter(|seen| seen.event != "existing").collect()
}

/// Compared with another one's reports, a stopped monitor's counted losses plus its reports are
/// exact; and its marks are where events are missing.
#[test]
fn every_lost_message_is_counted() {
    let _turn = turn::take();
    let whole = watch(&["-e", "all"]);
    let small = watch(&["-e", "all", "--ring-size", "64KiB"]);
    let _ = Command::new("/bin/true").status();
    thread::sleep(Duration::from_millis(200));
    for round in 0..3 {
        small.signal(libc::SIGSTOP);
        Workload::new(&["storm", "--count", "1500", "--compact"]).run();
        small.signal(libc::SIGCONT);
        // Once while it continues, then when it is quiet.
        thread::sleep(Duration::from_millis(if round == 0 { 0 } else { 1500 }));
    }
    let truth = Workload::new(&["odd", "fork"]).run();
    thread::sleep(Duration::from_millis(100));
    let (small, whole) = (small.stop().well(), whole.stop().well());
    let (told, all) = (happened(&small), happened(&whole));
    assert!(all.iter().all(|seen| seen.event != "lost"), "{}", whole.stderr);
    let first = told.iter().position(|seen| seen.event != "lost").expect("something came");
    let last = told.iter().rposition(|seen| seen.event != "lost").expect("something came");
    let from = all.iter().position(|seen| same(seen, &told[first])).expect("both saw the first");
    let to = all.iter().rposition(|seen| same(seen, &told[last])).expect("both saw the last");
    let lost = |events: &[Seen]| events.iter().filter_map(|seen| seen.count).sum::<u64>();
    let between = &told[first..=last];
    let delivered = between.iter().filter(|seen| seen.event != "lost").count() as u64;
    assert!(lost(between) > 3000, "only {} were lost, so nothing was tested", lost(between));
    assert_eq!(delivered + lost(between), (to - from + 1) as u64, "{delivered} and {}", lost(between));
    // Nothing is missing before the first mark, and each is among events.
    let marks: Vec<usize> = (0..between.len()).filter(|&at| between[at].event == "lost").collect();
    let whole_until = all.iter().position(|seen| same(seen, &between[marks[0] - 1])).expect("both saw it");
    assert_eq!(whole_until - from + 1, marks[0], "the first mark comes too late");
    assert!(marks.len() >= 2 && marks[0] > 20, "{marks:?}");
    // Once it has caught up, all is right again.
    let report = small.compare_late(truth, Some(KINDS));
    assert!(report.is_exact() && report.misnamed() == 0, "{report}");
}

/// Makes the next process have this pid; false if another process was faster.
fn spawn_as(pid: u32, program: &str, argument: &str) -> Option<std::process::Child> {
    let mut last = fs::File::options().write(true).open("/proc/sys/kernel/ns_last_pid").expect("it can be chosen");
    let mut command = Command::new(program);
    command.arg(argument).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    for _ in 0..50 {
        last.write_all((pid - 1).to_string().as_bytes()).expect("it can be chosen");
        let mut child = command.spawn().expect("it can be run");
        if child.id() == pid {
            return Some(child);
        }
        let _ = child.kill();
        let _ = child.wait();
    }
    None
}

/// While it is stopped, one process ends and another one gets its pid. The known facts about the
/// first are not reported for the second, whether its beginning is lost, reported late, or it is
/// gone by then.
#[test]
fn a_pid_used_again_lends_no_name() {
    let _turn = turn::take();
    for ring in ["64KiB", "4KiB", "64MiB"] {
        let watch = watch(&["-e", "all", "--ring-size", ring]);
        let mut used = Vec::new();
        let mut lasting = Vec::new();
        for round in 0..6 {
            let mut first = Command::new("/bin/sleep").arg("71.5").spawn().expect("it can be run");
            let started = proc_files::stat(first.id()).expect("it runs").start_ticks;
            thread::sleep(Duration::from_millis(100));
            watch.signal(libc::SIGSTOP);
            let overflow = round % 2 == 0;
            let storm = || drop(Workload::new(&["storm", "--count", "400", "--compact"]).run());
            if overflow {
                storm();
            }
            let pid = first.id();
            let _ = first.kill();
            let _ = first.wait();
            let Some(mut other) = spawn_as(pid, "/usr/bin/tail", "-f") else {
                // An unrelated process has it.
                watch.signal(libc::SIGCONT);
                continue;
            };
            let other_started = proc_files::stat(pid).expect("it runs").start_ticks;
            assert!(other_started > started + 1);
            used.push((pid, started, other_started));
            thread::sleep(Duration::from_millis(20));
            if round < 3 {
                let _ = other.kill();
                let _ = other.wait();
            }
            if overflow {
                storm();
            }
            watch.signal(libc::SIGCONT);
            if round == 3 {
                // It ends before it could be read.
                let _ = other.kill();
                let _ = other.wait();
            } else if round > 3 {
                lasting.push(other);
            }
        }
        thread::sleep(Duration::from_millis(1200));
        for child in &mut lasting {
            let _ = child.kill();
            let _ = child.wait();
        }
        let ended = watch.stop().well();
        assert!(used.len() >= 3, "pids were not given again: {used:?}");
        for &(pid, started, other_started) in &used {
            for seen in ended.events().iter().filter(|seen| seen.pid == Some(pid)) {
                let argument = seen.argv.as_ref().and_then(|argv| argv.get(1)).map(String::as_str);
                let named = [seen.name.as_deref(), argument];
                let is = |ticks: u64| seen.start_ticks().is_some_and(|start| start.abs_diff(ticks) <= 1);
                if seen.start_ticks().is_none() {
                    assert!(named == [None; 2], "{ring}: named without an id: {seen:?}");
                }
                if is(started) {
                    assert!(!named.contains(&Some("tail")) && !named.contains(&Some("-f")), "{ring}: {seen:?}");
                }
                if is(other_started) {
                    assert!(!named.contains(&Some("sleep")) && !named.contains(&Some("71.5")), "{ring}: {seen:?}");
                }
            }
            let alive = lasting.iter().any(|child| child.id() == pid);
            let events = ended.events();
            // An unrelated process may have had the pid since.
            let its = |seen: &&Seen| {
                let start = seen.start_ticks();
                seen.pid == Some(pid) && start.is_none_or(|start| start.abs_diff(other_started) <= 1)
            };
            let end = events.iter().rfind(|seen| seen.event == "exit" && its(seen));
            // Unrelated processes may fill the buffer too, and then that is counted.
            let lost = |seen: &Seen| seen.lost.iter().flatten().any(|(kind, _)| kind == "exit" || kind == "lost");
            assert!(!alive || end.is_some() || events.iter().any(lost), "{ring}: its end is missing");
            if let Some(end) = end.filter(|_| alive) {
                assert!(end.name.as_deref().is_none_or(|name| name == "tail"), "{ring}: {end:?}");
                assert!(end.argv.as_ref().is_none_or(|argv| argv[1] == "-f"), "{ring}: {end:?}");
            }
        }
    }
}

/// Both sources give the same process the same id.
#[test]
fn ids_are_those_of_ebpf() {
    let _turn = turn::take();
    let ebpf = Watch::start(["--source", "ebpf", "-e", "fork,exec,exit"]);
    let connector = watch(&["-e", "fork,exec,exit"]);
    let mut truth = Workload::new(&["storm", "--count", "10000", "--compact"]).run();
    truth.extend(Workload::new(&["odd", "threads-many"]).run());
    let (ebpf, connector) = (ebpf.stop().well(), connector.stop().well());
    let pids: BTreeSet<u32> = lives(&truth).map(|life| life.pid).collect();
    let of = |ended: &Ended| {
        let own = ended.events().into_iter().filter(|seen| seen.pid.is_some_and(|pid| pids.contains(&pid)));
        own.map(|seen| ((seen.pid, seen.event.clone()), seen)).collect::<HashMap<_, _>>()
    };
    let (ebpf, connector) = (of(&ebpf), of(&connector));
    assert!(ebpf.len() > 30_000 && ebpf.len() == connector.len(), "{} {}", ebpf.len(), connector.len());
    let (mut off, mut estimated) = (0, 0);
    for (key, exact) in &ebpf {
        let seen = &connector[key];
        let marked = seen.flaws.get("id").is_some_and(|flaw| flaw == "estimated");
        estimated += usize::from(marked);
        if seen.id != exact.id {
            assert!(marked, "{:?} unmarked, not {:?}", seen, exact.id);
            off += 1;
        }
    }
    println!("{off} of {estimated} estimated ids of {} are a tick off", connector.len());
    assert!(off * 100 <= connector.len(), "{off} of {estimated} estimated ids are a tick off");
}

/// The same from two monitors in one process.
#[test]
fn ids_are_those_of_ebpf_in_one_process() {
    let _turn = turn::take();
    let events = |source| {
        let builder = Monitor::builder().source(source).tree(std::process::id());
        let events =
            [Kind::Fork, Kind::Exec, Kind::Exit].iter().fold(procscope::EventSet::NONE, |set, &kind| set.with(kind));
        let monitor = builder.events(events).build().expect("it works here");
        let stop = monitor.stop_handle();
        (thread::spawn(move || monitor.events().collect::<Result<Vec<_>, _>>().expect("it works")), stop)
    };
    let both = [SourceId::Ebpf, SourceId::ProcessConnector].map(events);
    for _ in 0..200 {
        let _ = Command::new("/bin/true").status();
    }
    let [ebpf, connector] = both.map(|(thread, stop)| {
        stop.stop();
        thread.join().expect("it ends")
    });
    let key = |event: &procscope::Event| {
        let process = event.process.as_ref().expect("each has one");
        (process.id.pid, event.kind.kind().name())
    };
    let connector: HashMap<_, _> = connector.iter().map(|event| (key(event), event)).collect();
    let exits = ebpf.iter().filter(|event| matches!(event.kind, EventKind::Exit(_))).count();
    assert!(exits >= 200, "{exits}");
    for event in &ebpf {
        let other = connector.get(&key(event)).unwrap_or_else(|| panic!("the connector reported no {event:?}"));
        let [exact, told] = [event, other].map(|event| event.process.as_ref().expect("each has one"));
        let estimated = told.flaws.get(procscope::Field::Id) == Some(procscope::Flaw::Estimated);
        assert!(exact.id == told.id || estimated, "{:?} {:?}", exact.id, told.id);
    }
}

/// Processes that were already running come once, first, and end once.
#[test]
fn starting_within_a_storm_misses_nothing() {
    let _turn = turn::take();
    for _ in 0..5 {
        let mut workload = Workload::new(&["storm", "--count", "6000", "--compact"]);
        workload.go();
        let watch = watch(&["-e", "existing,fork,exec,exit"]);
        let truth = workload.truth();
        let ended = watch.stop().well();
        let (mut begun, mut exits) = (HashMap::new(), HashMap::new());
        let mut first = true;
        for seen in ended.events() {
            assert!(seen.event != "lost", "{seen:?}");
            first &= seen.event == "existing";
            assert!(first || seen.event != "existing", "existing ones come first: {seen:?}");
            let Some(id) = seen.id.clone().filter(|_| seen.start_ticks().is_some()) else {
                // It was gone before it could be read.
                assert!(seen.name.is_none() && seen.argv.is_none(), "{seen:?}");
                continue;
            };
            match &*seen.event {
                "existing" | "fork" => *begun.entry(id).or_insert(0) += 1,
                "exit" => *exits.entry(id).or_insert(0) += 1,
                _ => {}
            }
        }
        let twice = |map: &HashMap<String, i32>| map.iter().find(|(_, n)| **n > 1).map(|(id, _)| id.clone());
        assert_eq!((twice(&begun), twice(&exits)), (None, None));
        assert!(lives(&truth).count() > 6000);
        let report = ended.compare_late(truth, Some(&[]));
        assert!(report.misnamed() == 0, "{report}");
    }
}

/// Runs a workload that is chosen and one that is not, and returns both sources' reports.
fn chosen(options: &[&str], mut chosen: Workload) -> (Ended, Ended, Vec<Line>) {
    let all = [&["-e", "fork,exec,exit"], options].concat();
    let mut other = Workload::new(&["storm", "--count", "300", "--seed", "99"]);
    let connector = watch(&all);
    let ebpf = Watch::start(&all);
    other.go();
    chosen.go();
    let truth = chosen.truth();
    other.truth();
    (connector.stop().well(), ebpf.stop().well(), truth)
}

fn kinds_by_pid(ended: &Ended) -> BTreeSet<(Option<u32>, String)> {
    ended.events().into_iter().map(|seen| (seen.pid, seen.event)).collect()
}

#[test]
fn filters_choose_as_ebpf_does() {
    let _turn = turn::take();
    const UID: u32 = 54_322;
    let storm = ["storm", "--count", "300"];
    let workload = Workload::new(&storm);
    let pid = workload.pid().to_string();
    let (connector, ebpf, truth) = chosen(&["--tree", &pid], workload);
    assert_eq!(kinds_by_pid(&connector), kinds_by_pid(&ebpf), "--tree");
    is_true(&connector.compare_late(truth, Some(KINDS)));

    let workload = Workload::new(&["odd", "double-fork-init"]);
    let pid = workload.pid().to_string();
    let (connector, ebpf, _) = chosen(&["--tree", &pid], workload);
    assert_eq!(kinds_by_pid(&connector), kinds_by_pid(&ebpf), "--tree with orphans");

    let workload = Workload::new(&storm);
    let pid = workload.pid().to_string();
    let (connector, ebpf, _) = chosen(&["-p", &pid], workload);
    assert_eq!(kinds_by_pid(&connector), kinds_by_pid(&ebpf), "-p");

    let workload = Workload::as_user(&storm, Some(UID));
    let (connector, ebpf, truth) = chosen(&["-u", &UID.to_string()], workload);
    assert_eq!(kinds_by_pid(&connector), kinds_by_pid(&ebpf), "-u");
    is_true(&connector.compare_late(truth, Some(KINDS)));

    // An unreadable name is never chosen: the reports are a part, and right.
    let watch = watch(&["-e", "exec,exit", "-n", "sp ace"]);
    let truth = Workload::new(&["storm", "--count", "200"]).run();
    let ended = watch.stop().well();
    assert!(ended.events().iter().all(|seen| seen.name.as_deref() == Some("sp ace")));
    let report = ended.compare_late(truth, Some(&[]));
    assert!(report.is_exact(), "{report}");
}

/// Only requested messages are sent: a storm of others costs nothing.
#[test]
fn narrow_kinds_cost_nothing() {
    let _turn = turn::take();
    let cpu = |pid: u32| -> u64 {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).expect("it runs");
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_ascii_whitespace().collect();
        fields[11].parse::<u64>().unwrap_or(0) + fields[12].parse::<u64>().unwrap_or(0)
    };
    for (events, case) in [("comm", "comm-prctl"), ("uid,gid", "ids"), ("ptrace", "ptrace-seize"), ("sid", "setsid")] {
        let watch = watch(&["-e", events]);
        let (before, switches) = (cpu(watch.pid()), woken(watch.pid()));
        Workload::new(&["storm", "--count", "3000", "--compact"]).run();
        let (after, woken) = (cpu(watch.pid()), woken(watch.pid()) - switches);
        let kinds: Vec<&str> = events.split(',').collect();
        let truth = Workload::new(&["odd", case]).run();
        let ended = watch.stop().well();
        assert!(ended.events().iter().all(|seen| kinds.contains(&&*seen.event)), "{events}");
        // Those of unrelated processes are requested too, and have to be read.
        let told = ended.events().len() as u64;
        assert!(after - before <= 1 + told / 50, "{events}: {} ticks, {told} events", after - before);
        assert!(woken < 100 + told, "{events}: woken {woken} times, {told} events");
        let report = ended.compare_late(truth, Some(&kinds));
        assert!(report.is_exact() && !report.fields.is_empty(), "{events}: {report}");
        print!("{report}");
    }
}

fn woken(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
    line.and_then(|n| n.trim().parse().ok()).unwrap_or(0)
}

/// Without any right (Linux 6.6) it reports what is missing, and is never wrong.
#[test]
fn nobody_may_use_it() {
    let _turn = turn::take();
    let (dir, path) = for_everyone();
    let out = dir.path().join("events");
    fs::File::create(&out)
        .and_then(|file| file.set_permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666)))
        .expect("it is ours");
    let mut command = Command::new(path);
    command.uid(NOBODY).gid(NOBODY);
    command.args(["--source", "process-connector", "-e", "fork,exec,exit", "--format", "json", "-o"]).arg(&out);
    let watch = Watch::of(command);
    let truth = Workload::new(&["storm", "--count", "500"]).run();
    let ended = watch.stop().well();
    for word in ["CAP_SYS_PTRACE", "KiB"] {
        assert!(ended.stderr.contains(word), "no {word} in {}", ended.stderr);
    }
    let comparison = procscope_tests::compare::Comparison::new(truth).late().only(KINDS);
    let report = compare(&out, comparison);
    assert!(report.is_exact() && report.misnamed() == 0, "{report}");
    assert_eq!(report.right("exec.exe"), report.execs, "absent, and said so: {report}");
}

/// In a container the connector does not answer, and three lines say so.
#[test]
fn in_a_container_it_explains_itself() {
    let _turn = turn::take();
    let (_dir, path) = for_everyone();
    let mut command = Command::new("unshare");
    command.args(["--user", "--map-root-user", "--pid", "--fork", "--mount-proc"]).arg(path);
    command.args(["--source", "process-connector", "--duration", "1h"]);
    let (status, stderr) = run(command);
    assert_eq!(status.code(), Some(1), "{stderr}");
    let begins = ["procscope: ", "cause: ", "help: "];
    assert!(stderr.lines().count() == 3 && stderr.lines().zip(begins).all(|(l, b)| l.starts_with(b)), "{stderr}");
}

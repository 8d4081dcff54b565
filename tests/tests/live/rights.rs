//! The effect of rights, as in the documentation's table, and which of them are kept.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::doctor::{NOBODY, document, found, source, text, under};
use crate::turn;
use crate::watch::{PATIENCE, Watch, for_everyone, program, run};
use crate::workload::Workload;

/// The important ones, by their names in setpriv(1).
const CAPABILITIES: [&str; 6] = ["bpf", "perfmon", "sys_admin", "dac_read_search", "sys_ptrace", "net_admin"];
/// `CAP_SYS_PTRACE` of `linux/capability.h`.
const SYS_PTRACE: u64 = 1 << 19;

/// Drops root, and all capabilities except these.
fn with_only(capabilities: &[&str], gid: u32) -> Vec<String> {
    let only: String =
        std::iter::once("-all".to_owned()).chain(capabilities.iter().map(|it| format!(",+{it}"))).collect();
    let gid = gid.to_string();
    let ids = ["setpriv", "--reuid", "65534", "--regid", &gid, "--clear-groups"].map(str::to_owned);
    let sets = ["inh-caps", "ambient-caps", "bounding-set"].map(|set| format!("--{set}={only}"));
    ids.into_iter().chain(sets).collect()
}

fn kernel() -> (u32, u32) {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").expect("/proc is mounted");
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).filter_map(|number| number.parse().ok());
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
}

/// The table in docs/cli.md, for one of the sets.
fn check(within: &[&str], program: &Path, capabilities: &[&str]) {
    let only = with_only(capabilities, 65534);
    let before: Vec<&str> = within.iter().copied().chain(only.iter().map(String::as_str)).collect();
    let (_, report) = document(&before, program, &["doctor"]);
    let has = |name: &str| capabilities.contains(&name);
    let told = report["linux"]["capabilities"].as_array().map(Vec::len);
    assert_eq!(told, Some(capabilities.len()), "{capabilities:?} {report:#}");

    let loads = has("sys_admin") || has("bpf") && has("perfmon");
    let mounted = text(&report["linux"], "tracefs") != "unmounted";
    let calls = loads && has("dac_read_search") && (has("sys_admin") || mounted);
    let works = match (loads, calls) {
        (false, _) => "no",
        (true, false) => "partly",
        (true, true) => "yes",
    };
    assert_eq!(text(source(&report, "ebpf"), "works"), works, "{capabilities:?} {report:#}");
    if loads {
        for name in ["fork", "exec", "argv", "parent", "exit", "status", "killer"] {
            assert_eq!(found(&report, "ebpf", name), "ok", "{capabilities:?}");
        }
        let failed = if calls { "ok" } else { "missing" };
        assert_eq!(found(&report, "ebpf", "exec-failed"), failed, "{capabilities:?} {report:#}");
    }

    let listens = has("net_admin") || kernel() >= (6, 6);
    let works = match (listens, has("sys_ptrace")) {
        (false, _) => "no",
        (true, false) => "partly",
        (true, true) => "yes",
    };
    assert_eq!(text(source(&report, "process-connector"), "works"), works, "{capabilities:?} {report:#}");
    let auto = match (loads, listens) {
        (true, _) => Some("ebpf"),
        (false, true) => Some("process-connector"),
        (false, false) => Some("proc-poll"),
    };
    assert_eq!(report["auto"].as_str(), auto, "{capabilities:?}");
}

#[test]
fn every_set_of_capabilities_gives_what_the_table_says() {
    let _turn = turn::take();
    let (_dir, program) = for_everyone();
    let next = AtomicUsize::new(0);
    // Each mostly waits.
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                loop {
                    let set = next.fetch_add(1, Ordering::Relaxed);
                    if set >= 1 << CAPABILITIES.len() {
                        return;
                    }
                    let chosen = CAPABILITIES.iter().enumerate().filter(|(bit, _)| set >> bit & 1 == 1);
                    check(&[], &program, &chosen.map(|(_, name)| *name).collect::<Vec<_>>());
                }
            });
        }
    });
}

#[test]
fn a_mounted_tracefs_is_read_by_who_may_search() {
    const MOUNT: &str = "at=/sys/kernel/tracing; mountpoint -q $at || mount -t tracefs tracefs $at; exec \"$@\"";
    let _turn = turn::take();
    let (_dir, program) = for_everyone();
    let within = ["unshare", "--mount", "sh", "-ec", MOUNT, "sh"];
    for set in [&["bpf", "perfmon"][..], &["bpf", "perfmon", "dac_read_search"], &["sys_admin"], &["dac_read_search"]] {
        check(&within, &program, set);
    }
}

/// With a tracefs that the group may read, CAP_BPF and CAP_PERFMON are enough for everything. A
/// system has only one tracefs, so its owner and mode are restored.
#[test]
fn a_group_that_reads_tracefs_needs_two_capabilities() {
    const SCRIPT: &str = "
        at=/sys/kernel/tracing
        mountpoint -q $at || mount -t tracefs tracefs $at
        before=$(stat -c gid=%g,mode=%a $at)
        trap 'mount -o remount,$before $at' EXIT
        mount -o remount,gid=4242,mode=750 $at
        \"$@\"";
    let _turn = turn::take();
    let (_dir, program) = for_everyone();
    let in_script = ["unshare", "--mount", "sh", "-ec", SCRIPT, "sh"].map(str::to_owned);
    let before: Vec<String> = in_script.into_iter().chain(with_only(&["bpf", "perfmon"], 4242)).collect();
    let before: Vec<&str> = before.iter().map(String::as_str).collect();
    let (status, report) = document(&before, &program, &["doctor", "--source", "ebpf"]);
    assert_eq!((status, text(&report, "works")), (0, "yes"), "{report:#}");
    assert_eq!(text(&report["linux"], "tracefs"), "readable");
    assert_eq!(found(&report, "ebpf", "exec-failed"), "ok");
}

#[test]
fn the_command_that_doctor_names_mends_it() {
    let _turn = turn::take();
    let (_dir, program) = for_everyone();
    let before = with_only(&["bpf", "perfmon"], 65534);
    let before: Vec<&str> = before.iter().map(String::as_str).collect();
    let (_, report) = document(&before, &program, &["doctor", "--source", "ebpf"]);
    let help = text(&source(&report, "ebpf")["troubles"][0], "help").to_owned();
    assert!(help.starts_with("sudo mount ") && help.contains("gid=65534,mode=750"), "{help}");
    // A system has only one tracefs: its state is found out before, and restored.
    let script = format!(
        "at=/sys/kernel/tracing
        mounted() {{ mountpoint -q $at; }}
        mounted && was=1 || mount -t tracefs tracefs $at
        before=$(stat -c gid=%g,mode=%a $at)
        [ \"$was\" ] || umount $at
        trap 'mounted || mount -t tracefs tracefs $at; mount -o remount,$before $at' EXIT
        sudo() {{ \"$@\"; }}
        {help}
        \"$@\""
    );
    let in_script = ["unshare", "--mount", "sh", "-ec", &script, "sh"];
    let (status, report) = document(&[&in_script, &before[..]].concat(), &program, &["doctor", "--source", "ebpf"]);
    assert_eq!((status, text(&report, "works")), (0, "yes"), "{report:#}");
}

/// The capabilities that setcap(8) writes to the file are as good, for any user that runs it.
#[test]
fn capabilities_of_the_file_do() {
    let _turn = turn::take();
    let (_dir, program) = for_everyone();
    let set = Command::new("setcap").arg("cap_bpf,cap_perfmon+ep").arg(&program).status();
    assert!(set.expect("libcap2-bin is there").success());
    let before = &NOBODY[..6];
    let (status, report) = document(before, &program, &["doctor"]);
    assert_eq!((status, text(&report, "auto")), (3, "ebpf"), "{report:#}");
    assert_eq!(found(&report, "ebpf", "argv"), "ok");
    let mut watch = under(before, &program);
    watch.args(["--duration", "300ms", "-e", "exec,exit"]);
    let (ended, stderr) = run(watch);
    assert!(ended.success() && stderr.starts_with("procscope: watching exec and exit events (ebpf)"), "{stderr}");
    assert!(!stderr.contains("more rights than it needs"), "{stderr}");
}

/// One line says which mechanism is used instead, its cost, and what to type.
#[test]
fn without_rights_it_does_what_it_can() {
    let _turn = turn::take();
    if kernel() < (6, 6) {
        return;
    }
    let (_dir, program) = for_everyone();
    let mut watch = under(&NOBODY, &program);
    watch.args(["--duration", "300ms"]);
    let (ended, stderr) = run(watch);
    assert!(ended.success(), "{stderr}");
    let lines: Vec<&str> = stderr.lines().take_while(|line| !line.contains(" events in ")).collect();
    let [watching, note] = lines[..] else { panic!("{stderr}") };
    assert!(watching.contains("(process-connector)"), "{stderr}");
    let sudo = format!("sudo {}", program.display());
    for words in ["in place of ebpf", "CAP_BPF", "come late", "no failed execs", &sudo] {
        assert!(note.contains(words), "{words}: {note}");
    }
}

/// Every thread of a process, by name.
fn threads(pid: u32) -> Vec<BTreeMap<String, String>> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).expect("it runs").flatten();
    let read = |status: String| -> BTreeMap<String, String> {
        let pairs = status.lines().filter_map(|line| line.split_once(':'));
        pairs.map(|(name, value)| (name.to_owned(), value.trim().to_owned())).collect()
    };
    tasks.filter_map(|task| fs::read_to_string(task.path().join("status")).ok()).map(read).collect()
}

fn bits(status: &BTreeMap<String, String>, set: &str) -> u64 {
    u64::from_str_radix(&status[set], 16).expect("it is hexadecimal")
}

/// Once it watches, it has only CAP_SYS_PTRACE left, on every thread, and reports all the same.
#[test]
fn rights_are_given_up_once_attached() {
    let _turn = turn::take();
    for source in ["ebpf", "process-connector"] {
        let watch = Watch::start(["--source", source, "-e", "existing,fork,exec,exit", "--duration", "10s"]);
        let begun = std::time::Instant::now();
        // The thread that stops it in time is the last one.
        while !threads(watch.pid()).iter().any(|it| it["Name"] == "ps-timer") {
            assert!(begun.elapsed() < PATIENCE);
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        let kept = if source == "ebpf" && kernel() < (5, 19) { SYS_PTRACE | 1 << 39 } else { SYS_PTRACE };
        for status in threads(watch.pid()) {
            let sets = ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"].map(|set| bits(&status, set));
            assert_eq!(sets, [0, kept, kept, 0, 0], "{source}: {status:#?}");
            assert_eq!(status["NoNewPrivs"], "1");
            assert_eq!(status["Uid"].split_whitespace().next(), Some("0"));
        }
        let truth = Workload::new(&["storm", "--count", "200"]).run();
        let ended = watch.stop().well();
        assert!(ended.events().iter().any(|seen| seen.event == "existing" && seen.pid == Some(1)));
        if source == "ebpf" {
            let report = ended.compare(truth, Some(&["fork", "exec", "exit"]));
            assert!(report.is_exact(), "{report}");
        }
    }
}

/// The command keeps its own rights; procscope has, besides CAP_SYS_PTRACE, the right to pass
/// signals on.
#[test]
fn rights_are_given_up_beside_a_command() {
    let _turn = turn::take();
    const KILL: u64 = 1 << 5;
    for source in ["ebpf", "process-connector"] {
        let mut command = Command::new(program());
        command.args(["run", "-q", "--source", source, "-o", "/dev/null", "--", "sh", "-c"]);
        command.arg("cat /proc/$PPID/status; echo of the command; cat /proc/$$/status");
        let output = command.output().expect("procscope can be run");
        let stdout = String::from_utf8_lossy(&output.stdout);
        let (ours, theirs) = stdout.split_once("of the command\n").expect("sh wrote it");
        let set = |status: &str, set: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(set)).expect("it is there");
            u64::from_str_radix(line.trim_matches(|c: char| c == ':' || c.is_whitespace()), 16).expect("hexadecimal")
        };
        let kept = KILL | SYS_PTRACE | if source == "ebpf" && kernel() < (5, 19) { 1 << 39 } else { 0 };
        assert_eq!(["CapPrm", "CapEff", "CapBnd"].map(|name| set(ours, name)), [kept, kept, 0], "{source}");
        let own = fs::read_to_string("/proc/self/status").expect("our own");
        assert_eq!(
            ["CapEff", "CapBnd"].map(|name| set(theirs, name)),
            ["CapEff", "CapBnd"].map(|name| set(&own, name))
        );
        assert!(theirs.contains("NoNewPrivs:\t0"), "{theirs}");
    }
}

//! The reports of doctor and sources on a mechanism, compared with its behaviour.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::turn;
use crate::watch::{for_everyone, run};

/// Sheds root and all capabilities.
pub(crate) const NOBODY: [&str; 9] = [
    "setpriv",
    "--reuid",
    "65534",
    "--regid",
    "65534",
    "--clear-groups",
    "--inh-caps=-all",
    "--ambient-caps=-all",
    "--bounding-set=-all",
];
const CONTAINER: [&str; 6] = ["unshare", "--user", "--map-root-user", "--pid", "--fork", "--mount-proc"];
const WITHOUT_PROC: [&str; 6] = ["unshare", "--mount", "sh", "-c", "umount -l /proc && exec \"$@\"", "sh"];

/// A command line: a program and the words before it.
pub(crate) fn under(before: &[&str], program: &Path) -> Command {
    match before {
        [] => Command::new(program),
        [first, rest @ ..] => {
            let mut command = Command::new(first);
            command.args(rest).arg(program);
            command
        }
    }
}

/// Runs procscope for its JSON document.
pub(crate) fn document(before: &[&str], program: &Path, arguments: &[&str]) -> (i32, Value) {
    let output = under(before, program).args(arguments).args(["--format", "json"]).output().expect("it can be run");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(stderr, "", "{before:?} {arguments:?}");
    let value = serde_json::from_slice(&output.stdout);
    let value = value.unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stdout)));
    (output.status.code().expect("no signal ends it"), value)
}

pub(crate) fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_else(|| panic!("{key} in {value:#}"))
}

pub(crate) fn source<'a>(document: &'a Value, id: &str) -> &'a Value {
    let sources = document["sources"].as_array().unwrap_or_else(|| panic!("{document:#}"));
    sources.iter().find(|source| source["id"] == id).unwrap_or_else(|| panic!("{id} in {document:#}"))
}

pub(crate) fn found<'a>(document: &'a Value, id: &str, check: &str) -> &'a str {
    let checks = source(document, id)["checks"].as_array().unwrap_or_else(|| panic!("{document:#}"));
    let check = checks.iter().find(|it| it["name"] == check).unwrap_or_else(|| panic!("{check} in {document:#}"));
    text(check, "found")
}

/// Makes doctor and sources report what works there, and lets each mechanism prove it. Returns
/// doctor's report.
pub(crate) fn agree(before: &[&str], program: &Path, doctor: &[&str]) -> Value {
    let (status, report) = document(before, program, &[&["doctor"], doctor].concat());
    let (listed, list) = document(before, program, &["sources"]);
    assert_eq!(listed, 0);
    assert_eq!(report["v"], 1);
    assert_eq!(text(&report, "kernel"), text(&report, "kernel").trim());
    assert_eq!(report["auto"], list["auto"], "{report:#} {list:#}");
    let mut best = 1;
    for id in ["ebpf", "process-connector", "tracefs", "proc-poll"] {
        let (tried, listed) = (source(&report, id), source(&list, id));
        let works = text(tried, "works");
        assert_eq!(works, text(listed, "works"), "{tried:#} {listed:#}");
        for key in ["needs", "cost", "order", "clock"] {
            assert!(!text(listed, key).is_empty());
        }
        for trouble in tried["troubles"].as_array().expect("a list") {
            for key in ["what", "cause", "help"] {
                assert!(!text(trouble, key).is_empty(), "{trouble:#}");
            }
        }
        assert_eq!(tried["troubles"].as_array().is_some_and(Vec::is_empty), works == "yes", "{tried:#}");
        let mut watch = under(before, program);
        watch.args(["--source", id, "--duration", "300ms"]);
        let (ended, stderr) = run(watch);
        assert_eq!(ended.success(), works != "no", "{id}: {stderr} {tried:#}");
        match works {
            "yes" => best = 0,
            "partly" if best == 1 => best = 3,
            _ => {}
        }
    }
    assert_eq!(status, best, "{report:#}");
    let mut watch = under(before, program);
    watch.args(["--duration", "300ms"]);
    let (_, stderr) = run(watch);
    match report["auto"].as_str() {
        Some(auto) => {
            assert!(stderr.lines().next().is_some_and(|line| line.contains(&format!("({auto})"))), "{stderr}")
        }
        None => assert!(stderr.starts_with("procscope: cannot watch"), "{stderr}"),
    }
    report
}

#[test]
fn as_root_all_is_well_in_a_storm_too() {
    let _turn = turn::take();
    let (_dir, program) = for_everyone();
    let report = agree(&[], &program, &["--deep"]);
    assert_eq!(text(&report, "works"), "yes");
    for id in ["ebpf", "process-connector"] {
        let storm = &source(&report, id)["storm"];
        let count = |key: &str| storm[key].as_u64().unwrap_or_else(|| panic!("{key} in {storm:#}"));
        assert_eq!(count("made"), 2000);
        let came = count("fork") + count("exec") + count("exit");
        assert!(came + count("lost") >= 6000 && came <= 6000, "{id}: {storm:#}");
        assert_eq!(found(&report, id, "storm"), "ok");
        assert_eq!(count("argv_wrong"), 0, "{id}: {storm:#}");
        // Each is compared with the other one, and nothing else is known.
        let other = if id == "ebpf" { "process-connector" } else { "ebpf" };
        let agreements = storm["agreements"].as_array().unwrap_or_else(|| panic!("{storm:#}"));
        let agreement = agreements.iter().find(|it| it["with"] == other).unwrap_or_else(|| panic!("{storm:#}"));
        let of = |key: &str| agreement[key].as_u64().unwrap_or_else(|| panic!("{key} in {storm:#}"));
        assert_eq!((of("alone"), of("missing"), of("differing")), (0, 0, 0), "{storm:#}");
        assert!(of("compared") >= 6000 && of("agreed") + of("explained") == of("compared"), "{storm:#}");
        assert_eq!(found(&report, id, "agreement"), "ok");
    }
    let exact = &source(&report, "ebpf")["storm"]["argv_exact"];
    assert_eq!(exact, &source(&report, "ebpf")["storm"]["exec"]);
    for check in ["fork", "exec", "argv", "parent", "exit", "status", "killer", "exec-failed", "loss"] {
        assert_eq!(found(&report, "ebpf", check), "ok");
    }
    assert_eq!(found(&report, "process-connector", "argv"), "late");
    assert_eq!(found(&report, "process-connector", "exec-failed"), "missing");
}

#[test]
fn as_nobody_it_is_a_matter_of_rights() {
    let _turn = turn::take();
    let (_dir, program) = for_everyone();
    let report = agree(&NOBODY, &program, &[]);
    assert_eq!(report["linux"]["capabilities"].as_array().map(Vec::len), Some(0));
    assert_eq!(report["linux"]["uid"], 65534);
    let ebpf = source(&report, "ebpf");
    assert_eq!(text(ebpf, "works"), "no");
    let trouble = &ebpf["troubles"][0];
    assert!(text(trouble, "cause").contains("CAP_BPF"), "{trouble:#}");
    assert!(text(trouble, "help").contains(&format!("sudo {}", program.display())), "{trouble:#}");
    assert_eq!(text(&report, "auto"), "process-connector");
    assert_eq!(text(&report, "works"), "partly");
    for (check, as_it_is) in [("exec", "ok"), ("argv", "late"), ("exit", "ok"), ("status", "ok")] {
        assert_eq!(found(&report, "process-connector", check), as_it_is);
    }
}

#[test]
fn in_a_container_proc_is_left() {
    let _turn = turn::take();
    let (_dir, program) = for_everyone();
    let report = agree(&CONTAINER, &program, &[]);
    assert_eq!((text(&report, "works"), text(&report, "auto")), ("yes", "proc-poll"));
    assert_eq!(report["linux"]["initial_user_namespace"], false);
    assert_eq!(report["linux"]["initial_pid_namespace"], false);
    for id in ["ebpf", "process-connector"] {
        let trouble = &source(&report, id)["troubles"][0];
        assert!(text(trouble, "cause").contains("namespace"), "{trouble:#}");
        assert!(text(trouble, "help").contains("on the host"), "{trouble:#}");
    }
    for check in ["fork", "exec", "exit"] {
        assert_eq!(found(&report, "proc-poll", check), "ok");
    }
}

/// Its pids then differ from those in events.
#[test]
fn in_a_pid_namespace_probes_are_found_by_their_arguments() {
    let _turn = turn::take();
    let (_dir, program) = for_everyone();
    let report = agree(&["unshare", "--pid", "--fork", "--mount-proc"], &program, &[]);
    assert_eq!(text(source(&report, "ebpf"), "works"), "yes");
    for check in ["fork", "exec", "argv", "parent", "exit", "status", "killer", "exec-failed"] {
        assert_eq!(found(&report, "ebpf", check), "ok");
    }
}

#[test]
fn in_a_network_namespace_the_connector_is_out_of_reach() {
    let _turn = turn::take();
    let (_dir, program) = for_everyone();
    let report = agree(&["unshare", "--net"], &program, &[]);
    assert_eq!(text(source(&report, "ebpf"), "works"), "yes");
    let trouble = &source(&report, "process-connector")["troubles"][0];
    assert!(text(trouble, "cause").contains("network namespace"), "{trouble:#}");
}

/// The mechanism is not at fault, and a process that never began is not waited for.
#[test]
fn limits_are_told_from_mechanisms_that_fail() {
    let _turn = turn::take();
    let (_dir, program) = for_everyone();
    let before = [&["prlimit", "--nproc=0:0"][..], &NOBODY].concat();
    let (status, report) = document(&before, &program, &["doctor", "--source", "process-connector"]);
    assert_eq!((status, text(&report, "works")), (1, "unknown"), "{report:#}");
    let (_, report) = document(&["prlimit", "--nofile=20:20"], &program, &["doctor", "--source", "ebpf"]);
    let trouble = &source(&report, "ebpf")["troubles"][0];
    assert!(text(trouble, "help").contains("ulimit -n"), "{trouble:#}");
}

#[test]
fn without_proc_it_says_so() {
    let _turn = turn::take();
    let (_dir, program) = for_everyone();
    let report = agree(&WITHOUT_PROC, &program, &[]);
    assert_eq!(report["linux"]["proc"], false);
    assert_eq!(text(&report, "auto"), "ebpf");
    for id in ["ebpf", "process-connector"] {
        let it = source(&report, id);
        assert_eq!(text(it, "works"), "partly");
        assert_eq!(it["troubles"].as_array().map(Vec::len), Some(1), "{it:#}");
        assert_eq!(text(&it["troubles"][0], "help"), "mount -t proc proc /proc");
    }
    assert_eq!(found(&report, "ebpf", "argv"), "ok");
    assert_eq!(found(&report, "process-connector", "argv"), "missing");
}

/// The table of both, in the form for people.
#[test]
fn the_text_fits_a_screen() {
    let _turn = turn::take();
    for before in [&[][..], &NOBODY] {
        let (_dir, program) = for_everyone();
        for command in ["doctor", "sources"] {
            let output = under(before, &program).arg(command).output().expect("it can be run");
            let text = String::from_utf8(output.stdout).expect("it is text");
            // A long path stays whole.
            let wide = |line: &&str| line.chars().count() > 80 && !line.contains("/procscope");
            assert_eq!(text.lines().find(wide), None, "{text}");
            assert!(text.contains("procscope picks "), "{text}");
        }
    }
}

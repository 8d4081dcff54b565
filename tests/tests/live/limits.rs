//! Containers and other limits: in each situation every mechanism reports the truth about a
//! command, or says what is missing and the remedy; and doctor says the same beforehand.

use std::fs;
use std::process::Command;

use crate::doctor::{NOBODY, agree, under};
use crate::turn;
use crate::watch::{events, for_everyone};

/// The expected reports on a command that a mechanism watches.
#[derive(Clone, Copy, Debug)]
enum Expected {
    /// Its exact arguments and its status.
    Reports,
    /// Its status, and no name; these words give the reason.
    Nameless(&'static str),
    /// Nothing: words of the cause, and of the remedy.
    Refused(&'static str, &'static str),
}

use Expected::{Nameless, Refused, Reports};

const IDS: [&str; 5] = ["ebpf", "ptrace", "process-connector", "tracefs", "proc-poll"];

struct Situation {
    name: &'static str,
    before: &'static [&'static str],
    /// As another user, too.
    nobody: bool,
    /// The results of the mechanisms, in the order of [`IDS`], in which `auto` tries them for a
    /// command.
    expected: [Expected; 5],
}

const CONFINED: &str = env!("CARGO_BIN_EXE_ps-confined");
const NO_RIGHTS: Expected = Refused("CAP_BPF and CAP_PERFMON", "sudo ");
const OTHER_USERS: Expected = Refused("user namespace", "on the host");
const OTHER_PIDS: Expected = Refused("pid namespace", "--pid=host");
const NO_CONNECTOR: Expected = Refused("only in the initial pid and user namespaces", "--pid=host");
const NO_PROC: Expected = Refused("/proc is not mounted", "mount -t proc proc /proc");
const NO_SYS: Expected = Refused("/sys is not mounted", "mount -t sysfs sysfs /sys");
const FOREIGN_PROC: Expected = Refused("/proc is that of another pid namespace", "mount -t proc proc /proc");
const FILTERED: Expected = Refused("seccomp", "seccomp=unconfined");
const NO_ROOT: Expected = Refused("it belongs to root", "sudo ");
const OTHER_TRACED_USERS: Expected = Refused("tracefs is only for the initial user namespace", "on the host");
const UNMOUNTED: Expected = Nameless("/proc is not mounted");

const SITUATIONS: &[Situation] = &[
    Situation { name: "root", before: &[], nobody: false, expected: [Reports; 5] },
    Situation {
        name: "no rights",
        before: &[],
        nobody: true,
        expected: [NO_RIGHTS, Reports, Reports, NO_ROOT, Reports],
    },
    Situation {
        name: "user namespace",
        // A mounted tracefs may be used by its owner's number.
        before: &[
            "unshare",
            "--mount",
            "sh",
            "-c",
            "umount -a -t tracefs; exec \"$@\"",
            "sh",
            "unshare",
            "--user",
            "--map-root-user",
        ],
        nobody: false,
        expected: [OTHER_USERS, Reports, NO_CONNECTOR, OTHER_TRACED_USERS, Reports],
    },
    Situation {
        // It could hold a token, and holds none.
        name: "user namespace with a BPF file system",
        before: &[
            "unshare",
            "--mount",
            "sh",
            "-c",
            "umount -a -t tracefs; mount -t bpf bpf /sys/fs/bpf && exec \"$@\"",
            "sh",
            "unshare",
            "--user",
            "--map-root-user",
        ],
        nobody: false,
        expected: [OTHER_USERS, Reports, NO_CONNECTOR, OTHER_TRACED_USERS, Reports],
    },
    Situation {
        name: "pid namespace",
        before: &["unshare", "--pid", "--fork", "--mount-proc"],
        nobody: false,
        expected: [OTHER_PIDS, Reports, NO_CONNECTOR, OTHER_PIDS, Reports],
    },
    Situation {
        name: "pid namespace with the old /proc",
        before: &["unshare", "--pid", "--fork"],
        nobody: false,
        expected: [OTHER_PIDS, FOREIGN_PROC, NO_CONNECTOR, OTHER_PIDS, FOREIGN_PROC],
    },
    Situation {
        name: "container",
        before: &["unshare", "--user", "--map-root-user", "--pid", "--fork", "--mount-proc"],
        nobody: false,
        expected: [OTHER_USERS, Reports, NO_CONNECTOR, OTHER_PIDS, Reports],
    },
    Situation {
        name: "network namespace",
        before: &["unshare", "--net"],
        nobody: false,
        expected: [Reports, Reports, Refused("network namespace", "--network=host"), Reports, Reports],
    },
    Situation {
        name: "seccomp",
        before: &[CONFINED],
        nobody: false,
        expected: [FILTERED, FILTERED, FILTERED, Reports, Reports],
    },
    Situation {
        name: "seccomp without rights",
        before: &[CONFINED],
        nobody: true,
        expected: [NO_RIGHTS, FILTERED, FILTERED, NO_ROOT, Reports],
    },
    Situation {
        name: "read-only /sys",
        before: &["unshare", "--mount", "sh", "-c", "mount -o remount,bind,ro /sys && exec \"$@\"", "sh"],
        nobody: false,
        expected: [Reports; 5],
    },
    Situation {
        name: "no /sys",
        before: &["unshare", "--mount", "sh", "-c", "umount -l /sys && exec \"$@\"", "sh"],
        nobody: false,
        expected: [NO_SYS, Reports, Reports, Reports, Reports],
    },
    Situation {
        name: "no /proc",
        before: &["unshare", "--mount", "sh", "-c", "umount -l /proc && exec \"$@\"", "sh"],
        nobody: false,
        expected: [Reports, UNMOUNTED, UNMOUNTED, NO_PROC, NO_PROC],
    },
    Situation {
        name: "no /proc and no rights",
        before: &["unshare", "--mount", "sh", "-c", "umount -l /proc && exec \"$@\"", "sh"],
        nobody: true,
        expected: [NO_RIGHTS, UNMOUNTED, UNMOUNTED, NO_ROOT, NO_PROC],
    },
    Situation {
        name: "hidepid",
        before: &["unshare", "--mount", "sh", "-c", "mount -t proc -o hidepid=2 proc /proc && exec \"$@\"", "sh"],
        nobody: true,
        expected: [NO_RIGHTS, Reports, Reports, NO_ROOT, Reports],
    },
    Situation {
        name: "chroot",
        before: &[
            "unshare",
            "--mount",
            "sh",
            "-c",
            "d=$(mktemp -d) && mount --bind / $d && exec chroot $d \"$@\"",
            "sh",
        ],
        nobody: false,
        expected: [NO_SYS, UNMOUNTED, UNMOUNTED, NO_PROC, NO_PROC],
    },
];

/// The command, which lives long enough for every mechanism to see it.
fn marker() -> Vec<&'static str> {
    vec!["sh", "-c", "sleep 0.3; exit 7", "marker", "", "two\nlines", "\u{e9}\u{202e}", " "]
}

/// Runs the marker, and returns the program's status, its messages, and its events.
fn try_it(
    situation: &Situation,
    program: &std::path::Path,
    source: &str,
) -> (i32, String, Vec<procscope_tests::seen::Seen>) {
    let dir = tempfile::tempdir().expect("a directory can be made");
    std::os::unix::fs::chown(dir.path(), situation.nobody.then_some(65534), None).expect("it is ours");
    let file = dir.path().join("events");
    let output = command(situation, program)
        .args(["run", "--source", source, "--format", "json", "-e", "exec,exit", "-o"])
        .arg(&file)
        .arg("--")
        .args(marker())
        .output()
        .expect("it can be run");
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    let told = if fs::exists(&file).expect("it can be looked for") { events(&file) } else { Vec::new() };
    (output.status.code().unwrap_or(-1), stderr, told)
}

fn before(situation: &Situation) -> Vec<&'static str> {
    let user: &[&str] = if situation.nobody { &NOBODY } else { &[] };
    [situation.before, user].concat()
}

fn command(situation: &Situation, program: &std::path::Path) -> Command {
    under(&before(situation), program)
}

fn check(situation: &Situation, program: &std::path::Path, source: &str, expected: Expected) -> String {
    let (status, stderr, told) = try_it(situation, program, source);
    let what = format!("{}, {source}: {expected:?}: {status} {stderr} {told:?}", situation.name);
    let exec = told.iter().find(|seen| seen.event == "exec" && seen.arguments().is_some_and(|argv| argv.len() == 8));
    let exit = told.iter().find(|seen| seen.event == "exit" && seen.exit_code == Some(7));
    match expected {
        Reports => {
            assert!(status == 7 && exit.is_some(), "{what}");
            let argv: Vec<Vec<u8>> = marker().into_iter().map(|word| word.as_bytes().to_vec()).collect();
            assert_eq!(exec.and_then(|seen| seen.arguments()), Some(argv), "{what}");
        }
        Nameless(why) => {
            assert!(status == 7 && exit.is_some() && exec.is_none() && stderr.contains(why), "{what}");
            let named = |seen: &procscope_tests::seen::Seen| seen.argv.is_some() && !seen.flaws.contains_key("argv");
            assert!(!told.iter().any(named), "{what}");
        }
        Refused(cause, help) => {
            let line = |title: &str| stderr.lines().find_map(|line| line.strip_prefix(title)).unwrap_or_default();
            assert!(status == 1 && told.is_empty(), "{what}");
            assert!(line("cause: ").contains(cause) && line("help: ").contains(help), "{what}");
        }
    }
    stderr
}

fn in_situation(name: &str) {
    let situation = SITUATIONS.iter().find(|it| it.name == name).expect("it is in the table");
    let (_dir, program) = for_everyone();
    for (source, expected) in IDS.into_iter().zip(situation.expected) {
        check(situation, &program, source, expected);
    }
    let works = |expected: &&Expected| !matches!(expected, Refused(..));
    let best = IDS.into_iter().zip(&situation.expected).find(|(_, expected)| works(expected));
    match best {
        Some((id, expected)) => {
            let stderr = check(situation, &program, "auto", *expected);
            let mut lines = stderr.lines();
            assert!(lines.next().is_some_and(|line| line.contains(&format!("({id})"))), "{name}: {stderr}");
            // Why it is not the best, in one line.
            if id != IDS[0] {
                assert!(
                    lines.next().is_some_and(|line| line.contains(" in place of ebpf, since ")),
                    "{name}: {stderr}"
                );
            }
        }
        None => {
            let stderr = check(situation, &program, "auto", situation.expected[0]);
            let cause = stderr.lines().nth(1).unwrap_or_default();
            for (id, expected) in IDS.into_iter().zip(situation.expected) {
                let Refused(why, _) = expected else { panic!("{expected:?}") };
                assert!(cause.contains(&format!("{id}: ")) && cause.contains(why), "{name}: {stderr}");
            }
        }
    }
    agree(&before(situation), &program, &[]);
}

macro_rules! situations {
    ($($test:ident: $name:literal,)*) => {
        $(#[test]
        fn $test() {
            let _turn = turn::take();
            in_situation($name);
        })*

        #[test]
        fn every_situation_is_tried() {
            let tried = [$($name),*];
            assert!(SITUATIONS.iter().all(|it| tried.contains(&it.name)) && tried.len() == SITUATIONS.len());
        }
    };
}

situations! {
    as_root: "root",
    without_rights: "no rights",
    in_a_user_namespace: "user namespace",
    in_a_user_namespace_with_a_bpf_file_system: "user namespace with a BPF file system",
    in_a_pid_namespace: "pid namespace",
    in_a_pid_namespace_with_the_old_proc: "pid namespace with the old /proc",
    in_a_container: "container",
    in_a_network_namespace: "network namespace",
    under_seccomp: "seccomp",
    under_seccomp_without_rights: "seccomp without rights",
    with_a_read_only_sys: "read-only /sys",
    without_sys: "no /sys",
    without_proc: "no /proc",
    without_proc_and_rights: "no /proc and no rights",
    with_hidden_processes: "hidepid",
    in_a_chroot: "chroot",
}

//! A command that procscope runs.

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::process::ExitStatusExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use procscope_tests::seen::Seen;

use crate::turn;
use crate::watch::{events, program, wait};

/// `procscope run` with JSON in a file.
pub(crate) struct Run {
    pub(crate) status: ExitStatus,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    pub(crate) events: Vec<Seen>,
}

/// The sources that tell of everything that is asked for here.
const SOURCES: &[&str] = &["ebpf", "process-connector"];

fn command(source: &str, options: &[&str], words: &[&str]) -> (tempfile::TempDir, PathBuf, Command) {
    let dir = tempfile::tempdir().expect("a directory can be made");
    let file = dir.path().join("events");
    let mut command = Command::new(program());
    command.args(["run", "--source", source, "--format", "json", "-o"]).arg(&file).args(options).arg("--").args(words);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    (dir, file, command)
}

pub(crate) fn run(source: &str, options: &[&str], words: &[&str]) -> Run {
    let (_dir, file, mut command) = command(source, options, words);
    let output = command.output().expect("procscope can be run");
    let text = |bytes| String::from_utf8(bytes).expect("text");
    Run {
        status: output.status,
        stdout: text(output.stdout),
        stderr: text(output.stderr),
        events: if file.exists() { events(&file) } else { Vec::new() },
    }
}

fn sh(source: &str, options: &[&str], script: &str) -> Run {
    run(source, options, &["sh", "-c", script])
}

/// Starts it, and waits until CMD says that it runs.
fn begin(
    source: &str,
    options: &[&str],
    script: &str,
) -> (tempfile::TempDir, PathBuf, Child, BufReader<std::process::ChildStdout>) {
    let (dir, file, mut command) = command(source, options, &["sh", "-c", script]);
    let mut child = command.spawn().expect("procscope can be run");
    let mut stdout = BufReader::new(child.stdout.take().expect("it is piped"));
    let mut line = String::new();
    stdout.read_line(&mut line).expect("CMD says something");
    assert_eq!(line, "ready\n");
    (dir, file, child, stdout)
}

fn signal(child: &Child, signo: i32) {
    // SAFETY: our child, not waited for yet.
    assert_eq!(unsafe { libc::kill(child.id() as i32, signo) }, 0);
}

#[test]
fn the_status_is_the_commands() {
    let _turn = turn::take();
    for source in SOURCES {
        assert_eq!(sh(source, &[], "exit 0").status.code(), Some(0), "{source}");
        assert_eq!(sh(source, &[], "exit 7").status.code(), Some(7), "{source}");
        let killed = sh(source, &["-e", "all"], "kill -TERM $$");
        assert_eq!(killed.status.code(), Some(128 + libc::SIGTERM), "{source}: {}", killed.stderr);
        let names: Vec<&str> = killed.events.iter().map(|seen| &*seen.event).collect();
        assert!(!names.contains(&"existing") && names.first() == Some(&"exec"), "{source}: {names:?}");
        assert_eq!(killed.events.last().and_then(|seen| seen.signal.as_deref()), Some("SIGTERM"), "{source}");
        assert!(killed.stderr.contains("delivered"), "{source}: {}", killed.stderr);
    }
}

#[test]
fn what_cannot_run_says_why() {
    let _turn = turn::take();
    for source in SOURCES {
        for (word, code) in [("no-such-program", 127), ("/no/such/program", 127), ("/etc/passwd", 126), ("/", 126)] {
            let ended = run(source, &[], &[word]);
            assert_eq!(ended.status.code(), Some(code), "{source} {word}: {}", ended.stderr);
            let lines: Vec<&str> = ended.stderr.lines().rev().take(3).collect();
            for (line, begin) in lines.iter().rev().zip(["procscope: cannot run", "cause: ", "help: "]) {
                assert!(line.starts_with(begin), "{}", ended.stderr);
            }
        }
    }
}

/// The command has what procscope was given, and nothing of procscope's own.
#[test]
fn the_command_has_stdin_stdout_and_the_environment() {
    let _turn = turn::take();
    let open = Command::new("ls").arg("/proc/self/fd").stdin(Stdio::null()).output().expect("ls can be run").stdout;
    let open = String::from_utf8(open).expect("text");
    for source in SOURCES {
        let (_dir, file, mut command) =
            command(source, &["-q"], &["sh", "-c", "cat; echo $PS_X >&2; ls /proc/self/fd"]);
        let mut child = command.env("PS_X", "its own").stdin(Stdio::piped()).spawn().expect("procscope can be run");
        child.stdin.take().expect("it is piped").write_all(b"through\n").expect("it reads");
        let output = child.wait_with_output().expect("our own child");
        let stdout = String::from_utf8_lossy(&output.stdout);
        assert_eq!(stdout.strip_prefix("through\n"), Some(&*open), "{source}");
        assert_eq!(String::from_utf8_lossy(&output.stderr), "its own\n", "{source}");
        assert!(events(&file).len() >= 4, "{source}");
    }
}

/// Signals of the command are as they were: what Rust's runtime ignores is not ignored.
#[test]
fn the_command_has_its_own_signals() {
    let _turn = turn::take();
    let own = Command::new("grep").args(["^SigIgn", "/proc/self/status"]).output().expect("grep can be run");
    for source in SOURCES {
        let ended = run(source, &[], &["grep", "^SigIgn", "/proc/self/status"]);
        assert_eq!(ended.stdout.as_bytes(), own.stdout, "{source}");
    }
}

/// A grandchild in a session of its own, whose parent has ended.
#[test]
fn a_daemon_is_followed_to_its_end() {
    let _turn = turn::take();
    let daemon = "setsid sh -c '(sleep 0.4; exec sh -c \"exit 9\") & exit 0'; exit 5";
    for source in SOURCES {
        let all = sh(source, &["--wait-all", "-e", "exit"], daemon);
        assert_eq!(all.status.code(), Some(5), "{source}: {}", all.stderr);
        let codes: Vec<_> = all.events.iter().filter_map(|seen| seen.exit_code).collect();
        assert!(codes.contains(&9) && codes.contains(&5), "{source}: {codes:?}");
        let begun = Instant::now();
        let alone = sh(source, &["-e", "exit"], "sleep 20 >/dev/null 2>&1 & exit 5");
        assert_eq!(alone.status.code(), Some(5), "{source}");
        assert!(begun.elapsed() < Duration::from_secs(10), "{source}: {:?}", begun.elapsed());
    }
}

#[test]
fn the_end_of_the_events_is_not_that_of_the_command() {
    let _turn = turn::take();
    for source in SOURCES {
        for options in [["--count", "1"], ["--duration", "50ms"]] {
            let ended = sh(source, &options, "sleep 0.3; echo done; exit 4");
            assert_eq!((ended.status.code(), &*ended.stdout), (Some(4), "done\n"), "{source} {options:?}");
        }
    }
}

#[test]
fn sigterm_and_sighup_are_passed_on() {
    let _turn = turn::take();
    for source in SOURCES {
        for (signo, code) in [(libc::SIGTERM, 11), (libc::SIGHUP, 12)] {
            let script = "trap 'exit 11' TERM; trap 'exit 12' HUP; echo ready; while :; do sleep 0.05; done";
            let (_dir, _, mut child, _stdout) = begin(source, &["-q"], script);
            signal(&child, signo);
            assert_eq!(wait(&mut child).code(), Some(code), "{source}");
        }
    }
}

/// SIGINT that the terminal sends to both is the command's business.
#[test]
fn sigint_does_not_end_it_before_the_command() {
    let _turn = turn::take();
    for source in SOURCES {
        let (_dir, file, mut child, _stdout) = begin(source, &["-q"], "echo ready; sleep 0.3; sh -c 'exit 6'");
        signal(&child, libc::SIGINT);
        signal(&child, libc::SIGQUIT);
        assert_eq!(wait(&mut child).code(), Some(6), "{source}");
        assert!(events(&file).iter().any(|seen| seen.event == "exit" && seen.exit_code == Some(6)), "{source}");
    }
}

/// A held command whose procscope is killed does not run; one that runs lives on.
#[test]
fn a_killed_procscope_leaves_no_held_command() {
    let _turn = turn::take();
    let (_dir, _, mut child, mut stdout) = begin("ebpf", &["-q"], "echo ready; sleep 0.3; echo alive");
    signal(&child, libc::SIGKILL);
    assert_eq!(wait(&mut child).signal(), Some(libc::SIGKILL));
    let mut line = String::new();
    stdout.read_line(&mut line).expect("CMD goes on");
    assert_eq!(line, "alive\n");
}

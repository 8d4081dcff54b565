//! A command that procscope runs.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::process::CommandExt as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};

use procscope_tests::compare::{Comparison, ODD_UNDER_PTRACE, UNTOLD_BY_PTRACE};
use procscope_tests::seen::Seen;
use procscope_tests::tiny::Bin;

use crate::turn;
use crate::watch::{Watch, compare, events, for_everyone, program, wait};

/// `procscope run` with JSON in a file.
pub(crate) struct Run {
    pub(crate) status: ExitStatus,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    pub(crate) events: Vec<Seen>,
}

/// The sources that report everything requested here.
const SOURCES: &[&str] = &["ebpf", "ptrace", "process-connector"];

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

pub(crate) fn sh(source: &str, options: &[&str], script: &str) -> Run {
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

/// The command has everything given to procscope, and nothing of procscope's own.
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

/// The command's signals are unchanged: those that Rust's runtime ignores are not ignored.
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
        if *source == "ptrace" {
            continue;
        }
        // Without it no process is waited for.
        let alone = sh(source, &["-e", "exit"], "sleep 200 >/dev/null 2>&1 & echo $!; exit 5");
        assert_eq!(alone.status.code(), Some(5), "{source}");
        let left: i32 = alone.stdout.trim().parse().expect("a pid");
        // SAFETY: it sleeps for longer than the whole test, so no other process has the pid.
        assert_eq!(unsafe { libc::kill(left, libc::SIGTERM) }, 0, "{source} waited for it");
    }
}

/// CLONE_PARENT makes a child of procscope, or of the process that made the caller. It becomes a
/// program and clones once more.
#[test]
fn a_sister_of_the_command_is_followed_to_its_end() {
    let _turn = turn::take();
    let bin = Bin::new().expect("a directory can be made");
    let tiny = bin.tiny();
    let tiny = tiny.to_str().expect("text");
    let script = "o(z200o(z200e11)cz100e9)e7";
    for source in ["ebpf", "ptrace", "process-connector", "tracefs", "proc-poll"] {
        let (_dir, file, mut command) = command(source, &["-e", "fork,exit", "--wait-all"], &[tiny, tiny]);
        let output = command.env("PS", script).output().expect("procscope can be run");
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(7), "{source}: {stderr}");
        let events = events(&file);
        let codes: Vec<_> = events.iter().filter_map(|seen| seen.exit_code).collect();
        assert!([7, 9, 11].iter().all(|code| codes.contains(code)), "{source}: {codes:?} {stderr}");
        // They are children of procscope, but not copies of it.
        let forks: Vec<&Seen> = events.iter().filter(|seen| seen.event == "fork").collect();
        let copies = |seen: &&&Seen| {
            seen.name.as_deref() == Some("procscope") || seen.argv.iter().flatten().any(|word| word == "--wait-all")
        };
        assert!(forks.len() == 2 && forks.iter().find(copies).is_none(), "{source}: {forks:?}");
    }
}

/// The same for a watched process, by sources that report the creator; the others say that they do
/// not.
#[test]
fn a_sister_of_a_watched_process_is_of_its_tree() {
    let _turn = turn::take();
    let bin = Bin::new().expect("a directory can be made");
    for source in ["ebpf", "tracefs", "process-connector", "proc-poll"] {
        let mut held = Command::new(bin.tiny());
        held.env("PS", "r0o(z100e9)e7").stdin(Stdio::piped());
        let mut held = held.spawn().expect("the tiny program can be run");
        let watch = Watch::start(["--source", source, "-e", "exit", "--tree", &held.id().to_string()]);
        held.stdin.take().expect("it is piped").write_all(b".").expect("it reads");
        held.wait().expect("our own child");
        watch.wait_for(r#""exit_code":7"#);
        let knows = matches!(source, "ebpf" | "tracefs");
        if knows {
            watch.wait_for(r#""exit_code":9"#);
        }
        let ended = watch.stop();
        assert_eq!(ended.stderr.contains("CLONE_PARENT"), !knows, "{source}: {}", ended.stderr);
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

/// SIGINT, which the terminal sends to both, is for the command.
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

/// ptrace stays for all descendants, because they could not exec without it; a killed procscope
/// kills its command, too.
#[test]
fn ptrace_goes_on_to_the_last_descendant() {
    let _turn = turn::take();
    let ended = sh("ptrace", &[], "(sleep 0.3; exec sh -c 'exit 9') & exit 5");
    assert_eq!(ended.status.code(), Some(5));
    let last = ended.events.last().map(|seen| (&*seen.event, seen.exit_code));
    assert_eq!(last, Some(("exit", Some(9))), "{}", ended.stderr);
    let (_dir, _, mut child, mut stdout) = begin("ptrace", &["-q"], "echo ready; sleep 0.5; echo alive");
    signal(&child, libc::SIGKILL);
    wait(&mut child);
    assert_eq!(stdout.read_line(&mut String::new()).expect("it can be read"), 0);
    // Without failed execs nothing would fail.
    let (_dir, _, mut child, mut stdout) =
        begin("ptrace", &["-q", "-e", "exec"], "echo ready; sleep 0.5; sh -c 'echo alive'");
    signal(&child, libc::SIGKILL);
    wait(&mut child);
    let mut line = String::new();
    stdout.read_line(&mut line).expect("it can be read");
    assert_eq!(line, "alive\n");
}

/// Watching with ptrace needs a command.
#[test]
fn ptrace_without_a_command_explains_itself() {
    let _turn = turn::take();
    let output = Command::new(program()).args(["--source", "ptrace"]).output().expect("procscope can be run");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(stderr.contains("help: name the command: procscope run --source ptrace -- CMD"), "{stderr}");
}

/// Stopped children, as a job-control shell sees them: its own wait reports the stop, and SIGCONT
/// wakes them.
#[test]
fn stops_and_continues_are_seen_by_the_parent() {
    let _turn = turn::take();
    let script = "set -m; sh -c 'kill -STOP $$; exit 8' & wait $!; echo first $?; kill -CONT $!; \
                  code=147; while [ $code = 147 ]; do wait $!; code=$?; done; echo then $code";
    for source in SOURCES {
        let ended = run(source, &["-q"], &["bash", "-c", script]);
        let stop = 128 + libc::SIGSTOP;
        assert_eq!(ended.stdout, format!("first {stop}\nthen 8\n"), "{source}: {}", ended.stderr);
    }
}

/// The execs, refusals and ends are the same, whichever mechanism reports them.
#[test]
fn ptrace_tells_of_a_build_what_ebpf_tells() {
    let _turn = turn::take();
    let zlib = zlib();
    let told = |source: &str, uid: u32| {
        let dir = tempfile::tempdir().expect("a directory can be made");
        let built = dir.path().join("zlib");
        for (program, arguments) in [("cp", vec!["-r"]), ("chown", vec!["-R", "--reference", "."])] {
            let mut command = Command::new(program);
            command.args(arguments).current_dir(dir.path());
            if program == "cp" {
                command.arg(&zlib);
                std::os::unix::fs::chown(dir.path(), Some(uid), Some(uid)).expect("root may");
            }
            assert!(command.arg(&built).status().expect("it can be run").success(), "{program}");
        }
        let (_bin, procscope) = for_everyone();
        let mut command = Command::new(procscope);
        command.args(["run", "--source", source, "--format", "json", "-o", "events", "-q"]);
        // With forks, so that a process that never execs has its inherited arguments.
        command.args(["-e", "fork,exec,exec-failed,exit", "--"]);
        command.args(["sh", "-c", "./configure --static && make -j2"]);
        // Paths in other directories depend on the user.
        command.env("PATH", "/usr/bin:/bin").current_dir(&built).uid(uid).gid(uid);
        let output = command.output().expect("procscope can be run");
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{source}: {stderr}");
        // Its own test of the built program.
        let example = Command::new("./example").current_dir(&built).output().expect("make made it");
        assert!(example.status.success(), "{source}: {}", String::from_utf8_lossy(&example.stderr));
        let events = events(&built.join("events"));
        assert!(events.iter().all(|seen| seen.event != "lost"), "{source}");
        let mut told: Vec<String> = events.iter().map(|seen| line(seen, dir.path())).collect();
        told.sort();
        told
    };
    let (ebpf, ptrace) = (told("ebpf", 0), told("ptrace", 65534));
    let only = |ours: &[String], theirs: &[String]| {
        ours.iter().filter(|line| !theirs.contains(line)).cloned().collect::<Vec<_>>().join("\n")
    };
    assert!(ebpf == ptrace, "ebpf alone:\n{}\nptrace alone:\n{}", only(&ebpf, &ptrace), only(&ptrace, &ebpf));
    let execs = ebpf.iter().filter(|line| line.starts_with("exec ")).count();
    assert!(execs > 150 && ebpf.iter().any(|line| line.contains("inflate.c")), "{execs} execs");
    println!("{} events, {execs} of them execs, are the same", ebpf.len());
}

/// The sources of zlib: they come with a crate that the program is built with, so they are already
/// here.
fn zlib() -> PathBuf {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    // Other systems' crates may be missing.
    let here = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let arguments = ["metadata", "--format-version", "1", "--locked", "--offline", "--filter-platform", &here];
    let output = Command::new(cargo).args(arguments).output().expect("cargo can be run");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).expect("it writes JSON");
    let packages = metadata["packages"].as_array().expect("a list");
    let package = packages.iter().find(|package| package["name"] == "libbpf-sys").expect("it is in Cargo.lock");
    let manifest = Path::new(package["manifest_path"].as_str().expect("a path"));
    let zlib = manifest.with_file_name("zlib");
    assert!(zlib.join("configure").exists(), "{} holds no zlib", zlib.display());
    zlib
}

/// An event without the values that differ between runs: pids, times, and the names of temporary
/// files.
fn line(seen: &Seen, dir: &Path) -> String {
    let text = |bytes: &[u8]| {
        let text = String::from_utf8_lossy(bytes).replace(&*dir.to_string_lossy(), "DIR");
        // gcc's are /tmp/cc and six letters; those of zlib's configure end with its pid.
        let text = match text.find("/tmp/cc") {
            Some(at) if text.len() >= at + 13 => format!("{}TMP{}", &text[..at], &text[at + 13..]),
            _ => text,
        };
        match text.split_once("ztest") {
            Some((before, after)) => format!("{before}ztest{}", after.trim_start_matches(|c: char| c.is_ascii_digit())),
            None => text,
        }
    };
    let argv: Vec<String> = seen.arguments().unwrap_or_default().iter().map(|word| text(word)).collect();
    let status = (&seen.errno, seen.exit_code, &seen.signal);
    format!("{} {argv:?} {:?} {status:?} {:?}", seen.event, seen.path.as_deref().map(|p| text(p.as_bytes())), seen.name)
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

/// Runs the generator under ptrace, and compares.
fn generated(words: &[&str], kinds: &str) -> procscope_tests::report::Report {
    let (dir, file, mut command) =
        command("ptrace", &["-q", "--env", "-e", kinds], &[env!("CARGO_BIN_EXE_ps-workload")]);
    let truth = dir.path().join("truth");
    let output = command.args(words).arg("--truth").arg(&truth).output().expect("procscope can be run");
    let read = |path| std::io::BufReader::new(fs::File::open(path).expect("it was written"));
    let lines = procscope_tests::truth::read(read(&truth)).unwrap_or_else(|error| panic!("{error}: {output:?}"));
    let kinds: Vec<&str> = kinds.split(',').collect();
    compare(&file, Comparison::new(lines).only(&kinds))
}

#[test]
fn a_storm_under_ptrace_is_told_exactly() {
    let _turn = turn::take();
    let report = generated(&["storm", "--count", "2000"], "fork,exec,exec-failed,exit");
    let wrong = report.fields.iter().filter(|(field, tally)| tally.wrong > 0 && !UNTOLD_BY_PTRACE.contains(field));
    assert_eq!(wrong.count(), 0, "{report}");
    assert!(report.lost.is_empty() && report.execs >= 2000, "{report}");
}

#[test]
fn odd_cases_under_ptrace_are_told_as_far_as_it_can() {
    let _turn = turn::take();
    let report = generated(&["odd"], "fork,clone,exec,exec-failed,exit,thread-exit");
    let wrong = report.fields.iter().filter(|(field, tally)| tally.wrong > 0 && !UNTOLD_BY_PTRACE.contains(field));
    let wrong: Vec<_> = wrong.map(|(field, _)| *field).filter(|field| !ODD_UNDER_PTRACE.contains(field)).collect();
    assert!(wrong.is_empty(), "{wrong:?} {report}");
}

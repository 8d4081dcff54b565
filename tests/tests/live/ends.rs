//! Any failure to write the output or to open files ends it with status 1 and a hint what to type.

use std::fs;
use std::io::Read as _;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::turn;
use crate::watch::{events, program, run};

/// procscope, started by this line of a shell, as `$P`.
fn shell(line: &str) -> (Option<i32>, String) {
    let mut command = Command::new("bash");
    command.args(["-c", line]).env("P", program());
    let (status, stderr) = run(command);
    (status.code(), stderr)
}

/// Ended with status 1, and three lines that have these words.
fn fails(line: &str, words: &str) {
    let (status, stderr) = shell(line);
    assert_eq!(status, Some(1), "{line}: {stderr}");
    let lines: Vec<_> = stderr.lines().rev().take(3).collect();
    assert!(lines.len() == 3 && lines[2].starts_with("procscope: "), "{line}: {stderr}");
    assert!(lines[1].starts_with("cause: ") && lines[0].starts_with("help: "), "{line}: {stderr}");
    assert!(lines.concat().contains(words), "{line}: no {words}: {stderr}");
}

#[test]
fn a_file_that_may_not_grow() {
    let _turn = turn::take();
    let dir = tempfile::tempdir().expect("a directory can be made");
    let dir = dir.path().display();
    let busy = "(for i in $(seq 300); do /bin/true; done) &";
    let limit = "ulimit -f unlimited";
    fails(&format!("{busy} ulimit -f 1; $P -q -e all --format json --duration 5 -o {dir}/events"), limit);
    fails(&format!("{busy} ulimit -f 1; $P forkstat --duration 5 > {dir}/lines"), limit);
    // A command has the signal unchanged.
    let (status, stderr) =
        shell(&format!("$P run -q -o {dir}/events -- bash -c 'ulimit -f 1; exec head -c 9999 /dev/zero' > {dir}/x"));
    assert_eq!(status, Some(128 + libc::SIGXFSZ), "{stderr}");
}

#[test]
fn output_that_cannot_be_written() {
    let _turn = turn::take();
    for line in [
        "$P -q --duration 1 >&-",
        "$P -q --duration 1 -o - >&-",
        "$P -q --duration 1 --format json >&-",
        "$P -q --duration 1 1</dev/null",
        "$P run -q -o - -- true >&-",
        "$P forkstat --duration 1 >&-",
        "$P --help >&-",
        "$P --version >&-",
        "$P sources >&-",
        "$P --explain 'pid == 1' >&-",
        "$P man >&-",
        "$P execsnoop --help >&-",
    ] {
        fails(line, "help: ");
    }
    for line in [
        "--help",
        "run --help",
        "--version",
        "sources",
        "completions bash",
        "man",
        "--explain 'pid == 1'",
        "forkstat -h",
        "personas",
    ] {
        fails(&format!("$P {line} > /dev/full"), "df -h");
    }
    // If it is not needed, nothing is wrong.
    let (status, stderr) = shell("f=$(mktemp); $P -q --duration 0.2 -o $f <&- >&- && rm $f");
    assert_eq!((status, &*stderr), (Some(0), ""));
    assert_eq!(shell("$P --no-such-option 2>&-").0, Some(2));
    assert_eq!(shell("$P run -- true 2>&-").0, Some(1));
}

#[test]
fn a_pipe_that_nobody_reads() {
    let _turn = turn::take();
    let dir = tempfile::tempdir().expect("a directory can be made");
    let pipe = dir.path().join("pipe");
    let made = Command::new("mkfifo").arg(&pipe).status().expect("mkfifo is there");
    assert!(made.success());
    let begun = Instant::now();
    fails(&format!("$P --duration 0.5 -o {}", pipe.display()), "cat ");
    assert!(begun.elapsed() < Duration::from_secs(3));
    // A late reader reads everything.
    let mut child = Command::new(program())
        .args(["-q", "--format", "json", "-e", "exec", "--count", "1", "-o"])
        .arg(&pipe)
        .stdin(Stdio::null())
        .spawn()
        .expect("procscope can be run");
    std::thread::sleep(Duration::from_millis(300));
    let mut reader = fs::File::open(&pipe).expect("it is ours");
    while child.try_wait().expect("our own child").is_none() {
        Command::new("true").status().expect("it can be run");
        std::thread::sleep(Duration::from_millis(20));
        assert!(begun.elapsed() < Duration::from_secs(30));
    }
    let mut text = Vec::new();
    reader.read_to_end(&mut text).expect("it can be read");
    fs::write(dir.path().join("events"), text).expect("it can be written");
    assert_eq!(events(&dir.path().join("events")).len(), 1);
}

#[test]
fn too_few_files() {
    let _turn = turn::take();
    let mut refused = 0;
    for source in ["auto", "ebpf", "process-connector", "tracefs", "proc-poll"] {
        for most in [4, 5, 6, 8, 10, 12] {
            let line = format!("f=$(mktemp); ulimit -n {most}; $P -q --source {source} --duration 0.2 -o $f");
            let (status, stderr) = shell(&line);
            if status == Some(0) {
                continue;
            }
            refused += 1;
            assert!(status == Some(1) && stderr.contains("ulimit -n 1024"), "{line}: {status:?} {stderr}");
            assert!(!stderr.contains("mount") && !stderr.contains("cannot catch"), "{line}: {stderr}");
        }
    }
    assert!(refused > 5);
}

//! procscope under other tools' names, compared with those tools.

mod accepted;
mod called;
mod faults;
mod slow;
mod storm;

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use crate::watch::{self, PATIENCE, program, wait};

/// The place of a peer: in the PATH, or among root's programs.
fn peer(name: &str) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let sbin = ["/usr/sbin", "/sbin"].map(PathBuf::from);
    let found = std::env::split_paths(&path).chain(sbin).map(|dir| dir.join(name)).find(|file| file.is_file());
    found.unwrap_or_else(|| panic!("there is no {name} to compare with; type: cargo xtask setup"))
}

/// Links to procscope by the names of other tools.
struct Links(tempfile::TempDir);

impl Links {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("a directory can be made");
        let output = Command::new(program()).args(["personas", "--install"]).arg(dir.path()).output();
        let output = output.expect("procscope can be run");
        assert!(output.status.success(), "{output:?}");
        Self(dir)
    }

    fn path(&self, name: &str) -> PathBuf {
        let path = self.0.path().join(name);
        assert!(path.exists(), "there is no link named {name}");
        path
    }
}

/// Runs a command in a mount namespace with a mounted tracefs, which libbpf's tools and bpftrace
/// need.
fn with_tracefs(program: &Path, options: &[&str]) -> Command {
    const MOUNT: &str = "at=/sys/kernel/tracing; mountpoint -q $at || mount -t tracefs tracefs $at; exec \"$@\"";
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-ec", MOUNT, "sh"]).arg(program).args(options);
    command
}

/// A running tool that writes to a file.
struct Tool {
    child: Child,
    dir: tempfile::TempDir,
    name: String,
    /// Whether it may lose a Ctrl-C: bpftrace 0.17 waits again, endlessly, if one comes while it
    /// prints (`BPFtrace::poll_perf_events`).
    hard_of_hearing: bool,
}

impl Tool {
    fn start(name: &str, mut command: Command) -> Self {
        let dir = tempfile::tempdir().expect("a directory can be made");
        let file = |name: &str| File::create(dir.path().join(name)).expect("it is ours");
        let child = command.stdin(Stdio::null()).stdout(file("out")).stderr(file("err")).spawn();
        let child = child.unwrap_or_else(|error| panic!("{name}: {error}"));
        Self { child, dir, name: name.to_owned(), hard_of_hearing: false }
    }

    fn raw(&self) -> Vec<u8> {
        fs::read(self.dir.path().join("out")).expect("it is ours")
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.raw()).into_owned()
    }

    fn stderr(&self) -> String {
        String::from_utf8_lossy(&fs::read(self.dir.path().join("err")).expect("it is ours")).into_owned()
    }

    /// Stops it as Ctrl-C does, and returns its output.
    fn stop(self) -> String {
        String::from_utf8_lossy(&self.stop_told().0).into_owned()
    }

    /// The same, as bytes, and its stderr.
    fn stop_told(mut self) -> (Vec<u8>, String) {
        let status = self.interrupt();
        let stderr = self.stderr();
        assert!(!stderr.contains("panicked"), "{}: {status}: {stderr}", self.name);
        (self.raw(), stderr)
    }

    fn interrupt(&mut self) -> ExitStatus {
        const NEXT: Duration = Duration::from_secs(4);
        let times = if self.hard_of_hearing { 5 } else { 1 };
        for again in 1..=times {
            // SAFETY: our child, not waited for yet.
            assert_eq!(unsafe { libc::kill(self.child.id() as i32, libc::SIGINT) }, 0);
            if let Some(status) = watch::wait_for(&mut self.child, if times == 1 { PATIENCE } else { NEXT }) {
                return status;
            }
            eprintln!("{} goes on after {again} of {times} Ctrl-C", self.name);
        }
        panic!("{} does not end", self.name);
    }
}

impl Drop for Tool {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The original, with lines at once.
fn original(name: &str, options: &[&str]) -> Tool {
    let path = peer(name);
    let mut words = vec!["-oL", path.to_str().expect("a plain path")];
    words.extend(options);
    let mut tool = Tool::start(name, with_tracefs(Path::new("stdbuf"), &words));
    tool.hard_of_hearing = true;
    tool
}

/// procscope, through a link with this name.
fn persona(links: &Links, name: &str, options: &[&str]) -> Tool {
    let mut command = Command::new(links.path(name));
    command.args(options);
    Tool::start(&format!("our {name}"), command)
}

/// Runs a command that is recognized by its name and argument until all tools have reported it:
/// from then on they miss nothing.
fn wait_for(tools: &[&Tool]) {
    let dir = tempfile::tempdir().expect("a directory can be made");
    let begun = Instant::now();
    for number in 0.. {
        let sign = format!("ready{number}-{}", std::process::id() % 1000);
        let program = dir.path().join(&sign);
        fs::copy("/bin/sleep", &program).expect("sleep can be copied");
        let status = Command::new(&program).arg("0.05").status().expect("it can be run");
        assert!(status.success());
        std::thread::sleep(Duration::from_millis(200));
        let late: Vec<_> = tools.iter().filter(|tool| !tool.text().contains(&sign)).collect();
        if late.is_empty() {
            return;
        }
        let stderr = || late.iter().map(|tool| format!("{}: {}", tool.name, tool.stderr())).collect::<String>();
        assert!(begun.elapsed() < 2 * PATIENCE, "these report nothing: {}", stderr());
    }
}

/// The words of a line.
fn words(line: &str) -> Vec<&str> {
    line.split_whitespace().collect()
}

/// A line with each run of blanks as one.
fn squeezed(line: &str) -> String {
    words(line).join(" ")
}

/// The lines that only one side has.
fn differences(ours: &[String], theirs: &[String]) -> (Vec<String>, Vec<String>) {
    let count = |lines: &[String], line: &String| lines.iter().filter(|other| *other == line).count();
    let only = |one: &[String], other: &[String]| {
        let lines: BTreeSet<_> = one.iter().collect();
        lines.into_iter().filter(|line| count(one, line) > count(other, line)).cloned().collect()
    };
    (only(ours, theirs), only(theirs, ours))
}

/// Fails unless both sides have the same lines, as often.
fn assert_same(ours: &[String], theirs: &[String]) {
    let (added, missing) = differences(ours, theirs);
    assert!(added.is_empty() && missing.is_empty(), "only ours: {added:#?}\nonly theirs: {missing:#?}");
    assert!(!ours.is_empty());
}

/// A command whose standard output is not needed.
fn quiet<S: AsRef<OsStr>>(program: impl AsRef<OsStr>, args: impl IntoIterator<Item = S>) -> Command {
    let mut command = Command::new(program);
    command.args(args).stdin(Stdio::null()).stdout(Stdio::null());
    command
}

//! A running procscope.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use procscope_tests::compare::Comparison;
use procscope_tests::report::Report;
use procscope_tests::seen::Seen;
use procscope_tests::truth::Line;

use crate::schema;

/// An event that has not come by then never will, however busy the machine is.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// The place of procscope: `PROCSCOPE_BIN`, otherwise beside the programs of this package.
pub(crate) fn program() -> PathBuf {
    let path = match std::env::var_os("PROCSCOPE_BIN") {
        Some(path) => PathBuf::from(path),
        None => Path::new(env!("CARGO_BIN_EXE_ps-workload")).with_file_name("procscope"),
    };
    let release = if path.parent().is_some_and(|dir| dir.ends_with("release")) { " --release" } else { "" };
    let help = format!("type: cargo build -p procscope-cli{release}, or set PROCSCOPE_BIN");
    assert!(path.exists(), "there is no procscope at {}; {help}", path.display());
    path
}

/// A running procscope that writes JSON to a file.
pub(crate) struct Watch {
    child: Child,
    stderr: Option<JoinHandle<String>>,
    dir: tempfile::TempDir,
}

/// Its further messages.
pub(crate) struct Ended {
    pub(crate) status: ExitStatus,
    pub(crate) stderr: String,
    dir: tempfile::TempDir,
}

impl Watch {
    /// Starts it with these options besides those for the output, and waits until it watches.
    pub(crate) fn start<S: AsRef<OsStr>>(options: impl IntoIterator<Item = S>) -> Self {
        Self::prepared(|_| {}, options)
    }

    /// The same, after a change of the command.
    pub(crate) fn prepared<S: AsRef<OsStr>>(
        prepare: impl FnOnce(&mut Command),
        options: impl IntoIterator<Item = S>,
    ) -> Self {
        let dir = tempfile::tempdir().expect("a directory can be made");
        let mut command = Command::new(program());
        prepare(&mut command);
        command.args(["--format", "json", "-o"]).arg(dir.path().join("events")).args(options);
        let (child, stderr) = begin(command);
        Self { child, stderr: Some(stderr), dir }
    }

    /// Starts this program, which gets the name of its output, and waits until it watches.
    pub(crate) fn of(command: Command) -> Self {
        let dir = tempfile::tempdir().expect("a directory can be made");
        let (child, stderr) = begin(command);
        Self { child, stderr: Some(stderr), dir }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn signal(&self, signo: i32) {
        // SAFETY: our child, not waited for yet.
        assert_eq!(unsafe { libc::kill(self.child.id() as i32, signo) }, 0);
    }

    /// Waits until it has written an event with this text.
    pub(crate) fn wait_for(&self, text: &str) {
        let path = self.dir.path().join("events");
        let begun = Instant::now();
        while !fs::read_to_string(&path).is_ok_and(|events| events.contains(text)) {
            assert!(begun.elapsed() < PATIENCE, "no {text}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Stops it as Ctrl-C does.
    pub(crate) fn stop(self) -> Ended {
        self.signal(libc::SIGINT);
        self.end()
    }

    /// Waits until it ends.
    pub(crate) fn end(mut self) -> Ended {
        let status = wait(&mut self.child);
        let stderr = self.stderr.take().and_then(|thread| thread.join().ok()).unwrap_or_default();
        assert!(!stderr.contains("panicked"), "{stderr}");
        let dir = std::mem::replace(&mut self.dir, tempfile::tempdir().expect("a directory can be made"));
        let ended = Ended { status, stderr, dir };
        // Others write elsewhere.
        if ended.path().exists() {
            schema::check_file(&ended.path());
        }
        ended
    }
}

impl Drop for Watch {
    /// A failed test leaves nothing running.
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Ended {
    /// The file of the events.
    pub(crate) fn path(&self) -> PathBuf {
        self.dir.path().join("events")
    }

    /// All events.
    pub(crate) fn events(&self) -> Vec<Seen> {
        parse(&self.path())
    }

    /// Compares them with the truth.
    pub(crate) fn compare(&self, truth: Vec<Line>, kinds: Option<&[&str]>) -> Report {
        self.compare_by(Comparison::new(truth), kinds)
    }

    /// The same for a source that reads names after the event.
    pub(crate) fn compare_late(&self, truth: Vec<Line>, kinds: Option<&[&str]>) -> Report {
        self.compare_by(Comparison::new(truth).late(), kinds)
    }

    fn compare_by(&self, mut comparison: Comparison, kinds: Option<&[&str]>) -> Report {
        if let Some(kinds) = kinds {
            comparison = comparison.only(kinds);
        }
        let file = File::open(self.path()).expect("procscope made the file");
        comparison.feed_all(BufReader::new(file)).expect("it can be read");
        comparison.finish()
    }

    /// Ended by itself or by Ctrl-C, with nothing lost.
    pub(crate) fn well(self) -> Self {
        assert!(self.status.success(), "{}: {}", self.status, self.stderr);
        self
    }
}

/// Starts a program whose standard error says when it watches.
fn begin(mut command: Command) -> (Child, JoinHandle<String>) {
    let mut child = command.stdin(Stdio::null()).stderr(Stdio::piped()).spawn().expect("procscope can be run");
    let stderr = child.stderr.take().expect("it is piped");
    let (ready, watching) = mpsc::channel();
    let thread = std::thread::spawn(move || {
        let mut all = String::new();
        let mut reader = BufReader::new(stderr);
        while reader.read_line(&mut all).is_ok_and(|n| n > 0) {
            if all.lines().last().is_some_and(|line| line.starts_with("procscope: watching")) {
                let _ = ready.send(());
            }
        }
        all
    });
    if watching.recv_timeout(PATIENCE).is_err() {
        let _ = child.kill();
        let status = child.wait();
        panic!("procscope never said that it watches: {status:?} {}", thread.join().unwrap_or_default());
    }
    (child, thread)
}

/// Starts procscope with its standard output in a pipe.
pub(crate) fn piped(options: &[&str]) -> (Child, BufReader<ChildStdout>, JoinHandle<String>) {
    let mut command = Command::new(program());
    command.args(["--format", "json"]).args(options).stdout(Stdio::piped());
    let (mut child, stderr) = begin(command);
    let stdout = BufReader::new(child.stdout.take().expect("it is piped"));
    (child, stdout, stderr)
}

/// Waits for a child that is to end soon.
pub(crate) fn wait(child: &mut Child) -> ExitStatus {
    wait_for(child, PATIENCE).unwrap_or_else(|| {
        let _ = child.kill();
        panic!("procscope does not end")
    })
}

/// Waits for a child at most this long.
pub(crate) fn wait_for(child: &mut Child, time: Duration) -> Option<ExitStatus> {
    let begun = Instant::now();
    loop {
        let status = child.try_wait().expect("our own child");
        if status.is_some() || begun.elapsed() > time {
            return status;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Reads a file of events, except an unfinished last line.
pub(crate) fn events(path: &Path) -> Vec<Seen> {
    schema::check_file(path);
    parse(path)
}

fn parse(path: &Path) -> Vec<Seen> {
    let bytes = fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let parse = |line: &[u8]| {
        serde_json::from_slice(line).unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(line)))
    };
    schema::whole_lines(&bytes).map(parse).collect()
}

/// Compares a file of events with the truth.
pub(crate) fn compare(path: &Path, mut comparison: Comparison) -> Report {
    schema::check_file(path);
    comparison.feed_all(BufReader::new(File::open(path).expect("it was checked"))).expect("it can be read");
    comparison.finish()
}

/// Runs procscope to its end, with an output of its own.
pub(crate) fn run(mut command: Command) -> (ExitStatus, String) {
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("procscope can be run");
    let mut stderr = child.stderr.take().expect("it is piped");
    let thread = std::thread::spawn(move || {
        let mut text = String::new();
        let _ = stderr.read_to_string(&mut text);
        text
    });
    (wait(&mut child), thread.join().unwrap_or_default())
}

/// A copy of procscope that every user may run.
pub(crate) fn for_everyone() -> (tempfile::TempDir, PathBuf) {
    use std::os::unix::fs::PermissionsExt as _;
    let dir = tempfile::tempdir().expect("a directory can be made");
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).expect("it is ours");
    let path = dir.path().join("procscope");
    fs::copy(program(), &path).expect("procscope can be copied");
    (dir, path)
}

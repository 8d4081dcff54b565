//! A running generator.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};

use procscope_tests::truth::{self, Life, Line};

/// The generator, waiting for its start.
pub(crate) struct Workload {
    child: Child,
    gate: Option<ChildStdin>,
    dir: tempfile::TempDir,
}

impl Workload {
    /// Starts it with these words.
    pub(crate) fn new(words: &[&str]) -> Self {
        Self::as_user(words, None)
    }

    /// Starts it as another user.
    pub(crate) fn as_user(words: &[&str], user: Option<u32>) -> Self {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().expect("a directory can be made");
        std::fs::set_permissions(dir.path(), PermissionsExt::from_mode(0o777)).expect("it is ours");
        let mut program = PathBuf::from(env!("CARGO_BIN_EXE_ps-workload"));
        if user.is_some() {
            // Another user may be barred from the build's directory.
            let copy = dir.path().join("ps-workload");
            std::fs::copy(&program, &copy).expect("it can be copied");
            program = copy;
        }
        let mut command = Command::new(program);
        command.args(words).arg("--gate").arg("--truth").arg(dir.path().join("truth"));
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        if let Some(uid) = user {
            command.uid(uid).gid(uid);
        }
        let mut child = command.spawn().expect("ps-workload can be run");
        let mut line = String::new();
        BufReader::with_capacity(1, child.stdout.as_mut().expect("it is piped"))
            .read_line(&mut line)
            .expect("it says when it is ready");
        assert!(line.contains("ready"), "{line}");
        let gate = child.stdin.take();
        Self { child, gate, dir }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Lets it begin.
    pub(crate) fn go(&mut self) {
        drop(self.gate.take().map(|mut gate| gate.write_all(b"\n")));
    }

    /// Lets it begin, waits until it is done, and returns the truth.
    pub(crate) fn run(mut self) -> Vec<Line> {
        self.go();
        self.truth()
    }

    /// Waits until it is done, and returns the truth.
    pub(crate) fn truth(&mut self) -> Vec<Line> {
        let status = self.child.wait().expect("our own child");
        assert!(status.success(), "ps-workload: {status}");
        let file = File::open(self.dir.path().join("truth")).expect("it wrote the truth");
        truth::read(BufReader::new(file)).expect("the truth can be read")
    }
}

impl Drop for Workload {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The processes of a truth.
pub(crate) fn lives(truth: &[Line]) -> impl Iterator<Item = &Life> {
    truth.iter().filter_map(|line| match line {
        Line::Life(life) => Some(&**life),
        _ => None,
    })
}

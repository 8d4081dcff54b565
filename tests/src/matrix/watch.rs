//! procscope and ps-workload running in the guest.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, ChildStderr, Command, Stdio};
use std::time::{Duration, Instant};

use crate::seen::Seen;
use crate::truth::{self, Life, Line};

const EVENTS: &str = "/tmp/events";
/// A user without any rights.
pub(super) const NOBODY: u32 = 65534;
const ROOT: u32 = 0;
/// An emulated machine beside others is slow.
const PATIENCE: Duration = Duration::from_secs(240);

/// Why a behaviour is absent.
pub(super) enum Trouble {
    /// procscope says so itself, in these words.
    Says(String),
    Wrong(String),
}

impl<E: std::error::Error> From<E> for Trouble {
    fn from(error: E) -> Self {
        Self::Wrong(error.to_string())
    }
}

pub(super) fn wrong(what: impl Into<String>) -> Trouble {
    Trouble::Wrong(what.into())
}

pub(super) fn hold(right: bool, what: impl FnOnce() -> String) -> Result<(), Trouble> {
    if right { Ok(()) } else { Err(wrong(what())) }
}

/// procscope, writing JSON lines to a file.
pub(super) struct Watch {
    child: Child,
    stderr: BufReader<ChildStderr>,
    /// Its messages before it started watching.
    said: String,
}

/// Its further messages.
pub(super) struct Ended {
    pub(super) code: Option<i32>,
    pub(super) stderr: String,
}

impl Watch {
    /// Starts it, and waits until it watches; a refusal's words are the trouble.
    pub(super) fn start(source: &str, options: &[&str]) -> Result<Self, Trouble> {
        Self::spawn(source, ROOT, options)
    }

    pub(super) fn spawn(source: &str, uid: u32, options: &[&str]) -> Result<Self, Trouble> {
        let mut command = Command::new("/bin/procscope");
        as_user(&mut command, uid);
        Self::spawn_command(command, source, options)
    }

    pub(super) fn spawn_command(mut command: Command, source: &str, options: &[&str]) -> Result<Self, Trouble> {
        remove(EVENTS)?;
        command.args(["--source", source, "--format", "json", "-o", EVENTS]).args(options);
        let mut child = command.stdin(Stdio::null()).stderr(Stdio::piped()).spawn()?;
        let stderr = child.stderr.take().ok_or_else(|| wrong("no pipe"))?;
        let mut watch = Self { child, stderr: BufReader::new(stderr), said: String::new() };
        while watch.stderr.read_line(&mut watch.said)? > 0 {
            if watch.said.lines().last().is_some_and(|line| line.starts_with("procscope: watching")) {
                return Ok(watch);
            }
        }
        Err(watch.end()?.refusal())
    }

    pub(super) fn signal(&self, signo: i32) {
        // SAFETY: our child, not waited for yet.
        unsafe { libc::kill(self.child.id() as i32, signo) };
    }

    /// Stops it as Ctrl-C does.
    pub(super) fn stop(self) -> Result<Ended, Trouble> {
        self.signal(libc::SIGINT);
        self.end()
    }

    /// Waits until it ends.
    pub(super) fn end(mut self) -> Result<Ended, Trouble> {
        let begun = Instant::now();
        let status = loop {
            match self.child.try_wait()? {
                Some(status) => break status,
                None if begun.elapsed() > PATIENCE => return Err(wrong("it does not end")),
                None => std::thread::sleep(Duration::from_millis(20)),
            }
        };
        let mut stderr = std::mem::take(&mut self.said);
        self.stderr.read_to_string(&mut stderr)?;
        hold(!stderr.contains("panicked"), || stderr.clone())?;
        Ok(Ended { code: status.code(), stderr })
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Any process makes it again.
fn remove(file: &str) -> io::Result<()> {
    match fs::remove_file(file) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

pub(super) fn as_user(command: &mut Command, uid: u32) -> &mut Command {
    match uid {
        ROOT => command,
        uid => command.uid(uid).gid(uid),
    }
}

/// The source named in procscope's message.
pub(super) fn said(stderr: &str) -> Option<String> {
    let line = stderr.lines().find(|line| line.starts_with("procscope: watching"))?;
    Some(line.split_once('(')?.1.split_once(')')?.0.to_owned())
}

/// Makes procscope run ps-workload, whose status it ends with, and returns the truth.
pub(super) fn run_command(
    source: &str,
    uid: u32,
    options: &[&str],
    words: &[&str],
    name: &str,
) -> Result<(Ended, Vec<Line>), Trouble> {
    let truth = format!("/tmp/truth-{name}-{uid}");
    let mut command = Command::new("/bin/procscope");
    as_user(&mut command, uid);
    remove(EVENTS)?;
    remove(&truth)?;
    command.args(["run", "--source", source, "--format", "json", "-o", EVENTS]).args(options);
    command.args(["--", "/bin/ps-workload"]).args(words).args(["--truth", &truth]);
    let output = command.stdin(Stdio::null()).output()?;
    let ended = Ended { code: output.status.code(), stderr: String::from_utf8_lossy(&output.stderr).into_owned() };
    hold(!ended.stderr.contains("panicked"), || ended.stderr.clone())?;
    match File::open(truth) {
        Ok(truth) => Ok((ended, truth::read(BufReader::new(truth))?)),
        Err(_) => Err(ended.refusal()),
    }
}

impl Ended {
    /// Its words if it refuses.
    fn refusal(self) -> Trouble {
        let cause = self.stderr.lines().find_map(|line| line.strip_prefix("cause: "));
        let help = self.stderr.lines().find_map(|line| line.strip_prefix("help: "));
        match (self.code, cause, help) {
            (Some(1), Some(cause), Some(help)) => Trouble::Says(format!("{cause}; {help}")),
            _ => wrong(format!("status {:?}: {}", self.code, self.stderr)),
        }
    }

    pub(super) fn well(self) -> Result<Self, Trouble> {
        hold(self.code == Some(0), || format!("status {:?}: {}", self.code, self.stderr))?;
        Ok(self)
    }

    pub(super) fn lines(&self) -> Result<BufReader<File>, Trouble> {
        Ok(BufReader::new(File::open(EVENTS)?))
    }

    pub(super) fn events(&self) -> Result<Vec<Seen>, Trouble> {
        self.lines()?.split(b'\n').map(|line| Ok(serde_json::from_slice(&line?)?)).collect()
    }
}

/// The generator, waiting for its start.
pub(super) struct Workload {
    child: Child,
    truth: String,
}

impl Workload {
    pub(super) fn new(words: &[&str], name: &str) -> Result<Self, Trouble> {
        let truth = format!("/tmp/truth-{name}");
        let mut command = Command::new("/bin/ps-workload");
        command.args(words).args(["--gate", "--truth", &truth]);
        // Cases that cannot be made here are reported on standard error, which nothing reads: only
        // the comparison counts.
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
        let stdout = child.stdout.as_mut().ok_or_else(|| wrong("no pipe"))?;
        let mut line = String::new();
        BufReader::with_capacity(1, stdout).read_line(&mut line)?;
        hold(line.contains("ready"), || format!("ps-workload: {line}"))?;
        Ok(Self { child, truth })
    }

    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Lets it begin.
    pub(super) fn go(&mut self) -> Result<(), Trouble> {
        Ok(self.child.stdin.take().ok_or_else(|| wrong("it goes already"))?.write_all(b"\n")?)
    }

    /// Waits until it is done, and returns the truth.
    pub(super) fn truth(&mut self) -> Result<Vec<Line>, Trouble> {
        let status = self.child.wait()?;
        hold(status.success(), || format!("ps-workload: {status}"))?;
        Ok(truth::read(BufReader::new(File::open(&self.truth)?))?)
    }

    pub(super) fn run(&mut self) -> Result<Vec<Line>, Trouble> {
        self.go()?;
        self.truth()
    }
}

impl Drop for Workload {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The processes of a truth.
pub(super) fn lives(truth: &[Line]) -> impl Iterator<Item = &Life> {
    truth.iter().filter_map(|line| match line {
        Line::Life(life) => Some(&**life),
        _ => None,
    })
}

/// How many events of each kind and pid.
pub(super) type Counts = BTreeMap<(&'static str, u32), u64>;

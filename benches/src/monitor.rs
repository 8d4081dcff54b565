//! The monitors that are compared: how each is started, stopped and understood.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use procscope_tests::compare::Comparison;

use crate::bpf;
use crate::meter;
use crate::storm::Past;
use crate::told::{self, ByPid, Score};

/// How a monitor's output is held against the truth.
#[derive(Clone, Copy, Debug)]
enum Reader {
    /// By procscope's own comparison, field by field.
    Exact,
    /// By what can be told from its text.
    Text(fn(&[u8]) -> ByPid),
}

/// One monitor.
#[derive(Clone, Debug)]
pub struct Monitor {
    /// As the table names it.
    pub name: &'static str,
    /// What is typed, with `%` for the file of its output.
    words: &'static [&'static str],
    /// True where the output is its standard output.
    to_stdout: bool,
    reader: Reader,
}

/// The events of a life.
const LIFE: &str = "fork,exec,exit";

/// All that are known.
pub fn all() -> Vec<Monitor> {
    let text = |name, words, parse| Monitor { name, words, to_stdout: true, reader: Reader::Text(parse) };
    let late = |name, words| Monitor { name, words, to_stdout: false, reader: Reader::Text(told::procscope) };
    vec![
        Monitor {
            name: "procscope",
            words: &["procscope", "--format", "json", "-e", LIFE, "-o", "%"],
            to_stdout: false,
            reader: Reader::Exact,
        },
        late(
            "process-connector",
            &["procscope", "--source", "process-connector", "--format", "json", "-e", LIFE, "-o", "%"],
        ),
        late("tracefs", &["procscope", "--source", "tracefs", "--format", "json", "-e", LIFE, "-o", "%"]),
        late("proc-poll", &["procscope", "--source", "proc-poll", "--format", "json", "-e", LIFE, "-o", "%"]),
        text("forkstat", &["forkstat", "-e", "all"], told::forkstat),
        Monitor { to_stdout: false, ..text("extrace", &["extrace", "-f", "-t", "-o", "%"], told::extrace) },
        text("execsnoop", &["execsnoop", "-q", "-x", "--max-args=60"], told::execsnoop),
        text("bpftrace", &["execsnoop.bt"], told::bpftrace),
    ]
}

/// Where procscope is: `PROCSCOPE_BIN`, else beside this program.
///
/// # Errors
/// Where it is not built.
pub fn procscope() -> anyhow::Result<PathBuf> {
    let path = match std::env::var_os("PROCSCOPE_BIN") {
        Some(path) => PathBuf::from(path),
        None => std::env::current_exe()?.with_file_name("procscope"),
    };
    ensure!(path.exists(), "there is no {}; type: cargo build --release -p procscope-cli", path.display());
    Ok(path)
}

/// A monitor at work.
#[derive(Debug)]
pub struct Running {
    monitor: Monitor,
    child: Child,
    dir: tempfile::TempDir,
    programs_before: HashSet<u32>,
    cpu_before_ns: u64,
}

/// What a monitor did.
#[derive(Clone, Copy, Debug)]
pub struct Done {
    /// CPU time from when it watched until it had nothing more to do, ns.
    pub cpu_ns: u64,
    /// For how long its BPF programs ran, ns; 0 without `kernel.bpf_stats_enabled`.
    pub bpf_ns: u64,
    /// The largest resident set, KiB.
    pub max_rss_kib: u64,
    /// What it told.
    pub score: Score,
    /// True where it lost nothing, told nothing twice, and every field is right; procscope alone can be asked that.
    pub exact: Option<bool>,
}

impl Monitor {
    /// The line that is typed.
    pub fn command_line(&self) -> String {
        self.words.join(" ").replace(" -o %", "")
    }

    fn program(&self) -> Option<PathBuf> {
        if self.words[0] == "procscope" { procscope().ok() } else { find(self.words[0]) }
    }

    /// True where it is installed.
    pub fn is_there(&self) -> bool {
        match self.reader {
            Reader::Exact => procscope().is_ok(),
            Reader::Text(_) => self.program().is_some(),
        }
    }

    /// Starts it and waits until it watches.
    ///
    /// # Errors
    /// Where it ends at once.
    pub fn start(&self) -> anyhow::Result<Running> {
        let dir = tempfile::tempdir()?;
        let output = dir.path().join("output");
        let programs_before = bpf::programs();
        let program = match self.reader {
            Reader::Exact => procscope()?,
            Reader::Text(_) => self.program().with_context(|| format!("{} is not installed", self.words[0]))?,
        };
        let mut command = Command::new(program);
        for word in &self.words[1..] {
            if *word == "%" {
                command.arg(&output)
            } else {
                command.arg(word)
            };
        }
        let stdout = if self.to_stdout { File::create(&output)?.into() } else { Stdio::null() };
        let stderr = File::create(dir.path().join("stderr"))?;
        let mut child = command.stdin(Stdio::null()).stdout(stdout).stderr(stderr).spawn()?;
        // None of the peers says when it watches; when it does, it waits.
        meter::settle(child.id());
        if let Some(status) = child.try_wait()? {
            let stderr = fs::read_to_string(dir.path().join("stderr")).unwrap_or_default();
            bail!("{} ended at once, {status}: {}", self.name, stderr.lines().last().unwrap_or_default());
        }
        let cpu_before_ns = meter::cpu_ns(child.id());
        Ok(Running { monitor: self.clone(), child, dir, programs_before, cpu_before_ns })
    }
}

fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let dirs = std::env::split_paths(&path).chain(["/usr/sbin", "/usr/local/sbin"].map(PathBuf::from));
    dirs.map(|dir| dir.join(program)).find(|path| path.is_file())
}

impl Running {
    /// Its pid.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits until it has taken in the storm, stops it, and holds its output against the truth.
    ///
    /// # Errors
    /// Where it does not end, or left no output.
    pub fn stop(mut self, past: &Past) -> anyhow::Result<Done> {
        let pid = self.child.id();
        meter::settle(pid);
        let cpu_ns = meter::cpu_ns(pid) - self.cpu_before_ns;
        let max_rss_kib = meter::max_rss_kib(pid);
        let bpf_ns = bpf::run_time_ns(bpf::programs().difference(&self.programs_before).copied());
        // SAFETY: our child, not waited for yet.
        unsafe { libc::kill(pid as i32, libc::SIGINT) };
        let begun = Instant::now();
        while self.child.try_wait()?.is_none() {
            if begun.elapsed() > Duration::from_secs(30) {
                let _ = self.child.kill();
                bail!("{} does not end", self.monitor.name);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let (score, exact) = self.read(past, &self.dir.path().join("output"))?;
        Ok(Done { cpu_ns, bpf_ns, max_rss_kib, score, exact })
    }

    fn read(&self, past: &Past, output: &Path) -> anyhow::Result<(Score, Option<bool>)> {
        match self.monitor.reader {
            Reader::Text(parse) => Ok((told::score(&parse(&fs::read(output)?), &past.lives()), None)),
            Reader::Exact => {
                let mut comparison = Comparison::new(past.truth.clone()).only(&["fork", "exec", "exit"]);
                comparison.feed_all(BufReader::new(File::open(output)?))?;
                let report = comparison.finish();
                let exact = report.is_exact() && report.lost.is_empty();
                if !exact {
                    eprintln!("{report}");
                }
                let percent = |field| Some(report.percent(field));
                let score = Score {
                    named: percent("exec.exe"),
                    misnamed: Some(report.wrong("exec.exe") as f64),
                    argv: percent("exec.argv"),
                    status: percent("exit.status"),
                    parent: percent("exec.parent"),
                };
                Ok((score, Some(exact)))
            }
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

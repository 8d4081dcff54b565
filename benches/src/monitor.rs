//! The compared monitors: how each is started, stopped and understood.

use std::collections::HashSet;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use procscope_tests::compare::Comparison;

use crate::accounts::{self, ByPid, Score};
use crate::bpf;
use crate::meter;
use crate::storm::Past;

/// How a monitor's output is compared with the truth.
#[derive(Clone, Copy, Debug)]
enum Reader {
    /// By procscope's own comparison, field by field.
    Exact,
    /// By the facts in its text.
    Text(fn(&[u8]) -> ByPid),
}

/// One monitor.
#[derive(Clone, Debug)]
pub struct Monitor {
    /// Its name in the table.
    pub name: &'static str,
    /// Its command line, with `%` for the file of its output, `%d` for its directory and `%p` for
    /// this process.
    words: &'static [&'static str],
    /// True if the output is its standard output.
    to_stdout: bool,
    reader: Reader,
    /// Its further needs.
    besides: Besides,
    /// True if it is so slow that it is measured only when named.
    pub slow: bool,
}

/// A monitor's needs beyond a single program.
#[derive(Clone, Copy, Debug, Default)]
struct Besides {
    /// A file in the directory of its output, and the file's content.
    file: Option<(&'static str, &'static str)>,
    /// A command for when it runs.
    begin: &'static [&'static [&'static str]],
    /// A command for before it is stopped.
    end: &'static [&'static [&'static str]],
    /// A command that prints the text to read in place of its output.
    convert: &'static [&'static str],
    /// Unlike the others, it does not end by SIGINT.
    ends_by_sigterm: bool,
}

/// auditd with the rule that reports execs, its log in a file of ours.
const AUDIT: Besides = Besides {
    file: Some((
        "auditd.conf",
        "local_events = yes\nwrite_logs = yes\nlog_file = %\nlog_format = RAW\nlog_group = root\nflush = NONE\nmax_log_file = 0\n\
         max_log_file_action = IGNORE\nspace_left = 2\nspace_left_action = IGNORE\nadmin_space_left = 1\n\
         admin_space_left_action = IGNORE\ndisk_full_action = IGNORE\ndisk_error_action = IGNORE\n",
    )),
    begin: &[
        &["auditctl", "-b", "65536"],
        &["auditctl", "-a", "always,exit", "-F", "arch=b64", "-S", "execve,execveat"],
    ],
    end: &[
        &["auditctl", "-d", "always,exit", "-F", "arch=b64", "-S", "execve,execveat"],
        &["auditctl", "-e", "0"],
        &["auditctl", "-b", "64"],
    ],
    convert: &[],
    ends_by_sigterm: true,
};

/// The events of a life.
const LIFE: &str = "fork,exec,exit";

/// All known ones.
pub fn all() -> Vec<Monitor> {
    let text = |name, words, parse| Monitor {
        name,
        words,
        to_stdout: true,
        reader: Reader::Text(parse),
        besides: Besides::default(),
        slow: false,
    };
    let to_file = |name, words, parse| Monitor { to_stdout: false, ..text(name, words, parse) };
    let late = |name, words| to_file(name, words, accounts::procscope);
    vec![
        Monitor {
            reader: Reader::Exact,
            ..late("procscope", &["procscope", "--format", "json", "-e", LIFE, "-o", "%"])
        },
        late(
            "process-connector",
            &["procscope", "--source", "process-connector", "--format", "json", "-e", LIFE, "-o", "%"],
        ),
        late("tracefs", &["procscope", "--source", "tracefs", "--format", "json", "-e", LIFE, "-o", "%"]),
        late("proc-poll", &["procscope", "--source", "proc-poll", "--format", "json", "-e", LIFE, "-o", "%"]),
        text("forkstat", &["forkstat", "-e", "all"], accounts::forkstat),
        to_file("extrace", &["extrace", "-f", "-t", "-o", "%"], accounts::extrace),
        text("execsnoop", &["execsnoop", "-q", "-x", "--max-args=60"], accounts::execsnoop),
        text("bpftrace", &["execsnoop.bt"], accounts::bpftrace),
        Monitor { besides: AUDIT, ..to_file("auditd", &["auditd", "-n", "-c", "%d"], accounts::auditd) },
        Monitor {
            besides: Besides { convert: &["perf", "script", "-i", "%", "-F", "event,trace"], ..Besides::default() },
            ..to_file("perf", &["perf", "record", "-q", "-a", "-e", "sched:sched_process_*", "-o", "%"], accounts::perf)
        },
        Monitor {
            slow: true,
            ..to_file("strace", &["strace", "-f", "-q", "-s", "10000", "-o", "%", "-p", "%p"], accounts::strace)
        },
    ]
}

/// The place of procscope: `PROCSCOPE_BIN`, otherwise beside this program.
///
/// # Errors
/// If it is not built.
pub fn procscope() -> anyhow::Result<PathBuf> {
    let path = match std::env::var_os("PROCSCOPE_BIN") {
        Some(path) => PathBuf::from(path),
        None => std::env::current_exe()?.with_file_name("procscope"),
    };
    ensure!(path.exists(), "there is no {}; type: cargo build --release -p procscope-cli", path.display());
    Ok(path)
}

/// A running monitor.
#[derive(Debug)]
pub struct Running {
    monitor: Monitor,
    child: Child,
    dir: tempfile::TempDir,
    programs_before: HashSet<u32>,
    cpu_before_ns: u64,
}

/// The result of a monitor's run.
#[derive(Clone, Copy, Debug)]
pub struct Done {
    /// CPU time from the start of watching until it had nothing more to do, ns.
    pub cpu_ns: u64,
    /// How long its BPF programs ran, ns; 0 without `kernel.bpf_stats_enabled`.
    pub bpf_ns: u64,
    /// The largest resident set, KiB.
    pub max_rss_kib: u64,
    /// Its reports.
    pub score: Score,
    /// True if it lost nothing, reported nothing twice, and every field is right; only procscope's
    /// output can answer that.
    pub exact: Option<bool>,
}

impl Monitor {
    /// The command line.
    pub fn command_line(&self) -> String {
        self.words.join(" ").replace(" -o %", "").replace(" -c %d", "").replace("%p", "PID")
    }

    fn program(&self) -> Option<PathBuf> {
        if self.words[0] == "procscope" { procscope().ok() } else { find(self.words[0]) }
    }

    /// True if it is installed.
    pub fn is_there(&self) -> bool {
        match self.reader {
            Reader::Exact => procscope().is_ok(),
            Reader::Text(_) => self.program().is_some(),
        }
    }

    /// Starts it and waits until it watches.
    ///
    /// # Errors
    /// If it ends at once.
    pub fn start(&self) -> anyhow::Result<Running> {
        let dir = tempfile::tempdir()?;
        let output = dir.path().join("output");
        let programs_before = bpf::programs();
        let program = match self.reader {
            Reader::Exact => procscope()?,
            Reader::Text(_) => self.program().with_context(|| format!("{} is not installed", self.words[0]))?,
        };
        if let Some((name, text)) = self.besides.file {
            fs::write(dir.path().join(name), text.replace('%', &output.to_string_lossy()))?;
        }
        let mut command = Command::new(program);
        command.args(filled(&self.words[1..], &output));
        let stdout = if self.to_stdout { File::create(&output)?.into() } else { Stdio::null() };
        let stderr = File::create(dir.path().join("stderr"))?;
        let mut child = command.stdin(Stdio::null()).stdout(stdout).stderr(stderr).spawn()?;
        // None of the peers says when it watches; once it does, it waits.
        meter::settle(child.id());
        if let Some(status) = child.try_wait()? {
            let stderr = fs::read_to_string(dir.path().join("stderr")).unwrap_or_default();
            bail!("{} ended at once, {status}: {}", self.name, stderr.lines().last().unwrap_or_default());
        }
        let mut running = Running { monitor: self.clone(), child, dir, programs_before, cpu_before_ns: 0 };
        for words in self.besides.begin {
            running.call(words)?;
        }
        running.cpu_before_ns = meter::cpu_ns(running.pid());
        Ok(running)
    }
}

/// Words and their replacements.
fn filled(words: &[&str], output: &Path) -> Vec<OsString> {
    let dir = output.parent().unwrap_or(output);
    let of = |word: &&str| match *word {
        "%" => output.into(),
        "%d" => dir.into(),
        "%p" => std::process::id().to_string().into(),
        word => word.into(),
    };
    words.iter().map(of).collect()
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

    /// Waits until it has handled the storm, stops it, and compares its output with the truth.
    ///
    /// # Errors
    /// If it does not end, or left no output.
    pub fn stop(mut self, past: &Past) -> anyhow::Result<Done> {
        let pid = self.child.id();
        meter::settle(pid);
        let cpu_ns = meter::cpu_ns(pid) - self.cpu_before_ns;
        let max_rss_kib = meter::max_rss_kib(pid);
        let bpf_ns = bpf::run_time_ns(bpf::programs().difference(&self.programs_before).copied());
        for words in self.monitor.besides.end {
            self.call(words)?;
        }
        let signal = if self.monitor.besides.ends_by_sigterm { libc::SIGTERM } else { libc::SIGINT };
        // SAFETY: our child, not waited for yet.
        unsafe { libc::kill(pid as i32, signal) };
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

    /// The output of a program.
    fn call(&self, words: &[&str]) -> anyhow::Result<Vec<u8>> {
        let program = find(words[0]).with_context(|| format!("{} is not installed", words[0]))?;
        let output = Command::new(program).args(filled(&words[1..], &self.dir.path().join("output"))).output()?;
        ensure!(output.status.success(), "{}: {}", words.join(" "), String::from_utf8_lossy(&output.stderr).trim_end());
        Ok(output.stdout)
    }

    fn read(&self, past: &Past, output: &Path) -> anyhow::Result<(Score, Option<bool>)> {
        match self.monitor.reader {
            Reader::Text(parse) => {
                let text = match self.monitor.besides.convert {
                    [] => fs::read(output)?,
                    words => self.call(words)?,
                };
                Ok((accounts::score(&parse(&text), &past.lives()), None))
            }
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
        if let Ok(None) = self.child.try_wait() {
            // It was not stopped: nothing of it may stay.
            for words in self.monitor.besides.end {
                let _ = self.call(words);
            }
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

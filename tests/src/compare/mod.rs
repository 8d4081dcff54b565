//! Compares procscope's JSON lines with a truth file, field by field.

use std::collections::{HashMap, HashSet};
use std::io::{self, BufRead};

use crate::plan::{NAMES, Spawn};
use crate::report::Report;
use crate::seen::{Seen, SeenRef, same, same_readable};
use crate::truth::{Bytes, Change, Exec, Exit, FailedExec, Fork, Killer, Life, Line, Usage};

mod field;
mod late;

use field::{FREE_MIB_NS, Field, TICK_NS};

/// How much an interrupt may add to that, or a hypervisor steal.
const LATE_NS: u64 = 2 * TICK_NS;

/// `linux/limits.h`.
const PATH_MAX: usize = 4096;
/// How much is at least reported of the arguments of an exec refused for their size.
const CUT_BYTES: usize = 16 << 10;

#[derive(Default)]
struct Progress {
    forks: u32,
    execs: usize,
    failed: usize,
    exits: u32,
    threads: HashSet<u32>,
    changes: Vec<bool>,
}

/// Arguments of a failed exec that are marked unreadable.
pub const UNREADABLE_ARGV: &str = "exec-failed.argv-unreadable";
/// Those that are marked not observed, by a source that observes some.
pub const UNOBSERVED_ARGV: &str = "exec-failed.argv-unobserved";
/// A path with the same mark.
pub const UNOBSERVED_PATH: &str = "exec-failed.path-unobserved";

/// Old names that are marked unknown.
pub const UNKNOWN_OLD_NAME: &str = "exec.old_name-unknown";

/// Values that a tracer does not get.
pub const UNTOLD_BY_PTRACE: [&str; 8] =
    ["exit.killer", "exit.nvcsw", "exit.io", "exit.oom", "fork.call", "fork.flags", "clone.call", "exec.namespaces"];

/// Other differences under ptrace in the odd cases. The cases that trace cannot trace a traced
/// process; a path longer than PATH_MAX cannot be read; scripts.
pub const ODD_UNDER_PTRACE: [&str; 3] = ["generator", "exec.cwd", "exec.interpreter"];

/// An unfinished comparison; feed it every line.
pub struct Comparison {
    lives: Vec<Life>,
    progress: Vec<Progress>,
    by_pid: HashMap<u32, Vec<usize>>,
    realtime_offset_ns: i64,
    free_mib_ns: u64,
    seed: u64,
    kinds: Option<Vec<String>>,
    ids_ended: HashSet<(u32, u64)>,
    ids_begun: HashSet<(u32, u64)>,
    last_seq: u64,
    /// The state for a source that reads names after the event.
    late: Option<late::LastArguments>,
    report: Report,
}

impl Comparison {
    /// Expects the truth.
    pub fn new(truth: Vec<Line>) -> Self {
        let mut run = Default::default();
        let mut lives = Vec::new();
        let mut report = Report::default();
        for line in truth {
            match line {
                Line::Run(r) => run = r,
                Line::Life(life) => lives.push(with_core(*life)),
                Line::Skipped { case, why, fault } => {
                    report.check("generator", !fault, || format!("{case}: {why}"));
                }
            }
        }
        let mut by_pid: HashMap<u32, Vec<usize>> = HashMap::new();
        for (index, life) in lives.iter().enumerate() {
            by_pid.entry(life.pid).or_default().push(index);
        }
        report.lives = lives.len() as u64;
        report.execs = lives.iter().map(|life| life.execs.len() as u64).sum();
        report.exits = lives.iter().filter(|life| life.exit.is_some()).count() as u64;
        let progress = lives.iter().map(|l| Progress { changes: vec![false; l.changes.len()], ..Progress::default() });
        Self {
            progress: progress.collect(),
            lives,
            by_pid,
            realtime_offset_ns: run.realtime_offset_ns,
            free_mib_ns: run.free_mib_ns.max(FREE_MIB_NS),
            seed: run.seed,
            kinds: None,
            ids_ended: HashSet::new(),
            ids_begun: HashSet::new(),
            last_seq: 0,
            late: None,
            report,
        }
    }

    /// Expects only these kinds of event.
    #[must_use]
    pub fn only(mut self, kinds: &[&str]) -> Self {
        self.kinds = Some(kinds.iter().map(|kind| (*kind).to_owned()).collect());
        if !self.wants("exec") {
            self.report.execs = 0;
        }
        if !self.wants("exit") {
            self.report.exits = 0;
        }
        self
    }

    /// The source's own records have no names: it reads them after the event. A value may then be
    /// absent if a flaw says why. A reported value has to be right for the event or, if it is
    /// marked as read late, for what exactly this process became later. It may never be another
    /// process's.
    #[must_use]
    pub fn late(mut self) -> Self {
        self.late = Some(late::LastArguments::default());
        self
    }

    fn wants(&self, kind: &str) -> bool {
        self.kinds.as_ref().is_none_or(|kinds| kinds.iter().any(|k| k == kind))
    }

    /// Takes all lines of a reader.
    ///
    /// # Errors
    /// Those of the reader.
    pub fn feed_all(&mut self, input: impl BufRead) -> io::Result<()> {
        input.split(b'\n').try_for_each(|line| {
            self.feed(&line?);
            Ok(())
        })
    }

    /// Takes one line.
    pub fn feed(&mut self, line: &[u8]) {
        if line.is_empty() {
            return;
        }
        let seen: Seen = match serde_json::from_slice(line) {
            Ok(seen) => seen,
            Err(error) => {
                let text = || format!("{error}: {}", String::from_utf8_lossy(&line[..line.len().min(300)]));
                return self.report.check("line", false, text);
            }
        };
        self.report.events += 1;
        self.report.check("line", true, String::new);
        self.report.check("seq", seen.seq == self.last_seq + 1, || format!("{} after {}", seen.seq, self.last_seq));
        self.last_seq = seen.seq;
        if seen.event == "lost" {
            for (kind, count) in seen.lost.iter().flatten() {
                *self.report.lost.entry(kind.clone()).or_default() += count;
            }
            return;
        }
        if let Some(told) = &mut self.late {
            told.follow(&seen, &mut self.report);
        }
        // A process that was gone before it could be read: its pid identifies it if only one
        // process had it.
        let nameless = self.late.is_some() && seen.start_ticks().is_none() && seen.flaws.contains_key("id");
        let only = match seen.pid.and_then(|pid| self.by_pid.get(&pid)).map(Vec::as_slice) {
            Some(&[index]) => Some(index),
            _ => None,
        };
        if nameless {
            self.report.anonymous += 1;
            let Some(index) = only else { return };
            return self.event(index, &seen);
        }
        let (Some(pid), Some(ticks)) = (seen.pid, seen.start_ticks()) else {
            return self.report.check("id", false, || format!("{} without a whole id: {:?}", seen.event, seen.id));
        };
        match &*seen.event {
            "fork" => self.report.check("id.unique", self.ids_begun.insert((pid, ticks)), || format!("{:?}", seen.id)),
            "exit" => self.report.check("id.unique", self.ids_ended.insert((pid, ticks)), || format!("{:?}", seen.id)),
            _ => {}
        }
        let Some(candidates) = self.by_pid.get(&pid) else { return };
        let started = |ticks| candidates.iter().find(|&&index| self.lives[index].started_in(ticks));
        let estimated = self.late.is_some() && seen.flaws.get("id").is_some_and(|flaw| flaw == "estimated");
        let (exact, near) = (started(ticks), started(ticks - 1).or_else(|| started(ticks + 1)));
        if estimated {
            self.report.ids_estimated += 1;
            self.report.ids_off += u64::from(exact.is_none() && near.is_some());
        }
        let Some(&index) = exact.or(near.filter(|_| estimated)) else {
            self.report.strays += 1;
            return;
        };
        let expected = format!("{}-{pid}-{ticks}", boot_prefix());
        self.report.check("id", seen.id.as_deref() == Some(&expected), || format!("{:?}, not {expected}", seen.id));
        self.event(index, &seen);
    }

    fn event(&mut self, index: usize, seen: &Seen) {
        let life = &self.lives[index];
        let progress = &mut self.progress[index];
        let mut field =
            Field { report: &mut self.report, life, offset: self.realtime_offset_ns, free_mib_ns: self.free_mib_ns };
        let late = self.late.is_some();
        match &*seen.event {
            "fork" if late => {
                progress.forks += 1;
                if let Some(fork) = &life.fork {
                    field.fork_late(fork, seen);
                }
            }
            "exec" if late => {
                progress.execs += 1;
                match life.execs.get(progress.execs - 1..) {
                    Some(execs @ [_, ..]) => field.exec_late(execs, seen, self.seed),
                    _ => field.check("exec.surplus", false, || format!("{:?}", seen.argv)),
                }
            }
            "exit" if late => {
                progress.exits += 1;
                if let Some(exit) = &life.exit {
                    field.exit_late(exit, seen);
                }
                // The message of a thread that ended before may come after that of the last one.
                for (change, done) in life.changes.iter().zip(&mut progress.changes) {
                    *done |= matches!(change, Change::ThreadExit { tid, .. } if Some(*tid) == seen.tid);
                }
            }
            "exec-failed" if late && !late::tells_more(seen) => {
                field.check("exec-failed.surplus", false, || format!("{:?}", seen.path))
            }
            "fork" => {
                progress.forks += 1;
                if let Some(fork) = &life.fork {
                    field.fork(fork, seen);
                }
            }
            "clone" => {
                if let Some(thread) = life.threads.iter().find(|thread| Some(thread.tid) == seen.tid) {
                    let again = !progress.threads.insert(thread.tid);
                    field.check("clone.once", !again, || format!("tid {} again", thread.tid));
                    if let (Some(call), false) = (&thread.call, late) {
                        field.is("clone.call", &seen.call.as_deref().unwrap_or(""), &&**call);
                    }
                }
            }
            "exec" => {
                progress.execs += 1;
                match life.execs.get(progress.execs - 1) {
                    Some(exec) => field.exec(exec, seen, self.seed),
                    None => field.check("exec.surplus", false, || format!("{:?}", seen.argv)),
                }
            }
            "exec-failed" => {
                progress.failed += 1;
                match life.failed.get(progress.failed - 1) {
                    Some(failed) => field.failed(failed, seen),
                    None => field.check("exec-failed.surplus", false, || format!("{:?} {:?}", seen.path, seen.errno)),
                }
            }
            "exit" => {
                progress.exits += 1;
                if let Some(exit) = &life.exit {
                    field.exit(exit, seen);
                }
            }
            "existing" => field.check("existing", life.fork.is_none(), || "it began later".to_owned()),
            _ => field.change(&mut progress.changes, seen, late),
        }
    }

    /// Counts missing events.
    pub fn finish(mut self) -> Report {
        let wanted = ["fork", "clone", "exec", "exec-failed", "exit"].map(|kind| self.wants(kind));
        let [forks, threads, execs, failed, exits] = wanted;
        for (life, progress) in self.lives.iter().zip(&self.progress) {
            let field = &mut Field { report: &mut self.report, life, offset: 0, free_mib_ns: self.free_mib_ns };
            if forks && life.fork.is_some() {
                field.is("fork.delivered", &progress.forks, &1);
            }
            if execs {
                field.is("exec.delivered", &progress.execs, &life.execs.len());
            }
            // Only one of the sources that look up names late reports these.
            if failed && (self.late.is_none() || self.kinds.is_some()) {
                field.is("exec-failed.delivered", &progress.failed, &life.failed.len());
            }
            if exits && life.exit.is_some() {
                field.is("exit.delivered", &progress.exits, &1);
            }
            if threads {
                for thread in &life.threads {
                    field.check("clone.delivered", progress.threads.contains(&thread.tid), || thread.tid.to_string());
                }
            }
            for (change, seen) in life.changes.iter().zip(&progress.changes) {
                // PTRACE_TRACEME makes no message.
                let told = self.late.is_none() || life.case != "ptrace-traceme";
                if told && self.kinds.as_ref().is_none_or(|kinds| kinds.iter().any(|kind| kind == change.event())) {
                    field.check(change.field(), *seen, || format!("{change:?} never came"));
                }
            }
        }
        self.report
    }
}

impl Life {
    fn started_in(&self, ticks: u64) -> bool {
        match (self.start_ticks, self.born_ns) {
            (Some(start), _) => start == ticks,
            (None, Some((from, to))) => (from / 10_000_000..=to / 10_000_000).contains(&ticks),
            (None, None) => true,
        }
    }
}

/// The signals whose default is to dump core: `signal(7)`. Each makes a core event, whatever the limits then allow.
const CORE: [&str; 10] =
    ["SIGQUIT", "SIGILL", "SIGTRAP", "SIGABRT", "SIGBUS", "SIGFPE", "SIGSEGV", "SIGXCPU", "SIGXFSZ", "SIGSYS"];

fn with_core(mut life: Life) -> Life {
    let signal = life.exit.as_ref().and_then(|exit| exit.signal.clone());
    life.changes.extend(signal.filter(|s| CORE.contains(&&**s)).map(|signal| Change::Core { signal }));
    life
}

fn boot_prefix() -> String {
    static PREFIX: std::sync::OnceLock<String> = std::sync::OnceLock::new();
    let read = || std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    PREFIX.get_or_init(|| read().chars().take(8).collect()).clone()
}

impl Change {
    /// The kind of event.
    pub fn event(&self) -> &'static str {
        self.field().split_once('.').map_or("", |(event, _)| event)
    }

    fn field(&self) -> &'static str {
        match self {
            Self::Comm { .. } => "comm.delivered",
            Self::Uid { .. } => "uid.delivered",
            Self::Gid { .. } => "gid.delivered",
            Self::Sid => "sid.delivered",
            Self::PtraceAttach { .. } | Self::PtraceDetach { .. } => "ptrace.delivered",
            Self::Core { .. } => "core.delivered",
            Self::ThreadExit { .. } => "thread-exit.delivered",
        }
    }
}

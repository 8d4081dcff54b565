//! exitsnoop, in the styles of bcc and libbpf-tools.

use std::ffi::OsString;
use std::io::Write as _;
use std::process::ExitCode;

use jiff::tz::TimeZone;
use procscope::{Event, EventKind, EventSet, ExitStatus, Kind, Monitor, Pid, signal_name};

use super::options::{
    Grammar, Line, NO_PROGRAM, Opt, Refusal, Table, as_id, both, leading_number, long, path, words_of,
};
use super::session::Watch;
use super::text;
use crate::render::Render;
use crate::render::time::WallClock;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Key {
    Timestamp,
    Utc,
    Pid,
    Label,
    Failed,
    Threads,
    Cgroup,
    Ebpf,
    Ignored,
    Style,
}

const STYLE: Opt<Key> = long(Key::Style, "style", "whose options and columns: bcc or libbpf").takes("STYLE");

const BCC: Table<Key> = Table {
    name: "exitsnoop",
    about: "Shows how processes end as exitsnoop of bcc does",
    usage: "exitsnoop [-tx] [--utc] [-p PID] [--label LABEL] [--per-thread]\n                 [--style STYLE]",
    grammar: Grammar::Argparse,
    original: &[
        both(Key::Timestamp, b't', "timestamp", "A column with the local time"),
        long(Key::Utc, "utc", "A column with the time in UTC"),
        both(Key::Pid, b'p', "pid", "Only this process; ends with it").takes("PID"),
        long(Key::Label, "label", "A column with this label, or 'exit' if it is empty").takes("LABEL"),
        both(Key::Failed, b'x', "failed", "Only exits that failed"),
        long(Key::Threads, "per-thread", "The end of each thread"),
        long(Key::Ebpf, "ebpf", ""),
        long(Key::Ignored, "timespec", ""),
    ],
    added: &[STYLE],
    help: &["-h"],
    help_status: 0,
    wrong_status: 2,
    notes: "\
Differs:
  A process ends with its last thread, whichever that is; TID is that thread.
  Times and ages are the kernel's. Signals have their names, USR1 and USR2 too.
  '?' is an unknown status, age or parent. Characters that could act on a
  terminal are printed as \\x1b. Lost events are reported on stderr.
  It needs no kernel headers, and no root if a mechanism works without.

Examples:
  procscope exitsnoop                           every end
  procscope exitsnoop --utc -x --label=         failures, with time and label
  procscope exitsnoop --style libbpf -t         columns of libbpf-tools",
};

const LIBBPF: Table<Key> = Table {
    name: "exitsnoop",
    about: "Shows how processes end as exitsnoop of libbpf-tools does",
    usage: "exitsnoop [-txT] [-p PID] [-c CGROUP] [--style STYLE]",
    grammar: Grammar::Argp,
    original: &[
        both(Key::Timestamp, b't', "timestamp", "A column with the local time"),
        both(Key::Failed, b'x', "failed", "Only exits that failed"),
        both(Key::Pid, b'p', "pid", "Only this process").takes("PID"),
        both(Key::Threads, b'T', "threaded", "The end of each thread"),
        both(Key::Ignored, b'v', "verbose", "Accepted: there is no more to show"),
        both(Key::Cgroup, b'c', "cgroup", "Only processes in this cgroup and below").takes("PATH"),
    ],
    added: &[STYLE],
    help: &["-h", "-?"],
    help_status: 0,
    wrong_status: 64,
    notes: "\
Differs:
  A process ends with its last thread, whichever that is; TID is that thread.
  Times and ages are the kernel's.
  '?' is an unknown status, age or parent. Characters that could act on a
  terminal are printed as \\x1b. Lost events are reported on stderr.

Examples:
  procscope exitsnoop --style libbpf -tx        failures, with the time
  procscope exitsnoop --style libbpf -T         every thread",
};

/// The options.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
struct Options {
    libbpf: bool,
    timestamp: bool,
    utc: bool,
    pid: Option<Pid>,
    label: Option<Vec<u8>>,
    failed: bool,
    threads: bool,
    cgroup: Option<Vec<u8>>,
}

fn table(words: &[OsString]) -> Result<&'static Table<Key>, Refusal> {
    match words_of(words, "style").last() {
        None | Some(b"bcc") => Ok(&BCC),
        Some(b"libbpf") => Ok(&LIBBPF),
        Some(other) => Err(BCC.bad_value("--style", &String::from_utf8_lossy(other), "the styles are bcc and libbpf")),
    }
}

impl Options {
    fn read(table: &Table<Key>, line: &Line<Key>) -> Result<Self, Refusal> {
        let mut it = Self { libbpf: table.grammar == Grammar::Argp, ..Self::default() };
        for (key, value) in &line.options {
            match key {
                Key::Timestamp => it.timestamp = true,
                Key::Utc => (it.timestamp, it.utc) = (true, true),
                // bcc's copies any text into its own program, and ignores an empty one.
                Key::Pid if !it.libbpf && value.is_empty() => it.pid = None,
                Key::Pid => {
                    let number = leading_number(value).filter(|&pid| !it.libbpf || pid > 0 && pid < i64::MAX);
                    let help = "type a process id, such as 1234";
                    let bad = || table.bad_value("--pid", &String::from_utf8_lossy(value), help);
                    let pid = as_id(number.ok_or_else(bad)?);
                    // No process has the pid 0 either, which means none below.
                    it.pid = Some(if pid == 0 { Pid::MAX } else { pid });
                }
                Key::Label => it.label = Some(if value.is_empty() { b"exit".to_vec() } else { value.clone() }),
                Key::Failed => it.failed = true,
                Key::Threads => it.threads = true,
                Key::Cgroup => it.cgroup = Some(value.clone()),
                Key::Ebpf => return Err(Refusal::Said(NO_PROGRAM)),
                Key::Ignored | Key::Style => {}
            }
        }
        if !line.operands.is_empty() {
            return Err(table.wrong("it accepts only options".to_owned()));
        }
        Ok(it)
    }
}

pub(super) fn command(words: &[OsString]) -> clap::Command {
    table(words).unwrap_or(&BCC).command()
}

pub(super) fn run(words: Vec<OsString>) -> Result<ExitCode, Refusal> {
    let table = table(&words)?;
    let line = table.parse(words)?;
    let options = Options::read(table, &line)?;
    let exits = EventSet::NONE.with(Kind::Exit);
    let events = if options.threads { exits.with(Kind::ThreadExit) } else { exits };
    let mut builder = Monitor::builder().events(events).user_names(false);
    if let Some(pid) = options.pid {
        builder = builder.pid(pid);
    }
    if let Some(cgroup) = &options.cgroup {
        builder = builder.cgroup(path(cgroup.clone()));
    }
    let zone = if options.utc { TimeZone::UTC } else { TimeZone::system() };
    Watch::new(builder, line.common)?.run(|_, _| Box::new(Columns::new(options, zone)))?;
    Ok(ExitCode::SUCCESS)
}

/// Prints ends in either's columns.
struct Columns {
    options: Options,
    zone: TimeZone,
    clock: WallClock,
    done: bool,
}

impl Columns {
    fn new(options: Options, zone: TimeZone) -> Self {
        let clock = WallClock::new(zone.clone());
        Self { options, zone, clock, done: false }
    }
}

impl Render for Columns {
    fn begin(&mut self, out: &mut Vec<u8>) {
        let it = &self.options;
        if it.timestamp && it.libbpf {
            let _ = write!(out, "{:<8} ", "TIME(s)");
        } else if it.timestamp {
            let now = jiff::Timestamp::now().to_zoned_datetime(self.zone.clone());
            let zone = if it.utc { "UTC".to_owned() } else { now.strftime("%Z").to_string() };
            let _ = write!(out, "{:<13}", format!("TIME-{zone}"));
        }
        if it.label.is_some() {
            let _ = write!(out, "{:<6}", "LABEL");
        }
        let _ = writeln!(out, "{:<16} {:<7} {:<7} {:<7} {:<7} EXIT_CODE", "PCOMM", "PID", "PPID", "TID", "AGE(s)");
    }

    fn event(&mut self, event: &Event, out: &mut Vec<u8>) {
        let Some(process) = event.process.as_deref() else { return };
        let it = &self.options;
        let pid = process.id.pid;
        let (status, age_ns, name) = match &event.kind {
            EventKind::Exit(exit) => {
                self.done = !it.libbpf && it.pid == Some(pid);
                (exit.status, exit.duration_ns, process.name.as_deref())
            }
            EventKind::ThreadExit(exit) if it.threads => (exit.status, exit.duration_ns, exit.thread_name.as_deref()),
            _ => return,
        };
        if it.failed && status.is_success() {
            return;
        }
        if it.timestamp && it.libbpf {
            text::push_clock(out, &mut self.clock, event.time);
            out.push(b' ');
        } else if it.timestamp {
            out.extend_from_slice(&self.clock.time(event.time));
            out.push(b' ');
        }
        if let Some(label) = &it.label {
            text::push_padded(out, label, 6);
        }
        text::push_padded(out, name.unwrap_or(b"?"), 16);
        let ppid = process.parent.as_ref().map(|parent| parent.id.pid);
        for number in [Some(pid), ppid, Some(event.tid.unwrap_or(pid))] {
            out.push(b' ');
            text::push_known(out, number, 7);
        }
        out.push(b' ');
        let begin = out.len();
        match age_ns {
            Some(ns) => {
                let hundredths = (u128::from(ns) + 5_000_000) / 10_000_000;
                let _ = write!(out, "{}.{:02}", hundredths / 100, hundredths % 100);
            }
            None => out.push(b'?'),
        }
        text::pad_from(out, begin, 7);
        out.push(b' ');
        push_status(status, it.libbpf, out);
        out.push(b'\n');
    }

    fn is_done(&self) -> bool {
        self.done
    }
}

fn push_status(status: ExitStatus, libbpf: bool, out: &mut Vec<u8>) {
    let _ = match status {
        ExitStatus::Code(0) => write!(out, "0"),
        ExitStatus::Code(code) => write!(out, "code {code}"),
        ExitStatus::Signal { signo, core } => {
            let dumped = if core { ", core dumped" } else { "" };
            if libbpf {
                write!(out, "signal {signo} ({}){dumped}", described(signo))
            } else {
                let name = signal_name(signo);
                write!(out, "signal {signo} ({}){dumped}", name.strip_prefix("SIG").unwrap_or(&name))
            }
        }
        _ => write!(out, "?"),
    };
}

/// As glibc's strsignal(3) describes it in English.
fn described(signo: u8) -> String {
    const WORDS: [&str; 31] = [
        "Hangup",
        "Interrupt",
        "Quit",
        "Illegal instruction",
        "Trace/breakpoint trap",
        "Aborted",
        "Bus error",
        "Floating point exception",
        "Killed",
        "User defined signal 1",
        "Segmentation fault",
        "User defined signal 2",
        "Broken pipe",
        "Alarm clock",
        "Terminated",
        "Stack fault",
        "Child exited",
        "Continued",
        "Stopped (signal)",
        "Stopped",
        "Stopped (tty input)",
        "Stopped (tty output)",
        "Urgent I/O condition",
        "CPU time limit exceeded",
        "File size limit exceeded",
        "Virtual timer expired",
        "Profiling timer expired",
        "Window changed",
        "I/O possible",
        "Power failure",
        "Bad system call",
    ];
    match signo {
        1..=31 => WORDS[usize::from(signo) - 1].to_owned(),
        34..=64 => format!("Real-time signal {}", signo - 34),
        _ => format!("Unknown signal {signo}"),
    }
}

/// A renderer with these options of bcc's.
#[cfg(test)]
pub(crate) fn bcc_for_test(words: Vec<OsString>, zone: TimeZone) -> Box<dyn Render> {
    Box::new(Columns::new(Options::read(&BCC, &BCC.parse(words).unwrap()).unwrap(), zone))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::personas::samples::words;
    use crate::render::samples;

    fn printed(table: &Table<Key>, line: &str) -> String {
        let options = Options::read(table, &table.parse(words(line)).unwrap()).unwrap();
        let mut render = Columns::new(options, TimeZone::UTC);
        samples::rendered(&mut render, &samples::events())
    }

    #[test]
    fn layouts() {
        let mut text = String::new();
        for line in ["", "-t --label=", "--utc -x --label fin", "--per-thread"] {
            text += &format!("$ exitsnoop {line}\n{}\n", printed(&BCC, line));
        }
        for line in ["", "-tx", "-T"] {
            text += &format!("$ exitsnoop --style libbpf {line}\n{}\n", printed(&LIBBPF, line));
        }
        insta::assert_snapshot!(text);
    }

    #[test]
    fn bcc_ends_with_the_process() {
        for (table, ends) in [(&BCC, true), (&LIBBPF, false)] {
            let options = Options::read(table, &table.parse(words("-p 4711")).unwrap()).unwrap();
            let mut render = Columns::new(options, TimeZone::UTC);
            assert!(!render.is_done());
            samples::rendered(&mut render, &samples::events()[..12]);
            assert_eq!(render.is_done(), ends);
        }
    }

    /// Those of bcc's exitsnoop.py and of libbpf-tools' exitsnoop.c.
    #[test]
    fn nothing_is_refused_that_the_originals_accept() {
        for (table, line) in [
            (&BCC, "-t --timestamp --utc -p 1 --pid 2 --label x --label= -x --failed --per-thread --timespec"),
            (&BCC, "-txp1 --pi=3 --per --lab= --fail --timest"),
            (&LIBBPF, "-t --timestamp -x --failed -p 1 --pid=2 -T --threaded -v --verbose -c /x --cgroup=/x"),
            (&LIBBPF, "-txTp1 --thr --cg /x"),
        ] {
            assert!(Options::read(table, &table.parse(words(line)).unwrap()).is_ok(), "{line}");
        }
        let wrong = LIBBPF.parse(words("-p 0")).and_then(|line| Options::read(&LIBBPF, &line));
        assert!(matches!(wrong, Err(Refusal::Wrong(_, 64))));
    }
}

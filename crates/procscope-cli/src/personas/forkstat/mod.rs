//! forkstat: fork, exec, exit and more, as forkstat 0.03 and 0.04 print them.

mod lines;
mod statistics;

use std::ffi::OsString;
use std::process::ExitCode;
use std::time::Duration;

use procscope::{EventSet, Kind, Monitor};

use self::lines::Lines;
use super::options::{Grammar, Line, Refusal, Table, as_id, flag, leading_number, long};
use super::session::Watch;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Key {
    Comm,
    StripDirectories,
    Duration,
    Events,
    AllEvents,
    Glyphs,
    LineBuffered,
    Group,
    Quiet,
    Realtime,
    Short,
    Statistics,
    Extra,
    Everything,
    Status,
    ExactTime,
}

pub(super) const TABLE: Table<Key> = Table {
    name: "forkstat",
    about: "Shows forks, execs, exits and more as forkstat does",
    usage: "forkstat [-cdEghlqrsSxX] [-D SECONDS] [-e LIST] [-p GROUP]\n                [--status] [--exact-time]",
    grammar: Grammar::Getopt,
    original: &[
        flag(Key::Comm, b'c', "The comm instead of the command line"),
        flag(Key::StripDirectories, b'd', "Without the program's directory"),
        flag(Key::Duration, b'D', "Stop after this time").takes("SECONDS"),
        flag(Key::Events, b'e', "any of: fork exec exit core comm clone ptrce uid gid sid nonzeroexit all")
            .takes("LIST"),
        flag(Key::AllEvents, b'E', "All events"),
        flag(Key::Glyphs, b'g', "A glyph before each event's information"),
        flag(Key::LineBuffered, b'l', "Accepted: lines always come whole, and within 40 ms"),
        flag(Key::Group, b'p', "Only this process group").takes("GROUP"),
        flag(Key::Quiet, b'q', "Only the statistics"),
        flag(Key::Realtime, b'r', "Real-time scheduling: SCHED_FIFO at the highest priority"),
        flag(Key::Short, b's', "Only the program, without arguments"),
        flag(Key::Statistics, b'S', "Statistics at the end"),
        flag(Key::Extra, b'x', "User, effective user and terminal"),
        flag(Key::Everything, b'X', "The same as -EgrSx"),
    ],
    added: &[
        long(Key::Status, "status", "The exit status decoded: 3, SIGKILL, SIGSEGV+core"),
        long(Key::ExactTime, "exact-time", "Date and nanoseconds in the first column"),
    ],
    help: &["-h"],
    help_status: 0,
    wrong_status: 1,
    notes: "\
Differs:
  Times and durations are the kernel's, also for processes that are already
  running.
  Parents, arguments and statuses come with the event and are not looked up
  later.
  'exit' is the end of a process. The end of a single thread is 'texit'.
  -e sid shows new sessions, by their number; -e uid shows gid changes too.
  -e nonzeroexit (or exitnonzero) shows the exits that failed. They are also
  counted as Exit, and Total counts them once.
  -q turns -S on. -d removes only the program's directory, not that of its last
  argument. comm lines show the old and the new comm. A process that rewrites
  its command line is shown with the one of its exec. Users are those at the
  event.
  In the statistics a new thread counts for its process, not for its parent.
  Characters that could act on a terminal are printed as \\x1b. Line breaks
  become blanks.
  '?' is what the mechanism does not report. Lost events are counted where they
  are missing. It runs without root if a mechanism does: procscope sources.

Examples:
  procscope forkstat -s -d                      program names only
  procscope forkstat -e exit --status           how processes end
  procscope forkstat -q -D 1                    statistics of a second",
};

/// The options.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Options {
    comm: bool,
    strip: bool,
    short: bool,
    glyphs: bool,
    extra: bool,
    quiet: bool,
    statistics: bool,
    realtime: bool,
    status: bool,
    exact_time: bool,
    group: Option<u32>,
    duration: Option<Duration>,
    /// The shown kinds.
    shown: Shown,
}

/// Kinds of event, as forkstat distinguishes them.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
struct Shown {
    kinds: Option<EventSet>,
    failed_exits: bool,
}

impl Shown {
    fn add(&mut self, kinds: &[Kind]) {
        let set = self.kinds.unwrap_or(EventSet::NONE);
        self.kinds = Some(kinds.iter().fold(set, |set, &kind| set.with(kind)));
    }
}

const EXITS: &[Kind] = &[Kind::Exit, Kind::ThreadExit];
const ALL: &[Kind] = &[
    Kind::Fork,
    Kind::Clone,
    Kind::Exec,
    Kind::Exit,
    Kind::ThreadExit,
    Kind::Core,
    Kind::Comm,
    Kind::Uid,
    Kind::Gid,
    Kind::Sid,
    Kind::Ptrace,
];
const USUAL: &[Kind] = &[Kind::Fork, Kind::Clone, Kind::Exec, Kind::Exit, Kind::ThreadExit, Kind::Ptrace];

impl Options {
    fn read(line: &Line<Key>) -> Result<Self, Refusal> {
        let mut it = Self::default();
        for (key, value) in &line.options {
            match key {
                Key::Comm => it.comm = true,
                Key::StripDirectories => it.strip = true,
                Key::Duration => {
                    let seconds = leading_number(value).and_then(|seconds| u64::try_from(seconds).ok());
                    match seconds.filter(|&seconds| seconds > 0) {
                        Some(seconds) => it.duration = Some(Duration::from_secs(seconds)),
                        None => return Err(illegal("-D", value, "type a number of seconds from 1 on")),
                    }
                }
                Key::Events => it.choose(value)?,
                Key::AllEvents => it.shown.add(ALL),
                Key::Glyphs => it.glyphs = true,
                Key::LineBuffered => {}
                // strtol reads 0 from a word that is not a number: the group of kernel threads.
                Key::Group => match leading_number(value).unwrap_or(0) {
                    group @ 0.. => it.group = Some(as_id(group)),
                    _ => return Err(illegal("-p", value, "type a process group, such as 1234")),
                },
                Key::Quiet => (it.quiet, it.statistics) = (true, true),
                Key::Realtime => it.realtime = true,
                Key::Short => it.short = true,
                Key::Statistics => it.statistics = true,
                Key::Extra => it.extra = true,
                Key::Everything => {
                    it.shown.add(ALL);
                    (it.glyphs, it.realtime, it.statistics, it.extra) = (true, true, true, true);
                }
                Key::Status => it.status = true,
                Key::ExactTime => it.exact_time = true,
            }
        }
        if it.shown == Shown::default() {
            it.shown.add(USUAL);
        }
        Ok(it)
    }

    /// Reads a list of events; like strtok, it skips empty parts.
    fn choose(&mut self, list: &[u8]) -> Result<(), Refusal> {
        for word in list.split(|&b| b == b',').filter(|word| !word.is_empty()) {
            match word {
                b"fork" => self.shown.add(&[Kind::Fork]),
                b"exec" => self.shown.add(&[Kind::Exec]),
                b"exit" => self.shown.add(EXITS),
                b"core" => self.shown.add(&[Kind::Core]),
                b"comm" => self.shown.add(&[Kind::Comm]),
                b"clone" => self.shown.add(&[Kind::Clone]),
                b"ptrce" | b"ptrace" => self.shown.add(&[Kind::Ptrace]),
                b"uid" => self.shown.add(&[Kind::Uid, Kind::Gid]),
                b"gid" => self.shown.add(&[Kind::Gid]),
                b"sid" => self.shown.add(&[Kind::Sid]),
                b"nonzeroexit" | b"exitnonzero" => self.shown.failed_exits = true,
                b"all" => self.shown.add(ALL),
                _ => {
                    let help = "the events are fork exec exit core comm clone ptrce uid gid sid nonzeroexit all";
                    return Err(illegal("-e", word, help));
                }
            }
        }
        Ok(())
    }

    fn shows(&self, kind: Kind) -> bool {
        self.shown.kinds.is_some_and(|kinds| kinds.contains(kind))
    }

    /// The events to request.
    fn wanted(&self) -> EventSet {
        if self.statistics {
            return ALL.iter().fold(EventSet::NONE.with(Kind::Existing), |set, &kind| set.with(kind));
        }
        let shown = self.shown.kinds.unwrap_or(EventSet::NONE);
        if self.shown.failed_exits { shown.with(Kind::Exit).with(Kind::ThreadExit) } else { shown }
    }
}

fn illegal(option: &str, value: &[u8], help: &str) -> Refusal {
    TABLE.bad_value(option, &String::from_utf8_lossy(value), help)
}

pub(super) fn run(words: Vec<OsString>) -> Result<ExitCode, Refusal> {
    let line = TABLE.parse(words)?;
    let options = Options::read(&line)?;
    let mut builder = Monitor::builder().events(options.wanted());
    if let Some(duration) = options.duration {
        builder = builder.duration(duration);
    }
    let mut watch = Watch::new(builder, line.common)?;
    watch.realtime = options.realtime;
    watch.run(|_, _| Box::new(Lines::new(options)))?;
    Ok(ExitCode::SUCCESS)
}

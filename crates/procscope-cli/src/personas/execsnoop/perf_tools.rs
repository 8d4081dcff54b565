use std::collections::HashMap;
use std::ffi::OsString;
use std::io::Write as _;
use std::process::ExitCode;
use std::time::Duration;

use procscope::{Event, EventKind, Kind, Monitor, Pid, StartTime, Summary};
use regex::bytes::Regex;

use super::{Arguments, STYLE_HELP, comm, pattern, ppid, returned, wanted};
use crate::personas::options::{Grammar, Line, Refusal, Table, flag, leading_number, long};
use crate::personas::session::Watch;
use crate::personas::text::BootClock;
use crate::render::Render;
use crate::values::parse_duration;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Key {
    Argc,
    Seconds,
    ReExecs,
    Time,
    Style,
}

pub(super) const TABLE: Table<Key> = Table {
    name: "execsnoop",
    about: "Shows execs with their arguments as execsnoop of perf-tools does",
    usage: "execsnoop [-rt] [-a ARGC] [-d SECONDS] [--style STYLE] [NAME]",
    grammar: Grammar::Posix,
    original: &[
        flag(Key::Argc, b'a', "At most this many arguments after the program").takes("ARGC"),
        flag(Key::Seconds, b'd', "Stop after this time").takes("SECONDS"),
        flag(Key::ReExecs, b'r', "All execs of a process, not only its first one"),
        flag(Key::Time, b't', "A column with the seconds since the system started"),
    ],
    added: &[long(Key::Style, "style", STYLE_HELP).takes("STYLE")],
    help: &["-h"],
    help_status: 0,
    wrong_status: 0,
    notes: "\
NAME is a regular expression for comms.

Differs:
  All arguments are shown, unless -a limits them, and -a may be above 16;
  '[...]' means that there are more. With -d, too, lines come at once.
  The parent is the kernel's; 0 means that it is unknown.
  NAME is compared with the comm after the exec. Regular expressions have no
  look-around and no back-references.
  If a process tries several paths, the first try is shown, even if it failed,
  as in the original. Without the right to see failed execs the successful one
  is shown.
  Line breaks are printed as \\n, and characters that could act on a terminal
  as \\x1b.
  Lost events are reported on stderr. It needs neither kprobes nor awk.

Examples:
  procscope execsnoop --style perf-tools -t     with the time
  procscope execsnoop --style perf-tools -d 1 'log$'",
};

/// The options.
#[derive(Clone, Debug, Default)]
struct Options {
    arguments: Arguments,
    duration: Option<Duration>,
    re_execs: bool,
    time: bool,
    name: Option<(String, Regex)>,
}

impl Options {
    fn read(line: &Line<Key>) -> Result<Self, Refusal> {
        let mut it = Self { arguments: Arguments { more: "[...]", ..Arguments::default() }, ..Self::default() };
        for (key, value) in &line.options {
            let text = String::from_utf8_lossy(value);
            match key {
                Key::Argc => {
                    // To a shell a word that is not a number is 0.
                    let most = leading_number(value).and_then(|most| usize::try_from(most).ok()).unwrap_or(0);
                    it.arguments.most = Some(most.saturating_add(1));
                }
                Key::Seconds => {
                    it.duration = Some(parse_duration(&text).map_err(|help| TABLE.bad_value("-d", &text, help))?);
                }
                Key::ReExecs => it.re_execs = true,
                Key::Time => it.time = true,
                Key::Style => {}
            }
        }
        match line.operands.as_slice() {
            [] => {}
            [name] => {
                let text = name.to_string_lossy().into_owned();
                it.name = Some((text, pattern(&TABLE, "NAME", name.as_encoded_bytes())?));
            }
            _ => return Err(TABLE.wrong("it accepts one NAME".to_owned())),
        }
        Ok(it)
    }
}

pub(super) fn run(words: Vec<OsString>) -> Result<ExitCode, Refusal> {
    let line = TABLE.parse(words)?;
    let options = Options::read(&line)?;
    TABLE.refuse_replay(
        &line.common,
        options.time,
        "there is no -t: a recording does not say when the system started",
    )?;
    // Exits show which pids may be reused.
    let mut builder = Monitor::builder().events(wanted(true).with(Kind::Exit)).user_names(false);
    if let Some(duration) = options.duration {
        builder = builder.duration(duration);
    }
    Watch::new(builder, line.common)?.run(|_, _| Box::new(Lines::new(options, BootClock::now())))?;
    Ok(ExitCode::SUCCESS)
}

/// Prints execs in perf-tools' columns.
struct Lines {
    options: Options,
    clock: BootClock,
    /// The processes already shown: at most one for each living process.
    seen: HashMap<Pid, Option<StartTime>>,
}

impl Lines {
    fn new(options: Options, clock: BootClock) -> Self {
        Self { options, clock, seen: HashMap::new() }
    }
}

impl Render for Lines {
    fn begin(&mut self, out: &mut Vec<u8>) {
        let it = &self.options;
        out.extend_from_slice(b"Tracing exec()s");
        if let Some((name, _)) = &it.name {
            let _ = write!(out, " issued by process name \"{}\"", procscope_format::escape::visible(name));
        }
        let _ = match it.duration {
            Some(duration) => writeln!(out, " for {} seconds...", duration.as_secs_f64()),
            None => writeln!(out, ". Ctrl-C to end."),
        };
        if it.time {
            let _ = write!(out, "{:<16} ", "TIMEs");
        }
        let _ = writeln!(out, "{:>6} {:>6} ARGS", "PID", "PPID");
    }

    fn event(&mut self, event: &Event, out: &mut Vec<u8>) {
        let Some(process) = event.process.as_deref() else { return };
        if let EventKind::Exit(_) = &event.kind {
            self.seen.remove(&process.id.pid);
            return;
        }
        let it = &self.options;
        if returned(event).is_none() || it.name.as_ref().is_some_and(|(_, name)| !name.is_match(comm(event))) {
            return;
        }
        if !it.re_execs && self.seen.insert(process.id.pid, process.id.start) == Some(process.id.start) {
            return;
        }
        if it.time {
            let us = self.clock.since_boot_ns(event.time) / 1000;
            let _ = write!(out, "{:<16} ", format!("{}.{:06}", us / 1_000_000, us % 1_000_000));
        }
        let _ = write!(out, "{:>6} {:>6} ", process.id.pid, ppid(event).unwrap_or(0));
        it.arguments.push(event, out);
        out.push(b'\n');
    }

    fn end(&mut self, _: &Summary, out: &mut Vec<u8>) {
        out.extend_from_slice(b"\nEnding tracing...\n");
    }
}

/// A renderer with these options.
#[cfg(test)]
pub(crate) fn for_test(words: Vec<OsString>, wall: procscope::Timestamp, since_boot_ns: i64) -> Box<dyn Render> {
    let options = Options::read(&TABLE.parse(words).unwrap()).unwrap();
    Box::new(Lines::new(options, BootClock::of(wall, since_boot_ns)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::personas::samples::{execs, words};

    fn printed(line: &str) -> String {
        let options = Options::read(&TABLE.parse(words(line)).unwrap()).unwrap();
        let (begin, events) = execs();
        let mut render = Lines::new(options, BootClock::of(begin, 7_419_756_000_000_000));
        crate::render::samples::rendered(&mut render, &events)
    }

    #[test]
    fn layouts() {
        let lines = ["", "-t -r", "-a 1", "^l", "-d 1.5 ls"];
        insta::assert_snapshot!(lines.map(|line| format!("$ execsnoop {line}\n{}", printed(line))).join("\n"));
    }

    /// `getopts a:d:hrt`, and one word.
    #[test]
    fn nothing_is_refused_that_the_original_accepts() {
        for line in ["-a 16 -d 10 -r -t", "-rta8 -d1 grep", "-t log$", "-d 0.5", "-a x -d 1d"] {
            assert!(Options::read(&TABLE.parse(words(line)).unwrap()).is_ok(), "{line}");
        }
        assert_eq!(TABLE.parse(words("-rh")).unwrap_err(), Refusal::Help(0));
    }
}

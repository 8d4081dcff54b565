use std::ffi::OsString;
use std::io::Write as _;
use std::process::ExitCode;

use procscope::{Event, Monitor};

use super::{Arguments, STYLE_HELP, comm, ppid, returned, uid, wanted};
use crate::personas::options::{Grammar, Line, Refusal, Table, flag, long};
use crate::personas::session::Watch;
use crate::personas::text::{self, BootClock, local_clock};
use crate::render::Render;
use crate::render::time::WallClock;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Key {
    All,
    Dump,
    Command,
    Safe,
    Project,
    Start,
    StartText,
    Zone,
    Style,
}

pub(super) const TABLE: Table<Key> = Table {
    name: "execsnoop",
    about: "Shows execs with their arguments as execsnoop of the DTrace toolkit does",
    usage: "execsnoop [-a|-A|-ejsvZ] [-c COMMAND] [--style STYLE]",
    grammar: Grammar::Posix,
    original: &[
        flag(Key::All, b'a', "The same as -jsvZ"),
        flag(Key::Dump, b'A', "All data, with blanks between"),
        flag(Key::Command, b'c', "Only this comm").takes("COMMAND"),
        flag(Key::Safe, b'e', "Accepted: lines are always safe to parse"),
        flag(Key::Project, b'j', "A column with the project: Linux has none, so ?"),
        flag(Key::Start, b's', "A column with the microseconds since the system started"),
        flag(Key::StartText, b'v', "A column with date and time"),
        flag(Key::Zone, b'Z', "A column with the container; global for none"),
    ],
    added: &[long(Key::Style, "style", STYLE_HELP).takes("STYLE")],
    help: &["-h"],
    help_status: 1,
    wrong_status: 1,
    notes: "\
Differs:
  All arguments are shown, not their first 80 bytes. -e is always on: line
  breaks are printed as \\n, and characters that could act on a terminal as
  \\x1b.
  As in the original, failed execs are shown too, with the arguments that were
  tried, given the right to see them.
  A container takes the place of the zone. There are no projects.
  '?' is an unknown value, '[?]' are arguments that could not be read. Lost
  events are reported on stderr.

Examples:
  procscope execsnoop --style dtrace -v         with date and time
  procscope execsnoop --style dtrace -c ls      one command",
};

/// The options.
#[derive(Clone, Debug, Default)]
struct Options {
    dump: bool,
    command: Option<Vec<u8>>,
    project: bool,
    start: bool,
    start_text: bool,
    zone: bool,
}

impl Options {
    fn read(line: &Line<Key>) -> Self {
        let mut it = Self::default();
        for (key, value) in &line.options {
            match key {
                Key::All => (it.project, it.start, it.start_text, it.zone) = (true, true, true, true),
                Key::Dump => it.dump = true,
                Key::Command => it.command = Some(value.clone()),
                Key::Safe | Key::Style => {}
                Key::Project => it.project = true,
                Key::Start => it.start = true,
                Key::StartText => it.start_text = true,
                Key::Zone => it.zone = true,
            }
        }
        if it.dump {
            (it.project, it.start, it.start_text, it.zone) = (false, false, false, false);
        }
        it
    }
}

pub(super) fn run(words: Vec<OsString>) -> Result<ExitCode, Refusal> {
    let line = TABLE.parse(words)?;
    let options = Options::read(&line);
    let why = "there is no time since the system started: a recording does not say when it did";
    TABLE.refuse_replay(&line.common, options.start || options.dump, why)?;
    let builder = Monitor::builder().events(wanted(true)).user_names(false);
    let watch = Watch::new(builder, line.common)?;
    watch.run(|_, _| Box::new(Columns { options, boot: BootClock::now(), clock: local_clock() }))?;
    Ok(ExitCode::SUCCESS)
}

/// Prints execs in the toolkit's columns.
struct Columns {
    options: Options,
    boot: BootClock,
    clock: WallClock,
}

impl Render for Columns {
    fn begin(&mut self, out: &mut Vec<u8>) {
        let it = &self.options;
        if it.dump {
            out.extend_from_slice(b"TIME ZONE PROJ UID PID PPID COMM ARGS\n");
            return;
        }
        if it.start {
            let _ = write!(out, "{:<14} ", "TIME");
        }
        if it.start_text {
            let _ = write!(out, "{:<20} ", "STRTIME");
        }
        if it.zone {
            let _ = write!(out, "{:<10} ", "ZONE");
        }
        if it.project {
            let _ = write!(out, "{:>5} ", "PROJ");
        }
        let _ = writeln!(out, "{:>5} {:>6} {:>6} ARGS", "UID", "PID", "PPID");
    }

    fn event(&mut self, event: &Event, out: &mut Vec<u8>) {
        let (Some(_), Some(process)) = (returned(event), event.process.as_deref()) else { return };
        let it = &self.options;
        if it.command.as_deref().is_some_and(|command| command != comm(event)) {
            return;
        }
        let us = self.boot.since_boot_ns(event.time) / 1000;
        // 12 digits, as container engines shorten them.
        let zone = process.container.as_deref().map_or("global", |id| id.get(..12).unwrap_or(id));
        let known = |number: Option<u32>| number.map_or_else(|| "?".to_owned(), |number| number.to_string());
        let (uid, ppid, pid) = (known(uid(event)), known(ppid(event)), process.id.pid);
        if it.dump {
            let _ = write!(out, "{us} ");
            text::push(out, zone.as_bytes());
            let _ = write!(out, " ? {uid} {pid} {ppid} ");
            text::push(out, comm(event));
            out.push(b' ');
        } else {
            if it.start {
                let _ = write!(out, "{us:<14} ");
            }
            if it.start_text {
                text::push_dtrace_time(out, &mut self.clock, event.time);
                out.push(b' ');
            }
            if it.zone {
                text::push_padded(out, zone.as_bytes(), 10);
                out.push(b' ');
            }
            if it.project {
                out.extend_from_slice(b"    ? ");
            }
            let _ = write!(out, "{uid:>5} {pid:>6} {ppid:>6} ");
        }
        Arguments { more: "...", ..Arguments::default() }.push(event, out);
        out.push(b'\n');
    }
}

/// A renderer with these options, in UTC.
#[cfg(test)]
pub(crate) fn for_test(words: Vec<OsString>, wall: procscope::Timestamp) -> Box<dyn Render> {
    let options = Options::read(&TABLE.parse(words).unwrap());
    let boot = BootClock::of(wall, 7_419_756_000_000_000);
    Box::new(Columns { options, boot, clock: WallClock::new(jiff::tz::TimeZone::UTC) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::personas::samples::{execs, words};

    fn printed(line: &str) -> String {
        let options = Options::read(&TABLE.parse(words(line)).unwrap());
        let (begin, events) = execs();
        let boot = BootClock::of(begin, 7_419_756_000_000_000);
        let mut render = Columns { options, boot, clock: WallClock::new(jiff::tz::TimeZone::UTC) };
        crate::render::samples::rendered(&mut render, &events)
    }

    #[test]
    fn layouts() {
        let lines = ["", "-a", "-A", "-v", "-vc ls"];
        insta::assert_snapshot!(lines.map(|line| format!("$ execsnoop {line}\n{}", printed(line))).join("\n"));
    }

    /// `getopts aAc:ehjsvZ`.
    #[test]
    fn nothing_is_refused_that_the_original_accepts() {
        assert!(TABLE.parse(words("-aAejsvZ -c ls -cls more words")).is_ok());
        assert_eq!(TABLE.parse(words("-h")).unwrap_err(), Refusal::Help(1));
    }
}

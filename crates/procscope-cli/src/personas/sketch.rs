//! The few lines that show how simple it can be: a listener on the process connector in Go, and on
//! WMI in PowerShell and C#.

use std::ffi::OsString;
use std::io::Write as _;
use std::process::ExitCode;

use procscope::{Event, EventKind, EventSet, Kind, Monitor};

use super::options::{Grammar, Refusal, Table, long};
use super::session::Watch;
use super::text::{self, local_clock};
use crate::render::Render;
use crate::render::time::WallClock;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Key {
    Style,
}

/// The original of the lines.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Style {
    Go,
    Wmi,
}

pub(super) const TABLE: Table<Key> = Table {
    name: "sketch",
    about: "Says that a process started or exited, nothing more",
    usage: "procscope sketch [--style STYLE]",
    grammar: Grammar::Getopt,
    original: &[],
    added: &[
        long(Key::Style, "style", "go: only the PID; wmi (or powershell, csharp): time, name and PID").takes("STYLE")
    ],
    help: &["-h"],
    help_status: 0,
    wrong_status: 2,
    notes: "\
Differs:
  A start is an exec, an exit the end of the last thread: starts and ends of
  threads are not reported as processes.
  Characters that could act on a terminal are printed as \\x1b. Lost events are
  reported on stderr.

Examples:
  procscope sketch                              Process started: PID 4711
  procscope sketch --style wmi                  time, name and PID",
};

pub(super) fn run(words: Vec<OsString>) -> Result<ExitCode, Refusal> {
    let line = TABLE.parse(words)?;
    let mut style = Style::Go;
    for (Key::Style, value) in &line.options {
        style = match value.as_slice() {
            b"go" => Style::Go,
            b"wmi" | b"powershell" | b"csharp" => Style::Wmi,
            other => {
                let help = "the styles are go, wmi, powershell and csharp";
                return Err(TABLE.bad_value("--style", &String::from_utf8_lossy(other), help));
            }
        };
    }
    let events = EventSet::NONE.with(Kind::Exec).with(Kind::Exit);
    let watch = Watch::new(Monitor::builder().events(events).user_names(false), line.common)?;
    watch.run(|_, _| Box::new(Lines { style, clock: local_clock() }))?;
    Ok(ExitCode::SUCCESS)
}

struct Lines {
    style: Style,
    clock: WallClock,
}

impl Render for Lines {
    fn event(&mut self, event: &Event, out: &mut Vec<u8>) {
        let (what, stop) = match event.kind {
            EventKind::Exec(_) => ("started", "start"),
            EventKind::Exit(_) => ("exited", "stop"),
            _ => return,
        };
        let Some(process) = event.process.as_deref() else { return };
        let pid = process.id.pid;
        if self.style == Style::Go {
            let _ = writeln!(out, "Process {what}: PID {pid}");
            return;
        }
        out.extend_from_slice(&self.clock.date(event.time));
        out.push(b' ');
        out.extend_from_slice(&self.clock.time(event.time));
        let _ = write!(out, " {stop:<5} ");
        text::push(out, process.name.as_deref().unwrap_or(b"?"));
        let _ = writeln!(out, " {pid}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::samples;

    #[test]
    fn layouts() {
        let text = [Style::Go, Style::Wmi].map(|style| {
            let clock = WallClock::new(jiff::tz::TimeZone::UTC);
            format!("{style:?}\n{}", samples::rendered(&mut Lines { style, clock }, &samples::events()))
        });
        insta::assert_snapshot!(text.join("\n"));
    }
}

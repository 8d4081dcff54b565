use std::ffi::OsString;
use std::io::Write as _;
use std::process::ExitCode;

use procscope::{Event, Monitor, Timestamp};

use super::{Arguments, STYLE_HELP, returned, wanted};
use crate::output::Output;
use crate::personas::options::{Grammar, Refusal, Table, flag, long, path};
use crate::personas::session::Watch;
use crate::render::Render;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Key {
    Output,
    Ignored,
    Style,
}

pub(super) const TABLE: Table<Key> = Table {
    name: "execsnoop",
    about: "Shows execs with their arguments as execsnoop.bt of bpftrace does",
    usage: "execsnoop.bt [-qv] [-o FILE] [--style STYLE]",
    grammar: Grammar::Getopt,
    original: &[
        flag(Key::Output, b'o', "Write to a file").takes("FILE"),
        flag(Key::Ignored, b'B', "Accepted: lines always come whole, and within 40 ms").takes("MODE"),
        flag(Key::Ignored, b'q', "Accepted: there is no more to tell"),
        flag(Key::Ignored, b'v', "Accepted: there is no more to tell"),
        flag(Key::Ignored, b'b', ""),
        flag(Key::Ignored, b'd', ""),
        flag(Key::Ignored, b'k', ""),
        flag(Key::Ignored, b'I', "").takes("DIR"),
        long(Key::Ignored, "include", "").takes("FILE"),
        long(Key::Ignored, "unsafe", ""),
        long(Key::Ignored, "usdt-file-activation", ""),
        long(Key::Ignored, "no-warnings", ""),
    ],
    added: &[long(Key::Style, "style", STYLE_HELP).takes("STYLE")],
    help: &["-h"],
    help_status: 0,
    wrong_status: 1,
    notes: "\
Differs:
  All arguments are shown, not the first 16 alone, each at its full length.
  As in the original every try is a line, also where it failed; without the
  right to see failed execs only those that succeeded. A line comes when the
  exec is over, and its time is that of its end.
  No line says how many probes are attached. bpftrace's own options for other
  output, commands and processes (-f -c -p) are not taken.
  Line breaks are printed as \\n, and what could act on a terminal as \\x1b.
  '[?]' are arguments that could not be read. Lost events are told on stderr.

Examples:
  procscope execsnoop --style bpftrace          every exec, with milliseconds",
};

pub(super) fn run(words: Vec<OsString>) -> Result<ExitCode, Refusal> {
    let line = TABLE.parse(words)?;
    let mut watch = Watch::new(Monitor::builder().events(wanted(true)).user_names(false), line.common)?;
    for (key, value) in line.options {
        if key == Key::Output {
            watch.output = Output::open(Some(&path(value)))?;
        }
    }
    watch.run(|session, _| Box::new(Lines { begin: session.attached }))?;
    Ok(ExitCode::SUCCESS)
}

/// Prints execs in the script's columns.
struct Lines {
    begin: Timestamp,
}

impl Render for Lines {
    fn begin(&mut self, out: &mut Vec<u8>) {
        let _ = writeln!(out, "{:<10} {:<5} ARGS", "TIME(ms)", "PID");
    }

    fn event(&mut self, event: &Event, out: &mut Vec<u8>) {
        let (Some(_), Some(process)) = (returned(event), event.process.as_deref()) else { return };
        let ms = event.time.0.saturating_sub(self.begin.0).max(0) / 1_000_000;
        let _ = write!(out, "{ms:<10} {:<5} ", process.id.pid);
        Arguments { more: "...", ..Arguments::default() }.push(event, out);
        out.push(b'\n');
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::personas::samples::{execs, words};

    #[test]
    fn layout() {
        let (begin, events) = execs();
        insta::assert_snapshot!(crate::render::samples::rendered(&mut Lines { begin }, &events));
    }

    #[test]
    fn nothing_is_refused_that_the_original_accepts() {
        assert!(
            TABLE
                .parse(words("-vv -dd -kk -b -q -B line -I /x --include y --unsafe --no-warnings -o /tmp/x word"))
                .is_ok()
        );
    }
}

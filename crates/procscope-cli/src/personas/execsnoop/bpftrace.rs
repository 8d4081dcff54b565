use std::ffi::OsString;
use std::io::Write as _;
use std::process::ExitCode;

use procscope::{Event, Monitor, Pid, Timestamp};

use super::{Arguments, STYLE_HELP, returned, wanted};
use crate::failure::Failure;
use crate::output::Output;
use crate::personas::options::{Grammar, Line, Refusal, Table, flag, leading_number, long, path};
use crate::personas::pwait::waiting::Waiting;
use crate::personas::session::Watch;
use crate::render::Render;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Key {
    Output,
    Buffering,
    Format,
    Command,
    Pid,
    Info,
    Version,
    Ignored,
    Style,
}

pub(super) const TABLE: Table<Key> = Table {
    name: "execsnoop",
    about: "Shows execs with their arguments as execsnoop.bt of bpftrace does",
    usage: "execsnoop.bt [-qv] [-o FILE] [-f FORMAT] [-c COMMAND | -p PID]\n                    [--style STYLE]",
    grammar: Grammar::Getopt,
    original: &[
        flag(Key::Output, b'o', "Write to a file").takes("FILE"),
        flag(Key::Buffering, b'B', "Accepted: lines always come whole, and within 40 ms").takes("MODE"),
        flag(Key::Format, b'f', "text, or json: an object for each half of a line").takes("FORMAT"),
        flag(Key::Command, b'c', "Run this, and end with it").takes("COMMAND"),
        flag(Key::Pid, b'p', "End with this process").takes("PID"),
        flag(Key::Ignored, b'q', "Accepted: there is no more to show"),
        flag(Key::Ignored, b'v', "Accepted: there is no more to show"),
        flag(Key::Ignored, b'b', ""),
        flag(Key::Ignored, b'd', ""),
        flag(Key::Ignored, b'k', ""),
        flag(Key::Ignored, b'I', "").takes("DIR"),
        long(Key::Ignored, "include", "").takes("FILE"),
        long(Key::Ignored, "unsafe", ""),
        long(Key::Ignored, "usdt-file-activation", ""),
        long(Key::Ignored, "no-warnings", ""),
        long(Key::Ignored, "btf", ""),
        long(Key::Info, "info", ""),
        flag(Key::Version, b'V', ""),
    ],
    added: &[long(Key::Style, "style", STYLE_HELP).takes("STYLE")],
    help: &["-h"],
    help_status: 0,
    wrong_status: 1,
    notes: "\
Differs:
  All arguments are shown in full, not only the first 16.
  As in the original, every try is a line, even if it failed. Without the right
  to see failed execs only successful ones are shown. A line comes when the
  exec is over, and has the time of its end.
  No line gives the number of attached probes. With -f json, bytes that are not
  valid UTF-8 are escaped within the text, so each line is JSON. bpftrace's
  options about other scripts (-e -l) are refused.
  Line breaks are printed as \\n, and characters that could act on a terminal
  as \\x1b.
  '[?]' are arguments that could not be read. Lost events are reported on
  stderr.

Examples:
  procscope execsnoop --style bpftrace          every exec, with milliseconds",
};

/// The options.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
struct Options {
    output: Option<Vec<u8>>,
    json: bool,
    command: Vec<OsString>,
    pid: Option<Pid>,
}

impl Options {
    fn read(line: &Line<Key>) -> Result<Self, Refusal> {
        let mut it = Self::default();
        for (key, value) in &line.options {
            let bad = |option: &str, help: &str| TABLE.bad_value(option, &String::from_utf8_lossy(value), help);
            match (key, value.as_slice()) {
                (Key::Output, _) => it.output = Some(value.clone()),
                (Key::Buffering, b"line" | b"full" | b"none") => {}
                (Key::Buffering, _) => return Err(bad("-B", "type line, full or none")),
                (Key::Format, b"text") => it.json = false,
                (Key::Format, b"json") => it.json = true,
                (Key::Format, _) => return Err(bad("-f", "type text or json")),
                // Split at blanks, as in the original.
                (Key::Command, _) => {
                    let words = value.split(|&b| b == b' ').filter(|word| !word.is_empty());
                    it.command = words.map(|word| path(word.to_vec()).into_os_string()).collect();
                    if it.command.is_empty() {
                        return Err(bad("-c", "type a command, such as 'ls -l'"));
                    }
                }
                (Key::Pid, _) => {
                    let pid = leading_number(value).and_then(|pid| Pid::try_from(pid).ok()).filter(|&pid| pid > 0);
                    it.pid = Some(pid.ok_or_else(|| bad("-p", "type a process id, such as 1234"))?);
                }
                (Key::Version, _) => return Err(Refusal::Version),
                (Key::Info, _) => return Err(Refusal::Said(INFO)),
                (Key::Ignored | Key::Style, _) => {}
            }
        }
        if it.pid.is_some() && !it.command.is_empty() {
            return Err(TABLE.wrong("-c COMMAND and -p PID do not go together".to_owned()));
        }
        Ok(it)
    }
}

const INFO: &str = "bpftrace reports here what it can do on this kernel. For procscope type: procscope doctor\n";

pub(super) fn run(words: Vec<OsString>) -> Result<ExitCode, Refusal> {
    let line = TABLE.parse(words)?;
    let options = Options::read(&line)?;
    let why = "there is no -c COMMAND and no -p PID: nothing runs meanwhile";
    TABLE.refuse_replay(&line.common, options.pid.is_some() || !options.command.is_empty(), why)?;
    let waiting = options.pid.map(|pid| Waiting::begin("execsnoop.bt", &[pid]));
    if waiting.as_ref().is_some_and(Waiting::is_empty) {
        return Ok(ExitCode::from(1));
    }
    let duration = line.common.duration;
    let mut watch = Watch::new(Monitor::builder().events(wanted(true)).user_names(false), line.common)?;
    if let Some(output) = options.output {
        watch.output = Output::open(Some(&path(output)), duration, false)?;
    }
    watch.meanwhile = options.command;
    let attached = watch.attach()?;
    if let Some(waiting) = waiting {
        waiting.stop_at_the_end(attached.stop_handle()).map_err(|error| Failure {
            what: "cannot wait".to_owned(),
            cause: crate::failure::describe(&error),
            help: "look at the limits that `ulimit -a` prints".to_owned(),
        })?;
    }
    let json = options.json;
    attached.run(|session, _| Box::new(Lines { begin: session.attached, json, half: Vec::new() }))?;
    Ok(ExitCode::SUCCESS)
}

/// Prints execs in the script's columns.
struct Lines {
    begin: Timestamp,
    json: bool,
    /// The text before the arguments, and then these.
    half: Vec<u8>,
}

impl Lines {
    /// Half a line, as bpftrace calls it.
    fn push(&mut self, kind: &str, out: &mut Vec<u8>) {
        if self.json {
            let text = String::from_utf8_lossy(&self.half);
            let _ = writeln!(out, "{{\"type\": \"{kind}\", \"data\": {}}}", serde_json::Value::from(text));
        } else {
            out.extend_from_slice(&self.half);
        }
        self.half.clear();
    }
}

impl Render for Lines {
    fn begin(&mut self, out: &mut Vec<u8>) {
        let _ = writeln!(self.half, "{:<10} {:<5} ARGS", "TIME(ms)", "PID");
        self.push("printf", out);
    }

    fn event(&mut self, event: &Event, out: &mut Vec<u8>) {
        let (Some(_), Some(process)) = (returned(event), event.process.as_deref()) else { return };
        let ms = event.time.0.saturating_sub(self.begin.0).max(0) / 1_000_000;
        let _ = write!(self.half, "{ms:<10} {:<5} ", process.id.pid);
        self.push("printf", out);
        Arguments { more: "...", ..Arguments::default() }.push(event, &mut self.half);
        self.push("join", out);
        if !self.json {
            out.push(b'\n');
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::personas::samples::{execs, words};

    #[test]
    fn layout() {
        let (begin, events) = execs();
        let text = [false, true].map(|json| {
            let mut lines = Lines { begin, json, half: Vec::new() };
            crate::render::samples::rendered(&mut lines, &events)
        });
        insta::assert_snapshot!(text.join("\n"));
    }

    #[test]
    fn nothing_is_refused_that_the_original_accepts() {
        let read = |line: &str| TABLE.parse(words(line)).and_then(|line| Options::read(&line));
        for line in [
            "-vv -dd -kk -b -q -B line -I /x --include y --unsafe --no-warnings -o /tmp/x word",
            "-f json -Bfull --btf -p 12",
            "-ftext -c /bin/true",
        ] {
            assert!(read(line).is_ok(), "{line}");
        }
        for line in ["-B x", "-f x", "-p x", "-p 0", "-p 1 -c x", "-e BEGIN", "-l"] {
            assert!(matches!(read(line), Err(Refusal::Wrong(_, 1))), "{line}");
        }
        assert_eq!(read("-vV").unwrap_err(), Refusal::Version);
        assert!(matches!(read("--info"), Err(Refusal::Said(_))));
    }
}

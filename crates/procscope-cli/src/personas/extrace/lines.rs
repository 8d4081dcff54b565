use std::collections::HashMap;
use std::io::Write as _;

use bstr::ByteSlice as _;
use procscope::{Argv, Event, EventKind, ExitStatus, Pid, Process, StartTime, Timestamp, signal_name};

use super::Options;
use super::lineage::Lineage;
use crate::personas::text;
use crate::render::Render;
use procscope_format::escape::is_unsafe;

/// Prints execs as extrace does.
pub(super) struct Lines {
    options: Options,
    /// The process whose descendants are shown, or are leftmost.
    root: Pid,
    lineage: Lineage,
    /// What was shown, for living processes: bounded by the number of pids.
    shown: HashMap<Pid, Shown>,
    done: bool,
}

/// A running program.
struct Shown {
    start: Option<StartTime>,
    depth: usize,
    since: Timestamp,
    /// Quoted.
    name: Vec<u8>,
}

impl Lines {
    pub(super) fn new(options: Options, root: Pid, lineage: Lineage) -> Self {
        Self { options, root, lineage, shown: HashMap::new(), done: false }
    }

    fn indent(&self, depth: usize, out: &mut Vec<u8>) {
        if !self.options.flat {
            out.resize(out.len() + 2 * depth, b' ');
        }
    }

    fn exec(&mut self, event: &Event, process: &Process, out: &mut Vec<u8>) {
        let pid = process.id.pid;
        if self.options.pid == Some(pid) {
            return;
        }
        let depth = if self.options.flat { 0 } else { self.lineage.depth(process, self.root) };
        if self.options.exits {
            self.execed(event, process, out);
            let mut name = Vec::new();
            match process.argv.as_deref().and_then(Argv::first) {
                Some(first) => push_quoted(&mut name, first),
                None => push_quoted(&mut name, process.name.as_deref().unwrap_or(b"?")),
            }
            self.shown.insert(pid, Shown { start: process.id.start, depth, since: event.time, name });
        }
        self.indent(depth, out);
        let _ = write!(out, "{pid}");
        if self.options.exits {
            out.push(b'+');
        }
        if self.options.users {
            let who = process.credentials.as_deref();
            out.extend_from_slice(b" <");
            match who.map(|who| (who.euser.as_deref(), who.euid)) {
                Some((Some(user), _)) => text::push(out, user.as_bytes()),
                Some((None, uid)) => _ = write!(out, "{uid}"),
                None => out.push(b'?'),
            }
            out.push(b'>');
        }
        out.push(b' ');
        if self.options.directory {
            push_quoted(out, process.cwd.as_deref().unwrap_or(b"EUNKNOWN"));
            out.extend_from_slice(b" % ");
        }
        self.push_command(event, process, out);
        if self.options.environment {
            out.extend_from_slice(b"  ");
            match process.env.as_deref() {
                Some(env) => env.iter().for_each(|variable| push_variable(out, variable)),
                None => out.extend_from_slice(b" -"),
            }
        }
        out.push(b'\n');
    }

    fn push_command(&self, event: &Event, process: &Process, out: &mut Vec<u8>) {
        let argv = process.argv.as_deref();
        let first = if self.options.full_path {
            Some(process.exe.as_deref().unwrap_or(b"?"))
        } else {
            argv.map(|argv| argv.first().map_or(&b""[..], |first| first))
        };
        push_quoted(out, first.or(process.name.as_deref()).unwrap_or(b"?"));
        match argv {
            None if !self.options.no_arguments => out.extend_from_slice(b" [?]"),
            Some(argv) if !self.options.no_arguments => {
                for argument in argv.iter().skip(1) {
                    out.push(b' ');
                    push_quoted(out, argument);
                }
                if text::is_cut(event) {
                    out.extend_from_slice(b"... <truncated>");
                }
            }
            _ => {}
        }
    }

    /// The end of a program that became another.
    fn execed(&mut self, event: &Event, process: &Process, out: &mut Vec<u8>) {
        let Some(shown) = self.shown.remove(&process.id.pid).filter(|shown| shown.start == process.id.start) else {
            return;
        };
        self.indent(shown.depth, out);
        let _ = write!(out, "{}- ", process.id.pid);
        out.extend_from_slice(&shown.name);
        out.extend_from_slice(b" execed");
        push_time(out, shown.since, event.time);
    }

    fn exit(&mut self, event: &Event, process: &Process, status: ExitStatus, out: &mut Vec<u8>) {
        let pid = process.id.pid;
        self.lineage.end(process);
        self.done = self.options.pid == Some(pid);
        let Some(shown) = self.shown.remove(&pid).filter(|shown| shown.start == process.id.start) else { return };
        self.indent(shown.depth, out);
        let _ = write!(out, "{pid}- ");
        out.extend_from_slice(&shown.name);
        let _ = match status {
            ExitStatus::Code(code) => write!(out, " exited status={code}"),
            ExitStatus::Signal { signo, .. } => write!(out, " exited signal={}", signal_name(signo)),
            _ => write!(out, " exited status=?"),
        };
        push_time(out, shown.since, event.time);
    }
}

impl Render for Lines {
    fn event(&mut self, event: &Event, out: &mut Vec<u8>) {
        let Some(process) = event.process.as_deref() else { return };
        match &event.kind {
            EventKind::Existing | EventKind::Fork(_) if !self.options.flat => self.lineage.see(process),
            EventKind::Exec(_) => {
                if !self.options.flat {
                    self.lineage.see(process);
                }
                self.exec(event, process, out);
            }
            EventKind::Exit(exit) => self.exit(event, process, exit.status, out),
            _ => {}
        }
    }

    fn is_done(&self) -> bool {
        self.done
    }
}

fn push_time(out: &mut Vec<u8>, from: Timestamp, to: Timestamp) {
    let ms = (to.0.saturating_sub(from.0).max(0) + 500_000) / 1_000_000;
    let _ = writeln!(out, " time={}.{:03}s", ms / 1000, ms % 1000);
}

fn push_variable(out: &mut Vec<u8>, variable: &[u8]) {
    out.push(b' ');
    match variable.split_once_str("=") {
        Some((name, value)) => {
            push_quoted(out, name);
            out.push(b'=');
            push_quoted(out, value);
        }
        None => push_quoted(out, variable),
    }
}

/// Characters for which extrace quotes a word, besides control characters.
const SPECIAL: &[u8] = b" `^#*[]=|\\?${}()'\"<>&;";

/// Appends a word so that a shell reads it back. Characters that could act on a terminal, and bytes
/// that are not valid UTF-8, become `'$'\x1b''`.
fn push_quoted(out: &mut Vec<u8>, word: &[u8]) {
    let plain = |b: &u8| b.is_ascii_graphic() && !SPECIAL.contains(b);
    let harmless =
        || word.to_str().is_ok_and(|text| !text.contains(|c: char| is_unsafe(c) || c.is_ascii() && !plain(&(c as u8))));
    // A shell takes a leading tilde for a home directory; extrace leaves it bare.
    let is_home = word.first() == Some(&b'~');
    if !word.is_empty() && !is_home && (word.iter().all(plain) || harmless()) {
        out.extend_from_slice(word);
        return;
    }
    out.push(b'\'');
    for (start, end, c) in word.char_indices() {
        let bytes = &word[start..end];
        let is_lossy = c == '\u{fffd}' && bytes != "\u{fffd}".as_bytes();
        if c == '\'' {
            out.extend_from_slice(b"'\\''");
        } else if is_lossy || is_unsafe(c) {
            out.extend_from_slice(b"'$'");
            text::push(out, bytes);
            out.extend_from_slice(b"''");
        } else {
            out.extend_from_slice(bytes);
        }
    }
    out.push(b'\'');
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::TABLE;
    use super::*;
    use crate::personas::samples::words;
    use crate::render::samples;

    fn quoted(word: &[u8]) -> String {
        let mut out = Vec::new();
        push_quoted(&mut out, word);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn words_are_quoted_as_extrace_does() {
        for (word, shown) in [
            ("ls", "ls"),
            ("", "''"),
            ("a b", "'a b'"),
            ("it's", r"'it'\''s'"),
            ("a=b", "'a=b'"),
            ("x\ny", r"'x'$'\n''y'"),
            ("x\x1b", r"'x'$'\x1b'''"),
            ("é~!%@:,", "é~!%@:,"),
            ("~root", "'~root'"),
        ] {
            assert_eq!(quoted(word.as_bytes()), shown);
        }
        assert_eq!(quoted(b"\xff"), r"''$'\xff'''");
    }

    #[test]
    fn layouts() {
        let mut text = String::new();
        for line in ["", "-t -u", "-f -d -l", "-e -q", "-t -p 1200"] {
            let options = Options::read(&TABLE.parse(words(line)).unwrap()).unwrap();
            let root = options.pid.unwrap_or(1);
            let mut lines = Lines::new(options, root, Lineage::default());
            text += &format!("$ extrace {line}\n{}\n", samples::rendered(&mut lines, &samples::events()));
        }
        insta::assert_snapshot!(text);
    }

    /// `getopt(argc, argv, "+deflo:p:qQtwu")`.
    #[test]
    fn nothing_is_refused_that_the_original_accepts() {
        for line in ["-deflqQtwu -o /tmp/x -p 1", "-o/tmp/x -p1234", "-t ls -l --color", "-q -- ls"] {
            assert!(Options::read(&TABLE.parse(words(line)).unwrap()).is_ok(), "{line}");
        }
        for line in ["-p 0", "-p x", "-p 1x", "-p 1234 ls"] {
            assert!(TABLE.parse(words(line)).and_then(|line| Options::read(&line)).is_err(), "{line}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        #[test]
        #[cfg(unix)]
        fn bash_reads_words_back(words in proptest::collection::vec(proptest::collection::vec(1u8.., 0..12), 1..20)) {
            let line = words.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(" ");
            prop_assert!(!line.contains(is_unsafe));
            let script = format!("set +H; printf '%s\\0' {line}");
            let output = std::process::Command::new("bash").args(["--norc", "-c", &script]).output().unwrap();
            let expected: Vec<u8> = words.iter().flat_map(|word| [word.as_slice(), b"\0"].concat()).collect();
            prop_assert_eq!(output.stdout, expected);
        }
    }
}

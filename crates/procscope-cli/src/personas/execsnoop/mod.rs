//! execsnoop, in five styles.

mod bcc;
mod bpftrace;
mod dtrace;
mod maps;
mod perf_tools;

use std::ffi::OsString;
use std::process::ExitCode;

use bstr::ByteSlice as _;
use procscope::{Event, EventKind, EventSet, Field, Flaw, Kind};
use regex::bytes::{Regex, RegexBuilder};

use super::options::{Refusal, Table, words_of};
use super::text;

/// The tool whose options and columns are used.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Style {
    Bcc,
    Libbpf,
    PerfTools,
    Bpftrace,
    Dtrace,
}

const STYLES: [(&str, Style); 5] = [
    ("bcc", Style::Bcc),
    ("libbpf", Style::Libbpf),
    ("perf-tools", Style::PerfTools),
    ("bpftrace", Style::Bpftrace),
    ("dtrace", Style::Dtrace),
];

/// The help of `--style`.
const STYLE_HELP: &str = "whose options: bcc, libbpf, perf-tools, bpftrace or dtrace";

/// The style that a command line names last. The meaning of its other words depends on it.
fn style(words: &[OsString]) -> Result<Style, Refusal> {
    match words_of(words, "style").last() {
        None => Ok(Style::Bcc),
        Some(name) => match STYLES.iter().find(|(style, _)| style.as_bytes() == name) {
            Some((_, style)) => Ok(*style),
            None => {
                let help = "the styles are bcc, libbpf, perf-tools, bpftrace and dtrace";
                Err(bcc::BCC.bad_value("--style", &String::from_utf8_lossy(name), help))
            }
        },
    }
}

pub(super) fn run(words: Vec<OsString>) -> Result<ExitCode, Refusal> {
    match style(&words)? {
        Style::Bcc => bcc::run(&bcc::BCC, words),
        Style::Libbpf => bcc::run(&bcc::LIBBPF, words),
        Style::PerfTools => perf_tools::run(words),
        Style::Bpftrace => bpftrace::run(words),
        Style::Dtrace => dtrace::run(words),
    }
}

pub(super) fn command(words: &[OsString]) -> clap::Command {
    match style(words).unwrap_or(Style::Bcc) {
        Style::Bcc => bcc::BCC.command(),
        Style::Libbpf => bcc::LIBBPF.command(),
        Style::PerfTools => perf_tools::TABLE.command(),
        Style::Bpftrace => bpftrace::TABLE.command(),
        Style::Dtrace => dtrace::TABLE.command(),
    }
}

/// Execs, and failed ones if they are shown.
fn wanted(failed: bool) -> EventSet {
    let set = EventSet::NONE.with(Kind::Exec);
    if failed { set.with(Kind::ExecFailed) } else { set }
}

/// The error of a refused exec, as a system call returns it; 0 for a successful one. `None` for
/// other events.
fn returned(event: &Event) -> Option<i64> {
    match &event.kind {
        EventKind::Exec(_) => Some(0),
        EventKind::ExecFailed(failure) => Some(-i64::from(failure.errno)),
        _ => None,
    }
}

/// A user's regular expression.
fn pattern<K: Copy>(table: &Table<K>, option: &str, text: &[u8]) -> Result<Regex, Refusal> {
    let text = String::from_utf8_lossy(text);
    RegexBuilder::new(&text).size_limit(1 << 20).build().map_err(|_| {
        table.bad_value(option, &text, "type a regular expression without look-around and back-references")
    })
}

/// How arguments are printed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
struct Arguments {
    /// The path as called instead of the first argument.
    path: bool,
    /// How many, the program included.
    most: Option<usize>,
    /// In quotation marks.
    quoted: bool,
    /// The text after arguments of which there are more.
    more: &'static str,
}

impl Arguments {
    /// Appends them; if they are unknown, the comm and `[?]`.
    fn push(&self, event: &Event, out: &mut Vec<u8>) {
        let argv = text::known_argv(event);
        let most = self.most.unwrap_or(usize::MAX).max(1);
        let mut count = 0;
        let mut words = self.words(event);
        for word in words.by_ref().take(most) {
            if count > 0 {
                out.push(b' ');
            }
            self.push_word(word, out);
            count += 1;
        }
        if argv.is_none() {
            if count == 0 {
                let name = event.process.as_ref().and_then(|process| process.name.as_deref());
                text::push(out, name.unwrap_or(b"?"));
            }
            out.extend_from_slice(b" [?]");
        } else if words.next().is_some() || text::is_cut(event) {
            out.push(b' ');
            out.extend_from_slice(self.more.as_bytes());
        }
    }

    /// The words of the call: if wanted, the path in place of the first argument; then the others.
    ///
    /// A script's interpreter receives words before the path that were in no call.
    fn words<'a>(&self, event: &'a Event) -> impl Iterator<Item = &'a [u8]> {
        let argv = text::known_argv(event);
        let words = || argv.into_iter().flat_map(|argv| argv.iter().map(|word| &**word));
        let path = event.path().filter(|_| self.path);
        let script = path.and_then(|path| words().skip(1).position(|word| word == path));
        let is_script = event.process.as_ref().is_some_and(|process| process.interpreter.is_some());
        let is_call = matches!(event.kind, EventKind::ExecFailed(_));
        let is_late = event.flaw(Field::Argv) == Some(Flaw::ReadLate);
        let (path, before) = match (path, script) {
            (Some(path), Some(script)) if is_script && !is_call => (Some(path), script + 2),
            // It may be a script's, or an argument that is the same by chance: the received words
            // are right in both cases.
            (Some(_), Some(_)) if is_late => (None, 0),
            (path, _) => (path, usize::from(path.is_some())),
        };
        path.into_iter().chain(words().skip(before))
    }

    fn push_word(&self, word: &[u8], out: &mut Vec<u8>) {
        if !self.quoted {
            return text::push(out, word);
        }
        out.push(b'"');
        for (index, piece) in word.split_str("\"").enumerate() {
            if index > 0 {
                out.extend_from_slice(b"\\\"");
            }
            text::push(out, piece);
        }
        out.push(b'"');
    }

    /// All words, joined by blanks, as they are.
    fn joined(&self, event: &Event, out: &mut Vec<u8>) {
        for (index, word) in self.words(event).enumerate() {
            if index > 0 {
                out.push(b' ');
            }
            out.extend_from_slice(word);
        }
    }
}

/// The process's comm.
fn comm(event: &Event) -> &[u8] {
    event.process.as_ref().and_then(|process| process.name.as_deref()).unwrap_or(b"?")
}

/// The parent's pid, if it is known.
fn ppid(event: &Event) -> Option<u32> {
    event.process.as_ref()?.parent.as_ref().map(|parent| parent.id.pid)
}

fn uid(event: &Event) -> Option<u32> {
    event.process.as_ref()?.credentials.as_ref().map(|who| who.uid)
}

#[cfg(test)]
pub(super) use self::{
    bcc::for_test as bcc_for_test, dtrace::for_test as dtrace_for_test, perf_tools::for_test as perf_tools_for_test,
};

//! Command lines as the originals read them.
//!
//! Not clap: it knows neither getopt's `-lTEXT=`, nor getopt's values that begin with a dash, nor
//! the shortened long options of argparse and argp. It does write the help, manual pages and
//! completions, from the same table.

mod command;
mod parse;
#[cfg(test)]
mod tests;
mod words;

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use procscope::SourceId;

use crate::failure::Failure;

pub(crate) use words::{as_id, leading_number, path, words_of};

/// An original's grammar of command lines.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Grammar {
    /// getopt(3) of glibc: options may follow operands.
    Getopt,
    /// getopt as in POSIX, and as shells do: operands end the options.
    Posix,
    /// Python's argparse: `-nVALUE`, `-n=VALUE` and `--na VALUE`.
    Argparse,
    /// argp of glibc: `-nVALUE` and `--na VALUE`.
    Argp,
}

/// An option.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Opt<K> {
    pub(crate) key: K,
    pub(crate) short: Option<u8>,
    pub(crate) long: Option<&'static str>,
    /// The name of its value.
    pub(crate) value: Option<&'static str>,
    pub(crate) help: &'static str,
}

/// `-s`.
pub(crate) const fn flag<K>(key: K, short: u8, help: &'static str) -> Opt<K> {
    Opt { key, short: Some(short), long: None, value: None, help }
}

/// `--long`.
pub(crate) const fn long<K>(key: K, long: &'static str, help: &'static str) -> Opt<K> {
    Opt { key, short: None, long: Some(long), value: None, help }
}

/// `-s`, `--long`.
pub(crate) const fn both<K>(key: K, short: u8, long: &'static str, help: &'static str) -> Opt<K> {
    Opt { key, short: Some(short), long: Some(long), value: None, help }
}

impl<K> Opt<K> {
    /// The same with a value.
    pub(crate) const fn takes(self, value: &'static str) -> Self
    where
        K: Copy,
    {
        Self { value: Some(value), ..self }
    }

    /// Its name in messages.
    fn name(&self) -> String {
        match (self.long, self.short) {
            (Some(long), _) => format!("--{long}"),
            (None, Some(short)) => format!("-{}", char::from(short)),
            (None, None) => String::new(),
        }
    }
}

/// A persona's options.
#[derive(Clone, Copy)]
pub(crate) struct Table<K: 'static> {
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
    pub(crate) usage: &'static str,
    pub(crate) grammar: Grammar,
    /// The original's options; a shortened one means these rather than ours.
    pub(crate) original: &'static [Opt<K>],
    /// Our additions.
    pub(crate) added: &'static [Opt<K>],
    /// The original's words for "show help", such as `-h`.
    pub(crate) help: &'static [&'static str],
    /// The original's exit status after its help, and after a wrong option.
    pub(crate) help_status: u8,
    pub(crate) wrong_status: u8,
    /// The differences from the original, and examples, in the form that `help::sections` splits.
    pub(crate) notes: &'static str,
}

/// The options that every persona has besides.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Shared {
    Source,
    Duration,
    Replay,
    Help,
    Usage,
    Version,
}

const SHARED: &[Opt<Shared>] = &[
    long(Shared::Source, "source", "auto, or a name that procscope sources lists").takes("NAME"),
    long(Shared::Duration, "duration", "Stop after this time: 10, 10s, 500ms, 5m, 1h").takes("TIME"),
    long(Shared::Replay, "replay", "From a file that procscope --format json wrote").takes("FILE"),
    long(Shared::Help, "help", "This help"),
    long(Shared::Usage, "usage", ""),
    long(Shared::Version, "version", ""),
];

/// The values of those options.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Common {
    pub(crate) source: Option<SourceId>,
    pub(crate) duration: Option<Duration>,
    /// A recording to read, in place of a mechanism.
    pub(crate) replay: Option<PathBuf>,
}

/// A command line that was read.
#[derive(Debug)]
pub(crate) struct Line<K> {
    /// In their order, with their values.
    pub(crate) options: Vec<(K, Vec<u8>)>,
    /// Words that are not options.
    pub(crate) operands: Vec<OsString>,
    pub(crate) common: Common,
}

/// Why a persona does not start watching.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Refusal {
    /// Help was requested; the original's exit status after it.
    Help(u8),
    /// Only the usage was requested.
    Usage,
    /// The version was requested.
    Version,
    /// A text that is the whole output.
    Said(&'static str),
    /// The command line is wrong; the original's exit status for that.
    Wrong(Failure, u8),
    /// Anything else.
    Failed(Failure),
}

/// The output of `--ebpf` of bcc's tools, which is C there too.
pub(crate) const NO_PROGRAM: &str =
    "/* bcc prints the program here that it compiles. procscope has its own, compiled before. */\n";

impl From<Failure> for Refusal {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

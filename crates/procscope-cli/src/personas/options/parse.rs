//! Reading a command line.

use std::ffi::OsString;

use super::{Common, Grammar, Line, Opt, Refusal, SHARED, Shared, Table};
use crate::failure::Failure;
use crate::values::{Source, parse_duration};

impl<K: Copy> Table<K> {
    /// Reads a command line, without the program's name.
    pub(crate) fn parse(&self, words: impl IntoIterator<Item = OsString>) -> Result<Line<K>, Refusal> {
        let mut line = Line { options: Vec::new(), operands: Vec::new(), common: Common::default() };
        let mut words = words.into_iter();
        while let Some(word) = words.next() {
            let bytes = word.as_encoded_bytes();
            if bytes == b"--" {
                line.operands.extend(words);
                break;
            }
            if let Some(text) = bytes.strip_prefix(b"--") {
                let (name, value) = split_at_equals(text);
                self.take_long(name, value.map(<[u8]>::to_vec), &mut words, &mut line)?;
            } else if bytes.len() > 1 && bytes[0] == b'-' {
                self.take_shorts(&bytes[1..], &mut words, &mut line)?;
            } else {
                line.operands.push(word);
                if self.grammar == Grammar::Posix {
                    line.operands.extend(words);
                    break;
                }
            }
        }
        self.refuse_replay(&line.common, line.common.source.is_some(), "there is no --source")?;
        Ok(line)
    }

    fn take_long(
        &self,
        name: &[u8],
        value: Option<Vec<u8>>,
        words: &mut impl Iterator<Item = OsString>,
        line: &mut Line<K>,
    ) -> Result<(), Refusal> {
        let shown = || format!("--{}", String::from_utf8_lossy(name));
        // Exact names, the originals' first; then shortened ones, likewise.
        for exact in [true, false] {
            for options in [self.original, self.added] {
                let found = choose(options, name, exact).map_err(|names| self.ambiguous(&shown(), &names))?;
                if let Some(option) = found {
                    return self.finish(option, value, words, line);
                }
            }
            let found = choose(SHARED, name, exact).map_err(|names| self.ambiguous(&shown(), &names))?;
            if let Some(option) = found {
                return self.finish_shared(option, value, words, line);
            }
        }
        Err(self.unknown(&shown()))
    }

    fn take_shorts(
        &self,
        mut letters: &[u8],
        words: &mut impl Iterator<Item = OsString>,
        line: &mut Line<K>,
    ) -> Result<(), Refusal> {
        while let Some((&letter, rest)) = letters.split_first() {
            letters = rest;
            let shown = format!("-{}", char::from(letter));
            if self.help.contains(&shown.as_str()) {
                return Err(Refusal::Help(self.help_status));
            }
            if letter == b'V' && self.grammar == Grammar::Argp {
                return Err(Refusal::Version);
            }
            let mut options = self.original.iter().chain(self.added);
            let Some(option) = options.find(|option| option.short == Some(letter)) else {
                return Err(self.unknown(&shown));
            };
            if option.value.is_none() {
                line.options.push((option.key, Vec::new()));
                continue;
            }
            let value = match (rest, self.grammar) {
                ([], _) => None,
                ([b'=', value @ ..], Grammar::Argparse) => Some(value.to_vec()),
                (value, _) => Some(value.to_vec()),
            };
            return self.finish(option, value, words, line);
        }
        Ok(())
    }

    fn finish(
        &self,
        option: &Opt<K>,
        value: Option<Vec<u8>>,
        words: &mut impl Iterator<Item = OsString>,
        line: &mut Line<K>,
    ) -> Result<(), Refusal> {
        let value = self.value(option, value, words)?;
        line.options.push((option.key, value));
        Ok(())
    }

    fn finish_shared(
        &self,
        option: &Opt<Shared>,
        value: Option<Vec<u8>>,
        words: &mut impl Iterator<Item = OsString>,
        line: &mut Line<K>,
    ) -> Result<(), Refusal> {
        let value = self.value(option, value, words)?;
        let text = String::from_utf8_lossy(&value);
        match option.key {
            Shared::Help => return Err(Refusal::Help(0)),
            Shared::Usage => return Err(Refusal::Usage),
            Shared::Version => return Err(Refusal::Version),
            Shared::Source => {
                line.common.source = text.parse::<Source>().map_err(|help| self.bad_value("--source", &text, help))?.0;
            }
            Shared::Duration => {
                let duration = parse_duration(&text).map_err(|help| self.bad_value("--duration", &text, help))?;
                line.common.duration = Some(duration);
            }
            Shared::Replay => line.common.replay = Some(super::path(value.clone())),
        }
        Ok(())
    }

    fn value<O>(
        &self,
        option: &Opt<O>,
        value: Option<Vec<u8>>,
        words: &mut impl Iterator<Item = OsString>,
    ) -> Result<Vec<u8>, Refusal> {
        match (option.value, value) {
            (None, None) => Ok(Vec::new()),
            (None, Some(_)) => Err(self.wrong(format!("{} needs no value", option.name()))),
            (Some(_), Some(value)) => Ok(value),
            (Some(name), None) => match words.next() {
                Some(word) => Ok(word.into_encoded_bytes()),
                None => Err(self.wrong(format!("{} needs a value: {name}", option.name()))),
            },
        }
    }

    /// Refuses what a recording cannot give.
    pub(crate) fn refuse_replay(&self, common: &Common, asked: bool, why: &str) -> Result<(), Refusal> {
        if asked && common.replay.is_some() {
            return Err(self.wrong(format!("with --replay {why}")));
        }
        Ok(())
    }

    /// The refusal of a command line.
    pub(crate) fn wrong(&self, cause: String) -> Refusal {
        let help = format!("see procscope {} --help", self.name);
        let what = format!("{} cannot be called like this", self.name);
        Refusal::Wrong(Failure { what, cause, help }, self.wrong_status)
    }

    /// The refusal of a value.
    pub(crate) fn bad_value(&self, option: &str, value: &str, help: impl Into<String>) -> Refusal {
        let what = format!("{} cannot be called like this", self.name);
        let cause = format!("{option} does not accept '{value}'");
        Refusal::Wrong(Failure { what, cause, help: help.into() }, self.wrong_status)
    }

    fn unknown(&self, option: &str) -> Refusal {
        self.wrong(format!("there is no option {option}"))
    }

    fn ambiguous(&self, option: &str, names: &[&str]) -> Refusal {
        let names: Vec<_> = names.iter().map(|name| format!("--{name}")).collect();
        self.wrong(format!("{option} could be {}", names.join(" or ")))
    }
}

/// `name=value`, split.
fn split_at_equals(text: &[u8]) -> (&[u8], Option<&[u8]>) {
    match text.iter().position(|&b| b == b'=') {
        Some(at) => (&text[..at], Some(&text[at + 1..])),
        None => (text, None),
    }
}

/// The option with this name, or the only one that begins with it; otherwise the names of those
/// that do.
fn choose<'a, K>(options: &'a [Opt<K>], name: &[u8], exact: bool) -> Result<Option<&'a Opt<K>>, Vec<&'static str>> {
    let fits = |long: &str| if exact { long.as_bytes() == name } else { long.as_bytes().starts_with(name) };
    let mut fitting = options.iter().filter(|option| option.long.is_some_and(fits));
    match (fitting.next(), fitting.next()) {
        (found, None) => Ok(found),
        _ => Err(options.iter().filter_map(|option| option.long).filter(|long| fits(long)).collect()),
    }
}

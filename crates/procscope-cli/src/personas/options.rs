//! Command lines as the originals read them.
//!
//! Not clap: it knows neither getopt's `-lTEXT=`, nor getopt's values that begin with a dash, nor
//! the shortened long options of argparse and argp. It does write the help, manual pages and
//! completions, from the same table.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use procscope::SourceId;

use crate::failure::Failure;
use crate::values::{Source, parse_duration};

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
    Help,
    Usage,
    Version,
}

const SHARED: &[Opt<Shared>] = &[
    long(Shared::Source, "source", "auto, or a name that procscope sources lists").takes("NAME"),
    long(Shared::Duration, "duration", "Stop after this time: 10, 10s, 500ms, 5m, 1h").takes("TIME"),
    long(Shared::Help, "help", "This help"),
    long(Shared::Usage, "usage", ""),
    long(Shared::Version, "version", ""),
];

/// The values of those options.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Common {
    pub(crate) source: Option<SourceId>,
    pub(crate) duration: Option<Duration>,
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

    /// The same in clap's form, for help, manual pages and completions.
    pub(crate) fn command(&self) -> clap::Command {
        let command = clap::Command::new(self.name)
            .about(self.about)
            .override_usage(self.usage)
            .after_help(self.notes)
            .max_term_width(80)
            .disable_help_flag(true);
        let options = self.original.iter().chain(self.added).filter(|option| !option.help.is_empty()).map(argument);
        let shared = SHARED.iter().filter(|option| !option.help.is_empty()).map(argument);
        let command = command.args(options.chain(shared));
        let letters = self.help.iter().filter_map(|word| word.strip_prefix('-')?.chars().next());
        letters.fold(command, |command, letter| command.mut_arg("help", |help| help.visible_short_alias(letter)))
    }
}

fn argument<K>(option: &Opt<K>) -> clap::Arg {
    let mut argument = clap::Arg::new(option.long.unwrap_or(letter(option.short))).help(option.help);
    if let Some(short) = option.short {
        argument = argument.short(char::from(short));
    }
    if let Some(long) = option.long {
        argument = argument.long(long);
    }
    match option.value {
        Some(value) => argument.value_name(value),
        None => argument.action(clap::ArgAction::SetTrue),
    }
}

/// The letter as a text that lasts.
fn letter(short: Option<u8>) -> &'static str {
    const LETTERS: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    let at = short.and_then(|short| LETTERS.bytes().position(|letter| letter == short));
    at.and_then(|at| LETTERS.get(at..=at)).unwrap_or_default()
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

/// A number at the beginning of a text, as strtol(3) and atoi(3) read it: blanks before it and
/// anything after it do not matter.
pub(crate) fn leading_number(text: &[u8]) -> Option<i64> {
    let text = text.trim_ascii_start();
    let (negative, digits) = match text {
        [b'-', digits @ ..] => (true, digits),
        [b'+', digits @ ..] => (false, digits),
        digits => (false, digits),
    };
    let length = digits.iter().take_while(|b| b.is_ascii_digit()).count();
    if length == 0 {
        return None;
    }
    let number = digits[..length]
        .iter()
        .fold(0i64, |number, digit| number.saturating_mul(10).saturating_add(i64::from(digit - b'0')));
    Some(if negative { -number } else { number })
}

/// A number as that of a process or user; the highest, which none has, if it can be none's.
pub(crate) fn as_id(number: i64) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

/// The values of a long option in words that are not read yet, because the meaning of the others
/// may depend on it.
pub(crate) fn words_of<'a>(words: &'a [OsString], long: &str) -> impl Iterator<Item = &'a [u8]> {
    let words = words.iter().map(|word| word.as_encoded_bytes()).take_while(|word| *word != b"--");
    let mut words = words.collect::<Vec<_>>().into_iter();
    let name = format!("--{long}");
    std::iter::from_fn(move || {
        loop {
            let word = words.next()?;
            match word.strip_prefix(name.as_bytes()) {
                Some([]) => return words.next(),
                Some([b'=', value @ ..]) => return Some(value),
                _ => {}
            }
        }
    })
}

/// A path from its bytes.
pub(crate) fn path(bytes: Vec<u8>) -> PathBuf {
    #[cfg(unix)]
    return <OsString as std::os::unix::ffi::OsStringExt>::from_vec(bytes).into();
    #[cfg(not(unix))]
    String::from_utf8_lossy(&bytes).into_owned().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    enum Key {
        Time,
        Timestamp,
        Name,
        Style,
    }

    fn table(grammar: Grammar) -> Table<Key> {
        const ORIGINAL: &[Opt<Key>] = &[
            both(Key::Time, b'T', "time", "x"),
            both(Key::Timestamp, b't', "timestamp", "x"),
            both(Key::Name, b'n', "name", "x").takes("NAME"),
        ];
        const ADDED: &[Opt<Key>] = &[long(Key::Style, "style", "x").takes("STYLE")];
        Table {
            name: "tool",
            about: "x",
            usage: "tool",
            grammar,
            original: ORIGINAL,
            added: ADDED,
            help: &["-h"],
            help_status: 3,
            wrong_status: 64,
            notes: "",
        }
    }

    fn read(grammar: Grammar, line: &str) -> Result<Line<Key>, Refusal> {
        table(grammar).parse(line.split(' ').filter(|word| !word.is_empty()).map(OsString::from))
    }

    fn options(grammar: Grammar, line: &str) -> Vec<(Key, String)> {
        let line = read(grammar, line).unwrap();
        line.options.into_iter().map(|(key, value)| (key, String::from_utf8(value).unwrap())).collect()
    }

    #[test]
    fn letters_can_be_joined_and_the_last_takes_the_rest() {
        for grammar in [Grammar::Getopt, Grammar::Posix, Grammar::Argparse, Grammar::Argp] {
            for line in ["-Ttn mount", "-Ttnmount", "-T -t -n mount"] {
                let expected = [(Key::Time, ""), (Key::Timestamp, ""), (Key::Name, "mount")];
                assert_eq!(options(grammar, line), expected.map(|(key, value)| (key, value.to_owned())), "{line}");
            }
            assert_eq!(options(grammar, "-n -T"), [(Key::Name, "-T".to_owned())]);
        }
        assert_eq!(options(Grammar::Argparse, "-n=x"), [(Key::Name, "x".to_owned())]);
        assert_eq!(options(Grammar::Argp, "-n=x"), [(Key::Name, "=x".to_owned())]);
    }

    #[test]
    fn long_options_can_be_shortened() {
        let all = [(Key::Time, String::new()), (Key::Timestamp, String::new()), (Key::Name, "a=b".to_owned())];
        assert_eq!(options(Grammar::Argp, "--time --times --na=a=b"), all);
        assert_eq!(options(Grammar::Argparse, "--time --timestamp --n a=b"), all);
        assert_eq!(options(Grammar::Argp, "--sty=bcc"), [(Key::Style, "bcc".to_owned())]);
        let Err(Refusal::Wrong(failure, 64)) = read(Grammar::Argp, "--ti") else { panic!() };
        assert!(failure.cause.contains("--time or --timestamp"), "{failure}");
        let common = read(Grammar::Argp, "--so process-connector --d 5").unwrap().common;
        assert_eq!(common.source, Some(SourceId::ProcessConnector));
        assert_eq!(common.duration, Some(Duration::from_secs(5)));
    }

    #[test]
    fn operands_end_the_options_or_do_not() {
        let line = read(Grammar::Getopt, "a -T b -- -t").unwrap();
        assert_eq!((line.options.len(), line.operands), (1, ["a", "b", "-t"].map(OsString::from).to_vec()));
        let line = read(Grammar::Posix, "-T a -T --help").unwrap();
        assert_eq!((line.options.len(), line.operands), (1, ["a", "-T", "--help"].map(OsString::from).to_vec()));
        assert_eq!(read(Grammar::Posix, "-").unwrap().operands, [OsString::from("-")]);
    }

    #[test]
    fn what_is_wrong_is_said() {
        for line in ["-z", "--zzz", "-n", "--name", "--time=1", "--source etw", "--duration 0"] {
            let Err(Refusal::Wrong(failure, 64)) = read(Grammar::Argp, line) else { panic!("{line}") };
            assert_eq!(failure.to_string().lines().count(), 3, "{line}");
        }
        assert_eq!(read(Grammar::Argp, "-Th").unwrap_err(), Refusal::Help(3));
        assert_eq!(read(Grammar::Argp, "--help").unwrap_err(), Refusal::Help(0));
        assert_eq!(read(Grammar::Argp, "-TV").unwrap_err(), Refusal::Version);
        assert_eq!(read(Grammar::Argp, "--usage").unwrap_err(), Refusal::Usage);
    }

    #[test]
    fn numbers_are_read_as_c_reads_them() {
        for (text, number) in
            [("10", Some(10)), (" 7x", Some(7)), ("-3", Some(-3)), ("+4", Some(4)), ("x", None), ("", None)]
        {
            assert_eq!(leading_number(text.as_bytes()), number, "{text:?}");
        }
        assert_eq!(leading_number(&[b'9'; 40]), Some(i64::MAX));
    }
}

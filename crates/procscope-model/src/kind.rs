//! The kinds of event, and sets of them.

use std::fmt;
use std::str::FromStr;

/// The kinds of event, named as `--events` and JSON name them.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[allow(missing_docs, reason = "each variant is the EventKind of that name")]
#[repr(u8)]
#[non_exhaustive]
pub enum Kind {
    Existing,
    Fork,
    Clone,
    Exec,
    ExecFailed,
    Exit,
    ThreadExit,
    Core,
    Comm,
    Uid,
    Gid,
    Sid,
    Ptrace,
    Lost,
    Start,
}

/// How many kinds there are.
pub(crate) const KIND_COUNT: usize = Kind::ALL.len();

impl Kind {
    /// All kinds, in the order of their indices.
    pub const ALL: &'static [Self] = &[
        Self::Existing,
        Self::Fork,
        Self::Clone,
        Self::Exec,
        Self::ExecFailed,
        Self::Exit,
        Self::ThreadExit,
        Self::Core,
        Self::Comm,
        Self::Uid,
        Self::Gid,
        Self::Sid,
        Self::Ptrace,
        Self::Lost,
        Self::Start,
    ];

    /// The word.
    pub fn name(self) -> &'static str {
        match self {
            Self::Existing => "existing",
            Self::Fork => "fork",
            Self::Clone => "clone",
            Self::Exec => "exec",
            Self::ExecFailed => "exec-failed",
            Self::Exit => "exit",
            Self::ThreadExit => "thread-exit",
            Self::Core => "core",
            Self::Comm => "comm",
            Self::Uid => "uid",
            Self::Gid => "gid",
            Self::Sid => "sid",
            Self::Ptrace => "ptrace",
            Self::Lost => "lost",
            Self::Start => "start",
        }
    }
}

impl FromStr for Kind {
    type Err = ParseEventSetError;

    fn from_str(word: &str) -> Result<Self, ParseEventSetError> {
        let known = Self::ALL.iter().copied().find(|kind| kind.name() == word);
        known.ok_or_else(|| ParseEventSetError { word: word.to_owned() })
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A set of kinds. [`Kind::Lost`] is always in it.
///
/// ```
/// use procscope_model::{EventSet, Kind};
///
/// let set: EventSet = [Kind::Exec, Kind::Exit].into_iter().collect();
/// assert_eq!(set.to_string(), "exec,exit");
/// assert_eq!("exit,exec".parse(), Ok(set));
/// assert!(set.contains(Kind::Lost) && !set.contains(Kind::Fork));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct EventSet(u16);

impl EventSet {
    /// Only `lost`.
    pub const NONE: Self = Self(1 << Kind::Lost as u16);
    /// Every kind.
    pub const ALL: Self = Self((1 << KIND_COUNT) - 1);

    /// Every kind that Linux has.
    pub const LINUX: Self = Self::ALL.without(Kind::Start);

    /// The set with one more kind.
    #[must_use]
    pub const fn with(self, kind: Kind) -> Self {
        Self(self.0 | 1 << kind as u16)
    }

    /// The set with one kind less.
    #[must_use]
    pub const fn without(self, kind: Kind) -> Self {
        Self(self.0 & !(1 << kind as u16))
    }

    /// True if the kind is in it.
    pub const fn contains(self, kind: Kind) -> bool {
        self.0 & 1 << kind as u16 != 0
    }

    /// The kinds that are in either.
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// The kinds that are in both.
    #[must_use]
    pub const fn intersection(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// Its kinds.
    pub fn iter(self) -> impl Iterator<Item = Kind> {
        Kind::ALL.iter().copied().filter(move |&kind| self.contains(kind))
    }
}

impl FromIterator<Kind> for EventSet {
    fn from_iter<I: IntoIterator<Item = Kind>>(kinds: I) -> Self {
        kinds.into_iter().fold(Self::NONE, Self::with)
    }
}

impl fmt::Display for EventSet {
    /// As `FromStr` reads it: `exec,exit`, or `all`. `lost` is named only if nothing else is in it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.iter().filter(|&kind| kind != Kind::Lost).map(Kind::name).collect();
        match names.len() {
            0 => f.pad(Kind::Lost.name()),
            _ if self.union(Self::NONE) == Self::ALL => f.pad("all"),
            _ => f.pad(&names.join(",")),
        }
    }
}

impl Default for EventSet {
    /// exec, exec-failed and exit.
    fn default() -> Self {
        Self::NONE.with(Kind::Exec).with(Kind::ExecFailed).with(Kind::Exit)
    }
}

/// A word that is not a kind of event.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ParseEventSetError {
    /// The word.
    pub word: String,
}

impl fmt::Display for ParseEventSetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "there is no event '{}'; the events are all", self.word.escape_debug())?;
        Kind::ALL.iter().copied().try_for_each(|kind| write!(f, ", {kind}"))
    }
}

impl std::error::Error for ParseEventSetError {}

impl FromStr for EventSet {
    type Err = ParseEventSetError;

    /// Reads kinds joined by commas; `all` is every one, and forkstat's `ptrce` is `ptrace`.
    fn from_str(list: &str) -> Result<Self, ParseEventSetError> {
        list.split(',').map(str::trim).try_fold(Self::NONE, |set, word| match word {
            "all" => Ok(Self::ALL),
            "ptrce" => Ok(set.with(Kind::Ptrace)),
            _ => match Kind::ALL.iter().copied().find(|kind| kind.name() == word) {
                Some(kind) => Ok(set.with(kind)),
                None => Err(ParseEventSetError { word: word.to_owned() }),
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn event_sets_read_their_words() {
        let set: EventSet = "fork, exec,ptrce".parse().unwrap();
        assert_eq!(set.iter().map(Kind::name).collect::<Vec<_>>(), ["fork", "exec", "ptrace", "lost"]);
        assert_eq!("all".parse(), Ok(EventSet::ALL));
        assert_eq!("exec,all".parse(), Ok(EventSet::ALL));
        assert_eq!("all,exec".parse::<EventSet>(), Ok(EventSet::ALL));
        assert_eq!("exec,,exit".parse::<EventSet>(), Err(ParseEventSetError { word: String::new() }));
        assert!("EXEC".parse::<EventSet>().unwrap_err().to_string().contains("exec-failed"));
    }

    proptest::proptest! {
        #[test]
        fn any_set_is_read_again(kinds in proptest::collection::vec(0..KIND_COUNT, 0..KIND_COUNT)) {
            let set: EventSet = kinds.into_iter().map(|index| Kind::ALL[index]).collect();
            proptest::prop_assert_eq!(set.to_string().parse(), Ok(set));
        }
    }

    #[test]
    fn event_sets_show_their_words() {
        assert_eq!(EventSet::from_iter([Kind::Exit, Kind::Exec]).to_string(), "exec,exit");
        assert_eq!((EventSet::ALL.to_string(), EventSet::NONE.to_string()), ("all".into(), "lost".into()));
    }

    #[test]
    fn kinds_stand_at_their_index() {
        for (index, kind) in Kind::ALL.iter().copied().enumerate() {
            assert_eq!(kind as usize, index);
        }
    }
}

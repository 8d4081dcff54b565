/// A field of an event or of its process, by the name that JSON uses.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[non_exhaustive]
#[allow(missing_docs, reason = "each variant is the field of that name")]
pub enum Field {
    Time,
    Id,
    Ppid,
    Parent,
    Name,
    OldName,
    Path,
    Exe,
    Interpreter,
    Argv,
    Env,
    Cwd,
    User,
    Login,
    Sid,
    Pgid,
    Tty,
    Cgroup,
    Status,
    Killer,
    Duration,
    Usage,
}

impl Field {
    /// All fields, in the order of their indices.
    pub const ALL: [Self; 22] = [
        Self::Time,
        Self::Id,
        Self::Ppid,
        Self::Parent,
        Self::Name,
        Self::OldName,
        Self::Path,
        Self::Exe,
        Self::Interpreter,
        Self::Argv,
        Self::Env,
        Self::Cwd,
        Self::User,
        Self::Login,
        Self::Sid,
        Self::Pgid,
        Self::Tty,
        Self::Cgroup,
        Self::Status,
        Self::Killer,
        Self::Duration,
        Self::Usage,
    ];

    /// The name that JSON's `flaws` uses.
    pub fn name(self) -> &'static str {
        match self {
            Self::Time => "time",
            Self::Id => "id",
            Self::Ppid => "ppid",
            Self::Parent => "parent",
            Self::Name => "name",
            Self::OldName => "old_name",
            Self::Path => "path",
            Self::Exe => "exe",
            Self::Interpreter => "interpreter",
            Self::Argv => "argv",
            Self::Env => "env",
            Self::Cwd => "cwd",
            Self::User => "user",
            Self::Login => "loginuid",
            Self::Sid => "sid",
            Self::Pgid => "pgid",
            Self::Tty => "tty",
            Self::Cgroup => "cgroup",
            Self::Status => "status",
            Self::Killer => "killer",
            Self::Duration => "duration_ns",
            Self::Usage => "usage",
        }
    }

    /// What an exec changes: the program, and where it was called.
    pub(crate) const OF_PROGRAM: &[Self] =
        &[Self::Path, Self::Exe, Self::Interpreter, Self::Argv, Self::Env, Self::Cwd];
    /// What a refused exec reports of the program that it tried.
    pub(crate) const TRIED: &[Self] = &[Self::Path, Self::Argv, Self::Env, Self::Interpreter];
}

/// Why a field is not to be trusted fully.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[non_exhaustive]
pub enum Flaw {
    /// Only its beginning is here; for `exe`, `cwd` and `cgroup`, which then begin with `…/`, only
    /// the end.
    Truncated,
    /// It could not be read at all.
    Unreadable,
    /// Read after the event, when it may have changed.
    ReadLate,
    /// Never seen, because the event that carries it came before or was not requested.
    NotObserved,
    /// Events were lost before this one, so this may be an older value.
    AfterLoss,
    /// Inherited from the parent, of which this process is a copy until it execs.
    Inherited,
    /// Worked out from other values, not read.
    Estimated,
    /// An id that another process had before: its pid was used again within the same clock tick.
    Repeated,
}

impl Flaw {
    /// All flaws, in the order of their indices.
    pub const ALL: [Self; 8] = [
        Self::Truncated,
        Self::Unreadable,
        Self::ReadLate,
        Self::NotObserved,
        Self::AfterLoss,
        Self::Inherited,
        Self::Estimated,
        Self::Repeated,
    ];

    /// The word that JSON's `flaws` uses.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Truncated => "truncated",
            Self::Unreadable => "unreadable",
            Self::ReadLate => "read-late",
            Self::NotObserved => "not-observed",
            Self::AfterLoss => "after-loss",
            Self::Inherited => "inherited",
            Self::Estimated => "estimated",
            Self::Repeated => "repeated",
        }
    }

    /// True if the field does not hold the whole truth; only [`Flaw::Inherited`] is exact.
    pub fn is_incomplete(self) -> bool {
        self != Self::Inherited
    }
}

/// A word that is not a field, flaw or mechanism.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct UnknownWord {
    /// What it should have named.
    pub what: &'static str,
    /// The word.
    pub word: String,
}

impl std::fmt::Display for UnknownWord {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "there is no {} '{}'", self.what, self.word.escape_debug())
    }
}

impl std::error::Error for UnknownWord {}

/// `FromStr` and `Display` by the type's own `ALL` and `name`.
macro_rules! named {
    ($type:ty, $what:literal) => {
        impl std::str::FromStr for $type {
            type Err = $crate::UnknownWord;

            fn from_str(word: &str) -> Result<Self, $crate::UnknownWord> {
                let known = Self::ALL.into_iter().find(|known| known.name() == word);
                known.ok_or_else(|| $crate::UnknownWord { what: $what, word: word.to_owned() })
            }
        }

        impl std::fmt::Display for $type {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.name())
            }
        }
    };
}

pub(crate) use named;

named!(Field, "field");
named!(Flaw, "flaw");

/// The flaws of an event or a process, at most one for each field; the worst known.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct Flaws(
    /// Four bits for each field: 0, or the flaw's index and 1.
    u128,
);

const BITS: u32 = 4;
const ONE: u128 = (1 << BITS) - 1;

const _: () = assert!(Field::ALL.len() * BITS as usize <= 128 && Flaw::ALL.len() < ONE as usize);

const fn shift(field: Field) -> u32 {
    field as u32 * BITS
}

impl Flaws {
    /// No flaw.
    pub const fn new() -> Self {
        Self(0)
    }

    /// Marks a field; this replaces an earlier mark.
    pub fn mark(&mut self, field: Field, flaw: Flaw) {
        self.clear(field);
        self.0 |= (flaw as u128 + 1) << shift(field);
    }

    /// Removes a field's mark.
    pub fn clear(&mut self, field: Field) {
        self.0 &= !(ONE << shift(field));
    }

    /// The flaw of a field.
    pub fn get(&self, field: Field) -> Option<Flaw> {
        flaw_of(self.0 >> shift(field))
    }

    /// True if nothing is marked.
    pub fn is_empty(&self) -> bool {
        self.0 == 0
    }

    /// All marks, in the order of [`Field::ALL`].
    pub fn iter(&self) -> impl Iterator<Item = (Field, Flaw)> + use<> {
        let mut rest = self.0;
        std::iter::from_fn(move || {
            let field = *Field::ALL.get((rest.trailing_zeros() / BITS) as usize)?;
            let flaw = flaw_of(rest >> shift(field))?;
            rest &= !(ONE << shift(field));
            Some((field, flaw))
        })
    }

    /// Those of other fields alone.
    pub(crate) const fn without(self, fields: &[Field]) -> Self {
        let (mut marks, mut at) = (self.0, 0);
        while at < fields.len() {
            marks &= !(ONE << shift(fields[at]));
            at += 1;
        }
        Self(marks)
    }

    /// With the marks of fields that have none here.
    pub(crate) const fn or(self, others: Self) -> Self {
        const FIRST: u128 = u128::MAX / ONE;
        let marked = (self.0 | self.0 >> 1 | self.0 >> 2 | self.0 >> 3) & FIRST;
        Self(self.0 | others.0 & !(marked * ONE))
    }
}

fn flaw_of(mark: u128) -> Option<Flaw> {
    Flaw::ALL.get(((mark & ONE) as usize).checked_sub(1)?).copied()
}

impl std::fmt::Debug for Flaws {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_stand_at_their_index() {
        for (index, field) in Field::ALL.into_iter().enumerate() {
            assert_eq!(field as usize, index);
        }
        for (index, flaw) in Flaw::ALL.into_iter().enumerate() {
            assert_eq!(flaw as usize, index);
        }
    }

    #[test]
    fn one_mark_a_field() {
        let mut flaws = Flaws::new();
        flaws.mark(Field::Argv, Flaw::Truncated);
        flaws.mark(Field::Argv, Flaw::Unreadable);
        assert_eq!(flaws.iter().collect::<Vec<_>>(), [(Field::Argv, Flaw::Unreadable)]);
        flaws.clear(Field::Argv);
        assert!(flaws.is_empty());
    }

    #[test]
    fn every_mark_is_kept() {
        let flaw = |field: Field| Flaw::ALL[field as usize % Flaw::ALL.len()];
        for turn in 0..Field::ALL.len() {
            let mut fields = Field::ALL;
            fields.rotate_left(turn);
            let mut flaws = Flaws::new();
            fields.into_iter().for_each(|field| flaws.mark(field, flaw(field)));
            assert_eq!(flaws.iter().collect::<Vec<_>>(), Field::ALL.map(|field| (field, flaw(field))));
            fields.into_iter().for_each(|field| assert_eq!(flaws.get(field), Some(flaw(field))));
            flaws.clear(fields[0]);
            flaws.mark(fields[1], Flaw::Truncated);
            assert_eq!((flaws.get(fields[0]), flaws.get(fields[1])), (None, Some(Flaw::Truncated)));
            assert_eq!(flaws.iter().count(), Field::ALL.len() - 1);
        }
    }
}

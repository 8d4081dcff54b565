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

    /// True for what an exec changes: the program, and where it was called.
    pub const fn is_of_program(self) -> bool {
        matches!(self, Self::Path | Self::Exe | Self::Interpreter | Self::Argv | Self::Env | Self::Cwd)
    }
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
#[derive(Clone, Copy, Default)]
pub struct Flaws {
    /// A field's index and a flaw's in one byte each, in the order of the fields: most processes
    /// have a flaw or two, which is not worth an allocation.
    marks: [u8; MOST],
    len: u8,
}

const MOST: usize = 31;
const FLAW_BITS: u32 = 3;

const _: () = assert!(Field::ALL.len() <= MOST && Flaw::ALL.len() <= 1 << FLAW_BITS);

impl Flaws {
    /// No flaw.
    pub const fn new() -> Self {
        Self { marks: [0; MOST], len: 0 }
    }

    fn marks(&self) -> &[u8] {
        &self.marks[..usize::from(self.len)]
    }

    fn place(&self, field: Field) -> Option<usize> {
        self.marks().iter().position(|mark| mark >> FLAW_BITS == field as u8)
    }

    /// Marks a field; this replaces an earlier mark.
    pub fn mark(&mut self, field: Field, flaw: Flaw) {
        let len = usize::from(self.len);
        let before = |mark: &u8| mark >> FLAW_BITS < field as u8;
        let place = self.marks().iter().rposition(before).map_or(0, |last| last + 1);
        if self.marks[place] >> FLAW_BITS != field as u8 || place == len {
            self.marks.copy_within(place..len, place + 1);
            self.len += 1;
        }
        self.marks[place] = (field as u8) << FLAW_BITS | flaw as u8;
    }

    /// Removes a field's mark.
    pub fn clear(&mut self, field: Field) {
        if let Some(place) = self.place(field) {
            self.marks.copy_within(place + 1..usize::from(self.len), place);
            self.len -= 1;
        }
    }

    /// The flaw of a field.
    pub fn get(&self, field: Field) -> Option<Flaw> {
        self.place(field).map(|place| flaw_of(self.marks[place]))
    }

    /// True if nothing is marked.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// All marks, in the order of [`Field::ALL`].
    pub fn iter(&self) -> impl Iterator<Item = (Field, Flaw)> + use<> {
        let (marks, len) = (self.marks, usize::from(self.len));
        (0..len).map(move |at| (Field::ALL[usize::from(marks[at] >> FLAW_BITS)], flaw_of(marks[at])))
    }
}

fn flaw_of(mark: u8) -> Flaw {
    Flaw::ALL[usize::from(mark & ((1 << FLAW_BITS) - 1))]
}

impl PartialEq for Flaws {
    fn eq(&self, other: &Self) -> bool {
        self.marks() == other.marks()
    }
}

impl Eq for Flaws {}

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

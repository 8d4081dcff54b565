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
    Tty,
    Cgroup,
    Status,
    Killer,
    Duration,
    Usage,
}

impl Field {
    /// All fields, in the order of their indices.
    pub const ALL: [Self; 19] = [
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
            Self::Tty => "tty",
            Self::Cgroup => "cgroup",
            Self::Status => "status",
            Self::Killer => "killer",
            Self::Duration => "duration_ns",
            Self::Usage => "usage",
        }
    }
}

/// Why a field is not to be trusted as it stands.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[non_exhaustive]
pub enum Flaw {
    /// Only its beginning is here.
    Truncated,
    /// It could not be read at all.
    Unreadable,
    /// Read after the event, when it may have changed.
    ReadLate,
    /// Never seen, because the event that carries it came before or was not asked for.
    NotObserved,
    /// Events were lost before this one, so an older value may stand here.
    AfterLoss,
    /// Taken over from the parent, of which this process is a copy until it execs.
    Inherited,
    /// Worked out from other values, not read.
    Estimated,
}

impl Flaw {
    /// The word that JSON's `flaws` uses.
    pub fn name(self) -> &'static str {
        match self {
            Self::Truncated => "truncated",
            Self::Unreadable => "unreadable",
            Self::ReadLate => "read-late",
            Self::NotObserved => "not-observed",
            Self::AfterLoss => "after-loss",
            Self::Inherited => "inherited",
            Self::Estimated => "estimated",
        }
    }

    /// True where what the field holds is not the whole truth; [`Flaw::Inherited`] alone is exact.
    pub fn is_incomplete(self) -> bool {
        self != Self::Inherited
    }
}

/// The flaws of an event or a process, at most one a field; the worst known.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Flaws(Vec<(Field, Flaw)>);

impl Flaws {
    /// No flaw.
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// Marks a field; a field that was marked before takes the new mark.
    pub fn mark(&mut self, field: Field, flaw: Flaw) {
        match self.0.iter_mut().find(|(f, _)| *f == field) {
            Some(entry) => entry.1 = flaw,
            None => self.0.push((field, flaw)),
        }
    }

    /// Takes a field's mark away.
    pub fn clear(&mut self, field: Field) {
        self.0.retain(|(f, _)| *f != field);
    }

    /// The flaw of a field.
    pub fn get(&self, field: Field) -> Option<Flaw> {
        self.0.iter().find(|(f, _)| *f == field).map(|&(_, flaw)| flaw)
    }

    /// True where nothing is marked.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All marks, in no promised order.
    pub fn iter(&self) -> impl Iterator<Item = (Field, Flaw)> + '_ {
        self.0.iter().copied()
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
}

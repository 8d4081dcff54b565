//! The one table of fields: filters, columns, JSON Schema, readers and docs derive from it.

mod of_event;
mod of_kind;
mod of_process;

use crate::{Argv, Event, EventSet, Field, Flaw, Kind, Lost, Namespaces, ProcessId, ProcessRef, Timestamp, Tty};

/// One field of events.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct FieldSpec {
    /// JSON's key; a dot separates an object from its member (`parent.pid`).
    pub name: &'static str,
    /// Other names by which filters and columns know it.
    pub aliases: &'static [&'static str],
    /// The type and unit of its values.
    pub of: FieldType,
    /// The kinds of event that can have it.
    pub kinds: EventSet,
    /// The kinds that always have a value, whether the source knows it or not; no flaw marks an unknown one.
    pub always: EventSet,
    /// The flaw that marks it.
    pub flaw: Option<Field>,
    /// True if it comes from the process's last exec.
    pub of_image: bool,
    /// True if its bytes are always UTF-8, if they are text.
    pub is_utf8: bool,
    /// Its column in CSV.
    pub column: Option<&'static str>,
    /// What it is, in one sentence, with its source in the kernel.
    pub doc: &'static str,
    get: fn(&Event) -> Option<Value<'_>>,
    set: Option<Set>,
}

type Set = fn(&mut Event, Value<'_>) -> bool;

impl FieldSpec {
    const fn new(name: &'static str, of: FieldType, doc: &'static str) -> Self {
        Self {
            name,
            aliases: &[],
            of,
            kinds: EventSet::ALL,
            always: EventSet::NONE,
            flaw: None,
            of_image: false,
            is_utf8: false,
            column: None,
            doc,
            get: |_| None,
            set: None,
        }
    }

    const fn aka(mut self, aliases: &'static [&'static str]) -> Self {
        self.aliases = aliases;
        self
    }

    const fn on(mut self, kinds: EventSet) -> Self {
        self.kinds = kinds;
        self
    }

    const fn always(mut self, kinds: EventSet) -> Self {
        self.always = kinds;
        self
    }

    const fn flaw(mut self, flaw: Field) -> Self {
        self.flaw = Some(flaw);
        self
    }

    const fn of_image(mut self) -> Self {
        self.of_image = true;
        self
    }

    const fn utf8(mut self) -> Self {
        self.is_utf8 = true;
        self
    }

    const fn column(mut self, column: &'static str) -> Self {
        self.column = Some(column);
        self
    }

    const fn get(mut self, get: fn(&Event) -> Option<Value<'_>>) -> Self {
        self.get = get;
        self
    }

    const fn set(mut self, set: Set) -> Self {
        self.set = Some(set);
        self
    }

    /// Its value in an event; `None` if it is unknown or does not apply.
    pub fn value<'a>(&self, event: &'a Event) -> Option<Value<'a>> {
        (self.get)(event)
    }

    /// False if its value is worked out from other fields: such a field has no key in JSON and
    /// cannot be set.
    pub fn is_stored(&self) -> bool {
        self.set.is_some()
    }

    /// Sets its value. False if the value has another type or is out of range, if the event's kind
    /// does not have the field, or if the field is not stored.
    pub fn set_value(&self, event: &mut Event, value: Value<'_>) -> bool {
        self.kinds.contains(event.kind.kind()) && self.set.is_some_and(|set| set(event, value))
    }
}

/// The type and unit of a field's values.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum FieldType {
    /// Bytes, most often UTF-8.
    Text,
    /// A list of texts, which filters compare joined by blanks.
    Texts,
    /// A list of texts; a filter is true if any one matches.
    AnyText,
    /// One of these words.
    Word(&'static [&'static str]),
    /// The name of a user or group; filters also take the number.
    Owner,
    /// A whole number, at most `max`.
    Number {
        /// The highest value.
        max: u64,
    },
    /// A whole number that may be negative.
    Signed,
    /// A time span, ns.
    Span {
        /// True if a filter must name the unit.
        unit: bool,
    },
    /// A size, bytes.
    Size {
        /// True if a filter must name the unit.
        unit: bool,
    },
    /// True or false.
    Truth {
        /// True if JSON has the key only for true.
        only_true: bool,
    },
    /// A kind of event.
    Kind,
    /// A signal, by number; JSON has its name.
    Signal,
    /// An error of errno(3), by number; JSON has its name.
    Errno,
    /// A moment: RFC 3339.
    Time,
    /// The identity of a process.
    Id,
    /// A terminal.
    Tty,
    /// Another process, an object whose members are fields too.
    Process,
    /// The namespaces, an object whose members are fields too.
    Namespaces,
    /// Numbers by kind of event.
    Counts,
    /// The flaws, words by field.
    Flaws,
    /// A value of any ancestor, which no event alone holds.
    Ancestor(AncestorField),
}

/// The part of an ancestor that a filter asks about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs, reason = "each variant is the field of that name")]
#[non_exhaustive]
pub enum AncestorField {
    Pid,
    Name,
    Exe,
    Id,
}

/// A value of a field.
#[derive(Clone, Copy, PartialEq, Debug)]
#[non_exhaustive]
pub enum Value<'a> {
    /// Bytes.
    Text(&'a [u8]),
    /// A list.
    Texts(&'a Argv),
    /// A word of ours.
    Word(&'a str),
    /// A user or group: the name, if there is one, and the number.
    Owner(Option<&'a str>, u32),
    /// A number; ns or bytes if the type says so.
    Number(i128),
    /// True or false.
    Truth(bool),
    /// A kind of event.
    Kind(Kind),
    /// A moment.
    Time(Timestamp),
    /// A process.
    Id(ProcessId),
    /// A terminal.
    Tty(Tty),
    /// Another process.
    Process(&'a ProcessRef),
    /// The namespaces.
    Namespaces(&'a Namespaces),
    /// Numbers by kind.
    Counts(&'a Lost),
    /// The flaw of one field: one of those in `flaws`.
    Flaw(Field, Flaw),
}

impl<'a> Value<'a> {
    fn of(number: impl Into<i128>) -> Option<Self> {
        Some(Self::Number(number.into()))
    }

    fn number<T: TryFrom<i128>>(self) -> Option<T> {
        match self {
            Self::Number(number) => T::try_from(number).ok(),
            _ => None,
        }
    }

    fn bytes(self) -> Option<&'a [u8]> {
        match self {
            Self::Text(bytes) => Some(bytes),
            Self::Word(word) => Some(word.as_bytes()),
            _ => None,
        }
    }

    fn str(self) -> Option<&'a str> {
        match self {
            Self::Text(bytes) => str::from_utf8(bytes).ok(),
            Self::Word(word) | Self::Owner(Some(word), _) => Some(word),
            _ => None,
        }
    }

    fn truth(self) -> Option<bool> {
        match self {
            Self::Truth(truth) => Some(truth),
            _ => None,
        }
    }

    fn process_id(self) -> Option<ProcessId> {
        match self {
            Self::Id(id) => Some(id),
            _ => None,
        }
    }
}

/// Puts a value in its place; false if there is none.
fn put<T>(place: &mut T, value: Option<T>) -> bool {
    value.map(|value| *place = value).is_some()
}

/// The same for a value that may be absent.
fn some<T>(place: &mut Option<T>, value: Option<T>) -> bool {
    value.map(|value| *place = Some(value)).is_some()
}

const NONE: EventSet = EventSet::NONE;
const ALL: EventSet = EventSet::ALL;
const EXIT: EventSet = NONE.with(Kind::Exit);
const ENDS: EventSet = EXIT.with(Kind::ThreadExit);
const BEGINNINGS: EventSet = NONE.with(Kind::Fork).with(Kind::Clone);
/// Everything that happens to a process in one moment.
const HAPPENINGS: EventSet = ALL.without(Kind::Existing).without(Kind::Lost);
const U32: FieldType = FieldType::Number { max: u32::MAX as u64 };
const U64: FieldType = FieldType::Number { max: u64::MAX };

/// Joins the parts of the table.
const fn joined<const N: usize>(parts: [&[FieldSpec]; 4]) -> [FieldSpec; N] {
    let mut all = [parts[0][0]; N];
    let (mut part, mut at) = (0, 0);
    while part < parts.len() {
        let mut index = 0;
        while index < parts[part].len() {
            all[at] = parts[part][index];
            (index, at) = (index + 1, at + 1);
        }
        part += 1;
    }
    assert!(at == N);
    all
}

const COUNT: usize = of_event::FIELDS.len() + of_process::FIELDS.len() + of_kind::FIELDS.len() + of_event::LAST.len();
static TABLE: [FieldSpec; COUNT] = joined([of_event::FIELDS, of_process::FIELDS, of_kind::FIELDS, of_event::LAST]);

/// Every field that an event can have, in the order of CSV's columns.
pub static FIELDS: &[FieldSpec] = &TABLE;

/// The field of a name or an alias.
pub fn field(name: &str) -> Option<&'static FieldSpec> {
    FIELDS.iter().find(|field| field.name == name || field.aliases.contains(&name))
}

#[cfg(test)]
mod tests;

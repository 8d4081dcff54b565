//! The values of a field in a filter: how they are written and compared.

use crate::{AncestorField, Event, FIELDS, FieldSpec, FieldType, Flaw};

/// How a field's values are written and compared.
#[derive(Clone, Copy, Debug)]
pub(super) enum Type {
    /// Bytes.
    Text,
    /// One of these words.
    Word(&'static [&'static str]),
    /// The name of a user or group, or its number.
    Owner,
    /// A whole number.
    Number,
    /// Nanoseconds; whether the unit has to be named.
    Span { unit: bool },
    /// Bytes; whether the unit has to be named.
    Size { unit: bool },
    /// True or false.
    Truth,
    /// A kind of event.
    Kind,
    /// The name or number of a signal.
    Signal,
    /// The name or number of an error.
    Errno,
    /// RFC 3339.
    Time,
    /// A process, as JSON's `id` has it.
    Id,
    /// Present or not, nothing more.
    Presence,
}

impl Type {
    pub(super) fn of(field: &FieldSpec) -> Self {
        match field.of {
            FieldType::Text | FieldType::Texts | FieldType::AnyText | FieldType::Tty => Self::Text,
            FieldType::Ancestor(AncestorField::Name | AncestorField::Exe) => Self::Text,
            FieldType::Word(words) => Self::Word(words),
            FieldType::Owner => Self::Owner,
            FieldType::Number { .. } | FieldType::Signed | FieldType::Ancestor(AncestorField::Pid) => Self::Number,
            FieldType::Span { unit } => Self::Span { unit },
            FieldType::Size { unit } => Self::Size { unit },
            FieldType::Truth { .. } => Self::Truth,
            FieldType::Kind => Self::Kind,
            FieldType::Signal => Self::Signal,
            FieldType::Errno => Self::Errno,
            FieldType::Time => Self::Time,
            FieldType::Id | FieldType::Ancestor(AncestorField::Id) => Self::Id,
            FieldType::Flaws => Self::Word(&FLAWS),
            FieldType::Process | FieldType::Namespaces | FieldType::Counts => Self::Presence,
        }
    }
}

/// The fields that a filter knows. For it `lost` is the number, not the object.
pub(super) fn fields() -> impl Iterator<Item = &'static FieldSpec> + Clone {
    FIELDS.iter().filter(|field| field.of != FieldType::Counts)
}

/// True if there can be several values, of which any one decides.
pub(super) fn is_any(field: &FieldSpec) -> bool {
    matches!(field.of, FieldType::AnyText | FieldType::Flaws | FieldType::Ancestor(_))
}

/// Whether an event has a value of this field that the source does not know.
pub(super) fn is_unknown(field: &FieldSpec, event: &Event) -> bool {
    field.always.contains(event.kind.kind()) && field.value(event).is_none()
}

/// The words for why a field is not to be trusted.
pub(super) const FLAWS: [&str; Flaw::ALL.len()] = {
    let mut words = [""; Flaw::ALL.len()];
    let mut at = 0;
    while at < words.len() {
        words[at] = Flaw::ALL[at].name();
        at += 1;
    }
    words
};

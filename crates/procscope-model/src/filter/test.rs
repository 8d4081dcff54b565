//! One term: a field, and what it is compared with. Matching allocates only to join arguments.

use std::cell::Cell;
use std::fmt::{self, Write as _};

use regex::bytes::Regex;

use super::field::is_unknown;
use super::glob::Glob;

use crate::ancestry::{MOST_GENERATIONS, first_ancestor};
use crate::{
    Ancestor, AncestorField, Argv, Event, EventSet, Field, FieldSpec, FieldType, Flaw, Parentage, ProcessId, Value,
};

/// The subject of a test.
#[derive(Clone, Debug)]
pub(super) enum Subject {
    Field(&'static FieldSpec),
    Arg(usize),
    Variable(Box<str>),
    Flaw(Field),
}

/// How numbers compare.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Order {
    Equal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

/// The condition on a text.
#[derive(Clone, Debug)]
pub(super) enum Wanted {
    Equal(Box<[u8]>),
    /// Sorted.
    Among(Vec<Box<[u8]>>),
    Glob(Glob),
    Regex(Box<Regex>),
}

/// The condition on a value.
#[derive(Clone, Debug)]
pub(super) enum Check {
    Present,
    Truth(bool),
    Text(Wanted),
    Compare(Order, i128),
    /// Sorted.
    Numbers(Vec<i128>),
    Kinds(EventSet),
    Owner {
        names: Vec<Box<[u8]>>,
        numbers: Vec<u32>,
    },
    /// The beginning of the boot's id, and the process.
    Ids(Vec<(Option<[u8; 4]>, ProcessId)>),
}

/// A term.
#[derive(Clone, Debug)]
pub(super) struct Test {
    pub(super) subject: Subject,
    pub(super) check: Check,
    /// It is true if the value is known and the check fails.
    pub(super) negative: bool,
    /// The text after the field's name, to be shown.
    text: Box<str>,
    /// The name under which `flaws` would mark the value.
    trust: Option<Field>,
}

impl fmt::Display for Test {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.subject, self.text)
    }
}

impl Test {
    pub(super) fn new(subject: Subject, check: Check, negative: bool, text: String) -> Self {
        let trust = match (&subject, &check) {
            // Whether something is known is itself known.
            (_, Check::Present) | (Subject::Flaw(_), _) => None,
            (Subject::Field(spec), _) => spec.flaw,
            (Subject::Arg(_), _) => Some(Field::Argv),
            (Subject::Variable(_), _) => Some(Field::Env),
        };
        Self { subject, check, negative, text: text.into(), trust }
    }

    /// Whether it is true, if that is certain: the value may be missing, or cut, or outdated. A
    /// value that came late or was worked out counts as it is.
    pub(super) fn surely_holds(&self, event: &Event, parentage: &dyn Parentage) -> Option<bool> {
        let has = match &self.subject {
            Subject::Field(spec) => spec.kinds.contains(event.kind.kind()),
            _ => true,
        };
        let untold = match &self.subject {
            Subject::Field(spec) => !matches!(self.check, Check::Present) && is_unknown(spec, event),
            _ => false,
        };
        if untold {
            return None;
        }
        let flaw = self.trust.filter(|_| has).and_then(|field| event.flaw(field));
        match flaw {
            None | Some(Flaw::Inherited | Flaw::ReadLate | Flaw::Estimated | Flaw::Repeated) => {
                Some(self.holds(event, parentage))
            }
            Some(Flaw::Truncated | Flaw::Unreadable | Flaw::NotObserved | Flaw::AfterLoss) => None,
        }
    }

    pub(super) fn holds(&self, event: &Event, parentage: &dyn Parentage) -> bool {
        let spec = match &self.subject {
            Subject::Field(spec) => spec,
            Subject::Flaw(field) => return self.flaw(event.flaw(*field)),
            Subject::Arg(index) => {
                return self.text(event.argv().and_then(|argv| argv.iter().nth(*index)).map(|arg| &**arg));
            }
            Subject::Variable(name) => return self.text(event.env().and_then(|env| variable(env, name))),
        };
        match spec.of {
            FieldType::Ancestor(of) => self.ancestor(event, of, parentage),
            FieldType::Flaws => Field::ALL.into_iter().any(|field| self.flaw(event.flaw(field))),
            of => spec.value(event).is_some_and(|value| self.value(value, of == FieldType::AnyText, parentage)),
        }
    }

    fn value(&self, value: Value<'_>, any: bool, parentage: &dyn Parentage) -> bool {
        match value {
            Value::Text(text) => self.text(Some(text)),
            Value::Texts(list) if any => list.iter().any(|text| self.text(Some(text))),
            Value::Texts(list) => joined(list, |text| self.text(Some(text))),
            Value::Word(word) => self.text(Some(word.as_bytes())),
            Value::Owner(name, number) => self.owner(name, number) != self.negative,
            Value::Number(number) => self.number(number) != self.negative,
            Value::Time(time) => self.number(time.0.into()) != self.negative,
            Value::Truth(truth) => match self.check {
                Check::Truth(wanted) => (truth == wanted) != self.negative,
                _ => true,
            },
            Value::Kind(kind) => match self.check {
                Check::Kinds(kinds) => kinds.contains(kind) != self.negative,
                _ => true,
            },
            Value::Id(id) => self.id(id, parentage) != self.negative,
            Value::Tty(tty) => self.text(Some(Small::of(tty).bytes())),
            Value::Process(_) | Value::Namespaces(_) | Value::Counts(_) | Value::Flaw(..) => true,
        }
    }

    fn text(&self, text: Option<&[u8]>) -> bool {
        let Some(text) = text else { return false };
        let is = match &self.check {
            Check::Text(Wanted::Equal(wanted)) => **wanted == *text,
            Check::Text(Wanted::Among(wanted)) => wanted.binary_search_by(|wanted| (**wanted).cmp(text)).is_ok(),
            Check::Text(Wanted::Glob(glob)) => glob.matches(text),
            Check::Text(Wanted::Regex(regex)) => regex.is_match(text),
            _ => true,
        };
        is != self.negative
    }

    fn flaw(&self, flaw: Option<Flaw>) -> bool {
        self.text(flaw.map(|flaw| flaw.name().as_bytes()))
    }

    fn number(&self, number: i128) -> bool {
        match &self.check {
            Check::Compare(Order::Equal, wanted) => number == *wanted,
            Check::Compare(Order::Less, wanted) => number < *wanted,
            Check::Compare(Order::LessOrEqual, wanted) => number <= *wanted,
            Check::Compare(Order::Greater, wanted) => number > *wanted,
            Check::Compare(Order::GreaterOrEqual, wanted) => number >= *wanted,
            Check::Numbers(wanted) => wanted.binary_search(&number).is_ok(),
            _ => true,
        }
    }

    fn owner(&self, name: Option<&str>, number: u32) -> bool {
        match &self.check {
            Check::Owner { names, numbers } => {
                numbers.contains(&number)
                    || name.is_some_and(|name| names.iter().any(|wanted| **wanted == *name.as_bytes()))
            }
            Check::Text(_) => {
                let is = match name {
                    Some(name) => self.text(Some(name.as_bytes())),
                    None => self.text(Some(Small::of(number).bytes())),
                };
                // The caller takes the negation into account.
                is != self.negative
            }
            _ => true,
        }
    }

    fn id(&self, id: ProcessId, parentage: &dyn Parentage) -> bool {
        let Check::Ids(wanted) = &self.check else { return true };
        wanted.iter().any(|(boot, wanted)| {
            *wanted == id
                && boot.is_none_or(|boot| parentage.boot_id().is_none_or(|current| current.0.starts_with(&boot)))
        })
    }

    fn ancestor(&self, event: &Event, of: AncestorField, parentage: &dyn Parentage) -> bool {
        let is = |ancestor: &Ancestor<'_>| match of {
            AncestorField::Pid => self.number(ancestor.id.pid.into()),
            AncestorField::Name => self.text(ancestor.name),
            AncestorField::Exe => self.text(ancestor.exe),
            AncestorField::Id => self.id(ancestor.id, parentage),
        };
        let mut next = first_ancestor(parentage, event);
        for _ in 0..MOST_GENERATIONS {
            let Some(ancestor) = next else { return false };
            if is(&ancestor) {
                return true;
            }
            next = parentage.parent(ancestor.id);
        }
        false
    }
}

thread_local! {
    /// Room for joined arguments.
    static ROOM: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// Room that is kept for the next list, bytes.
const KEPT_ROOM: usize = 1 << 16;

/// The arguments with a blank between each.
fn joined<T>(argv: &Argv, see: impl FnOnce(&[u8]) -> T) -> T {
    let block = argv.block();
    let block = block.strip_suffix(b"\0").unwrap_or(block);
    if !block.contains(&0) {
        return see(block);
    }
    let mut room = ROOM.take();
    room.clear();
    room.extend(block.iter().map(|&byte| if byte == 0 { b' ' } else { byte }));
    let seen = see(&room);
    if room.capacity() <= KEPT_ROOM {
        ROOM.set(room);
    }
    seen
}

/// A short text, built in place.
struct Small {
    bytes: [u8; 32],
    len: usize,
}

impl Small {
    fn of(value: impl fmt::Display) -> Self {
        let mut small = Self { bytes: [0; 32], len: 0 };
        // Text that does not fit is left out; none here is that long.
        let _ = write!(small, "{value}");
        small
    }

    fn bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

impl fmt::Write for Small {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let room = self.bytes.get_mut(self.len..self.len + text.len()).ok_or(fmt::Error)?;
        room.copy_from_slice(text.as_bytes());
        self.len += text.len();
        Ok(())
    }
}

/// The variable's value.
fn variable<'a>(env: &'a Argv, name: &str) -> Option<&'a [u8]> {
    env.iter().find_map(|variable| variable.strip_prefix(name.as_bytes())?.strip_prefix(b"="))
}

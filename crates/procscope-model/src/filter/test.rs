//! One term: a field, and what it is held against. No allocation while matching, but where arguments are joined.

use std::cell::Cell;
use std::fmt::{self, Write as _};

use regex::bytes::Regex;

use super::check::variable;
use super::field::{Get, OfAncestor, Spec, argv, flaw};
use super::glob::Glob;
use super::{Ancestor, Ancestry};
use crate::{Argv, Event, EventSet, Field, Flaw, ProcessId};

/// So many generations are looked at.
const MOST_GENERATIONS: usize = 4096;

/// What a test asks about.
#[derive(Clone, Debug)]
pub(super) enum Subject {
    Field(&'static Spec),
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

/// What a text is to be.
#[derive(Clone, Debug)]
pub(super) enum Wanted {
    Equal(Box<[u8]>),
    /// Sorted.
    Among(Vec<Box<[u8]>>),
    Glob(Glob),
    Regex(Box<Regex>),
}

/// What a value is to be.
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
    /// It holds where the value is known and the check fails.
    pub(super) negative: bool,
    /// What follows the field's name, to be shown.
    text: Box<str>,
    /// Under which name `flaws` would say that the value is not to be trusted.
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
            // Whether something is known, is.
            (_, Check::Present) | (Subject::Flaw(_), _) => None,
            (Subject::Field(spec), _) => spec.flaw(),
            (Subject::Arg(_), _) => Some(Field::Argv),
            (Subject::Variable(_), _) => Some(Field::Env),
        };
        Self { subject, check, negative, text: text.into(), trust }
    }

    /// Whether it holds, where that can be told: the value may be missing, or cut, or another one by now. One that came late or was
    /// worked out counts as it stands.
    pub(super) fn surely_holds(&self, event: &Event, ancestry: &dyn Ancestry) -> Option<bool> {
        let has = match &self.subject {
            Subject::Field(spec) => spec.kinds.contains(event.kind.kind()),
            _ => true,
        };
        let untold = match &self.subject {
            Subject::Field(spec) => !matches!(self.check, Check::Present) && spec.is_untold(event),
            _ => false,
        };
        if untold {
            return None;
        }
        let flaw = self.trust.filter(|_| has).and_then(|field| flaw(event, field));
        match flaw {
            None | Some(Flaw::Inherited | Flaw::ReadLate | Flaw::Estimated) => Some(self.holds(event, ancestry)),
            Some(Flaw::Truncated | Flaw::Unreadable | Flaw::NotObserved | Flaw::AfterLoss) => None,
        }
    }

    pub(super) fn holds(&self, event: &Event, ancestry: &dyn Ancestry) -> bool {
        let process = event.process.as_deref();
        let get = match &self.subject {
            Subject::Field(spec) => spec.get,
            Subject::Flaw(field) => Get::Flaw(*field),
            Subject::Arg(index) => {
                return self.text(argv(event).and_then(|argv| argv.iter().nth(*index)).map(|arg| &**arg));
            }
            Subject::Variable(name) => {
                let env = process.and_then(|process| process.env.as_deref());
                return self.text(env.and_then(|env| variable(env, name)));
            }
        };
        match get {
            Get::Text(of) => self.text(of(event)),
            Get::Word(of) => self.text(of(event).map(str::as_bytes)),
            Get::Number(of) => of(event).is_some_and(|number| self.number(number) != self.negative),
            Get::Truth(of) => of(event).is_some_and(|truth| match self.check {
                Check::Truth(wanted) => (truth == wanted) != self.negative,
                _ => true,
            }),
            Get::Has(of) => of(event),
            Get::Kind => match self.check {
                Check::Kinds(kinds) => kinds.contains(event.kind.kind()) != self.negative,
                _ => true,
            },
            Get::Id(of) => of(event).is_some_and(|id| self.id(id, ancestry) != self.negative),
            Get::Owner(of) => {
                let owner = process.and_then(|process| process.credentials.as_deref()).and_then(of);
                owner.is_some_and(|(name, number)| self.owner(name, number) != self.negative)
            }
            Get::Tty => match process.and_then(|process| process.tty) {
                Some(tty) => self.text(Some(Small::of(tty).bytes())),
                None => false,
            },
            Get::Argv => match argv(event) {
                Some(argv) => joined(argv, |text| self.text(Some(text))),
                None => false,
            },
            Get::AnyArg => argv(event).is_some_and(|argv| argv.iter().any(|arg| self.text(Some(arg)))),
            Get::AnyEnv => {
                let env = process.and_then(|process| process.env.as_deref());
                env.is_some_and(|env| env.iter().any(|variable| self.text(Some(variable))))
            }
            Get::AnyFlaw => Field::ALL.into_iter().any(|field| self.flaw(flaw(event, field))),
            Get::Flaw(field) => self.flaw(flaw(event, field)),
            Get::Ancestor(of) => self.ancestor(event, of, ancestry),
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

    fn id(&self, id: ProcessId, ancestry: &dyn Ancestry) -> bool {
        let Check::Ids(wanted) = &self.check else { return true };
        wanted.iter().any(|(boot, wanted)| {
            *wanted == id
                && boot.is_none_or(|boot| ancestry.boot_id().is_none_or(|current| current.0.starts_with(&boot)))
        })
    }

    fn ancestor(&self, event: &Event, of: OfAncestor, ancestry: &dyn Ancestry) -> bool {
        let Some(process) = event.process.as_deref() else { return false };
        let is = |ancestor: &Ancestor<'_>| match of {
            OfAncestor::Pid => self.number(ancestor.id.pid.into()),
            OfAncestor::Name => self.text(ancestor.name),
            OfAncestor::Exe => self.text(ancestor.exe),
            OfAncestor::Id => self.id(ancestor.id, ancestry),
        };
        // Without a lineage there is still the parent.
        let parent = process.parent.as_ref();
        let parent = parent.map(|parent| Ancestor { id: parent.id, name: parent.name.as_deref(), exe: None });
        let mut next = ancestry.parent(process.id).or(parent);
        for _ in 0..MOST_GENERATIONS {
            let Some(ancestor) = next else { return false };
            if is(&ancestor) {
                return true;
            }
            next = ancestry.parent(ancestor.id);
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

/// A short text that is put together.
struct Small {
    bytes: [u8; 32],
    len: usize,
}

impl Small {
    fn of(value: impl fmt::Display) -> Self {
        let mut small = Self { bytes: [0; 32], len: 0 };
        // What does not fit is left out; nothing that is put here is that long.
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

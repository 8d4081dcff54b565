use std::sync::Arc;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use memchr::memmem;
use procscope_model::{
    Argv, Event, EventKind, FIELDS, Field, FieldSpec, FieldType, Flaw, Kind, Lost, ProcessId, SourceId, StartTime,
    Timestamp, Value, errno_number, signal_number,
};
use serde_json::{Map, Value as Json};

use super::{VERSION, fixups};

/// Why a line is not an event of procscope.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// It is not JSON.
    #[error("not JSON: {0}")]
    NotJson(#[from] serde_json::Error),
    /// It is JSON, but not an object.
    #[error("not a JSON object")]
    NotAnObject,
    /// A key that every event has is missing.
    #[error("`{0}` is missing")]
    Missing(&'static str),
    /// A later procscope wrote it, in a format that this one does not know.
    #[error("format {0}, and this version reads up to {VERSION}")]
    Version(u64),
    /// The value of a key is of another type or out of range.
    #[error("`{0}` has a value that it cannot have")]
    BadValue(&'static str),
}

/// A line that was read.
#[derive(Debug)]
#[non_exhaustive]
pub struct Decoded {
    /// The event.
    pub event: Event,
    /// The beginning of the boot's id.
    pub boot: Option<[u8; 4]>,
    /// Keys that this version does not know: a later one wrote them.
    pub unknown: Vec<String>,
}

/// Reads one line, without its line feed.
///
/// An event that was read lacks what JSON leaves out:
/// - for a fork the program, which is its creator's;
/// - for a refused exec the path, interpreter, arguments and environment of the program that goes
///   on;
/// - for another thread's new comm the process's own;
/// - environment and namespaces, except in exec and existing events;
/// - `old_tid` if it is `tid`, and `ns_pid` if it is `pid`;
/// - if the source knows no flags of the call, a creator that is the expected one.
///
/// # Errors
/// [`DecodeError`] says what is wrong with the line.
pub fn decode(line: &[u8]) -> Result<Decoded, DecodeError> {
    let has_exact = memmem::find(line, b"_b64\"").is_some();
    let Json::Object(mut line) = serde_json::from_slice(line)? else { return Err(DecodeError::NotAnObject) };
    fixups::apply(&mut line);
    Line { boot: None, has_exact, used: 0, line: &line }.read()
}

struct Line<'a> {
    boot: Option<[u8; 4]>,
    /// Whether any text of it is there in base64 too.
    has_exact: bool,
    /// How many of its keys were understood.
    used: usize,
    line: &'a Map<String, Json>,
}

/// Fields without which a process's users are not known.
const IDS: [&str; 4] = ["uid", "euid", "gid", "egid"];

impl<'a> Line<'a> {
    fn read(mut self) -> Result<Decoded, DecodeError> {
        let version = self.line.get("v").ok_or(DecodeError::Missing("v"))?;
        match version.as_u64() {
            Some(VERSION) => {}
            Some(later) => return Err(DecodeError::Version(later)),
            None => return Err(DecodeError::BadValue("v")),
        }
        let mut event = self.frame()?;
        for field in FIELDS.iter().filter(|field| field.is_stored()) {
            self.field(&mut event, field)?;
        }
        if event.kind.kind() != Kind::Lost && !self.line.contains_key("id") {
            return Err(DecodeError::Missing("id"));
        }
        if IDS.iter().any(|id| self.line.contains_key(*id)) {
            IDS.into_iter()
                .find(|id| !self.line.contains_key(*id))
                .map_or(Ok(()), |id| Err(DecodeError::Missing(id)))?;
        }
        if self.line.contains_key("loginuid") != event.login().is_some() {
            return Err(DecodeError::Missing("loginuid"));
        }
        expect_creator(&mut event);
        name_process(&mut event);
        let unknown = if self.used == self.keys() { Vec::new() } else { self.unknown() };
        Ok(Decoded { event, boot: self.boot, unknown })
    }

    /// An event of the line's kind, without any data.
    fn frame(&self) -> Result<Event, DecodeError> {
        let word = |key| match self.line.get(key) {
            None => Err(DecodeError::Missing(key)),
            Some(value) => value.as_str().ok_or(DecodeError::BadValue(key)),
        };
        let kind = word("event")?.parse().map_err(|_| DecodeError::BadValue("event"))?;
        let source = word("source")?.parse::<SourceId>().map_err(|_| DecodeError::BadValue("source"))?;
        word("time")?;
        Ok(Event::new(0, Timestamp(0), source, None, None, EventKind::unknown(kind)))
    }

    /// Sets one field if the line has it.
    fn field(&mut self, event: &mut Event, field: &'static FieldSpec) -> Result<(), DecodeError> {
        let Some((object, key)) = self.place(field) else { return Ok(()) };
        let Some(value) = object.get(key) else { return Ok(()) };
        let exact = self.has_exact.then(|| object.get(&format!("{key}_b64"))).flatten();
        self.used += 1 + usize::from(exact.is_some());
        let set = match field.of {
            FieldType::Flaws => set_flaws(event, field, value),
            FieldType::Text => {
                let text = match exact {
                    Some(exact) => exact.as_str().and_then(|exact| BASE64_STANDARD.decode(exact).ok()),
                    None => value.as_str().map(|text| text.as_bytes().to_vec()),
                };
                text.is_some_and(|text| field.set_value(event, Value::Text(&text)))
            }
            FieldType::Texts | FieldType::AnyText => {
                texts(value, exact).is_some_and(|list| field.set_value(event, Value::Texts(&list)))
            }
            FieldType::Counts => counts(value).is_some_and(|lost| field.set_value(event, Value::Counts(&lost))),
            FieldType::Id => value.as_str().and_then(id).is_some_and(|(boot, id)| {
                self.boot = self.boot.or(Some(boot));
                field.set_value(event, Value::Id(id))
            }),
            _ => plain(field.of, value).is_some_and(|value| field.set_value(event, value)),
        };
        if set { Ok(()) } else { Err(DecodeError::BadValue(field.name)) }
    }

    /// The object that holds a field, and its key there.
    fn place<'f>(&self, field: &'f FieldSpec) -> Option<(&'a Map<String, Json>, &'f str)> {
        match field.name.split_once('.') {
            None => Some((self.line, field.name)),
            Some((group, key)) => Some((self.line.get(group)?.as_object()?, key)),
        }
    }

    /// How many keys the line has, those of other processes and of the namespaces too.
    fn keys(&self) -> usize {
        self.line.iter().map(|(key, value)| if is_group(key) { members(value).count() } else { 1 }).sum()
    }

    fn unknown(&self) -> Vec<String> {
        let is_known = |name: &str| {
            let stored = |name: &str| FIELDS.iter().any(|field| field.name == name && field.is_stored());
            stored(name) || name.strip_suffix("_b64").is_some_and(stored)
        };
        let names = self.line.iter().flat_map(|(key, value)| {
            let group = is_group(key).then(|| members(value).map(move |member| format!("{key}.{member}")));
            let alone = (!is_group(key)).then(|| key.clone());
            group.into_iter().flatten().chain(alone)
        });
        names.filter(|name| !is_known(name)).collect()
    }
}

/// Whether the members of a key's object are fields themselves.
fn is_group(key: &str) -> bool {
    FIELDS.iter().any(|field| field.name == key && matches!(field.of, FieldType::Process | FieldType::Namespaces))
}

fn members(value: &Json) -> impl Iterator<Item = &String> {
    value.as_object().into_iter().flat_map(Map::keys)
}

/// JSON names the creator only if it is not the expected one. A source that knows the flags of the
/// call knows the creator.
fn expect_creator(event: &mut Event) {
    let (pid, parent) = (event.id(), event.parent().cloned());
    let name = event.name().map(Into::into);
    match &mut event.kind {
        EventKind::Fork(fork) if fork.flags.is_some() && fork.creator.is_none() => {
            fork.creator_tid = parent.as_ref().map(|parent| parent.id.pid);
            fork.creator = parent;
        }
        EventKind::Clone(fork) if fork.flags.is_some() && fork.creator.is_none() => {
            fork.creator_tid = pid.map(|id| id.pid);
            fork.creator = pid.map(|id| procscope_model::ProcessRef::new(id, name));
        }
        _ => {}
    }
}

/// The first thread's comm is the process's.
fn name_process(event: &mut Event) {
    let EventKind::Comm(change) = &event.kind else { return };
    if let Some(process) = event.process.as_mut().filter(|process| event.tid == Some(process.id.pid)) {
        Arc::make_mut(process).name = Some(change.new.clone());
    }
}

/// A value whose type needs no more than itself.
fn plain(of: FieldType, value: &Json) -> Option<Value<'_>> {
    let number = || value.as_u64().map(i128::from).or_else(|| value.as_i64().map(i128::from));
    let text = || value.as_str();
    match of {
        FieldType::Number { max } => {
            number().filter(|&number| (0..=i128::from(max)).contains(&number)).map(Value::Number)
        }
        FieldType::Signed => number().map(Value::Number),
        FieldType::Span { .. } | FieldType::Size { .. } => number().filter(|&number| number >= 0).map(Value::Number),
        FieldType::Truth { .. } => value.as_bool().map(Value::Truth),
        FieldType::Word(_) | FieldType::Owner => text().map(Value::Word),
        FieldType::Kind => text()?.parse().ok().map(Value::Kind),
        FieldType::Signal => signal(text()?).map(|signo| Value::Number(signo.into())),
        FieldType::Errno => errno_number(text()?).map(|errno| Value::Number(errno.into())),
        FieldType::Time => time(text()?).map(Value::Time),
        FieldType::Tty => text()?.parse().ok().map(Value::Tty),
        _ => None,
    }
}

/// `SIGKILL`, or `SIG99` for a signal without a name.
fn signal(name: &str) -> Option<u8> {
    signal_number(name).or_else(|| name.strip_prefix("SIG")?.parse().ok())
}

/// RFC 3339, within the years of a [`Timestamp`].
fn time(text: &str) -> Option<Timestamp> {
    let time: jiff::Timestamp = text.parse().ok()?;
    i64::try_from(time.as_nanosecond()).ok().map(Timestamp)
}

fn texts(value: &Json, exact: Option<&Json>) -> Option<Argv> {
    let list = exact.unwrap_or(value).as_array()?;
    let bytes = list.iter().map(|text| {
        let text = text.as_str()?;
        if exact.is_some() { BASE64_STANDARD.decode(text).ok() } else { Some(text.as_bytes().to_vec()) }
    });
    Some(Argv::from_strings(bytes.collect::<Option<Vec<_>>>()?))
}

fn counts(value: &Json) -> Option<Lost> {
    let mut lost = Lost::default();
    for (kind, count) in value.as_object()? {
        lost.counts.set(kind.parse().ok()?, count.as_u64()?);
    }
    Some(lost)
}

fn set_flaws(event: &mut Event, field: &FieldSpec, value: &Json) -> bool {
    let Some(flaws) = value.as_object() else { return false };
    flaws.iter().all(|(of, flaw)| {
        let marked = of.parse::<Field>().ok().zip(flaw.as_str().and_then(|flaw| flaw.parse::<Flaw>().ok()));
        marked.is_some_and(|(of, flaw)| field.set_value(event, Value::Flaw(of, flaw)))
    })
}

/// `1b4e28ba-4711-90215`: the beginning of the boot's id, the pid, and the start, `?` if it is not
/// known.
fn id(text: &str) -> Option<([u8; 4], ProcessId)> {
    let mut parts = text.splitn(3, '-');
    let (boot, pid, start) = (parts.next()?, parts.next()?, parts.next()?);
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if boot.len() != 8 || !is_number(pid) || !(start == "?" || is_number(start)) {
        return None;
    }
    let boot = u32::from_str_radix(boot, 16).ok()?.to_be_bytes();
    let start = if start == "?" { None } else { Some(StartTime(start.parse().ok()?)) };
    Some((boot, ProcessId { pid: pid.parse().ok()?, start }))
}

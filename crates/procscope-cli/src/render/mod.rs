//! Events as text. Every renderer appends to a buffer and does no I/O.

mod base64;
mod cell;
mod cells;
pub(crate) mod columns;
pub(crate) mod csv;
pub(crate) mod escape;
pub(crate) mod json;
mod json_cache;
mod json_text;
pub(crate) mod quote;
#[cfg(test)]
pub(crate) mod samples;
pub(crate) mod table;
pub(crate) mod time;
pub(crate) mod wrap;

pub(crate) use self::cells::cpu_ns;

use procscope::{Argv, Event, EventKind, ExitStatus, Field, Flaw, Kind, Summary};

/// Turns events into text.
pub(crate) trait Render {
    /// Appends what stands before the first event.
    fn begin(&mut self, out: &mut Vec<u8>) {
        let _ = out;
    }

    /// Appends one event.
    fn event(&mut self, event: &Event, out: &mut Vec<u8>);

    /// Learns the size of the terminal that shows the output.
    fn resize(&mut self, size: Size) {
        let _ = size;
    }

    /// True where nothing more is to come.
    fn is_done(&self) -> bool {
        false
    }

    /// Appends what stands behind the last event.
    fn end(&mut self, summary: &Summary, out: &mut Vec<u8>) {
        let _ = (summary, out);
    }
}

/// The size of a terminal, in characters.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Size {
    pub(crate) columns: usize,
    pub(crate) rows: usize,
}

/// Appends a number in decimal digits.
#[inline(always)]
fn push_number(out: &mut Vec<u8>, number: impl itoa::Integer) {
    let mut buffer = itoa::Buffer::new();
    let digits = buffer.format(number).as_bytes();
    // Most are short: two copies of a known length, which overlap, take no call.
    match (digits.first_chunk::<4>(), digits.last_chunk::<4>()) {
        (Some(head), Some(tail)) if digits.len() <= 8 => {
            let end = out.len() + digits.len();
            out.extend_from_slice(head);
            out.truncate(end - tail.len());
            out.extend_from_slice(tail);
        }
        (None, _) => digits.iter().for_each(|&digit| out.push(digit)),
        _ => out.extend_from_slice(digits),
    }
}

/// The arguments that an event is about: of a refused exec those tried, which are not the process's own.
pub(crate) fn argv(event: &Event) -> Option<&Argv> {
    match &event.kind {
        EventKind::ExecFailed(failure) => failure.argv.as_deref(),
        _ => event.process.as_ref()?.argv.as_deref(),
    }
}

/// The path that an event is about, as it was given to exec.
pub(crate) fn path(event: &Event) -> Option<&[u8]> {
    match &event.kind {
        EventKind::ExecFailed(failure) => failure.path.as_deref(),
        _ => event.process.as_ref()?.path.as_deref(),
    }
}

/// The comm that an event is about: of a comm event the new one of the thread.
fn name(event: &Event) -> Option<&[u8]> {
    match &event.kind {
        EventKind::Comm(change) => Some(&change.new),
        _ => event.process.as_ref()?.name.as_deref(),
    }
}

/// How a process or a thread ended.
fn exit_status(event: &Event) -> Option<ExitStatus> {
    match &event.kind {
        EventKind::Exit(exit) => Some(exit.status),
        EventKind::ThreadExit(exit) => Some(exit.status),
        _ => None,
    }
}

/// How long it had lived.
fn duration_ns(event: &Event) -> Option<u64> {
    match &event.kind {
        EventKind::Exit(exit) => exit.duration_ns,
        EventKind::ThreadExit(exit) => exit.duration_ns,
        _ => None,
    }
}

/// True where the flaw of a process's field says something about the event's field of that name. What a refused exec
/// tried is its own, so the flaws of what the process runs say nothing about it.
fn process_flaw_counts(event: &Event, field: Field) -> bool {
    event.kind.kind() != Kind::ExecFailed
        || !matches!(field, Field::Path | Field::Argv | Field::Env | Field::Interpreter)
}

/// The flaws of an event's fields and of its process's, the event's first and winning.
fn flaws(event: &Event) -> impl Iterator<Item = (Field, Flaw)> + '_ {
    let of_process = event.process.iter().flat_map(|process| process.flaws.iter());
    event.flaws.iter().chain(
        of_process
            .filter(|&(field, _)| event.flaws.get(field).is_none())
            .filter(|&(field, _)| process_flaw_counts(event, field)),
    )
}

/// The flaw of one field.
pub(crate) fn flaw(event: &Event, field: Field) -> Option<Flaw> {
    event.flaws.get(field).or_else(|| {
        let process = event.process.as_ref()?;
        process.flaws.get(field).filter(|_| process_flaw_counts(event, field))
    })
}

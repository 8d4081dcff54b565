//! Text in the originals' layout, with characters escaped that could act on a terminal.

use std::io::Write as _;

use bstr::ByteSlice as _;
use jiff::tz::TimeZone;
use procscope::{Argv, Event, Field, Flaw, Process, Timestamp};

use crate::render::time::WallClock;
use procscope_format::escape::is_unsafe;

/// Appends a text. Bytes that are not valid UTF-8, and characters that could act on a terminal or
/// forge a line, appear as C writes them: `\n`, `\x1b`. A backslash is unchanged, because the
/// originals print it so.
pub(crate) fn push(out: &mut Vec<u8>, text: &[u8]) {
    if text.iter().all(|b| (b' '..=b'~').contains(b)) {
        out.extend_from_slice(text);
        return;
    }
    for (start, end, c) in text.char_indices() {
        let bytes = &text[start..end];
        match c {
            '\n' => out.extend_from_slice(b"\\n"),
            '\t' => out.extend_from_slice(b"\\t"),
            '\r' => out.extend_from_slice(b"\\r"),
            '\u{fffd}' if bytes != "\u{fffd}".as_bytes() => hex(out, bytes),
            _ if is_unsafe(c) => hex(out, bytes),
            _ => out.extend_from_slice(bytes),
        }
    }
}

fn hex(out: &mut Vec<u8>, bytes: &[u8]) {
    for byte in bytes {
        let [high, low] = [byte >> 4, byte & 15].map(|digit| b"0123456789abcdef"[usize::from(digit)]);
        out.extend_from_slice(&[b'\\', b'x', high, low]);
    }
}

/// Appends a text as [`push`] does, and fills it with blanks up to a width.
pub(crate) fn push_padded(out: &mut Vec<u8>, text: &[u8], width: usize) {
    let begin = out.len();
    push(out, text);
    pad_from(out, begin, width);
}

/// Fills the text appended since `begin` with blanks up to a width.
pub(crate) fn pad_from(out: &mut Vec<u8>, begin: usize, width: usize) {
    let shown = out[begin..].chars().count();
    out.resize(out.len() + width.saturating_sub(shown), b' ');
}

/// Appends a known value, or `?`, and fills it with blanks up to a width.
pub(crate) fn push_known(out: &mut Vec<u8>, value: Option<impl itoa::Integer>, width: usize) {
    let begin = out.len();
    match value {
        Some(value) => out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes()),
        None => out.push(b'?'),
    }
    pad_from(out, begin, width);
}

/// `12:00:00`, local.
pub(crate) fn push_clock(out: &mut Vec<u8>, clock: &mut WallClock, time: Timestamp) {
    out.extend_from_slice(&clock.time(time)[..8]);
}

/// DTrace's `%Y`: `2005 Jan 22 00:07:22`, local.
pub(crate) fn push_dtrace_time(out: &mut Vec<u8>, clock: &mut WallClock, time: Timestamp) {
    const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let date = clock.date(time);
    let month = usize::from(date[5] - b'0') * 10 + usize::from(date[6] - b'0');
    out.extend_from_slice(&date[..4]);
    out.push(b' ');
    out.extend_from_slice(MONTHS.get(month.wrapping_sub(1)).unwrap_or(&"???").as_bytes());
    out.push(b' ');
    out.push(if date[8] == b'0' { b' ' } else { date[8] });
    out.push(date[9]);
    out.push(b' ');
    push_clock(out, clock, time);
}

/// `%-8.3f`: seconds since a moment.
pub(crate) fn push_elapsed(out: &mut Vec<u8>, from: Timestamp, to: Timestamp) {
    let begin = out.len();
    // Events on different CPUs may differ by microseconds, also from the beginning.
    let ns = to.0.saturating_sub(from.0).max(0);
    let ms = (ns + 500_000) / 1_000_000;
    let _ = write!(out, "{}.{:03}", ms / 1000, ms % 1000);
    pad_from(out, begin, 8);
}

/// Turns wall time back into time since the system started, as tracers show it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BootClock {
    /// CLOCK_REALTIME minus CLOCK_MONOTONIC, ns.
    offset_ns: i64,
}

impl BootClock {
    /// By the clocks' present values.
    pub(crate) fn now() -> Self {
        Self { offset_ns: procscope::monotonic_origin().0 }
    }

    #[cfg(test)]
    pub(crate) fn of(wall: Timestamp, since_boot_ns: i64) -> Self {
        Self { offset_ns: wall.0 - since_boot_ns }
    }

    pub(crate) fn since_boot_ns(self, wall: Timestamp) -> i64 {
        wall.0.saturating_sub(self.offset_ns).max(0)
    }
}

pub(crate) fn local_clock() -> WallClock {
    WallClock::new(TimeZone::system())
}

/// The arguments of an event that can be shown.
pub(crate) fn known_argv(event: &Event) -> Option<&Argv> {
    event.argv()
}

/// True if only the beginning of the arguments is known.
pub(crate) fn is_cut(event: &Event) -> bool {
    event.flaw(Field::Argv) == Some(Flaw::Truncated)
}

/// A kernel thread: in no process group, and a child of kthreadd at most.
pub(crate) fn is_kernel_thread(process: &Process) -> bool {
    process.id.pid == 2 || process.parent.as_ref().is_some_and(|parent| parent.id.pid == 2) || process.pgid == Some(0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pushed(text: &[u8]) -> String {
        let mut out = Vec::new();
        push(&mut out, text);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn what_could_act_is_escaped() {
        assert_eq!(pushed(b"a b\\n"), "a b\\n");
        assert_eq!(pushed(b"a\nb\t\x1b[2J\xff"), "a\\nb\\t\\x1b[2J\\xff");
        assert_eq!(pushed("é日\u{202e}\u{9b}".as_bytes()), "é日\\xe2\\x80\\xae\\xc2\\x9b");
    }

    #[test]
    fn dtrace_times() {
        let mut clock = WallClock::new(TimeZone::UTC);
        let mut out = Vec::new();
        push_dtrace_time(&mut out, &mut clock, Timestamp(1_769_860_800_000_000_000));
        out.push(b'\n');
        push_dtrace_time(&mut out, &mut clock, Timestamp(1_764_633_600_000_000_000));
        assert_eq!(String::from_utf8(out).unwrap(), "2026 Jan 31 12:00:00\n2025 Dec  2 00:00:00");
    }

    #[test]
    fn elapsed_seconds() {
        for (ns, text) in
            [(0, "0.000   "), (-5, "0.000   "), (2_849_000_000, "2.849   "), (12_345_678_900_000, "12345.679")]
        {
            let mut out = Vec::new();
            push_elapsed(&mut out, Timestamp(1000), Timestamp(1000 + ns));
            assert_eq!(String::from_utf8(out).unwrap(), text);
        }
    }

    proptest! {
        #[test]
        fn nothing_unsafe_is_printed(text: Vec<u8>) {
            prop_assert!(!pushed(&text).contains(is_unsafe));
        }
    }
}

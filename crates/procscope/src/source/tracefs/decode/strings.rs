//! Strings of a process's memory, in the form of probes and of the kernel's own events.

use crate::Flaw;
use crate::source::happening::CallPath;

/// This much of such a string is kept by default (`CONFIG_TRACE_SYSCALL_BUF_SIZE_DEFAULT`), bytes.
pub(super) const USER_STRING: usize = 63;
/// Follows a longer one.
const CUT_MARK: &[u8] = b"...";
/// Replaces each byte that is not printed.
const MASK: u8 = b'.';

/// Some of the strings given to a call.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Strings {
    pub(crate) list: Vec<u8>,
    pub(crate) end: StringsEnd,
}

/// The strings after them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum StringsEnd {
    /// No more.
    Null,
    /// More, which were not requested.
    More,
    /// One longer than the part that is read.
    Cut,
    /// Unreadable strings.
    Unreadable,
}

/// Newer kernels (6.2) put this in place of an unreadable string; older ones leave it out.
const FAULT: &[u8] = b"(fault)";

/// A string that a probe read; `None` if it could not. One without a NUL is empty, or was
/// unreadable.
pub(super) fn read(bytes: &[u8]) -> Option<&[u8]> {
    let text = bytes.split(|&b| b == 0).next()?;
    (!bytes.is_empty() && text != FAULT).then_some(text)
}

/// A page is never smaller.
pub(super) const PAGE_BITS: u32 = 12;

/// A longer string is cut (`MAX_STRING_SIZE` in `kernel/trace/trace_probe.h`).
pub(super) const LONGEST_STRING: usize = 4095;

/// A probe's reading of a path.
pub(super) fn read_path(bytes: &[u8], tells_faults: bool) -> Option<CallPath> {
    let flaw = (bytes.len() >= LONGEST_STRING).then_some(Flaw::Truncated);
    let text = read(bytes).or((tells_faults && bytes.is_empty()).then_some(bytes))?;
    Some(CallPath { bytes: text.to_vec(), flaw })
}

/// The part of a path that the kernel shows, of which it keeps this much. It is absent if it was
/// unreadable.
pub(super) fn shown_path(bytes: &[u8], longest: usize) -> Option<CallPath> {
    let text = bytes.split(|&b| b == 0).next().filter(|_| !bytes.is_empty())?;
    let (bytes, flaw) = match text.strip_suffix(CUT_MARK) {
        Some(beginning) if text.len() > longest => (beginning, Some(Flaw::Truncated)),
        _ if text.contains(&MASK) => (text, Some(Flaw::Estimated)),
        _ => (text, None),
    };
    Some(CallPath { bytes: bytes.to_vec(), flaw })
}

/// Event probes take the lowest byte of a pointer to a string for the pointer, if the event
/// declares it as `const char *` (`get_event_field` in `kernel/trace/trace_eprobe.c`, Linux 5.15).
/// No program has a string there.
pub(super) fn is_one_byte(pointer: i64) -> bool {
    i8::try_from(pointer).is_ok() || u8::try_from(pointer).is_ok()
}

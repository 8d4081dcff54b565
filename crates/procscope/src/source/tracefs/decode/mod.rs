//! Pages of a CPU's ring buffer (`kernel/trace/ring_buffer.c`), and the records in them, by
//! tracefs's layouts (`events/header_page`, `events/header_event`, `events/*/*/format`). All
//! numbers in the machine's byte order.

mod format;
mod page;
mod raw;
mod role;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod samples;
mod schema;
mod strings;
#[cfg(test)]
mod tests;

pub(crate) use format::Format;
pub(crate) use page::PageLayout;
pub(crate) use raw::{Raw, RawWhat};
pub(crate) use role::{FIRST_ARGUMENTS, MORE_ARGUMENTS, Role};
pub(crate) use schema::{Kernel, SI_USER, Schema};
pub(crate) use strings::{Strings, StringsEnd};

/// The text or the bytes were not in the kernel's form.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Malformed;

//! Events as text. Every renderer appends to a buffer and does no I/O.

mod cell;
mod cells;
pub(crate) mod columns;
#[cfg(test)]
pub(crate) mod samples;
pub(crate) mod table;
pub(crate) mod time;
pub(crate) mod wrap;

use procscope::{Event, Summary};
use procscope_format::Encode;

/// Turns events into text for a person, or for a program.
pub(crate) trait Render {
    /// Appends the text before the first event.
    fn begin(&mut self, out: &mut Vec<u8>) {
        let _ = out;
    }

    /// Appends one event.
    fn event(&mut self, event: &Event, out: &mut Vec<u8>);

    /// Receives the size of the terminal that shows the output.
    fn resize(&mut self, size: Size) {
        let _ = size;
    }

    /// True if nothing more is to come.
    fn is_done(&self) -> bool {
        false
    }

    /// Appends the text after the last event.
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

/// A format of the library, as a renderer.
impl<E: Encode> Render for E {
    fn begin(&mut self, out: &mut Vec<u8>) {
        Encode::begin(self, out);
    }

    fn event(&mut self, event: &Event, out: &mut Vec<u8>) {
        Encode::event(self, event, out);
    }
}

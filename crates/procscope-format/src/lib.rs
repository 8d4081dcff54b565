//! Events of procscope as bytes, and bytes as events.
//!
//! No operating system: a file written on one system is read on any other.

#[cfg(feature = "compressed")]
mod compressed;
pub mod csv;
pub mod escape;
pub mod json;
pub mod number;
pub mod quote;
#[cfg(any(test, feature = "samples"))]
#[allow(missing_docs, reason = "for tests alone")]
pub mod samples;
pub mod time;

#[cfg(test)]
mod docs;
#[cfg(test)]
mod serial;

use procscope_model::Event;

#[cfg(feature = "compressed")]
pub use compressed::decompressed;

/// Turns events into bytes.
pub trait Encode {
    /// Appends what comes before the first event.
    fn begin(&mut self, out: &mut Vec<u8>) {
        let _ = out;
    }

    /// Appends one event.
    fn event(&mut self, event: &Event, out: &mut Vec<u8>);
}

//! JSON Lines: one flat object an event, `docs/event.schema.json`.

mod decode;

pub use decode::{DecodeError, Decoded, decode};

/// The version that `v` bears.
pub const VERSION: u64 = 1;

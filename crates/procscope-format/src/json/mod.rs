//! JSON Lines: one flat object for each event, `docs/event.schema.json`.

mod base64;
mod cache;
mod decode;
mod encode;
mod fixups;
mod lines;
mod reader;
mod restore;
mod schema;
mod text;

pub use decode::{DecodeError, Decoded, decode};
pub use encode::JsonLines;
pub use reader::{BadLine, BadLineCause, ReadError, Reader};
pub use schema::schema;

/// The version in `v`.
pub const VERSION: u64 = 1;

#[cfg(test)]
mod tests;

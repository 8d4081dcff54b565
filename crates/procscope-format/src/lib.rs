//! Events of procscope as bytes, and bytes as events.
//!
//! No operating system: a file written on one system is read on any other.

pub mod json;

//! Every process that starts and every process that ends: who started it, with which exact arguments, as whom, where,
//! how long it lived, what it used, and how it died.
//!
//! A [`Monitor`] opens a mechanism of the operating system and gives [`Event`]s to a [`Sink`]. What it could not know it
//! marks in [`Flaws`]; what it lost it counts in [`Lost`].

// A system without a source of its own still compiles and tests every decoder.
#![cfg_attr(not(target_os = "linux"), allow(dead_code, unused_imports))]

mod error;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
mod monitor;
mod pipeline;
mod plan;
mod sink;
mod source;
mod stop;
mod sys;
mod want;

pub use error::{Cause, Error, Obstacle};
pub use monitor::{Monitor, MonitorBuilder};
pub use plan::{DecidedBy, ExplainedTerm, Explanation};
pub use procscope_model::*;
pub use sink::{Session, Sink, Summary};
pub use stop::StopHandle;
pub use want::{EnvWanted, Want};

//! Every process that starts and every process that ends: who started it, with which exact arguments, as whom, where,
//! how long it lived, what it used, and how it died.
//!
//! ```no_run
//! use procscope::{Error, EventKind, Monitor};
//!
//! fn main() -> Result<(), Error> {
//!     for event in Monitor::builder().build()? {
//!         let event = event?;
//!         if let (EventKind::Exec(_), Some(process)) = (&event.kind, &event.process) {
//!             println!("Process started: PID {}", process.id.pid);
//!         }
//!     }
//!     Ok(())
//! }
//! ```
//!
//! A [`Monitor`] opens a mechanism of the operating system: from [`MonitorBuilder::build`] on, nothing is missed. There are three
//! ways to its [`Event`]s. What it could not know it marks in [`Flaws`]; what it lost it counts in [`Lost`].
//!
//! Nothing here is global: a process may have several monitors, each with its own choice, and end one while others go on. The
//! library never prints, exits or panics.
//!
//! # Asking for events
//!
//! [`Monitor::events`], which `for` calls too, runs the monitor on a thread of its own, and hands events over in batches. A slow
//! consumer loses nothing before a queue of 16 MiB and the kernel's ring are full, and then knows what it lost.
//!
//! ```no_run
//! # fn main() -> Result<(), procscope::Error> {
//! use std::time::Duration;
//!
//! use procscope::{EventKind, EventSet, Kind, Monitor};
//!
//! let monitor = Monitor::builder()
//!     .events(EventSet::NONE.with(Kind::Exit))
//!     .name("make")
//!     .duration(Duration::from_secs(60))
//!     .build()?;
//! let mut events = monitor.events();
//! for event in events.by_ref() {
//!     if let EventKind::Exit(exit) = event?.kind {
//!         println!("{:?} after {:?} ns", exit.status, exit.duration_ns);
//!     }
//! }
//! if let Some(summary) = events.summary() {
//!     println!("{} of them, {} lost", summary.total_delivered(), summary.total_lost());
//! }
//! # Ok(())
//! # }
//! ```
//!
//! # Being called
//!
//! [`Monitor::run`] gives events to a [`Sink`] on the caller's own thread. It costs least: nothing is copied or handed over. Any
//! thread ends it by a [`StopHandle`]; what had happened by then still comes.
//!
//! ```no_run
//! use std::io;
//! use std::ops::ControlFlow;
//!
//! use procscope::{Event, Monitor, Sink};
//!
//! struct Count(u64);
//!
//! impl Sink for Count {
//!     fn event(&mut self, _: &Event) -> io::Result<ControlFlow<()>> {
//!         self.0 += 1;
//!         Ok(ControlFlow::Continue(()))
//!     }
//! }
//!
//! # fn main() -> Result<(), procscope::Error> {
//! let monitor = Monitor::builder().build()?;
//! let stop = monitor.stop_handle();
//! std::thread::spawn(move || {
//!     let _ = io::stdin().read_line(&mut String::new());
//!     stop.stop();
//! });
//! let mut count = Count(0);
//! monitor.run(&mut count)?;
//! println!("{} events until Enter", count.0);
//! # Ok(())
//! # }
//! ```
//!
//! # Awaiting
//!
//! With the feature `stream`, `Monitor::stream` gives a `futures_core::Stream` that works under any async runtime, or none.
//!
#![cfg_attr(feature = "stream", doc = "```no_run")]
#![cfg_attr(not(feature = "stream"), doc = "```text")]
//! # async fn watch() -> Result<(), procscope::Error> {
//! let mut stream = procscope::Monitor::builder().build()?.stream();
//! while let Some(event) = stream.next().await {
//!     println!("{:?}", event?.kind);
//! }
//! # Ok(())
//! # }
//! ```
//!
//! # Running a command
//!
//! [`MonitorBuilder::command`] starts a command, holds it back until all is attached, and watches it and its descendants.
//!
//! ```no_run
//! # fn main() -> Result<(), procscope::Error> {
//! let mut events = procscope::Monitor::builder().command(["make", "-j2"]).build()?.events();
//! for event in events.by_ref() {
//!     println!("{:?}", event?.kind);
//! }
//! println!("{:?}", events.summary().and_then(|summary| summary.command));
//! # Ok(())
//! # }
//! ```
//!
//! # Proving it
//!
//! A [`Reconciler`] takes the events of two monitors of different mechanisms, and finds what only one of them told.
//!
//! # What it takes
//!
//! Rust 1.95. On Linux, 5.11 or later with BTF, and CAP_BPF with CAP_PERFMON, or root; for a command that it runs, nothing.
//! Elsewhere [`Error::NoMechanism`] says what is to come. [`Error::remedy`] tells what a person may do. Most rights are needed for
//! [`MonitorBuilder::build`] alone: [`Session::rights`] says which are not.

// A system without a source of its own still compiles and tests every decoder.
#![cfg_attr(not(target_os = "linux"), allow(dead_code, unused_imports))]

mod clocks;
mod error;
mod events;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
mod launch;
mod monitor;
mod pipeline;
mod plan;
mod reconcile;
mod source;
mod sys;
mod want;

pub use clocks::{monotonic_origin, start_of};
pub use error::{Cause, Error, Obstacle, SourceInfo, Verdict};
#[cfg(feature = "stream")]
pub use events::EventStream;
pub use events::Events;
pub use launch::RunningCommand;
pub use monitor::{Monitor, MonitorBuilder};
pub use plan::{DecidedBy, ExplainedTerm, Explanation};
pub use procscope_model::*;
pub use reconcile::{Discrepancy, Reconciler, Side, Verification};
pub use source::sources;
pub use want::{EnvWanted, Want};

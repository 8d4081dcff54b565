//! Every process that starts and every process that ends: the parent, the exact arguments, the user,
//! the directory, the lifetime, the resources used and the cause of death.
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
//! A [`Monitor`] opens a mechanism of the operating system. From [`MonitorBuilder::build`] on, nothing
//! is missed. There are three ways to its [`Event`]s. [`Flaws`] marks doubtful and unknown values;
//! [`Lost`] counts lost events.
//!
//! Nothing here is global: a process may have several monitors, each with its own choice, and end one
//! while others continue. The library never prints, exits or panics.
//!
//! # Asking for events
//!
//! [`Monitor::events`], which `for` calls too, runs the monitor on a thread of its own, and passes
//! events in batches. A slow consumer loses nothing before a queue of 16 MiB and the kernel's ring are
//! full; after that it knows how much it lost.
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
//! [`Monitor::run`] passes events to a [`Sink`] on the caller's own thread. It costs least: nothing is
//! copied or handed over. Any thread ends it by a [`StopHandle`]; events up to then still come.
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
//! With the feature `stream`, `Monitor::stream` gives a `futures_core::Stream` that works under any
//! async runtime, or none.
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
//! [`MonitorBuilder::command`] starts a command, holds it back until everything is attached, and watches
//! it and its descendants.
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
//! A [`Reconciler`] takes the events of two monitors of different mechanisms, and finds
//! the events that only one of them reported.
//!
//! # Requirements
//!
//! - Rust 1.95.
//! - On Linux: 5.11 or later with BTF, and CAP_BPF with CAP_PERFMON, or root. A command that it runs
//!   needs no rights.
//! - On other systems [`Error::NoMechanism`] names the mechanisms to come.
//!
//! [`Error::remedies`] are what a person may do. Most rights are needed only for
//! [`MonitorBuilder::build`]; [`Session::rights`] names the others.

// A system without a source of its own, and a build without eBPF, still compile and test every
// decoder, and what only that source calls.
#![cfg_attr(not(all(target_os = "linux", feature = "ebpf")), allow(dead_code, unused_imports))]

mod clocks;
mod error;
mod events;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
mod launch;
mod monitor;
mod pipeline;
mod plan;
mod proc;
mod reconcile;
mod record;
mod source;
mod sys;
mod want;

pub use clocks::{monotonic_origin, start_of};
pub use error::{Error, SourceInfo, Verdict};
#[cfg(feature = "stream")]
pub use events::EventStream;
pub use events::Events;
#[cfg(unix)]
pub use events::Readiness;
pub use launch::RunningCommand;
pub use monitor::{Monitor, MonitorBuilder};
pub use plan::{DecidedBy, ExplainedTerm, Explanation};
pub use procscope_model::*;
pub use reconcile::{Discrepancy, Reconciler, Side, Verification};
pub use source::table::sources;
pub use want::{EnvWanted, Want};

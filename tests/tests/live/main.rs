//! procscope on the real kernel, compared with the truth.
//!
//! The tests need root, or CAP_BPF and CAP_PERFMON and the rights of the odd cases, and fail
//! without. They take turns, also between processes, because one that loads the machine would
//! disturb another that measures it.

#![cfg(target_os = "linux")]

mod connector;
mod doctor;
mod ends;
mod examples;
mod existing;
mod filters;
mod identity;
mod language;
mod latency;
mod library;
mod library_examples;
mod limits;
mod login;
mod loss;
mod memory;
mod names;
mod odd;
mod options;
mod own_command;
mod paths;
mod personas;
mod poll;
mod processor;
mod readers;
mod replay;
mod rights;
mod run;
mod schema;
mod storm;
mod terminal;
mod timens;
mod traced;
mod traced_changes;
mod tracefs;
mod turn;
mod verify;
mod watch;
mod workload;

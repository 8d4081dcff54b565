//! Real processes with a truth file, and a comparison of procscope's report with it.
//!
//! `ps-workload storm` makes many short-lived processes, `ps-workload odd` one of each odd kind;
//! both write the truth to a file. [`compare`] reads that file and procscope's JSON lines, and
//! counts every difference by field.

pub mod compare;
pub mod report;
pub mod seen;
pub mod truth;

#[cfg(target_os = "linux")]
mod act;
#[cfg(target_os = "linux")]
pub mod actor;
#[cfg(target_os = "linux")]
pub mod cases;
#[cfg(target_os = "linux")]
pub mod chosen;
#[cfg(target_os = "linux")]
pub mod clock;
#[cfg(target_os = "linux")]
pub mod matrix;
pub mod plan;
#[cfg(target_os = "linux")]
pub mod proc_files;
#[cfg(target_os = "linux")]
#[path = "../tiny/raw.rs"]
mod raw;
#[cfg(target_os = "linux")]
pub mod storm;
#[cfg(target_os = "linux")]
pub mod tiny;
#[cfg(target_os = "linux")]
pub mod workload;

//! The content of one record.

use super::strings::Strings;
use crate::Pid;
use crate::record::Comm;
use crate::source::happening::{Arguments, CallPath};

/// One record's report.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Raw {
    /// By the clock of the trace, ns.
    pub(crate) ns: u64,
    /// The CPU whose buffer it was in.
    pub(crate) processor: Option<u32>,
    /// Its thread.
    pub(crate) tid: Pid,
    pub(crate) what: RawWhat,
}

/// In pids of the initial namespace, mostly those of threads.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum RawWhat {
    NewTask {
        tid: Pid,
        comm: Comm,
        flags: u64,
    },
    Exec {
        pid: Pid,
        old_tid: Option<Pid>,
        path: Option<Vec<u8>>,
    },
    Exit {
        tid: Pid,
        comm: Option<Comm>,
        last: Option<bool>,
    },
    Rename {
        tid: Pid,
        old: Comm,
        new: Comm,
    },
    /// Sent to that thread or its process.
    Generate {
        tid: Pid,
        signo: u8,
        /// `si_code`: `sigaction(2)`.
        code: i32,
        /// It was not ignored, nor pending already.
        taken: bool,
    },
    Deliver {
        signo: u8,
        default: bool,
    },
    OomVictim {
        pid: Pid,
    },
    EnterExec {
        dirfd: Option<i32>,
        path: Option<CallPath>,
    },
    LeaveExec {
        result: i64,
    },
    /// As in `wait(2)`.
    EnterExit {
        wait_status: u32,
        group: bool,
    },
    LeaveSetsid {
        result: i64,
    },
    Doom {
        wait_status: u32,
    },
    /// Nothing if its memory could not be read.
    Image(Option<Arguments>),
    CallPath(Option<CallPath>),
    CallArguments(Option<Strings>),
    CallRest(Option<Strings>),
}

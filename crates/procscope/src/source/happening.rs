//! The kernel's reports about processes in numbers and moments, whichever mechanism they come by.
//! The rest is looked up.

use crate::record::Comm;
use crate::source::look::Look;
use crate::{Flaw, Pid};

/// A process and one of its threads, as the initial pid namespace numbers them.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Task {
    pub(crate) tid: Pid,
    pub(crate) pid: Pid,
}

impl Task {
    pub(crate) fn is_leader(self) -> bool {
        self.tid == self.pid
    }
}

/// How a thread began, if that is reported.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Birth {
    pub(crate) flags: u64,
    pub(crate) comm: Comm,
}

/// The report of a program's start.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Started {
    pub(crate) path: Option<Vec<u8>>,
    pub(crate) argv: Option<Arguments>,
    pub(crate) comm: Option<Comm>,
    pub(crate) old_comm: Option<Comm>,
    pub(crate) old_tid: Option<Pid>,
}

/// A list of arguments, each with its NUL.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Arguments {
    pub(crate) list: Vec<u8>,
    /// Only its beginning is here.
    pub(crate) cut: bool,
    /// As the call had them; a script's interpreter receives others.
    pub(crate) as_called: bool,
    /// The missing part was in memory that could not be read without a fault.
    pub(crate) unreadable: bool,
}

/// The path given to a call.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct CallPath {
    pub(crate) bytes: Vec<u8>,
    /// How far it differs from the given one.
    pub(crate) flaw: Option<Flaw>,
}

/// A program that was not started.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Failed {
    pub(crate) errno: u32,
    pub(crate) dirfd: Option<i32>,
    pub(crate) path: Option<CallPath>,
    pub(crate) argv: Option<Arguments>,
}

/// How a thread ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct End {
    /// As in `wait(2)`, if it is known.
    pub(crate) wait_status: Option<u32>,
    /// It was not reported, but follows from other reports.
    pub(crate) worked_out: bool,
    /// All threads end so.
    pub(crate) of_all: bool,
    /// The report says whether this was the last thread.
    pub(crate) last: Option<bool>,
    pub(crate) comm: Option<Comm>,
    pub(crate) oom: bool,
}

/// The sender of a signal.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Sender {
    /// The thread that was running.
    Caller,
    /// The kernel, for its own reasons.
    Kernel,
    /// One of both.
    Unknown,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Happening {
    /// Without a birth `parent` is the real parent: for a thread that of its process, with
    /// CLONE_PARENT that of the caller. With one it is the caller.
    Fork {
        parent: Task,
        child: Task,
        birth: Option<Birth>,
    },
    Exec {
        task: Task,
        started: Option<Box<Started>>,
    },
    ExecFailed {
        task: Task,
        failed: Box<Failed>,
    },
    /// A signal was sent, on the thread of `caller`.
    Signal {
        task: Task,
        signo: u8,
        sender: Sender,
        caller: Task,
    },
    /// A signal went to a handler, or was ignored.
    Delivered {
        task: Task,
        signo: u8,
    },
    Uid {
        task: Task,
        real: u32,
        effective: u32,
    },
    Gid {
        task: Task,
        real: u32,
        effective: u32,
    },
    Sid {
        task: Task,
    },
    /// Without a tracer it was released.
    Ptrace {
        task: Task,
        tracer: Option<Task>,
    },
    Comm {
        task: Task,
        old: Option<Comm>,
        comm: Comm,
    },
    Core {
        task: Task,
        signo: Option<u8>,
    },
    Exit {
        task: Task,
        end: End,
        parent: Option<Task>,
    },
}

impl Happening {
    /// The thread that it happened to.
    pub(crate) fn task(&self) -> Task {
        match *self {
            Self::Fork { child: task, .. }
            | Self::Exec { task, .. }
            | Self::ExecFailed { task, .. }
            | Self::Signal { task, .. }
            | Self::Delivered { task, .. }
            | Self::Uid { task, .. }
            | Self::Gid { task, .. }
            | Self::Sid { task }
            | Self::Ptrace { task, .. }
            | Self::Comm { task, .. }
            | Self::Core { task, .. }
            | Self::Exit { task, .. } => task,
        }
    }
}

/// An event, and the values read when it was reported.
#[derive(Clone, Debug)]
pub(crate) struct Report {
    /// CLOCK_MONOTONIC, ns.
    pub(crate) mono_ns: u64,
    /// The CPU that it happened on.
    pub(crate) processor: Option<u32>,
    pub(crate) what: Happening,
    pub(crate) look: Option<Box<Look>>,
}

use std::sync::Arc;

use crate::{Argv, Counts, ExitStatus, Flaws, Kind, Name, Pid, Process, ProcessRef, SourceId, Timestamp, Usage};

/// Something that happened to a process.
#[derive(Clone, PartialEq, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct Event {
    /// Counts the delivered events of one monitor from 1, without a gap.
    pub seq: u64,
    /// When it happened.
    pub time: Timestamp,
    /// The mechanism that reported it.
    pub source: SourceId,
    /// The process as it was right after the event; [`EventKind::Lost`] has none.
    pub process: Option<Arc<Process>>,
    /// The thread that it happened to.
    pub tid: Option<Pid>,
    /// The number of the event's CPU, as `processor` in `proc_cpuinfo(5)`; `None` if the mechanism
    /// does not know it.
    pub processor: Option<u32>,
    /// What happened.
    pub kind: EventKind,
    /// How far the fields of this event, not those of the process, can be trusted.
    pub flaws: Flaws,
}

impl Event {
    /// An event without flaws.
    pub fn new(
        seq: u64,
        time: Timestamp,
        source: SourceId,
        process: Option<Arc<Process>>,
        tid: Option<Pid>,
        kind: EventKind,
    ) -> Self {
        Self { seq, time, source, process, tid, processor: None, kind, flaws: Flaws::new() }
    }
}

/// What happened.
#[derive(Clone, PartialEq, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "kebab-case"))]
#[non_exhaustive]
pub enum EventKind {
    /// The process was already running.
    Existing,
    /// A process began as a copy of its parent. On Unix it becomes another program by [`EventKind::Exec`].
    Fork(ForkInfo),
    /// A thread began.
    Clone(ForkInfo),
    /// The process became another program.
    Exec(ExecInfo),
    /// It tried to, and the kernel refused. The process stays what it was.
    ExecFailed(ExecFailure),
    /// The process ended, with its last thread.
    Exit(Exit),
    /// A thread ended, and others of its process live on.
    ThreadExit(ThreadExit),
    /// A signal makes the process dump core.
    Core(CoreDump),
    /// A thread's comm changed, not by an exec.
    Comm(CommChange),
    /// A user id changed.
    Uid(IdChange),
    /// A group id changed.
    Gid(IdChange),
    /// The process began a session.
    Sid,
    /// A debugger attached to the process or detached.
    Ptrace(PtraceChange),
    /// Events that were lost.
    Lost(Lost),
    /// A process began and runs its program from the first moment: `CreateProcess` of Windows,
    /// `posix_spawn(2)` of macOS. There is no fork and no exec of it besides, so a consumer that asks
    /// which programs start asks for [`Kind::Exec`] and [`Kind::Start`]. No mechanism of Linux reports
    /// it: there `posix_spawn(3)` is a fork and an exec.
    Start(StartInfo),
}

impl EventKind {
    /// A kind of event without its data.
    pub fn unknown(kind: Kind) -> Self {
        let status = ExitStatus::Unknown;
        match kind {
            Kind::Existing => Self::Existing,
            Kind::Fork => Self::Fork(ForkInfo::default()),
            Kind::Clone => Self::Clone(ForkInfo::default()),
            Kind::Exec => Self::Exec(ExecInfo::default()),
            Kind::ExecFailed => Self::ExecFailed(ExecFailure::default()),
            Kind::Exit => Self::Exit(Exit::new(status, Usage::default())),
            Kind::ThreadExit => Self::ThreadExit(ThreadExit::new(status)),
            Kind::Core => Self::Core(CoreDump::default()),
            Kind::Comm => Self::Comm(CommChange::new(None, Name::new(b""))),
            Kind::Uid => Self::Uid(IdChange::default()),
            Kind::Gid => Self::Gid(IdChange::default()),
            Kind::Sid => Self::Sid,
            Kind::Ptrace => Self::Ptrace(PtraceChange::default()),
            Kind::Lost => Self::Lost(Lost::default()),
            Kind::Start => Self::Start(StartInfo::default()),
        }
    }

    /// The kind without its data.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Existing => Kind::Existing,
            Self::Fork(_) => Kind::Fork,
            Self::Clone(_) => Kind::Clone,
            Self::Exec(_) => Kind::Exec,
            Self::ExecFailed(_) => Kind::ExecFailed,
            Self::Exit(_) => Kind::Exit,
            Self::ThreadExit(_) => Kind::ThreadExit,
            Self::Core(_) => Kind::Core,
            Self::Comm(_) => Kind::Comm,
            Self::Uid(_) => Kind::Uid,
            Self::Gid(_) => Kind::Gid,
            Self::Sid => Kind::Sid,
            Self::Ptrace(_) => Kind::Ptrace,
            Self::Lost(_) => Kind::Lost,
            Self::Start(_) => Kind::Start,
        }
    }
}

/// The system call that made a process or a thread.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "kebab-case"))]
#[allow(missing_docs, reason = "each variant is the system call of that name")]
#[non_exhaustive]
pub enum ForkCall {
    Fork,
    Vfork,
    Clone,
    Clone3,
}

impl ForkCall {
    /// The system call's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Fork => "fork",
            Self::Vfork => "vfork",
            Self::Clone => "clone",
            Self::Clone3 => "clone3",
        }
    }
}

/// How a process or a thread began.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct ForkInfo {
    /// The system call; `None` for kernel threads, and if the kernel does not know it (before
    /// 5.15).
    pub call: Option<ForkCall>,
    /// The flags: `clone(2)`, without the exit signal in the low byte.
    pub flags: Option<u64>,
    /// The thread that made the call: its process, and its own tid. With CLONE_PARENT not the
    /// parent.
    pub creator: Option<ProcessRef>,
    /// The thread of `creator` that made the call.
    pub creator_tid: Option<Pid>,
}

impl ForkInfo {
    /// A beginning by this call, with these flags, of an unknown creator.
    pub fn new(call: Option<ForkCall>, flags: Option<u64>) -> Self {
        Self { call, flags, ..Self::default() }
    }
}

/// How a process began that ran its program from the first moment. Its program is in [`Process`].
#[derive(Clone, PartialEq, Eq, Debug, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct StartInfo {
    /// The process that made the call. It need not be the parent: Windows lets a caller name another
    /// one.
    pub creator: Option<ProcessRef>,
    /// The thread of `creator` that made the call.
    pub creator_tid: Option<Pid>,
}

impl StartInfo {
    /// A start by this process and this thread of it.
    pub fn new(creator: Option<ProcessRef>, creator_tid: Option<Pid>) -> Self {
        Self { creator, creator_tid }
    }
}

/// What an exec changed. The new program is in [`Process`].
#[derive(Clone, PartialEq, Eq, Debug, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct ExecInfo {
    /// The comm before.
    pub old_name: Option<Name>,
    /// The tid that called exec, before it became the leader.
    pub old_tid: Option<Pid>,
}

impl ExecInfo {
    /// What the process was before.
    pub fn new(old_name: Option<Name>, old_tid: Option<Pid>) -> Self {
        Self { old_name, old_tid }
    }
}

/// A refused exec.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct ExecFailure {
    /// The error's number.
    pub errno: u32,
    /// The path as it was given.
    #[cfg_attr(feature = "serde", serde(with = "crate::serial::bytes"))]
    pub path: Option<Box<[u8]>>,
    /// The arguments tried.
    pub argv: Option<Arc<Argv>>,
    /// The directory or file descriptor given to execveat.
    pub dirfd: Option<i32>,
}

impl ExecFailure {
    /// An exec that was refused with this error, and of which no more is known.
    pub fn new(errno: u32) -> Self {
        Self { errno, ..Self::default() }
    }
}

/// The end of a process.
#[derive(Clone, PartialEq, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct Exit {
    /// How it ended.
    pub status: ExitStatus,
    /// The sender of the signal that ended it.
    pub killer: Option<ProcessRef>,
    /// True if the kernel killed it because memory ran out.
    pub oom: bool,
    /// Its age, ns; 0 is a true zero.
    pub duration_ns: Option<u64>,
    /// What it used.
    pub usage: Usage,
}

impl Exit {
    /// An end with this status after this use, by nobody's signal and at an unknown age.
    pub fn new(status: ExitStatus, usage: Usage) -> Self {
        Self { status, killer: None, oom: false, duration_ns: None, usage }
    }
}

/// The end of a thread.
#[derive(Clone, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct ThreadExit {
    /// The thread's own status.
    pub status: ExitStatus,
    /// The thread's age, ns.
    pub duration_ns: Option<u64>,
    /// The thread's comm.
    pub thread_name: Option<Name>,
}

impl ThreadExit {
    /// An end with this status, of a thread of which no more is known.
    pub fn new(status: ExitStatus) -> Self {
        Self { status, duration_ns: None, thread_name: None }
    }
}

/// A core dump about to be written, if limits allow.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct CoreDump {
    /// The signal's number, if the source knows it.
    pub signo: Option<u8>,
}

impl CoreDump {
    /// A dump for this signal.
    pub fn new(signo: Option<u8>) -> Self {
        Self { signo }
    }
}

/// A changed comm.
#[derive(Clone, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct CommChange {
    /// Before; `None` if it was never seen.
    pub old: Option<Name>,
    /// After.
    pub new: Name,
}

impl CommChange {
    /// A change between these two.
    pub fn new(old: Option<Name>, new: Name) -> Self {
        Self { old, new }
    }
}

/// Changed user or group ids; the new ones are in [`Process::credentials`].
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct IdChange {
    /// The real id before.
    pub old_real: Option<u32>,
    /// The effective id before.
    pub old_effective: Option<u32>,
}

impl IdChange {
    /// A change from these ids.
    pub fn new(old_real: Option<u32>, old_effective: Option<u32>) -> Self {
        Self { old_real, old_effective }
    }
}

/// A debugger attaches or detaches.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct PtraceChange {
    /// True if it attached.
    pub attach: bool,
    /// The debugger.
    pub tracer: Option<ProcessRef>,
}

impl PtraceChange {
    /// This debugger's coming, or its going.
    pub fn new(attach: bool, tracer: Option<ProcessRef>) -> Self {
        Self { attach, tracer }
    }
}

/// Events that were lost between the event before this one and the next.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct Lost {
    /// How many of each kind; at [`Kind::Lost`] those of unknown kind.
    pub counts: Counts,
}

impl Exit {
    /// Its age.
    pub fn duration(&self) -> Option<std::time::Duration> {
        self.duration_ns.map(std::time::Duration::from_nanos)
    }
}

impl ThreadExit {
    /// The thread's age.
    pub fn duration(&self) -> Option<std::time::Duration> {
        self.duration_ns.map(std::time::Duration::from_nanos)
    }
}

impl Lost {
    /// So many of one kind.
    pub fn of(kind: Kind, n: u64) -> Self {
        let mut lost = Self::default();
        lost.counts.set(kind, n);
        lost
    }

    /// The total.
    pub fn total(&self) -> u64 {
        self.counts.total()
    }

    /// The kinds with losses, and their numbers.
    pub fn iter(&self) -> impl Iterator<Item = (Kind, u64)> + '_ {
        self.counts.iter()
    }
}

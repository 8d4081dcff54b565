use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use crate::{Argv, ExitStatus, Flaws, Name, Pid, Process, ProcessRef, SourceId, Timestamp, Usage};

/// Something that happened to a process.
#[derive(Clone, PartialEq, Debug)]
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
#[non_exhaustive]
pub enum EventKind {
    /// The process was already running.
    Existing,
    /// A process began as a copy of its parent.
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
}

impl EventKind {
    /// A kind of event without its data.
    pub fn unknown(kind: Kind) -> Self {
        let fork = ForkInfo { call: None, flags: None, creator: None, creator_tid: None };
        let ids = IdChange { old_real: None, old_effective: None };
        let status = ExitStatus::Unknown;
        match kind {
            Kind::Existing => Self::Existing,
            Kind::Fork => Self::Fork(fork),
            Kind::Clone => Self::Clone(fork),
            Kind::Exec => Self::Exec(ExecInfo { old_name: None, old_tid: None }),
            Kind::ExecFailed => Self::ExecFailed(ExecFailure { errno: 0, path: None, argv: None, dirfd: None }),
            Kind::Exit => {
                Self::Exit(Exit { status, killer: None, oom: false, duration_ns: None, usage: Usage::default() })
            }
            Kind::ThreadExit => Self::ThreadExit(ThreadExit { status, duration_ns: None, thread_name: None }),
            Kind::Core => Self::Core(CoreDump { signo: None }),
            Kind::Comm => Self::Comm(CommChange { old: None, new: Name::new(b"") }),
            Kind::Uid => Self::Uid(ids),
            Kind::Gid => Self::Gid(ids),
            Kind::Sid => Self::Sid,
            Kind::Ptrace => Self::Ptrace(PtraceChange { attach: false, tracer: None }),
            Kind::Lost => Self::Lost(Lost::default()),
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
        }
    }
}

/// The system call that made a process or a thread.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs, reason = "each variant is the system call of that name")]
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
#[derive(Clone, PartialEq, Eq, Debug)]
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

/// What an exec changed. The new program is in [`Process`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ExecInfo {
    /// The comm before.
    pub old_name: Option<Name>,
    /// The tid that called exec, before it became the leader.
    pub old_tid: Option<Pid>,
}

/// A refused exec.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ExecFailure {
    /// The error's number.
    pub errno: u32,
    /// The path as it was given.
    pub path: Option<Box<[u8]>>,
    /// The arguments tried.
    pub argv: Option<Arc<Argv>>,
    /// The directory or file descriptor given to execveat.
    pub dirfd: Option<i32>,
}

/// The end of a process.
#[derive(Clone, PartialEq, Debug)]
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

/// The end of a thread.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ThreadExit {
    /// The thread's own status.
    pub status: ExitStatus,
    /// The thread's age, ns.
    pub duration_ns: Option<u64>,
    /// The thread's comm.
    pub thread_name: Option<Name>,
}

/// A core dump about to be written, if limits allow.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CoreDump {
    /// The signal's number, if the source knows it.
    pub signo: Option<u8>,
}

/// A changed comm.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CommChange {
    /// Before; `None` if it was never seen.
    pub old: Option<Name>,
    /// After.
    pub new: Name,
}

/// Changed user or group ids; the new ones are in [`Process::credentials`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct IdChange {
    /// The real id before.
    pub old_real: Option<u32>,
    /// The effective id before.
    pub old_effective: Option<u32>,
}

/// A debugger attaches or detaches.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PtraceChange {
    /// True if it attached.
    pub attach: bool,
    /// The debugger.
    pub tracer: Option<ProcessRef>,
}

/// Events that were lost between the event before this one and the next.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Lost {
    /// How many of each kind, with [`Kind`] as index; at [`Kind::Lost`] those of unknown kind.
    pub counts: [u64; KIND_COUNT],
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
    /// The total.
    pub fn total(&self) -> u64 {
        self.counts.iter().fold(0, |sum, n| sum.saturating_add(*n))
    }

    /// The kinds with losses, and their numbers.
    pub fn iter(&self) -> impl Iterator<Item = (Kind, u64)> + '_ {
        Kind::ALL.into_iter().map(|kind| (kind, self.counts[kind as usize])).filter(|(_, n)| *n != 0)
    }
}

/// The kinds of event, named as `--events` and JSON name them.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[allow(missing_docs, reason = "each variant is the EventKind of that name")]
#[repr(u8)]
pub enum Kind {
    Existing,
    Fork,
    Clone,
    Exec,
    ExecFailed,
    Exit,
    ThreadExit,
    Core,
    Comm,
    Uid,
    Gid,
    Sid,
    Ptrace,
    Lost,
}

/// How many kinds there are.
pub const KIND_COUNT: usize = 14;

impl Kind {
    /// All kinds, in the order of their indices.
    pub const ALL: [Self; KIND_COUNT] = [
        Self::Existing,
        Self::Fork,
        Self::Clone,
        Self::Exec,
        Self::ExecFailed,
        Self::Exit,
        Self::ThreadExit,
        Self::Core,
        Self::Comm,
        Self::Uid,
        Self::Gid,
        Self::Sid,
        Self::Ptrace,
        Self::Lost,
    ];

    /// The word.
    pub fn name(self) -> &'static str {
        match self {
            Self::Existing => "existing",
            Self::Fork => "fork",
            Self::Clone => "clone",
            Self::Exec => "exec",
            Self::ExecFailed => "exec-failed",
            Self::Exit => "exit",
            Self::ThreadExit => "thread-exit",
            Self::Core => "core",
            Self::Comm => "comm",
            Self::Uid => "uid",
            Self::Gid => "gid",
            Self::Sid => "sid",
            Self::Ptrace => "ptrace",
            Self::Lost => "lost",
        }
    }
}

impl FromStr for Kind {
    type Err = ParseEventSetError;

    fn from_str(word: &str) -> Result<Self, ParseEventSetError> {
        let known = Self::ALL.into_iter().find(|kind| kind.name() == word);
        known.ok_or_else(|| ParseEventSetError { word: word.to_owned() })
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A set of kinds. [`Kind::Lost`] is always in it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct EventSet(u16);

impl EventSet {
    /// Only `lost`.
    pub const NONE: Self = Self(1 << Kind::Lost as u16);
    /// Every kind.
    pub const ALL: Self = Self((1 << KIND_COUNT) - 1);

    /// The set with one more kind.
    #[must_use]
    pub const fn with(self, kind: Kind) -> Self {
        Self(self.0 | 1 << kind as u16)
    }

    /// The set with one kind less.
    #[must_use]
    pub const fn without(self, kind: Kind) -> Self {
        Self(self.0 & !(1 << kind as u16))
    }

    /// True if the kind is in it.
    pub const fn contains(self, kind: Kind) -> bool {
        self.0 & 1 << kind as u16 != 0
    }

    /// The kinds that are in either.
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// The kinds that are in both.
    #[must_use]
    pub const fn intersection(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// Its kinds.
    pub fn iter(self) -> impl Iterator<Item = Kind> {
        Kind::ALL.into_iter().filter(move |&kind| self.contains(kind))
    }
}

impl FromIterator<Kind> for EventSet {
    fn from_iter<I: IntoIterator<Item = Kind>>(kinds: I) -> Self {
        kinds.into_iter().fold(Self::NONE, Self::with)
    }
}

impl fmt::Display for EventSet {
    /// As `FromStr` reads it: `exec,exit`, or `all`. `lost` is named only if nothing else is in it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.iter().filter(|&kind| kind != Kind::Lost).map(Kind::name).collect();
        match names.len() {
            0 => f.pad(Kind::Lost.name()),
            _ if self.union(Self::NONE) == Self::ALL => f.pad("all"),
            _ => f.pad(&names.join(",")),
        }
    }
}

impl Default for EventSet {
    /// exec, exec-failed and exit.
    fn default() -> Self {
        Self::NONE.with(Kind::Exec).with(Kind::ExecFailed).with(Kind::Exit)
    }
}

/// A word that is not a kind of event.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ParseEventSetError {
    /// The word.
    pub word: String,
}

impl fmt::Display for ParseEventSetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "there is no event '{}'; the events are all", self.word.escape_debug())?;
        Kind::ALL.into_iter().try_for_each(|kind| write!(f, ", {kind}"))
    }
}

impl std::error::Error for ParseEventSetError {}

impl FromStr for EventSet {
    type Err = ParseEventSetError;

    /// Reads kinds joined by commas; `all` is every one, and forkstat's `ptrce` is `ptrace`.
    fn from_str(list: &str) -> Result<Self, ParseEventSetError> {
        list.split(',').map(str::trim).try_fold(Self::NONE, |set, word| match word {
            "all" => Ok(Self::ALL),
            "ptrce" => Ok(set.with(Kind::Ptrace)),
            _ => match Kind::ALL.into_iter().find(|kind| kind.name() == word) {
                Some(kind) => Ok(set.with(kind)),
                None => Err(ParseEventSetError { word: word.to_owned() }),
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn event_sets_read_their_words() {
        let set: EventSet = "fork, exec,ptrce".parse().unwrap();
        assert_eq!(set.iter().map(Kind::name).collect::<Vec<_>>(), ["fork", "exec", "ptrace", "lost"]);
        assert_eq!("all".parse(), Ok(EventSet::ALL));
        assert_eq!("exec,all".parse(), Ok(EventSet::ALL));
        assert_eq!("all,exec".parse::<EventSet>(), Ok(EventSet::ALL));
        assert_eq!("exec,,exit".parse::<EventSet>(), Err(ParseEventSetError { word: String::new() }));
        assert!("EXEC".parse::<EventSet>().unwrap_err().to_string().contains("exec-failed"));
    }

    proptest::proptest! {
        #[test]
        fn any_set_is_read_again(kinds in proptest::collection::vec(0..KIND_COUNT, 0..KIND_COUNT)) {
            let set: EventSet = kinds.into_iter().map(|index| Kind::ALL[index]).collect();
            proptest::prop_assert_eq!(set.to_string().parse(), Ok(set));
        }
    }

    #[test]
    fn event_sets_show_their_words() {
        assert_eq!(EventSet::from_iter([Kind::Exit, Kind::Exec]).to_string(), "exec,exit");
        assert_eq!((EventSet::ALL.to_string(), EventSet::NONE.to_string()), ("all".into(), "lost".into()));
    }

    #[test]
    fn kinds_stand_at_their_index() {
        for (index, kind) in Kind::ALL.into_iter().enumerate() {
            assert_eq!(kind as usize, index);
        }
    }
}

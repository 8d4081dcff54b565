use super::SystemError;
use crate::{EventSet, Field, Kind, SourceId};

/// A missing part, or a failure.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Lack {
    /// The mechanism is another system's.
    #[error("a mechanism of {needs}, and this is {this}")]
    OtherSystem {
        /// Its system.
        needs: &'static str,
        /// This one.
        this: &'static str,
    },
    /// The kernel is too old.
    #[error("this is Linux {}.{}, older than {}.{}", release.0, release.1, least.0, least.1)]
    OldKernel {
        /// This one.
        release: (u32, u32),
        /// The first that is new enough.
        least: (u32, u32),
    },
    /// The numbers of this processor's system calls are not known.
    #[error("the system calls of {arch} are not known")]
    UnknownCalls {
        /// The processor.
        arch: &'static str,
    },
    /// A file system of the kernel is not mounted.
    #[error("{path} is not mounted")]
    NotMounted {
        /// Which one.
        path: &'static str,
    },
    /// Another pid namespace's /proc is mounted.
    #[error("/proc is that of another pid namespace")]
    ForeignProc,
    /// /proc is mounted with `hidepid`.
    #[error("other users' processes are hidden: /proc is mounted with hidepid")]
    HiddenProcesses,
    /// The kernel does not describe its types.
    #[error("the kernel does not describe its types: there is no /sys/kernel/btf/vmlinux")]
    NoKernelTypes,
    /// The kernel has no process connector.
    #[error("{call}: this kernel has no process connector")]
    NoConnector {
        /// The call that showed it.
        call: &'static str,
    },
    /// The kernel did not answer.
    #[error("the kernel did not answer")]
    NoAnswer,
    /// The kernel has no tracefs.
    #[error("this kernel has no tracefs: {error}")]
    NoTracefs {
        /// Its answer.
        error: SystemError,
    },
    /// Its tracefs has no instances.
    #[error("this kernel's tracefs has no instances")]
    NoInstances,
    /// An event is missing from tracefs.
    #[error("this kernel has no event {group}:{name}")]
    NoTraceEvent {
        /// The event's group.
        group: &'static str,
        /// The event.
        name: &'static str,
    },
    /// An event of tracefs has a layout that is not known.
    #[error("the event {event} has an unknown layout")]
    StrangeTraceEvent {
        /// The event.
        event: String,
    },
    /// The kernel has no kprobes.
    #[error("this kernel has no kprobes, so arguments {}", if *event_probes { "are those of the call, or come late" } else { "come late" })]
    NoKprobes {
        /// It has event probes in their place.
        event_probes: bool,
    },
    /// The kernel has neither kprobes nor event probes.
    #[error("this kernel has neither kprobes nor event probes")]
    NoProbes,
    /// The kernel has no seccomp filters.
    #[error("this kernel has no seccomp filters")]
    NoSeccomp,
    /// The kernel has no tracepoints of system calls.
    #[error("this kernel has no CONFIG_FTRACE_SYSCALLS")]
    NoCallEvents,
    /// Its tracefs has no tracepoints of system calls.
    #[error("tracefs has no tracepoints of system calls")]
    NoCallTracepoints,
    /// The tracepoints of system calls may not be read.
    #[error("the tracepoints of system calls may not be read in tracefs")]
    UnreadableTracepoints,
    /// Tracefs failed.
    #[error("tracefs: {error}")]
    Tracefs {
        /// The kernel's answer.
        error: SystemError,
    },
    /// Tracefs may not be used.
    #[error("tracefs may not be used: {error}; it belongs to root")]
    TracefsOfRoot {
        /// The kernel's answer.
        error: SystemError,
    },
    /// The kernel is locked down for confidentiality.
    #[error("the kernel is locked down (confidentiality), and {}", match by { SourceId::Tracefs => "closes tracefs to all", _ => "lets no program read its memory" })]
    LockedDown {
        /// The mechanism that it blocks.
        by: SourceId,
    },
    /// `kernel.yama.ptrace_scope` is 3.
    #[error("/proc/sys/kernel/yama/ptrace_scope is 3: no process may trace")]
    NoTracing,
    /// Rights are missing.
    #[error("loading BPF programs needs {}", names.join(" and "))]
    Capabilities {
        /// As `capabilities(7)` names them.
        names: &'static [&'static str],
    },
    /// The mechanism works only in the initial user namespace.
    #[error("{} the initial user namespace, and this is another one", match of { SourceId::Tracefs => "tracefs is only for", _ => "BPF programs may be loaded only in" })]
    OtherUserNamespace {
        /// The mechanism.
        of: SourceId,
    },
    /// The mechanism has the pids of the initial pid namespace.
    #[error("{} shows the pids of the initial pid namespace, and this is another one", of.name())]
    OtherPidNamespace {
        /// The mechanism.
        of: SourceId,
    },
    /// The command's pid in the initial pid namespace is not known.
    #[error("this is another pid namespace, where a command's pid in the initial one is not known")]
    UnknownCommandPid,
    /// The process connector works only in the initial network namespace.
    #[error("the process connector answers only in the initial network namespace, and this is another one")]
    OtherNetworkNamespace,
    /// The process connector works only in the initial pid and user namespaces.
    #[error("the process connector answers only in the initial pid and user namespaces, and this is a container")]
    Contained,
    /// A call was refused.
    #[error(
        "{call}{}{}{}",
        error.as_ref().map_or(" is refused".to_owned(), |error| format!(": {error}")),
        if *filtered { "; a seccomp filter is set here, as in containers, and may have refused it" } else { "" },
        if *needs_net_admin { "; before Linux 6.6 that needs CAP_NET_ADMIN" } else { "" }
    )]
    Refused {
        /// The attempted action.
        call: &'static str,
        /// The system's answer.
        error: Option<SystemError>,
        /// A seccomp filter is set, and may have refused it.
        filtered: bool,
        /// The kernel is so old that the call needs CAP_NET_ADMIN.
        needs_net_admin: bool,
    },
    /// The kernel refused to load the BPF programs.
    #[error("the kernel refused the BPF programs: {complaint}")]
    RefusedPrograms {
        /// The words of libbpf.
        complaint: String,
    },
    /// No command is named, and the mechanism follows nothing else.
    #[error("{} follows a command that it starts, and no other process", of.name())]
    NoCommand {
        /// The mechanism.
        of: SourceId,
    },
    /// No more files can be opened.
    #[error("{} may open no more files", if *system { "the system" } else { "this process" })]
    OpenFiles {
        /// The whole system has reached its limit.
        system: bool,
    },
    /// Something else failed.
    #[error("{what}: {error}")]
    Failed {
        /// The attempted action.
        what: &'static str,
        /// The system's answer.
        error: SystemError,
    },
    /// There is no such cgroup.
    #[error("there is no cgroup {path}{}", error.as_ref().map_or(String::new(), |error| format!(": {error}")))]
    NoCgroup {
        /// As it was named.
        path: String,
        /// The system's answer, if it gave one.
        error: Option<SystemError>,
    },
    /// Kinds of event are missing.
    #[error("{} events are missing: {why}", list(*kinds))]
    Kinds {
        /// Which ones.
        kinds: EventSet,
        /// Why.
        why: Box<Lack>,
    },
    /// A mechanism does not report it anywhere.
    #[error("{} does not report them", of.name())]
    NotReported {
        /// The mechanism.
        of: SourceId,
    },
    /// Fields are missing.
    #[error("{} are missing: {why}", fields_of(fields))]
    Fields {
        /// Which ones.
        fields: &'static [Field],
        /// Why.
        why: Box<Lack>,
    },
    /// The arguments of processes that were already running are missing.
    #[error("the arguments of processes that were already running are missing: {why}")]
    ArgumentsBefore {
        /// Why.
        why: Box<Lack>,
    },
    /// Much of other users' processes is missing.
    #[error(
        "the programs' paths, directories and environments of other users' processes are missing: reading them needs CAP_SYS_PTRACE"
    )]
    OtherUsersFields,
    /// Most of what an end shows is missing.
    #[error("the status of most ends is missing, ends are seen late, and missed processes are not counted: {why}")]
    Ends {
        /// Why.
        why: Box<Lack>,
    },
    /// Ends are seen late.
    #[error("ends are seen late: processes cannot be waited for here")]
    LateEnds,
    /// Missed processes are not counted.
    #[error("missed processes are not counted: {why}")]
    UncountedProcesses {
        /// Why.
        why: Box<Lack>,
    },
    /// The kernel does not say which pid it gave out last.
    #[error("/proc/loadavg does not show pids")]
    NoLastPid,
    /// Losses are not counted.
    #[error("losses are not counted: this kernel is older than 4.12")]
    UncountedLosses,
    /// Children made with CLONE_PARENT are missing from a tree.
    #[error("a child that the tree's own process makes with CLONE_PARENT is missing: only parents are reported here")]
    ParentsAlone,
    /// The kernel's buffer is smaller than requested.
    #[error("the buffer has only {} KiB{}", bytes >> 10, if *each_cpu { " for each CPU" } else { "" })]
    SmallBuffer {
        /// Its size.
        bytes: u64,
        /// Each CPU has one.
        each_cpu: bool,
    },
    /// Pids are those of the initial namespace.
    #[error("pids are those of the initial pid namespace; ns_pid is that inside")]
    OuterPids,
    /// Arguments are those of the call.
    #[error("arguments are those of the call, which a script's interpreter receives differently")]
    ArgumentsOfCall,
    /// Arguments come late.
    #[error("arguments come late from /proc: this kernel has no kprobes")]
    LateArguments,
    /// A status is worked out.
    #[error("a status is worked out from system calls and signals: this kernel has no kprobes")]
    StatusWorkedOut,
    /// The status of an end is unknown.
    #[error("the status of an end is unknown: this kernel has neither kprobes nor CONFIG_FTRACE_SYSCALLS")]
    StatusUnknown,
    /// Failed execs lack their arguments, and more.
    #[error("exec-failed events have {}: {why}", if *paths { "no arguments, and a longer path is cut" } else { "neither path nor arguments" })]
    TriedWithout {
        /// They have paths.
        paths: bool,
        /// Why.
        why: Box<Lack>,
    },
    /// Calls of 32-bit programs are missing.
    #[error("failed execs and sessions of 32-bit programs are missing: the kernel's events of system calls skip them")]
    No32BitCalls,
    /// Times are worked out.
    #[error("times are worked out: this kernel's traces have no clock that can be read")]
    TimesWorkedOut,
    /// A time namespace's offsets are not known.
    #[error("times may be off by a time namespace's offsets, which only /proc shows")]
    UnknownTimeNamespace,
}

impl Lack {
    /// The kinds of event that are missing for it.
    pub fn kinds(&self) -> EventSet {
        match self {
            Self::Kinds { kinds, .. } => *kinds,
            _ => EventSet::NONE,
        }
    }

    /// The fields that are missing for it, or not as they should be.
    pub fn fields(&self) -> &'static [Field] {
        match self {
            Self::Fields { fields, .. } => fields,
            Self::ArgumentsBefore { .. } => &[Field::Argv],
            Self::OtherUsersFields => &[Field::Exe, Field::Cwd, Field::Env],
            Self::Ends { .. } | Self::StatusWorkedOut | Self::StatusUnknown => &[Field::Status],
            Self::ArgumentsOfCall | Self::LateArguments | Self::NoKprobes { .. } => &[Field::Argv],
            Self::TimesWorkedOut | Self::UnknownTimeNamespace => &[Field::Time],
            _ => &[],
        }
    }
}

fn list(kinds: EventSet) -> String {
    let names: Vec<_> = kinds.iter().filter(|&kind| kind != Kind::Lost).map(Kind::name).collect();
    names.join(", ")
}

fn fields_of(fields: &[Field]) -> String {
    let names: Vec<_> = fields.iter().map(|field| field.name()).collect();
    match names.split_last() {
        Some((last, [])) => (*last).to_owned(),
        Some((last, rest)) => format!("{} and {last}", rest.join(", ")),
        None => String::new(),
    }
}

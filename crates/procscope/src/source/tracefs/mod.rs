//! ftrace through tracefs: the kernel's tracepoints, in an instance of our own (Linux 3.10;
//! `Documentation/trace/ftrace.rst`), with neither BPF nor BTF. With kprobes, too, a program's
//! arguments and a process's status are exact. Without kprobes, event probes show the arguments
//! given to a call of execve(2).

pub(crate) mod assemble;
pub(crate) mod decode;
#[cfg(target_os = "linux")]
mod instance;
#[cfg(target_os = "linux")]
mod live;
#[cfg(target_os = "linux")]
mod probe;
#[cfg(target_os = "linux")]
mod probes;
#[cfg(target_os = "linux")]
mod records;

use super::{Attached, Mechanism};
use crate::{Capabilities, Error, EventSet, Field, Kind, SourceId, Verdict, Want};

/// The kinds that it reports.
const EVENTS: EventSet = EventSet::NONE
    .with(Kind::Existing)
    .with(Kind::Fork)
    .with(Kind::Clone)
    .with(Kind::Exec)
    .with(Kind::ExecFailed)
    .with(Kind::Exit)
    .with(Kind::ThreadExit)
    .with(Kind::Core)
    .with(Kind::Comm)
    .with(Kind::Sid);

const EXACT: &[Field] =
    &[Field::Time, Field::Ppid, Field::Name, Field::OldName, Field::Path, Field::Status, Field::Killer];
const LATE: &[Field] = &[
    Field::Id,
    Field::Parent,
    Field::Argv,
    Field::Exe,
    Field::Env,
    Field::Cwd,
    Field::User,
    Field::Login,
    Field::Sid,
    Field::Pgid,
    Field::Tty,
    Field::Cgroup,
    Field::Duration,
];
const EXACT_BY_KPROBES: &[Field] =
    &[Field::Time, Field::Ppid, Field::Name, Field::OldName, Field::Path, Field::Argv, Field::Status, Field::Killer];
const LATE_BESIDE_KPROBES: &[Field] = &[
    Field::Id,
    Field::Parent,
    Field::Exe,
    Field::Env,
    Field::Cwd,
    Field::User,
    Field::Login,
    Field::Sid,
    Field::Pgid,
    Field::Tty,
    Field::Cgroup,
    Field::Duration,
];

/// Whether this kernel is known to have none. `false` if that cannot be found out.
fn lacks_kprobes() -> bool {
    #[cfg(target_os = "linux")]
    return probe::lacks_kprobes();
    #[cfg(not(target_os = "linux"))]
    false
}

/// See the module.
pub(crate) struct Tracefs;

impl Mechanism for Tracefs {
    fn id(&self) -> SourceId {
        SourceId::Tracefs
    }

    fn capabilities(&self) -> Capabilities {
        let mut it = Capabilities::new(EVENTS);
        // A probe on a function that only these processors have shows the arguments that a program
        // receives.
        (it.exact, it.late) = if lacks_kprobes() || !cfg!(any(target_arch = "x86_64", target_arch = "x86")) {
            (EXACT, LATE)
        } else {
            (EXACT_BY_KPROBES, LATE_BESIDE_KPROBES)
        };
        it.counts_loss = true;
        it.kernel_choices = &["events"];
        it.order = "by the kernel's time";
        it.clock = "CLOCK_BOOTTIME (Linux 4.10)";
        it.needs = "Linux 3.10 with CONFIG_FTRACE and CONFIG_FTRACE_SYSCALLS, CONFIG_KPROBE_EVENTS for exact \
            arguments, or else \
                    CONFIG_EVENT_PROBES (5.15) for those of the call; root, in the initial pid namespace; /proc \
                    for paths and users";
        it.cost = "users and paths come late from /proc, and without kprobes arguments too; no usage, no change \
            of ids, no failed \
                   exec or session of a 32-bit program, and losses are counted in the kernel's records, of which \
                   a process has several";
        it
    }

    #[cfg(target_os = "linux")]
    fn probe(&self) -> Verdict {
        probe::probe()
    }

    #[cfg(target_os = "linux")]
    fn open(&self, want: &Want) -> Result<Attached, Error> {
        live::Live::open(want)
    }
}

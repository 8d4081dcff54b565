//! eBPF on Linux 5.11 and later: programs on tracepoints fill a ring, and a reader visits it every
//! few milliseconds.

#[cfg(target_os = "linux")]
mod calls;
#[cfg(target_os = "linux")]
mod complaints;
pub(crate) mod decode;
#[cfg(target_os = "linux")]
mod live;
#[cfg(target_os = "linux")]
mod object;
#[cfg(target_os = "linux")]
mod ring;
#[cfg(target_os = "linux")]
mod running;
#[cfg(target_os = "linux")]
mod snapshot;
#[cfg(target_os = "linux")]
mod tracepoint;
pub(crate) mod wire;

use super::{Attached, Mechanism};
use crate::plan::Pushdown;
use crate::{Capabilities, Error, EventSet, Field, SourceId, Verdict, Want};

/// See the module.
pub(crate) struct Ebpf;

impl Mechanism for Ebpf {
    fn id(&self) -> SourceId {
        SourceId::Ebpf
    }

    fn capabilities(&self) -> Capabilities {
        let mut it = Capabilities::new(EventSet::LINUX);
        it.exact = &[
            Field::Time,
            Field::Id,
            Field::Ppid,
            Field::Parent,
            Field::Name,
            Field::OldName,
            Field::Path,
            Field::Exe,
            Field::Interpreter,
            Field::Argv,
            Field::Env,
            Field::Cwd,
            Field::User,
            Field::Login,
            Field::Sid,
            Field::Pgid,
            Field::Tty,
            Field::Cgroup,
            Field::Status,
            Field::Killer,
            Field::Duration,
            Field::Usage,
        ];
        it.counts_loss = true;
        it.kernel_choices = &["events", "pid", "tree", "name", "user", "cgroup"];
        it.order = "causal: as the kernel wrote the events";
        it.clock = "CLOCK_BOOTTIME";
        it.needs = "Linux 5.11 with BTF; CAP_BPF and CAP_PERFMON; for failed execs, ids, sessions and ptrace a readable tracefs too, or CAP_SYS_ADMIN and CAP_DAC_READ_SEARCH";
        it.cost = "a few microseconds a process";
        it
    }

    #[cfg(target_os = "linux")]
    fn probe(&self) -> Verdict {
        object::probe()
    }

    /// The sizes of the programs' maps, and of a comm.
    fn pushdown(&self) -> Pushdown {
        Pushdown { events: true, pids: 1024, uids: 256, names: 256, name_bytes: 15 }
    }

    #[cfg(target_os = "linux")]
    fn open(&self, want: &Want) -> Result<Attached, Error> {
        live::Live::open(want)
    }
}

//! The process connector: a netlink socket on which the kernel reports its processes
//! (CONFIG_PROC_EVENTS, Linux 2.6.15 and later; `drivers/connector/cn_proc.c`). Its messages hold
//! only numbers, so names are read from /proc.

pub(crate) mod decode;
#[cfg(target_os = "linux")]
mod live;
pub(crate) mod merge;
#[cfg(target_os = "linux")]
mod messages;
#[cfg(target_os = "linux")]
mod own;
#[cfg(target_os = "linux")]
mod probe;
#[cfg(target_os = "linux")]
mod socket;

use super::{Attached, Mechanism};
use crate::{Capabilities, Error, EventSet, Field, Kind, SourceId, Verdict, Want};

/// The kinds that it reports: failed execs are not among them.
const EVENTS: EventSet = EventSet::NONE
    .with(Kind::Existing)
    .with(Kind::Fork)
    .with(Kind::Clone)
    .with(Kind::Exec)
    .with(Kind::Exit)
    .with(Kind::ThreadExit)
    .with(Kind::Core)
    .with(Kind::Comm)
    .with(Kind::Uid)
    .with(Kind::Gid)
    .with(Kind::Sid)
    .with(Kind::Ptrace);

/// See the module.
pub(crate) struct ProcessConnector;

impl Mechanism for ProcessConnector {
    fn id(&self) -> SourceId {
        SourceId::ProcessConnector
    }

    fn capabilities(&self) -> Capabilities {
        let mut it = Capabilities::new(EVENTS);
        it.exact = &[Field::Time, Field::Ppid, Field::Status];
        it.late = &[
            Field::Id,
            Field::Parent,
            Field::Name,
            Field::Exe,
            Field::Argv,
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
        it.counts_loss = true;
        it.kernel_choices = &["events"];
        it.order = "by the kernel's time";
        it.clock = "CLOCK_MONOTONIC";
        it.needs = "Linux 2.6.15 with CONFIG_PROC_EVENTS, in the initial pid and user namespaces; before 6.6 \
            CAP_NET_ADMIN; /proc for names, CAP_SYS_PTRACE for other users' paths";
        it.cost = "arguments and names come late from /proc, and are missing if a process was gone by then; no \
            failed execs, no usage, no killer";
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

//! ptrace(2): a command and its descendants, each stopped at its forks and execs while it is read.
//! It needs no privilege, and reports no other processes.

#[cfg(target_os = "linux")]
mod calls;
#[cfg(target_os = "linux")]
mod filters;
#[cfg(target_os = "linux")]
mod live;
#[cfg(target_os = "linux")]
mod memory;
#[cfg(target_os = "linux")]
mod owned;
#[cfg(target_os = "linux")]
mod tracer;
#[cfg(target_os = "linux")]
mod usage;

use super::{Attached, Mechanism};
use crate::{Capabilities, Error, EventSet, Field, Kind, SourceId, Verdict, Want};

/// The kinds that it reports.
const EVENTS: EventSet = EventSet::NONE
    .with(Kind::Fork)
    .with(Kind::Clone)
    .with(Kind::Exec)
    .with(Kind::ExecFailed)
    .with(Kind::Exit)
    .with(Kind::ThreadExit);

/// See the module.
pub(crate) struct Ptrace;

impl Mechanism for Ptrace {
    fn id(&self) -> SourceId {
        SourceId::Ptrace
    }

    fn capabilities(&self) -> Capabilities {
        let mut it = Capabilities::new(EVENTS);
        it.exact = &[
            Field::Id,
            Field::Ppid,
            Field::Parent,
            Field::Name,
            Field::OldName,
            Field::Path,
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
            Field::Status,
        ];
        it.counts_loss = true;
        it.order = "as the kernel reports to the tracer";
        it.clock = "CLOCK_BOOTTIME";
        it.needs = "Linux 5.3, on x86_64 or aarch64, and a command to run; no privilege";
        it.cost = "every fork, exec and end of the command stops for a moment, set-uid programs gain nothing, debuggers do not work on \
                   it, and the tracer stays until the last descendant has ended";
        it
    }

    fn needs_command(&self) -> bool {
        true
    }

    #[cfg(target_os = "linux")]
    fn probe(&self) -> Verdict {
        live::probe()
    }

    #[cfg(target_os = "linux")]
    fn open(&self, want: &Want) -> Result<Attached, Error> {
        live::Live::open(want)
    }
}

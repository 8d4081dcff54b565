//! /proc, read again and again. It needs no privilege and only a kernel that has /proc, and reports
//! what it happens to see.

pub(crate) mod ledger;
#[cfg(target_os = "linux")]
mod live;
#[cfg(target_os = "linux")]
mod pidfd;
pub(crate) mod tracker;

use super::{Attached, Mechanism};
use crate::{Capabilities, Error, EventSet, Field, Kind, SourceId, Verdict, Want};

/// The kinds that it reports.
const EVENTS: EventSet = EventSet::NONE
    .with(Kind::Existing)
    .with(Kind::Fork)
    .with(Kind::Exec)
    .with(Kind::Exit)
    .with(Kind::Comm)
    .with(Kind::Uid)
    .with(Kind::Gid)
    .with(Kind::Sid);

/// See the module.
pub(crate) struct ProcPoll;

impl Mechanism for ProcPoll {
    fn id(&self) -> SourceId {
        SourceId::ProcPoll
    }

    fn capabilities(&self) -> Capabilities {
        let mut it = Capabilities::new(EVENTS);
        it.exact = &[Field::Id];
        it.late = &[
            Field::Time,
            Field::Ppid,
            Field::Parent,
            Field::Name,
            Field::OldName,
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
            Field::Duration,
            Field::Usage,
        ];
        it.order = "as events were seen";
        it.clock = "CLOCK_BOOTTIME";
        it.needs = "/proc; CAP_SYS_PTRACE for other users' paths, Linux 5.3 to see ends when they happen, 6.15 \
            for every status";
        it.cost = "processes that live only a few milliseconds are missed, and counted only by their pids; times \
            and all other values are those of the reading; no threads, no failed execs";
        it
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

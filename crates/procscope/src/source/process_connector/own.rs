//! The command that procscope runs itself: the facts known without a message.

use std::sync::Arc;

use crate::launch::Held;
use crate::record::comm_of;
use crate::source::happening::{Arguments, Happening, Report, Started};
use crate::source::look::{Depth, Look, Proc};
use crate::source::proc_files::ProcFiles;
use crate::{Pid, StartTime};

/// See the module.
pub(super) struct Own {
    held: Arc<Held>,
    /// Read while it waited for us: nothing in it is late.
    look: Look,
    /// Its exec was reported.
    became: bool,
}

impl Own {
    /// Call this before the command is released.
    pub(super) fn of(held: &Arc<Held>) -> Option<Self> {
        let look = ProcFiles.look(held.pid(), Depth::Full)?;
        Some(Self { held: Arc::clone(held), look, became: false })
    }

    pub(super) fn pid(&self) -> Pid {
        self.held.pid()
    }

    pub(super) fn identity(&self) -> (Pid, Option<StartTime>) {
        (self.pid(), self.look.stat.map(|stat| stat.start))
    }

    /// Replaces what was found about it since.
    pub(super) fn put_into(&self, looks: &mut Vec<(Pid, Look)>) {
        looks.retain(|(pid, _)| *pid != self.pid());
        looks.push((self.pid(), self.look.clone()));
    }

    /// Adds the program to the report of its exec.
    pub(super) fn complete(&mut self, told: &mut Report) {
        let Happening::Exec { task, started } = &mut told.what else { return };
        if task.pid != self.pid() || std::mem::replace(&mut self.became, true) {
            return;
        }
        let (path, list) = self.held.program();
        let name = path.rsplit(|&b| b == b'/').next().unwrap_or_default();
        // The kernel puts an interpreter before the arguments of a script.
        let argv = Arguments { list, as_called: true, ..Arguments::default() };
        *started = Some(Box::new(Started {
            argv: Some(argv),
            comm: Some(comm_of(name)),
            old_comm: self.look.stat.map(|stat| stat.comm),
            old_tid: Some(task.tid),
            path: None,
        }));
    }
}

/// /proc, and the command if there is one.
pub(super) struct Files<'a>(pub(super) Option<&'a Own>);

impl Proc for Files<'_> {
    fn look(&mut self, pid: Pid, depth: Depth) -> Option<Look> {
        ProcFiles.look(pid, depth)
    }

    fn start(&mut self, pid: Pid) -> Option<StartTime> {
        ProcFiles.start(pid)
    }

    fn wait_status(&mut self, pid: Pid, start: StartTime) -> Option<u32> {
        match self.0.filter(|own| own.identity() == (pid, Some(start))) {
            Some(own) => own.held.wait_status(),
            None => ProcFiles.wait_status(pid, start),
        }
    }
}

//! The usual questions of readers to an event, whatever its kind.

use std::sync::Arc;

use crate::{
    Argv, Credentials, Event, EventKind, Exit, ExitStatus, Field, Flaw, ForkInfo, Kind, Login, Namespaces, Pid,
    Process, ProcessId, ProcessRef, Usage,
};

impl Event {
    /// The process that it happened to.
    pub fn process(&self) -> Option<&Process> {
        self.process.as_deref()
    }

    /// The identity of that process.
    pub fn id(&self) -> Option<ProcessId> {
        self.process().map(|process| process.id)
    }

    /// The pid of that process.
    pub fn pid(&self) -> Option<Pid> {
        self.process().map(|process| process.id.pid)
    }

    /// The parent of that process.
    pub fn parent(&self) -> Option<&ProcessRef> {
        self.process()?.parent.as_ref()
    }

    /// The comm that the event is about: for a comm event the thread's new one.
    pub fn name(&self) -> Option<&[u8]> {
        match &self.kind {
            EventKind::Comm(change) => Some(&change.new),
            _ => self.process()?.name.as_deref(),
        }
    }

    /// The comm before an exec or comm event.
    pub fn old_name(&self) -> Option<&[u8]> {
        match &self.kind {
            EventKind::Exec(exec) => exec.old_name.as_deref(),
            EventKind::Comm(change) => change.old.as_deref(),
            _ => None,
        }
    }

    /// The path that was given to exec: for a refused exec the one tried.
    pub fn path(&self) -> Option<&[u8]> {
        match &self.kind {
            EventKind::ExecFailed(failure) => failure.path.as_deref(),
            _ => self.process()?.path.as_deref(),
        }
    }

    /// The arguments: for a refused exec those tried.
    pub fn argv(&self) -> Option<&Argv> {
        match &self.kind {
            EventKind::ExecFailed(failure) => failure.argv.as_deref(),
            _ => self.process()?.argv.as_deref(),
        }
    }

    /// The environment, if it was requested.
    pub fn env(&self) -> Option<&Argv> {
        self.process()?.env.as_deref()
    }

    /// The users and groups as which the process acts.
    pub fn credentials(&self) -> Option<&Credentials> {
        self.process()?.credentials.as_deref()
    }

    /// The user who logged in.
    pub fn login(&self) -> Option<&Login> {
        self.credentials()?.login.as_ref()
    }

    /// The namespaces of the process.
    pub fn namespaces(&self) -> Option<&Namespaces> {
        self.process()?.namespaces.as_ref()
    }

    /// How the process or thread began.
    pub fn fork(&self) -> Option<&ForkInfo> {
        match &self.kind {
            EventKind::Fork(fork) | EventKind::Clone(fork) => Some(fork),
            _ => None,
        }
    }

    /// The thread that made the fork or clone call.
    pub fn creator(&self) -> Option<&ProcessRef> {
        self.fork()?.creator.as_ref()
    }

    /// How the process ended.
    pub fn exit(&self) -> Option<&Exit> {
        match &self.kind {
            EventKind::Exit(exit) => Some(exit),
            _ => None,
        }
    }

    /// The status of the process or thread that ended.
    pub fn exit_status(&self) -> Option<ExitStatus> {
        match &self.kind {
            EventKind::Exit(exit) => Some(exit.status),
            EventKind::ThreadExit(exit) => Some(exit.status),
            _ => None,
        }
    }

    /// The signal that ended the process or thread, or makes it dump core.
    pub fn signo(&self) -> Option<u8> {
        match (&self.kind, self.exit_status()) {
            (EventKind::Core(dump), _) => dump.signo,
            (_, Some(ExitStatus::Signal { signo, .. })) => Some(signo),
            _ => None,
        }
    }

    /// How long the process or thread that ended had lived, ns.
    pub fn duration_ns(&self) -> Option<u64> {
        match &self.kind {
            EventKind::Exit(exit) => exit.duration_ns,
            EventKind::ThreadExit(exit) => exit.duration_ns,
            _ => None,
        }
    }

    /// What the process that ended used.
    pub fn usage(&self) -> Option<&Usage> {
        self.exit().map(|exit| &exit.usage)
    }

    /// The sender of the signal that ended the process.
    pub fn killer(&self) -> Option<&ProcessRef> {
        self.exit()?.killer.as_ref()
    }

    /// The debugger that attached or detached.
    pub fn tracer(&self) -> Option<&ProcessRef> {
        match &self.kind {
            EventKind::Ptrace(change) => change.tracer.as_ref(),
            _ => None,
        }
    }

    /// The flaw of one field; the event's own come first. What a refused exec tried is its own, so
    /// the flaws of the running program do not apply to it.
    pub fn flaw(&self, field: Field) -> Option<Flaw> {
        self.flaws.get(field).or_else(|| {
            let process = self.process().filter(|_| self.flaw_of_process_applies(field))?;
            process.flaws.get(field)
        })
    }

    /// The flaws of the event and of its process, each field once.
    pub fn all_flaws(&self) -> impl Iterator<Item = (Field, Flaw)> + '_ {
        let of_process = self.process().into_iter().flat_map(|process| process.flaws.iter());
        let of_process =
            of_process.filter(|&(field, _)| self.flaws.get(field).is_none() && self.flaw_of_process_applies(field));
        self.flaws.iter().chain(of_process)
    }

    /// The flaws of what the event itself reports, as JSON shows them. A fork reports no program:
    /// it is its creator's.
    pub fn own_flaws(&self) -> impl Iterator<Item = (Field, Flaw)> + '_ {
        let is_fork = self.kind.kind() == Kind::Fork;
        self.all_flaws().filter(move |(field, _)| !(is_fork && field.is_of_program()))
    }

    /// Marks a field in the event or in its process, wherever it belongs.
    pub fn mark(&mut self, field: Field, flaw: Flaw) {
        let of_event = matches!(
            field,
            Field::Time | Field::OldName | Field::Status | Field::Killer | Field::Duration | Field::Usage
        );
        let applies = self.flaw_of_process_applies(field);
        match &mut self.process {
            Some(process) if !of_event && applies => Arc::make_mut(process).flaws.mark(field, flaw),
            _ => self.flaws.mark(field, flaw),
        }
    }

    fn flaw_of_process_applies(&self, field: Field) -> bool {
        let of_image = matches!(field, Field::Path | Field::Argv | Field::Env | Field::Interpreter);
        !(of_image && self.kind.kind() == Kind::ExecFailed)
    }
}

//! The usual questions of readers to an event, whatever its kind.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::{
    Argv, Credentials, Event, EventKind, Exit, ExitStatus, Field, Flaw, Flaws, ForkInfo, Kind, Login, Namespaces, Pid,
    Process, ProcessId, ProcessRef, Usage,
};

fn path(bytes: Option<&[u8]>) -> Option<&Path> {
    crate::argv::os_str(bytes?).map(Path::new)
}

/// Paths are absent too if they are not valid on this system: outside Unix, not UTF-8.
impl Process {
    /// [`Process::exe`] as a path.
    pub fn exe_path(&self) -> Option<&Path> {
        path(self.exe.as_deref())
    }

    /// [`Process::cwd`] as a path.
    pub fn cwd_path(&self) -> Option<&Path> {
        path(self.cwd.as_deref())
    }

    /// [`Process::path`], the path as it was given to exec.
    pub fn called_path(&self) -> Option<&Path> {
        path(self.path.as_deref())
    }
}

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

    /// [`Event::path`] as a path; absent too if it is not valid on this system.
    pub fn called_path(&self) -> Option<&Path> {
        path(self.path())
    }

    /// The resolved path of the file that the process runs, likewise.
    pub fn exe_path(&self) -> Option<&Path> {
        self.process()?.exe_path()
    }

    /// The working directory at the process's exec, likewise.
    pub fn cwd_path(&self) -> Option<&Path> {
        self.process()?.cwd_path()
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

    /// The process that made it: by fork, by clone or by a start.
    pub fn creator(&self) -> Option<&ProcessRef> {
        match &self.kind {
            EventKind::Start(start) => start.creator.as_ref(),
            _ => self.fork()?.creator.as_ref(),
        }
    }

    /// The thread of the creator that made the call.
    pub fn creator_tid(&self) -> Option<Pid> {
        match &self.kind {
            EventKind::Start(start) => start.creator_tid,
            _ => self.fork()?.creator_tid,
        }
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

    /// The lifetime of the process or thread that ended.
    pub fn duration(&self) -> Option<Duration> {
        self.duration_ns().map(Duration::from_nanos)
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
        self.all_flaws().get(field)
    }

    /// The flaws of the event and of its process, each field once.
    pub fn all_flaws(&self) -> Flaws {
        let of_process = self.process().map(|process| process.flaws).unwrap_or_default();
        let applying = match self.kind.kind() {
            Kind::ExecFailed => of_process.without(Field::TRIED),
            _ => of_process,
        };
        self.flaws.or(applying)
    }

    /// The flaws of what the event itself reports, as JSON shows them. A fork reports no program:
    /// it is its creator's.
    pub fn own_flaws(&self) -> Flaws {
        match self.kind.kind() {
            Kind::Fork => self.all_flaws().without(Field::OF_PROGRAM),
            _ => self.all_flaws(),
        }
    }

    /// Marks a field in the event or in its process, wherever it belongs.
    pub fn mark(&mut self, field: Field, flaw: Flaw) {
        let of_event = matches!(
            field,
            Field::Time | Field::OldName | Field::Status | Field::Killer | Field::Duration | Field::Usage
        );
        let applies = !(Field::TRIED.contains(&field) && self.kind.kind() == Kind::ExecFailed);
        match &mut self.process {
            Some(process) if !of_event && applies => Arc::make_mut(process).flaws.mark(field, flaw),
            _ => self.flaws.mark(field, flaw),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ExecFailure, SourceId, Timestamp};

    #[test]
    fn paths_are_those_of_the_event() {
        let mut process = Process::new(ProcessId { pid: 1, start: None });
        (process.exe, process.cwd) = (Some(b"/bin/sh"[..].into()), Some(b"/\xff"[..].into()));
        process.path = Some(b"sh"[..].into());
        let failure = ExecFailure { errno: 2, path: Some(b"/no"[..].into()), argv: None, dirfd: None };
        let kind = EventKind::ExecFailed(failure);
        let event = Event::new(1, Timestamp(0), SourceId::Ebpf, Some(process.into()), None, kind);
        assert_eq!(event.exe_path(), Some(Path::new("/bin/sh")));
        assert_eq!(event.called_path(), Some(Path::new("/no")));
        assert_eq!(event.process().unwrap().called_path(), Some(Path::new("sh")));
        assert_eq!(event.cwd_path().is_some(), cfg!(unix));
        assert_eq!(event.duration(), None);
    }
}

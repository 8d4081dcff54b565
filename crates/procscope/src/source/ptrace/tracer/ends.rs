//! Ends. Each thread stops when it begins to end, and then the kernel still shows all of it. The
//! end itself comes from wait4(2).

use super::Tracer;
use super::calls::{self, Waited};
use super::owned::What;
use super::usage::{add, own_usage, zero_usage};
use crate::record::{Comm, ExitRecord, RefRecord, UNKNOWN_COMM};
use crate::source::proc_files::ProcFiles;
use crate::{Field, Flaw, Flaws, Kind, Pid, sys};

/// This many ended processes are remembered: one may have sent a signal that another one is about
/// to get.
const MOST_ENDED: usize = 64;

/// Everything that may have changed unseen.
const CHANGES: [Field; 8] =
    [Field::Name, Field::User, Field::Login, Field::Sid, Field::Pgid, Field::Tty, Field::Cgroup, Field::Parent];

impl Tracer {
    /// A thread begins to end, and is held still. If it is not the last of its process, its end is
    /// reported now.
    pub(super) fn leaves(&mut self, tid: Pid) {
        let Some(&pid) = self.threads.get(&tid) else { return };
        let code = calls::event_number(tid).map(|code| code as u32);
        if !self.leaving.insert(tid) {
            return;
        }
        let last = self.one_less(pid, tid);
        if last || self.events.contains(Kind::ThreadExit) {
            self.refresh(pid, tid);
        }
        if last {
            if let Some(known) = self.known.get_mut(&pid) {
                known.is_final = true;
            }
            return;
        }
        let comm = self.thread_name(pid, tid);
        self.thread_ended(pid, tid, code, comm, Flaws::new());
    }

    /// One remaining thread less; returns whether it is the last.
    fn one_less(&mut self, pid: Pid, tid: Pid) -> bool {
        let Some(known) = self.known.get_mut(&pid) else { return false };
        known.staying = known.staying.saturating_sub(1);
        let last = known.staying == 0 && known.last.is_none();
        if last {
            known.last = Some(tid);
        }
        last
    }

    fn thread_name(&self, pid: Pid, tid: Pid) -> Comm {
        match self.known.get(&pid) {
            Some(known) if tid == pid => known.comm,
            _ => super::known::name_of(tid).unwrap_or(UNKNOWN_COMM),
        }
    }

    pub(super) fn thread_ended(&mut self, pid: Pid, tid: Pid, code: Option<u32>, comm: Comm, mut flaws: Flaws) {
        if self.events.contains(Kind::ThreadExit) {
            if code.is_none() {
                flaws.mark(Field::Status, Flaw::Unreadable);
            }
            self.tell(sys::now_boot_ns(), tid, pid, flaws, What::ThreadExit { wait_status: code, comm });
        }
    }

    /// A thread has ended; the first one is reported when all others have.
    pub(super) fn ended(&mut self, waited: &Waited) {
        let tid = waited.tid;
        self.calls.remove(&tid);
        self.early.remove(&tid);
        self.watched.remove(&tid);
        let stopped = self.leaving.remove(&tid);
        let Some(pid) = self.threads.remove(&tid) else { return };
        let last = !stopped && self.one_less(pid, tid);
        if tid == pid {
            return self.process_ended(pid, waited);
        }
        if !stopped && !last {
            // A second signal woke it before it could be read. If its process ends too, the status
            // is the process's.
            let mut flaws = Flaws::new();
            flaws.mark(Field::Status, Flaw::Estimated);
            self.thread_ended(pid, tid, Some(waited.status as u32), UNKNOWN_COMM, flaws);
        }
    }

    fn process_ended(&mut self, pid: Pid, waited: &Waited) {
        let boot_ns = sys::now_boot_ns();
        let Some(known) = self.known.get_mut(&pid) else { return };
        if !known.is_final {
            known.mark_unread(&CHANGES);
        }
        let last = known.last.unwrap_or(pid);
        let mut flaws = Flaws::new();
        flaws.mark(Field::Duration, Flaw::Estimated);
        if known.children.is_some() {
            // It is not seen for which of them it waited.
            flaws.mark(Field::Usage, Flaw::Estimated);
        }
        let usage = Some(own_usage(&waited.usage, known.children.as_ref()));
        let parent = known.parent.pid;
        let this = RefRecord { pid, tid: pid, start_ns: known.start_ns, comm: known.comm };
        let signal = libc::WIFSIGNALED(waited.status).then(|| libc::WTERMSIG(waited.status));
        let killer = signal.and_then(|signo| self.killer(pid, signo, &mut flaws));
        let exit = ExitRecord { wait_status: Some(waited.status as u32), killer, oom: false, usage };
        self.tell(boot_ns, last, pid, flaws, What::Exit { exit });
        self.known.remove(&pid);
        self.living.lock().remove(&pid);
        if let Some(parent) = self.known.get_mut(&parent) {
            add(parent.children.get_or_insert_with(zero_usage), &waited.usage);
        }
        if self.ended.len() == MOST_ENDED {
            self.ended.pop_front();
        }
        self.ended.push_back(this);
        self.reparent(pid);
        self.adopt();
    }

    /// Finds the process that takes over the children of an ended one.
    fn reparent(&mut self, ended: Pid) {
        let orphans: Vec<Pid> =
            self.known.iter().filter(|(_, known)| known.parent.pid == ended).map(|(&pid, _)| pid).collect();
        for pid in orphans {
            let Some(ppid) = ProcFiles.stat(pid).map(|stat| stat.ppid).filter(|&ppid| ppid != ended) else { continue };
            let parent = self.reference(ppid);
            if let Some(known) = self.known.get_mut(&pid) {
                known.parent = parent;
            }
        }
    }
}

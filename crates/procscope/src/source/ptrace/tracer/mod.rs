//! Follows the command's threads from stop to stop.

mod ends;
mod execs;
mod known;
mod signals;

use std::collections::{HashSet, VecDeque};
use std::path::Path;
use std::sync::mpsc::SyncSender;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustc_hash::{FxHashMap, FxHashSet};

use super::calls::{self, Go};
use super::filters::{Installing, installing};
use super::owned::{OwnedRecord, What};
use super::{memory, owned, usage};
use crate::launch::filter::{CALLS, CLONE_UNTRACED, Calls, OURS};
use crate::record::{CgroupKey, Comm, RefRecord, Subject, UNKNOWN_ID};
use crate::source::proc_files::ProcFiles;
use crate::sys;
use crate::{EventSet, Field, Flaw, Flaws, Kind, Namespaces, Pid};
use known::Known;

const TICK_NS: u64 = 10_000_000;
/// This many cgroups are kept apart; then all are reported again.
const MOST_CGROUPS: usize = 4096;
/// `PTRACE_EVENT_STOP`, and the mark that PTRACE_O_TRACESYSGOOD gives the end of a call.
const EVENT_STOP: i32 = 128;
const CALLS_END: i32 = libc::SIGTRAP | 0x80;

/// The living processes, for the one that must end them.
#[derive(Clone, Default)]
pub(super) struct Living(Arc<Mutex<HashSet<Pid>>>);

impl Living {
    fn lock(&self) -> MutexGuard<'_, HashSet<Pid>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn kill(&self) {
        self.lock().iter().for_each(|&pid| calls::kill(pid));
    }
}

/// An unfinished call, at whose end there is something to do.
enum Call {
    /// To report it if it failed; with the name of the thread before it.
    Exec { call: calls::Call, comm: Option<Comm> },
    /// To restore the flags that were changed, at this address.
    Clone { address: u64, flags: u64 },
    /// It installs a filter that may refuse execs.
    Filter(Installing),
}

/// See the module.
pub(super) struct Tracer {
    root: Pid,
    /// `None` if no events are wanted any more.
    out: Option<SyncSender<OwnedRecord>>,
    events: EventSet,
    env: bool,
    living: Living,
    known: FxHashMap<Pid, Known>,
    /// The process of each thread.
    threads: FxHashMap<Pid, Pid>,
    calls: FxHashMap<Pid, Call>,
    /// Threads with a filter of their own that may refuse execs: each of their calls stops.
    watched: FxHashSet<Pid>,
    /// New threads that stopped before their creator reported them.
    early: FxHashSet<Pid>,
    /// Those added without their creator's report, which may still come.
    adopted: FxHashSet<Pid>,
    /// Threads that have begun to end.
    leaving: FxHashSet<Pid>,
    /// The processes that ended last.
    ended: VecDeque<RefRecord>,
    cgroups: FxHashMap<Vec<u8>, CgroupKey>,
    cgroups_named: u64,
}

impl Tracer {
    pub(super) fn new(root: Pid, events: EventSet, env: bool, out: SyncSender<OwnedRecord>, living: Living) -> Self {
        let mut tracer = Self {
            root,
            out: Some(out),
            events,
            env,
            living,
            known: FxHashMap::default(),
            threads: FxHashMap::default(),
            calls: FxHashMap::default(),
            watched: FxHashSet::default(),
            early: FxHashSet::default(),
            adopted: FxHashSet::default(),
            leaving: FxHashSet::default(),
            ended: VecDeque::new(),
            cgroups: FxHashMap::default(),
            cgroups_named: 0,
        };
        let known = tracer.born(root, None);
        tracer.join(root, known);
        tracer
    }

    /// Follows all until the last has ended. `ended` gets the status of the command, and returns
    /// whether to continue reporting.
    pub(super) fn run(&mut self, ended: impl Fn(u32) -> bool) {
        while let Some(waited) = calls::wait() {
            if libc::WIFSTOPPED(waited.status) {
                let (how, signo) = self.stopped(waited.tid, waited.status);
                self.go(waited.tid, how, signo);
                continue;
            }
            let tells = waited.tid != self.root || ended(waited.status as u32);
            self.ended(&waited);
            if !tells {
                self.out = None;
            }
        }
    }

    fn stopped(&mut self, tid: Pid, status: i32) -> (Go, i32) {
        let signo = libc::WSTOPSIG(status);
        match status >> 16 {
            libc::PTRACE_EVENT_FORK | libc::PTRACE_EVENT_VFORK | libc::PTRACE_EVENT_CLONE => {
                if let Some(child) = calls::event_message(tid) {
                    self.forked(tid, child);
                    // It waits to be known before it does anything.
                    if self.early.remove(&child) {
                        self.go(child, Go::On, 0);
                    }
                }
                (Go::On, 0)
            }
            libc::PTRACE_EVENT_EXEC => {
                let former = calls::event_message(tid).unwrap_or(tid);
                self.execed(tid, former);
                (Go::On, 0)
            }
            libc::PTRACE_EVENT_SECCOMP => (self.called(tid), 0),
            libc::PTRACE_EVENT_EXIT => {
                if !self.threads.contains_key(&tid) {
                    self.early.remove(&tid);
                    self.adopted.insert(tid);
                    self.take_in(tid, None);
                }
                self.leaves(tid);
                (Go::On, 0)
            }
            EVENT_STOP => match signo {
                libc::SIGSTOP | libc::SIGTSTP | libc::SIGTTIN | libc::SIGTTOU => (Go::Listen, 0),
                _ if self.threads.contains_key(&tid) => (Go::On, 0),
                _ => {
                    self.early.insert(tid);
                    (Go::Later, 0)
                }
            },
            0 if signo == CALLS_END => {
                self.at_call(tid);
                (Go::On, 0)
            }
            0 => {
                self.signalled(tid, signo);
                (Go::On, signo)
            }
            _ => (Go::On, 0),
        }
    }

    /// A call begins, of a thread whose calls all stop, or one is over.
    fn at_call(&mut self, tid: Pid) {
        let Some(result) = calls::result(tid) else {
            let call = calls::call(tid).filter(|call| calls_of(call).is_some_and(|known| known.is_exec(call.nr)));
            if let Some(call) = call {
                self.calls.insert(tid, Call::Exec { call, comm: self.name_at_call(tid) });
            }
            return;
        };
        match self.calls.remove(&tid) {
            Some(Call::Exec { call, .. }) if result < 0 => self.failed(tid, &call, result.unsigned_abs() as u32),
            Some(Call::Clone { address, flags }) => calls::write_word(tid, address, flags),
            Some(Call::Filter(filter)) if result >= 0 => {
                self.watched.insert(tid);
                let pid = self.threads.get(&tid).copied().unwrap_or(tid);
                let all = self.threads.iter().filter(|&(_, of)| filter.for_all && *of == pid);
                for (&other, _) in all.filter(|&(&other, _)| other != tid) {
                    self.watched.insert(other);
                    // It runs, and continues in a way that its calls stop.
                    calls::interrupt(other);
                }
            }
            _ => {}
        }
    }

    /// A call for which a filter made it stop.
    fn called(&mut self, tid: Pid) -> Go {
        let Some(call) = calls::call(tid) else { return Go::On };
        if calls::event_message(tid) != Some(OURS) {
            // The command's own filter asks for a tracer, but it has none.
            calls::refuse(tid, &call);
            if !calls_of(&call).is_some_and(|known| known.is_exec(call.nr)) {
                return Go::On;
            }
            self.calls.insert(tid, Call::Exec { call, comm: None });
            return Go::ToCallsEnd;
        }
        let Some(known) = calls_of(&call) else { return Go::On };
        let pending = if call.nr == known.clone {
            // In the register it stays changed; no C library looks at it.
            calls::set_first_argument(tid, &call, call.args[0] & !u64::from(CLONE_UNTRACED));
            return Go::On;
        } else if call.nr == known.clone3 {
            let mut flags = [0; 8];
            let address = call.args[0];
            let read = calls::read_memory(tid, address, &mut flags);
            let flags = u64::from_le_bytes(flags);
            if read < size_of_val(&flags) || flags & u64::from(CLONE_UNTRACED) == 0 {
                return Go::On;
            }
            calls::write_word(tid, address, flags & !u64::from(CLONE_UNTRACED));
            Call::Clone { address, flags }
        } else if !known.is_exec(call.nr) {
            match installing(&call, known) {
                Some(filter) if filter.may_refuse_execs(tid, known.pointer) => Call::Filter(filter),
                _ => return Go::On,
            }
        } else {
            Call::Exec { call, comm: self.name_at_call(tid) }
        };
        self.calls.insert(tid, pending);
        Go::ToCallsEnd
    }

    fn join(&mut self, pid: Pid, known: Known) {
        self.threads.insert(pid, pid);
        self.known.insert(pid, known);
        self.living.lock().insert(pid);
    }

    fn send(&mut self, told: OwnedRecord) {
        if self.out.as_ref().is_some_and(|out| out.send(told).is_err()) {
            self.out = None;
        }
    }

    fn tell(&mut self, boot_ns: u64, tid: Pid, pid: Pid, flaws: Flaws, what: What) {
        let Some(known) = self.known.get(&pid) else { return };
        let [uid, euid, gid, egid] = known.ids.unwrap_or([UNKNOWN_ID; 4]);
        let about = known.about;
        let subject = Box::new(Subject {
            pid,
            tid,
            start_ns: known.start_ns,
            comm: known.comm,
            parent: known.parent,
            ns_pid: known.ns_pid,
            uid,
            gid,
            euid,
            egid,
            login: known.login,
            sid: known.sid,
            pgid: known.pgid,
            tty: known.tty,
            cgroup: known.cgroup,
            namespaces: Namespaces::default(),
            kthread: false,
            exec_id: None,
        });
        self.send(OwnedRecord::Event { boot_ns, subject, flaws, about, what });
    }

    fn forked(&mut self, tid: Pid, child: Pid) {
        // It was added before, and may have ended since. If it is held at its birth, it is another
        // one with the same pid.
        if self.adopted.remove(&child)
            && (self.threads.contains_key(&child) || !Path::new(&format!("/proc/{child}")).exists())
        {
            return;
        }
        let creator = self.held_reference(tid);
        if self.watched.contains(&tid) {
            self.watched.insert(child);
        }
        self.take_in(child, Some(creator));
    }

    /// Adds a new process or thread, which is held still.
    fn take_in(&mut self, child: Pid, creator: Option<RefRecord>) {
        let boot_ns = sys::now_boot_ns();
        let pid = match creator {
            Some(creator) if Path::new(&format!("/proc/{}/task/{child}", creator.pid)).exists() => creator.pid,
            Some(_) => child,
            None => sys::process_of(child).unwrap_or(child),
        };
        if pid != child {
            self.threads.insert(child, pid);
            if let Some(known) = self.known.get_mut(&pid) {
                known.staying += 1;
            }
            if self.events.contains(Kind::Clone) {
                self.refresh(pid, creator.map_or(child, |creator| creator.tid));
                self.tell(boot_ns, child, pid, Flaws::new(), What::Fork { thread: true, creator });
            }
            return;
        }
        let mut known = self.born(child, creator);
        if creator.is_none() {
            // Its creator has ended, and the parent may be the next one.
            known.about.mark(Field::Ppid, Flaw::Estimated);
        }
        self.join(child, known);
        // Always: a fresh process has its arguments from its fork.
        self.tell(boot_ns, child, child, Flaws::new(), What::Fork { thread: false, creator });
    }

    /// Adds those held for a creator that was killed before it could report them. Nothing else
    /// would release them.
    fn adopt(&mut self) {
        for child in self.early.iter().copied().collect::<Vec<_>>() {
            let parent = ProcFiles.stat(child).map(|stat| stat.ppid);
            let waits = |pid: &Pid| self.known.contains_key(pid);
            if parent.as_ref().is_some_and(waits) || sys::process_of(child).as_ref().is_some_and(waits) {
                continue;
            }
            self.early.remove(&child);
            self.adopted.insert(child);
            self.take_in(child, None);
            self.go(child, Go::On, 0);
        }
    }

    fn go(&self, tid: Pid, how: Go, signo: i32) {
        let each_call = how == Go::On && self.watched.contains(&tid);
        calls::go(tid, if each_call { Go::ToCallsEnd } else { how }, signo);
    }
}

/// The calls of the mode to which this one belongs.
fn calls_of(call: &calls::Call) -> Option<&'static Calls> {
    let among = |it: &&Calls| it.is_exec(call.nr) || [it.clone, it.clone3, it.seccomp, it.prctl].contains(&call.nr);
    CALLS.iter().find(|it| it.arch == call.arch && among(it))
}

//! Follows the command's threads from stop to stop.

use std::collections::HashSet;
use std::sync::mpsc::SyncSender;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustc_hash::FxHashMap;

use super::calls::{self, Go, Waited};
use super::told::{Strings, Told, What};
use crate::launch::filter::{CALLS, CLONE_UNTRACED, Calls, OURS};
use crate::source::look::{Depth, Look, Proc};
use crate::source::proc_files::ProcFiles;
use crate::source::record::{
    CgroupKey, Comm, ExitRecord, LoginRecord, RefRecord, Subject, UNKNOWN_COMM, UNKNOWN_COUNT, UNKNOWN_ID,
    UNKNOWN_START, UsageRecord,
};
use crate::sys;
use crate::{EventSet, Field, Flaw, Flaws, Kind, Namespaces, Pid, StartTime, Tty};

const TICK_NS: u64 = 10_000_000;
/// Of the arguments of a failed exec so much is read, bytes.
const MOST_TRIED: usize = 128 << 10;
/// `linux/limits.h`.
const PATH_MAX: usize = 4096;
const PAGE: usize = 4096;
/// So many cgroups are told apart; then all are told anew.
const MOST_CGROUPS: usize = 4096;
/// `PTRACE_EVENT_STOP`, and the mark that PTRACE_O_TRACESYSGOOD gives the end of a call.
const EVENT_STOP: i32 = 128;
const CALLS_END: i32 = libc::SIGTRAP | 0x80;

/// The processes that live, for who must end them.
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

/// What is known of a living process.
#[derive(Clone)]
struct Known {
    start_ns: u64,
    parent: RefRecord,
    comm: Comm,
    /// Real and effective user, real and effective group.
    ids: Option<[u32; 4]>,
    sid: Pid,
    pgid: Pid,
    tty: Option<Tty>,
    ns_pid: Pid,
    cgroup: CgroupKey,
    about: Flaws,
    /// What its children used that have ended, whom it has waited for, as far as is known.
    children: Option<libc::rusage>,
    /// The last signal that somebody sent it: number and sender.
    sent: Option<(i32, Pid)>,
}

const NOBODY: RefRecord = RefRecord { pid: 0, tid: 0, start_ns: UNKNOWN_START, comm: [0; 16] };

/// A call under way, at whose end there is something to do.
enum Call {
    /// To tell of it where it failed.
    Exec(calls::Call),
    /// To put back the flags that were changed, at this address.
    Clone { address: u64, flags: u64 },
}

/// See the module.
pub(super) struct Tracer {
    root: Pid,
    /// `None` where nobody wants events any more.
    out: Option<SyncSender<Told>>,
    events: EventSet,
    env: bool,
    living: Living,
    known: FxHashMap<Pid, Known>,
    /// The process of each thread.
    threads: FxHashMap<Pid, Pid>,
    calls: FxHashMap<Pid, Call>,
    /// New threads that stopped before their creator told of them.
    early: HashSet<Pid>,
    cgroups: FxHashMap<Vec<u8>, CgroupKey>,
}

impl Tracer {
    pub(super) fn new(root: Pid, events: EventSet, env: bool, out: SyncSender<Told>, living: Living) -> Self {
        let mut tracer = Self {
            root,
            out: Some(out),
            events,
            env,
            living,
            known: FxHashMap::default(),
            threads: FxHashMap::default(),
            calls: FxHashMap::default(),
            early: HashSet::new(),
            cgroups: FxHashMap::default(),
        };
        let known = tracer.born(root, NOBODY, None);
        tracer.join(root, known);
        tracer
    }

    /// Follows all until the last has ended. `ended` takes the status of the command, and says whether to tell on.
    pub(super) fn run(&mut self, ended: impl Fn(u32) -> bool) {
        while let Some(waited) = calls::wait() {
            if libc::WIFSTOPPED(waited.status) {
                let (how, signo) = self.stopped(waited.tid, waited.status);
                calls::go(waited.tid, how, signo);
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
                        calls::go(child, Go::On, 0);
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
            EVENT_STOP => match signo {
                libc::SIGSTOP | libc::SIGTSTP | libc::SIGTTIN | libc::SIGTTOU => (Go::Listen, 0),
                _ if self.threads.contains_key(&tid) => (Go::On, 0),
                _ => {
                    self.early.insert(tid);
                    (Go::Later, 0)
                }
            },
            0 if signo == CALLS_END => {
                match self.calls.remove(&tid) {
                    Some(Call::Exec(call)) => {
                        if let Some(result @ ..0) = calls::result(tid) {
                            self.failed(tid, &call, result.unsigned_abs() as u32);
                        }
                    }
                    Some(Call::Clone { address, flags }) => calls::write_word(tid, address, flags),
                    None => {}
                }
                (Go::On, 0)
            }
            0 => {
                self.signalled(tid, signo);
                (Go::On, signo)
            }
            _ => (Go::On, 0),
        }
    }

    /// A call for which a filter made it stop.
    fn called(&mut self, tid: Pid) -> Go {
        let Some(call) = calls::call(tid) else { return Go::On };
        if calls::event_message(tid) != Some(OURS) {
            // The command's own filter asks for a tracer, and it has none.
            calls::refuse(tid, &call);
            return Go::On;
        }
        let Some(known) = calls_of(&call) else { return Go::On };
        let pending = if call.nr == known.clone {
            // In the register it stays changed, which no C library looks at.
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
        } else {
            Call::Exec(call)
        };
        self.calls.insert(tid, pending);
        Go::ToCallsEnd
    }

    /// Remembers who sent a signal, which may be the last.
    fn signalled(&mut self, tid: Pid, signo: i32) {
        if matches!(signo, libc::SIGCHLD | libc::SIGWINCH | libc::SIGURG | libc::SIGCONT) {
            return;
        }
        let sender = calls::signal_sender(tid);
        let pid = self.threads.get(&tid).copied();
        if let Some(known) = pid.and_then(|pid| self.known.get_mut(&pid)) {
            // What the kernel sends has a code above 0: `sigaction(2)`.
            known.sent = sender.filter(|(code, pid)| *code <= 0 && *pid != 0).map(|(_, pid)| (signo, pid));
        }
    }

    fn join(&mut self, pid: Pid, known: Known) {
        self.threads.insert(pid, pid);
        self.known.insert(pid, known);
        self.living.lock().insert(pid);
    }

    fn reference(&self, tid: Pid) -> RefRecord {
        let pid = self.threads.get(&tid).copied().unwrap_or(tid);
        match self.known.get(&pid) {
            Some(known) => RefRecord { pid, tid, start_ns: known.start_ns, comm: known.comm },
            None => outsider(pid),
        }
    }

    /// What is known of a process at its birth: it is held still.
    fn born(&mut self, pid: Pid, creator: RefRecord, like: Option<&Known>) -> Known {
        let now = sys::now_boot_ns();
        let look = match like {
            None => ProcFiles.look(pid, Depth::Full).unwrap_or_default(),
            Some(_) => ProcFiles.look_at_newborn(pid),
        };
        let stat = look.stat;
        let mut known = like.cloned().unwrap_or(Known {
            start_ns: UNKNOWN_START,
            parent: creator,
            comm: UNKNOWN_COMM,
            ids: None,
            sid: UNKNOWN_ID,
            pgid: UNKNOWN_ID,
            tty: None,
            ns_pid: 0,
            cgroup: CgroupKey::default(),
            about: Flaws::new(),
            children: None,
            sent: None,
        });
        known.children = None;
        known.sent = None;
        known.about = Flaws::new();
        known.parent = creator;
        if let Some(stat) = stat {
            known.start_ns = within_tick(stat.start, now);
            known.comm = stat.comm;
            known.sid = stat.sid;
            known.pgid = stat.pgid;
            known.tty = stat.tty;
            // CLONE_PARENT makes a sister.
            if stat.ppid != creator.pid {
                known.parent = self.reference(stat.ppid);
            }
        } else {
            known.about.mark(Field::Id, Flaw::Unreadable);
        }
        self.learn(&mut known, &look);
        known
    }

    /// Takes over what was read while it was held still.
    fn learn(&mut self, known: &mut Known, look: &Look) {
        if let Some(status) = &look.status {
            known.ids = Some([status.uids[0], status.uids[1], status.gids[0], status.gids[1]]);
            known.about.clear(Field::User);
            known.ns_pid = status.ns_pid;
        }
        if let Some(path) = &look.cgroup {
            if self.cgroups.len() >= MOST_CGROUPS {
                self.cgroups.clear();
            }
            let next = self.cgroups.len() as u64 + 1;
            known.cgroup = match self.cgroups.get(path) {
                Some(key) => *key,
                None => {
                    let key = CgroupKey { id: next, hierarchy: u32::MAX };
                    self.cgroups.insert(path.clone(), key);
                    self.send(Told::Cgroup { key, path: path.clone() });
                    key
                }
            };
        }
    }

    fn send(&mut self, told: Told) {
        if self.out.as_ref().is_some_and(|out| out.send(told).is_err()) {
            self.out = None;
        }
    }

    fn tell(&mut self, boot_ns: u64, tid: Pid, pid: Pid, flaws: Flaws, what: What) {
        let Some(known) = self.known.get(&pid) else { return };
        let [uid, euid, gid, egid] = known.ids.unwrap_or([UNKNOWN_ID; 4]);
        let mut about = known.about;
        if known.ids.is_none() {
            about.mark(Field::User, Flaw::Unreadable);
        }
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
            login: LoginRecord::default(),
            sid: known.sid,
            pgid: known.pgid,
            tty: known.tty,
            cgroup: known.cgroup,
            namespaces: Namespaces::default(),
            kthread: false,
            exec_id: None,
        });
        self.send(Told::Event { boot_ns, subject, flaws, about, what });
    }

    fn forked(&mut self, tid: Pid, child: Pid) {
        let boot_ns = sys::now_boot_ns();
        let creator = self.reference(tid);
        let thread = std::path::Path::new(&format!("/proc/{}/task/{child}", creator.pid)).exists();
        if thread {
            self.threads.insert(child, creator.pid);
            if self.events.contains(Kind::Clone) {
                self.tell(boot_ns, child, creator.pid, Flaws::new(), What::Fork { thread, creator });
            }
            return;
        }
        let like = self.known.get(&creator.pid).cloned();
        let known = self.born(child, creator, like.as_ref());
        self.join(child, known);
        // Always: it is by forks that a fresh process has its arguments.
        self.tell(boot_ns, child, child, Flaws::new(), What::Fork { thread, creator });
    }

    fn execed(&mut self, pid: Pid, former: Pid) {
        let boot_ns = sys::now_boot_ns();
        self.calls.remove(&former);
        // The other threads are told of as they end; that which called is the only one, and bears the leader's number.
        if former != pid {
            self.threads.remove(&former);
        }
        let look = ProcFiles.look(pid, if self.env { Depth::Env } else { Depth::Full }).unwrap_or_default();
        let Some(mut known) = self.known.remove(&pid) else { return };
        let old = known.comm;
        self.learn(&mut known, &look);
        match &look.stat {
            Some(stat) => {
                known.comm = stat.comm;
                known.sid = stat.sid;
                known.pgid = stat.pgid;
                known.tty = stat.tty;
                if known.parent.pid != stat.ppid {
                    known.parent = self.reference(stat.ppid);
                }
            }
            None => {
                known.comm = UNKNOWN_COMM;
                known.about.mark(Field::Name, Flaw::Unreadable);
            }
        }
        // The parent may have become another program since.
        if self.threads.contains_key(&known.parent.pid) {
            known.parent = self.reference(known.parent.pid);
        }
        self.known.insert(pid, known);
        let mut flaws = Flaws::new();
        let strings = Strings {
            path: path_of(pid),
            traits: look.exe.as_ref().map(|exe| exe.traits).unwrap_or_default(),
            exe: look.exe.map(|exe| exe.path),
            cwd_deleted: look.cwd.as_ref().is_some_and(|(_, deleted)| *deleted),
            cwd: look.cwd.map(|(path, _)| path),
            argv: look.argv,
            env: look.env,
        };
        let mut missing = |field, missing| {
            if missing {
                flaws.mark(field, Flaw::Unreadable);
            }
        };
        missing(Field::Argv, strings.argv.is_none());
        missing(Field::Exe, strings.exe.is_none());
        missing(Field::Cwd, strings.cwd.is_none());
        missing(Field::Path, strings.path.is_none());
        missing(Field::Env, self.env && strings.env.is_none());
        let old_comm = (former == pid).then_some(old);
        if old_comm.is_none() {
            flaws.mark(Field::OldName, Flaw::NotObserved);
        }
        let what = What::Exec { old_comm, old_tid: former, strings: Box::new(strings) };
        self.tell(boot_ns, pid, pid, flaws, what);
    }

    fn failed(&mut self, tid: Pid, call: &calls::Call, errno: u32) {
        let Some(&pid) = self.threads.get(&tid) else { return };
        let boot_ns = sys::now_boot_ns();
        let Some(calls) = calls_of(call) else { return };
        let at = call.nr == calls.execveat;
        let args = &call.args[usize::from(at)..];
        let mut flaws = Flaws::new();
        let path = read_string(tid, args[0], PATH_MAX);
        if path.is_none() {
            flaws.mark(Field::Path, Flaw::Unreadable);
        }
        let (argv, whole) = read_list(tid, args[1], calls.pointer);
        if !whole {
            flaws.mark(Field::Argv, Flaw::Truncated);
        }
        let dirfd = at.then_some(call.args[0] as i32);
        self.tell(boot_ns, tid, pid, flaws, What::ExecFailed { errno, dirfd, path, argv });
    }

    fn ended(&mut self, waited: &Waited) {
        let boot_ns = sys::now_boot_ns();
        let tid = waited.tid;
        self.calls.remove(&tid);
        self.early.remove(&tid);
        let Some(pid) = self.threads.remove(&tid) else { return };
        if tid != pid {
            if self.events.contains(Kind::ThreadExit) {
                self.tell(boot_ns, tid, pid, Flaws::new(), What::ThreadExit { wait_status: waited.status as u32 });
            }
            return;
        }
        let Some(known) = self.known.get(&pid) else { return };
        let mut flaws = Flaws::new();
        flaws.mark(Field::Duration, Flaw::Estimated);
        if known.children.is_some() {
            // Which of them it waited for is not seen.
            flaws.mark(Field::Usage, Flaw::Estimated);
        }
        let killer = match known.sent {
            Some((signo, sender)) if libc::WIFSIGNALED(waited.status) && libc::WTERMSIG(waited.status) == signo => {
                Some(self.reference(sender))
            }
            _ => None,
        };
        if killer.is_none() && libc::WIFSIGNALED(waited.status) {
            flaws.mark(Field::Killer, Flaw::NotObserved);
        }
        let usage = Some(own_usage(&waited.usage, known.children.as_ref()));
        let parent = known.parent.pid;
        let exit = ExitRecord { wait_status: Some(waited.status as u32), killer, oom: false, usage };
        self.tell(boot_ns, pid, pid, flaws, What::Exit { exit });
        self.known.remove(&pid);
        self.living.lock().remove(&pid);
        if let Some(parent) = self.known.get_mut(&parent) {
            add(parent.children.get_or_insert_with(zero_usage), &waited.usage);
        }
        self.reparent(pid);
    }

    /// Sees who takes over the children of one that has ended.
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

/// Of the calls of a mode those among which this one is.
fn calls_of(call: &calls::Call) -> Option<&'static Calls> {
    let among = |it: &&Calls| [it.execve, it.execveat, it.clone, it.clone3].contains(&call.nr);
    CALLS.iter().find(|it| it.arch == call.arch && among(it))
}

/// A process that is none of the command's.
fn outsider(pid: Pid) -> RefRecord {
    match (pid, ProcFiles.stat(pid)) {
        (0, _) => NOBODY,
        (_, Some(stat)) => RefRecord { pid, tid: pid, start_ns: stat.start.boot_ns(), comm: stat.comm },
        (_, None) => RefRecord { pid, tid: pid, start_ns: UNKNOWN_START, comm: UNKNOWN_COMM },
    }
}

/// A start of which the tick is known, and a moment a little after it.
fn within_tick(start: StartTime, after_ns: u64) -> u64 {
    after_ns.clamp(start.boot_ns(), start.boot_ns() + TICK_NS - 1)
}

fn zero_usage() -> libc::rusage {
    // SAFETY: plain numbers.
    unsafe { std::mem::zeroed() }
}

fn ns(time: libc::timeval) -> u64 {
    (time.tv_sec as u64).saturating_mul(1_000_000_000).saturating_add(time.tv_usec as u64 * 1000)
}

fn timeval(ns: u64) -> libc::timeval {
    libc::timeval { tv_sec: (ns / 1_000_000_000) as _, tv_usec: (ns % 1_000_000_000 / 1000) as _ }
}

fn add(sum: &mut libc::rusage, more: &libc::rusage) {
    sum.ru_utime = timeval(ns(sum.ru_utime) + ns(more.ru_utime));
    sum.ru_stime = timeval(ns(sum.ru_stime) + ns(more.ru_stime));
    sum.ru_maxrss = sum.ru_maxrss.max(more.ru_maxrss);
    sum.ru_minflt += more.ru_minflt;
    sum.ru_majflt += more.ru_majflt;
    sum.ru_inblock += more.ru_inblock;
    sum.ru_oublock += more.ru_oublock;
}

/// What wait4(2) gives is of a process and the children that it waited for.
fn own_usage(all: &libc::rusage, children: Option<&libc::rusage>) -> UsageRecord {
    let zero = zero_usage();
    let children = children.unwrap_or(&zero);
    let less =
        |all: libc::c_long, children: libc::c_long| if all >= children { (all - children) as u64 } else { all as u64 };
    let less_ns = |all: u64, children: u64| if all >= children { all - children } else { all };
    let utime_ns = less_ns(ns(all.ru_utime), ns(children.ru_utime));
    let stime_ns = less_ns(ns(all.ru_stime), ns(children.ru_stime));
    // In KiB; the largest of all, whosever that was.
    let own_rss = all.ru_maxrss > children.ru_maxrss;
    UsageRecord {
        utime_ns,
        stime_ns,
        runtime_ns: utime_ns + stime_ns,
        maxrss_pages: if own_rss { all.ru_maxrss as u64 * 1024 / sys::page_bytes() } else { UNKNOWN_COUNT },
        read_bytes: less(all.ru_inblock, children.ru_inblock) * 512,
        write_bytes: less(all.ru_oublock, children.ru_oublock) * 512,
        rchar: UNKNOWN_COUNT,
        wchar: UNKNOWN_COUNT,
        // Our own stops are among them.
        nvcsw: UNKNOWN_COUNT,
        nivcsw: UNKNOWN_COUNT,
        min_flt: less(all.ru_minflt, children.ru_minflt),
        maj_flt: less(all.ru_majflt, children.ru_majflt),
    }
}

/// The path as it was given to exec: `AT_EXECFN` of getauxval(3).
fn path_of(pid: Pid) -> Option<Vec<u8>> {
    const AT_EXECFN: u64 = 31;
    let auxv = std::fs::read(format!("/proc/{pid}/auxv")).ok()?;
    let find = |word: usize| {
        let number = |bytes: &[u8]| bytes.iter().rev().fold(0u64, |sum, &b| sum << 8 | u64::from(b));
        let mut pairs = auxv.chunks_exact(2 * word).map(|pair| (number(&pair[..word]), number(&pair[word..])));
        pairs.find(|(key, _)| *key == AT_EXECFN).map(|(_, value)| value)
    };
    // A 32-bit program has pairs of half that size, which read as wide ones make no such key.
    read_string(pid, find(8).or_else(|| find(4))?, PATH_MAX)
}

/// Reads up to a NUL, and not over the end of a page that may be the last.
fn read_string(tid: Pid, address: u64, most: usize) -> Option<Vec<u8>> {
    let mut text = Vec::new();
    let mut chunk = [0; PAGE];
    while text.len() < most {
        let at = address.checked_add(text.len() as u64)?;
        let room = PAGE - at as usize % PAGE;
        let read = calls::read_memory(tid, at, &mut chunk[..room]);
        if read == 0 {
            return None;
        }
        match chunk[..read].iter().position(|&b| b == 0) {
            Some(end) => {
                text.extend_from_slice(&chunk[..end]);
                return Some(text);
            }
            None => text.extend_from_slice(&chunk[..read]),
        }
    }
    text.truncate(most);
    Some(text)
}

/// Reads a list of pointers to strings; each string with its NUL, and whether that is all.
fn read_list(tid: Pid, address: u64, pointer: usize) -> (Vec<u8>, bool) {
    let mut list = Vec::new();
    // As for execve(2), no list is an empty one.
    if address == 0 {
        return (list, true);
    }
    for index in 0.. {
        let mut bytes = [0; 8];
        if calls::read_memory(tid, address + index * pointer as u64, &mut bytes[..pointer]) < pointer {
            return (list, false);
        }
        let string = u64::from_le_bytes(bytes);
        if string == 0 {
            return (list, true);
        }
        let room = MOST_TRIED.saturating_sub(list.len());
        let Some(string) = read_string(tid, string, room) else { return (list, false) };
        let cut = string.len() >= room;
        list.extend_from_slice(&string);
        list.push(0);
        if cut {
            return (list, false);
        }
    }
    (list, true)
}

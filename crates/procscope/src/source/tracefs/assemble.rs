//! Works out from the kernel's records, in the order of time, what happened to which process: whose
//! a thread is, which call, name and arguments belong to an exec, and from what an end's status
//! follows. No OS.

use rustc_hash::FxHashMap;

use super::decode::{Raw, RawWhat, SI_USER, Strings, StringsEnd};
use crate::Pid;
use crate::record::Comm;
use crate::source::happening::{Arguments, Birth, CallPath, End, Failed, Happening, Sender, Started, Task};

/// `CLONE_THREAD` in `include/uapi/linux/sched.h`.
const CLONE_THREAD: u64 = 0x1_0000;
/// A higher error number is the kernel's own, and no program sees it: the call begins again
/// (`include/linux/errno.h`).
const LAST_ERRNO: i64 = 511;
/// This many undelivered signals of one process are remembered.
const MOST_PENDING: usize = 16;

/// The process of a thread, as far as no report showed it yet.
pub(crate) trait Threads {
    /// `None` if there is no such thread any more.
    fn process_of(&mut self, tid: Pid) -> Option<Pid>;
}

/// An unfinished call of execve(2).
#[derive(Debug, Default)]
struct Call {
    dirfd: Option<i32>,
    path: Option<CallPath>,
    first: Option<Strings>,
    rest: Option<Strings>,
}

impl Call {
    /// The arguments; they come in two records, either of which may be missing, because the kernel
    /// drops one that is too long.
    fn argv(&mut self) -> Option<Arguments> {
        let Strings { mut list, mut end } = self.first.take()?;
        if let (StringsEnd::More, Some(rest)) = (end, self.rest.take()) {
            list.extend(rest.list);
            end = rest.end;
        }
        let unreadable = end == StringsEnd::Unreadable;
        Some(Arguments { list, cut: end != StringsEnd::Null, as_called: true, unreadable })
    }
}

#[derive(Debug)]
struct Thread {
    pid: Pid,
    call: Option<Box<Call>>,
    end: Option<Status>,
    /// Reported by exactly the function that ends it.
    doom: Option<u32>,
}

impl Thread {
    fn of(pid: Pid) -> Self {
        Self { pid, call: None, end: None, doom: None }
    }
}

#[derive(Clone, Copy, Debug)]
struct Status {
    wait_status: u32,
    worked_out: bool,
}

/// The known facts about a process as a whole.
#[derive(Debug, Default)]
struct Group {
    threads: u32,
    /// All its threads end with it.
    end: Option<Status>,
    /// Signals that would end it, sent and not delivered.
    pending: Vec<u8>,
    oom: bool,
    /// The unfinished exec's data: the old and the new name, and the new arguments.
    names: Option<(Comm, Comm)>,
    image: Option<Arguments>,
}

/// How a signal ends a process without a handler for it: `sig_kernel_ignore` and its like in
/// `include/linux/signal.h`. The numbers are this machine's.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Action {
    None,
    End,
    Core,
}

/// Linux uses these numbers everywhere except on alpha, mips, parisc and sparc, which procscope
/// does not support.
mod signo {
    pub(super) const KILL: u8 = 9;
    /// PIPE, XFSZ: `send_sig` to the process at work, in `fs/pipe.c` and `fs/read_write.c` and
    /// their like.
    pub(super) const IN_ITS_NAME: [u8; 2] = [13, 25];
    /// QUIT, ILL, TRAP, ABRT, BUS, FPE, SEGV, XCPU, XFSZ, SYS
    pub(super) const CORE: [u8; 10] = [3, 4, 5, 6, 7, 8, 11, 24, 25, 31];
    /// CHLD, CONT, STOP, TSTP, TTIN, TTOU, URG, WINCH
    pub(super) const HARMLESS: [u8; 8] = [17, 18, 19, 20, 21, 22, 23, 28];
}

fn action(signo: u8) -> Action {
    match signo {
        _ if signo::HARMLESS.contains(&signo) => Action::None,
        _ if signo::CORE.contains(&signo) => Action::Core,
        _ => Action::End,
    }
}

/// The sender of a signal, by its `si_code`: positive is the kernel's own. Those of timers, message
/// queues and I/O are the kernel's too, but a program may forge them. The kernel sends some signals
/// to the running process as if that had sent them itself.
fn sender(signo: u8, code: i32, caller: Pid, target: Pid) -> Sender {
    const FORGEABLE: std::ops::RangeInclusive<i32> = -5..=-2;
    match code {
        _ if caller == 0 => Sender::Kernel,
        SI_USER if caller == target && signo::IN_ITS_NAME.contains(&signo) => Sender::Unknown,
        code if code > 0 => Sender::Kernel,
        code if FORGEABLE.contains(&code) => Sender::Unknown,
        _ => Sender::Caller,
    }
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Assembler {
    threads: FxHashMap<Pid, Thread>,
    groups: FxHashMap<Pid, Group>,
    /// The kind of the next record of the same thread, if it matters.
    starts_next: Vec<bool>,
}

impl Assembler {
    /// This thread belongs to this process.
    pub(crate) fn learn(&mut self, tid: Pid, pid: Pid) {
        if self.threads.insert(tid, Thread::of(pid)).is_none_or(|old| old.pid != pid) {
            self.groups.entry(pid).or_default().threads += 1;
        }
    }

    /// Some records are missing: unfinished things may have ended, or be another's by now. A
    /// thread's process stays until another report.
    pub(crate) fn doubt(&mut self) {
        for thread in self.threads.values_mut() {
            *thread = Thread::of(thread.pid);
        }
        for group in self.groups.values_mut() {
            *group = Group { threads: group.threads, ..Group::default() };
        }
    }

    /// A thread about which nothing is known may be a process's first or not: /proc decides,
    /// otherwise it counts as the first.
    fn task(&mut self, tid: Pid, proc: &mut dyn Threads) -> Task {
        if tid == 0 {
            return Task { tid, pid: 0 };
        }
        if let Some(thread) = self.threads.get(&tid) {
            return Task { tid, pid: thread.pid };
        }
        let Some(pid) = proc.process_of(tid) else { return Task { tid, pid: tid } };
        self.learn(tid, pid);
        Task { tid, pid }
    }

    fn call(&mut self, task: Task) -> &mut Call {
        self.threads.entry(task.tid).or_insert_with(|| Thread::of(task.pid)).call.get_or_insert_default()
    }

    /// Takes records in the order of time, and gives their reports with the time.
    pub(crate) fn take(
        &mut self,
        raws: Vec<Raw>,
        proc: &mut dyn Threads,
        put: &mut dyn FnMut(u64, Option<u32>, Happening),
    ) {
        // A name is a new program's if no record of the thread is between it and the exec.
        let mut starts = FxHashMap::default();
        self.starts_next.clear();
        self.starts_next.resize(raws.len(), false);
        for (at, raw) in raws.iter().enumerate().rev() {
            match raw.what {
                RawWhat::Rename { .. } => self.starts_next[at] = starts.get(&raw.tid) == Some(&true),
                RawWhat::Generate { .. } => {}
                RawWhat::Exec { .. } | RawWhat::Image(_) => _ = starts.insert(raw.tid, true),
                _ => _ = starts.insert(raw.tid, false),
            }
        }
        for (at, raw) in raws.into_iter().enumerate() {
            let (starts_next, processor) = (self.starts_next[at], raw.processor);
            self.one(raw, starts_next, proc, &mut |ns, what| put(ns, processor, what));
        }
    }

    fn one(&mut self, raw: Raw, starts_next: bool, proc: &mut dyn Threads, put: &mut dyn FnMut(u64, Happening)) {
        let Raw { ns, tid, what, .. } = raw;
        match what {
            RawWhat::NewTask { tid: child, comm, flags } => {
                let parent = self.task(tid, proc);
                let pid = if flags & CLONE_THREAD != 0 { parent.pid } else { child };
                self.threads.remove(&child);
                if pid == child {
                    self.groups.remove(&pid);
                }
                self.learn(child, pid);
                let birth = Some(Birth { flags, comm });
                put(ns, Happening::Fork { parent, child: Task { tid: child, pid }, birth });
            }
            RawWhat::EnterExec { dirfd, path } => {
                let task = self.task(tid, proc);
                // The first record of a call: its probes' records follow it.
                *self.call(task) = Call { dirfd, path, ..Call::default() };
            }
            RawWhat::CallPath(path) => {
                let task = self.task(tid, proc);
                let call = self.call(task);
                // A probe reads the given values.
                call.path = path.or(call.path.take());
            }
            RawWhat::CallArguments(first) => {
                let task = self.task(tid, proc);
                self.call(task).first = first;
            }
            RawWhat::CallRest(rest) => {
                let task = self.task(tid, proc);
                self.call(task).rest = rest;
            }
            RawWhat::Rename { tid: target, old, new } => {
                let task = self.task(target, proc);
                let thread = self.threads.get(&target);
                // The first thread of a process in which another one execs has ended, and that one
                // gets its number.
                let calls = thread.is_none_or(|thread| thread.call.is_some());
                let own = target == tid && task.is_leader();
                if own {
                    // If calls are not reported and the exec comes with later records, it may be
                    // its name all the same.
                    self.groups.entry(task.pid).or_default().names = Some((old, new));
                }
                if !own || !starts_next && !calls {
                    put(ns, Happening::Comm { task, old: Some(old), comm: new });
                }
            }
            RawWhat::Image(image) => {
                let task = self.task(tid, proc);
                self.groups.entry(task.pid).or_default().image = image;
            }
            RawWhat::Exec { pid, old_tid, path } => {
                let old_tid = old_tid.unwrap_or(pid);
                let task = Task { tid: pid, pid };
                let call = self.threads.remove(&old_tid).and_then(|thread| thread.call);
                self.threads.insert(pid, Thread::of(pid));
                let group = self.groups.entry(pid).or_default();
                group.threads = 1;
                group.end = None;
                let argv = group.image.take().or(call.and_then(|mut call| call.argv()));
                let (old_comm, comm) = group.names.take().unzip();
                let started = Started { path, argv, comm, old_comm, old_tid: Some(old_tid) };
                put(ns, Happening::Exec { task, started: Some(Box::new(started)) });
            }
            RawWhat::LeaveExec { result } => {
                let task = self.task(tid, proc);
                let call = self.threads.get_mut(&tid).and_then(|thread| thread.call.take());
                if (-LAST_ERRNO..0).contains(&result) {
                    let mut call = call.map(|call| *call).unwrap_or_default();
                    let argv = call.argv();
                    let Call { dirfd, path, .. } = call;
                    let failed = Failed { errno: result.unsigned_abs() as u32, dirfd, path, argv };
                    put(ns, Happening::ExecFailed { task, failed: Box::new(failed) });
                }
            }
            RawWhat::EnterExit { wait_status, group } => {
                let task = self.task(tid, proc);
                let all = self.groups.entry(task.pid).or_default();
                let status = Status { wait_status, worked_out: !all.pending.is_empty() };
                if group {
                    all.end.get_or_insert(status);
                } else if let Some(thread) = self.threads.get_mut(&tid) {
                    thread.end = Some(status);
                }
            }
            RawWhat::Doom { wait_status } => {
                let task = self.task(tid, proc);
                self.threads.entry(tid).or_insert_with(|| Thread::of(task.pid)).doom = Some(wait_status);
            }
            RawWhat::Generate { tid: target, signo, code, taken } => {
                if !taken || action(signo) == Action::None {
                    return;
                }
                let task = self.task(target, proc);
                let caller = self.task(tid, proc);
                let sender = sender(signo, code, caller.pid, task.pid);
                let pending = &mut self.groups.entry(task.pid).or_default().pending;
                if pending.len() >= MOST_PENDING {
                    pending.remove(0);
                }
                pending.push(signo);
                put(ns, Happening::Signal { task, signo, sender, caller });
            }
            RawWhat::Deliver { signo, default } => self.deliver(ns, tid, signo, default, proc, put),
            RawWhat::OomVictim { pid } => {
                let task = self.task(pid, proc);
                self.groups.entry(task.pid).or_default().oom = true;
            }
            RawWhat::LeaveSetsid { result } => {
                if result > 0 {
                    let task = self.task(tid, proc);
                    put(ns, Happening::Sid { task });
                }
            }
            RawWhat::Exit { tid, comm, last } => self.exit(ns, tid, comm, last, proc, put),
        }
    }

    fn deliver(
        &mut self,
        ns: u64,
        tid: Pid,
        signo: u8,
        default: bool,
        proc: &mut dyn Threads,
        put: &mut dyn FnMut(u64, Happening),
    ) {
        let task = self.task(tid, proc);
        let group = self.groups.entry(task.pid).or_default();
        if default && signo == signo::KILL {
            // Threads of a process that a signal ends without a core are sent SIGKILL
            // (`complete_signal`). None was sent if another thread ends or execs.
            if let Some(&sent) = group.pending.last() {
                let worked_out = sent != signo::KILL;
                group.end.get_or_insert(Status { wait_status: sent.into(), worked_out });
            }
            return;
        }
        group.pending.retain(|&pending| pending != signo);
        match action(signo) {
            _ if !default => put(ns, Happening::Delivered { task, signo }),
            Action::None => put(ns, Happening::Delivered { task, signo }),
            Action::End => _ = group.end.get_or_insert(Status { wait_status: signo.into(), worked_out: true }),
            Action::Core => {
                // Whether its memory was written to a file is not reported.
                group.end.get_or_insert(Status { wait_status: signo.into(), worked_out: true });
                put(ns, Happening::Core { task, signo: Some(signo) });
            }
        }
    }

    fn exit(
        &mut self,
        ns: u64,
        tid: Pid,
        comm: Option<Comm>,
        last: Option<bool>,
        proc: &mut dyn Threads,
        put: &mut dyn FnMut(u64, Happening),
    ) {
        let task = self.task(tid, proc);
        let thread = self.threads.remove(&tid);
        let mut end = End { last, comm, ..End::default() };
        let mut over = true;
        let mut status = thread.as_ref().and_then(|thread| thread.end);
        if let Some(group) = self.groups.get_mut(&task.pid) {
            group.threads = group.threads.saturating_sub(1);
            over = group.threads == 0;
            status = group.end.or(status);
            end.of_all = group.end.is_some();
            end.oom = group.oom;
        }
        if over {
            self.groups.remove(&task.pid);
        }
        match thread.and_then(|thread| thread.doom) {
            Some(doom) => end.wait_status = Some(doom),
            None => {
                end.wait_status = status.map(|status| status.wait_status);
                end.worked_out = status.is_some_and(|status| status.worked_out);
            }
        }
        put(ns, Happening::Exit { task, end, parent: None });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::comm_of;

    struct NoThreads;

    impl Threads for NoThreads {
        fn process_of(&mut self, _: Pid) -> Option<Pid> {
            None
        }
    }

    /// The reports from records of thread 7, a nanosecond apart.
    fn told(raws: Vec<RawWhat>) -> Vec<Happening> {
        let raws = raws.into_iter().zip(1..).map(|(what, ns)| Raw { ns, processor: None, tid: 7, what }).collect();
        let mut assembler = Assembler::default();
        assembler.learn(7, 7);
        let mut told = Vec::new();
        assembler.take(raws, &mut NoThreads, &mut |_, _, what| told.push(what));
        told
    }

    fn path(bytes: &[u8]) -> Option<CallPath> {
        Some(CallPath { bytes: bytes.into(), flaw: None })
    }

    fn strings(list: &[u8], end: StringsEnd) -> Option<Strings> {
        Some(Strings { list: list.into(), end })
    }

    fn argv(list: &[u8], cut: bool, unreadable: bool) -> Option<Arguments> {
        Some(Arguments { list: list.into(), cut, as_called: true, unreadable })
    }

    fn enter(path: Option<CallPath>) -> RawWhat {
        RawWhat::EnterExec { dirfd: None, path }
    }

    #[test]
    fn a_failed_call_has_what_was_read_of_it_alone() {
        let failed = |raws| match told(raws).pop() {
            Some(Happening::ExecFailed { failed, .. }) => (failed.path, failed.argv),
            other => panic!("{other:?}"),
        };
        let leave = || RawWhat::LeaveExec { result: -2 };
        // A probe's reading is exact; if there is none, the event's own path is used.
        let probed = vec![
            enter(path(b"a.")),
            RawWhat::CallPath(path(b"a\n")),
            RawWhat::CallArguments(strings(b"a\0", StringsEnd::Null)),
            leave(),
        ];
        assert_eq!(failed(probed), (path(b"a\n"), argv(b"a\0", false, false)));
        assert_eq!(failed(vec![enter(path(b"a")), RawWhat::CallPath(None), leave()]), (path(b"a"), None));
        assert_eq!(failed(vec![enter(None), leave()]), (None, None));
        // The end of the first call is missing: values read for it are not the second's.
        let second = vec![
            enter(None),
            RawWhat::CallPath(path(b"a")),
            RawWhat::CallArguments(strings(b"a\0", StringsEnd::Null)),
            enter(None),
            leave(),
        ];
        assert_eq!(failed(second), (None, None));
    }

    #[test]
    fn arguments_in_two_records() {
        use StringsEnd::{Cut, More, Null, Unreadable};
        let first = |end| RawWhat::CallArguments(strings(b"a\0", end));
        let rest = |end| RawWhat::CallRest(strings(b"b\0", end));
        let failed = |mut records: Vec<RawWhat>| {
            records.insert(0, enter(None));
            records.push(RawWhat::LeaveExec { result: -2 });
            match told(records).pop() {
                Some(Happening::ExecFailed { failed, .. }) => failed.argv,
                other => panic!("{other:?}"),
            }
        };
        // In any order; values after the end belong to no call.
        assert_eq!(failed(vec![rest(Null), first(More)]), argv(b"a\0b\0", false, false));
        assert_eq!(failed(vec![first(More), rest(More)]), argv(b"a\0b\0", true, false));
        assert_eq!(failed(vec![first(More), rest(Unreadable)]), argv(b"a\0b\0", true, true));
        assert_eq!(failed(vec![first(Null), rest(Null)]), argv(b"a\0", false, false));
        assert_eq!(failed(vec![first(Cut), rest(Null)]), argv(b"a\0", true, false));
        assert_eq!(failed(vec![first(Unreadable), rest(Null)]), argv(b"a\0", true, true));
        assert_eq!(failed(vec![first(More)]), argv(b"a\0", true, false));
        assert_eq!(failed(vec![rest(Null)]), None);
    }

    #[test]
    fn an_exec_has_the_names_of_its_own_record() {
        let (old, new) = (comm_of(b"old"), comm_of(b"new"));
        let exec = || RawWhat::Exec { pid: 7, old_tid: Some(7), path: None };
        let names = |raws| match told(raws).pop() {
            Some(Happening::Exec { started, .. }) => started.map(|started| (started.old_comm, started.comm)),
            other => panic!("{other:?}"),
        };
        assert_eq!(names(vec![RawWhat::Rename { tid: 7, old, new }, exec()]), Some((Some(old), Some(new))));
        assert_eq!(names(vec![exec()]), Some((None, None)));
        // Another process's renaming is not the exec's.
        assert_eq!(names(vec![RawWhat::Rename { tid: 8, old, new }, exec()]), Some((None, None)));
    }
}

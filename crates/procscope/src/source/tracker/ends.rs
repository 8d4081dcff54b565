//! How the threads of a process ended before its last one, and the process's status if they ended
//! differently.

use rustc_hash::FxHashMap;

use crate::source::happening::{End, Task};
use crate::{Flaw, Pid};

/// Threads that end within this time may have begun to in another order than they are reported in:
/// a busy machine may delay a thread that has begun to end before the kernel reports it.
const ANY_ORDER_NS: u64 = 1_000_000_000;
/// Threads that one exit_group(2) ends are mostly reported within this time.
const TOGETHER_NS: u64 = 20_000_000;
/// This many different ends of one process are kept.
const MOST_ENDS: usize = 8;
/// Signals that can end one thread alone: `SECCOMP_RET_KILL_THREAD` and strict mode
/// (`kernel/seccomp.c`).
const SIGSYS: u32 = 31;
const SIGKILL: u32 = 9;

#[derive(Clone, Copy, Debug)]
struct Ended {
    end: End,
    boot_ns: u64,
    leader: bool,
}

/// The ends of threads that were not their process's last, by process.
#[derive(Default)]
pub(super) struct Ends {
    of: FxHashMap<Pid, Vec<Ended>>,
}

/// The process's end from several threads' ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Status {
    pub(super) wait_status: Option<u32>,
    pub(super) flaw: Option<Flaw>,
}

impl Status {
    pub(super) fn of(end: End) -> Self {
        let flaw = match end.wait_status {
            None => Some(Flaw::NotObserved),
            Some(_) => end.worked_out.then_some(Flaw::Estimated),
        };
        Self { wait_status: end.wait_status, flaw }
    }
}

fn signal(status: Option<u32>) -> u32 {
    status.map_or(0, |status| status & 0x7f)
}

/// A signal that ends all threads: it is the process's status, even if a thread was about to end
/// otherwise.
fn ends_all(status: Option<u32>) -> bool {
    !matches!(signal(status), 0 | SIGSYS | SIGKILL)
}

impl Ends {
    pub(super) fn insert(&mut self, task: Task, end: End, boot_ns: u64) {
        let ends = self.of.entry(task.pid).or_default();
        let leader = task.is_leader();
        // The latest of each sort is enough.
        ends.retain(|it| it.leader || leader || it.end.wait_status != end.wait_status);
        if ends.len() >= MOST_ENDS {
            let oldest = usize::from(ends.first().is_some_and(|it| it.leader));
            ends.remove(oldest);
        }
        ends.push(Ended { end, boot_ns, leader });
    }

    /// Another process has the pid, or another program runs in it.
    pub(super) fn forget(&mut self, pid: Pid) {
        self.of.remove(&pid);
    }

    /// A thread of the process did something: those that ended before did not end it. On old
    /// kernels the first thread's status counts all the same.
    pub(super) fn outlived(&mut self, pid: Pid) {
        if let Some(ends) = self.of.get_mut(&pid) {
            ends.retain_mut(|it| {
                it.boot_ns = 0;
                it.leader
            });
        }
    }

    pub(super) fn retain(&mut self, living: impl Fn(Pid) -> bool) {
        self.of.retain(|&pid, _| living(pid));
    }

    /// The status of a process whose last thread ended this way. `asked` finds it out if nothing
    /// else shows it, if it can.
    pub(super) fn decide(
        &mut self,
        task: Task,
        last: End,
        boot_ns: u64,
        last_thread_decides: bool,
        asked: impl FnOnce() -> Option<u32>,
    ) -> Status {
        let others = self.of.remove(&task.pid).unwrap_or_default();
        let own = Status::of(last);
        // The thread that dumps core has the flag for it; the threads that it ends may not.
        let ending = others.iter().filter(|it| ends_all(it.end.wait_status)).map(|it| Status::of(it.end));
        let by_signal = ending.chain([own]).filter(|it| ends_all(it.wait_status)).max_by_key(|it| it.wait_status);
        if let Some(status) = by_signal.or(last.of_all.then_some(own)) {
            return status;
        }
        let counts = |it: &Ended| {
            let in_time = it.boot_ns.saturating_add(ANY_ORDER_NS) >= boot_ns || it.leader && !last_thread_decides;
            in_time && it.end.wait_status.is_some_and(|status| last.wait_status != Some(status))
        };
        let others: Vec<Ended> = others.into_iter().filter(counts).collect();
        if others.is_empty() || last.wait_status.is_none() && last_thread_decides {
            return own;
        }
        if let Some(status) = asked() {
            return Status { wait_status: Some(status), flaw: None };
        }
        let near = |it: &&Ended| it.boot_ns.saturating_add(TOGETHER_NS) >= boot_ns;
        let killed = others.iter().find(|it| near(it) && signal(it.end.wait_status) == SIGKILL);
        let leader = others.iter().find(|it| it.leader);
        let guess = match last.wait_status {
            None => leader,
            Some(status) if signal(Some(status)) != 0 => None,
            Some(_) if killed.is_some() => killed,
            // A return from main ends all, and a thread that only returns has 0.
            Some(0) => {
                let own_way = |it: &&Ended| near(it) && !task.is_leader() && signal(it.end.wait_status) == 0;
                let leader = leader.filter(|it| own_way(it) || !last_thread_decides);
                leader.or(others.iter().find(own_way))
            }
            Some(_) => None,
        };
        let wait_status = guess.map_or(last.wait_status, |it| it.end.wait_status);
        let flaw = if wait_status.is_some() { Flaw::Estimated } else { Flaw::NotObserved };
        Status { wait_status, flaw: Some(flaw) }
    }
}

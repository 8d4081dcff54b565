//! The known facts about a living process.

use crate::record::{CgroupKey, Comm, LoginRecord, NOBODY, RefRecord, UNKNOWN_COMM, UNKNOWN_ID, UNKNOWN_START};
use crate::source::happening::Task;
use crate::{Field, Flaw, Flaws, Pid, StartTime, Tty};

pub(super) const TICK_NS: u64 = 10_000_000;
/// No process is stopped for this many ticks. A /proc that is this far off counts from another
/// origin, as in a time namespace.
pub(super) const MOST_LATE_TICKS: u64 = 1_000;

/// A thread that is not its process's first.
#[derive(Clone, Copy, Debug)]
pub(super) struct Thread {
    pub(super) tid: Pid,
    /// Its own, which a system call may change only for it; like [`Known::ids`].
    pub(super) ids: Option<[u32; 4]>,
    /// Its beginning was not seen: unknown ids are assumed to be its process's.
    pub(super) assumed: bool,
}

/// The known facts about a living process.
#[derive(Clone, Debug)]
pub(super) struct Known {
    /// CLOCK_BOOTTIME, ns; only its tick if /proc showed it.
    pub(super) start_ns: u64,
    /// The tick was read, not worked out.
    pub(super) exact: bool,
    pub(super) parent: RefRecord,
    pub(super) comm: Comm,
    /// When that was read, ns; 0 if a message reported it.
    pub(super) comm_read_ns: u64,
    /// Real and effective user, real and effective group.
    pub(super) ids: Option<[u32; 4]>,
    pub(super) ids_read_ns: u64,
    pub(super) sid: Pid,
    pub(super) pgid: Pid,
    pub(super) tty: Option<Tty>,
    pub(super) ns_pid: Pid,
    pub(super) cgroup: CgroupKey,
    pub(super) kthread: bool,
    /// Its first thread lives.
    pub(super) leader: bool,
    /// Its other threads.
    pub(super) threads: Vec<Thread>,
    /// The login.
    pub(super) login: LoginRecord,
    /// When it was last read, ns: values marked [`Flaw::ReadLate`] were read by then.
    pub(super) looked_ns: u64,
    /// It was found so, which the message may still report.
    pub(super) found_ended: bool,
    /// When it last became another program, ns.
    pub(super) exec_ns: u64,
    /// It was already running when we began.
    pub(super) existing: bool,
    /// It was read because its name was missing.
    pub(super) asked: bool,
    pub(super) marks: Flaws,
    /// How much had been lost when its identity was last certain.
    pub(super) epoch: u64,
}

impl Known {
    pub(super) fn unknown(epoch: u64) -> Self {
        let mut marks = Flaws::new();
        for field in [Field::Id, Field::Ppid, Field::Name, Field::User, Field::Login, Field::Tty, Field::Cgroup] {
            marks.mark(field, Flaw::NotObserved);
        }
        Self {
            start_ns: UNKNOWN_START,
            exact: false,
            parent: NOBODY,
            comm: UNKNOWN_COMM,
            comm_read_ns: 0,
            ids: None,
            ids_read_ns: 0,
            sid: UNKNOWN_ID,
            pgid: UNKNOWN_ID,
            tty: None,
            ns_pid: 0,
            cgroup: CgroupKey::default(),
            kthread: false,
            leader: true,
            threads: Vec::new(),
            login: LoginRecord::default(),
            looked_ns: 0,
            found_ended: false,
            exec_ns: 0,
            existing: false,
            asked: false,
            marks,
            epoch,
        }
    }

    /// The thread that just began. If all have the same ids, it has them too; otherwise its ids are
    /// unknown.
    pub(super) fn add_thread(&mut self, tid: Pid) {
        let assumed = self.threads.iter().any(|thread| thread.assumed);
        let thread = Thread { tid, ids: self.common_ids(), assumed };
        self.threads.retain(|thread| thread.tid != tid);
        self.threads.push(thread);
    }

    /// The ids of all its threads, as far as they are known to be the same.
    pub(super) fn common_ids(&self) -> Option<[u32; 4]> {
        self.ids.filter(|&ids| self.threads.iter().all(|thread| !thread.assumed && thread.ids == Some(ids)))
    }

    /// The ids of one thread, and whether some are those of its process because its own are
    /// unknown.
    pub(super) fn ids_of(&self, task: Task) -> (Option<[u32; 4]>, bool) {
        match self.threads.iter().find(|thread| thread.tid == task.tid) {
            _ if task.is_leader() => (self.ids, false),
            Some(thread) => (thread.ids.or(self.ids.filter(|_| thread.assumed)), thread.assumed),
            None => (self.ids, true),
        }
    }

    pub(super) fn tick(&self) -> Option<StartTime> {
        (self.start_ns != UNKNOWN_START).then(|| StartTime::from_boot_ns(self.start_ns))
    }

    /// Applies the start from /proc, read after the known facts. False if it is another process's.
    pub(super) fn confirm(&mut self, read: StartTime) -> bool {
        match self.tick() {
            _ if self.start_ns == UNKNOWN_START => self.start_ns = read.boot_ns(),
            Some(tick) if tick == read => {}
            // Worked out from the fork, which is reported a little later, or much later if its
            // thread was stopped in between. The process that has the pid now and had begun by then
            // had it then.
            Some(tick) if !self.exact && read < tick && tick.0 - read.0 <= MOST_LATE_TICKS => {
                self.start_ns = read.boot_ns().saturating_add(TICK_NS - 1)
            }
            _ => return false,
        }
        self.exact = true;
        self.marks.clear(Field::Id);
        true
    }
}

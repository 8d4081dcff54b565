//! The known facts about a living process.

use std::hash::{Hash, Hasher};

use rustc_hash::FxHasher;

use crate::proc::pid::Stat;
use crate::record::comm_of;
use crate::record::{CgroupKey, Comm, LoginRecord, NOBODY, RefRecord};
use crate::{Flaws, Pid, StartTime, Tty};

pub(super) const TICK_NS: u64 = 10_000_000;

#[derive(Clone, Debug)]
pub(super) struct Known {
    pub(super) start: StartTime,
    /// When it was last seen in this state. CLOCK_BOOTTIME, ns.
    pub(super) read_ns: u64,
    pub(super) parent: RefRecord,
    pub(super) comm: Comm,
    /// Real and effective user, real and effective group.
    pub(super) ids: Option<[u32; 4]>,
    pub(super) login: LoginRecord,
    pub(super) sid: Pid,
    pub(super) pgid: Pid,
    pub(super) tty: Option<Tty>,
    pub(super) ns_pid: Pid,
    pub(super) cgroup: CgroupKey,
    pub(super) kthread: bool,
    pub(super) executed: Option<bool>,
    pub(super) places: Option<[u64; 3]>,
    pub(super) code_kib: u64,
    pub(super) argv: Option<u64>,
    /// Not all was read yet.
    pub(super) brief: bool,
    pub(super) faults: [u64; 2],
    pub(super) cpu: [u64; 2],
    pub(super) marks: Flaws,
}

pub(super) fn hash(list: &[u8]) -> u64 {
    let mut hasher = FxHasher::default();
    list.hash(&mut hasher);
    hasher.finish()
}

impl Known {
    pub(super) fn new(stat: &Stat, read_ns: u64) -> Self {
        Self {
            start: stat.start,
            read_ns,
            parent: NOBODY,
            comm: comm_of(&stat.comm),
            ids: None,
            login: LoginRecord::default(),
            sid: stat.sid,
            pgid: stat.pgid,
            tty: stat.tty(),
            ns_pid: 0,
            cgroup: CgroupKey::default(),
            kthread: stat.is_kthread(),
            executed: stat.has_executed(),
            places: stat.places(),
            code_kib: 0,
            argv: None,
            brief: true,
            faults: stat.faults,
            cpu: stat.cpu,
            marks: Flaws::new(),
        }
    }

    /// Applies values that change without an event.
    pub(super) fn renew(&mut self, stat: &Stat) {
        self.faults = stat.faults;
        self.cpu = stat.cpu;
        self.pgid = stat.pgid;
        if !stat.is_over() {
            self.tty = stat.tty();
            self.places = stat.places().or(self.places);
        }
    }
}

/// Values that only an exec changes.
pub(super) fn executed_since(known: &Known, stat: &Stat) -> bool {
    let flag = known.executed == Some(false) && stat.has_executed() == Some(true);
    let moved = matches!((known.places, stat.places()), (Some(old), Some(new)) if old != new);
    flag || moved || known.kthread && !stat.is_kthread()
}

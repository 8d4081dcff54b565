//! Makes records from the looks at /proc: new, changed and ended processes. No OS.

mod births;
mod changes;
mod ends;
mod known;
mod sight;

use rustc_hash::{FxHashMap, FxHashSet};

use crate::proc::pid::Stat;
use crate::record::comm_of;
use crate::record::{CgroupKey, LoginRecord, NOBODY, Put, RefRecord, Subject, UNKNOWN_COMM, UNKNOWN_ID, UNKNOWN_START};
use crate::source::descendants;
use crate::source::look::CgroupKeys;
use crate::{Field, Flaw, Namespaces, Pid, StartTime};
use known::{Known, executed_since, hash};
pub(crate) use sight::{End, Judgement, Sight, is_between, is_loading, settle};

/// See the module. Bounded by the number of pids.
pub(crate) struct Tracker {
    living: FxHashMap<Pid, Known>,
    cgroups: CgroupKeys,
    /// The living processes to which orphans went.
    takes_orphans: FxHashSet<Pid>,
    /// The environment is wanted.
    env: bool,
    /// Changes of ids are wanted: each look has to read them.
    ids: bool,
}

impl Tracker {
    pub(crate) fn new(env: bool, ids: bool) -> Self {
        Self {
            living: FxHashMap::default(),
            cgroups: CgroupKeys::default(),
            takes_orphans: FxHashSet::default(),
            env,
            ids,
        }
    }

    pub(crate) fn knows(&self, pid: Pid) -> bool {
        self.living.contains_key(&pid)
    }

    pub(crate) fn start(&self, pid: Pid) -> Option<StartTime> {
        self.living.get(&pid).map(|known| known.start)
    }

    /// The parent of a process as it was last read.
    pub(crate) fn parent(&self, pid: Pid) -> Option<Pid> {
        self.living.get(&pid).map(|known| known.parent.pid)
    }

    /// Whether a living process was not read since then, so that it may run another program.
    pub(crate) fn is_stale(&self, pid: Pid, since_ns: u64) -> bool {
        self.living.get(&pid).is_some_and(|known| known.read_ns < since_ns)
    }

    pub(crate) fn pids(&self) -> impl Iterator<Item = Pid> {
        self.living.keys().copied()
    }

    /// How many of the living may end.
    pub(crate) fn guardable(&self) -> usize {
        self.living.values().filter(|known| !known.kthread).count()
    }

    /// The living processes below these, with these.
    pub(crate) fn descendants(&self, roots: &[Pid]) -> Vec<Pid> {
        descendants(roots, || self.living.iter().map(|(&pid, known)| (pid, known.parent.pid)))
    }

    /// A process as others name it.
    fn reference(&self, pid: Pid) -> RefRecord {
        if pid == 0 {
            return NOBODY;
        }
        let known = self.living.get(&pid);
        let (start_ns, comm) = known.map_or((UNKNOWN_START, UNKNOWN_COMM), |known| (known.start.boot_ns(), known.comm));
        RefRecord { pid, tid: pid, start_ns, comm }
    }

    /// Uses the parent's name, if that was read since then: an earlier one may be another
    /// program's. Returns whether it was.
    fn name_parent(&self, known: &mut Known, since_ns: u64) -> bool {
        if known.parent.pid == 0 {
            return true;
        }
        let parent = self.living.get(&known.parent.pid).filter(|parent| parent.read_ns >= since_ns);
        if let Some(parent) = parent {
            known.parent.comm = parent.comm;
            known.marks.mark(Field::Parent, Flaw::ReadLate);
        }
        parent.is_some()
    }

    /// Like [`Self::name_parent`], but uses no other name.
    fn name_parent_or_none(&self, known: &mut Known, since_ns: u64) {
        if !self.name_parent(known, since_ns) {
            known.parent.comm = UNKNOWN_COMM;
            known.marks.mark(Field::Parent, Flaw::Unreadable);
        }
    }

    /// Keeps the rest of a process whose end is reported later, for those that name it.
    pub(crate) fn confirm(&mut self, pid: Pid, stat: &Stat, read_ns: u64) {
        if let Some(known) = self.living.get_mut(&pid)
            && !executed_since(known, stat)
            && known.comm == comm_of(&stat.comm)
        {
            known.read_ns = read_ns;
        }
    }

    /// Uses the parent that was read, and marks how far it is the one that made the process.
    fn adopt(&mut self, known: &mut Known, ppid: Pid) {
        let another = known.parent.pid != 0 && known.parent.pid != ppid;
        known.parent = self.reference(ppid);
        // Orphans go to the first process of the namespace, or to one that has asked for them.
        let younger = self.living.get(&ppid).is_some_and(|parent| parent.start > known.start);
        if another || younger {
            self.takes_orphans.insert(ppid);
        }
        let orphan = ppid <= 1 && !known.kthread || self.takes_orphans.contains(&ppid);
        let flaw = if orphan { Flaw::Estimated } else { Flaw::ReadLate };
        known.marks.mark(Field::Ppid, flaw);
        // As last seen: the reporter of an event looks again first, if it can.
        if ppid == 0 {
            known.marks.clear(Field::Parent);
        } else {
            known.marks.mark(Field::Parent, Flaw::AfterLoss);
        }
    }

    /// Fills in the values of a look.
    fn learn(&mut self, known: &mut Known, sight: &Sight, put: &mut Put<'_>) {
        let look = &sight.look;
        let late = |known: &mut Known, field, has| {
            known.marks.mark(field, if has { Flaw::ReadLate } else { Flaw::Unreadable })
        };
        if let Some(status) = &look.status {
            known.ids = Some([status.uids[0], status.uids[1], status.gids[0], status.gids[1]]);
            known.login = look.login;
            known.ns_pid = status.ns_pid;
        }
        if let Some(path) = &look.cgroup {
            known.cgroup = self.cgroups.key(path, put);
        }
        let missing = |known: &mut Known, field, has: bool| match has {
            false if look.brief => known.marks.mark(field, Flaw::NotObserved),
            has => late(known, field, has),
        };
        missing(known, Field::User, known.ids.is_some());
        missing(known, Field::Cgroup, known.cgroup != CgroupKey::default());
        if known.ids.is_some() && known.login == LoginRecord::default() {
            // There was no login.
            known.marks.clear(Field::Login);
        } else {
            missing(known, Field::Login, known.ids.is_some());
        }
        for field in [Field::Name, Field::Sid, Field::Pgid, Field::Tty] {
            late(known, field, true);
        }
        known.brief = look.brief;
        known.code_kib = sight.code_kib;
        if let Some(argv) = &look.argv {
            known.argv = Some(hash(argv));
        }
    }

    fn subject(pid: Pid, known: &Known) -> Subject {
        let [uid, euid, gid, egid] = known.ids.unwrap_or([UNKNOWN_ID; 4]);
        Subject {
            pid,
            tid: pid,
            start_ns: known.start.boot_ns(),
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
            kthread: known.kthread,
            exec_id: None,
        }
    }
}

#[cfg(test)]
mod tests;

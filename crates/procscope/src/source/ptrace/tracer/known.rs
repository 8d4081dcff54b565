//! The known facts about a living process, and how it is read: while one of its threads is held
//! still.

use super::signals::Delivered;
use super::{MOST_CGROUPS, OwnedRecord, TICK_NS, Tracer};
use crate::record::comm_of;
use crate::record::{CgroupKey, Comm, LoginRecord, NOBODY, RefRecord, UNKNOWN_COMM, UNKNOWN_ID, UNKNOWN_START};
use crate::source::look::{Look, StatSeen};
use crate::source::proc_files::ProcFiles;
use crate::{Field, Flaw, Flaws, Pid, StartTime, Tty, sys};

/// The known facts about a living process: everything except the start is as it was when it was
/// last held still.
#[derive(Clone)]
pub(super) struct Known {
    pub(super) start_ns: u64,
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
    pub(super) about: Flaws,
    /// How many of its threads have not begun to end.
    pub(super) staying: usize,
    /// The thread with whose end the process ends.
    pub(super) last: Option<Pid>,
    /// It was read when its last thread began to end.
    pub(super) is_final: bool,
    /// The resources used by its ended children for which it has waited, as far as is known.
    pub(super) children: Option<libc::rusage>,
    /// The last signal to each thread that may end the process.
    pub(super) delivered: Vec<Delivered>,
}

impl Known {
    fn unknown() -> Self {
        Self {
            start_ns: UNKNOWN_START,
            parent: NOBODY,
            comm: UNKNOWN_COMM,
            ids: None,
            login: LoginRecord::default(),
            sid: UNKNOWN_ID,
            pgid: UNKNOWN_ID,
            tty: None,
            ns_pid: 0,
            cgroup: CgroupKey::default(),
            about: Flaws::new(),
            staying: 1,
            last: None,
            is_final: false,
            children: None,
            delivered: Vec::new(),
        }
    }

    fn has(&self, field: Field) -> bool {
        match field {
            Field::Name => self.comm != UNKNOWN_COMM,
            Field::User | Field::Login => self.ids.is_some(),
            Field::Cgroup => self.cgroup != CgroupKey::default(),
            Field::Parent => self.parent.comm != UNKNOWN_COMM,
            _ => self.sid != UNKNOWN_ID,
        }
    }

    /// These could not be read now: an earlier value may be out of date.
    pub(super) fn mark_unread(&mut self, fields: &[Field]) {
        for &field in fields {
            let flaw = if self.has(field) { Flaw::AfterLoss } else { Flaw::Unreadable };
            self.about.mark(field, flaw);
        }
    }

    pub(super) fn take_name(&mut self, name: Option<Comm>) {
        match name {
            Some(name) => self.comm = name,
            None => self.mark_unread(&[Field::Name]),
        }
    }

    fn take_stat(&mut self, stat: Option<&StatSeen>) {
        let Some(stat) = stat else { return self.mark_unread(&[Field::Sid, Field::Pgid, Field::Tty]) };
        self.sid = stat.sid;
        self.pgid = stat.pgid;
        if stat.ending {
            self.mark_unread(&[Field::Tty]);
        } else {
            self.tty = stat.tty;
        }
    }
}

/// The name of a process, which is that of its first thread.
pub(super) fn name_of(pid: Pid) -> Option<Comm> {
    sys::read_comm(pid).map(|name| comm_of(&name))
}

impl Tracer {
    /// A process as others name it: by its name when it was last held still.
    pub(super) fn reference(&self, tid: Pid) -> RefRecord {
        let pid = self.threads.get(&tid).copied().unwrap_or(tid);
        match self.known.get(&pid) {
            Some(known) => RefRecord { pid, tid, start_ns: known.start_ns, comm: known.comm },
            None => outsider(pid),
        }
    }

    /// The same, by its present name. The flaw says that it may have had another one a moment ago.
    pub(super) fn reference_now(&self, tid: Pid) -> (RefRecord, Option<Flaw>) {
        let before = self.reference(tid);
        if !self.known.contains_key(&before.pid) {
            return (before, None);
        }
        match name_of(before.pid) {
            Some(comm) if comm == before.comm => (before, None),
            Some(comm) => (RefRecord { comm, ..before }, Some(Flaw::ReadLate)),
            None => (before, Some(if before.comm == UNKNOWN_COMM { Flaw::Unreadable } else { Flaw::AfterLoss })),
        }
    }

    /// The process of a thread that is held still, by its name.
    pub(super) fn held_reference(&mut self, tid: Pid) -> RefRecord {
        let reference = self.reference(tid);
        if let (Some(known), Some(comm)) = (self.known.get_mut(&reference.pid), name_of(reference.pid)) {
            known.comm = comm;
            return RefRecord { comm, ..reference };
        }
        reference
    }

    /// Uses the parent that was read, and its name: no stop shows that it renamed itself.
    pub(super) fn name_parent(&self, known: &mut Known, ppid: Pid) {
        let before = known.parent;
        let (parent, mut flaw) = self.reference_now(ppid);
        if parent.pid == before.pid && !self.known.contains_key(&ppid) && parent.comm != before.comm {
            flaw = Some(Flaw::ReadLate);
        }
        known.parent = parent;
        known.about.clear(Field::Parent);
        if let Some(flaw) = flaw {
            known.about.mark(Field::Parent, flaw);
        }
    }

    /// The known facts about a process at its birth, while it is held still. With CREATOR it is a
    /// copy of that.
    pub(super) fn born(&mut self, pid: Pid, creator: Option<RefRecord>) -> Known {
        let now = sys::now_boot_ns();
        let look = ProcFiles.look_at_held(pid);
        let mut known = Known::unknown();
        known.parent = creator.unwrap_or(NOBODY);
        if let Some(stat) = &look.stat {
            known.start_ns = within_tick(stat.start, now);
            known.comm = stat.comm;
        }
        self.learn(&mut known, &look);
        // CLONE_PARENT makes a sister.
        if let Some(stat) = look.stat.filter(|stat| stat.ppid != known.parent.pid) {
            self.name_parent(&mut known, stat.ppid);
        }
        known
    }

    /// Applies the values read from a thread that is held still, except the name. Unreadable values
    /// stay as they were.
    pub(super) fn learn(&mut self, known: &mut Known, look: &Look) {
        known.about = Flaws::new();
        if known.start_ns == UNKNOWN_START {
            known.about.mark(Field::Id, Flaw::Unreadable);
        }
        if known.comm == UNKNOWN_COMM {
            known.about.mark(Field::Name, Flaw::Unreadable);
        }
        known.take_stat(look.stat.as_ref());
        match &look.status {
            Some(status) => {
                known.ids = Some([status.uids[0], status.uids[1], status.gids[0], status.gids[1]]);
                known.login = look.login;
                known.ns_pid = status.ns_pid;
            }
            None => known.mark_unread(&[Field::User, Field::Login]),
        }
        match &look.cgroup {
            Some(path) => known.cgroup = self.cgroup_key(path),
            None => known.mark_unread(&[Field::Cgroup]),
        }
    }

    fn cgroup_key(&mut self, path: &[u8]) -> CgroupKey {
        if let Some(key) = self.cgroups.get(path) {
            return *key;
        }
        if self.cgroups.len() >= MOST_CGROUPS {
            self.cgroups.clear();
        }
        self.cgroups_named += 1;
        let key = CgroupKey { id: self.cgroups_named, hierarchy: u32::MAX };
        self.cgroups.insert(path.to_vec(), key);
        self.send(OwnedRecord::Cgroup { key, path: path.to_vec() });
        key
    }

    /// Reads a process through one of its threads, which is held still.
    pub(super) fn refresh(&mut self, pid: Pid, tid: Pid) {
        let Some(mut known) = self.known.remove(&pid) else { return };
        let look = ProcFiles.look_at_held(tid);
        self.learn(&mut known, &look);
        known.take_name(if tid == pid { look.stat.map(|stat| stat.comm) } else { name_of(pid) });
        match look.stat {
            Some(stat) => self.name_parent(&mut known, stat.ppid),
            None => known.mark_unread(&[Field::Ppid, Field::Parent]),
        }
        self.known.insert(pid, known);
    }
}

/// A process that does not belong to the command.
fn outsider(pid: Pid) -> RefRecord {
    match (pid, ProcFiles.stat(pid)) {
        (0, _) => NOBODY,
        (_, Some(stat)) => RefRecord { pid, tid: pid, start_ns: stat.start.boot_ns(), comm: stat.comm },
        (_, None) => RefRecord { pid, tid: pid, start_ns: UNKNOWN_START, comm: UNKNOWN_COMM },
    }
}

/// A start whose tick is known, and a moment a little after it.
fn within_tick(start: StartTime, after_ns: u64) -> u64 {
    after_ns.clamp(start.boot_ns(), start.boot_ns().saturating_add(TICK_NS - 1))
}

//! Processes as records name them.

use super::known::{Known, TICK_NS};
use super::{Tracker, UNREPORTED};
use crate::record::{NOBODY, RefRecord, Subject, UNKNOWN_COMM, UNKNOWN_ID, UNKNOWN_START};
use crate::source::happening::Task;
use crate::{Field, Flaw, Flaws, Namespaces};

impl Tracker {
    /// A process as others name it.
    pub(super) fn reference(&self, task: Task) -> RefRecord {
        let known = self.living.get(&task.pid).filter(|known| known.epoch == self.epoch);
        let (start_ns, comm) = known.map_or((UNKNOWN_START, UNKNOWN_COMM), |known| (known.start_ns, known.comm));
        if task.pid == 0 { NOBODY } else { RefRecord { pid: task.pid, tid: task.tid, start_ns, comm } }
    }

    /// The parent, as long as it lives: the process that takes its children over is not reported.
    pub(super) fn parent(&self, known: &Known) -> Option<RefRecord> {
        let parent = &known.parent;
        if parent.pid == 0 {
            return (known.marks.get(Field::Ppid).is_none()).then_some(NOBODY);
        }
        let now = self.living.get(&parent.pid)?;
        // A later owner of the pid began later; a worked-out start may have been corrected to any
        // earlier one.
        let known = parent.start_ns != UNKNOWN_START || now.start_ns == UNKNOWN_START;
        let same = known && now.start_ns <= parent.start_ns.saturating_add(TICK_NS) && now.epoch == self.epoch;
        same.then_some(RefRecord { start_ns: now.start_ns, comm: now.comm, ..*parent })
    }

    /// The parent's id may be worked out, too.
    pub(super) fn mark_parent(&self, parent: &RefRecord, about: &mut Flaws) {
        about.clear(Field::Parent);
        if parent.start_ns != UNKNOWN_START && self.living.get(&parent.pid).is_some_and(|known| !known.exact) {
            about.mark(Field::Parent, Flaw::Estimated);
        }
    }

    /// How far the known facts about the process hold at this time.
    fn marks(&self, known: &Known, boot_ns: u64) -> Flaws {
        let mut about = known.marks;
        for (field, id) in [(Field::Sid, known.sid), (Field::Pgid, known.pgid)] {
            if id == UNKNOWN_ID {
                about.mark(field, Flaw::NotObserved);
            }
        }
        let read_since = known.looked_ns >= boot_ns;
        if !read_since && about.get(Field::Sid) == Some(Flaw::ReadLate) {
            about.clear(Field::Sid);
        }
        for field in UNREPORTED.into_iter().filter(|&field| self.settings.is_unreported(field)) {
            match about.get(field) {
                Some(Flaw::ReadLate) if read_since => {}
                // It may have changed since it was read, or before it was inherited.
                None | Some(Flaw::ReadLate | Flaw::Inherited) => about.mark(field, Flaw::Estimated),
                Some(_) => {}
            }
        }
        if !self.settings.logins {
            about.clear(Field::Login);
        }
        if known.start_ns != UNKNOWN_START && !known.exact {
            about.mark(Field::Id, Flaw::Estimated);
        }
        if known.epoch != self.epoch {
            for field in [Field::Id, Field::Ppid, Field::Name, Field::User, Field::Sid] {
                about.mark(field, Flaw::AfterLoss);
            }
        }
        about
    }

    /// The known facts about the process, for records of this time.
    pub(super) fn subject(&self, task: Task, boot_ns: u64) -> (Subject, Flaws) {
        let unknown;
        let known = match self.living.get(&task.pid) {
            Some(known) => known,
            None => {
                unknown = Known::unknown(self.epoch);
                &unknown
            }
        };
        let mut about = self.marks(known, boot_ns);
        let parent = self.parent(known).unwrap_or_else(|| {
            about.mark(Field::Ppid, Flaw::NotObserved);
            NOBODY
        });
        self.mark_parent(&parent, &mut about);
        let [uid, euid, gid, egid] = known.ids.unwrap_or([UNKNOWN_ID; 4]);
        let subject = Subject {
            pid: task.pid,
            tid: task.tid,
            start_ns: known.start_ns,
            comm: known.comm,
            parent,
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
        };
        (subject, about)
    }
}

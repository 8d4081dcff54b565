//! Processes as records name them.

use super::Tracker;
use super::known::{Known, TICK_NS};
use crate::source::happening::Task;
use crate::source::record::{LoginRecord, NOBODY, RefRecord, Subject, UNKNOWN_COMM, UNKNOWN_ID, UNKNOWN_START};
use crate::{Field, Flaw, Flaws, Namespaces};

impl Tracker {
    /// A process as others name it.
    pub(super) fn reference(&self, task: Task) -> RefRecord {
        let known = self.living.get(&task.pid).filter(|known| known.epoch == self.epoch);
        let (start_ns, comm) = known.map_or((UNKNOWN_START, UNKNOWN_COMM), |known| (known.start_ns, known.comm));
        if task.pid == 0 { NOBODY } else { RefRecord { pid: task.pid, tid: task.tid, start_ns, comm } }
    }

    /// The parent, as long as it lives: who takes its children over is not told.
    pub(super) fn parent(&self, known: &Known) -> Option<RefRecord> {
        let parent = &known.parent;
        if parent.pid == 0 {
            return (known.marks.get(Field::Ppid).is_none()).then_some(NOBODY);
        }
        let now = self.living.get(&parent.pid)?;
        // Who has the pid later began later; a start that was worked out may have been corrected to any earlier one.
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

    /// What is known of the process, as records have it.
    pub(super) fn subject(&self, task: Task) -> (Subject, Flaws) {
        let unknown;
        let known = match self.living.get(&task.pid) {
            Some(known) => known,
            None => {
                unknown = Known::unknown(self.epoch);
                &unknown
            }
        };
        let mut about = known.marks;
        if known.start_ns != UNKNOWN_START && !known.exact {
            about.mark(Field::Id, Flaw::Estimated);
        }
        if known.epoch != self.epoch {
            for field in [Field::Id, Field::Ppid, Field::Name, Field::User] {
                about.mark(field, Flaw::AfterLoss);
            }
        }
        let parent = self.parent(known).unwrap_or_else(|| {
            about.mark(Field::Ppid, Flaw::NotObserved);
            NOBODY
        });
        self.mark_parent(&parent, &mut about);
        if !self.settings.ids_told && known.ids.is_some() && about.get(Field::User).is_none() {
            // They may have changed since they were read.
            about.mark(Field::User, Flaw::Estimated);
        }
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
            login: LoginRecord::default(),
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

use std::ops::ControlFlow;

use super::Tracker;
use super::known::Known;
use crate::record::{Body, Comm, ImageRecord, ListRecord, Put, Record, UNKNOWN_COMM, UNKNOWN_ID, UNKNOWN_START};
use crate::source::happening::{Arguments, Failed, Started, Task};
use crate::source::look::{Look, Strings};
use crate::{Field, Flaw, Flaws};

/// Chooses between the arguments that the source reports and those read late, and marks them.
fn choose_argv<'a>(reported: &'a Arguments, image: &mut ImageRecord<'a>, flaws: &mut Flaws) {
    let late = flaws.get(Field::Argv) == Some(Flaw::ReadLate);
    let same = late && image.argv.inline == reported.list;
    let flaw = match (reported.cut, reported.as_called) {
        (false, false) => None,
        (false, true) if same => None,
        // A late list is whole, and belongs to this program: it begins alike.
        (true, false) if late && image.argv.inline.starts_with(&reported.list) => Some(Flaw::ReadLate),
        (_, true) if late => Some(Flaw::ReadLate),
        (true, _) if reported.unreadable => Some(Flaw::Unreadable),
        (true, _) => Some(Flaw::Truncated),
        (false, true) => Some(Flaw::Estimated),
    };
    flaws.clear(Field::Argv);
    if let Some(flaw) = flaw {
        flaws.mark(Field::Argv, flaw);
    }
    if flaw != Some(Flaw::ReadLate) {
        image.argv = ListRecord { inline: &reported.list, len: reported.list.len() };
    }
}

impl Known {
    /// Only the thread that called exec is left, and has the leader's id. `alone`: there was no other.
    fn begin_program(&mut self, boot_ns: u64, comm: Option<Comm>, alone: bool) {
        let common_ids = self.common_ids();
        self.threads = Vec::new();
        self.leader = true;
        self.kthread = false;
        self.found_ended = false;
        self.exec_ns = boot_ns;
        self.asked = false;
        self.comm = comm.unwrap_or(UNKNOWN_COMM);
        self.comm_read_ns = 0;
        match comm {
            Some(_) => self.marks.clear(Field::Name),
            None => self.marks.mark(Field::Name, Flaw::Unreadable),
        }
        if !alone {
            // Each thread has ids of its own.
            self.ids = common_ids;
            if common_ids.is_none() {
                self.marks.mark(Field::User, Flaw::NotObserved);
            }
        }
        // No message reports setpgid(2), which shells call before they exec.
        self.pgid = UNKNOWN_ID;
    }
}

impl Tracker {
    pub(super) fn exec(
        &mut self,
        boot_ns: u64,
        task: Task,
        started: Option<Started>,
        look: Option<Look>,
        put: &mut Put<'_>,
    ) -> ControlFlow<()> {
        // A source that reports a program's start reports its old name, or that it is missing: the
        // known one may be the new one by now.
        let names_told = started.is_some();
        let started = started.unwrap_or_default();
        let found = self.living.remove(&task.pid);
        let sure = found.as_ref().is_some_and(|known| known.epoch == self.epoch);
        let mut known = found.unwrap_or_else(|| Known::unknown(self.epoch));
        let alone = known.threads.is_empty() && known.start_ns != UNKNOWN_START;
        let known_then = !names_told && alone && known.comm_read_ns <= boot_ns && known.comm != UNKNOWN_COMM;
        let old_comm = known_then.then_some(known.comm);
        let old_flaw = known.marks.get(Field::Name).filter(|flaw| *flaw == Flaw::Inherited);
        // Read of another process, which has the pid now.
        let look = look.filter(|look| look.stat.map_or(sure, |stat| known.confirm(stat.start)));
        known.begin_program(boot_ns, started.comm, alone);
        if self.settings.is_unreported(Field::Sid) {
            known.sid = UNKNOWN_ID;
        }
        self.ends.forget(task.pid);
        let mut missing = Flaw::Unreadable;
        if let Some(look) = &look {
            missing = if look.brief { Flaw::NotObserved } else { Flaw::Unreadable };
            if look.brief && look.stat.is_none() && started.comm.is_none() {
                known.marks.mark(Field::Name, Flaw::NotObserved);
            }
            self.learn(&mut known, look, put);
            known.kthread = false;
            if self.parent(&known).is_none()
                && let Some(stat) = &look.stat
            {
                known.parent = self.reference(Task { tid: stat.ppid, pid: stat.ppid });
                known.marks.mark(Field::Ppid, Flaw::ReadLate);
            }
        }
        self.living.insert(task.pid, known);
        let (subject, about) = self.subject(task, boot_ns);
        let strings = Strings::of(look);
        let mut flaws = strings.flaws(missing, self.settings.env);
        let mut image = strings.image();
        image.path = started.path.as_deref();
        if let Some(reported) = started.argv.as_ref().filter(|list| !list.unreadable || !list.list.is_empty()) {
            choose_argv(reported, &mut image, &mut flaws);
        }
        let (old_comm, old_flaw) = match started.old_comm {
            Some(told) => (Some(told), None),
            None => (old_comm, old_flaw),
        };
        match old_comm {
            None => flaws.mark(Field::OldName, Flaw::NotObserved),
            Some(_) => _ = old_flaw.map(|flaw| flaws.mark(Field::OldName, flaw)),
        }
        let old_tid = started.old_tid.or(alone.then_some(task.pid));
        let body = Body::Exec { subject, old_comm, old_tid, image };
        put(&Record { boot_ns, processor: self.processor, body, flaws, about })
    }

    pub(super) fn exec_failed(
        &mut self,
        boot_ns: u64,
        task: Task,
        failed: &Failed,
        put: &mut Put<'_>,
    ) -> ControlFlow<()> {
        let (subject, about) = self.subject(task, boot_ns);
        let mut flaws = Flaws::new();
        match &failed.path {
            None => flaws.mark(Field::Path, Flaw::NotObserved),
            Some(path) => _ = path.flaw.map(|flaw| flaws.mark(Field::Path, flaw)),
        }
        match &failed.argv {
            None => flaws.mark(Field::Argv, Flaw::NotObserved),
            Some(argv) if argv.unreadable => flaws.mark(Field::Argv, Flaw::Unreadable),
            Some(argv) if argv.cut => flaws.mark(Field::Argv, Flaw::Truncated),
            Some(_) => {}
        }
        let argv = failed.argv.as_ref().map(|argv| &argv.list[..]).unwrap_or_default();
        let path = failed.path.as_ref().map(|path| &path.bytes[..]);
        let body = Body::ExecFailed { subject, errno: failed.errno, dirfd: failed.dirfd, path, argv };
        put(&Record { boot_ns, processor: self.processor, body, flaws, about })
    }
}

//! Processes that were already running, that are new, and that became another program.

use std::ops::ControlFlow;

use super::Tracker;
use super::known::{Known, TICK_NS};
use super::sight::Sight;
use crate::record::{Body, Comm, ImageRecord, LoginRecord, Put, Record, UNKNOWN_COMM, UNKNOWN_START};
use crate::source::look::Strings;
use crate::{Field, Flaw, Flaws, Pid};

/// The values read from each.
const READ: [Field; 6] = [Field::User, Field::Cgroup, Field::Name, Field::Sid, Field::Pgid, Field::Tty];

impl Tracker {
    /// Adds the processes that were running when we began.
    pub(crate) fn begin(&mut self, sights: &[Sight], put: &mut Put<'_>) {
        for sight in sights {
            let mut known = Known::new(&sight.stat, sight.read_ns);
            self.learn(&mut known, sight, put);
            if sight.loading {
                known.executed = Some(false);
            }
            // They are reported as they are now.
            for field in READ.into_iter().chain([Field::Login]) {
                if known.marks.get(field) == Some(Flaw::ReadLate) {
                    known.marks.clear(field);
                }
            }
            known.parent.pid = sight.stat.ppid;
            self.living.insert(sight.pid, known);
        }
        // Now every parent is known.
        for sight in sights {
            let parent = self.reference(sight.stat.ppid);
            let Some(known) = self.living.get_mut(&sight.pid) else { continue };
            known.parent = parent;
            if parent.start_ns != UNKNOWN_START && parent.start_ns > known.start.boot_ns() {
                self.takes_orphans.insert(parent.pid);
            }
        }
    }

    /// Reports them.
    pub(crate) fn tell(&mut self, sights: Vec<Sight>, boot_ns: u64, put: &mut Put<'_>) -> ControlFlow<()> {
        for sight in sights {
            let Some(known) = self.living.get_mut(&sight.pid) else { continue };
            let subject = Self::subject(sight.pid, known);
            let about = known.marks;
            // Everything about them reported from here on was read before.
            let login = Some(Field::Login).filter(|_| known.login != LoginRecord::default());
            for field in READ.into_iter().chain([Field::Ppid]).chain(login) {
                if known.marks.get(field).is_none() {
                    known.marks.mark(field, Flaw::ReadLate);
                }
            }
            if known.parent.pid != 0 {
                known.marks.mark(Field::Parent, Flaw::AfterLoss);
            }
            let strings = Strings::of(Some(sight.look));
            let flaws = if known.kthread { Flaws::new() } else { strings.flaws(Flaw::Unreadable, self.env) };
            let body = Body::Existing { subject, image: strings.image() };
            put(&Record { boot_ns, processor: None, body, flaws, about })?;
        }
        ControlFlow::Continue(())
    }

    /// Reports a process that did not exist at `since_ns`, as far as is known.
    pub(crate) fn born(&mut self, sight: Sight, since_ns: u64, put: &mut Put<'_>) -> ControlFlow<()> {
        let Sight { pid, read_ns, loading, .. } = sight;
        let mut known = Known::new(&sight.stat, read_ns);
        self.adopt(&mut known, sight.stat.ppid);
        self.name_parent_or_none(&mut known, read_ns);
        self.learn(&mut known, &sight, put);
        let executed = !known.kthread && known.executed.unwrap_or_else(|| self.differs_from_parent(&known));
        if sight.loading {
            // It is unknown to which program the name belongs.
            (known.executed, known.comm) = (Some(false), UNKNOWN_COMM);
        }
        let start_ns = known.start.boot_ns();
        let forked_ns =
            if (start_ns..start_ns.saturating_add(TICK_NS)).contains(&since_ns) { since_ns } else { start_ns };
        let mut flaws = Flaws::new();
        flaws.mark(Field::Time, Flaw::Estimated);

        let strings = Strings::of(Some(sight.look));
        let env = self.env;
        let mut subject = Self::subject(pid, &known);
        let mut about = known.marks;
        let mut image = ImageRecord::default();
        let mut of_fork = flaws;
        if executed {
            subject.comm = UNKNOWN_COMM;
            about.mark(Field::Name, Flaw::NotObserved);
            [Field::Argv, Field::Exe, Field::Cwd].into_iter().for_each(|field| of_fork.mark(field, Flaw::NotObserved));
        } else {
            image = strings.image();
            strings.flaws(Flaw::Unreadable, env).iter().for_each(|(field, flaw)| of_fork.mark(field, flaw));
        }
        let image = (!known.kthread).then_some(image);
        self.living.insert(pid, known.clone());
        let body = Body::Fork { subject, thread: false, unasked: false, call: None, flags: None, creator: None, image };
        put(&Record { boot_ns: forked_ns.min(read_ns), processor: None, body, flaws: of_fork, about })?;
        if executed && !loading {
            return self.exec(pid, &known, UNKNOWN_COMM, &strings, read_ns, put);
        }
        ControlFlow::Continue(())
    }

    /// For kernels that do not show whether a process has executed anything: it has if it differs
    /// from its parent.
    fn differs_from_parent(&self, known: &Known) -> bool {
        let parent = self.living.get(&known.parent.pid);
        parent.is_none_or(|parent| (parent.argv, parent.comm) != (known.argv, known.comm))
    }

    pub(super) fn exec(
        &self,
        pid: Pid,
        known: &Known,
        old_comm: Comm,
        strings: &Strings,
        boot_ns: u64,
        put: &mut Put<'_>,
    ) -> ControlFlow<()> {
        let mut flaws = strings.flaws(if known.brief { Flaw::NotObserved } else { Flaw::Unreadable }, self.env);
        flaws.mark(Field::Time, Flaw::Estimated);
        // Another program may have been between.
        flaws.mark(Field::OldName, if old_comm == UNKNOWN_COMM { Flaw::NotObserved } else { Flaw::Estimated });
        let old_comm = (old_comm != UNKNOWN_COMM).then_some(old_comm);
        let subject = Self::subject(pid, known);
        let body = Body::Exec { subject, old_comm, old_tid: None, image: strings.image() };
        put(&Record { boot_ns, processor: None, body, flaws, about: known.marks })
    }
}

//! Who of a command's descendants lives, for a run that goes on until all have ended.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustc_hash::FxHashMap;

use crate::source::record::Body;
use crate::{Pid, StartTime};

/// The command and all its living descendants, however they were reparented. Shared by the pipeline, which sees forks and
/// exits, and the thread that waits. Bounded by the number of pids.
#[derive(Clone, Debug)]
pub(crate) struct Kin(Arc<Mutex<FxHashMap<Pid, Option<StartTime>>>>);

impl Kin {
    pub(crate) fn of(root: Pid) -> Self {
        Self(Arc::new(Mutex::new([(root, None)].into_iter().collect())))
    }

    fn lock(&self) -> MutexGuard<'_, FxHashMap<Pid, Option<StartTime>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn see(&self, body: &Body<'_>) {
        match body {
            Body::Fork { subject, thread: false, creator, .. } => {
                let mut living = self.lock();
                let creator = creator.as_ref().map_or(subject.parent.pid, |creator| creator.pid);
                if living.contains_key(&creator) || living.contains_key(&subject.parent.pid) {
                    living.insert(subject.pid, subject.id().start);
                } else {
                    // A stranger with the pid of one whose end was lost.
                    living.remove(&subject.pid);
                }
            }
            Body::Exit { subject, .. } => _ = self.lock().remove(&subject.pid),
            _ => {}
        }
    }

    /// Forgets those who are not there any more, in case their ends were lost.
    pub(crate) fn check(&self, start_of: impl Fn(Pid) -> Option<StartTime>) {
        self.lock().retain(|&pid, start| {
            // A start that was worked out may be a tick off.
            start_of(pid).is_some_and(|now| start.is_none_or(|start| start.0.abs_diff(now.0) <= 1))
        });
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.lock().is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::tests::subject;
    use crate::source::record::ExitRecord;

    fn born(pid: Pid, parent: Pid) -> Body<'static> {
        let mut subject = subject(pid, u64::from(pid) * 10_000_000, "x");
        subject.parent.pid = parent;
        Body::Fork { subject, thread: false, unasked: false, call: None, flags: None, creator: None, image: None }
    }

    fn ended(pid: Pid) -> Body<'static> {
        let exit = ExitRecord { wait_status: Some(0), killer: None, oom: false, usage: None };
        Body::Exit { subject: subject(pid, u64::from(pid) * 10_000_000, "x"), exit }
    }

    #[test]
    fn the_last_descendant_counts() {
        let kin = Kin::of(10);
        kin.see(&born(11, 10));
        kin.see(&ended(10));
        kin.see(&born(12, 11));
        kin.see(&born(13, 1));
        kin.see(&ended(11));
        assert!(!kin.is_empty());
        // A lost end; then the pid is another's.
        kin.check(|pid| Some(StartTime(u64::from(pid))));
        assert!(!kin.is_empty());
        kin.check(|_| Some(StartTime(99)));
        assert!(kin.is_empty());
    }
}

//! A command's living descendants, for a run that lasts until all have ended.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustc_hash::FxHashMap;

use super::Home;
use crate::record::Body;
use crate::{Pid, StartTime};

/// The command and all its living descendants, however they were reparented. Shared by the
/// pipeline, which sees forks and exits, and the thread that waits. Bounded by the number of pids.
#[derive(Clone, Debug)]
pub(crate) struct Kin {
    living: Arc<Mutex<FxHashMap<Pid, Option<StartTime>>>>,
    home: Home,
}

impl Kin {
    pub(crate) fn of(root: Pid, home: Home) -> Self {
        Self { living: Arc::new(Mutex::new([(root, None)].into_iter().collect())), home }
    }

    fn lock(&self) -> MutexGuard<'_, FxHashMap<Pid, Option<StartTime>>> {
        self.living.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn see(&self, body: &Body<'_>) {
        match body {
            Body::Fork { subject, thread: false, .. } => {
                let mut living = self.lock();
                let joins = body.descent().is_some_and(|descent| {
                    descent.is_below(|pid| living.contains_key(&pid)) || self.home.adopts(&descent) == Some(true)
                });
                if joins {
                    living.insert(subject.pid, subject.id().start);
                } else {
                    // An unrelated process with the pid of one whose end was lost.
                    living.remove(&subject.pid);
                }
            }
            Body::Exit { subject, .. } => _ = self.lock().remove(&subject.pid),
            _ => {}
        }
    }

    /// Forgets processes that no longer exist, in case their ends were lost.
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
    use crate::record::samples::subject;
    use crate::record::{ExitRecord, RefRecord};

    fn born(pid: Pid, parent: Pid) -> Body<'static> {
        made(pid, parent, None)
    }

    fn made(pid: Pid, parent: Pid, creator: Option<RefRecord>) -> Body<'static> {
        let mut subject = subject(pid, u64::from(pid) * 10_000_000, "x");
        subject.parent.pid = parent;
        Body::Fork { subject, thread: false, unasked: false, call: None, flags: None, creator, image: None }
    }

    fn ended(pid: Pid) -> Body<'static> {
        let exit = ExitRecord { wait_status: Some(0), killer: None, oom: false, usage: None };
        Body::Exit { subject: subject(pid, u64::from(pid) * 10_000_000, "x"), exit }
    }

    #[test]
    fn the_last_descendant_counts() {
        let kin = Kin::of(10, Home::default());
        kin.see(&born(11, 10));
        kin.see(&ended(10));
        kin.see(&born(12, 11));
        kin.see(&born(13, 1));
        kin.see(&ended(11));
        assert!(!kin.is_empty());
        // A lost end; the pid is now another process's.
        kin.check(|pid| Some(StartTime(u64::from(pid))));
        assert!(!kin.is_empty());
        kin.check(|_| Some(StartTime(99)));
        assert!(kin.is_empty());
    }

    /// CLONE_PARENT makes a child of the command's parent.
    #[test]
    fn a_sister_of_the_command_counts() {
        let (own, creator) = (5, subject(10, 0, "x").parent);
        for (home, creator, counts) in [
            (Home::default(), Some(RefRecord { pid: 10, ..creator }), true),
            (Home::default(), None, false),
            (Home { pid: own, sole: false }, None, false),
            (Home { pid: own, sole: true }, None, true),
            (Home { pid: own, sole: true }, Some(RefRecord { pid: own, ..creator }), false),
        ] {
            let kin = Kin::of(10, home);
            kin.see(&made(11, own, creator));
            kin.see(&ended(10));
            assert_eq!(!kin.is_empty(), counts, "{home:?} {creator:?}");
        }
    }
}

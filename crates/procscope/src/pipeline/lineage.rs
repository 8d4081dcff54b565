//! The ancestors of processes, for filters that ask about them; kept for nothing else.

use std::sync::Arc;

use crate::record::{Body, RefRecord, Subject, comm_bytes};
use crate::{Ancestor, Ancestry, BootId, Parentage, ProcessId};

/// Lines of processes, from records. Events are not enough: an unwanted one is never made.
#[derive(Default)]
pub(crate) struct Lineage {
    kept: bool,
    ancestry: Ancestry,
}

impl Parentage for Lineage {
    fn parent(&self, of: ProcessId) -> Option<Ancestor<'_>> {
        self.ancestry.parent(of)
    }

    fn boot_id(&self) -> Option<BootId> {
        self.ancestry.boot_id()
    }
}

impl Lineage {
    pub(crate) fn new(kept: bool) -> Self {
        Self { kept, ..Self::default() }
    }

    pub(crate) fn set_boot_id(&mut self, boot: BootId) {
        self.ancestry.set_boot_id(boot);
    }

    /// Updates from a record, except an end. The path of an executed file is built only if there is
    /// one.
    pub(crate) fn see(&mut self, body: &Body<'_>, exe: impl FnOnce() -> Option<Arc<[u8]>>) {
        if !self.kept {
            return;
        }
        match body {
            Body::Existing { subject, .. } | Body::Exec { subject, .. } => {
                self.learn(subject, comm_bytes(&subject.comm), exe());
            }
            Body::Fork { subject, thread: false, creator, image, .. } => {
                // A copy of its creator, which with CLONE_PARENT is not its parent.
                let creator = creator.as_ref().unwrap_or(&subject.parent).id();
                let exe = match image {
                    Some(_) => exe(),
                    None => self.ancestry.exe(creator).cloned(),
                };
                self.learn(subject, comm_bytes(&subject.comm), exe);
            }
            Body::Comm { subject, new, .. } if subject.pid == subject.tid => {
                self.learn(subject, comm_bytes(new), None);
            }
            _ => {}
        }
    }

    /// A process has ended; its last event is done with.
    pub(crate) fn end(&mut self, body: &Body<'_>) {
        if let Body::Exit { subject, .. } = body
            && self.kept
        {
            self.ancestry.end(subject.id(), Some(ancestor(&subject.parent)));
        }
    }

    fn learn(&mut self, subject: &Subject, name: Option<&[u8]>, exe: Option<Arc<[u8]>>) {
        self.ancestry.learn(subject.id(), Some(ancestor(&subject.parent)), name, exe);
    }
}

fn ancestor(of: &RefRecord) -> Ancestor<'_> {
    Ancestor { id: of.id(), name: comm_bytes(&of.comm), exe: None }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::pipeline::tests::{all, pipeline};
    use crate::record::samples::{comm, exec, exit, record, reference_to, subject};
    use crate::{Filter, Pid, Want};

    const TICK: u64 = 10_000_000;
    const NAMES: [&str; 4] = ["sshd", "bash", "cc", "x"];

    #[derive(Clone, Copy)]
    struct Living {
        pid: Pid,
        start_ns: u64,
        parent: (Pid, u64),
        name: &'static str,
    }

    /// A few processes that have a few pids between them.
    struct World {
        living: Vec<Living>,
        now_ns: u64,
    }

    impl World {
        fn subject(&self, of: Living) -> Subject {
            let mut it = subject(of.pid, of.start_ns, of.name);
            it.parent = self.reference(of.parent);
            it
        }

        fn reference(&self, (pid, start_ns): (Pid, u64)) -> RefRecord {
            let name = self.living.iter().find(|living| living.pid == pid).map_or("init", |living| living.name);
            RefRecord { comm: comm(name), ..reference_to(pid, start_ns) }
        }

        fn step(&mut self, kind: u8, which: usize, name: &'static str) -> Option<Body<'static>> {
            self.now_ns += TICK;
            let which = which % self.living.len();
            let old = self.living[which];
            match kind {
                0 | 1 => {
                    let pid = (2..9).find(|pid| self.living.iter().all(|living| living.pid != *pid))?;
                    // With CLONE_PARENT the creator is not the parent.
                    let parent = if kind == 1 && old.pid != 1 { old.parent } else { (old.pid, old.start_ns) };
                    let child = Living { pid, start_ns: self.now_ns, parent, name: old.name };
                    self.living.push(child);
                    let creator = Some(self.reference((old.pid, old.start_ns)));
                    let subject = self.subject(child);
                    let (thread, unasked, call, flags, image) = (false, false, None, Some(0), None);
                    Some(Body::Fork { subject, thread, unasked, call, flags, creator, image })
                }
                2 | 3 => {
                    self.living[which].name = name;
                    let it = self.subject(self.living[which]);
                    Some(match kind {
                        2 => exec(it, b"x\0", 2),
                        _ => Body::Comm { subject: it, old: comm(old.name), new: comm(name) },
                    })
                }
                4 if old.pid != 1 => {
                    let subject = self.subject(old);
                    self.living.remove(which);
                    let orphans = self.living.iter_mut().filter(|living| living.parent.0 == old.pid);
                    orphans.for_each(|orphan| orphan.parent = (1, 0));
                    Some(exit(subject))
                }
                _ => Some(Body::Sid { subject: self.subject(old) }),
            }
        }
    }

    proptest! {
        /// A filter decides alike by records and by their events, even if records are lost.
        #[test]
        fn events_make_the_same_lines(steps in proptest::collection::vec((0u8..6, 0usize..8, 0usize..4, 0u8..8), 0..100)) {
            let filter: Filter = "ancestor.name == sshd or ancestor.exe == /p or ancestor.pid == 3".parse().unwrap();
            let mut filtered = pipeline(&Want { filter: Some(filter.clone()), ..all() });
            let mut whole = pipeline(&all());
            let mut ancestry = Ancestry::default();
            let init = Living { pid: 1, start_ns: 0, parent: (0, 0), name: "init" };
            let mut world = World { living: vec![init], now_ns: 0 };
            for (kind, which, name, lost) in steps {
                let Some(body) = world.step(kind, which, NAMES[name]) else { continue };
                if lost == 0 {
                    continue;
                }
                let record = record(world.now_ns, body);
                let event = whole.feed(&record).unwrap();
                ancestry.observe(&event);
                prop_assert_eq!(filtered.feed(&record).is_some(), filter.matches(&event, &ancestry), "{:?}", event);
            }
        }
    }
}

//! The ancestors of processes, for filters that ask about them; kept for nothing else.

use std::collections::VecDeque;
use std::sync::Arc;

use rustc_hash::FxHashMap;

use crate::source::record::{Body, RefRecord, Subject, comm_bytes};
use crate::{Ancestor, Ancestry, BootId, Pid, ProcessId};

/// This many dead processes with descendants are kept.
const MOST_DEAD: usize = 32_768;

#[derive(Default)]
struct Member {
    /// Its parent at birth, or when it was first seen.
    parent: Option<ProcessId>,
    name: Option<Box<[u8]>>,
    exe: Option<Arc<[u8]>>,
    /// How many members have it as their parent.
    children: usize,
    dead: bool,
}

/// See the module. The living are bounded by the number of pids, the dead by [`MOST_DEAD`]: the
/// longest dead are forgotten first, and lines end there.
#[derive(Default)]
pub(crate) struct Lineage {
    kept: bool,
    boot: Option<BootId>,
    members: FxHashMap<ProcessId, Member>,
    /// The living process of each pid.
    living: FxHashMap<Pid, ProcessId>,
    /// In the order of their deaths; some may be forgotten already.
    dead: VecDeque<ProcessId>,
    /// How many of the members are dead.
    dead_members: usize,
}

impl Ancestry for Lineage {
    fn parent(&self, of: ProcessId) -> Option<Ancestor<'_>> {
        let id = self.members.get(&of)?.parent?;
        let parent = self.members.get(&id);
        Some(Ancestor {
            id,
            name: parent.and_then(|parent| parent.name.as_deref()),
            exe: parent.and_then(|parent| parent.exe.as_deref()),
        })
    }

    fn boot_id(&self) -> Option<BootId> {
        self.boot
    }
}

impl Lineage {
    pub(crate) fn new(kept: bool) -> Self {
        Self { kept, ..Self::default() }
    }

    pub(crate) fn set_boot_id(&mut self, boot: BootId) {
        self.boot = Some(boot);
    }

    /// Updates from a record, except an end. The path of an executed file is built only if there is
    /// one.
    pub(crate) fn see(&mut self, body: &Body<'_>, exe: impl FnOnce() -> Option<Arc<[u8]>>) {
        if !self.kept {
            return;
        }
        match body {
            Body::Existing { subject, .. } | Body::Exec { subject, .. } => {
                let exe = exe();
                let member = self.meet(subject);
                member.name = comm_bytes(&subject.comm).map(Into::into);
                member.exe = exe.or(member.exe.take());
            }
            Body::Fork { subject, thread: false, creator, image, .. } => {
                // A copy of its creator, which with CLONE_PARENT is not its parent.
                let creator = creator.as_ref().unwrap_or(&subject.parent).id();
                let exe = match image {
                    Some(_) => exe(),
                    None => self.members.get(&creator).and_then(|creator| creator.exe.clone()),
                };
                let member = self.meet(subject);
                member.name = comm_bytes(&subject.comm).map(Into::into);
                member.exe = exe.or(member.exe.take());
            }
            Body::Comm { subject, new, .. } if subject.pid == subject.tid => {
                self.meet(subject).name = comm_bytes(new).map(Into::into);
            }
            _ => {}
        }
    }

    /// A process has ended; its last event is done with.
    pub(crate) fn end(&mut self, body: &Body<'_>) {
        if let Body::Exit { subject, .. } = body
            && self.kept
        {
            self.meet(subject);
            self.bury(subject.id());
        }
    }

    fn meet(&mut self, subject: &Subject) -> &mut Member {
        let id = subject.id();
        let known = self.members.get(&id).is_some_and(|member| member.parent.is_some());
        // pid 0 has no name, and no two living processes have one pid.
        let parent = Some(&subject.parent).filter(|parent| !known && parent.pid != 0 && parent.pid != id.pid);
        parent.into_iter().for_each(|parent| self.meet_parent(parent));
        self.settle(id);
        if let Some(parent) = parent
            && let Some(member) = self.members.get_mut(&parent.id())
        {
            member.children += 1;
            self.members.entry(id).or_default().parent = Some(parent.id());
        }
        self.members.entry(id).or_default()
    }

    /// A parent without a record so far.
    fn meet_parent(&mut self, parent: &RefRecord) {
        let id = parent.id();
        if !self.members.contains_key(&id) {
            self.settle(id);
            let name = comm_bytes(&parent.comm).map(Into::into);
            self.members.insert(id, Member { name, ..Member::default() });
        }
    }

    /// Notes the owner of a pid: the earlier owner is dead, though its end may have been lost.
    fn settle(&mut self, id: ProcessId) {
        if self.members.get(&id).is_some_and(|member| member.dead) {
            return;
        }
        if let Some(before) = self.living.insert(id.pid, id)
            && before != id
        {
            self.bury(before);
        }
    }

    fn bury(&mut self, id: ProcessId) {
        if self.living.get(&id.pid) == Some(&id) {
            self.living.remove(&id.pid);
        }
        let Some(member) = self.members.get_mut(&id).filter(|member| !member.dead) else { return };
        member.dead = true;
        self.dead_members += 1;
        if member.children == 0 {
            self.forget(id);
            return;
        }
        self.dead.push_back(id);
        while self.dead_members > MOST_DEAD {
            let Some(oldest) = self.dead.pop_front() else { break };
            self.forget(oldest);
        }
        // Processes forgotten because they had no descendants leave holes.
        if self.dead.len() > 2 * MOST_DEAD {
            let members = &self.members;
            self.dead.retain(|id| members.contains_key(id));
        }
    }

    /// Removes a dead one, and those above it that were kept only for it.
    fn forget(&mut self, id: ProcessId) {
        let mut next = Some(id);
        while let Some(id) = next {
            let Some(member) = self.members.remove(&id) else { return };
            self.dead_members -= usize::from(member.dead);
            next = member.parent.filter(|parent| match self.members.get_mut(parent) {
                Some(parent) => {
                    parent.children = parent.children.saturating_sub(1);
                    parent.children == 0 && parent.dead
                }
                None => false,
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::pipeline::tests::{comm, exit, subject};
    use crate::source::record::{ImageRecord, NamesUp};

    fn born(pid: Pid, start: u64, parent: (Pid, u64), name: &str) -> Body<'static> {
        let mut it = subject(pid, start, name);
        it.parent = RefRecord { pid: parent.0, tid: parent.0, start_ns: parent.1, comm: comm("parent") };
        let creator = it.parent;
        Body::Fork {
            subject: it,
            thread: false,
            unasked: false,
            call: None,
            flags: Some(0),
            creator: Some(creator),
            image: None,
        }
    }

    fn ended(pid: Pid, start: u64) -> Body<'static> {
        let mut it = subject(pid, start, "it");
        // As the kernel reports an orphan.
        it.parent = RefRecord { pid: 1, tid: 1, start_ns: 0, comm: comm("init") };
        exit(it)
    }

    const TICK: u64 = 10_000_000;

    fn id(pid: Pid, start: u64) -> ProcessId {
        subject(pid, start, "").id()
    }

    fn names(lineage: &Lineage, mut of: ProcessId) -> Vec<String> {
        let mut names = Vec::new();
        while let Some(ancestor) = lineage.parent(of) {
            names.push(String::from_utf8_lossy(ancestor.name.unwrap_or(b"?")).into_owned());
            of = ancestor.id;
        }
        names
    }

    #[test]
    fn the_dead_stay_ancestors_while_they_are_needed() {
        let mut lineage = Lineage::new(true);
        lineage.see(&born(10, TICK, (1, 0), "sshd"), || None);
        lineage.see(&born(11, 2 * TICK, (10, TICK), "sshd"), || None);
        let mut it = subject(11, 2 * TICK, "bash");
        it.parent.pid = 10;
        let image = ImageRecord { exe: Some(NamesUp(b"bash\0bin\0")), ..ImageRecord::default() };
        let exec = Body::Exec { subject: it, old_comm: None, old_tid: Some(11), image };
        lineage.see(&exec, || Some(b"/bin/bash".as_slice().into()));
        lineage.see(&born(12, 3 * TICK, (11, 2 * TICK), "bash"), || None);
        assert_eq!(names(&lineage, id(12, 3 * TICK)), ["bash", "sshd", "parent"]);
        assert_eq!(lineage.parent(id(12, 3 * TICK)).unwrap().exe, Some(&b"/bin/bash"[..]));
        lineage.end(&ended(11, 2 * TICK));
        lineage.end(&ended(10, TICK));
        assert_eq!(names(&lineage, id(12, 3 * TICK)), ["bash", "sshd", "parent"]);
        lineage.end(&ended(12, 3 * TICK));
        assert_eq!((lineage.members.len(), lineage.dead_members), (1, 0));
        // The pid again, of another process.
        lineage.see(&born(12, 9 * TICK, (1, 0), "x"), || None);
        assert_eq!(names(&lineage, id(12, 9 * TICK)), ["parent"]);
        assert_eq!(names(&lineage, id(12, 3 * TICK)), [""; 0]);
    }

    #[test]
    fn an_end_that_was_lost_shows_when_the_pid_is_used_again() {
        let mut lineage = Lineage::new(true);
        for start in 1..100 {
            lineage.see(&born(12, start * TICK, (1, 0), "x"), || None);
        }
        assert_eq!(lineage.members.len(), 2);
    }

    #[test]
    fn of_the_dead_the_latest_are_kept() {
        let mut lineage = Lineage::new(true);
        // Each forks the next and ends.
        let last = MOST_DEAD as u64 + 100;
        for n in 1..=last {
            lineage.see(&born(n as Pid + 1, n * TICK, (n as Pid, (n - 1) * TICK), "x"), || None);
            if n > 1 {
                lineage.end(&ended(n as Pid, (n - 1) * TICK));
            }
        }
        assert_eq!(lineage.dead_members, MOST_DEAD);
        let line = names(&lineage, id(last as Pid + 1, last * TICK));
        // One more, known only by its id.
        assert_eq!(line.len(), MOST_DEAD + 1);
        assert_eq!(line.last().unwrap(), "?");
    }

    proptest! {
        /// Whatever comes, the count of children is right, and none is kept without need.
        #[test]
        fn the_counts_hold(steps in proptest::collection::vec((0u32..8, 0u64..4, 0u32..8, 0u64..4, any::<bool>()), 0..80)) {
            let mut lineage = Lineage::new(true);
            for (pid, start, parent, parent_start, ends) in steps {
                let body = if ends {
                    ended(pid, start * TICK)
                } else {
                    born(pid, start * TICK, (parent, parent_start * TICK), "x")
                };
                lineage.see(&body, || None);
                lineage.end(&body);
                for (id, member) in &lineage.members {
                    let children = lineage.members.values().filter(|child| child.parent == Some(*id)).count();
                    prop_assert_eq!(member.children, children);
                    prop_assert!(!member.dead || children > 0);
                    prop_assert!(member.dead || lineage.living.get(&id.pid) == Some(id));
                }
                prop_assert_eq!(lineage.dead_members, lineage.members.values().filter(|member| member.dead).count());
            }
        }
    }
}

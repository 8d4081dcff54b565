//! The ancestors of processes, which no event holds alone.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use crate::{BootId, Event, EventKind, Field, Name, Pid, ProcessId, ProcessRef};

/// This many dead processes with descendants are kept.
const MOST_DEAD: usize = 32_768;
/// This many living processes are kept.
const MOST_LIVING: usize = 1 << 18;
/// A line is followed over this many generations.
pub(crate) const MOST_GENERATIONS: usize = 4096;

/// An ancestor of an event's process.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Ancestor<'a> {
    /// Its identity.
    pub id: ProcessId,
    /// Its comm, as last seen.
    pub name: Option<&'a [u8]>,
    /// The file that it ran last.
    pub exe: Option<&'a [u8]>,
}

impl<'a> From<&'a ProcessRef> for Ancestor<'a> {
    fn from(process: &'a ProcessRef) -> Self {
        Self { id: process.id, name: process.name.as_deref(), exe: None }
    }
}

/// The parents of processes, and the boot: no event alone holds these. `()` knows nothing, so that
/// a filter sees only the parent; [`Ancestry`] learns from events.
pub trait Parentage {
    /// The parent that a process was born to, or had when it was first seen.
    fn parent(&self, of: ProcessId) -> Option<Ancestor<'_>>;

    /// The boot of the events; without it ids match by pid and start.
    fn boot_id(&self) -> Option<BootId> {
        None
    }
}

impl Parentage for () {
    fn parent(&self, _: ProcessId) -> Option<Ancestor<'_>> {
        None
    }
}

#[derive(Default)]
struct Member {
    /// Its parent at birth, or when it was first seen.
    parent: Option<ProcessId>,
    name: Option<Name>,
    exe: Option<Arc<[u8]>>,
    /// How many members have it as their parent.
    children: usize,
    dead: bool,
    /// It has no parent.
    first: bool,
}

/// The ancestors of processes, as far as events report them.
///
/// Pass it every event, in order, before you ask about that event:
///
/// ```
/// # fn events() -> Vec<procscope_model::Event> { Vec::new() }
/// use procscope_model::{Ancestry, Filter};
///
/// let filter: Filter = "ancestor.name == sshd".parse()?;
/// let mut ancestry = Ancestry::default();
/// for event in events() {
///     ancestry.observe(&event);
///     if filter.matches(&event, &ancestry) {
///         let line = ancestry.ancestors(&event);
///         println!("{:?}, complete: {}", line.clone().collect::<Vec<_>>(), line.is_complete());
///     }
/// }
/// # Ok::<(), procscope_model::FilterError>(())
/// ```
///
/// A line is whole if `existing`, `fork`, `exec` and `exit` events come. Without some of them it
/// ends where they would be needed.
///
/// It holds at most 262,144 living processes and 32,768 dead ones with descendants. Beyond that it
/// forgets those that it met first, or that died first. Lines end there.
#[derive(Default)]
pub struct Ancestry {
    boot: Option<BootId>,
    members: HashMap<ProcessId, Member>,
    /// The living process of each pid.
    living: HashMap<Pid, ProcessId>,
    /// Living processes in the order of their first events; some may be dead already.
    met: VecDeque<ProcessId>,
    /// In the order of their deaths; some may be forgotten already.
    dead: VecDeque<ProcessId>,
    /// How many of the members are dead.
    dead_members: usize,
    /// The process that ended with the last event. It stays until the next one.
    ending: Option<(ProcessId, Option<ProcessRef>)>,
}

impl std::fmt::Debug for Ancestry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { boot, members, dead_members, .. } = self;
        f.debug_struct("Ancestry")
            .field("boot", boot)
            .field("members", &members.len())
            .field("dead", dead_members)
            .finish()
    }
}

impl Parentage for Ancestry {
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

impl Ancestry {
    /// The boot of the events, as in [`Session::boot_id`](crate::Session::boot_id), for filters
    /// that compare ids.
    pub fn set_boot_id(&mut self, boot: BootId) {
        self.boot = Some(boot);
    }

    /// Learns from an event. The next event makes it forget a process that ended with this one, so
    /// you can ask about that process until then.
    pub fn observe(&mut self, event: &Event) {
        if let Some((id, parent)) = self.ending.take() {
            self.end(id, parent.as_ref().map(Ancestor::from));
        }
        let Some(process) = event.process() else { return };
        let id = process.id;
        let parent = process.parent.as_ref().map(Ancestor::from);
        match &event.kind {
            EventKind::Existing | EventKind::Exec(_) => {
                self.learn(id, parent, process.name.as_deref(), process.exe.clone());
            }
            EventKind::Fork(fork) => {
                // A copy of its creator, which with CLONE_PARENT is not its parent.
                let creator = fork.creator.as_ref().or(process.parent.as_ref());
                let copied = || self.exe(creator?.id).cloned();
                let exe = process.exe.clone().or_else(copied);
                self.learn(id, parent, process.name.as_deref(), exe);
            }
            EventKind::Comm(change) if event.tid == Some(id.pid) => {
                self.learn(id, parent, Some(&change.new), None);
            }
            EventKind::Exit(_) => self.ending = Some((id, process.parent.clone())),
            _ => {}
        }
        let has_none = parent.is_none() && event.flaw(Field::Parent).or(event.flaw(Field::Ppid)).is_none();
        if has_none && let Some(member) = self.members.get_mut(&id) {
            member.first = member.parent.is_none();
        }
    }

    /// The line of an event's process: its parent, that one's parent, and so on.
    pub fn ancestors<'a>(&'a self, event: &'a Event) -> Ancestors<'a> {
        Ancestors::new(self, event)
    }

    /// Learns about a living process without an event. A parent with pid 0 is none. The name
    /// replaces the known one; so does the file if there is one.
    pub fn learn(&mut self, id: ProcessId, parent: Option<Ancestor<'_>>, name: Option<&[u8]>, exe: Option<Arc<[u8]>>) {
        let member = self.meet(id, parent);
        member.name = name.map(Name::new);
        if exe.is_some() {
            member.exe = exe;
        }
    }

    /// Learns that a process has ended. It stays an ancestor.
    pub fn end(&mut self, id: ProcessId, parent: Option<Ancestor<'_>>) {
        self.meet(id, parent);
        self.bury(id);
    }

    /// The file that a process ran last.
    pub fn exe(&self, of: ProcessId) -> Option<&Arc<[u8]>> {
        self.members.get(&of)?.exe.as_ref()
    }

    fn meet(&mut self, id: ProcessId, parent: Option<Ancestor<'_>>) -> &mut Member {
        let known = self.members.get(&id).is_some_and(|member| member.parent.is_some());
        let first = parent.is_some_and(|parent| parent.id.pid == 0);
        // No two of the living have one pid.
        let parent = parent.filter(|parent| !known && parent.id.pid != 0 && parent.id.pid != id.pid);
        if let Some(parent) = parent {
            self.meet_parent(&parent);
        }
        self.settle(id);
        if let Some(parent) = parent
            && let Some(member) = self.members.get_mut(&parent.id)
        {
            member.children += 1;
            self.members.entry(id).or_default().parent = Some(parent.id);
        }
        let member = self.members.entry(id).or_default();
        member.first |= first && member.parent.is_none();
        member
    }

    /// A parent without an event so far.
    fn meet_parent(&mut self, parent: &Ancestor<'_>) {
        if !self.members.contains_key(&parent.id) {
            self.settle(parent.id);
            let member = Member { name: parent.name.map(Name::new), ..Member::default() };
            self.members.insert(parent.id, member);
        }
    }

    /// Notes the owner of a pid: the earlier owner is dead, though its end may have been lost.
    fn settle(&mut self, id: ProcessId) {
        if self.members.get(&id).is_some_and(|member| member.dead) {
            return;
        }
        match self.living.insert(id.pid, id) {
            Some(before) if before == id => {}
            before => {
                self.met.push_back(id);
                before.into_iter().for_each(|before| self.bury(before));
                self.bound_the_living();
            }
        }
    }

    fn bound_the_living(&mut self) {
        while self.living.len() > MOST_LIVING {
            let Some(first) = self.met.pop_front() else { break };
            if self.living.get(&first.pid) == Some(&first) {
                self.bury(first);
            }
        }
        // The dead leave holes.
        if self.met.len() > 2 * self.living.len().max(MOST_DEAD) {
            let living = &self.living;
            self.met.retain(|id| living.get(&id.pid) == Some(id));
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

/// The ancestors of one event's process, the nearest first: [`Ancestry::ancestors`].
#[derive(Clone)]
pub struct Ancestors<'a> {
    ancestry: &'a Ancestry,
    next: Option<Ancestor<'a>>,
    /// The process whose parent is the next.
    at: Option<ProcessId>,
    left: usize,
}

impl<'a> Ancestors<'a> {
    fn new(ancestry: &'a Ancestry, event: &'a Event) -> Self {
        let next = first_ancestor(ancestry, event);
        Self { ancestry, next, at: event.id(), left: MOST_GENERATIONS }
    }

    /// True if the line goes up to a process without a parent: nothing is missing at its end.
    pub fn is_complete(&self) -> bool {
        let mut rest = self.clone();
        while rest.next().is_some() {}
        let first = rest.at.filter(|_| rest.left > 0);
        first.is_some_and(|id| id.pid <= 1 || self.ancestry.members.get(&id).is_some_and(|member| member.first))
    }
}

impl<'a> Iterator for Ancestors<'a> {
    type Item = Ancestor<'a>;

    fn next(&mut self) -> Option<Ancestor<'a>> {
        self.left = self.left.checked_sub(1)?;
        let ancestor = self.next.take()?;
        self.at = Some(ancestor.id);
        self.next = self.ancestry.parent(ancestor.id);
        Some(ancestor)
    }
}

impl std::iter::FusedIterator for Ancestors<'_> {}

impl std::fmt::Debug for Ancestors<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.clone()).finish()
    }
}

/// The parent of an event's process; an unknown line still has the parent in the event.
pub(crate) fn first_ancestor<'a>(parentage: &'a dyn Parentage, event: &'a Event) -> Option<Ancestor<'a>> {
    let process = event.process()?;
    parentage.parent(process.id).or(process.parent.as_ref().map(Ancestor::from))
}

#[cfg(test)]
mod tests;

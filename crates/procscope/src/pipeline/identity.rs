//! Which process has a pid: whether its id is one that another had before, and whether it is the one that was asked for.

use rustc_hash::FxHashSet;

use crate::source::record::{Body, Subject, UNKNOWN_START};
use crate::{Field, Flaw, Pid, Process, ProcessId, StartTime};

/// So many pids are remembered, each at the place that it chooses.
const HOLDERS: usize = 4096;

/// Who was seen last with a pid.
#[derive(Clone, Copy)]
struct Holder {
    pid: Pid,
    start_ns: u64,
    ended: bool,
}

const NONE: Holder = Holder { pid: 0, start_ns: UNKNOWN_START, ended: false };

/// A process that was chosen by its pid when it ran already.
struct Pin {
    pid: Pid,
    start: StartTime,
    ended: bool,
    /// Another process has its pid.
    replaced: bool,
}

/// See the module.
pub(super) struct Identity {
    holders: Vec<Holder>,
    /// The source knows starts to the nanosecond: another one is another process.
    exact: bool,
    /// The pids of living processes that bear the id of one before.
    repeated: FxHashSet<Pid>,
    pins: Vec<Pin>,
}

impl Identity {
    pub(super) fn new(exact: bool) -> Self {
        Self { holders: vec![NONE; HOLDERS], exact, repeated: FxHashSet::default(), pins: Vec::new() }
    }

    /// Only these, and nobody who gets one of their pids afterwards.
    pub(super) fn pin(&mut self, pins: impl IntoIterator<Item = (Pid, StartTime)>) {
        self.pins.extend(pins.into_iter().map(|(pid, start)| Pin { pid, start, ended: false, replaced: false }));
    }

    /// Sees who has a pid, before an event is made of a record.
    pub(super) fn meet(&mut self, body: &Body<'_>) {
        match body {
            Body::Fork { subject, thread: false, .. } => {
                self.hold(subject, true);
                for pin in self.pins.iter_mut().filter(|pin| pin.pid == subject.pid) {
                    pin.replaced |= pin.ended;
                }
            }
            Body::Exec { subject, .. } | Body::Existing { subject, .. } => self.hold(subject, false),
            _ => {}
        }
    }

    fn hold(&mut self, subject: &Subject, new: bool) {
        let Subject { pid, start_ns, .. } = *subject;
        let holder = &mut self.holders[pid as usize % HOLDERS];
        let tick = StartTime::from_boot_ns;
        let known = start_ns != UNKNOWN_START && holder.start_ns != UNKNOWN_START;
        if known && holder.pid == pid && tick(holder.start_ns) == tick(start_ns) {
            // What was read from /proc has its tick alone.
            let read = |ns: u64| tick(ns).boot_ns() == ns;
            let another = holder.start_ns != start_ns && !read(start_ns) && !read(holder.start_ns);
            if new && holder.ended || self.exact && another {
                self.repeated.insert(pid);
            }
        } else if !self.repeated.is_empty() {
            self.repeated.remove(&pid);
        }
        *holder = Holder { pid, start_ns, ended: false };
    }

    /// True where this very process was reported to have ended, just now; it is remembered that it has.
    pub(super) fn has_ended(&mut self, subject: &Subject) -> bool {
        let Subject { pid, start_ns, .. } = *subject;
        let holder = &mut self.holders[pid as usize % HOLDERS];
        let ended = holder.ended && (holder.pid, holder.start_ns) == (pid, start_ns);
        *holder = Holder { pid, start_ns, ended: true };
        ended
    }

    /// Marks an id that is not the process's alone.
    pub(super) fn mark(&self, process: &mut std::sync::Arc<Process>) {
        if self.repeated.is_empty() {
            return;
        }
        let parent = process.parent.as_ref().map(|parent| parent.id.pid);
        for (field, pid) in [(Field::Id, Some(process.id.pid)), (Field::Parent, parent)] {
            if pid.is_some_and(|pid| self.repeated.contains(&pid)) {
                std::sync::Arc::make_mut(process).flaws.mark(field, Flaw::Repeated);
            }
        }
    }

    /// Whether it is, of those that were chosen by pid, no stranger who got the pid.
    pub(super) fn is_chosen(&self, id: ProcessId) -> bool {
        let is = |pin: &Pin| !pin.replaced && id.start.is_none_or(|start| start.0 <= pin.start.0 + 1);
        self.pins.iter().all(|pin| pin.pid != id.pid || is(pin))
    }

    /// Sees who has ended, when the last event of it is done with.
    pub(super) fn leave(&mut self, body: &Body<'_>) {
        if let Body::Exit { subject, .. } = body {
            self.repeated.remove(&subject.pid);
            self.pins.iter_mut().filter(|pin| pin.pid == subject.pid).for_each(|pin| pin.ended = true);
        }
    }
}

#[cfg(test)]
mod tests;

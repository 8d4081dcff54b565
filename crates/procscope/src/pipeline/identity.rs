//! The owner of a pid: whether its id is one that another process had before, and whether it is the
//! requested one.

use rustc_hash::FxHashSet;

use crate::source::record::{Body, Subject, UNKNOWN_START};
use crate::{Field, Flaw, Pid, Process, ProcessId, StartTime};

/// This many pids are remembered, each at the place that it chooses.
const HOLDERS: usize = 4096;

/// The last known owner of a pid.
#[derive(Clone, Copy)]
struct Holder {
    pid: Pid,
    start_ns: u64,
    ended: bool,
}

const NONE: Holder = Holder { pid: 0, start_ns: UNKNOWN_START, ended: false };

/// A process that was chosen by its pid when it was already running.
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
    /// The source knows starts to the nanosecond: another start is another process.
    exact: bool,
    /// The pids of living processes whose id an earlier process had.
    repeated: FxHashSet<Pid>,
    pins: Vec<Pin>,
}

impl Identity {
    pub(super) fn new(exact: bool) -> Self {
        Self { holders: vec![NONE; HOLDERS], exact, repeated: FxHashSet::default(), pins: Vec::new() }
    }

    /// Only these, and no process that gets one of their pids afterwards.
    pub(super) fn pin(&mut self, pins: impl IntoIterator<Item = (Pid, StartTime)>) {
        self.pins.extend(pins.into_iter().map(|(pid, start)| Pin { pid, start, ended: false, replaced: false }));
    }

    /// Notes the owner of a pid, before an event is made from a record.
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
            // A start read from /proc has only its tick.
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

    /// True if exactly this process was just reported to have ended; this is remembered.
    pub(super) fn has_ended(&mut self, subject: &Subject) -> bool {
        let Subject { pid, start_ns, .. } = *subject;
        let holder = &mut self.holders[pid as usize % HOLDERS];
        let ended = holder.ended && (holder.pid, holder.start_ns) == (pid, start_ns);
        *holder = Holder { pid, start_ns, ended: true };
        ended
    }

    /// Marks an id that is not unique to the process.
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

    /// For processes chosen by pid: whether it is one of them, and not another process that got the
    /// pid.
    pub(super) fn is_chosen(&self, id: ProcessId) -> bool {
        let is = |pin: &Pin| !pin.replaced && id.start.is_none_or(|start| start.0 <= pin.start.0 + 1);
        self.pins.iter().all(|pin| pin.pid != id.pid || is(pin))
    }

    /// Notes the end of a process, after its last event.
    pub(super) fn leave(&mut self, body: &Body<'_>) {
        if let Body::Exit { subject, .. } = body {
            self.repeated.remove(&subject.pid);
            self.pins.iter_mut().filter(|pin| pin.pid == subject.pid).for_each(|pin| pin.ended = true);
        }
    }
}

#[cfg(test)]
mod tests;

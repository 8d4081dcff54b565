//! The owner of a pid: whether its id is one that another process had before, and whether it is the
//! requested one.

use std::mem;

use rustc_hash::{FxHashMap, FxHashSet};

use crate::record::{Body, Subject, UNKNOWN_START};
use crate::{Field, Flaw, Pid, Process, ProcessId, StartTime};

/// A pid's owner is remembered for this long, ten ticks, ns.
const SPAN_NS: u64 = 100_000_000;
/// So many owners are remembered however long they have been there.
const FEW: usize = 1024;
/// And at most twice so many, should their starts tell nothing of the time.
const MANY: usize = 1 << 16;

/// The last known owner of a pid.
#[derive(Clone, Copy)]
struct Holder {
    start_ns: u64,
    ended: bool,
}

/// The last known owners of the pids that were used of late.
#[derive(Default)]
struct Holders {
    recent: FxHashMap<Pid, Holder>,
    earlier: FxHashMap<Pid, Holder>,
    /// The first start among the recent ones.
    since_ns: u64,
}

impl Holders {
    /// Notes the owner, and returns the one before.
    fn put(&mut self, pid: Pid, holder: Holder) -> Option<Holder> {
        let before = self.recent.insert(pid, holder).or_else(|| self.earlier.get(&pid).copied());
        let len = self.recent.len();
        if len >= FEW {
            self.age(holder.start_ns, len);
        }
        before
    }

    fn age(&mut self, start_ns: u64, len: usize) {
        let old = start_ns != UNKNOWN_START && start_ns > self.since_ns.saturating_add(SPAN_NS);
        if old || len >= MANY {
            self.earlier = mem::take(&mut self.recent);
            self.since_ns = if old { start_ns } else { self.since_ns };
        }
    }
}

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
    holders: Holders,
    /// The source knows starts to the nanosecond: another start is another process.
    exact: bool,
    /// The pids of living processes whose id an earlier process had.
    repeated: FxHashSet<Pid>,
    pins: Vec<Pin>,
}

impl Identity {
    pub(super) fn new(exact: bool) -> Self {
        Self { holders: Holders::default(), exact, repeated: FxHashSet::default(), pins: Vec::new() }
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
        let before = self.holders.put(pid, Holder { start_ns, ended: false });
        let tick = StartTime::from_boot_ns;
        let known = |before: &Holder| start_ns != UNKNOWN_START && before.start_ns != UNKNOWN_START;
        match before.filter(|before| known(before) && tick(before.start_ns) == tick(start_ns)) {
            Some(before) => {
                // A start read from /proc has only its tick.
                let read = |ns: u64| tick(ns).boot_ns() == ns;
                let another = before.start_ns != start_ns && !read(start_ns) && !read(before.start_ns);
                if new && before.ended || self.exact && another {
                    self.repeated.insert(pid);
                }
            }
            None if self.repeated.is_empty() => {}
            None => {
                self.repeated.remove(&pid);
            }
        }
    }

    /// True if exactly this process was just reported to have ended; this is remembered.
    pub(super) fn has_ended(&mut self, subject: &Subject) -> bool {
        let Subject { pid, start_ns, .. } = *subject;
        let before = self.holders.put(pid, Holder { start_ns, ended: true });
        before.is_some_and(|before| before.ended && before.start_ns == start_ns)
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

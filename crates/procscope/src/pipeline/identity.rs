//! The owner of a pid: whether its id is one that another process had before, and whether it is the
//! requested one.

use std::mem;

use rustc_hash::{FxHashMap, FxHashSet};

use crate::record::{Body, Subject, UNKNOWN_START};
use crate::{Field, Flaw, Pid, Process, ProcessId, StartTime};

/// This many pids have a place of their own, which each chooses.
const PLACES: usize = 4096;
/// A process that began so much before the last one has no id that comes again, ns: ten ticks.
const SPAN_NS: u64 = 100_000_000;
/// This many owners whose place another pid has taken are kept without a look at their age.
const FEW: usize = 1024;
/// At most this many are, whatever their age is.
const MANY: usize = 1 << 16;

/// The last known owner of a pid.
#[derive(Clone, Copy)]
struct Holder {
    pid: Pid,
    start_ns: u64,
    ended: bool,
}

const NONE: Holder = Holder { pid: 0, start_ns: UNKNOWN_START, ended: false };

/// The last known owners of the pids that were used of late.
struct Holders {
    places: Vec<Holder>,
    /// Those whose place another pid has taken.
    aside: FxHashMap<Pid, Holder>,
    /// Beyond this many the old ones are dropped.
    room: usize,
    /// The last start that was seen.
    last_ns: u64,
}

impl Holders {
    fn new() -> Self {
        Self { places: vec![NONE; PLACES], aside: FxHashMap::default(), room: FEW, last_ns: 0 }
    }

    /// Notes the owner of its pid, and returns the one before.
    fn put(&mut self, holder: Holder) -> Option<Holder> {
        if holder.start_ns != UNKNOWN_START {
            self.last_ns = self.last_ns.max(holder.start_ns);
        }
        let before = mem::replace(&mut self.places[holder.pid as usize % PLACES], holder);
        if before.pid == holder.pid {
            return Some(before);
        }
        if before.pid != 0 {
            self.keep(before);
        }
        if self.aside.is_empty() { None } else { self.aside.remove(&holder.pid) }
    }

    fn keep(&mut self, holder: Holder) {
        if self.aside.len() >= self.room {
            let last_ns = self.last_ns;
            self.aside.retain(|_, it| it.start_ns.saturating_add(SPAN_NS) >= last_ns && it.start_ns != UNKNOWN_START);
            if self.aside.len() >= MANY / 2 {
                self.aside.clear();
            }
            self.room = FEW.max(2 * self.aside.len());
        }
        self.aside.insert(holder.pid, holder);
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
        Self { holders: Holders::new(), exact, repeated: FxHashSet::default(), pins: Vec::new() }
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
        let before = self.holders.put(Holder { pid, start_ns, ended: false });
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
        let before = self.holders.put(Holder { pid, start_ns, ended: true });
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

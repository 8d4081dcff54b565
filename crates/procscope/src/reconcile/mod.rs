//! Compares the reports of two mechanisms on the same time.

mod comparing;
mod pairing;

use std::collections::VecDeque;

use rustc_hash::FxHashMap;

use crate::{Counts, Event, EventKind, EventSet, Field, Kind, Lost, Pid, Session, SourceId, Timestamp};
use comparing::{comparable, counts_loss, differences, is_told};
use pairing::{distance, pairs_with, same, start};

/// One of two mechanisms.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Side {
    /// The one whose events are used.
    First,
    /// The one that it is compared with.
    Second,
}

impl Side {
    /// Both.
    pub const BOTH: [Self; 2] = [Self::First, Self::Second];

    /// The other one.
    #[must_use]
    pub fn other(self) -> Self {
        match self {
            Self::First => Self::Second,
            Self::Second => Self::First,
        }
    }
}

/// This long after an event the other mechanism has reported it, or never will: times are the
/// kernel's, and a process interrupted between noting and sending is not delayed longer.
const GRACE_NS: i64 = 3_000_000_000;
/// So close to each other they are certainly the same.
const NEAR_NS: u64 = 2_000_000;
/// Events this close to the first or the last moment may have been reported by only one.
const EDGE_NS: i64 = 50_000_000;
/// A mark of lost events may be this far from them: some counts are read once a second.
const SLACK_NS: i64 = 2_000_000_000;
/// This many events of each mechanism wait for their counterpart; then the oldest are given up.
const MOST_WAITING: usize = 1 << 15;
/// This many marks of lost events are kept apart; then the oldest become one.
const MOST_MARKS: usize = 1024;
/// This many discrepancies wait to be taken; beyond that they are only counted.
const MOST_FOUND: usize = 1024;
/// A disagreement between two mechanisms.
#[derive(Clone, PartialEq, Debug)]
#[non_exhaustive]
pub enum Discrepancy {
    /// One reported it, the other did not.
    Missing {
        /// The reported event.
        event: Box<Event>,
        /// The mechanism that did not.
        from: SourceId,
    },
    /// Both reported it, and differ in a field that both mark as exact.
    Differs {
        /// The field: [`Field::Status`], [`Field::Argv`] or [`Field::Ppid`]; [`Field::Name`] for a
        /// change of name, [`Field::User`] for one of user or group.
        field: Field,
        /// The first's report.
        first: Box<Event>,
        /// The second's report.
        second: Box<Event>,
    },
}

/// The result. Each compared event is counted once.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct Verification {
    /// Events that both reported, by kind.
    pub agreed: Counts,
    /// Events missing from the first's reports, and from the second's; by kind.
    pub missing: [Counts; 2],
    /// Events also missing, but counted as lost by the mechanism that did not report them.
    pub explained: [Counts; 2],
    /// Events that only the other side reported, and that this one may omit: it has a filter, or it
    /// does not count its misses, or the kernel does not report such a change to it everywhere.
    pub optional: [u64; 2],
    /// Events of only one side at a time when the other may not have been attached.
    pub outside: u64,
    /// Events that could not be decided: too many waited for the other side, which was far behind.
    pub given_up: u64,
    /// Fields with different values in events that both reported, and how often.
    pub differing: Vec<(Field, u64)>,
}

impl Verification {
    /// All events that both reported.
    pub fn total_agreed(&self) -> u64 {
        self.agreed.total()
    }

    /// All events missing from this side's reports, with no loss that explains it.
    pub fn total_missing(&self, side: Side) -> u64 {
        self.missing[side as usize].total()
    }

    /// All events missing from this side's reports that it counted as lost.
    pub fn total_explained(&self, side: Side) -> u64 {
        self.explained[side as usize].total()
    }

    /// All events that were compared.
    pub fn total_compared(&self) -> u64 {
        let of = |side| self.total_missing(side) + self.total_explained(side);
        Side::BOTH.into_iter().map(of).sum::<u64>() + self.total_agreed()
    }

    /// True if nothing speaks against either: everything that one reported, the other reported too,
    /// or counted as lost.
    pub fn is_complete(&self) -> bool {
        Side::BOTH.into_iter().all(|side| self.total_missing(side) == 0)
            && self.given_up == 0
            && self.differing.is_empty()
    }
}

/// Takes the events of two monitors that watch the same, and finds those that only one of them
/// reported. It does no I/O, and needs no clock except that of the events. The events of each side
/// come in the order of its monitor; the two sides in any order.
///
/// Two events match if they have the same kind and the same process, by pid and start; of several,
/// those closest in time. An estimated start may be up to a second off, and an unknown one matches
/// any. A mechanism has to report the kinds that its [`Capabilities`](crate::Capabilities) name,
/// while it was attached. Losses that it reports explain missing events, up to the counted number.
/// A mechanism that does not count losses does not have to report everything.
#[derive(Debug)]
pub struct Reconciler {
    sides: [Held; 2],
    kinds: EventSet,
    /// A kind that a side does not report is not missing.
    exempt: [bool; 2],
    from: Timestamp,
    serial: u64,
    waiting: FxHashMap<Pid, Vec<Waiting>>,
    found: VecDeque<Discrepancy>,
    verification: Verification,
    differing: [u64; Field::ALL.len()],
}

/// The state of one side.
#[derive(Debug)]
struct Held {
    id: SourceId,
    /// The latest event.
    last: Option<Timestamp>,
    /// Up to when nothing is missing; `None` while it runs.
    until: Option<Timestamp>,
    /// Those that wait, by serial number, in order; some of them wait no more.
    order: VecDeque<(Pid, u64)>,
    /// How many wait.
    waiting: usize,
    marks: VecDeque<Mark>,
    /// Events up to here were given up.
    given_up: Option<Timestamp>,
}

/// Between these moments this many events were lost.
#[derive(Debug)]
struct Mark {
    from: Option<Timestamp>,
    to: Option<Timestamp>,
    counts: Counts,
}

#[derive(Debug)]
struct Waiting {
    serial: u64,
    side: Side,
    event: Event,
    /// The other side may omit it.
    optional: bool,
}

impl Reconciler {
    /// For two monitors, by their [`Monitor::session`](crate::Monitor::session). Everything that
    /// both are asked for and can report is compared.
    pub fn new(first: &Session, second: &Session) -> Self {
        let side = |session: &Session| Held {
            id: session.source,
            last: None,
            until: None,
            order: VecDeque::new(),
            waiting: 0,
            marks: VecDeque::new(),
            given_up: None,
        };
        let can = |session: &Session| {
            let kinds = comparable(session.source).intersection(session.events).iter();
            kinds.filter(|&kind| !session.unavailable.contains(kind)).fold(EventSet::NONE, EventSet::with)
        };
        Self {
            sides: [side(first), side(second)],
            kinds: can(first).intersection(can(second)),
            exempt: [first, second].map(|session| !counts_loss(session.source)),
            from: first.attached.max(second.attached),
            serial: 0,
            waiting: FxHashMap::default(),
            found: VecDeque::new(),
            verification: Verification::default(),
            differing: [0; Field::ALL.len()],
        }
    }

    /// The kinds that are compared.
    pub fn kinds(&self) -> EventSet {
        self.kinds
    }

    /// Handles an event.
    pub fn add(&mut self, side: Side, event: &Event) {
        self.take_in(side, event, false);
    }

    /// The same for an event that the other side may omit: it has a filter that this side has not,
    /// and that may refuse it.
    pub fn add_optional(&mut self, side: Side, event: &Event) {
        self.take_in(side, event, true);
    }

    fn take_in(&mut self, side: Side, event: &Event, optional: bool) {
        if let EventKind::Lost(lost) = &event.kind {
            self.sides[side as usize].lose(lost);
            return;
        }
        self.sides[side as usize].advance(event.time);
        let kind = event.kind.kind();
        let Some(process) = event.process.as_ref().filter(|_| self.kinds.contains(kind)) else { return };
        let pid = process.id.pid;
        match self.counterpart(side, event) {
            Some(theirs) => self.agree(side, event, &theirs),
            None => {
                self.serial += 1;
                let waiting = Waiting { serial: self.serial, side, event: event.clone(), optional };
                self.waiting.entry(pid).or_default().push(waiting);
                let held = &mut self.sides[side as usize];
                held.order.push_back((pid, self.serial));
                held.waiting += 1;
            }
        }
        self.settle();
        self.bound(side);
    }

    /// A side has ended, and nothing is missing up to this moment: [`Summary::until`](crate::Summary::until).
    pub fn end(&mut self, side: Side, until: Timestamp) {
        self.sides[side as usize].until = Some(until);
    }

    /// The next discrepancy. Those that a counted loss explains, and those beyond some 1,000 that
    /// were not taken, are only counted.
    pub fn take(&mut self) -> Option<Discrepancy> {
        self.found.pop_front()
    }

    /// Both have ended: decides about the events that still wait. [`Reconciler::take`] gives the
    /// findings.
    pub fn finish(&mut self) -> Verification {
        for side in Side::BOTH {
            while let Some((pid, serial)) = self.sides[side as usize].order.pop_front() {
                self.decide(pid, serial, i64::MAX);
            }
        }
        let differing = Field::ALL.into_iter().map(|field| (field, self.differing[field as usize]));
        self.verification.differing = differing.filter(|(_, n)| *n > 0).collect();
        self.verification.clone()
    }

    /// Removes the other side's report of this event, if it is certain.
    fn counterpart(&mut self, side: Side, event: &Event) -> Option<Event> {
        let pid = event.process.as_ref()?.id.pid;
        let all = self.waiting.get_mut(&pid)?;
        let candidates = || all.iter().enumerate().filter(|(_, it)| it.side != side && same(&it.event, event));
        let (at, nearest) = candidates().min_by_key(|(_, it)| distance(&it.event, event))?;
        // A process begins and ends once.
        let once = matches!(event.kind, EventKind::Fork(_) | EventKind::Exit(_)) && start(event).is_some();
        let certain = once && start(event) == start(&nearest.event) || distance(&nearest.event, event) <= NEAR_NS;
        // If there are several changes at once, the nearest may be the next one: all of them are
        // put in order when they are there.
        let alike = matches!(event.kind, EventKind::Clone(_) | EventKind::ThreadExit(_));
        let one_of_many =
            || !once && !alike && candidates().filter(|(_, it)| distance(&it.event, event) <= NEAR_NS).count() > 1;
        if !certain || one_of_many() {
            return None;
        }
        let serial = all[at].serial;
        self.remove(pid, serial).map(|it| it.event)
    }

    fn agree(&mut self, side: Side, ours: &Event, theirs: &Event) {
        let (first, second) = if side == Side::First { (ours, theirs) } else { (theirs, ours) };
        self.verification.agreed.add(ours.kind.kind(), 1);
        for field in differences(first, second) {
            self.differing[field as usize] += 1;
            self.find(Discrepancy::Differs { field, first: Box::new(first.clone()), second: Box::new(second.clone()) });
        }
    }

    fn find(&mut self, discrepancy: Discrepancy) {
        if self.found.len() < MOST_FOUND {
            self.found.push_back(discrepancy);
        }
    }

    /// Decides about events that have waited long enough: both sides have come further, so that
    /// every possible counterpart has found its own.
    fn settle(&mut self) {
        let [Some(first), Some(second)] = [self.sides[0].last, self.sides[1].last] else { return };
        let due = first.min(second).0.saturating_sub(GRACE_NS);
        for side in Side::BOTH {
            while let Some(&(pid, serial)) = self.sides[side as usize].order.front() {
                let waiting = self.waiting.get(&pid).and_then(|all| all.iter().find(|it| it.serial == serial));
                if waiting.is_some_and(|it| it.event.time.0 >= due) {
                    break;
                }
                self.sides[side as usize].order.pop_front();
                self.decide(pid, serial, due);
            }
        }
    }

    /// Takes out one that waits.
    fn remove(&mut self, pid: Pid, serial: u64) -> Option<Waiting> {
        let all = self.waiting.get_mut(&pid)?;
        let at = all.iter().position(|it| it.serial == serial)?;
        let taken = all.remove(at);
        if all.is_empty() {
            self.waiting.remove(&pid);
        }
        self.sides[taken.side as usize].waiting -= 1;
        Some(taken)
    }

    /// Finds the counterpart of an event that has waited long enough, as all from before `due`
    /// have, or the reason why it has none.
    fn decide(&mut self, pid: Pid, serial: u64, due: i64) {
        let pairs = self.waiting.get(&pid).map(|all| pairs_with(all, serial, due));
        for [ours, theirs] in pairs.unwrap_or_default() {
            if let (Some(ours), Some(theirs)) = (self.remove(pid, ours), self.remove(pid, theirs)) {
                self.agree(ours.side, &ours.event, &theirs.event);
            }
        }
        if let Some(Waiting { side, event, optional, .. }) = self.remove(pid, serial) {
            self.miss(side, event, optional);
        }
    }

    /// Only one side reported this.
    fn miss(&mut self, side: Side, event: Event, optional: bool) {
        let kind = event.kind.kind();
        let from = side.other();
        let end = self.sides.iter().filter_map(|side| side.until).min().map_or(i64::MAX, |end| end.0);
        let within = |edge: i64| (self.from.0.saturating_add(edge)..=end.saturating_sub(edge)).contains(&event.time.0);
        let (attached, surely) = (within(0), within(EDGE_NS));
        let other = &mut self.sides[from as usize];
        if other.given_up.is_some_and(|until| event.time.0 <= until.0.saturating_add(EDGE_NS)) {
            // It may have been reported; counted losses are for those that were not.
            self.verification.given_up += 1;
        } else if attached && other.counted(&event) {
            self.verification.explained[from as usize].add(kind, 1);
        } else if !surely {
            self.verification.outside += 1;
        } else if optional || self.exempt[from as usize] || !is_told(&event, other.id) {
            self.verification.optional[from as usize] += 1;
        } else {
            let from_id = other.id;
            self.verification.missing[from as usize].add(kind, 1);
            self.find(Discrepancy::Missing { event: event.into(), from: from_id });
        }
    }

    fn bound(&mut self, side: Side) {
        while self.sides[side as usize].waiting > MOST_WAITING {
            let Some((pid, serial)) = self.sides[side as usize].order.pop_front() else { return };
            let Some(Waiting { event, .. }) = self.remove(pid, serial) else { continue };
            let given_up = &mut self.sides[side as usize].given_up;
            *given_up = (*given_up).max(Some(event.time));
            self.verification.given_up += 1;
        }
        let Held { order, waiting, .. } = &mut self.sides[side as usize];
        if order.len() > 2 * *waiting + MOST_WAITING {
            let all = &self.waiting;
            order.retain(|(pid, serial)| all.get(pid).is_some_and(|all| all.iter().any(|it| it.serial == *serial)));
        }
    }
}

impl Held {
    fn advance(&mut self, time: Timestamp) {
        self.last = self.last.max(Some(time));
        for mark in self.marks.iter_mut().rev().take_while(|mark| mark.to.is_none()) {
            mark.to = Some(time);
        }
    }

    fn lose(&mut self, lost: &Lost) {
        self.marks.push_back(Mark { from: self.last, to: None, counts: lost.counts });
        if self.marks.len() > MOST_MARKS
            && let (Some(oldest), Some(next)) = (self.marks.pop_front(), self.marks.front_mut())
        {
            next.from = oldest.from;
            next.counts.add_all(&oldest.counts);
        }
    }

    /// Whether it counted this one as lost; each counted loss explains one.
    fn counted(&mut self, event: &Event) -> bool {
        let time = event.time.0;
        let around = |mark: &Mark| {
            mark.from.is_none_or(|from| from.0.saturating_sub(SLACK_NS) <= time)
                && mark.to.is_none_or(|to| time <= to.0.saturating_add(SLACK_NS))
        };
        for of in [event.kind.kind(), Kind::Lost] {
            let mut marks = self.marks.iter_mut();
            if let Some(mark) = marks.find(|mark| mark.counts.of(of) > 0 && around(mark)) {
                mark.counts.set(of, mark.counts.of(of) - 1);
                return true;
            }
        }
        false
    }
}

#[cfg(test)]
mod tests;

//! Compares the reports of two mechanisms on the same time.

use std::collections::VecDeque;

use rustc_hash::FxHashMap;

use crate::source::table;
use crate::{
    Counts, Credentials, Event, EventKind, EventSet, ExitStatus, Field, Flaw, Flaws, Kind, Lost, Pid, Process,
    ProcessId, Session, SourceId, Timestamp,
};

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

/// The kinds that are compared. Each mechanism sees debuggers at another place in the kernel, and a
/// snapshot is of another moment.
pub(crate) const COMPARABLE: EventSet = EventSet::NONE
    .with(Kind::Fork)
    .with(Kind::Clone)
    .with(Kind::Exec)
    .with(Kind::ExecFailed)
    .with(Kind::Exit)
    .with(Kind::ThreadExit)
    .with(Kind::Core)
    .with(Kind::Comm)
    .with(Kind::Uid)
    .with(Kind::Gid)
    .with(Kind::Sid);

/// Those of them of which a sampling mechanism may report one in place of several.
const CHANGES: EventSet = EventSet::NONE.with(Kind::Comm).with(Kind::Uid).with(Kind::Gid).with(Kind::Sid);

/// This long after an event the other mechanism has reported it, or never will: times are the
/// kernel's, and a process interrupted between noting and sending is not delayed longer.
const GRACE_NS: i64 = 3_000_000_000;
/// A worked-out start is late by as long as a busy machine stopped the forking thread. A pid is not
/// reused so soon.
const MOST_LATE_TICKS: u64 = 100;
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
/// This many of one process's events of one kind are paired at once, of each side, the earliest.
const MOST_ALIGNED: usize = 256;

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

/// The kinds that a mechanism has to report.
fn comparable(id: SourceId) -> EventSet {
    let capabilities = table::SOURCES.iter().find(|it| it.id() == id).map(|it| it.capabilities());
    let kinds = capabilities.map_or(EventSet::NONE, |it| it.events.intersection(COMPARABLE)).iter();
    let sampled = if counts_loss(id) { EventSet::NONE } else { CHANGES };
    kinds.filter(|&kind| !sampled.contains(kind)).fold(EventSet::NONE, EventSet::with)
}

/// Whether the kernel also reports to this mechanism such a change, which the other one reported.
fn is_told(event: &Event, id: SourceId) -> bool {
    let by_connector = id == SourceId::ProcessConnector;
    match event.kind {
        // Only prctl(2) and /proc call `proc_comm_connector`; kernel threads and those of io_uring
        // do not use them.
        EventKind::Comm(_) if by_connector => event.process.as_ref().is_some_and(|process| {
            let is_kthread = process.argv.is_none() && process.flaws.get(Field::Argv).is_none();
            !is_kthread && event.tid == Some(process.id.pid)
        }),
        // `commit_creds` also reports saved and file system ids to the process connector, and user
        // namespaces.
        EventKind::Uid(_) | EventKind::Gid(_) => by_connector,
        _ => true,
    }
}

fn counts_loss(id: SourceId) -> bool {
    let capabilities = table::SOURCES.iter().find(|it| it.id() == id).map(|it| it.capabilities());
    capabilities.is_some_and(|capabilities| capabilities.counts_loss)
}

fn start(event: &Event) -> Option<u64> {
    event.process.as_ref().and_then(|process| process.id.start).map(|start| start.0)
}

fn distance(a: &Event, b: &Event) -> u64 {
    a.time.0.abs_diff(b.time.0)
}

/// Whether two events can be one.
fn same(a: &Event, b: &Event) -> bool {
    let (Some(mine), Some(theirs)) = (&a.process, &b.process) else { return false };
    let estimated = [mine, theirs].into_iter().any(|process| process.flaws.get(Field::Id).is_some());
    // Each thread has a name and ids of its own.
    let of_a_thread = matches!(a.kind, EventKind::Comm(_) | EventKind::Uid(_) | EventKind::Gid(_));
    let one_thread = !of_a_thread || a.tid.zip(b.tid).is_none_or(|(a, b)| a == b);
    a.kind.kind() == b.kind.kind() && one_thread && same_process(mine.id, theirs.id, estimated)
}

fn same_process(a: ProcessId, b: ProcessId, estimated: bool) -> bool {
    a.pid == b.pid
        && match (a.start, b.start) {
            (Some(a), Some(b)) => a.0.abs_diff(b.0) <= if estimated { MOST_LATE_TICKS } else { 0 },
            _ => true,
        }
}

/// The serial numbers of both sides' events like this one, at least one of them from before `due`,
/// paired so that as many as possible have a counterpart, and all are as close together as
/// possible.
fn pairs_with(all: &[Waiting], serial: u64, due: i64) -> Vec<[u64; 2]> {
    let Some(this) = all.iter().find(|it| it.serial == serial) else { return Vec::new() };
    let of = |side: Side| {
        let mut of: Vec<&Waiting> = all.iter().filter(|it| it.side == side && same(&it.event, &this.event)).collect();
        of.sort_by_key(|it| (it.event.time, it.serial));
        of.truncate(MOST_ALIGNED);
        of
    };
    let (ours, theirs) = (of(this.side), of(this.side.other()));
    let pairs = aligned(&ours, &theirs).into_iter().map(|(mine, other)| [ours[mine], theirs[other]]);
    // With those that are due soon, so that this is not repeated for each of many.
    let soon = due.saturating_add(GRACE_NS / 2);
    let pairs =
        pairs.filter(|pair| pair.iter().all(|it| it.event.time.0 < soon) || pair.iter().any(|it| it.serial == serial));
    pairs.map(|pair| pair.map(|it| it.serial)).collect()
}

/// Pairs two lists without crossing: as many as possible, and of all such ways the one with the
/// smallest sum of distances. Events further apart than the grace period are never a pair.
fn aligned(ours: &[&Waiting], theirs: &[&Waiting]) -> Vec<(usize, usize)> {
    let width = theirs.len() + 1;
    // The best from (i, j) on: how many are left alone, and the sum.
    let mut best = vec![(0usize, 0u64); (ours.len() + 1) * width];
    let pair = |i: usize, j: usize| {
        let (ours, theirs) = (&ours[i].event, &theirs[j].event);
        let distance = distance(ours, theirs);
        (distance <= GRACE_NS.unsigned_abs() && same(ours, theirs)).then_some(distance)
    };
    let step = |best: &[(usize, u64)], i: usize, j: usize| {
        let alone = |(n, sum): (usize, u64)| (n + 1, sum);
        let mut ways = Vec::with_capacity(3);
        if i < ours.len() && j < theirs.len() {
            let (n, sum) = best[(i + 1) * width + j + 1];
            ways.extend(pair(i, j).map(|distance| ((n, sum.saturating_add(distance)), 0)));
        }
        if i < ours.len() {
            ways.push((alone(best[(i + 1) * width + j]), 1));
        }
        if j < theirs.len() {
            ways.push((alone(best[i * width + j + 1]), 2));
        }
        ways.into_iter().min()
    };
    for i in (0..=ours.len()).rev() {
        for j in (0..=theirs.len()).rev() {
            if let Some((value, _)) = step(&best, i, j) {
                best[i * width + j] = value;
            }
        }
    }
    let (mut i, mut j, mut pairs) = (0, 0, Vec::new());
    while let Some((_, way)) = step(&best, i, j) {
        match way {
            0 => {
                pairs.push((i, j));
                (i, j) = (i + 1, j + 1);
            }
            1 => i += 1,
            _ => j += 1,
        }
    }
    pairs
}

/// The fields that both report as exact, and in which they differ.
fn differences(first: &Event, second: &Event) -> Vec<Field> {
    let sure = |flaws: &Flaws, field| matches!(flaws.get(field), None | Some(Flaw::Inherited));
    let (Some(a), Some(b)) = (&first.process, &second.process) else { return Vec::new() };
    let both = |field| sure(&a.flaws, field) && sure(&b.flaws, field);
    let differs = match (&first.kind, &second.kind) {
        (EventKind::Exit(x), EventKind::Exit(y)) => {
            let told = |status| status != ExitStatus::Unknown;
            let both = sure(&first.flaws, Field::Status) && sure(&second.flaws, Field::Status);
            (both && told(x.status) && told(y.status) && x.status != y.status).then_some(Field::Status)
        }
        (EventKind::Core(x), EventKind::Core(y)) => {
            let signals = x.signo.zip(y.signo);
            signals.is_some_and(|(x, y)| x != y).then_some(Field::Status)
        }
        (EventKind::Exec(_), EventKind::Exec(_)) => match (&a.argv, &b.argv) {
            (Some(x), Some(y)) => (both(Field::Argv) && x != y).then_some(Field::Argv),
            _ => None,
        },
        // Later it may change, which the kernel does not report to all.
        (EventKind::Fork(_), EventKind::Fork(_)) => match (&a.parent, &b.parent) {
            (Some(x), Some(y)) => (both(Field::Ppid) && x.id.pid != y.id.pid).then_some(Field::Ppid),
            _ => None,
        },
        (EventKind::Comm(x), EventKind::Comm(y)) => (x.new != y.new).then_some(Field::Name),
        (EventKind::Uid(_), EventKind::Uid(_)) => ids_differ(a, b, |who| (who.uid, who.euid)).then_some(Field::User),
        (EventKind::Gid(_), EventKind::Gid(_)) => ids_differ(a, b, |who| (who.gid, who.egid)).then_some(Field::User),
        _ => None,
    };
    differs.into_iter().collect()
}

/// Changed values are in the record of the change, and exact.
fn ids_differ(a: &Process, b: &Process, ids: impl Fn(&Credentials) -> (u32, u32)) -> bool {
    match (&a.credentials, &b.credentials) {
        (Some(a), Some(b)) => ids(a) != ids(b),
        _ => false,
    }
}

#[cfg(test)]
mod tests;

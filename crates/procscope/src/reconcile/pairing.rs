//! Which of two mechanisms' events are one.

use super::{GRACE_NS, Side, Waiting};
use crate::{Event, EventKind, Field, ProcessId};

/// A worked-out start is late by as long as a busy machine stopped the forking thread. A pid is not
/// reused so soon.
pub(super) const MOST_LATE_TICKS: u64 = 100;
/// This many of one process's events of one kind are paired at once, of each side, the earliest.
const MOST_ALIGNED: usize = 256;

pub(super) fn start(event: &Event) -> Option<u64> {
    event.process.as_ref().and_then(|process| process.id.start).map(|start| start.0)
}

pub(super) fn distance(a: &Event, b: &Event) -> u64 {
    a.time.0.abs_diff(b.time.0)
}

/// Whether two events can be one.
pub(super) fn same(a: &Event, b: &Event) -> bool {
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
pub(super) fn pairs_with(all: &[Waiting], serial: u64, due: i64) -> Vec<[u64; 2]> {
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

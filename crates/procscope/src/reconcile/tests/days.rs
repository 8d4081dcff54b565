//! Made-up days, which both sides saw with holes.

use proptest::prelude::*;

use super::*;

/// The events of a made-up day: for each process a fork, some execs and an exit.
#[derive(Clone, Debug)]
struct Day {
    events: Vec<(Pid, Kind, i64)>,
    /// Which sides report each event, and how late.
    told: Vec<[Option<i64>; 2]>,
    /// Which side comes next.
    turns: Vec<bool>,
}

fn days(both_have_holes: bool) -> impl Strategy<Value = Day> {
    let lives = prop::collection::vec((0usize..4, 0i64..4_000_000_000), 1..30);
    lives.prop_flat_map(move |lives| {
        let mut events = Vec::new();
        for (pid, (execs, begin)) in lives.into_iter().enumerate() {
            let kinds = [Kind::Fork].into_iter().chain(vec![Kind::Exec; execs]).chain([Kind::Exit]);
            let at = |n: usize| SECOND + begin + 10_000_000 * n as i64;
            events.extend(kinds.enumerate().map(|(n, kind)| (pid as Pid, kind, at(n))));
        }
        events.sort_by_key(|&(pid, _, time)| (time, pid));
        let len = events.len();
        let holed = || prop::option::weighted(0.8, 0i64..1_000_000).boxed();
        let first = if both_have_holes { holed() } else { (0i64..1_000_000).prop_map(Some).boxed() };
        let told = prop::collection::vec((first, holed()).prop_map(|(a, b)| [a, b]), len);
        (Just(events), told, prop::collection::vec(any::<bool>(), 2 * len)).prop_map(|(events, told, turns)| Day {
            events,
            told,
            turns,
        })
    })
}

impl Day {
    fn streams(&self) -> [Vec<Event>; 2] {
        [0, 1].map(|side| {
            let all = self.events.iter().zip(&self.told);
            let told = all.filter_map(|(&(pid, kind, time), told)| Some(event(time + told[side]?, pid, of(kind))));
            let mut told: Vec<Event> = told.collect();
            told.sort_by_key(|event| event.time);
            told
        })
    }

    /// Feeds both streams, by turns.
    fn reconcile(&self) -> (Verification, Vec<Discrepancy>, [usize; 2]) {
        let streams = self.streams();
        let lens = [streams[0].len(), streams[1].len()];
        let mut streams = streams.map(Vec::into_iter);
        let mut it = reconciler();
        for &turn in self.turns.iter().chain([&true, &false].into_iter().cycle().take(2 * self.turns.len())) {
            let side = if turn { Side::First } else { Side::Second };
            if let Some(event) = streams[side as usize].next() {
                it.add(side, &event);
            }
        }
        let (verification, discrepancies) = ended(it, 99 * SECOND);
        (verification, discrepancies, lens)
    }
}

proptest! {
    /// In whatever order the two streams come, exactly the event that one left out is reported.
    #[test]
    fn holes_of_one_are_found(day in days(false)) {
        let (verification, discrepancies, lens) = day.reconcile();
        let mut holes: Vec<_> = day.events.iter().zip(&day.told).filter(|(_, told)| told[1].is_none())
            .map(|(&(pid, kind, time), told)| (SourceId::ProcessConnector, kind, pid, time + told[0].unwrap())).collect();
        let mut found = missing(&discrepancies);
        found.sort_by_key(|it| (it.3, it.2));
        holes.sort_by_key(|it| (it.3, it.2));
        prop_assert_eq!(found, holes);
        prop_assert_eq!(verification.total_agreed() as usize, lens[1]);
        prop_assert_eq!(verification.total_missing(Side::First), 0);
    }

    /// Each event is counted once.
    #[test]
    fn nothing_is_counted_twice(day in days(true)) {
        let (verification, _, lens) = day.reconcile();
        for side in Side::BOTH {
            let compared = verification.total_agreed() + verification.total_missing(side.other());
            prop_assert_eq!(compared as usize, lens[side as usize]);
        }
        prop_assert_eq!(verification.outside + verification.given_up, 0);
    }
}

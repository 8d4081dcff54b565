//! What happens when the ring overflows.

use std::collections::{BTreeMap, BTreeSet};

use procscope_tests::seen::Seen;
use procscope_tests::truth::Line;

use crate::turn;
use crate::watch::{Ended, Watch};
use crate::workload::{Workload, lives};

const SPAWNERS: usize = 2;

/// A stopped reader and a small ring; the tree of the generator alone is watched, so that its number is known. Another storm
/// goes on all the while, of which nothing is to be counted.
fn overflow(more: &[&str]) -> (Ended, Vec<Line>) {
    let mut other = Workload::new(&["storm", "--count", "12000", "--compact"]);
    let mut workload = Workload::new(&["storm", "--count", "4000"]);
    let tree = workload.pid().to_string();
    let mut options = vec!["-e", "fork,exec,exit", "--ring-size", "256KiB", "--tree", &tree];
    options.extend(more);
    other.go();
    let watch = Watch::start(options);
    watch.signal(libc::SIGSTOP);
    workload.go();
    let truth = workload.truth();
    other.truth();
    watch.signal(libc::SIGCONT);
    (watch.stop(), truth)
}

#[test]
fn every_lost_event_is_counted() {
    let _turn = turn::take();
    let (ended, truth) = overflow(&[]);
    assert!(ended.status.success(), "{}", ended.stderr);
    let mut told: BTreeMap<String, u64> = BTreeMap::new();
    let mut lost_total = 0;
    for seen in ended.events() {
        if seen.event == "lost" {
            let lost = seen.lost.clone().unwrap_or_default();
            assert_eq!(seen.count, Some(lost.values().sum()), "{seen:?}");
            lost.into_iter().for_each(|(kind, count)| *told.entry(kind).or_default() += count);
            lost_total += seen.count.unwrap_or_default();
        } else {
            *told.entry(seen.event).or_default() += 1;
        }
    }
    assert!(lost_total > 1000, "only {lost_total} were lost, so nothing was tested");
    let storm = lives(&truth).count() as u64;
    assert!(storm > 4000, "the spawners are in it");
    // Every process of the truth, and the end of the generator itself.
    let execs = storm - SPAWNERS as u64;
    let expected = [("fork", storm), ("exec", execs), ("exit", storm + 1)].map(|(kind, n)| (kind.to_owned(), n));
    let known: BTreeSet<u32> = lives(&truth).map(|life| life.pid).collect();
    let strangers: Vec<_> =
        ended.events().into_iter().filter(|seen| seen.pid.is_some_and(|p| !known.contains(&p))).collect();
    assert_eq!(told, BTreeMap::from(expected), "{} strangers, such as {:?}", strangers.len(), strangers.first());
    assert!(ended.stderr.contains(&lost_total.to_string()), "the summary tells it: {}", ended.stderr);
    // What was delivered is right all the same.
    let report = ended.compare(truth, Some(&[]));
    assert!(report.is_exact(), "{report}");
}

/// The mark stands where the events are missing: after older ones, before younger ones.
#[test]
fn loss_is_shown_in_place() {
    let _turn = turn::take();
    let (ended, _) = overflow(&[]);
    let events = ended.events();
    let times: Vec<i64> = events.iter().filter_map(Seen::time_ns).collect();
    assert_eq!(times.len(), events.len());
    let first_lost = events.iter().position(|seen| seen.event == "lost").expect("something was lost");
    assert!(first_lost > 0 && events[..first_lost].len() > 100, "the ring held some before");
    // Two processors may stamp within a microsecond what reaches the ring the other way round.
    let back = times.windows(2).map(|pair| pair[0] - pair[1]).max().unwrap_or(0);
    assert!(back < 1_000_000, "an event stands {back} ns too late");
}

#[test]
fn strict_ends_with_3() {
    let _turn = turn::take();
    let (ended, _) = overflow(&["--strict"]);
    assert_eq!(ended.status.code(), Some(3), "{}", ended.stderr);
}

#[test]
fn strict_without_loss_ends_with_0() {
    let _turn = turn::take();
    let watch = Watch::start(["--strict"]);
    Workload::new(&["storm", "--count", "100"]).run();
    let ended = watch.stop();
    assert_eq!(ended.status.code(), Some(0), "{}", ended.stderr);
}

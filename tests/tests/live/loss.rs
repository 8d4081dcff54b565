//! The effect of an overflowing ring.

use std::collections::{BTreeMap, BTreeSet};

use procscope_tests::seen::Seen;
use procscope_tests::truth::Line;

use crate::turn;
use crate::watch::{Ended, Watch};
use crate::workload::{Workload, lives};

const SPAWNERS: usize = 2;

/// A stopped reader and a small ring; only the tree of the generator is watched, so that its number
/// is known. Another storm continues all the while, of which nothing may be counted.
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
    assert!(ended.stderr.contains(&lost_total.to_string()), "the summary shows it: {}", ended.stderr);
    // Delivered events are right all the same.
    let report = ended.compare(truth, Some(&[]));
    assert!(report.is_exact(), "{report}");
}

/// The mark is where the events are missing: after older ones, before younger ones.
#[test]
fn loss_is_shown_in_place() {
    let _turn = turn::take();
    let (ended, _) = overflow(&[]);
    let events = ended.events();
    let times: Vec<i64> = events.iter().filter_map(Seen::time_ns).collect();
    assert_eq!(times.len(), events.len());
    let first_lost = events.iter().position(|seen| seen.event == "lost").expect("something was lost");
    assert!(first_lost > 0 && events[..first_lost].len() > 100, "the ring held some before");
    // Two processors may stamp, within a microsecond, records that reach the ring in reverse order.
    let back = times.windows(2).map(|pair| pair[0] - pair[1]).max().unwrap_or(0);
    assert!(back < 1_000_000, "an event is {back} ns too late");
}

/// Small records still find room where a large one did not, so events may follow a mark before all
/// the lost ones are lost: at each event as many forks were reported or counted as there had been.
#[test]
fn each_mark_tells_what_was_lost_before_it() {
    let _turn = turn::take();
    // Whether small ones come just then is chance.
    for _ in 0..8 {
        let mut workload = Workload::new(&["storm", "--count", "1500"]);
        let tree = workload.pid().to_string();
        let watch = Watch::start(["-e", "fork,exec,exit", "--ring-size", "256KiB", "--tree", &tree]);
        watch.signal(libc::SIGSTOP);
        workload.go();
        let truth = workload.truth();
        watch.signal(libc::SIGCONT);
        marks_stand_where_they_should(&watch.stop(), &truth);
    }
}

fn marks_stand_where_they_should(ended: &Ended, truth: &[Line]) {
    // Programs at work on other processors.
    const AT_WORK: u64 = 4;
    let Some(Line::Run(run)) = truth.first() else { panic!("the truth begins with the run") };
    let sorted = |of: fn((u64, u64)) -> u64| {
        let born = lives(truth).filter_map(|life| Some(of(life.born_ns?) as i64 + run.realtime_offset_ns));
        let mut born: Vec<i64> = born.collect();
        born.sort_unstable();
        born
    };
    let (before, after) = (sorted(|born| born.0), sorted(|born| born.1));
    let (mut counted, mut marks) = (0, 0);
    for seen in ended.events() {
        if seen.event == "lost" {
            counted += seen.lost.as_ref().and_then(|lost| lost.get("fork").copied()).unwrap_or_default();
            marks += 1;
            continue;
        }
        counted += u64::from(seen.event == "fork");
        let time = seen.time_ns().expect("it has a time");
        // The offset between both clocks was not read at the same moment.
        let by = |times: &[i64], slack: i64| times.partition_point(|&it| it <= time + slack) as u64;
        let (least, most) = (by(&after, -100_000), by(&before, 100_000));
        assert!(
            (least.saturating_sub(AT_WORK)..=most + AT_WORK).contains(&counted),
            "after {marks} marks {counted} forks are reported or counted, of {least} to {most}: {seen:?}"
        );
    }
    assert!(marks > 0, "nothing was lost, so nothing was tested");
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

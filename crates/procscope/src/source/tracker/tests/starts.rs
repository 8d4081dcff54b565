use super::*;
use crate::source::tracker::fork::MOST_STARTS;
use crate::source::tracker::known::MOST_LATE_TICKS;

#[test]
fn a_zombie_exists_where_its_end_is_yet_to_be_reported() {
    let stage = Stage::new();
    let zombie = |threads: Vec<Pid>| {
        let mut look = look(7, 2, 60 * MS);
        look.stat.as_mut().unwrap().ended = true;
        Look { threads, ..look }
    };
    let exists = |look: Look, ended: &[Pid]| {
        let mut looks = vec![(7, look)];
        stage.tracker.keep_those_before(&mut looks, &[], &ended.iter().copied().collect(), 99 * MS);
        !looks.is_empty()
    };
    assert!(!exists(zombie(vec![]), &[8]));
    assert!(exists(zombie(vec![]), &[7]));
    // Only its first thread has ended.
    assert!(exists(zombie(vec![9]), &[]));
}

/// A process seen in the list before its fork is reported comes once.
#[test]
fn existing_ones_do_not_come_as_forks() {
    let mut stage = Stage::new();
    stage.begin(&[(7, look(7, 2, 21 * MS))]);
    stage.fork(22 * MS, 7);
    assert_eq!(stage.kinds(7), [("existing", 7)]);
    stage.fork(900 * MS, 7);
    assert_eq!(stage.kinds(7), [("existing", 7), ("fork", 7)]);
}

/// However late the fork is reported: by then a look has seen its process, or an earlier one with
/// the pid.
#[test]
fn whose_fork_is_told_late_is_not_among_those_before() {
    let stage = Stage::new();
    let kept = |start, read_ms: u64, told_ms: u64| {
        let mut looks = vec![(7, look(7, start, read_ms * MS))];
        stage.tracker.keep_those_before(&mut looks, &[(7, told_ms * MS)], &FxHashSet::default(), 99 * MS);
        !looks.is_empty()
    };
    assert!(!kept(2, 24, 25) && !kept(2, 24, 35) && !kept(2, 75, 70));
    assert!(kept(2, 60, 70) && kept(8, 85, 70));
    // Since we listen.
    assert!(!kept(10, 120, 130));
}

/// If a thread is stopped in the middle of a fork, that is reported long after the child's start.
#[test]
fn a_start_that_was_worked_out_is_corrected_by_a_look() {
    let mut stage = Stage::new();
    stage.fork(95 * MS, 7);
    let born = |stage: &mut Stage, ns, pid| {
        let what = Happening::Fork { parent: task(7, 7), child: task(pid, pid), birth: None };
        stage.feed(ns, what);
    };
    born(&mut stage, 105 * MS, 8);
    assert_eq!((stage.last().start_ns / TICK_NS, stage.last().flaw(Field::Id)), (10, Some(Flaw::Estimated)));
    stage.feed_with(115 * MS, Happening::Exec { task: task(7, 7), started: None }, Some(look(7, 4, 116 * MS)));
    assert_eq!((stage.last().start_ns / TICK_NS, stage.last().flaw(Field::Id)), (4, None));
    // It is still its child's parent.
    stage.exit(125 * MS, 8, 8, 0);
    assert_eq!((stage.last().kind, stage.last().flaw(Field::Ppid)), ("exit", None));
    // Nothing corrects a start that was read; a process that began later is another one.
    for start in [3, 5] {
        stage.feed_with(135 * MS, Happening::Exec { task: task(7, 7), started: None }, Some(look(7, start, 136 * MS)));
        assert_eq!((stage.last().start_ns / TICK_NS, &stage.last().exe), (4, &None));
    }
    born(&mut stage, 145 * MS, 9);
    stage.feed_with(155 * MS, Happening::Exec { task: task(9, 9), started: None }, Some(look(9, 15, 156 * MS)));
    assert_eq!((stage.last().start_ns / TICK_NS, &stage.last().exe), (14, &None));
    // As in a time namespace.
    let tick = 20 + MOST_LATE_TICKS;
    born(&mut stage, tick * TICK_NS + 5 * MS, 10);
    stage.feed_with(
        1 + tick * TICK_NS + 5 * MS,
        Happening::Exec { task: task(10, 10), started: None },
        Some(look(10, 19, 0)),
    );
    assert_eq!((stage.last().start_ns / TICK_NS, &stage.last().exe), (tick, &None));
}

#[test]
fn the_start_is_read_at_the_fork_but_in_a_storm() {
    let mut stage = Stage::new();
    for number in 0..=MOST_STARTS {
        let pid = 10 + number;
        stage.proc.running.insert(pid, look(pid, 2, 56 * MS));
        stage.fork(55 * MS + u64::from(number), pid);
        let read = number < MOST_STARTS;
        let seen = (stage.last().start_ns / TICK_NS, stage.last().flaw(Field::Id));
        assert_eq!(seen, if read { (2, None) } else { (5, Some(Flaw::Estimated)) }, "{number}");
    }
    // At the beginning of a tick it may be the tick before, and in another second it is quiet
    // again.
    for (told, pid) in [(60 * MS + 100_000, 7), (1_055 * MS, 8)] {
        stage.proc.running.insert(pid, look(pid, 5, 1_060 * MS));
        stage.fork(told, pid);
        assert_eq!((stage.last().start_ns / TICK_NS, stage.last().flaw(Field::Id)), (5, None));
    }
}

#[test]
fn after_a_loss_nobody_is_known_who_cannot_be_asked() {
    let mut stage = Stage::new();
    stage.begin(&[(7, look(7, 1, MS)), (9, look(9, 1, MS))]);
    stage.proc.running.insert(9, look(9, 1, 100 * MS));
    stage.tracker.doubt();
    stage.exit(90 * MS, 7, 7, 0);
    assert_eq!((stage.last().name.clone(), stage.last().start_ns), (None, UNKNOWN_START));
    stage.exit(95 * MS, 9, 9, 0);
    assert_eq!(stage.last().name.as_deref(), Some("9@1"));
    // The pid is now another process's.
    stage.begin(&[(7, look(7, 1, MS))]);
    stage.proc.running.insert(7, look(7, 9, 200 * MS));
    stage.tracker.doubt();
    stage.feed(99 * MS, Happening::Exec { task: task(7, 7), started: None });
    assert_eq!(stage.last().name, None);
}

use super::*;

#[test]
fn a_process_ends_with_its_last_thread() {
    let mut stage = Stage::new();
    stage.fork(25 * MS, 7);
    stage.clone(26 * MS, 8, 7);
    stage.exit(27 * MS, 7, 7, 3 << 8);
    stage.exit(28 * MS, 8, 7, 5 << 8);
    assert_eq!(stage.kinds(7), [("fork", 7), ("clone", 8), ("thread-exit", 7), ("exit", 8)]);
    // Two threads that end at once may be reported in any order.
    assert_eq!((stage.last().status, stage.last().flaw(Field::Status)), (5 << 8, Some(Flaw::Estimated)));
}

/// Ends of (thread, ms, status) of the process 7, in this order; the status that it is given, and
/// its flaw.
fn status_of(ends: &[(Pid, u64, u32)]) -> (u32, Option<Flaw>) {
    let mut stage = Stage::new();
    stage.fork(25 * MS, 7);
    ends.iter().filter(|(tid, ..)| *tid != 7).for_each(|&(tid, ..)| stage.clone(26 * MS, tid, 7));
    ends.iter().for_each(|&(tid, ms, status)| stage.exit(ms * MS, tid, 7, status));
    assert_eq!(stage.last().kind, "exit");
    (stage.last().status, stage.last().flaw(Field::Status))
}

const ESTIMATED: Option<Flaw> = Some(Flaw::Estimated);

#[test]
fn a_signal_is_the_status_of_all_threads() {
    assert_eq!(status_of(&[(7, 27, 15), (8, 28, 1 << 8)]), (15, None));
    assert_eq!(status_of(&[(8, 27, 1 << 8), (7, 28, 15)]), (15, None));
    // The flag for a core is in the status of the thread that dumped it.
    assert_eq!(status_of(&[(7, 27, 0x86), (8, 28, 6)]), (0x86, None));
    assert_eq!(status_of(&[(8, 27, 6), (7, 28, 0x86)]), (0x86, None));
    // Except those that a filter of system calls sends to one thread.
    assert_eq!(status_of(&[(7, 27, 9), (8, 28, 1 << 8)]), (9, ESTIMATED));
    assert_eq!(status_of(&[(7, 27, 31), (8, 28, 44 << 8)]), (44 << 8, ESTIMATED));
    assert_eq!(status_of(&[(7, 27, 31), (8, 28, 0)]), (0, ESTIMATED));
    assert_eq!(status_of(&[(7, 27, 31), (8, 77, 44 << 8)]), (44 << 8, ESTIMATED));
    assert_eq!(status_of(&[(7, 27, 9), (8, 77, 44 << 8)]), (44 << 8, ESTIMATED));
    assert_eq!(status_of(&[(7, 27, 31), (8, 2_000, 44 << 8)]), (44 << 8, None));
}

#[test]
fn who_returns_from_main_decides_where_threads_end_together() {
    // A thread that had begun to end before is reported last.
    assert_eq!(status_of(&[(7, 27, 7 << 8), (8, 28, 0)]), (7 << 8, ESTIMATED));
    assert_eq!(status_of(&[(8, 27, 0), (7, 28, 7 << 8)]), (7 << 8, ESTIMATED));
    assert_eq!(status_of(&[(8, 27, 5 << 8), (7, 28, 0)]), (0, ESTIMATED));
    // The first thread ended by itself, long before.
    assert_eq!(status_of(&[(7, 27, 0), (8, 77, 44 << 8), (9, 78, 0)]), (44 << 8, ESTIMATED));
    assert_eq!(status_of(&[(7, 27, 5 << 8), (8, 2_000, 0)]), (0, None));
    assert_eq!(status_of(&[(8, 27, 3 << 8), (7, 28, 3 << 8)]), (3 << 8, None));
}

/// A thread that is made later, or the system, shows which end decided.
#[test]
fn a_status_that_is_known_is_not_estimated() {
    let mut stage = Stage::new();
    stage.fork(25 * MS, 7);
    stage.clone(26 * MS, 8, 7);
    stage.exit(27 * MS, 8, 7, 5 << 8);
    stage.clone(28 * MS, 9, 7);
    stage.exit(29 * MS, 9, 7, 7 << 8);
    stage.exit(30 * MS, 7, 7, 7 << 8);
    assert_eq!((stage.last().status, stage.last().flaw(Field::Status)), (7 << 8, None));
    stage.fork(35 * MS, 7);
    stage.clone(36 * MS, 8, 7);
    stage.exit(37 * MS, 7, 7, 7 << 8);
    stage.proc.ended.insert(7, 7 << 8);
    stage.exit(38 * MS, 8, 7, 0);
    assert_eq!((stage.last().status, stage.last().flaw(Field::Status)), (7 << 8, None));
}

/// A process may be read later than the exec for which it is read.
#[test]
fn a_look_that_sees_the_end_ends_nobody_early() {
    let mut stage = Stage::new();
    stage.fork(25 * MS, 7);
    let mut ended = look(7, 2, 40 * MS);
    ended.stat.as_mut().unwrap().ended = true;
    stage.feed_with(26 * MS, Happening::Exec { task: task(7, 7), started: None }, Some(ended));
    stage.clone(27 * MS, 8, 7);
    stage.exit(28 * MS, 8, 7, 0);
    stage.exit(29 * MS, 7, 7, 7 << 8);
    let kinds = [("fork", 7), ("exec", 7), ("clone", 8), ("thread-exit", 8), ("exit", 7)];
    assert_eq!(stage.kinds(7), kinds);
}

/// The old first thread's message may come before the exec of the one that replaces it, under
/// either id, or after it.
#[test]
fn an_exec_by_another_thread_ends_nobody() {
    for (old_tid, at) in [(7, 27), (8, 27), (8, 29), (7, 27)] {
        let mut stage = Stage::new();
        stage.fork(25 * MS, 7);
        stage.clone(26 * MS, 8, 7);
        let late = at > 28;
        if !late {
            stage.exit(at * MS, old_tid, 7, 0);
        }
        stage.feed(28 * MS, Happening::Exec { task: task(7, 7), started: None });
        if late {
            stage.exit(at * MS, old_tid, 7, 0);
        }
        // Sent before, and received only now.
        stage.exit(27 * MS + 1, 7, 7, 0);
        assert!(stage.kinds(7).iter().all(|(kind, _)| *kind != "exit"), "{old_tid} {at}: {:?}", stage.told);
        stage.exit(40 * MS, 7, 7, 4 << 8);
        assert_eq!((stage.last().kind, stage.last().status), ("exit", 4 << 8));
    }
}

#[test]
fn a_first_thread_that_had_ended_before_we_began() {
    let mut stage = Stage::new();
    let mut found = look(7, 1, MS);
    found.stat.as_mut().unwrap().ended = true;
    found.threads = vec![8];
    stage.begin(&[(7, found)]);
    stage.exit(40 * MS, 8, 7, 4 << 8);
    assert_eq!(stage.kinds(7), [("existing", 7), ("exit", 8)]);
    // And if its message was still on its way.
    stage.exit(40 * MS, 7, 7, 4 << 8);
    assert_eq!(stage.kinds(7)[2..], [("thread-exit", 7)]);
}

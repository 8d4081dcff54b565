use super::*;

#[test]
fn a_process_ends_with_its_last_thread() {
    let mut stage = Stage::new();
    stage.fork(25 * MS, 7);
    stage.clone(26 * MS, 8, 7);
    stage.exit(27 * MS, 7, 7, 3 << 8);
    stage.exit(28 * MS, 8, 7, 5 << 8);
    assert_eq!(stage.kinds(7), [("fork", 7), ("clone", 8), ("thread-exit", 7), ("exit", 8)]);
    // Two threads that end at once may be told of in any order.
    assert_eq!((stage.last().status, stage.last().flaw(Field::Status)), (5 << 8, Some(Flaw::Estimated)));
}

#[test]
fn a_signal_is_the_status_of_all_threads() {
    let mut stage = Stage::new();
    stage.fork(25 * MS, 7);
    stage.clone(26 * MS, 8, 7);
    stage.exit(27 * MS, 7, 7, 9);
    stage.exit(28 * MS, 8, 7, 1 << 8);
    assert_eq!((stage.last().kind, stage.last().status, stage.last().flaw(Field::Status)), ("exit", 9, None));
}

/// The old first thread's message may come before the exec of the one that replaces it, under either id, or after it.
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
        // Sent before, and here only now.
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
    // And where its message was still on its way.
    stage.exit(40 * MS, 7, 7, 4 << 8);
    assert_eq!(stage.kinds(7)[2..], [("thread-exit", 7)]);
}

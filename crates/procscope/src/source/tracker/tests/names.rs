use super::*;

#[test]
fn what_was_read_later_is_not_the_old_value() {
    let mut stage = Stage::new();
    stage.fork(25 * MS, 7);
    let mut seen = look(7, 2, 60 * MS);
    seen.status.as_mut().unwrap().uids = [5; 2];
    stage.feed_with(30 * MS, Happening::Exec { task: task(7, 7), started: None }, Some(seen));
    let old = |stage: &mut Stage, ns, real| {
        let mut old = None;
        let what = Happening::Uid { task: task(7, 7), real, effective: real };
        let _ = stage.tracker.feed(
            Report { mono_ns: ns, processor: None, what, look: None },
            &mut stage.proc,
            &mut |record| {
                if let Body::Uid { old: told, .. } = record.body {
                    old = told;
                }
                ControlFlow::Continue(())
            },
        );
        old
    };
    // It was 5 when it was read; this change had made it so.
    assert_eq!(old(&mut stage, 40 * MS, 5), None);
    assert_eq!(old(&mut stage, 70 * MS, 6), Some([5; 2]));
}

#[test]
fn a_name_that_an_exec_brought_is_not_its_old_one() {
    let mut stage = Stage::new();
    stage.fork(25 * MS, 7);
    let renamed = Happening::Comm { task: task(7, 7), old: Some(comm_of(b"old")), comm: comm_of(b"new") };
    // The record of the name was not there yet when that of the exec counted as complete.
    for (started, expected) in [
        (Some(Box::new(Started::default())), (None, Some(Flaw::NotObserved))),
        (
            Some(Box::new(Started { old_comm: Some(comm_of(b"old")), ..Started::default() })),
            (Some(comm_of(b"old")), None),
        ),
        // If names come as their own messages, the last one before the exec was the old one.
        (None, (Some(comm_of(b"new")), None)),
    ] {
        stage.feed(30 * MS, renamed.clone());
        let what = Happening::Exec { task: task(7, 7), started };
        let mut old = None;
        let _ = stage.tracker.feed(
            Report { mono_ns: 31 * MS, processor: None, what, look: None },
            &mut stage.proc,
            &mut |record| {
                if let Body::Exec { old_comm, .. } = record.body {
                    old = Some((old_comm, record.flaws.get(Field::OldName)));
                }
                ControlFlow::Continue(())
            },
        );
        assert_eq!(old, Some(expected));
    }
}

#[test]
fn a_kernel_threads_child_is_not_called_after_it() {
    let mut stage = Stage::new();
    let mut kthreadd = look(2, 0, MS);
    kthreadd.stat.as_mut().unwrap().kthread = true;
    stage.begin(&[(2, kthreadd)]);
    stage.feed(25 * MS, Happening::Fork { parent: task(2, 2), child: task(7, 7), birth: None });
    assert_eq!(stage.last().name, None);
}

#[test]
fn a_child_tells_its_creators_name() {
    let mut stage = Stage::new();
    stage.begin(&[(1, look(1, 0, MS))]);
    // Its creator's record of a new name is still to come, or was lost.
    for (parent, named) in [(task(1, 1), true), (task(9, 1), false)] {
        let birth = Some(Birth { flags: 0, comm: comm_of(b"new") });
        let what = Happening::Fork { parent, child: task(7, 7), birth };
        let mut name = None;
        let _ = stage.tracker.feed(
            Report { mono_ns: 31 * MS, processor: None, what, look: None },
            &mut stage.proc,
            &mut |record| {
                name = record.body.subject().map(|subject| subject.parent.comm);
                ControlFlow::Continue(())
            },
        );
        // A thread may have another name than its process.
        assert_eq!(name.is_some_and(|name| name == comm_of(b"new")), named);
    }
}

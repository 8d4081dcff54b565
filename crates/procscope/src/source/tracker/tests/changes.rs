//! Values that may change without a report, and those that one thread changes for itself.

use super::*;

/// The marks and the subject of the resulting record.
fn seen(stage: &mut Stage, mono_ns: u64, what: Happening, look: Option<Look>) -> (Subject, Flaws, Option<[u32; 2]>) {
    let mut seen = None;
    let told = Report { mono_ns, processor: None, what, look: look.map(Box::new) };
    let _ = stage.tracker.feed(told, &mut stage.proc, &mut |record| {
        if let Some(subject) = record.body.subject() {
            let old = match record.body {
                Body::Uid { old, .. } => old,
                _ => None,
            };
            seen = Some((*subject, record.about, old));
        }
        ControlFlow::Continue(())
    });
    seen.expect("a record")
}

fn comm(pid: Pid) -> Happening {
    Happening::Comm { task: task(pid, pid), old: None, comm: comm_of(b"x") }
}

fn fork(by: Task, pid: Pid) -> Happening {
    Happening::Fork { parent: by, child: task(pid, pid), birth: None }
}

fn of(flaws: Flaws, fields: &[Field]) -> Vec<Option<Flaw>> {
    fields.iter().map(|&field| flaws.get(field)).collect()
}

#[test]
fn what_nothing_reports_is_estimated_after_it_was_read() {
    const FIELDS: [Field; 4] = [Field::Pgid, Field::Tty, Field::Cgroup, Field::Login];
    let mut stage = Stage::new();
    stage.fork(25 * MS, 7);
    let mut it = look(7, 2, 60 * MS);
    it.cgroup = Some(b"/a".to_vec());
    let exec = Happening::Exec { task: task(7, 7), started: None };
    let (_, about, _) = seen(&mut stage, 50 * MS, exec, Some(it));
    assert_eq!(of(about, &FIELDS), [Some(Flaw::ReadLate); 4]);
    // Before it was read, and after.
    assert_eq!(of(seen(&mut stage, 59 * MS, comm(7), None).1, &FIELDS), [Some(Flaw::ReadLate); 4]);
    assert_eq!(of(seen(&mut stage, 61 * MS, comm(7), None).1, &FIELDS), [Some(Flaw::Estimated); 4]);
    assert_eq!(of(seen(&mut stage, 62 * MS, fork(task(7, 7), 8), None).1, &FIELDS), [Some(Flaw::Estimated); 4]);
    // An exec may follow a setpgid(2) that nothing reports.
    let exec = Happening::Exec { task: task(7, 7), started: None };
    let (subject, about, _) = seen(&mut stage, 70 * MS, exec, None);
    assert_eq!((subject.pgid, about.get(Field::Pgid)), (UNKNOWN_ID, Some(Flaw::NotObserved)));
    // A new session is reported.
    let (subject, about, _) = seen(&mut stage, 80 * MS, Happening::Sid { task: task(7, 7) }, None);
    assert_eq!((subject.sid, subject.pgid, of(about, &FIELDS[..2])), (7, 7, vec![None; 2]));
}

#[test]
fn a_child_has_the_ids_of_the_thread_that_made_it() {
    let mut stage = Stage::new();
    stage.fork(25 * MS, 7);
    let exec = Happening::Exec { task: task(7, 7), started: None };
    seen(&mut stage, 30 * MS, exec, Some(look(7, 2, 31 * MS)));
    stage.clone(40 * MS, 9, 7);
    let uid = |tid, pid, uid| Happening::Uid { task: task(tid, pid), real: uid, effective: uid };
    let (subject, _, old) = seen(&mut stage, 50 * MS, uid(9, 7, 5), None);
    assert_eq!((subject.uid, old), (5, Some([0, 0])));
    let ids = |(subject, about, _): (Subject, Flaws, _)| (subject.uid, about.get(Field::User));
    assert_eq!(ids(seen(&mut stage, 51 * MS, fork(task(9, 7), 20), None)), (5, Some(Flaw::Inherited)));
    assert_eq!(ids(seen(&mut stage, 52 * MS, fork(task(7, 7), 21), None)), (0, Some(Flaw::Inherited)));
    let (_, _, old) = seen(&mut stage, 53 * MS, uid(20, 20, 6), None);
    assert_eq!(old, Some([5, 5]));
    // The thread that made it is not reported.
    stage.clone(60 * MS, 10, 7);
    assert_eq!(ids(seen(&mut stage, 61 * MS, fork(task(10, 7), 22), None)), (UNKNOWN_ID, Some(Flaw::NotObserved)));
    let (_, _, old) = seen(&mut stage, 62 * MS, uid(22, 22, 6), None);
    assert_eq!(old, None);
}

#[test]
fn threads_that_ran_before_are_taken_to_have_the_ids_of_their_process() {
    let mut stage = Stage::new();
    let mut it = look(7, 2, 60 * MS);
    it.threads = vec![9];
    stage.begin(&[(7, it)]);
    let (subject, about, _) = seen(&mut stage, 70 * MS, fork(task(9, 7), 20), None);
    assert_eq!((subject.uid, about.get(Field::User)), (0, Some(Flaw::Estimated)));
    let uid = Happening::Uid { task: task(20, 20), real: 5, effective: 5 };
    let (_, _, old) = seen(&mut stage, 71 * MS, uid, None);
    assert_eq!(old, None);
}

#[test]
fn a_cgroup_that_was_chosen_is_not_the_creators() {
    let mut stage = Stage::new();
    let mut it = look(7, 2, 60 * MS);
    it.cgroup = Some(b"/a".to_vec());
    stage.begin(&[(7, it)]);
    let birth = |flags| Some(Birth { flags, comm: comm_of(b"x") });
    let child = |pid, flags| Happening::Fork { parent: task(7, 7), child: task(pid, pid), birth: birth(flags) };
    let (subject, about, _) = seen(&mut stage, 70 * MS, child(20, 0x2_0000_0000), None);
    assert_eq!((subject.cgroup, about.get(Field::Cgroup)), (CgroupKey::default(), Some(Flaw::NotObserved)));
    let (subject, about, _) = seen(&mut stage, 71 * MS, child(21, 0), None);
    assert!(subject.cgroup != CgroupKey::default() && about.get(Field::Cgroup) == Some(Flaw::Estimated));
}

use super::*;
use crate::pipeline::Pipeline;
use crate::pipeline::tests::Root;
use crate::record::samples::{comm, exit, record, subject};
use crate::record::{ImageRecord, RefRecord};
use crate::{EventSet, Kind, SourceId, Want};

/// A fork, with a start of so many nanoseconds.
fn forked(pid: Pid, start_ns: u64) -> Body<'static> {
    let subject = subject(pid, start_ns, "x");
    Body::Fork { subject, thread: false, unasked: false, call: None, flags: None, creator: None, image: None }
}

fn ended(pid: Pid, start_ns: u64) -> Body<'static> {
    exit(subject(pid, start_ns, "x"))
}

/// The kind of the event and the flaw of its id.
fn id_of(pipeline: &mut Pipeline, body: Body<'_>) -> Option<(Kind, Option<Flaw>)> {
    let event = pipeline.feed(&record(1, body))?;
    Some((event.kind.kind(), event.process?.flaws.get(Field::Id)))
}

#[test]
fn an_id_that_is_used_again_within_a_tick_is_marked() {
    const TICK: u64 = 10_000_000;
    let want = Want { events: EventSet::ALL, ..Want::default() };
    let mut pipeline = Pipeline::new(SourceId::ProcessConnector, &want, Box::new(Root), 4096);
    // Starts that were read have only their tick.
    for (repeated, start_ns) in
        [(None, TICK), (Some(Flaw::Repeated), TICK), (Some(Flaw::Repeated), TICK), (None, 9 * TICK)]
    {
        assert_eq!(id_of(&mut pipeline, forked(7, start_ns)), Some((Kind::Fork, repeated)));
        let child = {
            let mut child = subject(8, 20 * TICK, "child");
            child.parent = RefRecord { pid: 7, tid: 7, start_ns, comm: comm("x") };
            Body::Fork {
                subject: child,
                thread: false,
                unasked: false,
                call: None,
                flags: None,
                creator: None,
                image: None,
            }
        };
        let event = pipeline.feed(&record(1, child)).unwrap();
        assert_eq!(event.process.unwrap().flaws.get(Field::Parent), repeated);
        assert_eq!(id_of(&mut pipeline, ended(7, start_ns)), Some((Kind::Exit, repeated)));
    }
    // If two threads find themselves the last, the later one ends the process.
    assert_eq!(id_of(&mut pipeline, ended(7, 9 * TICK)).map(|it| it.0), Some(Kind::ThreadExit));
    // Without forks and ends the nanoseconds decide.
    let mut pipeline = Pipeline::new(SourceId::Ebpf, &want, Box::new(Root), 4096);
    let image = ImageRecord::default();
    for (repeated, start_ns) in [(None, TICK + 5), (None, TICK + 5), (Some(Flaw::Repeated), TICK + 9)] {
        let exec = Body::Exec { subject: subject(7, start_ns, "x"), old_comm: None, old_tid: None, image };
        assert_eq!(id_of(&mut pipeline, exec), Some((Kind::Exec, repeated)));
    }
}

/// However many others begin and end in between.
#[test]
fn others_hide_no_repeated_id() {
    const TICK: u64 = 10_000_000;
    let want = Want { events: EventSet::ALL, ..Want::default() };
    let mut pipeline = Pipeline::new(SourceId::Ebpf, &want, Box::new(Root), 4096);
    for (expected, start_ns) in [(None, 5 * TICK), (Some(Flaw::Repeated), 5 * TICK + 99), (None, 99 * TICK)] {
        assert_eq!(id_of(&mut pipeline, forked(7, start_ns)), Some((Kind::Fork, expected)));
        assert_eq!(id_of(&mut pipeline, ended(7, start_ns)), Some((Kind::Exit, expected)));
        for pid in 8..3 * 4096 {
            id_of(&mut pipeline, forked(pid, start_ns + 1));
            id_of(&mut pipeline, ended(pid, start_ns + 1));
        }
    }
}

/// Neither the time nor unknown starts let the memory grow.
#[test]
fn holders_are_bounded() {
    for (step, most) in [(SPAN_NS / 100, FEW + 101), (0, FEW), (1, MANY)] {
        let mut holders = Holders::new();
        for pid in 1..3 * MANY as Pid {
            let start_ns = if step == 0 { UNKNOWN_START } else { u64::from(pid) * step };
            holders.put(Holder { pid, start_ns, ended: true });
            assert!(holders.aside.len() <= most, "{step}: {}", holders.aside.len());
        }
    }
}

#[test]
fn a_pid_that_was_chosen_is_one_process() {
    const TICK: u64 = 10_000_000;
    let want = Want { events: EventSet::ALL, ..Want::default() };
    let with_pin = || {
        let mut pipeline = Pipeline::new(SourceId::Ebpf, &want, Box::new(Root), 4096);
        pipeline.pin([(7, StartTime(5))]);
        pipeline
    };
    let mut pipeline = with_pin();
    assert!(id_of(&mut pipeline, ended(7, 5 * TICK)).is_some());
    // Within the same tick, so that the id is the same.
    assert_eq!(id_of(&mut pipeline, forked(7, 5 * TICK + 1)), None);
    assert_eq!(id_of(&mut pipeline, ended(7, 5 * TICK + 1)), None);
    assert!(id_of(&mut pipeline, forked(8, 9 * TICK)).is_some());
    // Its end was not seen.
    let mut pipeline = with_pin();
    let image = ImageRecord::default();
    let exec = Body::Exec { subject: subject(7, 9 * TICK, "x"), old_comm: None, old_tid: None, image };
    assert_eq!(id_of(&mut pipeline, exec), None);
}

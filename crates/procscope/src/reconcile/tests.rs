mod days;

use std::sync::Arc;

use super::pairing::MOST_LATE_TICKS;
use super::*;
use crate::{
    Argv, BootId, CommChange, CoreDump, Credentials, ExecInfo, Exit, ExitStatus, Flaw, ForkInfo, IdChange, Process,
    ProcessId, ProcessRef, PtraceChange, StartTime, ThreadExit, Usage,
};

const SECOND: i64 = 1_000_000_000;

fn session(source: SourceId, attached: i64) -> Session {
    let mut session = Session::new(BootId::default(), source);
    session.attached = Timestamp(attached);
    session
}

fn reconciler() -> Reconciler {
    Reconciler::new(&session(SourceId::Ebpf, 0), &session(SourceId::ProcessConnector, -SECOND))
}

fn event(time: i64, pid: Pid, kind: EventKind) -> Event {
    let mut process = Process::new(ProcessId { pid, start: Some(StartTime(u64::from(pid))) });
    process.parent = Some(ProcessRef::new(ProcessId { pid: 1, start: None }, None));
    Event::new(0, Timestamp(time), SourceId::Ebpf, Some(Arc::new(process)), None, kind)
}

fn of(kind: Kind) -> EventKind {
    let status = ExitStatus::Code(0);
    match kind {
        Kind::Fork => EventKind::Fork(ForkInfo::default()),
        Kind::Exec => EventKind::Exec(ExecInfo::default()),
        Kind::ThreadExit => EventKind::ThreadExit(ThreadExit::new(status)),
        Kind::Exit => {
            let usage = Usage::default();
            EventKind::Exit(Exit::new(status, usage))
        }
        _ => EventKind::Sid,
    }
}

fn lost(time: i64, kind: Kind, count: u64) -> Event {
    let lost = Lost::of(kind, count);
    Event::new(0, Timestamp(time), SourceId::Ebpf, None, None, EventKind::Lost(lost))
}

fn change(event: &mut Event, change: impl FnOnce(&mut Process)) {
    change(Arc::make_mut(event.process.as_mut().unwrap()));
}

fn ended(mut it: Reconciler, end: i64) -> (Verification, Vec<Discrepancy>) {
    Side::BOTH.into_iter().for_each(|side| it.end(side, Timestamp(end)));
    let verification = it.finish();
    (verification, std::iter::from_fn(|| it.take()).collect())
}

fn missing(all: &[Discrepancy]) -> Vec<(SourceId, Kind, Pid, i64)> {
    let told = all.iter().filter_map(|it| match it {
        Discrepancy::Missing { event, from } => {
            Some((*from, event.kind.kind(), event.process.as_ref().unwrap().id.pid, event.time.0))
        }
        Discrepancy::Differs { .. } => None,
    });
    told.collect()
}

#[test]
fn what_both_tell_agrees() {
    let mut it = reconciler();
    for (n, kind) in [Kind::Fork, Kind::Exec, Kind::Exec, Kind::ThreadExit, Kind::Exit].into_iter().enumerate() {
        let time = SECOND + 10_000_000 * n as i64;
        it.add(Side::First, &event(time, 7, of(kind)));
        it.add(Side::Second, &event(time + 900_000, 7, of(kind)));
    }
    it.add(Side::First, &event(SECOND, 8, EventKind::Core(CoreDump::new(Some(6)))));
    it.add(Side::Second, &event(SECOND, 8, EventKind::Core(CoreDump::new(None))));
    // These are not compared.
    it.add(Side::First, &event(2 * SECOND, 7, EventKind::Ptrace(PtraceChange::new(true, None))));
    it.add(Side::Second, &event(2 * SECOND, 7, EventKind::Existing));
    let (verification, discrepancies) = ended(it, 9 * SECOND);
    assert_eq!((verification.total_agreed(), verification.total_compared()), (6, 6));
    assert!(verification.is_complete() && discrepancies.is_empty());
}

/// A hole is reported event by event, as soon as the other one has come further, and not before.
#[test]
fn a_hole_is_told() {
    let mut it = reconciler();
    for pid in 10..20 {
        let time = SECOND * i64::from(pid);
        it.add(Side::First, &event(time, pid, of(Kind::Exec)));
        if pid % 3 != 0 {
            it.add(Side::Second, &event(time + 10_000, pid, of(Kind::Exec)));
        }
        let told = std::iter::from_fn(|| it.take()).collect::<Vec<_>>();
        let expected: &[Pid] = match pid {
            16 => &[12],
            19 => &[15],
            _ => &[],
        };
        let expected: Vec<_> = expected
            .iter()
            .map(|&pid| (SourceId::ProcessConnector, Kind::Exec, pid, SECOND * i64::from(pid)))
            .collect();
        assert_eq!(missing(&told), expected, "{pid}");
    }
    it.add(Side::Second, &event(30 * SECOND, 30, of(Kind::Exit)));
    let (verification, discrepancies) = ended(it, 99 * SECOND);
    let at = |from, kind, pid: Pid| (from, kind, pid, SECOND * i64::from(pid));
    let last = [at(SourceId::Ebpf, Kind::Exit, 30)];
    let mut told = missing(&discrepancies);
    told.retain(|it| it.2 != 18);
    assert_eq!(told, last);
    assert_eq!((verification.total_missing(Side::First), verification.total_missing(Side::Second)), (1, 3));
    assert_eq!((verification.total_agreed(), verification.total_compared()), (7, 11));
    assert!(!verification.is_complete());
}

/// One mechanism misses the second of three execs: exactly that one is named.
#[test]
fn the_one_that_is_missing_is_named() {
    for gone in 0..3 {
        for first in Side::BOTH {
            let mut it = reconciler();
            let times = [SECOND, SECOND + 5_000_000, SECOND + 300_000_000];
            // Stopped by a debugger for a while, at each exec.
            let late = |time| time + 4_000_000;
            let whole = |it: &mut Reconciler| {
                times.into_iter().for_each(|time| it.add(Side::First, &event(time, 7, of(Kind::Exec))));
            };
            let holed = |it: &mut Reconciler| {
                let told = times.into_iter().enumerate().filter(|(n, _)| *n != gone);
                told.for_each(|(_, time)| it.add(Side::Second, &event(late(time), 7, of(Kind::Exec))));
            };
            if first == Side::First {
                whole(&mut it);
                holed(&mut it);
            } else {
                holed(&mut it);
                whole(&mut it);
            }
            let (verification, _) = ended(it, 9 * SECOND);
            assert_eq!((verification.total_agreed(), verification.total_missing(Side::Second)), (2, 1), "{gone}");
        }
    }
}

#[test]
fn a_counted_loss_explains_so_many_and_no_more() {
    let mut it = reconciler();
    let told = |it: &mut Reconciler, side, seconds: i64, pid| {
        it.add(side, &event(seconds * SECOND, pid, of(Kind::Exec)));
    };
    told(&mut it, Side::Second, 1, 1);
    told(&mut it, Side::First, 1, 1);
    (10..15).for_each(|pid| told(&mut it, Side::First, 3, pid));
    it.add(Side::Second, &lost(SECOND, Kind::Exec, 3));
    it.add(Side::Second, &lost(SECOND, Kind::Exit, 3));
    it.add(Side::Second, &lost(SECOND, Kind::Lost, 1));
    told(&mut it, Side::Second, 6, 2);
    told(&mut it, Side::First, 6, 2);
    // Long after the mark there is nothing to explain it, and the first lost nothing at all.
    told(&mut it, Side::First, 30, 3);
    told(&mut it, Side::Second, 31, 4);
    let (verification, discrepancies) = ended(it, 99 * SECOND);
    assert_eq!(verification.total_explained(Side::Second), 4);
    assert_eq!(verification.total_missing(Side::Second), 2);
    assert_eq!(verification.total_missing(Side::First), 1);
    assert_eq!(missing(&discrepancies).len(), 3);
    assert_eq!(verification.total_compared(), 2 + 4 + 3);
}

#[test]
fn windows_without_both_are_not_compared() {
    let mut it = reconciler();
    it.add(Side::Second, &event(-SECOND / 2, 1, of(Kind::Exec)));
    it.add(Side::Second, &event(10_000_000, 2, of(Kind::Exec)));
    // At the edge both may have reported it.
    it.add(Side::First, &event(20_000_000, 3, of(Kind::Exec)));
    it.add(Side::Second, &event(20_010_000, 3, of(Kind::Exec)));
    it.add(Side::First, &event(60 * SECOND, 4, of(Kind::Exec)));
    it.end(Side::First, Timestamp(61 * SECOND));
    it.end(Side::Second, Timestamp(59 * SECOND));
    let verification = it.finish();
    assert_eq!((verification.outside, verification.total_agreed(), verification.total_compared()), (3, 1, 1));
    assert!(verification.is_complete());
}

#[test]
fn who_is_filtered_is_not_held_to_the_rest() {
    let mut it = reconciler();
    it.add_optional(Side::Second, &event(SECOND, 1, of(Kind::Exec)));
    it.add(Side::Second, &event(SECOND, 4, of(Kind::Exec)));
    it.add(Side::First, &event(SECOND, 2, of(Kind::Exec)));
    it.add_optional(Side::Second, &event(SECOND, 3, of(Kind::Exec)));
    it.add(Side::First, &event(SECOND, 3, of(Kind::Exec)));
    let (verification, discrepancies) = ended(it, 9 * SECOND);
    let expected = [(SourceId::ProcessConnector, Kind::Exec, 2, SECOND), (SourceId::Ebpf, Kind::Exec, 4, SECOND)];
    let mut found = missing(&discrepancies);
    found.sort_by_key(|it| it.2);
    assert_eq!(found, expected);
    assert_eq!((verification.optional, verification.total_agreed()), ([1, 0], 1));
}

/// A sampling mechanism misses short processes; what it does report has to be true all the same.
#[test]
fn who_cannot_count_losses_is_held_to_what_it_tells() {
    let mut it = Reconciler::new(&session(SourceId::Ebpf, 0), &session(SourceId::ProcPoll, 0));
    it.add(Side::First, &event(SECOND, 1, of(Kind::Exec)));
    it.add(Side::Second, &event(SECOND, 2, of(Kind::Exec)));
    let (verification, _) = ended(it, 9 * SECOND);
    assert_eq!((verification.total_missing(Side::First), verification.total_missing(Side::Second)), (1, 0));
    assert_eq!(verification.optional, [0, 1]);
}

/// An event that a mechanism says it cannot report here is not compared.
#[test]
fn what_does_not_come_here_is_not_compared() {
    let mut second = session(SourceId::Tracefs, 0);
    second.unavailable = EventSet::NONE.with(Kind::ExecFailed);
    let it = Reconciler::new(&session(SourceId::Ebpf, 0), &second);
    assert!(it.kinds().contains(Kind::Exec) && !it.kinds().contains(Kind::ExecFailed));
    let it = Reconciler::new(&session(SourceId::Ebpf, 0), &session(SourceId::Tracefs, 0));
    assert!(it.kinds().contains(Kind::ExecFailed));
    let it = Reconciler::new(&session(SourceId::Ebpf, 0), &session(SourceId::ProcPoll, 0));
    assert!(it.kinds().contains(Kind::Exec) && !it.kinds().contains(Kind::Comm));
}

fn renamed(time: i64, pid: Pid, new: &[u8]) -> Event {
    let mut it = event(time, pid, EventKind::Comm(CommChange::new(None, new.into())));
    it.tid = Some(pid);
    change(&mut it, |process| process.argv = Some(Arc::new(Argv::from_block(*b"x\0"))));
    it
}

fn became(time: i64, pid: Pid, uid: u32) -> Event {
    let mut it = event(time, pid, EventKind::Uid(IdChange::default()));
    let who = Credentials::new([uid; 2], [0; 2]);
    change(&mut it, |process| process.credentials = Some(Arc::new(who)));
    it
}

#[test]
fn changes_are_compared_with_what_became() {
    let mut it = reconciler();
    for (time, one, other) in [(1, &b"a"[..], &b"a"[..]), (2, b"b", b"c")] {
        it.add(Side::First, &renamed(time * SECOND, 7, one));
        it.add(Side::Second, &renamed(time * SECOND, 7, other));
    }
    for (time, one, other) in [(3, 1, 1), (4, 1, 2)] {
        it.add(Side::First, &became(time * SECOND, 8, one));
        it.add(Side::Second, &became(time * SECOND, 8, other));
    }
    it.add(Side::First, &event(5 * SECOND, 9, EventKind::Sid));
    let (verification, found) = ended(it, 9 * SECOND);
    assert_eq!(verification.differing, [(Field::Name, 1), (Field::User, 1)]);
    assert_eq!(missing(&found), [(SourceId::ProcessConnector, Kind::Sid, 9, 5 * SECOND)]);
}

/// Two changes at once, which one mechanism reports a little later than the other.
#[test]
fn changes_at_once_are_compared_in_their_order() {
    let mut it = reconciler();
    let both = |late: i64| [became(SECOND + late, 7, 1000), became(SECOND + 500_000 + late, 7, 0)];
    both(0).iter().for_each(|event| it.add(Side::Second, event));
    both(400_000).iter().for_each(|event| it.add(Side::First, event));
    let (verification, found) = ended(it, 9 * SECOND);
    assert_eq!((found, verification.agreed.of(Kind::Uid)), (vec![], 2));
}

/// Several threads take their names at once.
#[test]
fn each_threads_name_is_its_own() {
    let mut it = reconciler();
    let name = |tid: Pid, late: i64, new: &[u8]| {
        let mut event = renamed(SECOND + late, 7, new);
        event.tid = Some(tid);
        event
    };
    it.add(Side::Second, &name(8, 0, b"a"));
    it.add(Side::First, &name(9, 100, b"b"));
    it.add(Side::First, &name(8, 200, b"a"));
    it.add(Side::Second, &name(9, 300, b"b"));
    let (verification, found) = ended(it, 9 * SECOND);
    assert_eq!((found, verification.agreed.of(Kind::Comm)), (vec![], 2));
}

/// The kernel does not report to all mechanisms the changes of a set-uid exec, of kernel threads
/// and of io_uring's.
#[test]
fn nobody_is_held_to_changes_that_the_kernel_does_not_tell_him() {
    let mut it = reconciler();
    let mut thread = renamed(SECOND, 7, b"a");
    thread.tid = Some(70);
    let mut kernels = renamed(SECOND, 8, b"a");
    change(&mut kernels, |process| process.argv = None);
    it.add(Side::First, &thread);
    it.add(Side::First, &kernels);
    it.add(Side::First, &renamed(SECOND, 9, b"a"));
    it.add(Side::Second, &became(SECOND, 10, 0));
    it.add(Side::First, &became(SECOND, 11, 0));
    let (verification, mut found) = ended(it, 9 * SECOND);
    assert_eq!(verification.optional, [1, 2]);
    found.sort_by_key(|it| matches!(it, Discrepancy::Missing { event, .. } if event.kind.kind() == Kind::Uid));
    let of = [(Kind::Comm, 9), (Kind::Uid, 11)].map(|(kind, pid)| (SourceId::ProcessConnector, kind, pid, SECOND));
    assert_eq!(missing(&found), of);
}

#[test]
fn ids_match_as_far_as_they_are_known() {
    let told = |mark: Option<Flaw>, start: Option<u64>| {
        let mut it = reconciler();
        it.add(Side::First, &event(SECOND, 7, of(Kind::Exit)));
        let mut theirs = event(SECOND, 7, of(Kind::Exit));
        change(&mut theirs, |process| {
            process.id.start = start.map(StartTime);
            mark.into_iter().for_each(|flaw| process.flaws.mark(Field::Id, flaw));
        });
        it.add(Side::Second, &theirs);
        ended(it, 9 * SECOND).0.total_agreed()
    };
    assert_eq!(told(None, Some(7)), 1);
    assert_eq!(told(None, Some(8)), 0);
    assert_eq!(told(Some(Flaw::Estimated), Some(8)), 1);
    assert_eq!(told(Some(Flaw::Estimated), Some(7 + MOST_LATE_TICKS)), 1);
    assert_eq!(told(Some(Flaw::Estimated), Some(8 + MOST_LATE_TICKS)), 0);
    assert_eq!(told(Some(Flaw::AfterLoss), None), 1);
}

#[test]
fn fields_that_differ_are_told() {
    let exec = |words: &[&str], mark: Option<Flaw>| {
        let mut it = event(SECOND, 7, of(Kind::Exec));
        change(&mut it, |process| {
            process.argv = Some(Arc::new(Argv::from_strings(words)));
            mark.into_iter().for_each(|flaw| process.flaws.mark(Field::Argv, flaw));
        });
        it
    };
    let exit = |status| {
        let usage = Usage::default();
        event(SECOND, 7, EventKind::Exit(Exit::new(status, usage)))
    };
    let adopted = || {
        let mut it = event(SECOND, 7, of(Kind::Fork));
        change(&mut it, |process| process.parent = Some(ProcessRef::new(ProcessId { pid: 2, start: None }, None)));
        it
    };
    let killed = ExitStatus::Signal { signo: 9, core: false };
    for (first, second, field) in [
        (exec(&["a"], None), exec(&["b"], None), Some(Field::Argv)),
        (exec(&["a"], None), exec(&["b"], Some(Flaw::ReadLate)), None),
        (exec(&["a"], None), exec(&["a"], None), None),
        (exit(ExitStatus::Code(0)), exit(killed), Some(Field::Status)),
        (exit(ExitStatus::Unknown), exit(killed), None),
        (adopted(), event(SECOND, 7, of(Kind::Fork)), Some(Field::Ppid)),
    ] {
        let mut it = reconciler();
        it.add(Side::First, &first);
        it.add(Side::Second, &second);
        let (verification, discrepancies) = ended(it, 9 * SECOND);
        assert_eq!(verification.total_agreed(), 1);
        assert_eq!(verification.differing, field.map(|field| (field, 1)).into_iter().collect::<Vec<_>>());
        assert_eq!(discrepancies.len(), usize::from(field.is_some()));
    }
}

#[test]
fn a_side_far_behind_is_not_blamed() {
    let mut it = reconciler();
    let all = MOST_WAITING as u32 + 1000;
    (0..all).for_each(|pid| it.add(Side::First, &event(SECOND + i64::from(pid), pid, of(Kind::Exec))));
    let held: usize = it.waiting.values().map(Vec::len).sum();
    assert!(held <= MOST_WAITING && it.sides[0].order.len() <= MOST_WAITING);
    assert_eq!(held, it.sides[0].waiting);
    (0..all).for_each(|pid| it.add(Side::Second, &event(SECOND + i64::from(pid), pid, of(Kind::Exec))));
    let (verification, _) = ended(it, 9 * SECOND);
    assert_eq!(verification.total_agreed(), MOST_WAITING as u64);
    assert_eq!((verification.given_up, verification.total_missing(Side::First)), (2000, 0));
    assert!(!verification.is_complete());
}

/// A missing event is kept for its time, however many come and agree meanwhile. A given-up event
/// may have been reported: it uses up none of the counted losses.
#[test]
fn what_is_given_up_leaves_losses_to_explain_what_was_lost() {
    let mut it = reconciler();
    let all = MOST_WAITING as u32 + 1000;
    let at = |pid: u32| event(SECOND + i64::from(pid) * 50_000, pid, of(Kind::Exec));
    (0..all).for_each(|pid| it.add(Side::First, &at(pid)));
    it.add(Side::First, &lost(0, Kind::Exec, 500));
    let last = all + 500;
    it.add(Side::First, &at(last));
    (0..=last).for_each(|pid| it.add(Side::Second, &at(pid)));
    let (verification, found) = ended(it, 90 * SECOND);
    assert_eq!(missing(&found), []);
    assert_eq!(verification.total_explained(Side::First), 500);
}

/// Many threads of one process, one of which only one side knows.
#[test]
fn of_many_alike_the_others_agree() {
    for hole in [3, 40, 97] {
        let mut it = reconciler();
        let at = |n: i64| event(SECOND + n * 20_000_000, 7, of(Kind::Sid));
        (0..100).filter(|&n| n != hole).for_each(|n| it.add(Side::First, &at(n)));
        it.add(Side::First, &event(9 * SECOND, 8, of(Kind::Exec)));
        // So much later that none is certainly the same.
        let late = |n: i64| event(SECOND + n * 20_000_000 + 3_000_000, 7, of(Kind::Sid));
        (0..100).for_each(|n| it.add(Side::Second, &late(n)));
        it.add(Side::Second, &event(9 * SECOND, 8, of(Kind::Exec)));
        let (verification, found) = ended(it, 10 * SECOND);
        assert_eq!(missing(&found), [(SourceId::Ebpf, Kind::Sid, 7, late(hole).time.0)], "{hole}");
        assert_eq!(verification.agreed.of(Kind::Sid), 99);
    }
}

#[test]
fn a_storm_does_not_wash_out_what_is_missing() {
    let mut it = reconciler();
    let all = 4 * MOST_WAITING as u32;
    it.add(Side::First, &event(SECOND, all, of(Kind::Exec)));
    for pid in 0..all {
        it.add(Side::First, &event(SECOND + i64::from(pid), pid, of(Kind::Exec)));
        it.add(Side::Second, &event(SECOND + i64::from(pid), pid, of(Kind::Exec)));
        assert!(it.sides[0].order.len() <= 2 * MOST_WAITING);
    }
    let (verification, discrepancies) = ended(it, 9 * SECOND);
    assert_eq!(missing(&discrepancies), [(SourceId::ProcessConnector, Kind::Exec, all, SECOND)]);
    assert_eq!((verification.given_up, verification.total_agreed()), (0, u64::from(all)));
}

#[test]
fn what_nobody_takes_is_counted() {
    let mut it = reconciler();
    (0..3000).for_each(|pid| it.add(Side::First, &event(SECOND, pid, of(Kind::Exec))));
    let (verification, discrepancies) = ended(it, 9 * SECOND);
    assert_eq!((discrepancies.len(), verification.total_missing(Side::Second)), (MOST_FOUND, 3000));
}

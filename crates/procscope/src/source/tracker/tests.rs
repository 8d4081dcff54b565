use std::collections::{BTreeMap, HashMap};
use std::ops::ControlFlow;

use proptest::prelude::*;

use super::*;
use crate::ExeTraits;
use crate::source::comm_of;
use crate::source::look::{Exe, StatSeen, StatusSeen};

const MS: u64 = 1_000_000;

fn task(tid: Pid, pid: Pid) -> Task {
    Task { tid, pid }
}

/// A /proc in which every process bears its own pid and start in its name.
#[derive(Default)]
struct FakeProc {
    running: HashMap<Pid, Look>,
}

fn look(pid: Pid, start: u64, read_ns: u64) -> Look {
    let name = format!("{pid}@{start}");
    Look {
        read_ns,
        argv: Some(format!("{name}\0").into_bytes()),
        exe: Some(Exe { path: format!("/{name}").into_bytes(), traits: ExeTraits::empty() }),
        stat: Some(StatSeen {
            start: StartTime(start),
            arg_start: start + 1,
            comm: comm_of(name.as_bytes()),
            ppid: 1,
            pgid: pid,
            sid: 1,
            tty: None,
            kthread: false,
            ended: false,
            ending: false,
        }),
        status: Some(StatusSeen { uids: [0; 2], gids: [0; 2], ns_pid: 0, threads: 1 }),
        ..Look::default()
    }
}

impl Proc for FakeProc {
    fn look(&mut self, pid: Pid, _: Depth) -> Option<Look> {
        self.running.get(&pid).cloned()
    }

    fn start(&mut self, pid: Pid) -> Option<StartTime> {
        self.running.get(&pid)?.stat.map(|stat| stat.start)
    }
}

/// Happening was told, in short.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Seen {
    kind: &'static str,
    pid: Pid,
    tid: Pid,
    start_ns: u64,
    name: Option<String>,
    exe: Option<String>,
    status: u32,
    flaws: Vec<(Field, Flaw)>,
}

impl Seen {
    fn flaw(&self, field: Field) -> Option<Flaw> {
        self.flaws.iter().find(|(at, _)| *at == field).map(|(_, flaw)| *flaw)
    }
}

fn told(record: &Record<'_>) -> Option<Seen> {
    let subject = *record.body.subject()?;
    let (kind, status) = match &record.body {
        Body::Existing { .. } => ("existing", 0),
        Body::Fork { thread: false, .. } => ("fork", 0),
        Body::Fork { .. } => ("clone", 0),
        Body::Exec { .. } => ("exec", 0),
        Body::Exit { exit, .. } => ("exit", exit.wait_status.unwrap_or_default()),
        Body::ThreadExit { wait_status, .. } => ("thread-exit", wait_status.unwrap_or_default()),
        _ => ("other", 0),
    };
    let exe = match &record.body {
        Body::Exec { image, .. } | Body::Existing { image, .. } => image.exe.map(|names| {
            let mut path = Vec::new();
            names.write_path(&mut path);
            String::from_utf8_lossy(&path[1..]).into_owned()
        }),
        _ => None,
    };
    let text = |comm: &Comm| String::from_utf8_lossy(comm).trim_end_matches('\0').to_owned();
    let name = (subject.comm != UNKNOWN_COMM).then(|| text(&subject.comm));
    let flaws = record.flaws.iter().chain(record.about.iter()).collect();
    Some(Seen { kind, pid: subject.pid, tid: subject.tid, start_ns: subject.start_ns, name, exe, status, flaws })
}

struct Stage {
    tracker: Tracker,
    proc: FakeProc,
    told: Vec<Seen>,
}

impl Stage {
    fn new() -> Self {
        let settings =
            Settings { events: EventSet::ALL, env: false, follows: true, last_thread_decides: true, ids_told: true };
        Self { tracker: Tracker::new(settings), proc: FakeProc::default(), told: Vec::new() }
    }

    fn begin(&mut self, looks: &[(Pid, Look)]) {
        let told_all = &mut self.told;
        let mut put = |record: &Record<'_>| {
            told_all.extend(told(record));
            ControlFlow::Continue(())
        };
        let _ = self.tracker.begin(looks, &mut put);
        let _ = self.tracker.tell(looks.to_vec(), 0, &mut put);
    }

    fn feed_with(&mut self, mono_ns: u64, what: Happening, look: Option<Look>) {
        let told_all = &mut self.told;
        let _ = self.tracker.feed(
            Told { mono_ns, processor: None, what, look: look.map(Box::new) },
            &mut self.proc,
            &mut |record| {
                told_all.extend(told(record));
                ControlFlow::Continue(())
            },
        );
    }

    fn feed(&mut self, mono_ns: u64, what: Happening) {
        self.feed_with(mono_ns, what, None);
    }

    fn fork(&mut self, mono_ns: u64, pid: Pid) {
        self.feed(mono_ns, Happening::Fork { parent: task(1, 1), child: task(pid, pid), birth: None });
    }

    fn clone(&mut self, mono_ns: u64, tid: Pid, pid: Pid) {
        self.feed(mono_ns, Happening::Fork { parent: task(1, 1), child: task(tid, pid), birth: None });
    }

    fn exit(&mut self, mono_ns: u64, tid: Pid, pid: Pid, wait_status: u32) {
        self.feed(
            mono_ns,
            Happening::Exit {
                task: task(tid, pid),
                end: End { wait_status: Some(wait_status), ..End::default() },
                parent: None,
            },
        );
    }

    fn kinds(&self, pid: Pid) -> Vec<(&'static str, Pid)> {
        self.told.iter().filter(|told| told.pid == pid).map(|told| (told.kind, told.tid)).collect()
    }

    fn last(&self) -> &Seen {
        self.told.last().unwrap()
    }
}

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

/// One that is seen in the list before its fork is told comes once.
#[test]
fn existing_ones_do_not_come_as_forks() {
    let mut stage = Stage::new();
    stage.begin(&[(7, look(7, 2, 21 * MS))]);
    stage.fork(22 * MS, 7);
    assert_eq!(stage.kinds(7), [("existing", 7)]);
    stage.fork(900 * MS, 7);
    assert_eq!(stage.kinds(7), [("existing", 7), ("fork", 7)]);
}

/// However late the fork is told: by then a look has seen whom it is about, or another one who had the pid before.
#[test]
fn whose_fork_is_told_late_is_not_among_those_before() {
    let stage = Stage::new();
    let kept = |start, read_ms: u64, told_ms: u64| {
        let mut looks = vec![(7, look(7, start, read_ms * MS))];
        stage.tracker.keep_those_before(&mut looks, &[(7, told_ms * MS)], 99 * MS);
        !looks.is_empty()
    };
    assert!(!kept(2, 24, 25) && !kept(2, 24, 35) && !kept(2, 75, 70));
    assert!(kept(2, 60, 70) && kept(8, 85, 70));
    // Since we listen.
    assert!(!kept(10, 120, 130));
}

/// A thread that is kept from running in the middle of a fork has it told long after the child's start.
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
    // Nothing corrects what was read, and who began later is another one.
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
    // At the beginning of a tick it may be the tick before, and in another second it is quiet again.
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
    // Another one has the pid by now.
    stage.begin(&[(7, look(7, 1, MS))]);
    stage.proc.running.insert(7, look(7, 9, 200 * MS));
    stage.tracker.doubt();
    stage.feed(99 * MS, Happening::Exec { task: task(7, 7), started: None });
    assert_eq!(stage.last().name, None);
}

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
            Told { mono_ns: ns, processor: None, what, look: None },
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
    // It was 5 when it was read, which this change had made it.
    assert_eq!(old(&mut stage, 40 * MS, 5), None);
    assert_eq!(old(&mut stage, 70 * MS, 6), Some([5; 2]));
}

#[test]
fn a_name_that_an_exec_brought_is_not_its_old_one() {
    let mut stage = Stage::new();
    stage.fork(25 * MS, 7);
    let renamed = Happening::Comm { task: task(7, 7), old: Some(comm_of(b"old")), comm: comm_of(b"new") };
    // The record of the name was not there yet when that of the exec was taken for whole.
    for (started, expected) in [
        (Some(Box::new(Started::default())), (None, Some(Flaw::NotObserved))),
        (
            Some(Box::new(Started { old_comm: Some(comm_of(b"old")), ..Started::default() })),
            (Some(comm_of(b"old")), None),
        ),
        // Where names come as messages of their own, the last one before the exec was the old one.
        (None, (Some(comm_of(b"new")), None)),
    ] {
        stage.feed(30 * MS, renamed.clone());
        let what = Happening::Exec { task: task(7, 7), started };
        let mut old = None;
        let _ = stage.tracker.feed(
            Told { mono_ns: 31 * MS, processor: None, what, look: None },
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
            Told { mono_ns: 31 * MS, processor: None, what, look: None },
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

/// A pid, and which of its processes.
type Who = (Pid, u64);

#[derive(Clone, Debug)]
enum Act {
    Fork(Pid, Pid),
    Clone(Pid),
    Exec(Pid, bool),
    ThreadExit(Pid),
    Comm(Pid),
    End(Pid),
    Lose(u8),
    Resume,
    Wait(u8),
}

fn act() -> impl Strategy<Value = Act> {
    let pid = || 1..8u32;
    prop_oneof![
        4 => (pid(), pid()).prop_map(|(parent, child)| Act::Fork(parent, child)),
        2 => pid().prop_map(Act::Clone),
        4 => (pid(), any::<bool>()).prop_map(|(pid, looked)| Act::Exec(pid, looked)),
        2 => pid().prop_map(Act::ThreadExit),
        1 => pid().prop_map(Act::Comm),
        4 => pid().prop_map(Act::End),
        1 => (0..6u8).prop_map(Act::Lose),
        1 => Just(Act::Resume),
        2 => (0..40u8).prop_map(Act::Wait),
    ]
}

/// A process of the made-up system.
#[derive(Clone)]
struct Alive {
    start: u64,
    threads: Vec<Pid>,
}

proptest! {
    /// A made-up system that says what it does but for what is lost: no process is called by another one's name, each that was
    /// told to begin ends once, and nothing is told to end that did not.
    #[test]
    fn no_name_is_lent(acts in proptest::collection::vec(act(), 1..120)) {
        let mut stage = Stage::new();
        let mut alive: BTreeMap<Pid, Alive> = BTreeMap::new();
        let mut ended: HashMap<Who, u32> = HashMap::new();
        let (mut now, mut tid, mut losing, mut lost_any) = (20 * MS, 100, 0u8, false);
        for act in acts {
            now += 20 * MS;
            let mut lose = || {
                let lost = losing > 0;
                losing = losing.saturating_sub(1);
                lost_any |= lost;
                lost
            };
            match act {
                Act::Fork(parent, pid) if !alive.contains_key(&pid) && parent != pid => {
                    // In the middle of a tick, where an id can be worked out.
                    now = now / TICK_NS * TICK_NS + 5 * MS;
                    let start = now / TICK_NS;
                    alive.insert(pid, Alive { start, threads: Vec::new() });
                    stage.proc.running.insert(pid, look(pid, start, now));
                    if !lose() {
                        stage.feed(now, Happening::Fork { parent: task(parent, parent), child: task(pid, pid), birth: None });
                    }
                }
                Act::Clone(pid) if alive.contains_key(&pid) => {
                    tid += 1;
                    alive.get_mut(&pid).unwrap().threads.push(tid);
                    stage.proc.running.get_mut(&pid).unwrap().threads.push(tid);
                    if !lose() {
                        stage.clone(now, tid, pid);
                    }
                }
                Act::Exec(pid, looked) if alive.contains_key(&pid) => {
                    let one = alive.get_mut(&pid).unwrap();
                    one.threads.clear();
                    let seen = look(pid, one.start, now);
                    stage.proc.running.insert(pid, seen.clone());
                    if !lose() {
                        stage.feed_with(now, Happening::Exec { task: task(pid, pid), started: None }, looked.then_some(seen));
                    }
                }
                Act::ThreadExit(pid) if alive.get(&pid).is_some_and(|one| !one.threads.is_empty()) => {
                    let gone = alive.get_mut(&pid).unwrap().threads.remove(0);
                    stage.proc.running.get_mut(&pid).unwrap().threads.retain(|&tid| tid != gone);
                    if !lose() {
                        stage.exit(now, gone, pid, 0);
                    }
                }
                Act::Comm(pid) if alive.contains_key(&pid) => {
                    let comm = comm_of(format!("{pid}@{}", alive[&pid].start).as_bytes());
                    if !lose() {
                        stage.feed(now, Happening::Comm { task: task(pid, pid), old: None, comm });
                    }
                }
                Act::End(pid) if alive.contains_key(&pid) => {
                    let one = alive.remove(&pid).unwrap();
                    stage.proc.running.remove(&pid);
                    for &tid in &one.threads {
                        if !lose() {
                            stage.exit(now, tid, pid, 0);
                        }
                    }
                    if !lose() {
                        stage.exit(now + 1, pid, pid, 0);
                    }
                    *ended.entry((pid, one.start)).or_default() += 1;
                }
                Act::Lose(count) => {
                    losing = losing.max(count);
                    if count > 0 {
                        stage.tracker.doubt();
                    }
                }
                Act::Resume if losing == 0 => {
                    let looks: Vec<(Pid, Look)> = stage.proc.running.iter().map(|(&pid, look)| {
                        (pid, Look { read_ns: now, ..look.clone() })
                    }).collect();
                    stage.tracker.resume(looks, &mut |_| ControlFlow::Continue(()));
                }
                Act::Wait(ms) => now += u64::from(ms) * MS,
                _ => {}
            }
            if losing > 0 {
                // Happeningever comes next may follow a loss.
                stage.tracker.doubt();
            }
        }
        let mut begun: HashMap<Who, u32> = HashMap::new();
        let mut exits: HashMap<Who, u32> = HashMap::new();
        for told in &stage.told {
            let known = (told.start_ns != UNKNOWN_START).then_some((told.pid, told.start_ns / TICK_NS));
            let own = known.map(|(pid, start)| format!("{pid}@{start}"));
            if told.flaw(Field::Name) != Some(Flaw::Inherited) {
                prop_assert!(told.name.is_none() || told.name == own, "{told:?}");
            }
            prop_assert!(told.exe.is_none() || told.exe == own, "{told:?}");
            match (told.kind, known) {
                ("fork", Some(who)) => *begun.entry(who).or_default() += 1,
                ("exit", Some(who)) => *exits.entry(who).or_default() += 1,
                _ => {}
            }
        }
        for (who, times) in &exits {
            prop_assert_eq!(*times, 1, "{:?} ended more than once", who);
            prop_assert!(ended.contains_key(who), "{who:?} did not end");
        }
        if !lost_any {
            for who in begun.keys().filter(|who| ended.contains_key(who)) {
                prop_assert_eq!(exits.get(who), Some(&1), "{:?} never ended", who);
            }
        }
    }
}

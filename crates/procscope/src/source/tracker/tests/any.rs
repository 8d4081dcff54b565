use super::*;

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
    /// A made-up system that reports its events except the lost ones: no process gets another one's
    /// name, each reported beginning has one end, and no end is reported without a beginning.
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
                // Whatever event comes next may follow a loss.
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

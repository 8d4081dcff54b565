//! Processes that ran already.

use std::collections::HashMap;

use crate::turn;
use crate::watch::Watch;
use crate::workload::Workload;

/// Once, with its arguments, before anything else.
#[test]
fn existing_processes_come_once() {
    let _turn = turn::take();
    let workload = Workload::new(&["odd", "fork"]);
    let pid = workload.pid();
    let watch = Watch::start(["-e", "existing,exit"]);
    // Its arguments are read when it is told of, and would be gone with it.
    watch.wait_for(&format!(r#""pid":{pid},"#));
    workload.run();
    let ended = watch.stop().well();
    let events = ended.events();
    let own: Vec<_> = events.iter().filter(|seen| seen.pid == Some(pid)).collect();
    assert_eq!(own.iter().map(|seen| &*seen.event).collect::<Vec<_>>(), ["existing", "exit"]);
    let argv = own[0].argv.clone().unwrap_or_default();
    assert_eq!(argv[1..4], ["odd", "fork", "--gate"], "{argv:?}");
    assert_eq!(own[0].ppid, Some(std::process::id()));
    assert_eq!(own[0].id, own[1].id);
    let first_exit = events.iter().position(|seen| seen.event == "exit");
    let last_existing = events.iter().rposition(|seen| seen.event == "existing");
    assert!(last_existing < first_exit, "{last_existing:?} {first_exit:?}");
    // Kernel threads and the first process, and ourselves.
    for pid in [1, 2, std::process::id()] {
        assert_eq!(events.iter().filter(|seen| seen.event == "existing" && seen.pid == Some(pid)).count(), 1, "{pid}");
    }
}

/// Started within a storm: each process begins once, either as one that ran already or by its fork, and ends once.
#[test]
fn starting_within_a_storm_misses_nothing() {
    let _turn = turn::take();
    // What can go wrong is a matter of microseconds, so not every time.
    (0..5).for_each(|_| start_within_a_storm());
}

fn start_within_a_storm() {
    let mut workload = Workload::new(&["storm", "--count", "8000"]);
    workload.go();
    let watch = Watch::start(["-e", "existing,fork,exec,exit"]);
    workload.truth();
    let ended = watch.stop().well();
    let mut begun: HashMap<String, u32> = HashMap::new();
    let mut ended_ids: HashMap<String, u32> = HashMap::new();
    for seen in ended.events() {
        let id = seen.id.clone().unwrap_or_default();
        match &*seen.event {
            "existing" | "fork" => *begun.entry(id).or_default() += 1,
            "exit" | "exec" => {
                assert!(begun.contains_key(&id), "{} of a process that never began: {seen:?}", seen.event);
                if seen.event == "exit" {
                    *ended_ids.entry(id).or_default() += 1;
                }
            }
            other => panic!("{other}"),
        }
    }
    let twice = |map: &HashMap<String, u32>| map.iter().filter(|(_, n)| **n > 1).map(|(id, _)| id.clone()).next();
    assert_eq!((twice(&begun), twice(&ended_ids)), (None, None));
}

use std::ops::ControlFlow;

use proptest::prelude::*;

use super::known::TICK_NS;
use super::*;
use crate::Kind;
use crate::record::{Body, Record};
use crate::source::look::{Look, StatusSeen};

/// A line of `/proc/PID/stat`, with an address of the code that distinguishes images.
fn stat(name: &str, state: char, ppid: Pid, flags: u32, start: u64, place: u64) -> Stat {
    let line = format!(
        "1 ({name}) {state} {ppid} 7 6 0 -1 {flags} 11 0 1 0 3 4 0 0 20 0 1 0 {start} 0 0 0 {place} 2 3 0 0 0 0 0 0 0 0 0 17 0 0 0 0 0 \
         0 0 0 0 0 0 0 256"
    );
    Stat::decode(line.as_bytes()).expect("it is a line of stat")
}

/// Its first thread has ended, and another one continues.
fn without_leader(mut stat: Stat) -> Stat {
    (stat.state, stat.flags, stat.threads) = (b'Z', stat.flags | 4, 2);
    stat
}

/// `PF_FORKNOEXEC` and `PF_RANDOMIZE`.
const FORKED: u32 = 0x40;
const EXECUTED: u32 = 0x40_0000;

fn look(argv: &str) -> Look {
    Look {
        argv: Some([argv.as_bytes(), b"\0"].concat()),
        status: Some(StatusSeen { uids: [0; 2], gids: [0; 2], ns_pid: 0, threads: 1 }),
        cgroup: Some(b"/a".to_vec()),
        ..Look::default()
    }
}

fn sight(pid: Pid, stat: Stat, argv: &str) -> Sight {
    Sight { pid, read_ns: (stat.start.0 + 1) * TICK_NS, stat, look: look(argv), code_kib: 4, loading: false }
}

#[derive(Debug, PartialEq, Eq)]
struct Outcome {
    kind: Kind,
    pid: Pid,
    argv: Option<Vec<u8>>,
    ppid: Pid,
    parent: Option<String>,
    flaws: Vec<(Field, Flaw)>,
}

fn told(record: &Record<'_>) -> Option<Outcome> {
    let (kind, image) = match &record.body {
        Body::Existing { image, .. } => (Kind::Existing, Some(image)),
        Body::Fork { image, .. } => (Kind::Fork, image.as_ref()),
        Body::Exec { image, .. } => (Kind::Exec, Some(image)),
        Body::Exit { .. } => (Kind::Exit, None),
        Body::Comm { .. } => (Kind::Comm, None),
        Body::Uid { .. } => (Kind::Uid, None),
        Body::Gid { .. } => (Kind::Gid, None),
        Body::Sid { .. } => (Kind::Sid, None),
        _ => return None,
    };
    let subject = record.body.subject()?;
    let argv = image.map(|image| image.argv.inline.to_vec()).filter(|argv| !argv.is_empty());
    let flaws = record.flaws.iter().chain(record.about.iter()).collect();
    let parent = subject.parent.comm;
    let parent = (parent != UNKNOWN_COMM).then(|| String::from_utf8_lossy(&parent).trim_end_matches('\0').to_owned());
    Some(Outcome { kind, pid: subject.pid, argv, ppid: subject.parent.pid, parent, flaws })
}

/// Collects the reports.
fn gather(feed: impl FnOnce(&mut Put<'_>) -> ControlFlow<()>) -> Vec<Outcome> {
    let mut all = Vec::new();
    let flow = feed(&mut |record| {
        all.extend(told(record));
        ControlFlow::Continue(())
    });
    assert!(flow.is_continue());
    all
}

fn kinds(told: &[Outcome]) -> Vec<Kind> {
    told.iter().map(|it| it.kind).collect()
}

/// A shell that was already running.
fn with_shell() -> Tracker {
    let mut tracker = Tracker::new(false, false);
    tracker.begin(&[sight(10, stat("sh", 'S', 1, EXECUTED, 5, 100), "sh")], &mut |_| ControlFlow::Continue(()));
    tracker
}

#[test]
fn a_copy_of_its_parent_has_executed_nothing() {
    let mut tracker = with_shell();
    let told = gather(|put| tracker.born(sight(11, stat("sh", 'S', 10, FORKED, 9, 100), "sh"), 0, put));
    assert_eq!(kinds(&told), [Kind::Fork]);
    assert_eq!((told[0].ppid, told[0].argv.as_deref()), (10, Some(&b"sh\0"[..])));
    assert!(
        told[0].flaws.contains(&(Field::Time, Flaw::Estimated))
            && told[0].flaws.contains(&(Field::Ppid, Flaw::ReadLate))
    );
    // The flag alone decides, whatever the addresses.
    let now = stat("ls", 'R', 10, EXECUTED, 9, 0);
    assert_eq!(tracker.judge(11, &now), Judgement::Look);
    let told = gather(|put| tracker.again(sight(11, now, "ls"), put));
    assert_eq!((kinds(&told), told[0].argv.as_deref()), (vec![Kind::Exec], Some(&b"ls\0"[..])));
}

/// It executed something, and then its first thread ended: the others belong to the new program.
#[test]
fn a_program_whose_first_thread_has_ended_is_looked_at() {
    let mut tracker = with_shell();
    let told = gather(|put| tracker.born(sight(11, stat("sh", 'S', 10, FORKED, 9, 100), "sh"), 0, put));
    assert_eq!(kinds(&told), [Kind::Fork]);
    let mut now = without_leader(stat("ls", 'S', 10, EXECUTED, 9, 0));
    assert_eq!(tracker.judge(11, &now), Judgement::Look);
    let told = gather(|put| tracker.again(sight(11, now.clone(), "ls"), put));
    assert_eq!((kinds(&told), told[0].argv.as_deref()), (vec![Kind::Exec], Some(&b"ls\0"[..])));
    now.threads = 1;
    assert_eq!(tracker.judge(11, &now), Judgement::Ended);
}

#[test]
fn what_was_before_an_exec_that_was_not_seen_is_not_known() {
    let mut tracker = with_shell();
    let told = gather(|put| tracker.born(sight(11, stat("ls", 'S', 10, EXECUTED, 9, 200), "ls"), 0, put));
    assert_eq!(kinds(&told), [Kind::Fork, Kind::Exec]);
    assert_eq!((told[0].argv.as_deref(), told[1].argv.as_deref()), (None, Some(&b"ls\0"[..])));
    assert!(
        told[0].flaws.contains(&(Field::Argv, Flaw::NotObserved))
            && told[0].flaws.contains(&(Field::Name, Flaw::NotObserved))
    );
    assert!(told[1].flaws.contains(&(Field::OldName, Flaw::NotObserved)));
}

/// One whose old program is gone and whose new one is not in place yet.
fn loading(pid: Pid, name: &str, start: u64) -> Sight {
    let (stat, look) = (stat(name, 'D', 10, EXECUTED, start, 0), Look { argv: None, ..look("") });
    assert!(is_loading(&stat, &look, 0));
    Sight { pid, read_ns: (start + 1) * TICK_NS, stat, look, code_kib: 0, loading: true }
}

#[test]
fn a_program_that_is_being_loaded_is_told_of_when_it_is_there() {
    let mut tracker = with_shell();
    let told = gather(|put| tracker.born(loading(11, "ls", 9), 0, put));
    assert_eq!(kinds(&told), [Kind::Fork]);
    assert!(told[0].flaws.contains(&(Field::Name, Flaw::NotObserved)));
    assert_eq!(tracker.judge(11, &loading(11, "ls", 9).stat), Judgement::Look);
    let told = gather(|put| tracker.again(loading(11, "ls", 9), put));
    assert_eq!(told, []);
    let there = stat("ls", 'R', 10, EXECUTED, 9, 200);
    assert_eq!(tracker.judge(11, &there), Judgement::Look);
    let told = gather(|put| tracker.again(sight(11, there.clone(), "ls"), put));
    assert_eq!((kinds(&told), told[0].argv.as_deref()), (vec![Kind::Exec], Some(&b"ls\0"[..])));
    assert_eq!(tracker.judge(11, &there), Judgement::Same);
    // The same if it has executed before.
    let told = gather(|put| tracker.again(loading(11, "ps", 9), put));
    assert_eq!(told, []);
    let told = gather(|put| tracker.again(sight(11, stat("ps", 'R', 10, EXECUTED, 9, 300), "ps"), put));
    assert_eq!((kinds(&told), told[0].argv.as_deref()), (vec![Kind::Exec], Some(&b"ps\0"[..])));
}

#[test]
fn who_runs_already_and_is_being_loaded_executes_afterwards() {
    let mut tracker = Tracker::new(false, false);
    tracker.begin(&[loading(11, "ls", 9)], &mut |_| ControlFlow::Continue(()));
    let there = stat("ls", 'R', 10, EXECUTED, 9, 200);
    assert_eq!(tracker.judge(11, &there), Judgement::Look);
    let told = gather(|put| tracker.again(sight(11, there, "ls"), put));
    assert_eq!(kinds(&told), [Kind::Exec]);
}

#[test]
fn code_or_arguments_show_that_a_program_is_there() {
    let (blind, none) = (stat("x", 'R', 10, EXECUTED, 9, 1), Look { argv: None, ..look("") });
    assert!(is_loading(&blind, &none, 0) && !is_loading(&blind, &none, 4) && !is_loading(&blind, &look("x"), 0));
    assert!(!is_loading(&stat("x", 'R', 10, EXECUTED, 9, 100), &none, 0));
    for (state, flags) in [('R', FORKED), ('R', EXECUTED | 4), ('Z', EXECUTED), ('R', EXECUTED | 0x20_0000), ('R', 0)] {
        assert!(!is_loading(&stat("x", state, 10, flags, 9, 0), &none, 0), "{state} {flags:x}");
    }
}

#[test]
fn an_exec_that_only_the_dead_shows_is_told_of() {
    let mut tracker = with_shell();
    let _ = gather(|put| tracker.born(sight(11, stat("sh", 'S', 10, FORKED, 9, 100), "sh"), 0, put));
    // Its name is no longer the copy's, because it has executed something.
    let ending = stat("ls", 'R', 10, EXECUTED | 4, 9, 0);
    assert_eq!(gather(|put| tracker.touch(11, &ending, 1, put)), []);
    let left = Some(stat("ls", 'Z', 10, EXECUTED | 4, 9, 0));
    let end = End { boot_ns: 1, time: Flaw::Estimated, wait_status: Some(0), stat: left };
    let told = gather(|put| tracker.ended(11, &end, put));
    assert_eq!((kinds(&told), told[0].argv.as_deref()), (vec![Kind::Exec, Kind::Exit], None));
    assert!(told[0].flaws.contains(&(Field::Argv, Flaw::Unreadable)));
    // The missing values say nothing about that.
    let _ = gather(|put| tracker.born(sight(12, stat("sh", 'S', 10, FORKED, 9, 100), "sh"), 0, put));
    let told = gather(|put| tracker.ended(12, &End { stat: None, ..end.clone() }, put));
    assert_eq!(kinds(&told), [Kind::Exit]);
}

#[test]
fn an_orphan_says_that_its_parent_is_a_guess() {
    let mut tracker = with_shell();
    let told = gather(|put| tracker.born(sight(11, stat("sh", 'S', 1, FORKED, 9, 100), "sh"), 0, put));
    assert!(told[0].flaws.contains(&(Field::Ppid, Flaw::Estimated)));
    // No parent is younger than its child.
    let _ = gather(|put| tracker.born(sight(20, stat("new", 'S', 10, EXECUTED, 50, 300), "new"), 0, put));
    let told = gather(|put| tracker.born(sight(12, stat("sh", 'S', 20, FORKED, 40, 100), "sh"), 0, put));
    assert!(told[0].flaws.contains(&(Field::Ppid, Flaw::Estimated)));
}

/// A process that adopted one orphan adopts others.
#[test]
fn who_takes_orphans_is_not_believed_to_be_their_parent() {
    let mut tracker = with_shell();
    let _ = gather(|put| tracker.born(sight(20, stat("user", 'S', 1, EXECUTED, 6, 300), "user"), 0, put));
    let mut born =
        |pid, ppid| gather(|put| tracker.born(sight(pid, stat("sh", 'S', ppid, FORKED, 9, 100), "sh"), 0, put));
    assert!(born(11, 20)[0].flaws.contains(&(Field::Ppid, Flaw::ReadLate)));
    let _ = born(12, 10);
    let _ = gather(|put| tracker.touch(12, &stat("sh", 'S', 20, FORKED, 9, 100), 1, put));
    let told = gather(|put| tracker.born(sight(13, stat("sh", 'S', 20, FORKED, 10, 100), "sh"), 0, put));
    assert!(told[0].flaws.contains(&(Field::Ppid, Flaw::Estimated)));
}

/// An orphan's first parent is the one with which it was first seen.
#[test]
fn the_first_parent_stays() {
    let (first, last) = (stat("sh", 'R', 10, FORKED, 5, 100), stat("sh", 'R', 1, FORKED, 5, 100));
    assert_eq!(settle(&first, look("x"), Some(&last)).map(|(stat, _)| stat.ppid), Some(10));
}

#[test]
fn changes_are_told_once() {
    let mut tracker = with_shell();
    // Another image at another address.
    let other = stat("sh", 'S', 1, EXECUTED, 5, 101);
    assert_eq!(tracker.judge(10, &other), Judgement::Look);
    assert_eq!(kinds(&gather(|put| tracker.again(sight(10, other.clone(), "sh -x"), put))), [Kind::Exec]);
    assert_eq!(tracker.judge(10, &other), Judgement::Same);
    let named = stat("renamed", 'S', 1, EXECUTED, 5, 101);
    assert_eq!(tracker.judge(10, &named), Judgement::Same);
    assert_eq!(kinds(&gather(|put| tracker.touch(10, &named, 1, put))), [Kind::Comm]);
    assert_eq!(gather(|put| tracker.touch(10, &named, 1, put)), []);
    let mut ids = sight(10, named, "sh -x");
    ids.look.status = Some(StatusSeen { uids: [1, 2], gids: [3, 4], ns_pid: 0, threads: 1 });
    assert_eq!(kinds(&gather(|put| tracker.again(ids, put))), [Kind::Uid, Kind::Gid]);
}

/// Without the right to see the addresses of an image, an exec shows in the size of its code, and
/// in nothing that a process may overwrite.
#[test]
fn overwritten_arguments_are_no_exec() {
    let mut tracker = Tracker::new(false, false);
    let blind = |name| stat(name, 'S', 1, EXECUTED, 5, 1);
    tracker.begin(&[sight(10, blind("sshd"), "sshd")], &mut |_| ControlFlow::Continue(()));
    assert_eq!(tracker.judge(10, &blind("sshd")), Judgement::Look);
    assert_eq!(gather(|put| tracker.again(sight(10, blind("sshd"), "sshd: me"), put)), []);
    assert_eq!(kinds(&gather(|put| tracker.again(sight(10, blind("(x)"), "(x)"), put))), [Kind::Comm]);
    let other = Sight { code_kib: 8, ..sight(10, blind("bash"), "bash") };
    assert_eq!(kinds(&gather(|put| tracker.again(other, put))), [Kind::Exec]);
}

/// An earlier name may be of another program than the one that made the child.
#[test]
fn a_parent_has_its_name_from_after_the_fork() {
    let child = |pid| sight(pid, stat("sh", 'S', 10, FORKED, 9, 100), "sh");
    let end = |boot_ns| End { boot_ns, time: Flaw::ReadLate, wait_status: None, stat: None };
    let name = |told: Vec<Outcome>| told.into_iter().map(|it| it.parent).collect::<Vec<_>>();

    let mut tracker = with_shell();
    assert!(tracker.is_stale(10, child(11).read_ns));
    assert_eq!(name(gather(|put| tracker.born(child(11), 0, put))), [None]);
    let became = Sight { read_ns: child(11).read_ns, ..sight(10, stat("make", 'S', 1, EXECUTED, 5, 300), "make") };
    let _ = gather(|put| tracker.again(became, put));
    assert!(!tracker.is_stale(10, child(11).read_ns));
    assert_eq!(name(gather(|put| tracker.born(child(12), 0, put))), [Some("make".to_owned())]);
    let ran = sight(12, stat("ls", 'S', 10, EXECUTED, 9, 200), "ls");
    assert_eq!(name(gather(|put| tracker.again(ran, put))), [Some("make".to_owned())]);

    let later = child(11).read_ns + 1;
    let told = gather(|put| tracker.ended(11, &end(later), put));
    assert!(told[0].flaws.contains(&(Field::Parent, Flaw::Unreadable)), "{told:?}");
    assert_eq!(name(told), [None]);
    // It has executed another program by now, of which only the end is left.
    tracker.confirm(10, &stat("cc", 'Z', 1, EXECUTED, 5, 400), later);
    assert!(tracker.is_stale(10, later));
    tracker.confirm(10, &stat("make", 'Z', 1, EXECUTED, 5, 300), later);
    let told = gather(|put| tracker.ended(12, &end(later), put));
    assert!(told[0].flaws.contains(&(Field::Parent, Flaw::ReadLate)), "{told:?}");
    assert_eq!(name(told), [Some("make".to_owned())]);
}

#[test]
fn a_pid_that_is_used_again_is_another_process() {
    let tracker = with_shell();
    assert_eq!(tracker.judge(10, &stat("sh", 'S', 1, EXECUTED, 6, 100)), Judgement::Other);
    assert_eq!(tracker.judge(11, &stat("sh", 'S', 1, EXECUTED, 5, 100)), Judgement::Other);
    assert_eq!(tracker.judge(10, &stat("sh", 'Z', 1, EXECUTED, 5, 0)), Judgement::Ended);
}

#[test]
fn an_end_tells_what_was_left() {
    let mut tracker = with_shell();
    let end = End { boot_ns: TICK_NS * 9, time: Flaw::ReadLate, wait_status: None, stat: None };
    let told = gather(|put| tracker.ended(10, &end, put));
    let unread = [(Field::Status, Flaw::Unreadable), (Field::Usage, Flaw::Estimated), (Field::Time, Flaw::ReadLate)];
    assert!(kinds(&told) == [Kind::Exit] && unread.iter().all(|flaw| told[0].flaws.contains(flaw)), "{told:?}");
    assert_eq!(gather(|put| tracker.ended(10, &end, put)), []);
}

/// Arguments belong to the program that the second reading shows, or are not reported.
#[test]
fn arguments_belong_to_one_program() {
    let (forked, executed) = (stat("sh", 'R', 1, FORKED, 5, 100), stat("ls", 'R', 1, EXECUTED, 5, 200));
    let argv = |first: &Stat, last: Option<&Stat>| settle(first, look("x"), last).map(|(_, look)| look.argv.is_some());
    assert_eq!(argv(&forked, Some(&forked)), Some(true));
    assert_eq!(argv(&forked, Some(&executed)), None);
    assert_eq!(argv(&executed, Some(&stat("ls", 'R', 1, EXECUTED, 5, 201))), None);
    assert_eq!(argv(&executed, None), Some(true));
    assert_eq!(argv(&forked, None), Some(false));
    assert_eq!(argv(&executed, Some(&stat("ls", 'Z', 1, EXECUTED, 5, 0))), Some(true));
    assert_eq!(argv(&executed, Some(&stat("cat", 'Z', 1, EXECUTED, 5, 0))), Some(false));
    assert_eq!(argv(&forked, Some(&stat("sh", 'Z', 1, EXECUTED, 5, 0))), Some(false));
}

#[test]
fn descendants_are_found() {
    let mut tracker = with_shell();
    for (pid, ppid) in [(11, 10), (12, 11), (13, 1)] {
        let _ = gather(|put| tracker.born(sight(pid, stat("sh", 'S', ppid, FORKED, 9, 100), "sh"), 0, put));
    }
    let mut below = tracker.descendants(&[11]);
    below.sort_unstable();
    assert_eq!(below, [11, 12]);
}

proptest! {
    /// Whatever is seen, each process that began ends, and none begins twice.
    #[test]
    fn lives_are_told_once(steps in proptest::collection::vec((0u32..4, 0u64..3, 0u64..4, 0u8..4, any::<bool>()), 0..80)) {
        let mut tracker = Tracker::new(true, true);
        let mut alive = std::collections::BTreeSet::new();
        for (pid, start, place, what, flag) in steps {
            let seen = stat("x", if what == 3 { 'Z' } else { 'S' }, pid / 2, if flag { EXECUTED } else { FORKED }, start, place);
            let it = sight(pid, seen.clone(), "x");
            let end = End { boot_ns: 1, time: Flaw::Estimated, wait_status: Some(0), stat: None };
            let told = gather(|put| match tracker.judge(pid, &seen) {
                Judgement::Other => {
                    tracker.ended(pid, &end, put)?;
                    tracker.born(it, 0, put)
                }
                Judgement::Ended => tracker.ended(pid, &end, put),
                Judgement::Look => tracker.again(it, put),
                Judgement::Same => tracker.touch(pid, &seen, 1, put),
            });
            for it in &told {
                match it.kind {
                    Kind::Fork => prop_assert!(alive.insert(it.pid)),
                    Kind::Exit => prop_assert!(alive.remove(&it.pid)),
                    _ => prop_assert!(alive.contains(&it.pid)),
                }
            }
        }
        prop_assert_eq!(alive.len(), tracker.living.len());
    }
}

use proptest::prelude::*;

use super::*;
use crate::{
    CommChange, ExecInfo, Exit, ExitStatus, Filter, Flaw, ForkInfo, Process, SourceId, StartTime, Timestamp, Usage,
};

fn id(pid: Pid, start: u64) -> ProcessId {
    ProcessId { pid, start: Some(StartTime(start)) }
}

fn parent(id: ProcessId) -> Option<Ancestor<'static>> {
    Some(Ancestor { id, name: Some(b"parent"), exe: None })
}

fn born(ancestry: &mut Ancestry, pid: Pid, start: u64, of: ProcessId, name: &str) {
    ancestry.learn(id(pid, start), parent(of), Some(name.as_bytes()), None);
}

/// As the kernel reports an orphan.
fn ended(ancestry: &mut Ancestry, pid: Pid, start: u64) {
    ancestry.end(id(pid, start), parent(id(1, 0)));
}

fn names(ancestry: &Ancestry, mut of: ProcessId) -> Vec<String> {
    let mut names = Vec::new();
    while let Some(ancestor) = ancestry.parent(of) {
        names.push(String::from_utf8_lossy(ancestor.name.unwrap_or(b"?")).into_owned());
        of = ancestor.id;
    }
    names
}

#[test]
fn the_dead_stay_ancestors_while_they_are_needed() {
    let mut ancestry = Ancestry::default();
    born(&mut ancestry, 10, 1, id(1, 0), "sshd");
    born(&mut ancestry, 11, 2, id(10, 1), "sshd");
    ancestry.learn(id(11, 2), parent(id(10, 1)), Some(b"bash"), Some(b"/bin/bash".as_slice().into()));
    born(&mut ancestry, 12, 3, id(11, 2), "bash");
    assert_eq!(names(&ancestry, id(12, 3)), ["bash", "sshd", "parent"]);
    assert_eq!(ancestry.parent(id(12, 3)).unwrap().exe, Some(&b"/bin/bash"[..]));
    ended(&mut ancestry, 11, 2);
    ended(&mut ancestry, 10, 1);
    assert_eq!(names(&ancestry, id(12, 3)), ["bash", "sshd", "parent"]);
    ended(&mut ancestry, 12, 3);
    assert_eq!((ancestry.members.len(), ancestry.dead_members), (1, 0));
    // The pid again, of another process.
    born(&mut ancestry, 12, 9, id(1, 0), "x");
    assert_eq!(names(&ancestry, id(12, 9)), ["parent"]);
    assert_eq!(names(&ancestry, id(12, 3)), [""; 0]);
}

#[test]
fn an_end_that_was_lost_shows_when_the_pid_is_used_again() {
    let mut ancestry = Ancestry::default();
    for start in 1..100 {
        born(&mut ancestry, 12, start, id(1, 0), "x");
    }
    assert_eq!(ancestry.members.len(), 2);
}

#[test]
fn of_the_dead_the_latest_are_kept() {
    let mut ancestry = Ancestry::default();
    // Each forks the next and ends.
    let last = MOST_DEAD as u64 + 100;
    for n in 1..=last {
        born(&mut ancestry, n as Pid + 1, n, id(n as Pid, n - 1), "x");
        if n > 1 {
            ended(&mut ancestry, n as Pid, n - 1);
        }
    }
    assert_eq!(ancestry.dead_members, MOST_DEAD);
    let line = names(&ancestry, id(last as Pid + 1, last));
    // One more, of which nothing but the id is left.
    assert_eq!(line.len(), MOST_DEAD + 1);
    assert_eq!(line.last().unwrap(), "?");
}

#[test]
fn of_the_living_the_latest_are_kept() {
    let mut ancestry = Ancestry::default();
    let last = MOST_LIVING as Pid + 100;
    for pid in 2..=last {
        born(&mut ancestry, pid, 1, id(1, 0), "x");
    }
    assert_eq!(ancestry.living.len(), MOST_LIVING);
    // The first that was met is the parent of all: taken for dead, and an ancestor still.
    assert_eq!((ancestry.dead_members, ancestry.members.len()), (1, MOST_LIVING + 1));
    assert_eq!(names(&ancestry, id(last, 1)), ["parent"]);
    assert_eq!(names(&ancestry, id(2, 1)), [""; 0]);
}

fn event(pid: Pid, start: u64, of: Option<ProcessId>, name: &str, kind: EventKind) -> Event {
    let mut process = Process::new(id(pid, start));
    process.parent = of.map(|id| ProcessRef { id, name: Some(b"parent".into()) });
    process.name = Some(name.into());
    Event::new(1, Timestamp(0), SourceId::Ebpf, Some(process.into()), Some(pid), kind)
}

fn fork(pid: Pid, start: u64, of: ProcessId, creator: Option<ProcessId>) -> Event {
    let creator = creator.map(|id| ProcessRef { id, name: None });
    let info = ForkInfo { call: None, flags: None, creator, creator_tid: None };
    event(pid, start, Some(of), "child", EventKind::Fork(info))
}

fn exec(pid: Pid, start: u64, of: ProcessId, exe: &str) -> Event {
    let info = ExecInfo::default();
    let mut event = event(pid, start, Some(of), exe.rsplit('/').next().unwrap(), EventKind::Exec(info));
    Arc::make_mut(event.process.as_mut().unwrap()).exe = Some(exe.as_bytes().into());
    event
}

fn exit(pid: Pid, start: u64) -> Event {
    let usage = Usage::default();
    let exit = Exit { status: ExitStatus::Code(0), killer: None, oom: false, duration_ns: None, usage };
    event(pid, start, Some(id(1, 0)), "it", EventKind::Exit(exit))
}

fn shown(ancestry: &Ancestry, of: &Event) -> (String, bool) {
    let text = |bytes: Option<&[u8]>| bytes.map_or("?".into(), |bytes| String::from_utf8_lossy(bytes).into_owned());
    let line = ancestry.ancestors(of);
    let is_complete = line.is_complete();
    let line = line.map(|of| format!("{} {} {}", of.id.pid, text(of.name), text(of.exe)));
    (line.collect::<Vec<_>>().join(", "), is_complete)
}

#[test]
fn events_make_lines() {
    let mut ancestry = Ancestry::default();
    let mut see = |event: Event| {
        ancestry.observe(&event);
        shown(&ancestry, &event)
    };
    // Nothing is known above what the event itself says.
    let unknown = (String::from("9 parent ?"), false);
    assert_eq!(see(exec(20, 5, id(9, 1), "/bin/sshd")), unknown);
    assert_eq!(see(event(9, 1, Some(id(1, 0)), "init-child", EventKind::Existing)), ("1 parent ?".into(), true));
    assert_eq!(see(fork(21, 6, id(20, 5), None)), ("20 sshd /bin/sshd, 9 init-child ?, 1 parent ?".into(), true));
    // A fork's program is its creator's, also where that is not its parent.
    let _ = see(exec(21, 6, id(20, 5), "/bin/sh"));
    let _ = see(fork(22, 7, id(20, 5), Some(id(21, 6))));
    let by_copy = see(fork(23, 8, id(22, 7), None)).0;
    assert!(by_copy.starts_with("22 child /bin/sh, 20 sshd"), "{by_copy}");
    // An orphan keeps the parent that it was born to, up to and with its own end.
    let _ = see(exit(22, 7));
    assert!(see(exec(23, 8, id(1, 0), "/bin/ls")).0.starts_with("22 child"));
    let change = CommChange::new(None, "late".into());
    let _ = see(event(21, 6, Some(id(20, 5)), "late", EventKind::Comm(change)));
    assert!(see(exit(23, 8)).0.starts_with("22 child"));
    assert!(see(fork(24, 9, id(21, 6), None)).0.starts_with("21 late /bin/sh"));
    // With the next event it is forgotten, and so is the ancestor that was kept for it.
    assert_eq!((ancestry.parent(id(23, 8)), ancestry.parent(id(22, 7))), (None, None));
}

#[test]
fn a_process_without_a_parent_begins_a_line() {
    let mut ancestry = Ancestry::default();
    let kthreadd = event(2, 0, None, "kthreadd", EventKind::Existing);
    let worker = event(3, 0, Some(id(2, 0)), "kworker", EventKind::Existing);
    ancestry.observe(&kthreadd);
    ancestry.observe(&worker);
    assert_eq!(shown(&ancestry, &worker), ("2 kthreadd ?".into(), true));
    assert_eq!(shown(&ancestry, &kthreadd), (String::new(), true));
    // Where the parent is only not known, nothing is complete.
    let mut orphan = event(30, 0, None, "x", EventKind::Existing);
    orphan.mark(Field::Parent, Flaw::NotObserved);
    ancestry.observe(&orphan);
    assert_eq!(shown(&ancestry, &orphan), (String::new(), false));
}

#[test]
fn a_filter_is_decided_by_it() {
    let mut ancestry = Ancestry::default();
    ancestry.set_boot_id(BootId([0x1b; 16]));
    let events = [exec(20, 5, id(9, 1), "/bin/sshd"), fork(21, 6, id(20, 5), None), fork(22, 7, id(21, 6), None)];
    events.iter().for_each(|event| ancestry.observe(event));
    let matches = |filter: &str| filter.parse::<Filter>().unwrap().matches(&events[2], &ancestry);
    assert!(matches("ancestor.name == sshd") && matches("ancestor.exe == /bin/sshd") && matches("ancestor.pid == 9"));
    assert!(matches("ancestor.id == 1b1b1b1b-20-5") && !matches("ancestor.id == 1b1b1b1c-20-5"));
    assert!(!matches("ancestor.pid == 22"));
}

proptest! {
    /// The count of children is always right, and no process is kept without need.
    #[test]
    fn the_counts_hold(steps in proptest::collection::vec((0u32..8, 0u64..4, 0u32..8, 0u64..4, any::<bool>()), 0..80)) {
        let mut ancestry = Ancestry::default();
        for (pid, start, of, of_start, ends) in steps {
            born(&mut ancestry, pid, start, id(of, of_start), "x");
            if ends {
                ended(&mut ancestry, pid, start);
            }
            for (id, member) in &ancestry.members {
                let children = ancestry.members.values().filter(|child| child.parent == Some(*id)).count();
                prop_assert_eq!(member.children, children);
                prop_assert!(!member.dead || children > 0);
                prop_assert!(member.dead || ancestry.living.get(&id.pid) == Some(id));
                prop_assert!(member.dead || ancestry.met.contains(id));
            }
            prop_assert_eq!(ancestry.dead_members, ancestry.members.values().filter(|member| member.dead).count());
        }
    }
}

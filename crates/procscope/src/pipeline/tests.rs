use super::*;
use crate::EventSet;
use crate::record::samples::*;
use crate::record::{ListRecord, UNKNOWN_ID, UNKNOWN_START};

pub(crate) struct Root;

impl Names for Root {
    fn renew(&mut self) -> bool {
        false
    }

    fn user(&mut self, uid: u32) -> Option<Arc<str>> {
        (uid == 0).then(|| "root".into())
    }

    fn group(&mut self, gid: u32) -> Option<Arc<str>> {
        (gid == 0).then(|| "wheel".into())
    }
}

pub(crate) fn pipeline(want: &Want) -> Pipeline {
    let mut pipeline = Pipeline::new(SourceId::Ebpf, want, Box::new(Root), 4096);
    pipeline.set_clock(Clock::new(1_000_000, 0));
    pipeline
}

pub(crate) fn all() -> Want {
    Want { events: EventSet::ALL, ..Want::default() }
}

fn argv_of(event: &Event) -> Option<Vec<u8>> {
    event.process.as_ref()?.argv.as_ref().map(|argv| argv.block().to_vec())
}

fn flaw_of(event: &Event, field: Field) -> Option<Flaw> {
    event.process.as_ref()?.flaws.get(field)
}

#[test]
fn arguments_that_nobody_saw_are_absent() {
    let failed = |flaws| {
        let body = Body::ExecFailed { subject: subject(7, 100, "p"), errno: 2, dirfd: None, path: None, argv: b"" };
        let event = pipeline(&all()).feed(&Record { flaws, ..record(150, body) }).unwrap();
        match &event.kind {
            EventKind::ExecFailed(failure) => failure.argv.as_ref().map(|argv| argv.count()),
            kind => panic!("{kind:?}"),
        }
    };
    let mut unseen = Flaws::new();
    unseen.mark(Field::Argv, Flaw::NotObserved);
    assert_eq!(failed(unseen), None);
    assert_eq!(failed(Flaws::new()), Some(0));
}

/// If the kernel counts execs, no process has the arguments of an earlier program; and one that
/// certainly runs the same program has its arguments, whatever was lost.
#[test]
fn what_was_executed_unseen_is_not_taken_for_what_was_before() {
    let of = |exec_id| Subject { exec_id: Some(exec_id), ..subject(7, 100, "p") };
    let mut pipeline = pipeline(&all());
    let _ = pipeline.feed(&record(150, exec(of(3), b"a\0", 2))).unwrap();
    pipeline.doubt_images(&Lost::of(Kind::Exec, 1));

    let parent = reference_to(7, 100);
    let child = |exec_id| forked_as(Subject { exec_id: Some(exec_id), parent, ..subject(8, 160, "p") });
    let copied = pipeline.feed(&record(160, child(3))).unwrap();
    assert_eq!((argv_of(&copied), flaw_of(&copied, Field::Argv)), (Some(b"a\0".to_vec()), Some(Flaw::Inherited)));
    let copied = pipeline.feed(&record(160, child(4))).unwrap();
    assert_eq!((argv_of(&copied), flaw_of(&copied, Field::Argv)), (None, Some(Flaw::NotObserved)));

    let same = pipeline.feed(&record(170, Body::Sid { subject: of(3) })).unwrap();
    assert_eq!((argv_of(&same), flaw_of(&same, Field::Argv)), (Some(b"a\0".to_vec()), None));
    let other = pipeline.feed(&record(180, exit(of(4)))).unwrap();
    assert_eq!((argv_of(&other), flaw_of(&other, Field::Exe)), (None, Some(Flaw::NotObserved)));
}

#[test]
fn an_exit_bears_what_the_exec_told() {
    let mut pipeline = pipeline(&all());
    let it = subject(7, 100, "p");
    let event = pipeline.feed(&record(150, exec(it, b"a\0b\0", 4))).unwrap();
    assert_eq!((event.seq, event.time.0), (1, 1_000_150));
    let process = event.process.as_ref().unwrap();
    assert_eq!(process.exe.as_deref(), Some(&b"/p"[..]));
    let credentials = process.credentials.as_ref().unwrap();
    assert_eq!((credentials.user.as_deref(), credentials.group.as_deref()), (Some("root"), None));
    let event = pipeline.feed(&record(400, exit(it))).unwrap();
    assert_eq!(argv_of(&event).unwrap(), b"a\0b\0");
    let EventKind::Exit(end) = event.kind else { panic!("no exit") };
    assert_eq!((end.status, end.duration_ns), (ExitStatus::Code(3), Some(300)));
    assert_eq!(end.usage.max_rss_bytes, Some(8192));
}

#[test]
fn a_process_ends_once() {
    let mut pipeline = pipeline(&all());
    let it = subject(7, 100, "p");
    let ends = [it, it, subject(7, 800, "p")].map(|it| pipeline.feed(&record(900, exit(it))).unwrap().kind.kind());
    assert_eq!(ends, [Kind::Exit, Kind::ThreadExit, Kind::Exit]);
}

#[test]
fn a_reused_pid_never_lends_its_image() {
    let mut pipeline = pipeline(&all());
    pipeline.feed(&record(150, exec(subject(7, 100, "p"), b"a\0", 2)));
    let event = pipeline.feed(&record(900, exit(subject(7, 800, "q")))).unwrap();
    assert_eq!(argv_of(&event), None);
    assert_eq!(flaw_of(&event, Field::Argv), Some(Flaw::NotObserved));
}

#[test]
fn a_fork_has_its_creators_image_and_says_so() {
    let mut pipeline = pipeline(&all());
    pipeline.feed(&record(150, exec(subject(7, 100, "p"), b"a\0", 2)));
    let fork = Body::Fork {
        subject: subject(8, 200, "p"),
        thread: false,
        unasked: false,
        call: None,
        flags: Some(0),
        creator: Some(reference_to(7, 100)),
        image: None,
    };
    let event = pipeline.feed(&record(200, fork)).unwrap();
    assert_eq!(argv_of(&event).unwrap(), b"a\0");
    assert_eq!(flaw_of(&event, Field::Argv), Some(Flaw::Inherited));
    let event = pipeline.feed(&record(300, exec(subject(8, 200, "q"), b"b\0", 2))).unwrap();
    assert_eq!(flaw_of(&event, Field::Argv), None);
    // The creator is another process of that pid: nothing is known of it.
    let fork = Body::Fork {
        subject: subject(9, 400, "p"),
        thread: false,
        unasked: false,
        call: None,
        flags: Some(0),
        creator: Some(reference_to(7, 101)),
        image: None,
    };
    let event = pipeline.feed(&record(400, fork)).unwrap();
    assert_eq!((argv_of(&event), flaw_of(&event, Field::Argv)), (None, Some(Flaw::NotObserved)));
}

#[test]
fn after_a_lost_exec_an_image_is_doubted() {
    let mut pipeline = pipeline(&all());
    let it = subject(7, 100, "p");
    pipeline.feed(&record(150, exec(it, b"a\0", 2)));
    let lost = Lost::of(Kind::Exec, 3);
    pipeline.doubt_images(&lost);
    let lost = pipeline.lost(lost);
    assert!(matches!(lost.kind, EventKind::Lost(lost) if lost.total() == 3));
    let event = pipeline.feed(&record(400, exit(it))).unwrap();
    assert_eq!(flaw_of(&event, Field::Argv), Some(Flaw::AfterLoss));
    assert_eq!(event.seq, 3);
}

#[test]
fn long_lists_are_put_together_or_marked() {
    let mut pipeline = pipeline(&all());
    let it = subject(7, 100, "p");
    let chunk = |offset, bytes| record(150, Body::Chunk { tid: 7, of: ChunkOf::Argv, offset, bytes });
    for part in [chunk(0, b"ab"), chunk(2, b"c\0")] {
        assert_eq!(pipeline.feed(&part), None);
    }
    let event = pipeline.feed(&record(150, exec(it, b"", 4))).unwrap();
    assert_eq!((argv_of(&event).unwrap(), flaw_of(&event, Field::Argv)), (b"abc\0".to_vec(), None));
    // Another exec, a part of which was lost.
    pipeline.feed(&chunk(0, b"ab"));
    pipeline.feed(&chunk(4, b"e\0"));
    let event = pipeline.feed(&record(150, exec(it, b"", 6))).unwrap();
    assert_eq!((argv_of(&event).unwrap(), flaw_of(&event, Field::Argv)), (b"ab".to_vec(), Some(Flaw::Truncated)));
    // Parts of an exec at another time are not taken.
    pipeline.feed(&chunk(0, b"zz"));
    let event = pipeline.feed(&record(151, exec(it, b"", 4))).unwrap();
    assert_eq!(flaw_of(&event, Field::Argv), Some(Flaw::Truncated));
}

#[test]
fn cgroups_and_containers_are_chosen_by_path() {
    let id = "ab".repeat(32);
    let names = format!("docker-{id}.scope\0system.slice\0");
    let key = CgroupKey { id: 5, hierarchy: 1 };
    let inside = Subject { cgroup: key, ..subject(7, 100, "p") };
    let outside = subject(8, 100, "p");
    let run = |want: &Want, paths: &[&str]| {
        let mut pipeline = pipeline(want);
        pipeline.filter_cgroup_paths(paths.iter().map(ToString::to_string).collect());
        assert_eq!(pipeline.feed(&record(0, Body::Cgroup { key, names: NamesUp(names.as_bytes()), cut: false })), None);
        [inside, outside].map(|subject| pipeline.feed(&record(150, exec(subject, b"", 0))).is_some())
    };
    assert_eq!(run(&all(), &[]), [true, true]);
    assert_eq!(run(&all(), &["/system.slice"]), [true, false]);
    assert_eq!(run(&all(), &["/system"]), [false, false]);
    assert_eq!(run(&Want { containers: vec!["abab".into()], ..all() }, &[]), [true, false]);
    assert_eq!(run(&Want { containers: vec!["ba".into()], ..all() }, &[]), [false, false]);
}

#[test]
fn named_variables_alone_are_kept() {
    let want = Want { env: EnvWanted::Named(vec![b"A".to_vec(), b"C".to_vec()]), ..all() };
    let mut pipeline = pipeline(&want);
    let env = b"A=1\0AB=2\0C=\0";
    let Body::Exec { subject, old_comm, old_tid, mut image } = exec(subject(7, 100, "p"), b"", 0) else {
        unreachable!()
    };
    image.env = Some(ListRecord { inline: env, len: env.len() });
    let event = pipeline.feed(&record(150, Body::Exec { subject, old_comm, old_tid, image })).unwrap();
    assert_eq!(event.process.unwrap().env.as_ref().unwrap().block(), b"A=1\0C=\0");
}

#[test]
fn nothing_of_an_event_stays_for_the_next() {
    let (mut pipeline, mut fresh) = (pipeline(&all()), pipeline(&all()));
    let full = Subject {
        tty: Some(crate::Tty { major: 136, minor: 1 }),
        ns_pid: 9,
        uid: 5,
        cgroup: CgroupKey { id: 3, hierarchy: 0 },
        ..subject(7, 100, "p")
    };
    let bare = Subject { kthread: true, ns_pid: 0, tty: None, cgroup: CgroupKey::default(), ..subject(8, 120, "k") };
    let records = [
        record(140, Body::Cgroup { key: full.cgroup, names: NamesUp(b"x.service\0"), cut: true }),
        record(150, exec(full, b"a\0b\0", 9)),
        record(160, Body::Sid { subject: bare }),
        record(170, exit(full)),
        record(180, exit(bare)),
    ];
    for record in &records {
        let event = pipeline.feed(record);
        assert_eq!(event, fresh.feed(record));
        event.into_iter().for_each(|event| pipeline.recycle(event));
    }
    // A value that another holder keeps is not overwritten.
    let kept = pipeline.feed(&record(190, Body::Sid { subject: bare })).unwrap();
    let copy = format!("{kept:?}");
    pipeline.recycle(kept.clone());
    pipeline.feed(&record(200, exec(full, b"a\0b\0", 9)));
    assert_eq!(format!("{kept:?}"), copy);
}

fn filtered(filter: &str, events: EventSet) -> Pipeline {
    pipeline(&Want { events, filter: Some(filter.parse().unwrap()), ..Want::default() })
}

#[test]
fn what_a_filter_refuses_is_not_counted() {
    let mut pipeline = filtered("name == b", EventSet::ALL);
    let names = ["a", "b", "a", "b"].map(|name| subject(7, 100, name));
    let seen = names.map(|it| pipeline.feed(&record(150, exec(it, b"x\0", 2))).map(|event| event.seq));
    assert_eq!(seen, [None, Some(1), None, Some(2)]);
    assert_eq!(pipeline.lost(Lost::of(Kind::Exec, 1)).seq, 3);
}

#[test]
fn an_exit_is_chosen_by_what_ran() {
    let mut pipeline = filtered("exe == /p and arg == b", EventSet::NONE.with(Kind::Exit));
    let it = subject(7, 100, "p");
    assert!(pipeline.feed(&record(150, exec(it, b"a\0b\0", 4))).is_none());
    assert_eq!(pipeline.feed(&record(400, exit(it))).unwrap().seq, 1);
    let other = subject(8, 100, "p");
    assert!(pipeline.feed(&record(150, exec(other, b"a\0c\0", 4))).is_none());
    assert!(pipeline.feed(&record(400, exit(other))).is_none());
}

#[test]
fn ancestors_are_known_from_records_that_nobody_asked_for() {
    let mut pipeline = filtered("ancestor.name == p and ancestor.exe == /p", EventSet::NONE.with(Kind::Exit));
    let parent = subject(7, 100, "p");
    pipeline.note(&record(150, exec(parent, b"a\0", 2)));
    let mut child = subject(8, 200_000_000, "c");
    child.parent = reference_to(7, 100);
    child.parent.comm = parent.comm;
    let creator = child.parent;
    pipeline.note(&record(
        200_000_000,
        Body::Fork {
            subject: child,
            thread: false,
            unasked: true,
            call: None,
            flags: Some(0),
            creator: Some(creator),
            image: None,
        },
    ));
    pipeline.note(&record(300_000_000, exit(parent)));
    child.parent = reference_to(1, 0);
    assert_eq!(pipeline.feed(&record(400_000_000, exit(child))).unwrap().seq, 1);
    assert!(pipeline.feed(&record(400_000_000, exit(subject(9, 100, "c")))).is_none());
}

pub(crate) fn forked(pid: Pid, parent: RefRecord) -> Body<'static> {
    forked_as(Subject { parent, ..subject(pid, 900, "p") })
}

fn forked_as(subject: Subject) -> Body<'static> {
    Body::Fork { subject, thread: false, unasked: false, call: None, flags: None, creator: None, image: None }
}

/// If the first parent of an orphan was not seen, it is unknown whether it and its descendants are
/// in a tree.
#[test]
fn who_may_be_in_a_tree_is_counted() {
    let want = Want { trees: vec![10], ..all() };
    let mut pipeline = pipeline(&want);
    pipeline.choose(&want);
    let mut estimated = Flaws::new();
    estimated.mark(Field::Ppid, Flaw::Estimated);
    let mut feed = |pid, parent, about| {
        let event = pipeline.feed(&Record { about, ..record(900, forked(pid, parent)) });
        (event.is_some(), pipeline.take_undecided())
    };
    assert_eq!(feed(11, reference_to(10, 5), Flaws::new()), (true, 0));
    assert_eq!(feed(12, reference_to(11, 900), estimated), (true, 0));
    assert_eq!(feed(13, reference_to(2, 5), Flaws::new()), (false, 0));
    assert_eq!(feed(14, reference_to(1, 5), estimated), (false, 1));
    assert_eq!(feed(15, reference_to(14, 900), Flaws::new()), (false, 1));
    assert_eq!(feed(16, reference_to(9, UNKNOWN_START), Flaws::new()), (false, 1));
    // Its parent is outside, and so are all others of that.
    assert_eq!(feed(17, reference_to(0, UNKNOWN_START), Flaws::new()), (false, 0));
    // The pid is now another process's.
    assert_eq!(feed(14, reference_to(2, 5), Flaws::new()), (false, 0));
    assert_eq!(feed(18, reference_to(14, 900), Flaws::new()), (false, 0));
}

/// With CLONE_PARENT the creator is not the parent.
#[test]
fn what_a_member_makes_is_in_its_tree() {
    let want = Want { trees: vec![10], ..all() };
    let mut pipeline = pipeline(&want);
    pipeline.choose(&want);
    let mut feed = |pid, creator| {
        let Body::Fork { subject, .. } = forked(pid, reference_to(2, 5)) else { unreachable!() };
        let creator = Some(reference_to(creator, 5));
        let body = Body::Fork { subject, thread: false, unasked: false, call: None, flags: None, creator, image: None };
        pipeline.feed(&record(900, body)).is_some()
    };
    assert!(feed(11, 10) && feed(12, 11) && !feed(13, 2) && !feed(11, 2) && !feed(14, 11));
}

#[test]
fn who_may_be_anybodys_is_counted() {
    let want = Want { uids: vec![7], ..all() };
    let mut pipeline = pipeline(&want);
    pipeline.choose(&want);
    let mut feed = |uid| {
        let Body::Fork { subject, .. } = forked(11, reference_to(10, 5)) else { unreachable!() };
        let subject = Subject { uid, ..subject };
        let body =
            Body::Fork { subject, thread: false, unasked: false, call: None, flags: None, creator: None, image: None };
        (pipeline.feed(&record(900, body)).is_some(), pipeline.take_undecided())
    };
    assert_eq!(feed(7), (true, 0));
    assert_eq!(feed(8), (false, 0));
    assert_eq!(feed(UNKNOWN_ID), (false, 1));
}

/// In a user namespace /proc shows the ids' numbers there.
#[test]
fn ids_of_a_user_namespace_are_those_outside() {
    use crate::proc::id_maps::{IdMap, IdMaps};

    let mut pipeline = Pipeline::new(SourceId::ProcPoll, &all(), Box::new(Root), 4096);
    let map = |map: &str| IdMap::decode(map, "65534");
    pipeline.translate_ids(Some(IdMaps { users: map("0 1000 1"), groups: map("0 2000 10") }));
    let mut ids = |uid, gid| {
        let subject = Subject { uid, euid: uid, gid, egid: gid, ..subject(7, 70, "x") };
        let body = Body::Uid { subject, old: Some([uid, 5]) };
        let flaws = Flaws::new();
        pipeline.feed(&Record { boot_ns: 80, processor: None, body, flaws, about: flaws }).unwrap()
    };
    let event = ids(0, 3);
    let EventKind::Uid(change) = event.kind else { panic!("{event:?}") };
    assert_eq!((change.old_real, change.old_effective), (Some(1000), None));
    let process = event.process.unwrap();
    let who = process.credentials.as_ref().unwrap();
    assert_eq!((who.uid, who.user.as_deref(), who.egid), (1000, Some("root"), 2003));
    assert_eq!(process.flaws.get(Field::User), Some(Flaw::Estimated));
    for (uid, gid) in [(1, 3), (65534, 3), (0, 10)] {
        let process = ids(uid, gid).process.unwrap();
        assert!(process.credentials.is_none(), "{uid} {gid}");
        assert_eq!(process.flaws.get(Field::User), Some(Flaw::Unreadable));
    }
}

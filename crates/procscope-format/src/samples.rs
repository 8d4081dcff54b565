//! Events of every kind for the renderers' tests.

use std::sync::Arc;

use procscope_model::*;

use crate::Encode;

pub const BOOT: BootId =
    BootId([0x1b, 0x4e, 0x28, 0xba, 0x2f, 0xa1, 0x11, 0xd2, 0x88, 0x3f, 0, 0x16, 0xd3, 0xcc, 0xa4, 0x27]);

/// 2026-01-31T12:00:00Z.
pub const NOON: Timestamp = Timestamp(1_769_860_800_000_000_000);

pub fn reference(pid: Pid, name: &str) -> ProcessRef {
    let id = ProcessId { pid, start: Some(StartTime(u64::from(pid) * 10)) };
    ProcessRef::new(id, Some(name.as_bytes().into()))
}

/// A process with every field known.
pub fn process() -> Process {
    let mut process = Process::new(ProcessId { pid: 4711, start: Some(StartTime(123_456)) });
    process.parent = Some(reference(1200, "bash"));
    process.name = Some((*b"ls").into());
    process.path = Some((*b"/bin/ls").into());
    process.exe = Some((*b"/usr/bin/ls").into());
    process.argv = Some(Arc::new(Argv::from_strings(["ls", "-l", "--color=auto", "/tmp/my dir"])));
    process.cwd = Some((*b"/home/alice").into());
    let mut who = Credentials::new([1000; 2], [100; 2]);
    (who.user, who.euser) = (Some("alice".into()), Some("alice".into()));
    (who.group, who.egroup) = (Some("users".into()), Some("users".into()));
    let mut login = Login::new(1001);
    (login.user, login.session) = (Some("bob".into()), Some(3));
    who.login = Some(login);
    process.credentials = Some(Arc::new(who));
    process.sid = Some(1200);
    process.pgid = Some(4711);
    process.tty = Some(Tty { major: 136, minor: 3 });
    process.cgroup = Some("/user.slice/user-1000.slice/session-2.scope".into());
    process.unit = Some("session-2.scope".into());
    process.ns_pid = Some(4711);
    let mut namespaces = Namespaces::default();
    (namespaces.mnt, namespaces.pid, namespaces.net) = (4_026_531_841, 4_026_531_836, 4_026_531_840);
    (namespaces.uts, namespaces.ipc, namespaces.user) = (4_026_531_838, 4_026_531_839, 4_026_531_837);
    (namespaces.cgroup, namespaces.time) = (4_026_531_835, 4_026_531_834);
    process.namespaces = Some(namespaces);
    process
}

/// A process in a container, run from a set-user-id script in a memfd, with everything rare.
pub fn odd_process() -> Process {
    let mut process = process();
    process.id = ProcessId { pid: 4712, start: None };
    process.parent = Some(ProcessRef::new(ProcessId { pid: 9, start: None }, None));
    process.name = Some((*b"x\xff\x1b[2J").into());
    process.path = Some((*b"./s\xc3\x28cript").into());
    process.exe = Some("/memfd:\u{202e}exe (deleted)\u{9b}".as_bytes().into());
    process.interpreter = Some((*b"/bin/sh\n").into());
    process.exe_traits = ExeTraits::all();
    process.cwd_deleted = true;
    process.argv =
        Some(Arc::new(Argv::from_strings([&b""[..], b"a\nb", b"\xff\x00", "日本\u{e0001}".as_bytes(), b"it's\"\\"])));
    process.env = Some(Arc::new(Argv::from_strings([&b"PATH=/bin"[..], b"BAD=\xfe", b"", b"NOEQUALS"])));
    process.cwd = Some((*b"/tmp/\x01\xe9").into());
    process.ns_pid = Some(7);
    process.tty = None;
    process.container = Some("0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef".into());
    process.cgroup = Some("/docker/\u{1b}]0;x".into());
    let mut namespaces = Namespaces::default();
    (namespaces.mnt, namespaces.pid) = (5, 6);
    process.namespaces = Some(namespaces);
    if let Some(who) = process.credentials.as_mut().map(Arc::make_mut) {
        (who.euid, who.euser) = (0, Some("root".into()));
        (who.uid, who.user) = (4_000_000_000, None);
        (who.group, who.egroup) = (None, None);
    }
    process.flaws.mark(Field::Argv, Flaw::Truncated);
    process.flaws.mark(Field::Cwd, Flaw::ReadLate);
    process.flaws.mark(Field::Cgroup, Flaw::AfterLoss);
    process
}

/// A process with only its pid known.
pub fn unknown_process() -> Process {
    let mut process = Process::new(ProcessId { pid: 4713, start: None });
    for field in [Field::Argv, Field::Exe, Field::Cwd, Field::User, Field::Parent, Field::Name] {
        process.flaws.mark(field, Flaw::NotObserved);
    }
    process
}

fn usage() -> Usage {
    let mut usage = Usage::default();
    usage.user_ns = Some(1_200_000);
    usage.system_ns = Some(3_400_000);
    usage.max_rss_bytes = Some(3_800_000);
    usage.read_bytes = Some(4096);
    usage.write_bytes = Some(0);
    usage.rchar = Some(12_345);
    usage.wchar = Some(678);
    usage.nvcsw = Some(2);
    usage.nivcsw = Some(1);
    usage.minflt = Some(210);
    usage.majflt = Some(0);
    usage
}

fn exit(status: ExitStatus) -> Exit {
    let mut exit = Exit::new(status, usage());
    exit.duration_ns = Some(1_345_678);
    exit
}

fn fork(call: ForkCall, creator: ProcessRef, tid: Pid) -> ForkInfo {
    let mut fork = ForkInfo::new(Some(call), Some(0x1200011));
    (fork.creator, fork.creator_tid) = (Some(creator), Some(tid));
    fork
}

/// Kinds with their data, for the process of [`process`].
pub fn kinds() -> Vec<EventKind> {
    let mut lost = Lost::of(Kind::Exec, 100);
    lost.counts.add(Kind::Exit, 23);
    let mut failure = ExecFailure::new(2);
    failure.path = Some((*b"/no/such").into());
    failure.argv = Some(Arc::new(Argv::from_strings(["such", "a b"])));
    let mut strange = ExecFailure::new(4000);
    strange.dirfd = Some(-100);
    let mut refused = ExecFailure::new(13);
    refused.path = failure.path.clone();
    let at_once = {
        let mut exit = exit(ExitStatus::Code(3));
        exit.duration_ns = Some(0);
        exit
    };
    let killed = |signo, core| exit(ExitStatus::Signal { signo, core });
    let (mut by_bash, mut oom) = (killed(9, false), killed(9, false));
    (by_bash.killer, oom.oom) = (Some(reference(123, "bash")), true);
    let mut thread_exit = ThreadExit::new(ExitStatus::Code(0));
    (thread_exit.duration_ns, thread_exit.thread_name) = (Some(12_400_000_000), Some((*b"worker 1").into()));
    vec![
        EventKind::Existing,
        EventKind::Fork(fork(ForkCall::Clone3, reference(1200, "bash"), 1200)),
        EventKind::Fork(fork(ForkCall::Vfork, reference(77, "other"), 78)),
        EventKind::Fork(ForkInfo::default()),
        EventKind::Clone(fork(ForkCall::Clone, reference(4711, "ls"), 4715)),
        EventKind::Exec(ExecInfo::new(Some((*b"bash").into()), Some(4714))),
        EventKind::ExecFailed(failure),
        EventKind::ExecFailed(strange),
        EventKind::ExecFailed(refused),
        EventKind::Exit(exit(ExitStatus::Code(0))),
        EventKind::Exit(at_once),
        EventKind::Exit(by_bash),
        EventKind::Exit(oom),
        EventKind::Exit(killed(11, true)),
        EventKind::Exit(Exit::new(ExitStatus::Unknown, Usage::default())),
        EventKind::ThreadExit(thread_exit),
        EventKind::Core(CoreDump::new(Some(6))),
        EventKind::Comm(CommChange::new(Some((*b"ls").into()), (*b"new name\n").into())),
        EventKind::Uid(IdChange::new(Some(0), Some(1000))),
        EventKind::Gid(IdChange::new(Some(100), Some(50))),
        EventKind::Sid,
        EventKind::Ptrace(PtraceChange::new(true, Some(reference(31, "gdb")))),
        EventKind::Ptrace(PtraceChange::new(false, None)),
        EventKind::Lost(lost),
        EventKind::Start(StartInfo::new(Some(reference(1200, "bash")), Some(1201))),
        EventKind::Start(StartInfo::default()),
        EventKind::Exit(exit(ExitStatus::Code(0xc000_0005))),
    ]
}

pub fn event(seq: u64, process: &Process, kind: EventKind) -> Event {
    let tid = match &kind {
        EventKind::Clone(_) | EventKind::ThreadExit(_) => Some(4716),
        EventKind::Existing | EventKind::Lost(_) => None,
        _ => Some(process.id.pid),
    };
    let process = (!matches!(kind, EventKind::Lost(_))).then(|| Arc::new(process.clone()));
    let processor = tid.map(|_| seq as u32 % 3);
    let time = Timestamp(NOON.0 + seq as i64 * 1_000_000_007);
    let mut event = Event::new(seq, time, SourceId::Ebpf, process, tid, kind);
    event.processor = processor;
    event
}

/// Every kind of event: for an ordinary process, for an odd one, and for an unknown one.
pub fn events() -> Vec<Event> {
    let mut events = Vec::new();
    for process in [process(), odd_process(), unknown_process()] {
        for kind in kinds() {
            events.push(event(events.len() as u64 + 1, &process, kind));
        }
    }
    let mut flawed = event(events.len() as u64 + 1, &odd_process(), kinds().swap_remove(9));
    flawed.flaws.mark(Field::Duration, Flaw::Estimated);
    flawed.flaws.mark(Field::Status, Flaw::Unreadable);
    flawed.flaws.mark(Field::Argv, Flaw::Unreadable);
    events.push(flawed);
    let mut inherited = process();
    inherited.flaws.mark(Field::Argv, Flaw::Inherited);
    events.push(event(events.len() as u64 + 1, &inherited, kinds().swap_remove(1)));
    events
}

/// A renderer's output for these events.
pub fn rendered(render: &mut dyn Encode, events: &[Event]) -> String {
    let mut out = Vec::new();
    render.begin(&mut out);
    events.iter().for_each(|event| render.event(event, &mut out));
    String::from_utf8(out).unwrap()
}

/// Events with arbitrary bytes wherever bytes are allowed.
pub fn any_event() -> impl proptest::strategy::Strategy<Value = Event> {
    use proptest::prelude::*;
    let bytes = || proptest::collection::vec(any::<u8>(), 0..24);
    let fields = proptest::collection::vec(bytes(), 8);
    let texts = proptest::collection::vec(any::<String>(), 7);
    (0..events().len(), fields, texts, bytes(), bytes(), any::<(i64, u64, u64)>()).prop_map(
        |(index, fields, texts, argv, env, (time, number, other))| {
            let mut event = events().swap_remove(index);
            event.time = Timestamp(time);
            event.seq = number;
            let mut fields = fields.into_iter();
            let mut field = || fields.next().unwrap();
            match &mut event.kind {
                EventKind::Exec(exec) => exec.old_name = Some(field().into()),
                EventKind::ExecFailed(failure) => {
                    failure.path = Some(field().into());
                    failure.argv = Some(Arc::new(Argv::from_block(argv.clone())));
                    failure.errno = number as u32;
                }
                EventKind::Comm(change) => *change = CommChange::new(Some(field().into()), field().into()),
                EventKind::ThreadExit(exit) => exit.thread_name = Some(field().into()),
                EventKind::Exit(exit) => {
                    exit.killer = Some(ProcessRef::new(reference(1, "").id, Some(field().into())));
                    exit.usage.rchar = Some(number);
                }
                EventKind::Lost(lost) => {
                    Kind::ALL.iter().for_each(|&kind| lost.counts.set(kind, number.rotate_left(kind as u32)));
                }
                EventKind::Fork(info) => info.flags = info.flags.map(|_| other),
                _ => {}
            }
            if let Some(process) = event.process.as_mut().map(Arc::make_mut) {
                process.name = Some(field().into());
                process.path = Some(field().into());
                process.exe = Some(field().into());
                process.cwd = Some(field().into());
                process.interpreter = Some(field().into());
                process.parent = Some(ProcessRef::new(reference(1, "").id, Some(field().into())));
                process.argv = Some(Arc::new(Argv::from_block(argv)));
                process.env = Some(Arc::new(Argv::from_block(env)));
                process.id.start = Some(StartTime(other));
                let mut texts = texts.into_iter().map(Arc::<str>::from);
                process.cgroup = texts.next();
                process.container = texts.next();
                process.unit = texts.next();
                if let Some(who) = process.credentials.as_mut().map(Arc::make_mut) {
                    who.user = texts.next();
                    who.euser = texts.next();
                    who.group = texts.next();
                    who.egroup = texts.next();
                }
            }
            event
        },
    )
}

mod any;

use std::sync::Arc;

use super::*;
use crate::{
    Ancestor, Argv, BootId, CommChange, Credentials, EventSet, ExecFailure, Exit, ExitStatus, Field, Flaw, Flaws, Kind,
    Login, Lost, Process, ProcessId, ProcessRef, SourceId, StartTime, Timestamp, Tty, Usage,
};

fn filter(text: &str) -> Filter {
    Filter::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn id(pid: u32, start: u64) -> ProcessId {
    ProcessId { pid, start: Some(StartTime(start)) }
}

fn process() -> Process {
    let mut process = Process::new(id(4711, 90215));
    process.parent = Some(ProcessRef::new(id(1200, 7), Some(b"bash".to_vec().into())));
    process.name = Some(b"curl".to_vec().into());
    process.exe = Some(b"/tmp/x/curl".as_slice().into());
    process.argv = Some(Arc::new(Argv::from_strings(["curl", "-s", "", "http://h/a\nb"])));
    process.env = Some(Arc::new(Argv::from_strings(["PATH=/bin:/usr/bin", "EMPTY="])));
    process.tty = Some(Tty { major: 136, minor: 3 });
    process.credentials = Some(Arc::new(Credentials {
        uid: 1000,
        euid: 0,
        gid: 54_321,
        egid: 54_321,
        user: Some("alice".into()),
        euser: Some("root".into()),
        group: None,
        egroup: None,
        login: Some(Login { uid: 1001, user: Some("bob".into()), session: Some(3) }),
    }));
    process.flaws.mark(Field::Argv, Flaw::Truncated);
    process
}

fn event(kind: EventKind) -> Event {
    let time = Timestamp(1_769_860_806_500_000_000);
    Event::new(7, time, SourceId::Ebpf, Some(Arc::new(process())), Some(4711), kind)
}

fn exit(status: ExitStatus) -> Event {
    let usage = Usage { user_ns: Some(2_000_000), max_rss_bytes: Some(3 << 20), ..Usage::default() };
    event(EventKind::Exit(Exit { status, killer: None, oom: false, duration_ns: Some(1_500_000), usage }))
}

fn chosen(text: &str, event: &Event) -> bool {
    filter(text).matches(event, &())
}

#[test]
fn parentheses_and_not_are_as_deep_as_the_documentation_says() {
    let page = include_str!("../../../../../docs/filter.md");
    assert!(page.contains(" 128 levels of parentheses and `not`"));
    for (before, after) in [("(", ")"), ("not ", ""), ("!(not ", ")")] {
        let levels = before.matches("not").count() + before.matches('!').count() + after.len();
        let nested =
            |times: usize| format!("{}pid == 1{}", before.repeat(times), after.repeat(times)).parse::<Filter>();
        let most = 128 / levels;
        assert!(nested(most).is_ok(), "{before}");
        assert!(nested(most + 1).is_err_and(|error| error.what().contains("deeper than 128")), "{before}");
    }
}

#[test]
fn terms_hold() {
    let ended = exit(ExitStatus::Code(3));
    for text in [
        "event == exit",
        "event in (exec, exit)",
        "event != exec",
        "pid == 4711",
        "pid in (1, 0x1267)",
        "pid > 4710 and pid <= 4711",
        "ppid == 1200 and parent.name == bash and parent?",
        "id == 1b4e28ba-4711-90215",
        "id == 4711-90215",
        "name == curl and name != bash",
        "exe ~ /tmp/*",
        "exe ~ \"/tmp/*\" and not user == root",
        "exe !~ /usr/*",
        "exe =~ '^/tmp/'",
        "exe !=~ ^/usr",
        "argv =~ \"curl .*http\"",
        "argv =~ \"http.*b$\"",
        "command ~ \"curl -s *\"",
        "argv == \"curl -s  http://h/a\\nb\"",
        "arg == -s",
        "arg ~ http:*",
        "arg == \"\"",
        "argv[1] == -s",
        "argv[1]? and not argv[9]?",
        "argc == 4",
        "env.PATH ~ *:/usr/bin",
        "env.EMPTY == \"\" and env.EMPTY?",
        "not env.HOME?",
        "env ~ PATH=*",
        "uid == 1000 and user == alice and user == 1000 and euid < 1",
        "user in (root, alice)",
        "user in (root, 1000)",
        "group == 54321 and group ~ 54* and group != wheel",
        "tty == pts/3",
        "exit == 3 and exit_code in (1, 2, 3)",
        "exit != 0",
        "duration < 50ms",
        "duration == 1.5ms and duration_ns == 1500000 and duration-ns >= 1.5ms",
        "max_rss > 1MiB and max_rss_bytes == 3145728",
        "user_time == 2ms",
        "not cpu > 0s",
        "not oom",
        "oom == false",
        "flaw.argv == truncated and flaw.argv? and not flaw.exe?",
        "flaws == truncated and flaws?",
        "not core?",
        "not signal == SIGKILL",
        "time > 2026-01-31T12:00:06Z and time < 2026-01-31T12:00:07Z",
        "seq == 7",
        "source == ebpf",
        "NOT (container? OR unit?) && !cgroup?",
        "ancestor.name == bash",
        "ancestor.pid == 1200 and ancestor.id == 1200-7",
        "not not pid == 4711",
    ] {
        assert!(chosen(text, &ended), "{text}");
        let again = filter(text).to_string();
        assert_eq!(filter(&again).to_string(), again);
        assert!(chosen(&again, &ended), "{again}");
    }
}

#[test]
fn what_is_absent_equals_nothing_and_differs_from_nothing() {
    let execed = event(EventKind::Existing);
    for text in [
        "exit == 0",
        "exit != 0",
        "duration < 1s",
        "duration >= 0s",
        "container != x",
        "container !~ x",
        "container not in (x)",
        "core",
        "core == false",
        "signal != SIGKILL",
        "argv[9] != x",
        "env.HOME != x",
    ] {
        assert!(!chosen(text, &execed), "{text}");
        assert!(chosen(&format!("not {text}"), &execed), "not {text}");
    }
}

#[test]
fn what_a_flaw_hides_is_undecided() {
    let flawed = |field, flaw| {
        let mut process = process();
        process.flaws = Flaws::new();
        process.flaws.mark(field, flaw);
        match field {
            Field::Argv => process.argv = None,
            Field::Cgroup => process.cgroup = None,
            _ => {}
        }
        let mut event = exit(ExitStatus::Code(3));
        event.process = Some(Arc::new(process));
        event
    };
    let unseen = flawed(Field::Argv, Flaw::NotObserved);
    let undecided = |text: &str, event: &Event| filter(text).is_undecided(event, &());
    for text in [
        "argv ~ '*x*'",
        "argv != x",
        "arg == x",
        "argc > 3",
        "argv[1] == x",
        "pid == 4711 and arg == x",
        "pid == 1 or arg == x",
        "not (pid == 1 or not arg == x)",
        "exit == 0 or arg == x",
    ] {
        assert!(undecided(text, &unseen), "{text}");
    }
    // Decided by a known value, true or false.
    for text in [
        "pid == 1 and arg == x",
        "pid == 4711 or arg == x",
        "argv?",
        "not arg == x",
        "flaw.argv == truncated",
        "env.A == x",
    ] {
        assert!(!undecided(text, &unseen), "{text}");
    }
    assert!(undecided("container == abc", &flawed(Field::Cgroup, Flaw::NotObserved)));
    assert!(undecided("exe == /bin/x", &flawed(Field::Exe, Flaw::AfterLoss)));
    assert!(undecided("exe ~ '*/x'", &flawed(Field::Exe, Flaw::Truncated)));
    assert!(!undecided("container == abc", &flawed(Field::Exe, Flaw::AfterLoss)));
    for flaw in [Flaw::ReadLate, Flaw::Inherited, Flaw::Estimated] {
        assert!(!undecided("exe == /bin/x", &flawed(Field::Exe, flaw)), "{flaw:?}");
    }
    // Every process has these, whether they are reported or not; not every one is in a container.
    let untold = event(EventKind::Exec(crate::ExecInfo::default()));
    for text in ["processor == 0", "psr != 0", "ns.net == 7", "path ~ '*/x'"] {
        assert!(undecided(text, &untold), "{text}");
    }
    for text in ["processor?", "container == abc", "call == vfork"] {
        assert!(!undecided(text, &untold), "{text}");
    }
    let told = Event { processor: Some(3), ..untold };
    assert!(!undecided("processor == 0", &told) && chosen("processor == 3", &told));
    assert!(!undecided("processor == 0", &event(EventKind::Existing)));
    // An exec has no status that could be missing.
    let mut exec = event(EventKind::Sid);
    exec.flaws.mark(Field::Status, Flaw::NotObserved);
    assert!(!undecided("exit == 0", &exec));
    let mut ended = exit(ExitStatus::Unknown);
    ended.flaws.mark(Field::Status, Flaw::NotObserved);
    assert!(undecided("exit == 0", &ended) && undecided("signal == KILL", &ended));
}

#[test]
fn kinds_have_their_own_values() {
    let mut comm = event(EventKind::Comm(CommChange::new(Some((*b"a").into()), (*b"b").into())));
    assert!(chosen("name == b and old_name == a", &comm));
    let argv = Some(Arc::new(Argv::from_strings(["nope"])));
    comm.kind = EventKind::ExecFailed(ExecFailure { errno: 2, path: Some((*b"/n").into()), argv, dirfd: Some(-100) });
    assert!(chosen("errno == ENOENT and errno == 2 and errno in (enoent, EACCES)", &comm));
    assert!(chosen("path == /n and argv == nope and dirfd == -100 and not flaw.argv?", &comm));
    let killed = exit(ExitStatus::Signal { signo: 9, core: true });
    assert!(chosen("signal == KILL and signal == SIGKILL and signal == 9 and signo == 9 and core", &killed));
    assert!(!chosen("exit?", &killed));
}

#[test]
fn lost_events_pass_every_filter() {
    let lost = Event::new(1, Timestamp(0), SourceId::Ebpf, None, None, EventKind::Lost(Lost::default()));
    assert!(chosen("pid == 1", &lost));
    assert!(chosen("event == exec", &lost));
    assert!(chosen("not event == lost", &lost));
}

struct Line(Vec<(ProcessId, ProcessId, &'static [u8])>);

impl Parentage for Line {
    fn parent(&self, of: ProcessId) -> Option<Ancestor<'_>> {
        let (_, id, name) = self.0.iter().find(|(child, ..)| *child == of)?;
        Some(Ancestor { id: *id, name: Some(name), exe: Some(b"/bin/it") })
    }

    fn boot_id(&self) -> Option<BootId> {
        "1b4e28ba2fa111d2883f0016d3cca427".parse().ok()
    }
}

#[test]
fn ancestors() {
    let ended = exit(ExitStatus::Code(0));
    let line = Line(vec![(id(4711, 90215), id(1200, 7), b"bash"), (id(1200, 7), id(5, 6), b"sshd")]);
    assert!(filter("ancestor.name == sshd").matches(&ended, &line));
    assert!(filter("ancestor.exe ~ /bin/* and ancestor.pid == 5").matches(&ended, &line));
    assert!(!filter("ancestor.name == curl").matches(&ended, &line));
    assert!(!filter("ancestor.name == sshd").matches(&ended, &()));
    assert!(filter("id == 1b4e28ba-4711-90215").matches(&ended, &line));
    assert!(!filter("id == 1b4e28bb-4711-90215").matches(&ended, &line));
    let circle = Line(vec![(id(4711, 90215), id(1200, 7), b"a"), (id(1200, 7), id(4711, 90215), b"b")]);
    assert!(!filter("ancestor.name == c").matches(&ended, &circle));
}

#[test]
fn the_normal_form() {
    for (text, normal) in [
        ("(pid==1)&&(name=='a b'||!user==root)", "pid == 1 and (name == \"a b\" or not user == root)"),
        ("(pid == 1 and pid == 2) and pid == 3", "pid == 1 and pid == 2 and pid == 3"),
        ("not (pid == 1 or pid == 2)", "not (pid == 1 or pid == 2)"),
        ("event not in(exec,exit)", "event not in (exec, exit)"),
        ("signal == kill", "signal == SIGKILL"),
        ("signal in (33, 34, 92)", "signal in (SIG33, SIGRTMIN, SIG92)"),
        ("exit == 3 and rss > 1.5MiB", "exit_code == 3 and max_rss > 1.5MiB"),
        ("exe ~ '/a\"b'", "exe ~ \"/a\\\"b\""),
        ("exe =~ '\\d+'", "exe =~ \"\\d+\""),
        ("name == '\\x1b\\xff'", "name == \"\\x1b\\xff\""),
        ("user == '0'", "user == \"0\""),
        ("core and container?", "core and container?"),
        ("duration < 50µs", "duration < 50us"),
    ] {
        assert_eq!(filter(text).to_string(), normal);
        assert_eq!(filter(normal).to_string(), normal);
    }
}

#[test]
fn faults_say_where_and_what_instead() {
    let lines = [
        "",
        "   ",
        "usr == root",
        "pidd == 1",
        "exit_cod == 1",
        "frobnicate == 1",
        "ancestor == sshd",
        "parent == bash",
        "parent",
        "duration < 50",
        "duration < 50parsecs",
        "duration < fast",
        "max_rss > 10",
        "max_rss > 10ZiB",
        "pid ~ x",
        "pid == x",
        "uid == root",
        "exit == SIGKILL",
        "name < x",
        "event == exce",
        "event > exec",
        "signal == SIGKIL",
        "errno == ENOENTT",
        "call == spoon",
        "core == maybe",
        "flaw.argv == cut",
        "flaw.arg?",
        "id == 12",
        "time > yesterday",
        "pid = 1",
        "pid",
        "pid ==",
        "pid == and",
        "pid in 1, 2",
        "pid in (1 2)",
        "pid in (1, 2",
        "pid in ()",
        "pid == 1 name == x",
        "pid == 1)",
        "(pid == 1",
        "pid == 1 and",
        "pid == 1 & pid == 2",
        "== 1",
        "and pid == 1",
        "exe == /tmp/*",
        "name == a b",
        "name == \"a",
        "name == a\\b",
        "name == \"\\q\"",
        "exe ~ \"[\"",
        "exe =~ \"(\"",
        "exe =~ \"a{1000}{1000}\"",
        "arg != x",
        "ancestor.name not in (sshd, cron)",
        "argv[x] == 1",
        "argv[1 == 1",
        "name[1] == x",
        "env. == x",
        "name == é and usr == x",
        "name == \u{1b}[2J",
    ];
    let mut text = String::new();
    for line in lines {
        let error = Filter::parse(line).err().unwrap_or_else(|| panic!("{line:?} is taken"));
        text += &format!("{error}\n{}\n\n", error.caret());
    }
    assert!(!text.contains(|c: char| c.is_control() && c != '\n'));
    insta::assert_snapshot!(text);
}

#[test]
fn nothing_runs_away() {
    assert!(Filter::parse(&"(".repeat(60_000)).is_err());
    assert!(Filter::parse(&"not ".repeat(16_000)).is_err());
    assert!(Filter::parse(&"!".repeat(60_000)).is_err());
    assert!(Filter::parse(&"pid == 1 and ".repeat(6_000)).is_err());
    let wide = vec!["pid == 1"; 5_000].join(" or ");
    assert!(!chosen(&wide, &exit(ExitStatus::Code(0))));
    let list = format!("pid in ({})", vec!["4711"; 9_000].join(","));
    assert!(chosen(&list, &exit(ExitStatus::Code(0))));
    let deep = |n: usize| format!("{}pid == 4711{}", "(".repeat(n), ")".repeat(n));
    assert!(chosen(&deep(100), &exit(ExitStatus::Code(0))));
    assert!(Filter::parse(&deep(200)).is_err());
    let many = vec!["exe =~ x"; 65].join(" or ");
    assert!(Filter::parse(&many).unwrap_err().to_string().contains("at most 64"));
    assert!(Filter::parse(&"x".repeat(70_000)).unwrap_err().to_string().contains("64 KiB"));
}

/// None of JSON's keys is forgotten.
#[test]
fn every_key_of_the_schema_is_a_field() {
    let schema = include_str!("../../../../../docs/event.schema.json");
    let schema: serde_json::Value = serde_json::from_str(schema).unwrap();
    let keys = |of: &serde_json::Value| of["properties"].as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    let mut names = keys(&schema);
    for other in ["parent", "killer", "tracer", "creator", "namespaces"] {
        names.extend(keys(&schema["properties"][other]).into_iter().map(|key| format!("{other}.{key}")));
    }
    let flaws = schema["properties"]["flaws"]["propertyNames"]["enum"].as_array().unwrap();
    names.extend(flaws.iter().map(|name| format!("flaw.{}", name.as_str().unwrap())));
    for name in names {
        // The exact bytes of the field without the ending, which filters compare anyway.
        let field = name.strip_suffix("_b64").unwrap_or(&name);
        assert!(Filter::parse(&format!("{field}?")).is_ok(), "{name}");
    }
}

/// The documentation's examples are filters, and it has every field and alias.
#[test]
fn the_documentation_holds() {
    let page = include_str!("../../../../../docs/filter.md");
    let mut examples = 0;
    for line in page.lines().filter_map(|line| line.strip_prefix("    procscope '")) {
        let (text, _) = line.rsplit_once('\'').unwrap();
        filter(text);
        examples += 1;
    }
    assert!(examples > 10);
    for spec in field::fields() {
        for name in std::iter::once(&spec.name).chain(spec.aliases) {
            let (group, member) = name.split_once('.').unwrap_or((name, ""));
            let known = page.contains(&format!("`{name}`"))
                || (page.contains(&format!("`{group}.")) && page.contains(&format!("`.{member}`")));
            assert!(known, "{name}");
        }
    }
}

#[test]
fn sources_learn_what_they_can_see_to() {
    let kinds = |kinds: &[Kind]| kinds.iter().fold(EventSet::NONE, |set, &kind| set.with(kind));
    let events = |text: &str| filter(text).events();
    assert_eq!(events("event in (exec, exit) and event != exec"), kinds(&[Kind::Exit]));
    assert!(!events("not event in (exec, exit)").contains(Kind::Exit));
    assert!(!events("not (event == exec or pid == 1)").contains(Kind::Exec));
    assert_eq!(events("not (event == exec and pid == 1)"), EventSet::ALL);
    assert_eq!(events("duration < 1s"), kinds(&[Kind::Exit, Kind::ThreadExit]));
    assert_eq!(events("not duration < 1s"), EventSet::ALL);
    assert_eq!(events("errno == ENOENT or oom"), kinds(&[Kind::ExecFailed, Kind::Exit]));
    assert_eq!(events("exit != 0 or pid == 1"), EventSet::ALL);
    let usual = EventSet::default();
    assert_eq!(filter("pid == 1").choose_events(usual), usual);
    assert_eq!(filter("event == fork").choose_events(usual), kinds(&[Kind::Fork]));
    assert_eq!(filter("event != exec").choose_events(usual), kinds(&[Kind::ExecFailed, Kind::Exit]));
    assert_eq!(filter("old_uid == 0").choose_events(usual), kinds(&[Kind::Uid]));
    assert_eq!(filter("exit != 0 or event == fork").choose_events(usual), kinds(&[Kind::Exit, Kind::Fork]));

    let demands = |text: &str| filter(text).terms().map(|term| term.demand()).collect::<Vec<_>>();
    let users = |uids: &[u32], names: &[&str]| {
        Some(Demand::Users(Users { uids: uids.to_vec(), names: names.iter().map(|&name| name.to_owned()).collect() }))
    };
    assert_eq!(
        demands("event == exec and pid in (2, 1) and uid == 3 and name == a and exe?"),
        [
            Some(Demand::Events(kinds(&[Kind::Exec]))),
            Some(Demand::Pids(vec![1, 2])),
            users(&[3], &[]),
            Some(Demand::Names(vec![b"a".to_vec()])),
            None
        ]
    );
    assert_eq!(demands("user == root or uid == 5 or user == 7"), [users(&[5, 7], &["root"])]);
    assert_eq!(demands("pid == 1 or uid == 5"), [None]);
    assert_eq!(demands("pid != 1 and not pid == 2 and euid == 1 and name ~ a*"), [None, None, None, None]);
    assert_eq!(demands("name ~ abc"), [Some(Demand::Names(vec![b"abc".to_vec()]))]);
}

#[test]
fn what_it_reads() {
    assert!(filter("ancestor.name == x").reads_ancestry());
    assert!(!filter("parent.name == x").reads_ancestry());
    assert!(filter("pid == 1 or not exe ~ x*").reads_image());
    assert!(filter("argv[1] == x").reads_image());
    assert!(!filter("pid == 1 and user == root").reads_image());
    assert_eq!(filter("env.B? or env.A == x").variables().into_iter().collect::<Vec<_>>(), ["A", "B"]);
    assert!(filter("env ~ A=*").reads_environment());
}

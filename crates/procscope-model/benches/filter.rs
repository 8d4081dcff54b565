//! The cost of a filter for each event and term.

use std::hint::black_box;
use std::sync::Arc;

use criterion::{Criterion, criterion_group, criterion_main};
use procscope_model::{
    Ancestor, Argv, Credentials, Event, EventKind, Exit, ExitStatus, Filter, Parentage, Process, ProcessId, ProcessRef,
    SourceId, StartTime, Timestamp, Usage,
};

fn id(pid: u32) -> ProcessId {
    ProcessId { pid, start: Some(StartTime(u64::from(pid))) }
}

/// The exit of a compiler, as in a build.
fn event() -> Event {
    let mut process = Process::new(id(4711));
    process.parent = Some(ProcessRef::new(id(4710), Some(b"make".to_vec().into())));
    process.name = Some(b"cc1plus".to_vec().into());
    process.exe = Some(b"/usr/lib/gcc/x86_64-linux-gnu/12/cc1plus".as_slice().into());
    let words =
        "cc1plus -quiet -I /usr/include/x -imultiarch x86_64-linux-gnu -D _GNU_SOURCE -quiet main.cc -O2 -o /tmp/x.s";
    process.argv = Some(Arc::new(Argv::from_strings(words.split(' '))));
    let mut who = Credentials::new([1000; 2], [1000; 2]);
    for name in [&mut who.user, &mut who.euser, &mut who.group, &mut who.egroup] {
        *name = Some("alice".into());
    }
    process.credentials = Some(Arc::new(who));
    let mut exit = Exit::new(ExitStatus::Code(0), Usage::default());
    exit.duration_ns = Some(70_000_000);
    Event::new(1, Timestamp(0), SourceId::Ebpf, Some(Arc::new(process)), Some(4711), EventKind::Exit(exit))
}

/// Eight generations.
struct Line;

impl Parentage for Line {
    fn parent(&self, of: ProcessId) -> Option<Ancestor<'_>> {
        (of.pid > 4703).then(|| Ancestor { id: id(of.pid - 1), name: Some(b"make"), exe: Some(b"/usr/bin/make") })
    }
}

/// None of these matches at its first byte, so each does its work.
const TERMS: &[(&str, &str)] = &[
    ("kind", "event in (exec, exit)"),
    ("number", "pid == 4711"),
    ("list", "pid in (1, 2, 3, 4711, 5000)"),
    ("duration", "duration < 50ms"),
    ("user", "user == bob"),
    ("text", "name == cc1plus"),
    ("glob-prefix", "exe ~ \"/usr/lib/*\""),
    ("glob-middle", "exe ~ \"/usr/*/x86_64*/cc1*\""),
    ("regex-exe", "exe =~ \"gcc/.*/cc1(plus)?$\""),
    ("argument", "arg == -O2"),
    ("glob-argv", "argv ~ \"*main.cc*\""),
    ("regex-argv", "argv =~ \"curl .*http\""),
    ("ancestor", "ancestor.name == sshd"),
    (
        "eight-terms",
        "event == exit and exit == 0 and user == alice and pid > 1 and duration < 1s and name == cc1plus and not core and exe ~ \"/usr/*\"",
    ),
];

fn bench(criterion: &mut Criterion) {
    let event = event();
    for (name, text) in TERMS {
        let filter = Filter::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
        criterion.bench_function(name, |bencher| bencher.iter(|| filter.matches(black_box(&event), &Line)));
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default().without_plots();
    targets = bench
}
criterion_main!(benches);

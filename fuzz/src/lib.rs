//! The bodies of the fuzz targets: each takes any bytes, and panics if procscope is wrong.
//! libFuzzer runs them through `fuzz_targets/`, and `cargo test` over the committed corpus.

use std::io::{self, Read as _};
use std::ops::ControlFlow;
use std::str;
use std::sync::Arc;

use procscope::{
    Argv, Event, EventKind, EventSet, ExecFailure, Exit, ExitStatus, Feed as _, Filter, Kind, Process, ProcessId, Sink,
    SourceId, StartTime, Timestamp, Usage,
};
use procscope_format::Encode as _;
use procscope_format::csv::Csv;
use procscope_format::json::{JsonLines, Reader};

/// A target's body.
pub type Target = fn(&[u8]);

/// Every target, by the name of its file in `fuzz_targets/` and of its directory in `corpus/`.
pub const TARGETS: &[(&str, Target)] = &[
    ("cgroup", cgroup),
    ("decode_ebpf", decode_ebpf),
    ("decode_json", decode_json),
    ("decode_proc_poll", decode_proc_poll),
    ("decode_process_connector", decode_process_connector),
    ("decode_tracefs", decode_tracefs),
    ("event_set", event_set),
    ("filter", filter),
    ("recording", recording),
];

/// A cgroup's path, which any creator of cgroups chooses: the container and the unit are parts of
/// it.
pub fn cgroup(data: &[u8]) {
    let Ok(path) = str::from_utf8(data) else { return };
    let (container, unit) = procscope::fuzzing::cgroup_identity(path);
    if let Some(id) = container {
        assert!(id.len() == 64 && id.bytes().all(|byte| byte.is_ascii_hexdigit()), "{id} is no container's id");
        assert!(path.contains(id));
    }
    if let Some(unit) = unit {
        assert!(unit.ends_with(".service") || unit.ends_with(".scope"), "{unit} is no unit");
        assert!(path.split('/').any(|name| name == unit));
    }
}

/// A record of the kernel's ring, of any kind and length.
pub fn decode_ebpf(data: &[u8]) {
    procscope::fuzzing::decode_ebpf(data);
}

/// A line of JSON: a line read as an event is written as a line that can be read.
pub fn decode_json(data: &[u8]) {
    let Ok(decoded) = procscope_format::json::decode(data) else { return };
    let mut line = Vec::new();
    let boot = decoded.boot.unwrap_or_default();
    let mut id = [0; 16];
    id[..boot.len()].copy_from_slice(&boot);
    JsonLines::new(procscope::BootId(id)).event(&decoded.event, &mut line);
    let line = line.strip_suffix(b"\n").expect("a line ends");
    assert!(!line.contains(&b'\n'));
    let again = procscope_format::json::decode(line).expect("what was written is read");
    assert_eq!(again.event.kind.kind(), decoded.event.kind.kind());
    assert!(again.unknown.is_empty());
}

/// A recording, compressed or not: all its events are counted and can be written.
pub fn recording(data: &[u8]) {
    struct Written(Csv, Vec<u8>, u64);
    impl Sink for Written {
        fn event(&mut self, event: &Event) -> io::Result<ControlFlow<()>> {
            self.2 += 1;
            self.1.clear();
            self.0.event(event, &mut self.1);
            Ok(ControlFlow::Continue(()))
        }
    }
    let Ok(input) = procscope_format::decompressed(io::Cursor::new(data.to_vec())) else { return };
    let Ok(reader) = Reader::open(input.take(MOST_INFLATED), |_| ()) else { return };
    let boot = reader.session().boot_id;
    let mut sink = Written(Csv::new(boot, false), Vec::new(), 0);
    if let Ok(summary) = Box::new(reader).run(&mut sink) {
        let marks = summary.delivered(Kind::Lost);
        assert_eq!(summary.total_delivered() + marks, sink.2);
    }
}

/// This many bytes of a decompressed input are read: a bomb costs time, and nothing else.
const MOST_INFLATED: u64 = 1 << 20;

/// Looks at processes in /proc, one after another.
pub fn decode_proc_poll(data: &[u8]) {
    procscope::fuzzing::decode_proc_poll(data);
}

/// Datagrams of the process connector, with any looks into /proc and any losses between.
pub fn decode_process_connector(data: &[u8]) {
    procscope::fuzzing::decode_process_connector(data);
}

/// Layouts of tracefs, or pages of its buffers.
pub fn decode_tracefs(data: &[u8]) {
    procscope::fuzzing::decode_tracefs(data);
}

/// The words of `--events`: a list that is read is written back as the same set.
pub fn event_set(data: &[u8]) {
    let Ok(list) = str::from_utf8(data) else { return };
    match list.parse::<EventSet>() {
        Ok(set) => {
            let words: Vec<_> = set.iter().map(|kind| kind.name()).collect();
            assert_eq!(words.join(",").parse(), Ok(set));
        }
        Err(error) => assert!(!error.to_string().contains(char::is_control), "an error that is unfit for a terminal"),
    }
}

/// A filter, and after a NUL the bytes of the event for it.
pub fn filter(data: &[u8]) {
    let (text, rest) = data.split_at(data.iter().position(|&byte| byte == 0).unwrap_or(data.len()));
    let Ok(text) = str::from_utf8(text) else { return };
    let filter = match Filter::parse(text) {
        Ok(filter) => filter,
        Err(error) => {
            let shown = format!("{error}{}", error.caret());
            assert!(!shown.contains(|c: char| c.is_control() && c != '\n'), "an error that is unfit for a terminal");
            assert!(text.get(error.span()).is_some());
            return;
        }
    };
    let normal = filter.to_string();
    let again = Filter::parse(&normal).expect("the normal form is a filter");
    assert_eq!(again.to_string(), normal);
    for event in events(rest) {
        let chosen = filter.matches(&event, &());
        assert_eq!(again.matches(&event, &()), chosen);
        assert!(!chosen || filter.events().contains(event.kind.kind()), "{normal} takes more kinds than it says");
    }
}

fn events(bytes: &[u8]) -> [Event; 3] {
    let number = |at: usize| u64::from(bytes.get(at).copied().unwrap_or_default());
    let mut process = Process::new(ProcessId { pid: number(0) as u32, start: Some(StartTime(number(1))) });
    process.name = Some(bytes.into());
    process.exe = Some(bytes.into());
    process.argv = Some(Arc::new(Argv::from_block(bytes)));
    process.env = process.argv.clone();
    let status = ExitStatus::from_wait_status(number(2) as u32 | (number(3) as u32) << 8);
    let mut exit = Exit::new(status, Usage::default());
    exit.duration_ns = Some(number(4));
    let mut failure = ExecFailure::new(number(5) as u32);
    (failure.path, failure.argv) = (Some(bytes.into()), process.argv.clone());
    let process = Arc::new(process);
    [EventKind::Exit(exit), EventKind::ExecFailed(failure), EventKind::Existing]
        .map(|kind| Event::new(1, Timestamp(0), SourceId::Ebpf, Some(process.clone()), Some(1), kind))
}

use std::io::Cursor;
use std::sync::mpsc;

use procscope_model::{Argv, EventKind, ExecInfo, Field, Flaw, ForkInfo, Kind, Lost, Process, ProcessId, ProcessRef};
use procscope_model::{SourceId, StartTime};

use super::*;
use crate::json::JsonLines;
use crate::{Encode, samples};

/// A run of events as a file of lines.
fn lines(events: &[Event]) -> Vec<u8> {
    let (mut json, mut out) = (JsonLines::new(samples::BOOT), Vec::new());
    json.begin(&mut out);
    events.iter().for_each(|event| json.event(event, &mut out));
    out
}

/// A sink that keeps what comes.
#[derive(Default)]
struct Kept {
    events: Vec<Event>,
    batches: usize,
    most: Option<usize>,
}

impl Sink for Kept {
    fn event(&mut self, event: &Event) -> io::Result<ControlFlow<()>> {
        self.events.push(event.clone());
        let enough = self.most.is_some_and(|most| self.events.len() >= most);
        Ok(if enough { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
    }

    fn batch_end(&mut self) -> io::Result<()> {
        self.batches += 1;
        Ok(())
    }
}

fn open(bytes: impl Into<Vec<u8>>) -> (Result<Reader, ReadError>, mpsc::Receiver<String>) {
    let (send, complaints) = mpsc::channel();
    (Reader::open(Cursor::new(bytes.into()), move |bad| _ = send.send(bad.to_string())), complaints)
}

/// The events of a file, the summary, and its faults.
fn read(bytes: impl Into<Vec<u8>>) -> (Vec<Event>, Summary, Vec<String>) {
    let (reader, complaints) = open(bytes);
    let mut kept = Kept::default();
    let summary = Box::new(reader.unwrap()).run(&mut kept).unwrap();
    (kept.events, summary, complaints.try_iter().collect())
}

fn event(seq: u64, pid: u32, kind: EventKind) -> Event {
    let process = Process::new(ProcessId { pid, start: Some(StartTime(u64::from(pid))) });
    Event::new(seq, samples::NOON, SourceId::Ebpf, Some(process.into()), Some(pid), kind)
}

fn fork(seq: u64, pid: u32, parent: u32) -> Event {
    let mut event = event(seq, pid, EventKind::unknown(Kind::Fork));
    let parent = ProcessRef::new(ProcessId { pid: parent, start: Some(StartTime(u64::from(parent))) }, None);
    Arc::make_mut(event.process.as_mut().unwrap()).parent = Some(parent);
    event
}

fn exec(seq: u64, pid: u32, program: &str) -> Event {
    let mut event = event(seq, pid, EventKind::Exec(ExecInfo::default()));
    let process = Arc::make_mut(event.process.as_mut().unwrap());
    process.exe = Some(program.as_bytes().into());
    process.argv = Some(Arc::new(Argv::from_strings([program])));
    event
}

fn lost(seq: u64, kind: Kind) -> Event {
    let lost = Lost::of(kind, 3);
    Event::new(seq, samples::NOON, SourceId::Ebpf, None, None, EventKind::Lost(lost))
}

fn exe(event: &Event) -> Option<&[u8]> {
    event.process()?.exe.as_deref()
}

fn value(line: &str) -> serde_json::Value {
    serde_json::from_str(line).unwrap()
}

#[test]
fn what_was_written_is_written_again() {
    let events = samples::events();
    let written = lines(&events);
    let (again, summary, complaints) = read(written.clone());
    let texts = [lines(&again), written].map(|lines| String::from_utf8(lines).unwrap());
    for (again, written) in texts[0].lines().zip(texts[1].lines()) {
        // Everything except the order of the flaws.
        assert_eq!(value(again), value(written));
    }
    assert_eq!(complaints, [""; 0]);
    assert_eq!(summary.total_delivered() + summary.delivered(Kind::Lost), events.len() as u64);
    assert_eq!(summary.until, events.iter().map(|event| event.time).max().unwrap());
}

#[test]
fn a_fork_has_its_creators_program() {
    let (events, ..) = read(lines(&[exec(1, 10, "/bin/a"), fork(2, 11, 10), fork(3, 12, 11), fork(4, 30, 29)]));
    for forked in &events[1..3] {
        assert_eq!(exe(forked), Some(&b"/bin/a"[..]));
        assert_eq!(forked.flaw(Field::Argv), Some(Flaw::Inherited));
    }
    assert_eq!((exe(&events[3]), events[3].flaw(Field::Exe)), (None, Some(Flaw::NotObserved)));
}

#[test]
fn what_was_lost_leaves_a_doubt() {
    let (events, summary, _) = read(lines(&[
        exec(1, 10, "/bin/a"),
        lost(2, Kind::Exit),
        fork(3, 11, 10),
        lost(4, Kind::Exec),
        fork(5, 12, 10),
        exec(6, 10, "/bin/b"),
        fork(7, 13, 10),
    ]));
    let flaws: Vec<_> = [2, 4, 6].map(|at: usize| events[at].flaw(Field::Exe)).into();
    assert_eq!(flaws, [Some(Flaw::Inherited), Some(Flaw::AfterLoss), Some(Flaw::Inherited)]);
    assert_eq!(summary.total_lost(), 6);
}

#[test]
fn who_has_the_pid_of_another_has_not_its_program() {
    let mut exit = event(2, 10, EventKind::unknown(Kind::Exit));
    let mut other = fork(3, 11, 10);
    for event in [&mut exit, &mut other] {
        Arc::make_mut(event.process.as_mut().unwrap()).flaws = Default::default();
    }
    let (events, ..) = read(lines(&[exec(1, 10, "/bin/a"), exit, other]));
    assert_eq!(events[2].flaw(Field::Argv), Some(Flaw::NotObserved));
}

#[test]
fn bad_lines_are_counted_and_said() {
    let mut bytes = lines(&[exec(1, 10, "/bin/a")]);
    bytes.extend_from_slice(b"{\"v\":1}\nnot json\n\n");
    bytes.extend_from_slice(&lines(&[exec(2, 11, "/bin/b")]));
    let other = String::from_utf8(lines(&[exec(3, 12, "/bin/c")])).unwrap().replace("\"1b4e28ba-", "\"1b4e28bb-");
    bytes.extend_from_slice(other.as_bytes());
    bytes.extend_from_slice(&lines(&[exec(4, 13, "/bin/d")])[..40]);
    let (events, summary, complaints) = read(bytes);
    assert_eq!((events.len(), summary.malformed), (2, 5));
    let begins = [
        "line 2: `event` is missing",
        "line 3: not JSON",
        "line 4: not JSON",
        "line 6: of another boot",
        "line 7: cut off",
    ];
    assert_eq!(complaints.len(), begins.len(), "{complaints:?}");
    assert!(complaints.iter().zip(begins).all(|(said, begin)| said.starts_with(begin)), "{complaints:?}");
}

#[test]
fn a_last_line_without_its_end_counts_where_it_is_whole() {
    let mut bytes = lines(&[exec(1, 10, "/bin/a")]);
    bytes.pop();
    let (events, summary, _) = read(bytes);
    assert_eq!((events.len(), summary.malformed), (1, 0));
}

#[test]
fn what_is_no_recording_says_so() {
    let error = |bytes: &[u8]| open(bytes).0.err().map(|error| error.to_string()).unwrap_or_default();
    assert_eq!(error(b""), "no events");
    let foreign = "no line is an event; line 1: not JSON";
    assert!(error(b"root:x:0:0\n").starts_with(foreign), "{}", error(b"root:x:0:0\n"));
}

#[test]
fn loss_before_the_first_event_is_of_its_boot() {
    let (reader, _) = open(lines(&[lost(1, Kind::Exec), exec(2, 10, "/bin/a")]));
    let reader = reader.unwrap();
    assert_eq!(reader.session().boot_id.0[..4], samples::BOOT.0[..4]);
    let mut kept = Kept::default();
    Box::new(reader).run(&mut kept).unwrap();
    assert_eq!(kept.events.iter().map(|event| event.kind.kind()).collect::<Vec<_>>(), [Kind::Lost, Kind::Exec]);
}

#[test]
fn enough_is_enough() {
    let many: Vec<_> = (1..=5000).map(|seq| exec(seq, 10, "/bin/a")).collect();
    let (reader, _) = open(lines(&many));
    let mut kept = Kept { most: Some(700), ..Kept::default() };
    let summary = Box::new(reader.unwrap()).run(&mut kept).unwrap();
    assert_eq!((kept.events.len(), summary.total_delivered()), (700, 700));
}

#[test]
fn a_stop_ends_a_run_that_waits_for_a_line_or_for_its_time() {
    let mut later = exec(2, 11, "/bin/b");
    later.time.0 += 3_600_000_000_000;
    for (bytes, speed) in [(lines(&[exec(1, 10, "/bin/a")]), None), (lines(&[exec(1, 10, "/bin/a"), later]), Some(1.0))]
    {
        let (pipe, mut writer) = std::io::pipe().unwrap();
        io::Write::write_all(&mut writer, &bytes).unwrap();
        let mut reader = Reader::open(pipe, |_| ()).unwrap();
        reader = reader.speed(speed.unwrap_or(0.0));
        let stop = reader.stop_handle();
        struct First(mpsc::Sender<()>);
        impl Sink for First {
            fn event(&mut self, _: &Event) -> io::Result<ControlFlow<()>> {
                self.0.send(()).unwrap();
                Ok(ControlFlow::Continue(()))
            }
        }
        let (send, first) = mpsc::channel();
        let thread = thread::spawn(move || Box::new(reader).run(&mut First(send)).unwrap());
        first.recv().unwrap();
        stop.stop();
        assert_eq!(thread.join().unwrap().total_delivered(), 1);
        drop(writer);
    }
}

#[test]
fn events_come_as_they_happened() {
    let mut events = vec![exec(1, 10, "/bin/a"), exec(2, 11, "/bin/b")];
    events[1].time.0 += 400_000_000;
    let (reader, _) = open(lines(&events));
    let begun = Instant::now();
    let mut kept = Kept::default();
    Box::new(reader.unwrap().speed(2.0)).run(&mut kept).unwrap();
    assert!(begun.elapsed() >= Duration::from_millis(200));
    assert_eq!((kept.events.len(), kept.batches >= 2), (2, true));
}

#[test]
fn a_creator_that_is_not_the_parent_gives_the_program() {
    let mut fork = fork(3, 12, 10);
    let creator = ProcessRef::new(ProcessId { pid: 11, start: Some(StartTime(11)) }, None);
    let mut info = ForkInfo::new(None, Some(0x8000));
    (info.creator, info.creator_tid) = (Some(creator), Some(11));
    fork.kind = EventKind::Fork(info);
    let (events, ..) = read(lines(&[exec(1, 10, "/bin/a"), exec(2, 11, "/bin/b"), fork]));
    assert_eq!(exe(&events[2]), Some(&b"/bin/b"[..]));
}

mod any;
mod changes;
mod ends;
mod names;
mod starts;

use std::collections::{BTreeMap, HashMap};
use std::ops::ControlFlow;

use proptest::prelude::*;

use super::known::TICK_NS;
use super::*;
use crate::record::comm_of;
use crate::record::{CgroupKey, Comm, UNKNOWN_START};
use crate::source::happening::End;
use crate::source::happening::{Birth, Started};
use crate::source::look::{Exe, Look, StatSeen, StatusSeen};
use crate::{ExeTraits, StartTime};

const MS: u64 = 1_000_000;

fn task(tid: Pid, pid: Pid) -> Task {
    Task { tid, pid }
}

/// A /proc in which every process has its own pid and start in its name.
#[derive(Default)]
struct FakeProc {
    running: HashMap<Pid, Look>,
    /// How the zombies ended.
    ended: HashMap<Pid, u32>,
}

fn look(pid: Pid, start: u64, read_ns: u64) -> Look {
    let name = format!("{pid}@{start}");
    Look {
        read_ns,
        argv: Some(format!("{name}\0").into_bytes()),
        exe: Some(Exe { path: format!("/{name}").into_bytes(), traits: ExeTraits::empty() }),
        stat: Some(StatSeen {
            start: StartTime(start),
            arg_start: start + 1,
            comm: comm_of(name.as_bytes()),
            ppid: 1,
            pgid: pid,
            sid: 1,
            tty: None,
            kthread: false,
            ended: false,
            ending: false,
        }),
        status: Some(StatusSeen { uids: [0; 2], gids: [0; 2], ns_pid: 0, threads: 1 }),
        ..Look::default()
    }
}

impl Proc for FakeProc {
    fn look(&mut self, pid: Pid, _: Depth) -> Option<Look> {
        self.running.get(&pid).cloned()
    }

    fn start(&mut self, pid: Pid) -> Option<StartTime> {
        self.running.get(&pid)?.stat.map(|stat| stat.start)
    }

    fn wait_status(&mut self, pid: Pid, _: StartTime) -> Option<u32> {
        self.ended.get(&pid).copied()
    }
}

/// The report of an event, in short.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Seen {
    kind: &'static str,
    pid: Pid,
    tid: Pid,
    start_ns: u64,
    name: Option<String>,
    exe: Option<String>,
    status: u32,
    flaws: Vec<(Field, Flaw)>,
}

impl Seen {
    fn flaw(&self, field: Field) -> Option<Flaw> {
        self.flaws.iter().find(|(at, _)| *at == field).map(|(_, flaw)| *flaw)
    }
}

fn told(record: &Record<'_>) -> Option<Seen> {
    let subject = *record.body.subject()?;
    let (kind, status) = match &record.body {
        Body::Existing { .. } => ("existing", 0),
        Body::Fork { thread: false, .. } => ("fork", 0),
        Body::Fork { .. } => ("clone", 0),
        Body::Exec { .. } => ("exec", 0),
        Body::Exit { exit, .. } => ("exit", exit.wait_status.unwrap_or_default()),
        Body::ThreadExit { wait_status, .. } => ("thread-exit", wait_status.unwrap_or_default()),
        _ => ("other", 0),
    };
    let exe = match &record.body {
        Body::Exec { image, .. } | Body::Existing { image, .. } => image.exe.map(|names| {
            let mut path = Vec::new();
            names.write_path(&mut path);
            String::from_utf8_lossy(&path[1..]).into_owned()
        }),
        _ => None,
    };
    let text = |comm: &Comm| String::from_utf8_lossy(comm).trim_end_matches('\0').to_owned();
    let name = (subject.comm != UNKNOWN_COMM).then(|| text(&subject.comm));
    let flaws = record.flaws.iter().chain(record.about.iter()).collect();
    Some(Seen { kind, pid: subject.pid, tid: subject.tid, start_ns: subject.start_ns, name, exe, status, flaws })
}

struct Stage {
    tracker: Tracker,
    proc: FakeProc,
    told: Vec<Seen>,
}

impl Stage {
    fn new() -> Self {
        let settings = Settings {
            events: EventSet::ALL,
            env: false,
            follows: true,
            last_thread_decides: true,
            ids_told: true,
            home: None,
            logins: true,
        };
        Self { tracker: Tracker::new(settings), proc: FakeProc::default(), told: Vec::new() }
    }

    fn begin(&mut self, looks: &[(Pid, Look)]) {
        let told_all = &mut self.told;
        let mut put = |record: &Record<'_>| {
            told_all.extend(told(record));
            ControlFlow::Continue(())
        };
        let _ = self.tracker.begin(looks, &mut put);
        let _ = self.tracker.tell(looks.to_vec(), 0, &mut put);
    }

    fn feed_with(&mut self, mono_ns: u64, what: Happening, look: Option<Look>) {
        let told_all = &mut self.told;
        let _ = self.tracker.feed(
            Report { mono_ns, processor: None, what, look: look.map(Box::new) },
            &mut self.proc,
            &mut |record| {
                told_all.extend(told(record));
                ControlFlow::Continue(())
            },
        );
    }

    fn feed(&mut self, mono_ns: u64, what: Happening) {
        self.feed_with(mono_ns, what, None);
    }

    fn fork(&mut self, mono_ns: u64, pid: Pid) {
        self.feed(mono_ns, Happening::Fork { parent: task(1, 1), child: task(pid, pid), birth: None });
    }

    fn clone(&mut self, mono_ns: u64, tid: Pid, pid: Pid) {
        self.feed(mono_ns, Happening::Fork { parent: task(1, 1), child: task(tid, pid), birth: None });
    }

    fn exit(&mut self, mono_ns: u64, tid: Pid, pid: Pid, wait_status: u32) {
        self.feed(
            mono_ns,
            Happening::Exit {
                task: task(tid, pid),
                end: End { wait_status: Some(wait_status), ..End::default() },
                parent: None,
            },
        );
    }

    fn kinds(&self, pid: Pid) -> Vec<(&'static str, Pid)> {
        self.told.iter().filter(|told| told.pid == pid).map(|told| (told.kind, told.tid)).collect()
    }

    fn last(&self) -> &Seen {
        self.told.last().unwrap()
    }
}

//! A process that was already running when the programs were attached.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::mem::offset_of;
use std::ops::ControlFlow;

use super::decode::decode;
use super::wire;
use crate::record::{
    Body, CgroupKey, Comm, ImageRecord, ListRecord, LoginRecord, Record, RefRecord, Subject, UNKNOWN_ID, comm_of,
};
use crate::source::intake::Intake;
use crate::{EnvWanted, Field, Flaw, Flaws, Kind, Namespaces, Pid, StartTime, Want, sys};

/// A process that was running when we attached.
pub(super) struct Running<'a> {
    pub(super) subject: Subject,
    pub(super) image: ImageRecord<'a>,
    /// The part of the image that is cut.
    pub(super) flaws: Flaws,
    /// The filters accept it.
    pub(super) chosen: bool,
    /// It may still exist.
    pub(super) in_proc: bool,
}

impl Running<'_> {
    /// One that is gone and of which only an event in the ring is left.
    pub(super) fn gone(mut subject: Subject, event: &Body<'_>) -> Self {
        if let Body::Exec { old_comm: Some(old), .. } = event {
            subject.comm = *old;
        }
        Self { subject, image: ImageRecord::default(), flaws: Flaws::new(), chosen: true, in_proc: false }
    }
}

/// The iterator's output.
pub(super) fn decode_existing<'a>(mut bytes: &'a [u8], malformed: &mut u64) -> Vec<Running<'a>> {
    let mut running: Vec<Running<'a>> = Vec::new();
    // A process whose first thread has ended comes once for each thread, and the ended thread has
    // nothing to show.
    let mut places: HashMap<(Pid, u64), usize> = HashMap::new();
    while let Some(size) = bytes.first_chunk().map(|size| u32::from_ne_bytes(*size) as usize) {
        let Some((record, rest)) = bytes.split_at_checked(size).filter(|_| size != 0) else {
            *malformed += 1;
            break;
        };
        bytes = rest;
        match decode(record) {
            Ok(Record { body: Body::Existing { mut subject, image }, flaws, .. }) => {
                subject.tid = subject.pid;
                // The programs put their verdict in the place of an exec's old tid.
                let chosen = record.get(offset_of!(wire::Exec, old_tid)).is_some_and(|&b| b != 0);
                let it = Running { subject, image, flaws, chosen, in_proc: true };
                match places.entry((subject.pid, subject.start_ns)) {
                    Entry::Vacant(place) => {
                        place.insert(running.len());
                        running.push(it);
                    }
                    Entry::Occupied(place) if it.image.cwd.is_some() => running[*place.get()] = it,
                    Entry::Occupied(_) => {}
                }
            }
            _ => *malformed += 1,
        }
    }
    running
}

/// Some kernels hide processes from the iterator: /proc has them.
pub(super) fn read_hidden(known: &HashSet<Pid>) -> Vec<sys::ReadProcess> {
    sys::list_processes().into_iter().filter(|pid| !known.contains(pid)).filter_map(sys::read_process).collect()
}

/// A process from /proc; its cgroup and its namespaces stay unknown.
pub(super) fn subject_of(it: &sys::ReadProcess) -> Subject {
    let parent = sys::read_process(it.stat.ppid);
    Subject {
        pid: it.pid,
        tid: it.pid,
        start_ns: it.stat.start.boot_ns(),
        comm: comm_of(&it.stat.comm),
        parent: RefRecord {
            pid: it.stat.ppid,
            tid: it.stat.ppid,
            start_ns: parent.as_ref().map_or(0, |parent| parent.stat.start.boot_ns()),
            comm: parent.map_or_else(Comm::default, |parent| comm_of(&parent.stat.comm)),
        },
        ns_pid: 0,
        uid: it.uids[0],
        gid: it.gids[0],
        euid: it.uids[1],
        egid: it.gids[1],
        login: LoginRecord { uid: it.login[0].unwrap_or(UNKNOWN_ID), session: it.login[1].unwrap_or(UNKNOWN_ID) },
        sid: it.stat.sid,
        pgid: it.stat.pgid,
        tty: it.stat.tty(),
        cgroup: CgroupKey::default(),
        namespaces: Namespaces::default(),
        kthread: it.stat.is_kthread(),
        exec_id: None,
    }
}

/// For a process that was perhaps not there when we attached, its first event shows that it was: it
/// is reported before that event.
pub(super) fn tell_unsure(
    want: &Want,
    existing: &mut HashSet<(Pid, u64)>,
    unsure: &mut HashSet<Pid>,
    attached_ns: u64,
    record: &Record<'_>,
    out: &mut dyn Intake,
) -> ControlFlow<()> {
    let Some(subject) = record.body.subject().filter(|subject| unsure.remove(&subject.pid)) else {
        return ControlFlow::Continue(());
    };
    if matches!(record.body, Body::Fork { thread: false, .. }) || subject.start_ns >= attached_ns {
        return ControlFlow::Continue(());
    }
    let it = Running::gone(*subject, &record.body);
    tell(want, existing, attached_ns, &it, out)
}

/// Reports one already running process, with its arguments if they can still be read.
pub(super) fn tell(
    want: &Want,
    existing: &mut HashSet<(Pid, u64)>,
    attached_ns: u64,
    it: &Running<'_>,
    out: &mut dyn Intake,
) -> ControlFlow<()> {
    let subject = it.subject;
    if want.events.contains(Kind::Existing) {
        existing.insert((subject.pid, subject.start_ns));
    }
    let start = StartTime::from_boot_ns(subject.start_ns);
    let mut flaws = it.flaws;
    let mut read = |field, read: fn(Pid, StartTime) -> Option<Vec<u8>>| {
        if subject.kthread {
            return None;
        }
        // No process runs without arguments (Linux 5.18), except those whose memory is gone or not
        // there yet.
        let bytes = it
            .in_proc
            .then(|| read(subject.pid, start))
            .flatten()
            .filter(|list| field != Field::Argv || !list.is_empty());
        let flaw = match (&bytes, it.in_proc) {
            (Some(_), _) => Flaw::ReadLate,
            (None, true) => Flaw::Unreadable,
            (None, false) => Flaw::NotObserved,
        };
        flaws.mark(field, flaw);
        bytes
    };
    let argv = read(Field::Argv, sys::read_argv).unwrap_or_default();
    let env = if want.env == EnvWanted::No { None } else { read(Field::Env, sys::read_environment) };
    for (field, is_there) in [(Field::Exe, it.image.exe.is_some()), (Field::Cwd, it.image.cwd.is_some())] {
        if !is_there && !subject.kthread {
            flaws.mark(field, if it.in_proc { Flaw::Unreadable } else { Flaw::NotObserved });
        }
    }
    let mut image = it.image;
    image.argv = ListRecord { inline: &argv, len: argv.len() };
    image.env = env.as_deref().map(|env| ListRecord { inline: env, len: env.len() });
    // It was running when we attached: that is the time of the event.
    let body = Body::Existing { subject, image };
    out.push(&Record { boot_ns: attached_ns, processor: None, body, flaws, about: Flaws::new() })
}

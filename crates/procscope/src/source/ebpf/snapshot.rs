//! The processes that were already running when the programs were attached.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::io::{self, Read};
use std::mem::offset_of;
use std::ops::ControlFlow;
use std::time::Duration;

use libbpf_rs::{Iter, MapCore, MapFlags};

use super::complaints::Complaints;
use super::decode::decode;
use super::live::Live;
use super::object::map;
use super::wire;
use crate::source::intake::Intake;
use crate::source::record::{
    Body, CgroupKey, Comm, ImageRecord, ListRecord, LoginRecord, NamesUp, Record, RefRecord, Subject, UNKNOWN_ID,
};
use crate::source::{comm_of, names_up};
use crate::{EnvWanted, Field, Flaw, Flaws, Kind, Namespaces, Pid, StartTime, Want, sys};

const TREES_SWITCHING: u32 = 1;
const TREES_READY: u32 = 2;

/// A process that was running when we attached.
struct Running<'a> {
    subject: Subject,
    image: ImageRecord<'a>,
    /// The part of the image that is cut.
    flaws: Flaws,
    /// The filters accept it.
    chosen: bool,
    /// It may still exist.
    in_proc: bool,
}

/// The iterator's output.
fn decode_existing<'a>(mut bytes: &'a [u8], malformed: &mut u64) -> Vec<Running<'a>> {
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
fn read_hidden(known: &HashSet<Pid>) -> Vec<sys::ReadProcess> {
    sys::list_processes().into_iter().filter(|pid| !known.contains(pid)).filter_map(sys::read_process).collect()
}

/// A process from /proc; its cgroup and its namespaces stay unknown.
fn subject_of(it: &sys::ReadProcess) -> Subject {
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
    let mut subject = *subject;
    if let Body::Exec { old_comm: Some(old), .. } = record.body {
        subject.comm = old;
    }
    let it = Running { subject, image: ImageRecord::default(), flaws: Flaws::new(), chosen: true, in_proc: false };
    tell(want, existing, attached_ns, &it, out)
}

/// Reports one already running process, with its arguments if they can still be read.
fn tell(
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

impl Live {
    fn read_existing(&self) -> io::Result<Vec<u8>> {
        let _kept = Complaints::keep();
        let program = self.object.progs_mut().find(|program| program.name() == "existing");
        let program = program.ok_or(io::ErrorKind::NotFound)?;
        let link = program.attach().map_err(io::Error::other)?;
        let mut bytes = Vec::new();
        Iter::new(&link).map_err(io::Error::other)?.read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    /// Reports the processes that are already running, each once. A process forked since we
    /// attached comes as a fork.
    pub(super) fn snapshot(&mut self, out: &mut dyn Intake) -> io::Result<ControlFlow<()>> {
        let bytes = self.read_existing()?;
        let mut malformed = 0;
        let mut running = decode_existing(&bytes, &mut malformed);
        (0..malformed).for_each(|_| out.count_malformed());

        // A process that was running before and gone before we could look: an event of it waits in
        // the ring.
        let mut forked = HashSet::new();
        let mut gone: Vec<Running<'_>> = Vec::new();
        let mut seen: HashSet<(Pid, u64)> = running.iter().map(|it| (it.subject.pid, it.subject.start_ns)).collect();
        let attached_ns = self.attached_ns;
        self.peek(|record, asked| {
            if let Body::Cgroup { .. } = &record.body {
                let _ = out.push(record);
            }
            let Some(subject) = record.body.subject() else { return };
            let key = (subject.pid, subject.start_ns);
            match &record.body {
                Body::Fork { thread: false, .. } if asked => _ = forked.insert(key),
                Body::Fork { .. } => {}
                Body::Ptrace { .. } => {}
                body if asked && subject.start_ns < attached_ns && !forked.contains(&key) && seen.insert(key) => {
                    let mut subject = *subject;
                    if let Body::Exec { old_comm: Some(old), .. } = body {
                        subject.comm = *old;
                    }
                    gone.push(Running {
                        subject,
                        image: ImageRecord::default(),
                        flaws: Flaws::new(),
                        chosen: true,
                        in_proc: false,
                    });
                }
                _ => {}
            }
        });

        let hidden = read_hidden(&running.iter().chain(&gone).map(|it| it.subject.pid).collect());
        let places: Vec<[Vec<u8>; 2]> = hidden
            .iter()
            .map(|it| [&it.exe, &it.cwd].map(|path| names_up(path.as_deref().unwrap_or_default())))
            .collect();
        for (it, [exe, cwd]) in hidden.iter().zip(&places) {
            let subject = subject_of(it);
            let attached = StartTime::from_boot_ns(self.attached_ns);
            let gone = it.stat.has_ended() && !it.stat.has_lost_leader();
            if gone || it.stat.start > attached || forked.iter().any(|(pid, _)| *pid == it.pid) {
                continue;
            }
            if it.stat.start == attached {
                // Only the tick of its start is known; its next event shows which came first.
                self.unsure.insert(it.pid);
            } else {
                let image = ImageRecord {
                    exe: it.exe.is_some().then_some(NamesUp(exe)),
                    cwd: it.cwd.is_some().then_some(NamesUp(cwd)),
                    ..ImageRecord::default()
                };
                let chosen = self.chooses(&subject);
                running.push(Running { subject, image, flaws: Flaws::new(), chosen, in_proc: true });
            }
        }
        running.append(&mut gone);

        // All before any is reported: ancestors do not always come first, and need not be chosen.
        for it in running.iter().filter(|it| it.subject.start_ns < self.attached_ns) {
            let body = Body::Existing { subject: it.subject, image: it.image };
            out.note(&Record {
                boot_ns: self.attached_ns,
                processor: None,
                body,
                flaws: it.flaws,
                about: Flaws::new(),
            });
        }
        for it in &running {
            let member = self.want.trees.is_empty() || self.members.contains(&it.subject.pid);
            let fork_comes = forked.contains(&(it.subject.pid, it.subject.start_ns));
            if it.chosen
                && member
                && it.subject.start_ns < self.attached_ns
                && !fork_comes
                && self.tell(it, out).is_break()
            {
                return Ok(ControlFlow::Break(()));
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    /// The filters that need no cgroup, for processes from /proc.
    fn chooses(&self, subject: &Subject) -> bool {
        let names = &self.want.names;
        (self.want.pids.is_empty() || self.want.pids.contains(&subject.pid))
            && (self.want.uids.is_empty() || self.want.uids.contains(&subject.uid))
            && (names.is_empty() || names.iter().any(|name| comm_of(name) == subject.comm))
            && self.want.cgroups.is_empty()
    }

    fn tell(&mut self, it: &Running<'_>, out: &mut dyn Intake) -> ControlFlow<()> {
        tell(&self.want, &mut self.existing, self.attached_ns, it, out)
    }

    /// Puts all present descendants into the programs' map, then lets the programs decide.
    pub(super) fn plant_trees(&mut self) -> io::Result<()> {
        let mut members: HashSet<Pid> = self.want.trees.iter().copied().collect();
        if members.is_empty() {
            return Ok(());
        }
        let bytes = self.read_existing()?;
        let running = decode_existing(&bytes, &mut 0);
        // pid, parent or creator, start
        let mut born: Vec<_> =
            running.iter().map(|it| (it.subject.pid, it.subject.parent.pid, it.subject.start_ns)).collect();
        let hidden = read_hidden(&running.iter().map(|it| it.subject.pid).collect());
        born.extend(hidden.iter().map(|it| (it.pid, it.stat.ppid, it.stat.start.boot_ns())));
        let mut planted = members.clone();
        let proc_is_here = !sys::list_processes().is_empty();
        loop {
            // Children forked meanwhile by members that the programs did not know yet.
            self.peek(|record, _| {
                if let (Some(subject), Some(descent)) = (record.body.subject(), record.body.descent()) {
                    let above = [Some(descent.parent), descent.creator.filter(|creator| *creator != descent.parent)];
                    born.extend(above.into_iter().flatten().map(|above| (descent.pid, above, subject.start_ns)));
                }
            });
            loop {
                let before = members.len();
                let children = born.iter().filter(|(_, parent, _)| members.contains(parent)).map(|(pid, ..)| *pid);
                let children: Vec<Pid> = children.collect();
                members.extend(children);
                if members.len() == before {
                    break;
                }
            }
            let new: Vec<Pid> = members.difference(&planted).copied().collect();
            if new.is_empty() {
                break;
            }
            let map = map(&self.object, "trees")?;
            for pid in new {
                map.update(&pid.to_ne_bytes(), &[1], MapFlags::ANY).map_err(io::Error::other)?;
                planted.insert(pid);
                // The programs remove a process that ends. They do not remove one that ended before
                // it was inserted, and whose pid is free for another process.
                let start = sys::read_process(pid).map(|it| it.stat.start);
                let same = |(of, _, ns): &(Pid, Pid, u64)| {
                    *of == pid && start.is_some_and(|start| sys::is_start(start, StartTime::from_boot_ns(*ns)))
                };
                if proc_is_here && !born.iter().any(same) {
                    let _ = map.delete(&pid.to_ne_bytes());
                }
            }
        }
        self.shared.set_trees(TREES_SWITCHING);
        std::thread::sleep(Duration::from_millis(1));
        self.unfiltered_until = self.ring.end();
        self.shared.set_trees(TREES_READY);
        self.members = members;
        Ok(())
    }
}

use std::cell::RefCell;
use std::collections::HashSet;
use std::io::{self, Read};
use std::mem::offset_of;
use std::ops::ControlFlow;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use libbpf_rs::{ErrorKind, Iter, Link, MapCore, MapFlags, Object, ObjectBuilder, OpenObject};
use rustix::event::{Timespec, epoll};
use zerocopy::IntoBytes;

use super::decode::decode;
use super::ring::{Ring, Shared, Slot};
use super::tracepoint::{self, Tracefs};
use super::wire::{self, kind};
use crate::pipeline::{Outlet, Pipeline};
use crate::source::Source;
use crate::source::record::{Body, CgroupKey, Comm, ImageRecord, ListRecord, NamesUp, Record, RefRecord, Subject};
use crate::{
    Cause, EnvWanted, Error, Field, Flaw, Flaws, KIND_COUNT, Kind, Namespaces, Obstacle, Pid, SourceId, StartTime,
    StopHandle, Timestamp, Want, sys,
};

static OBJECT: &[u8] = include_bytes!("../../../../../bpf/gen/procscope.bpfel.o");

/// How long the reader stays away while there are events.
const INTERVAL: Duration = Duration::from_millis(20);
/// How long a record may lie that was sent just when the reader went to sleep.
const LINGER: Duration = Duration::from_millis(25);
/// How often a sleeper looks up, to count what the kernel skipped.
const ASLEEP: Duration = Duration::from_secs(1);
/// The least ring that is worth having, bytes.
const LEAST_RING: usize = 64 << 10;
/// So many records are read before their room is given back.
const RELEASE_EVERY: usize = 64;

/// Programs on tracepoints that only tracefs knows, with the system calls that they belong to.
const CALLS: [(&str, Kind, &[&str]); 10] = [
    ("sys_enter_execve", Kind::ExecFailed, &["sys_enter_execve"]),
    ("sys_enter_execveat", Kind::ExecFailed, &["sys_enter_execveat"]),
    ("sys_exit_exec", Kind::ExecFailed, &["sys_exit_execve", "sys_exit_execveat"]),
    ("sys_enter_setid", Kind::Uid, &["sys_enter_setuid", "sys_enter_setreuid", "sys_enter_setresuid"]),
    ("sys_exit_setid", Kind::Uid, &["sys_exit_setuid", "sys_exit_setreuid", "sys_exit_setresuid"]),
    ("sys_enter_setid", Kind::Gid, &["sys_enter_setgid", "sys_enter_setregid", "sys_enter_setresgid"]),
    ("sys_exit_setid", Kind::Gid, &["sys_exit_setgid", "sys_exit_setregid", "sys_exit_setresgid"]),
    ("sys_exit_setsid", Kind::Sid, &["sys_exit_setsid"]),
    ("sys_enter_ptrace", Kind::Ptrace, &["sys_enter_ptrace"]),
    ("sys_exit_ptrace", Kind::Ptrace, &["sys_exit_ptrace"]),
];

/// Whether a program is of use, and the kind of event that is lost when the kernel skips it.
fn purpose(program: &str, want: &Want) -> Option<Kind> {
    let wants = |kind| want.events.contains(kind);
    let trees = !want.trees.is_empty();
    let (needed, kind) = match program {
        "task_newtask" => (wants(Kind::Fork) || wants(Kind::Clone) || trees, Kind::Fork),
        "sched_process_exec" => (wants(Kind::Exec), Kind::Exec),
        "sched_process_exit" => (wants(Kind::Exit) || wants(Kind::ThreadExit) || trees, Kind::Exit),
        "sched_switch" | "signal_generate" => (wants(Kind::Exit), Kind::Lost),
        "task_rename" => {
            (wants(Kind::Exec) || wants(Kind::Comm), if wants(Kind::Comm) { Kind::Comm } else { Kind::Lost })
        }
        "signal_deliver" => (wants(Kind::Core), Kind::Core),
        "existing" => (true, Kind::Existing),
        _ => {
            let mut kinds = CALLS.iter().filter(|(name, ..)| *name == program).map(|&(_, kind, _)| kind);
            return kinds.find(|&kind| wants(kind));
        }
    };
    needed.then_some(kind)
}

/// A program whose skipped runs are looked after: the kernel does not run one twice at a time on a CPU.
struct Watched {
    fd: OwnedFd,
    kind: Kind,
    misses: u64,
}

/// A process that ran when we attached.
struct Running<'a> {
    subject: Subject,
    image: ImageRecord<'a>,
    /// The filters take it.
    chosen: bool,
    /// It may still be there.
    in_proc: bool,
}

/// A path as the kernel's walk gives it.
fn names_up(path: &Option<Vec<u8>>) -> Vec<u8> {
    let path = path.as_deref().unwrap_or_default();
    let mut names = Vec::new();
    for name in path.rsplit(|&b| b == b'/').filter(|name| !name.is_empty()) {
        names.extend_from_slice(name);
        names.push(0);
    }
    names
}

/// A process that /proc told of; its cgroup and its namespaces stay unknown.
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
        sid: it.stat.sid,
        pgid: it.stat.pgid,
        tty: it.stat.tty(),
        cgroup: CgroupKey::default(),
        namespaces: Namespaces::default(),
        kthread: it.stat.is_kthread(),
    }
}

/// Attached programs. The kernel waits out every CPU for each that lets go of a system call's tracepoint, so all do at once.
struct Links(Vec<Link>);

impl Drop for Links {
    fn drop(&mut self) {
        std::thread::scope(|scope| {
            for link in self.0.drain(..) {
                scope.spawn(move || drop(link));
            }
        });
    }
}

pub(super) struct Live {
    want: Want,
    object: Object,
    links: Links,
    watched: Vec<Watched>,
    ring: Ring,
    shared: Shared,
    epoll: OwnedFd,
    attached_ns: u64,
    attached: Timestamp,
    notes: Vec<String>,
    /// Cgroups of the old hierarchies, which the programs do not filter by.
    cgroup_paths: Vec<String>,
    /// The trees' members when the programs took over, and the place in the ring up to which they had not.
    members: HashSet<Pid>,
    unfiltered_until: u64,
    /// Losses that were told of, by kind.
    told: [u64; KIND_COUNT],
}

impl Live {
    pub(super) fn open(want: &Want) -> Result<Self, Error> {
        libbpf_rs::set_print(Some((libbpf_rs::PrintLevel::Warn, keep_complaint)));
        require_btf()?;
        let cgroups = resolve_cgroups(want)?;
        let (object, ring_bytes) = load(want, &cgroups)?;
        let fail = |what| move |error: io::Error| Error::Source { source_id: SourceId::Ebpf, what, error };

        let fill = |name: &str, keys: Vec<Vec<u8>>| -> Result<(), Error> {
            let filled = map(&object, name).and_then(|map| {
                keys.iter().try_for_each(|key| map.update(key, &[1], MapFlags::ANY).map_err(io::Error::other))
            });
            filled.map_err(fail("filling a filter"))
        };
        fill("pids", want.pids.iter().map(|pid| pid.to_ne_bytes().to_vec()).collect())?;
        fill("trees", want.trees.iter().map(|pid| pid.to_ne_bytes().to_vec()).collect())?;
        fill("uids", want.uids.iter().map(|uid| uid.to_ne_bytes().to_vec()).collect())?;
        fill("names", want.names.iter().map(|name| comm_of(name).to_vec()).collect())?;
        fill("cgroups", cgroups.unified.iter().map(|id| [id.to_ne_bytes(), [0; 8]].concat()).collect())?;

        let ring = map(&object, "ring").map_err(fail("finding the ring"))?;
        let bss = object.maps().find(|map| map.name().to_string_lossy().ends_with(".bss"));
        let bss = bss.ok_or_else(|| io::ErrorKind::NotFound.into()).map_err(fail("finding the shared words"))?;
        let shared = Shared::new(bss.as_fd()).map_err(fail("mapping the shared words"))?;
        let epoll =
            epoll::create(epoll::CreateFlags::CLOEXEC).map_err(|e| fail("making an epoll descriptor")(e.into()))?;
        epoll::add(&epoll, ring.as_fd(), epoll::EventData::new_u64(0), epoll::EventFlags::IN | epoll::EventFlags::ET)
            .map_err(|e| fail("watching the ring")(e.into()))?;
        let ring = Ring::new(ring.as_fd(), ring_bytes).map_err(fail("mapping the ring"))?;

        let mut live = Self {
            want: want.clone(),
            links: Links(Vec::new()),
            watched: Vec::new(),
            ring,
            shared,
            epoll,
            attached_ns: 0,
            attached: Timestamp::default(),
            notes: Vec::new(),
            cgroup_paths: cgroups.paths,
            members: HashSet::new(),
            unfiltered_until: 0,
            told: [0; KIND_COUNT],
            object,
        };
        live.attach().map_err(fail("attaching"))?;
        if ring_bytes < want.ring_bytes {
            live.notes.push(format!("the ring has {} KiB only: the kernel gave no more memory", ring_bytes >> 10));
        }
        live.attached_ns = sys::now_boot_ns();
        live.attached = sys::clock().wall(live.attached_ns);
        Ok(live)
    }

    fn attach(&mut self) -> io::Result<()> {
        let mut tracefs = None;
        for program in self.object.progs_mut() {
            let name = program.name().to_string_lossy().into_owned();
            let Some(kind) = purpose(&name, &self.want) else { continue };
            if name == "existing" {
                continue;
            }
            if !CALLS.iter().any(|(call, ..)| *call == name) {
                self.links.0.push(program.attach_trace().map_err(io::Error::other)?);
            } else {
                let calls = CALLS.iter().filter(|&&(call, kind, _)| call == name && self.want.events.contains(kind));
                for tracepoint in calls.flat_map(|(.., tracepoints)| tracepoints.iter()) {
                    let tracefs = tracefs.get_or_insert_with(Tracefs::open);
                    let attached = match tracefs {
                        Ok(tracefs) => tracepoint::attach(tracefs, &program, tracepoint),
                        Err(error) => Err(error.kind().into()),
                    };
                    match attached {
                        Ok(link) => self.links.0.push(link),
                        Err(error) => {
                            self.notes.push(format!("{kind} events are missing: syscalls:{tracepoint}: {error}"))
                        }
                    }
                }
            }
            let fd = program.as_fd().try_clone_to_owned()?;
            self.watched.push(Watched { fd, kind, misses: 0 });
        }
        self.notes.dedup_by(|a, b| a.split(':').next() == b.split(':').next());
        Ok(())
    }

    /// Runs that the kernel skipped because the program was running on that CPU already.
    fn skipped(&mut self) -> Option<[u64; KIND_COUNT]> {
        let mut counts = [0; KIND_COUNT];
        for program in &mut self.watched {
            let misses = read_misses(&program.fd);
            // Programs that only add to other events lose none of their own.
            if program.kind != Kind::Lost {
                counts[program.kind as usize] += misses.saturating_sub(program.misses);
            }
            program.misses = misses.max(program.misses);
        }
        counts.iter().any(|&n| n != 0).then_some(counts)
    }

    /// Reads what is there, up to a position. Returns how many records that were.
    fn drain(&mut self, end: u64, out: &mut Outlet<'_>) -> ControlFlow<(), usize> {
        let mut count = 0;
        let mut told: u64 = self.told.iter().sum();
        loop {
            let position = self.ring.position();
            if position >= end {
                break;
            }
            let (slot, next) = self.ring.look(position);
            let mut flow = ControlFlow::Continue(());
            match slot {
                Slot::End | Slot::Busy => break,
                Slot::Discarded => {}
                Slot::Record(bytes) => match decode(bytes) {
                    Ok(record) if position < self.unfiltered_until && !adopt(&mut self.members, &record.body) => {}
                    Ok(record) => {
                        if record.lost_before > told
                            && let Some(counts) = untold(&self.shared, &mut self.told)
                        {
                            told = self.told.iter().sum();
                            flow = out.lose(counts);
                        }
                        if flow.is_continue() {
                            flow = out.push(&record);
                        }
                    }
                    Err(_) => out.count_malformed(),
                },
            }
            self.ring.advance(next);
            count += 1;
            if count % RELEASE_EVERY == 0 {
                self.ring.release();
            }
            if flow.is_break() {
                self.ring.release();
                return ControlFlow::Break(());
            }
        }
        self.ring.release();
        ControlFlow::Continue(count)
    }

    /// Looks at the records that wait, without taking them.
    fn peek(&mut self, mut see: impl FnMut(&Record<'_>)) {
        let end = self.ring.end();
        let mut position = self.ring.position();
        while position < end {
            let (slot, next) = self.ring.look(position);
            match slot {
                Slot::Record(bytes) => {
                    if let Ok(record) = decode(bytes) {
                        see(&record);
                    }
                }
                Slot::Discarded => {}
                // Its program is at work on another CPU.
                Slot::Busy => {
                    std::thread::yield_now();
                    continue;
                }
                Slot::End => return,
            }
            position = next;
        }
    }

    fn read_existing(&self) -> io::Result<Vec<u8>> {
        let program = self.object.progs_mut().find(|program| program.name() == "existing");
        let program = program.ok_or(io::ErrorKind::NotFound)?;
        let link = program.attach().map_err(io::Error::other)?;
        let mut bytes = Vec::new();
        Iter::new(&link).map_err(io::Error::other)?.read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    /// Tells of the processes that run already, each once: who was forked since we attached comes as that.
    fn snapshot(&mut self, out: &mut Outlet<'_>) -> io::Result<ControlFlow<()>> {
        let bytes = self.read_existing()?;
        let mut running = Vec::new();
        let mut rest = &bytes[..];
        while let Some(size) = rest.first_chunk().map(|size| u32::from_ne_bytes(*size) as usize) {
            let Some((bytes, tail)) = rest.split_at_checked(size).filter(|_| size != 0) else {
                out.count_malformed();
                break;
            };
            rest = tail;
            match decode(bytes) {
                Ok(Record { body: Body::Existing { subject, image }, .. }) => {
                    // The programs put their verdict where an exec has its old tid.
                    let chosen = bytes.get(offset_of!(wire::Exec, old_tid)).is_some_and(|&b| b != 0);
                    running.push(Running { subject, image, chosen, in_proc: true });
                }
                _ => out.count_malformed(),
            }
        }

        // Who ran before, and was gone before we could look: an event of it waits in the ring.
        let mut forked = HashSet::new();
        let mut gone: Vec<Running<'_>> = Vec::new();
        let mut seen: HashSet<(Pid, u64)> = running.iter().map(|it| (it.subject.pid, it.subject.start_ns)).collect();
        let attached_ns = self.attached_ns;
        self.peek(|record| {
            if let Body::Cgroup { .. } = &record.body {
                let _ = out.push(record);
            }
            let Some(subject) = record.body.subject() else { return };
            let key = (subject.pid, subject.start_ns);
            match &record.body {
                Body::Fork { thread: false, unasked: false, .. } => _ = forked.insert(key),
                Body::Fork { .. } => {}
                Body::Ptrace { .. } => {}
                body if subject.start_ns < attached_ns && !forked.contains(&key) && seen.insert(key) => {
                    let mut subject = *subject;
                    if let Body::Exec { old_comm: Some(old), .. } = body {
                        subject.comm = *old;
                    }
                    gone.push(Running { subject, image: ImageRecord::default(), chosen: true, in_proc: false });
                }
                _ => {}
            }
        });

        // Some kernels keep processes from the iterator: /proc has them.
        let known: HashSet<Pid> = running.iter().chain(&gone).map(|it| it.subject.pid).collect();
        let hidden: Vec<sys::ReadProcess> = sys::list_processes()
            .into_iter()
            .filter(|pid| !known.contains(pid))
            .filter_map(sys::read_process)
            .collect();
        let places: Vec<[Vec<u8>; 2]> = hidden.iter().map(|it| [&it.exe, &it.cwd].map(names_up)).collect();
        for (it, [exe, cwd]) in hidden.iter().zip(&places) {
            let subject = subject_of(it);
            if !it.stat.has_ended()
                && subject.start_ns < self.attached_ns
                && !forked.iter().any(|(pid, _)| *pid == it.pid)
            {
                let image = ImageRecord {
                    exe: it.exe.is_some().then_some(NamesUp(exe)),
                    cwd: it.cwd.is_some().then_some(NamesUp(cwd)),
                    ..ImageRecord::default()
                };
                running.push(Running { subject, image, chosen: self.chooses(&subject), in_proc: true });
            }
        }
        running.append(&mut gone);

        self.members = self.plant_trees(&running)?;
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

    /// The filters that need no cgroup, for who comes from /proc.
    fn chooses(&self, subject: &Subject) -> bool {
        let names = &self.want.names;
        (self.want.pids.is_empty() || self.want.pids.contains(&subject.pid))
            && (self.want.uids.is_empty() || self.want.uids.contains(&subject.uid))
            && (names.is_empty() || names.iter().any(|name| comm_of(name) == subject.comm))
            && self.want.cgroups.is_empty()
    }

    /// Puts out one process that runs already, with its arguments where they can still be read.
    fn tell(&self, it: &Running<'_>, out: &mut Outlet<'_>) -> ControlFlow<()> {
        let subject = it.subject;
        let start = StartTime::from_boot_ns(subject.start_ns);
        let mut flaws = Flaws::new();
        let mut read = |field, read: fn(Pid, StartTime) -> Option<Vec<u8>>| {
            if subject.kthread {
                return None;
            }
            let bytes = it.in_proc.then(|| read(subject.pid, start)).flatten();
            let flaw = match (&bytes, it.in_proc) {
                (Some(_), _) => Flaw::ReadLate,
                (None, true) => Flaw::Unreadable,
                (None, false) => Flaw::NotObserved,
            };
            flaws.mark(field, flaw);
            bytes
        };
        let argv = read(Field::Argv, sys::read_argv).unwrap_or_default();
        let env = if self.want.env == EnvWanted::No { None } else { read(Field::Env, sys::read_environment) };
        if it.image.exe.is_none() && !subject.kthread {
            flaws.mark(Field::Exe, if it.in_proc { Flaw::Unreadable } else { Flaw::NotObserved });
        }
        let mut image = it.image;
        image.argv = ListRecord { inline: &argv, len: argv.len() };
        image.env = env.as_deref().map(|env| ListRecord { inline: env, len: env.len() });
        // It ran when we attached: that is the time at which it is told of.
        let body = Body::Existing { subject, image };
        out.push(&Record { boot_ns: self.attached_ns, lost_before: 0, body, flaws })
    }

    /// Puts all present descendants into the programs' map, then lets the programs decide. Returns the members.
    fn plant_trees(&mut self, running: &[Running<'_>]) -> io::Result<HashSet<Pid>> {
        let mut members: HashSet<Pid> = self.want.trees.iter().copied().collect();
        if members.is_empty() {
            return Ok(members);
        }
        // pid, parent, start
        let mut born: Vec<_> =
            running.iter().map(|it| (it.subject.pid, it.subject.parent.pid, it.subject.start_ns)).collect();
        let mut planted = members.clone();
        let proc_is_here = !sys::list_processes().is_empty();
        loop {
            // Children forked meanwhile by members that the programs did not know yet.
            self.peek(|record| {
                if let Body::Fork { subject, thread: false, .. } = &record.body {
                    born.push((subject.pid, subject.parent.pid, subject.start_ns));
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
                // The programs take out who ends: not who had ended before it was put in, and whose pid is free for a stranger.
                let start = sys::read_process(pid).map(|it| it.stat.start);
                let same = |(of, _, ns): &(Pid, Pid, u64)| *of == pid && start == Some(StartTime::from_boot_ns(*ns));
                if proc_is_here && !born.iter().any(same) {
                    let _ = map.delete(&pid.to_ne_bytes());
                }
            }
        }
        self.shared.set_trees(TREES_SWITCHING);
        std::thread::sleep(Duration::from_millis(1));
        self.unfiltered_until = self.ring.end();
        self.shared.set_trees(TREES_READY);
        Ok(members)
    }

    /// Sleeps until woken by the programs, by the stop handle or by time.
    fn wait(&self, time: Duration) -> io::Result<()> {
        let mut events = [epoll::Event { flags: epoll::EventFlags::empty(), data: epoll::EventData::new_u64(0) }; 2];
        let timeout = Timespec { tv_sec: time.as_secs() as i64, tv_nsec: i64::from(time.subsec_nanos()) };
        match epoll::wait(&self.epoll, &mut events, Some(&timeout)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    fn pump(&mut self, out: &mut Outlet<'_>, stop: &StopHandle) -> io::Result<()> {
        out.set_clock(sys::clock());
        epoll::add(&self.epoll, stop.fd(), epoll::EventData::new_u64(1), epoll::EventFlags::IN)?;
        if self.snapshot(out)?.is_break() || out.batch_end().is_break() {
            return Ok(());
        }
        let mut idle = false;
        let mut looked = Instant::now();
        loop {
            let stopping = stop.is_stopped();
            out.set_clock(sys::clock());
            // What comes while we read waits for the next batch, so that the sink sees an end.
            let end = self.ring.end();
            let ControlFlow::Continue(mut count) = self.drain(end, out) else { return Ok(()) };
            while stopping && self.ring.position() < end {
                // A program on another CPU is still writing.
                std::thread::yield_now();
                let ControlFlow::Continue(more) = self.drain(end, out) else { return Ok(()) };
                count += more;
            }
            if stopping || looked.elapsed() >= ASLEEP {
                looked = Instant::now();
                if let Some(counts) = self.skipped()
                    && out.lose(counts).is_break()
                {
                    return Ok(());
                }
            }
            // Told here too, for no record may come to tell of it in its place.
            if (count == 0 || stopping)
                && let Some(counts) = untold(&self.shared, &mut self.told)
                && out.lose(counts).is_break()
            {
                return Ok(());
            }
            if out.batch_end().is_break() || stopping {
                return Ok(());
            }
            if count > 0 {
                self.shared.set_pacing(PACE_TIMER);
                idle = false;
                self.wait(INTERVAL)?;
            } else if !idle {
                self.shared.set_pacing(PACE_SLEEP);
                idle = true;
                self.wait(LINGER)?;
            } else {
                self.wait(ASLEEP)?;
            }
        }
    }
}

const PACE_SLEEP: u32 = 0;
const PACE_TIMER: u32 = 1;
const TREES_SWITCHING: u32 = 1;
const TREES_READY: u32 = 2;

impl Source for Live {
    fn attached(&self) -> Timestamp {
        self.attached
    }

    fn notes(&self) -> Vec<String> {
        self.notes.clone()
    }

    fn prepare(&self, pipeline: &mut Pipeline) {
        pipeline.filter_cgroup_paths(self.cgroup_paths.clone());
    }

    fn run(&mut self, out: &mut Outlet<'_>, stop: &StopHandle) -> Result<(), Error> {
        self.pump(out, stop).map_err(|error| Error::Source {
            source_id: SourceId::Ebpf,
            what: "reading the ring",
            error,
        })
    }
}

/// A name as the kernel keeps it.
fn comm_of(name: &[u8]) -> Comm {
    let mut comm = Comm::default();
    let len = name.len().min(comm.len() - 1);
    comm[..len].copy_from_slice(&name[..len]);
    comm
}

fn map<'a>(object: &'a Object, name: &str) -> io::Result<libbpf_rs::Map<'a>> {
    object.maps().find(|map| map.name() == name).ok_or_else(|| io::ErrorKind::NotFound.into())
}

/// `recursion_misses` of `struct bpf_prog_info`, since Linux 5.12; 0 before.
fn read_misses(fd: &OwnedFd) -> u64 {
    // SAFETY: all zeroes is a valid request for no arrays.
    let mut info: libbpf_rs::libbpf_sys::bpf_prog_info = unsafe { std::mem::zeroed() };
    let mut len = size_of_val(&info) as u32;
    // SAFETY: info is valid for len bytes.
    let result = unsafe { libbpf_rs::libbpf_sys::bpf_prog_get_info_by_fd(fd.as_raw_fd(), &raw mut info, &raw mut len) };
    if result == 0 { info.recursion_misses } else { 0 }
}

fn unavailable(what: impl Into<String>, cause: Cause, remedy: impl Into<String>) -> Error {
    Error::Unavailable {
        source_id: SourceId::Ebpf,
        obstacle: Obstacle { what: what.into(), cause, remedy: remedy.into() },
    }
}

fn require_btf() -> Result<(), Error> {
    if Path::new("/sys/kernel/btf/vmlinux").exists() {
        return Ok(());
    }
    if !Path::new("/sys/kernel").exists() {
        return Err(unavailable("/sys is not mounted", Cause::NotConfigured, "mount -t sysfs sysfs /sys"));
    }
    Err(unavailable(
        "the kernel does not describe its types: there is no /sys/kernel/btf/vmlinux",
        Cause::NotConfigured,
        "boot a kernel of 5.11 or later that was built with CONFIG_DEBUG_INFO_BTF=y",
    ))
}

struct Cgroups {
    /// Ids in the unified hierarchy, which the programs know.
    unified: Vec<u64>,
    /// Paths in an old one.
    paths: Vec<String>,
}

/// Turns what the user named into what the kernel knows.
fn resolve_cgroups(want: &Want) -> Result<Cgroups, Error> {
    use std::os::unix::fs::MetadataExt;
    const CGROUP2_SUPER_MAGIC: u64 = 0x6367_7270;
    let unified_root = ["/sys/fs/cgroup/unified", "/sys/fs/cgroup"]
        .into_iter()
        .find(|root| Path::new(root).join("cgroup.procs").exists());
    let mut cgroups = Cgroups { unified: Vec::new(), paths: Vec::new() };
    for named in &want.cgroups {
        let relative = named.strip_prefix("/").unwrap_or(named);
        let below_root = unified_root.map(|root| Path::new(root).join(relative));
        let found = [Some(named.clone()), below_root]
            .into_iter()
            .flatten()
            .find(|path: &PathBuf| path.join("cgroup.procs").exists());
        if let Some(path) = found {
            let unified = rustix::fs::statfs(&path).is_ok_and(|fs| u64::try_from(fs.f_type) == Ok(CGROUP2_SUPER_MAGIC));
            if unified {
                let inode = path.metadata().map_err(|error| Error::Filter {
                    what: format!("cannot look at the cgroup {}: {error}", path.display()),
                    remedy: "name a cgroup that exists: see /proc/self/cgroup".into(),
                })?;
                cgroups.unified.push(inode.ino());
            } else {
                // /sys/fs/cgroup/CONTROLLER/PATH
                let path: PathBuf = path.strip_prefix("/sys/fs/cgroup").unwrap_or(&path).components().skip(1).collect();
                cgroups.paths.push(format!("/{}", path.display()));
            }
        } else if named.is_absolute() && old_hierarchies().any(|root| root.join(relative).is_dir()) {
            cgroups.paths.push(named.display().to_string());
        } else {
            return Err(Error::Filter {
                what: format!("there is no cgroup {}", named.display()),
                remedy: "name one as /proc/PID/cgroup prints it, or its directory under /sys/fs/cgroup".into(),
            });
        }
    }
    Ok(cgroups)
}

fn old_hierarchies() -> impl Iterator<Item = PathBuf> {
    let entries = std::fs::read_dir("/sys/fs/cgroup").into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).filter(|path| path.is_dir())
}

thread_local! {
    /// What libbpf last said on this thread, which would else go to stderr.
    static COMPLAINTS: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

fn keep_complaint(_: libbpf_rs::PrintLevel, text: String) {
    COMPLAINTS.with_borrow_mut(|complaints| {
        // The verifier's log can be long; what failed is said first.
        if complaints.len() < 8 {
            let line: String = text.trim().chars().take(160).collect();
            complaints.push(line);
        }
    });
}

fn load(want: &Want, cgroups: &Cgroups) -> Result<(Object, usize), Error> {
    let page = rustix::param::page_size();
    let mut ring_bytes = want.ring_bytes.clamp(page, 1 << 30).next_power_of_two();
    loop {
        let error = match prepare(want, cgroups, ring_bytes).and_then(OpenObject::load) {
            Ok(object) => return Ok((object, ring_bytes)),
            Err(error) => error,
        };
        // Before 5.11 the ring counts against RLIMIT_MEMLOCK, which shows as a missing permission.
        let memory = matches!(error.kind(), ErrorKind::OutOfMemory | ErrorKind::PermissionDenied);
        if !memory || ring_bytes <= LEAST_RING || (error.kind() == ErrorKind::PermissionDenied && !may_load()) {
            return Err(refusal(&error));
        }
        ring_bytes /= 2;
    }
}

/// CAP_BPF and CAP_PERFMON, or CAP_SYS_ADMIN: `capabilities(7)`.
fn may_load() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:")).unwrap_or_default();
    let effective = u64::from_str_radix(effective.trim(), 16).unwrap_or(0);
    let has = |capability: u32| effective & 1 << capability != 0;
    has(21) || (has(38) && has(39))
}

fn refusal(error: &libbpf_rs::Error) -> Error {
    if !may_load() {
        return unavailable(
            "the kernel lets nobody load BPF programs without CAP_BPF and CAP_PERFMON",
            Cause::Privilege,
            "run it as root: sudo procscope",
        );
    }
    let complaint = COMPLAINTS.with_borrow_mut(std::mem::take).into_iter().find(|line| line.contains("failed"));
    let complaint = complaint.unwrap_or_else(|| error.to_string());
    let what = format!("the kernel refused the BPF programs: {complaint}");
    match error.kind() {
        ErrorKind::PermissionDenied => {
            unavailable(what, Cause::Privilege, "run it as root, outside a container or with --privileged")
        }
        ErrorKind::OutOfMemory => {
            unavailable(what, Cause::Busy, "free memory, or ask for a smaller ring: --ring-size 256KiB")
        }
        _ => unavailable(what, Cause::TooOld, "boot Linux 5.11 or later"),
    }
}

fn prepare(want: &Want, cgroups: &Cgroups, ring_bytes: usize) -> libbpf_rs::Result<OpenObject> {
    let mut object = ObjectBuilder::default().open_memory(OBJECT)?;
    let cpus = libbpf_rs::num_possible_cpus()? as u32;
    let config = wire::Config {
        bell_bytes: ring_bytes as u64 / 4,
        want_events: want
            .events
            .iter()
            .filter(|&kind| (kind as usize) < kind::KINDS)
            .fold(0, |set, kind| set | 1 << kind as u32),
        want_env: (want.env != EnvWanted::No).into(),
        filter_pids: (!want.pids.is_empty()).into(),
        filter_trees: (!want.trees.is_empty()).into(),
        filter_uids: (!want.uids.is_empty()).into(),
        filter_names: (!want.names.is_empty()).into(),
        filter_cgroups: (!cgroups.unified.is_empty()).into(),
        pad: [0; 6],
    };
    for mut map in object.maps_mut() {
        let name = map.name().to_string_lossy().into_owned();
        match name.as_str() {
            "ring" => map.set_max_entries(ring_bytes as u32)?,
            "exec_scratches" | "chunk_scratches" | "failed_scratches" | "cgroup_scratches" => {
                map.set_max_entries(cpus)?
            }
            "trees" if !want.trees.is_empty() => map.set_max_entries(1 << 16)?,
            _ if name.ends_with(".rodata") => {
                if let Some(value) = map.initial_value_mut() {
                    let len = value.len().min(size_of::<wire::Config>());
                    value[..len].copy_from_slice(&config.as_bytes()[..len]);
                }
            }
            _ => {}
        }
    }
    for mut program in object.progs_mut() {
        let needed = purpose(&program.name().to_string_lossy(), want).is_some();
        program.set_autoload(needed);
    }
    Ok(object)
}

/// Whether a record that was sent before the programs knew the trees is of a member; a member's child becomes one.
fn adopt(members: &mut HashSet<Pid>, body: &Body<'_>) -> bool {
    let Some(subject) = body.subject() else { return true };
    if matches!(body, Body::Fork { thread: false, .. }) && members.contains(&subject.parent.pid) {
        members.insert(subject.pid);
    }
    members.contains(&subject.pid)
}

/// Losses that nobody was told of yet, by kind.
fn untold(shared: &Shared, told: &mut [u64; KIND_COUNT]) -> Option<[u64; KIND_COUNT]> {
    let mut counts = [0; KIND_COUNT];
    for (index, count) in counts.iter_mut().enumerate().take(kind::KINDS) {
        let lost = shared.lost(index);
        *count = lost.saturating_sub(told[index]);
        told[index] = lost;
    }
    counts.iter().any(|&n| n != 0).then_some(counts)
}

//! Doors to the decoders for the fuzz targets and the benches. Not part of the library's promise.

use std::ops::ControlFlow;
use std::sync::{Arc, LazyLock};

use crate::pipeline::{Outlet, Pipeline};
use crate::record::Record;
use crate::record::comm_of;
use crate::source::happening::Report;
use crate::source::intake::Intake as _;
use crate::source::look::{Depth, Look, Proc, StatSeen, StatusSeen};
use crate::source::process_connector::decode::take_message;
use crate::source::process_connector::merge::{Merge, Received};
use crate::source::settling::Settling;
use crate::source::tracefs::assemble::{Assembler, Threads};
use crate::source::tracefs::decode::{Format, Kernel, PageLayout, Schema, samples};
use crate::source::tracker::{Settings, Tracker};
use crate::sys::Names;
use crate::{EnvWanted, EventSet, Pid, Sink, SourceId, StartTime, Want};

struct NoNames;

impl Names for NoNames {
    fn renew(&mut self) -> bool {
        false
    }

    fn user(&mut self, _: u32) -> Option<Arc<str>> {
        None
    }

    fn group(&mut self, _: u32) -> Option<Arc<str>> {
        None
    }
}

/// Reads the bytes as records of the kernel's ring, one after the other, and makes events from
/// them.
#[cfg(feature = "ebpf")]
pub fn decode_ebpf(mut bytes: &[u8]) {
    use crate::source::ebpf::decode::{decode, losses, lost_before};

    let want = Want { events: EventSet::ALL, env: EnvWanted::All, ..Want::default() };
    let mut pipeline = Pipeline::new(SourceId::Ebpf, &want, Box::new(NoNames), 4096);
    while let Some(size) = bytes.first_chunk().map(|size| u32::from_ne_bytes(*size) as usize) {
        let (record, rest) = bytes.split_at(size.clamp(1, bytes.len()));
        let _ = (losses(record), lost_before(record));
        if let Ok(record) = decode(record) {
            let _ = pipeline.feed(&record);
        }
        bytes = rest;
    }
}

/// A /proc whose content comes from the bytes.
struct AnyProc(u64);

impl AnyProc {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
}

impl Proc for AnyProc {
    fn look(&mut self, pid: Pid, _: Depth) -> Option<Look> {
        let luck = self.next();
        let has = |bit: u32| luck >> bit & 1 == 1;
        let start = self.start(pid)?;
        let id = (luck >> 32) as u32 % 8;
        let stat = StatSeen {
            start,
            arg_start: luck >> 60,
            comm: comm_of(format!("{pid}@{}", start.0).as_bytes()),
            ppid: id,
            pgid: id,
            sid: id,
            tty: None,
            kthread: has(0),
            ended: has(1),
            ending: has(6),
        };
        Some(Look {
            read_ns: luck >> 40,
            argv: has(2).then(|| b"any\0".to_vec()),
            stat: has(3).then_some(stat),
            status: has(4).then_some(StatusSeen { uids: [id; 2], gids: [id; 2], ns_pid: id, threads: id }),
            cgroup: has(5).then(|| b"/any".to_vec()),
            threads: (0..id).collect(),
            ..Look::default()
        })
    }

    fn wait_status(&mut self, _: Pid, _: StartTime) -> Option<u32> {
        let luck = self.next();
        (luck & 1 == 1).then_some(luck as u32)
    }

    fn start(&mut self, _: Pid) -> Option<StartTime> {
        let luck = self.next();
        (luck & 3 != 0).then_some(StartTime(luck >> 2 & 7))
    }
}

/// Reads the bytes as the content of /proc, for all processes and for each, and makes events from
/// it.
pub fn decode_proc_poll(bytes: &[u8]) {
    use crate::Flaw;
    use crate::proc::pid::{Stat, Status};
    use crate::proc::pids::{decode_hidepid, decode_last_pid, decode_pid};
    use crate::source::proc_poll::tracker::{End, Judgement, Sight, Tracker, is_loading, settle};

    let want = Want { events: EventSet::ALL, env: EnvWanted::All, ..Want::default() };
    let mut pipeline = Pipeline::new(SourceId::ProcPoll, &want, Box::new(NoNames), 4096);
    let mut tracker = Tracker::new(true, true);
    let mut put = |record: &Record<'_>| {
        let _ = pipeline.feed(record);
        ControlFlow::Continue(())
    };
    let _ = (decode_hidepid(bytes), decode_last_pid(bytes), decode_pid(bytes));
    let mut first: Option<Stat> = None;
    // A line is the result of one look: the pid, the stat, the status, the arguments.
    for line in bytes.split(|&b| b == 0xff) {
        let mut files = line.splitn(4, |&b| b == 0xfe);
        let mut file = || files.next().unwrap_or_default();
        let pid = decode_pid(file()).unwrap_or(1) % 8;
        let Some(stat) = Stat::decode(file()) else { continue };
        let status = Status::decode(&String::from_utf8_lossy(file()));
        let seen = |it: Status| StatusSeen { uids: it.uids, gids: it.gids, ns_pid: it.ns_pid, threads: it.threads };
        let code_kib = status.map_or(0, |status| status.code_kib);
        let argv = Some(file().to_vec()).filter(|argv| !argv.is_empty());
        let look = Look { argv, status: status.map(seen), ..Look::default() };
        let before = first.replace(stat.clone()).unwrap_or_else(|| stat.clone());
        let Some((stat, look)) = settle(&before, look, Some(&stat).filter(|stat| stat.ppid & 1 == 0)) else { continue };
        let judgement = tracker.judge(pid, &stat);
        let end =
            End { boot_ns: 1, time: Flaw::Estimated, wait_status: Some(stat.wait_status), stat: Some(stat.clone()) };
        let loading = is_loading(&stat, &look, code_kib);
        let sight = Sight { pid, read_ns: 1, stat: stat.clone(), look, code_kib, loading };
        let _ = match judgement {
            Judgement::Other => {
                let _ = tracker.ended(pid, &End { stat: None, ..end }, &mut put);
                tracker.born(sight, 0, &mut put)
            }
            Judgement::Ended => tracker.ended(pid, &end, &mut put),
            Judgement::Look => tracker.again(sight, &mut put),
            Judgement::Same => tracker.touch(pid, &stat, 1, &mut put),
        };
    }
}

/// Reads the bytes as messages of the process connector, with losses and looks between, and makes
/// events from them.
pub fn decode_process_connector(bytes: &[u8]) {
    let Some((seed, mut datagram)) = bytes.split_first_chunk() else { return };
    let seed = u64::from_ne_bytes(*seed);
    let want = Want { events: EventSet::ALL, env: EnvWanted::All, ..Want::default() };
    let mut pipeline = Pipeline::new(SourceId::ProcessConnector, &want, Box::new(NoNames), 4096);
    pipeline.choose(&want);
    let mut tracker = Tracker::new(Settings::new(&want, seed & 1 == 0, seed & 2 == 0, seed & 8 == 0));
    let mut merge = Merge::new(seed & 4 != 0, 0);
    let mut proc = AnyProc(seed | 1);
    let mut put = |record: &Record<'_>| {
        let _ = pipeline.feed(record);
        ControlFlow::Continue(())
    };
    let looks: Vec<_> = (1..4).filter_map(|pid| Some((pid, proc.look(pid, Depth::Full)?))).collect();
    let _ = tracker.begin(&looks, &mut put);
    let _ = tracker.tell(looks, 0, &mut put);
    while let Some(message) = take_message(&mut datagram) {
        let Ok(message) = message else { continue };
        let look = message
            .what
            .happening()
            .filter(|_| proc.next() & 1 == 0)
            .and_then(|it| proc.look(it.task().pid, Depth::Full));
        let until_ns = message.mono_ns.saturating_sub(proc.next() % 100);
        merge.take([Received { message, look: look.map(Box::new) }]);
        merge.mark();
        if merge.count_lost() > 0 {
            merge.settling().distrust();
            let _ = merge.lost_after();
            tracker.doubt();
        }
        let mut last_ns = 0;
        for told in merge.settling().give(until_ns) {
            assert!((last_ns..=until_ns).contains(&told.mono_ns), "out of order");
            last_ns = told.mono_ns;
            let _ = tracker.feed(told, &mut proc, &mut put);
        }
        if proc.next().is_multiple_of(16) {
            let looks = (1..8).filter_map(|pid| Some((pid, proc.look(pid, Depth::Full)?))).collect();
            tracker.resume(looks, &mut put);
        }
    }
}

impl Threads for AnyProc {
    fn process_of(&mut self, tid: Pid) -> Option<Pid> {
        let luck = self.next();
        (luck & 1 == 0).then_some(tid & luck as u32 >> 1)
    }
}

/// Layouts of tracefs, of a kernel that marks unreadable strings and of one that does not. Made
/// once: reading them is slower than an input.
static LAYOUTS: LazyLock<Option<(PageLayout, [Schema; 2])>> = LazyLock::new(|| {
    let schema = |tells_faults| {
        let mut schema = samples::schema()?;
        schema.set_kernel(Kernel { tells_faults, ..Kernel::default() });
        Some(schema)
    };
    Some((samples::layout()?, [schema(false)?, schema(true)?]))
});

/// Reads the bytes as layouts of tracefs, or as pages of its buffers, and makes events from these.
pub fn decode_tracefs(bytes: &[u8]) {
    let Some((&seed, bytes)) = bytes.split_first() else { return };
    if seed & 1 == 0 {
        let text = String::from_utf8_lossy(bytes);
        let _ = PageLayout::decode(&text, &text);
        if let Ok(format) = Format::decode(&text) {
            let _ = Schema::new(&format);
        }
        return;
    }
    let Some((layout, schemas)) = &*LAYOUTS else { return };
    let schema = &schemas[usize::from(seed & 4 == 0)];
    let want = Want { events: EventSet::ALL, env: EnvWanted::All, ..Want::default() };
    let mut pipeline = Pipeline::new(SourceId::Tracefs, &want, Box::new(NoNames), 4096);
    let mut tracker = Tracker::new(Settings::new(&want, true, seed & 2 == 0, false));
    let (mut assembler, mut settling) = (Assembler::default(), Settling::default());
    let mut proc = AnyProc(u64::from(seed));
    for page in bytes.chunks(256) {
        let mut raws = Vec::new();
        let missed = layout.records(page, |ns, record| raws.extend(schema.decode(ns, record).ok().flatten()));
        if missed.is_ok_and(|missed| missed.before) {
            assembler.doubt();
            tracker.doubt();
        }
        raws.sort_by_key(|raw| raw.ns);
        assembler.take(raws, &mut proc, &mut |mono_ns, processor, what| {
            settling.push(Report { mono_ns, processor, what, look: None })
        });
        for told in settling.give(u64::MAX) {
            let _ = tracker.feed(told, &mut proc, &mut |record: &Record<'_>| {
                let _ = pipeline.feed(record);
                ControlFlow::Continue(())
            });
        }
    }
}

struct Root;

impl Names for Root {
    fn renew(&mut self) -> bool {
        false
    }

    fn user(&mut self, _: u32) -> Option<Arc<str>> {
        Some("root".into())
    }

    fn group(&mut self, _: u32) -> Option<Arc<str>> {
        Some("root".into())
    }
}

/// Passes the records of a ring, one after the other, to the sink as a monitor does.
#[cfg(feature = "ebpf")]
#[inline(never)]
pub fn replay_ebpf(mut bytes: &[u8], sink: &mut dyn Sink) {
    use crate::source::ebpf::decode::decode;

    let want = Want { events: EventSet::ALL, ..Want::default() };
    let pipeline = Pipeline::new(SourceId::Ebpf, &want, Box::new(Root), 4096);
    let mut out = Outlet::new(pipeline, sink);
    while let Some(size) = bytes.first_chunk().map(|size| u32::from_ne_bytes(*size) as usize) {
        let (record, rest) = bytes.split_at(size.clamp(1, bytes.len()));
        match decode(record) {
            Ok(record) => _ = out.push(&record),
            Err(_) => out.count_malformed(),
        }
        bytes = rest;
    }
    let _ = out.finish(0, None);
}

/// A process of a made-up storm.
#[derive(Clone, Copy, Debug)]
pub struct Life<'a> {
    /// Its pid.
    pub pid: u32,
    /// When it started, ns since boot.
    pub start_ns: u64,
    /// The path of the file that it executes, absolute.
    pub path: &'a [u8],
    /// Its arguments, each with its NUL.
    pub argv: &'a [u8],
    /// How it ended, as `wait(2)` reports it.
    pub wait_status: u32,
}

#[cfg(feature = "ebpf")]
impl Life<'_> {
    /// Appends the records of its fork, its exec and its exit, as the programs send them.
    pub fn push_ebpf(&self, out: &mut Vec<u8>) {
        use zerocopy::{FromZeros, IntoBytes};

        use crate::source::ebpf::wire::{self, kind};

        const PARENT: u32 = 4711;
        const SPAWNER: [u8; 16] = *b"spawner\0\0\0\0\0\0\0\0\0";
        let header = |kind, size: usize, after_ns| {
            let mut header = wire::Header::new_zeroed();
            (header.kind, header.size) = (kind, size as u32);
            (header.tgid, header.tid, header.start_ns) = (self.pid, self.pid, self.start_ns);
            header.boot_ns = self.start_ns + after_ns;
            header
        };
        let name = self.path.rsplit(|&b| b == b'/').next().unwrap_or_default();
        let mut process = wire::Process::new_zeroed();
        (process.ppid, process.parent_start_ns, process.parent_comm) = (PARENT, 1_000_000_000, SPAWNER);
        (process.sid, process.pgid, process.ns_tgid) = (PARENT, PARENT, self.pid);
        process.cgroup_id = 1;
        [process.ns_mnt, process.ns_net, process.ns_uts, process.ns_ipc] =
            [4026531832, 4026531833, 4026531838, 4026531839];
        (process.loginuid, process.audit_session) = (1000, 2);
        [process.ns_pid, process.ns_user, process.ns_cgroup, process.ns_time] =
            [4026531836, 4026531837, 4026531835, 4026531834];
        process.comm = SPAWNER;

        let mut fork = wire::Fork::new_zeroed();
        fork.header = header(kind::FORK, size_of_val(&fork), 0);
        fork.process = process;
        (fork.creator.tgid, fork.creator.tid, fork.creator.start_ns) = (PARENT, PARENT, 1_000_000_000);
        (fork.creator.comm, fork.clone_flags, fork.syscall) = (SPAWNER, 0x4100, 56);
        out.extend_from_slice(fork.as_bytes());

        process.comm = [0; 16];
        process.comm.iter_mut().take(15).zip(name).for_each(|(to, from)| *to = *from);
        let mut exec = wire::Exec::new_zeroed();
        let names_up = |path: &[u8]| {
            let names = path.rsplit(|&b| b == b'/').filter(|name| !name.is_empty());
            names.flat_map(|name| name.iter().chain(&[0])).copied().collect::<Vec<_>>()
        };
        let (exe, cwd) = (names_up(self.path), names_up(b"/home/user/project"));
        exec.header =
            header(kind::EXEC, size_of_val(&exec) + self.path.len() + exe.len() + cwd.len() + self.argv.len(), 80_000);
        exec.process = process;
        (exec.old_comm, exec.old_tid) = (SPAWNER, self.pid);
        exec.has_cwd = 1;
        (exec.path_len, exec.exe_len, exec.cwd_len) = (self.path.len() as u16, exe.len() as u16, cwd.len() as u16);
        (exec.argv_len, exec.argv_inline) = (self.argv.len() as u32, self.argv.len() as u32);
        [exec.as_bytes(), self.path, &exe, &cwd, self.argv].iter().for_each(|part| out.extend_from_slice(part));

        let mut exit = wire::Exit::new_zeroed();
        exit.header = header(kind::EXIT, size_of_val(&exit), 190_000);
        exit.process = process;
        exit.wait_status = self.wait_status;
        if self.wait_status & 0x7f != 0 {
            (exit.killer.tgid, exit.killer.tid, exit.killer.start_ns) = (self.pid, self.pid, self.start_ns);
            (exit.killer.comm, exit.killer_how) = (process.comm, wire::killer::KNOWN);
        }
        (exit.runtime_ns, exit.maxrss_pages, exit.min_flt) = (123_456, 140, 160);
        out.extend_from_slice(exit.as_bytes());
    }
}

/// Appends the record of the cgroup that every [`Life`] is in.
#[cfg(feature = "ebpf")]
pub fn push_ebpf_cgroup(out: &mut Vec<u8>) {
    use zerocopy::{FromZeros, IntoBytes};

    use crate::source::ebpf::wire::{self, kind};

    const NAMES: &[u8] = b"session-2.scope\0user-0.slice\0user.slice\0";
    let mut cgroup = wire::Cgroup::new_zeroed();
    (cgroup.id, cgroup.len) = (1, NAMES.len() as u32);
    (cgroup.header.kind, cgroup.header.size) = (kind::CGROUP, (size_of_val(&cgroup) + NAMES.len()) as u32);
    out.extend_from_slice(cgroup.as_bytes());
    out.extend_from_slice(NAMES);
}

/// The container and the unit in a cgroup's path.
pub fn cgroup_identity(path: &str) -> (Option<&str>, Option<&str>) {
    crate::pipeline::cgroup_identity(path)
}

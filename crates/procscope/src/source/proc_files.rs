use std::ffi::CStr;
use std::time::{Duration, Instant};

use rustix::thread::CapabilitySet;

use crate::proc::pid::{Stat, Status, decode_cgroup, decode_id};
use crate::record::comm_of;
use crate::record::{LoginRecord, UNKNOWN_ID};
use crate::source::look::{Depth, Exe, Look, Proc, StatSeen, StatusSeen};
use crate::sys::{self, ProcDir};
use crate::{ExeTraits, Pid, StartTime};

/// The /proc of this system.
pub(crate) struct ProcFiles;

/// The kernel's addition to the name of a file that has none any more (`d_path` in `fs/d_path.c`).
const DELETED: &[u8] = b" (deleted)";

fn seen(stat: &Stat) -> StatSeen {
    StatSeen {
        start: stat.start,
        arg_start: stat.arg_start,
        comm: comm_of(&stat.comm),
        ppid: stat.ppid,
        pgid: stat.pgid,
        sid: stat.sid,
        tty: stat.tty(),
        kthread: stat.is_kthread(),
        ended: stat.has_ended(),
        ending: stat.is_ending(),
    }
}

fn read_exe(dir: &ProcDir) -> Option<Exe> {
    let mut path = dir.link(c"exe")?;
    // For a file that is gone by now it is unknown whether the mark is part of the name.
    let (named, mode) = dir.named_and_mode(c"exe")?;
    let bits = [(0o4000, ExeTraits::SETUID), (0o2000, ExeTraits::SETGID)];
    let mut traits: ExeTraits = bits.into_iter().filter(|(bit, _)| mode & bit != 0).map(|(_, of)| of).collect();
    if !named && path.ends_with(DELETED) {
        path.truncate(path.len() - DELETED.len());
        // A file that exists only in memory never had a name.
        if path.starts_with(b"/memfd:") {
            traits.insert(ExeTraits::MEMFD);
        }
        traits.insert(ExeTraits::DELETED);
    }
    Some(Exe { path, traits })
}

fn read_cwd(dir: &ProcDir) -> Option<(Vec<u8>, bool)> {
    let mut path = dir.link(c"cwd")?;
    let deleted = path.ends_with(DELETED) && !dir.named_and_mode(c"cwd")?.0;
    if deleted {
        path.truncate(path.len() - DELETED.len());
    }
    Some((path, deleted))
}

fn status_seen(status: &Status) -> StatusSeen {
    StatusSeen { uids: status.uids, gids: status.gids, ns_pid: status.ns_pid, threads: status.threads }
}

/// The login, if there was one and the kernel keeps it.
fn read_login(dir: &ProcDir) -> LoginRecord {
    let id = |name: &CStr| decode_id(&dir.read(name)?);
    match id(c"loginuid").filter(|&uid| uid != UNKNOWN_ID) {
        None => LoginRecord::default(),
        Some(uid) => LoginRecord { uid, session: id(c"sessionid").unwrap_or(UNKNOWN_ID) },
    }
}

fn read_status(dir: &ProcDir) -> Option<StatusSeen> {
    dir.status().as_ref().map(status_seen)
}

/// The cgroup, as far as it is known: for an ending process an old hierarchy's is shown as the root
/// (`proc_cgroup_show` in `kernel/cgroup/cgroup.c`).
fn read_cgroup(dir: &ProcDir) -> Option<Vec<u8>> {
    let path = dir.read(c"cgroup").and_then(|file| decode_cgroup(&file))?;
    let holds = path != b"/" || dir.stat().is_some_and(|stat| !stat.is_ending() || stat.is_kthread());
    holds.then_some(path)
}

/// Reads a thread's files of the process. The arguments come first, because they disappear first.
fn look_through(dir: &ProcDir, depth: Depth) -> Look {
    // No process runs without arguments (Linux 5.18): the memory of an ending one is gone.
    let argv = dir.read_list(c"cmdline").filter(|argv| !argv.is_empty());
    let mut look = Look { argv, exe: read_exe(dir), ..Look::default() };
    look.cwd = read_cwd(dir);
    look.status = read_status(dir);
    look.login = read_login(dir);
    look.cgroup = read_cgroup(dir);
    if depth == Depth::Env {
        look.env = dir.environment();
    }
    look
}

/// Reads an existing process.
fn look_at(dir: &ProcDir, pid: Pid, depth: Depth) -> Look {
    let mut look = look_through(dir, depth);
    let stat = dir.stat();
    look.stat = stat.as_ref().map(seen);
    if stat.is_some_and(|stat| stat.has_lost_leader())
        && let Some(thread) = dir.living_thread()
    {
        let stat = look.stat;
        look = Look { stat, ..look_through(&thread, depth) };
        let ending = thread.stat().is_none_or(|stat| stat.is_ending());
        look.stat.iter_mut().for_each(|stat| stat.ending = ending);
    }
    if look.status.is_some_and(|status| status.threads > 1) {
        look.threads = sys::list_threads(pid).into_iter().filter(|&tid| tid != pid).collect();
    }
    look.read_ns = sys::now_mono_ns();
    look
}

/// The values read from a process between two readings of its stat, of which this is the first, and
/// the size of its code.
pub(crate) fn look_between(dir: &ProcDir, first: &Stat, depth: Depth) -> (Look, u64) {
    let thread = first.has_lost_leader().then(|| dir.living_thread()).flatten();
    let dir = thread.as_ref().unwrap_or(dir);
    let argv = dir.read_list(c"cmdline").filter(|argv| !argv.is_empty());
    let mut look = Look { argv, brief: depth == Depth::Brief, ..Look::default() };
    if look.brief {
        return (look, 0);
    }
    let status = dir.status();
    look.exe = read_exe(dir);
    look.cwd = read_cwd(dir);
    look.cgroup = read_cgroup(dir);
    if depth == Depth::Env {
        look.env = dir.environment();
    }
    look.status = status.as_ref().map(status_seen);
    look.login = read_login(dir);
    (look, status.map_or(0, |status| status.code_kib))
}

impl ProcFiles {
    /// `None` if there is no such process.
    pub(crate) fn stat(&self, pid: Pid) -> Option<StatSeen> {
        ProcDir::open(pid)?.stat().as_ref().map(seen)
    }
}

impl ProcFiles {
    /// Values that change without an exec, read from a thread that is held still.
    pub(crate) fn look_at_held(&self, tid: Pid) -> Look {
        let Some(dir) = ProcDir::open(tid) else { return Look::default() };
        let mut look = Look { status: read_status(&dir), login: read_login(&dir), ..Look::default() };
        look.cgroup = dir.read(c"cgroup").and_then(|file| decode_cgroup(&file));
        // Last: a process that had not begun to end by then was in its own cgroup and no other.
        look.stat = dir.stat().as_ref().map(seen);
        if look.stat.is_none_or(|stat| stat.ending) {
            look.cgroup = None;
        }
        look
    }

    /// Whether the process of this pid and start has ended with all its threads.
    pub(crate) fn is_over(&self, pid: Pid, start: Option<StartTime>) -> bool {
        let stat = ProcDir::open(pid).and_then(|dir| dir.stat());
        stat.is_none_or(|stat| {
            // A start that was worked out may be a tick off.
            let another = start.is_some_and(|start| start.0.abs_diff(stat.start.0) > 1);
            another || stat.has_ended() && stat.threads <= 1
        })
    }
}

impl Proc for ProcFiles {
    fn look(&mut self, pid: Pid, depth: Depth) -> Option<Look> {
        if depth == Depth::Brief {
            let argv = sys::read_argv_now(pid)?;
            let argv = (!argv.is_empty()).then_some(argv);
            return Some(Look { argv, brief: true, read_ns: sys::now_mono_ns(), ..Look::default() });
        }
        ProcDir::open(pid).map(|dir| look_at(&dir, pid, depth))
    }

    fn start(&mut self, pid: Pid) -> Option<StartTime> {
        ProcDir::open(pid)?.stat().map(|stat| stat.start)
    }

    fn wait_status(&mut self, pid: Pid, start: StartTime) -> Option<u32> {
        let stat = ProcDir::open(pid)?.stat()?;
        let this = stat.start.0.abs_diff(start.0) <= 1 && stat.has_ended() && stat.threads <= 1;
        // Older kernels show only the first thread's (`do_task_stat`, `fs/proc/array.c`). A caller
        // without the right sees 0.
        let told = sys::kernel_version() >= (6, 6)
            && (stat.wait_status != 0 || sys::has_capabilities(CapabilitySet::SYS_PTRACE));
        (this && told).then_some(stat.wait_status)
    }
}

/// All living processes.
pub(crate) fn look_at_all(depth: Depth) -> Vec<(Pid, Look)> {
    let all = sys::list_processes().into_iter();
    all.filter_map(|pid| Some((pid, ProcFiles.look(pid, depth)?))).filter(|(_, look)| look.stat.is_some()).collect()
}

/// This many processes are read completely in a window; of those that come faster only the
/// arguments are read.
const THOROUGH: u32 = 40;
const WINDOW: Duration = Duration::from_millis(100);

/// How completely to read the next process.
pub(crate) struct Pace {
    env: bool,
    window: Instant,
    looked: u32,
}

impl Pace {
    pub(crate) fn new(env: bool) -> Self {
        Self { env, window: Instant::now(), looked: 0 }
    }

    pub(crate) fn depth(&mut self) -> Depth {
        if self.env {
            return Depth::Env;
        }
        if self.window.elapsed() > WINDOW {
            self.window = Instant::now();
            self.looked = 0;
        }
        self.looked += 1;
        if self.looked > THOROUGH { Depth::Brief } else { Depth::Full }
    }
}

/// Looks use at most this part of a CPU, roughly a tenth: a monitor must not be the load that it is
/// to show. In a storm the rest stays unnamed.
const BUDGET: Duration = Duration::from_micros(900);
const BUDGET_WINDOW: Duration = Duration::from_millis(10);

/// How much of a CPU a looking thread may use.
pub(crate) struct Budget {
    began: Instant,
    used_before: Duration,
}

impl Budget {
    /// The calling thread's.
    pub(crate) fn new() -> Self {
        Self { began: Instant::now(), used_before: sys::thread_cpu_time() }
    }

    /// How long to rest if it is used up.
    pub(crate) fn spent(&mut self) -> Option<Duration> {
        if self.began.elapsed() >= BUDGET_WINDOW {
            *self = Self::new();
            return None;
        }
        let spent = sys::thread_cpu_time().saturating_sub(self.used_before) > BUDGET;
        spent.then(|| BUDGET_WINDOW.saturating_sub(self.began.elapsed()))
    }
}

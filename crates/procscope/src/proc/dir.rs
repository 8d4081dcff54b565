//! The directories of processes.

use std::ffi::CStr;
use std::fs::File;
use std::io::Read;
use std::os::fd::OwnedFd;

use rustix::fs::{Dir, Mode, OFlags, openat};

use super::pid::{Stat, Status, decode_handled, decode_id, decode_ids};
use super::timens;
use crate::{Pid, StartTime};

/// Reads the stat of a process, with its start by the kernel's own clock.
fn decode_stat(stat: &[u8]) -> Option<Stat> {
    let mut stat = Stat::decode(stat)?;
    stat.start = timens::offsets().start(stat.start);
    Some(stat)
}

/// Whether the start that was read of a process is this one.
pub(crate) fn is_start(read: StartTime, start: StartTime) -> bool {
    read == start || read.0 + 1 == start.0 && timens::offsets().blurs(read)
}

/// A process as /proc shows it.
#[derive(Clone, Debug)]
pub(crate) struct ReadProcess {
    pub(crate) pid: Pid,
    pub(crate) stat: Stat,
    /// Real and effective.
    pub(crate) uids: [u32; 2],
    pub(crate) gids: [u32; 2],
    /// `loginuid` and `sessionid`.
    pub(crate) login: [Option<u32>; 2],
    pub(crate) exe: Option<Vec<u8>>,
    pub(crate) cwd: Option<Vec<u8>>,
}

/// The pids under /proc.
pub(crate) fn list_processes() -> Vec<Pid> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}

/// Reads a process from /proc; `None` if it is gone.
pub(crate) fn read_process(pid: Pid) -> Option<ReadProcess> {
    let dir = ProcDir::open(pid)?;
    let stat = dir.stat()?;
    let dir = dir.living(&stat)?;
    let status = dir.read(c"status")?;
    let status = String::from_utf8_lossy(&status);
    Some(ReadProcess {
        pid,
        stat,
        uids: decode_ids(&status, "Uid:")?,
        gids: decode_ids(&status, "Gid:")?,
        login: [c"loginuid", c"sessionid"].map(|name| decode_id(&dir.read(name)?)),
        exe: dir.link(c"exe"),
        cwd: dir.link(c"cwd"),
    })
}

/// The directory of one process: once opened it never becomes another one's.
pub(crate) struct ProcDir(OwnedFd);

impl ProcDir {
    pub(crate) fn open(pid: Pid) -> Option<Self> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        openat(rustix::fs::CWD, format!("/proc/{pid}"), flags, Mode::empty()).ok().map(Self)
    }

    /// The directory of a living thread other than the first: once that one has ended, its own
    /// files are empty or outdated.
    pub(crate) fn living_thread(&self) -> Option<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let tasks = openat(&self.0, c"task", flags, Mode::empty()).ok()?;
        let names = Dir::new(tasks).ok()?.filter_map(|entry| Some(entry.ok()?.file_name().to_owned()));
        names.filter(|name| name.to_bytes() != b"." && name.to_bytes() != b"..").find_map(|name| {
            let path = [b"task/", name.to_bytes()].concat();
            let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
            let thread = openat(&self.0, &path[..], flags, Mode::empty()).ok().map(Self)?;
            thread.stat().filter(|stat| !stat.is_ending()).map(|_| thread)
        })
    }

    /// Where to read the files of a process with this stat.
    fn living(self, stat: &Stat) -> Option<Self> {
        if stat.has_lost_leader() { self.living_thread() } else { Some(self) }
    }

    fn read_most(&self, name: &CStr, most: usize) -> Option<Vec<u8>> {
        let file = openat(&self.0, name, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).ok()?;
        let mut bytes = Vec::with_capacity(ONE_READ);
        while bytes.len() < most {
            // A file shorter than the room is whole: /proc fills a read as far as it can.
            let room = bytes.capacity() - bytes.len();
            let read = rustix::io::read(&file, rustix::buffer::spare_capacity(&mut bytes)).ok()?;
            if read < room {
                return Some(bytes);
            }
            bytes.reserve(bytes.len());
        }
        Some(bytes)
    }

    /// A small file; `None` if the process is gone or the file may not be read.
    pub(crate) fn read(&self, name: &CStr) -> Option<Vec<u8>> {
        self.read_most(name, 1 << 16)
    }

    /// A file to be read more than once.
    pub(crate) fn open_file(&self, name: &CStr) -> Option<ProcFile> {
        openat(&self.0, name, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).ok().map(ProcFile)
    }

    /// Arguments or environment.
    pub(crate) fn read_list(&self, name: &CStr) -> Option<Vec<u8>> {
        let mut list = self.read_most(name, LONGEST_LIST as usize)?;
        if list.len() < ONE_READ {
            return Some(list);
        }
        // It was read with room for twice as much.
        list.shrink_to_fit();
        let file = openat(&self.0, name, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).ok()?;
        has_memory(&file).then_some(list)
    }

    /// The environment. The kernel also shows none for a process that has no memory any more, or a
    /// new one that is not yet complete (`environ_read` in `fs/proc/base.c`): then there are no
    /// arguments either.
    pub(crate) fn environment(&self) -> Option<Vec<u8>> {
        let is_whole = || self.read_list(c"cmdline").is_some_and(|argv| !argv.is_empty());
        let first = self.read_list(c"environ")?;
        if !first.is_empty() {
            return Some(first);
        }
        let second = is_whole().then(|| self.read_list(c"environ")).flatten()?;
        (!second.is_empty() || is_whole()).then_some(second)
    }

    pub(crate) fn stat(&self) -> Option<Stat> {
        decode_stat(&self.read(c"stat")?)
    }

    pub(crate) fn status(&self) -> Option<Status> {
        Status::decode(&String::from_utf8_lossy(&self.read(c"status")?))
    }

    pub(crate) fn link(&self, name: &CStr) -> Option<Vec<u8>> {
        rustix::fs::readlinkat(&self.0, name, Vec::new()).ok().map(|path| path.into_bytes())
    }

    /// Why a link may not be read.
    pub(crate) fn link_error(&self, name: &CStr) -> Option<rustix::io::Errno> {
        rustix::fs::readlinkat(&self.0, name, Vec::new()).err()
    }

    /// For the file of a link: whether it has a name left, and its mode.
    pub(crate) fn named_and_mode(&self, name: &CStr) -> Option<(bool, u32)> {
        let stat = rustix::fs::statat(&self.0, name, rustix::fs::AtFlags::empty()).ok()?;
        Some((stat.st_nlink != 0, stat.st_mode))
    }
}

/// The process of a thread; `None` if there is none any more.
pub(crate) fn process_of(tid: Pid) -> Option<Pid> {
    let status = ProcDir::open(tid)?.read(c"status")?;
    let status = String::from_utf8_lossy(&status);
    status.lines().find_map(|line| line.strip_prefix("Tgid:"))?.trim().parse().ok()
}

/// The name of the process that has this pid now: `/proc/PID/comm`.
pub(crate) fn read_comm(pid: Pid) -> Option<Vec<u8>> {
    let mut name = std::fs::read(format!("/proc/{pid}/comm")).ok()?;
    if name.last() == Some(&b'\n') {
        name.pop();
    }
    Some(name)
}

/// Whether a thread catches or ignores a signal, so that it does not end by it.
pub(crate) fn handles_signal(tid: Pid, signo: i32) -> bool {
    let status = ProcDir::open(tid).and_then(|dir| dir.read(c"status")).unwrap_or_default();
    decode_handled(&String::from_utf8_lossy(&status), signo)
}

/// A small file in the directory of a process, which can be read again.
pub(crate) struct ProcFile(OwnedFd);

impl ProcFile {
    pub(crate) fn stat(&self) -> Option<Stat> {
        let mut bytes = [0; ONE_READ];
        let len = rustix::io::pread(&self.0, &mut bytes, 0).ok()?;
        decode_stat(&bytes[..len])
    }
}

/// When the living process with this pid was started.
pub(crate) fn start_of(pid: Pid) -> Option<StartTime> {
    ProcDir::open(pid)?.stat().filter(|stat| !stat.has_ended() || stat.has_lost_leader()).map(|stat| stat.start)
}

/// This much of a file is requested at first.
const ONE_READ: usize = 4096;

/// Whether the process still has the memory from which a list was read. If it ended between two
/// reads, the list seems to end there.
fn has_memory(list: &OwnedFd) -> bool {
    rustix::io::pread(list, &mut [0u8; 1], 0) == Ok(1)
}

/// `/proc/PID/cmdline` of the process that has this pid now.
pub(crate) fn read_argv_now(pid: Pid) -> Option<Vec<u8>> {
    let file = openat(rustix::fs::CWD, format!("/proc/{pid}/cmdline"), OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
        .ok()?;
    let mut bytes = [0; ONE_READ];
    let len = rustix::io::read(&file, &mut bytes).ok()?;
    let mut list = bytes[..len].to_vec();
    if len == bytes.len() {
        let file = File::from(file);
        (&file).take(LONGEST_LIST).read_to_end(&mut list).ok()?;
        return has_memory(&file.into()).then_some(list);
    }
    Some(list)
}

/// The threads of a process.
pub(crate) fn list_threads(pid: Pid) -> Vec<Pid> {
    let entries = std::fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}

/// The longest list that an exec accepts: three quarters of 8 MiB (`fs/exec.c`).
const LONGEST_LIST: u64 = 6 << 20;

/// How long a process in the middle of an exec may need until its new lists are in place.
const IN_PLACE: std::time::Duration = std::time::Duration::from_millis(1);

/// `/proc/PID/cmdline` of the process with this start; `None` if it is gone.
pub(crate) fn read_argv(pid: Pid, start: StartTime) -> Option<Vec<u8>> {
    let dir = ProcDir::open(pid)?;
    let stat = dir.stat().filter(|stat| is_start(stat.start, start))?;
    let dir = dir.living(&stat)?;
    let list = dir.read_list(c"cmdline")?;
    if list.is_empty() && !stat.is_ending() && !stat.is_kthread() {
        std::thread::sleep(IN_PLACE);
        return dir.read_list(c"cmdline");
    }
    Some(list)
}

/// `/proc/PID/environ`, likewise.
pub(crate) fn read_environment(pid: Pid, start: StartTime) -> Option<Vec<u8>> {
    let dir = ProcDir::open(pid)?;
    let stat = dir.stat().filter(|stat| is_start(stat.start, start))?;
    if stat.is_kthread() {
        return Some(Vec::new());
    }
    let dir = dir.living(&stat)?;
    let list = dir.environment();
    if list.is_none() && !stat.is_ending() {
        std::thread::sleep(IN_PLACE);
        return dir.environment();
    }
    list
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_process() {
        let pid = std::process::id();
        let own = read_process(pid).unwrap();
        assert_eq!(own.exe.as_deref(), Some(std::env::current_exe().unwrap().as_os_str().as_encoded_bytes()));
        assert_eq!(own.stat.ppid, std::os::unix::process::parent_id());
        assert!(list_processes().contains(&pid));
        let start = own.stat.start;
        assert_eq!(read_argv(pid, start).unwrap(), std::fs::read("/proc/self/cmdline").unwrap());
        assert_eq!(read_argv(pid, StartTime(start.0 + 1)), None);
    }
}

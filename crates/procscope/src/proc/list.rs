//! Which pids there are: those given out since a while ago, and those that /proc lists.

use std::io;
use std::mem::MaybeUninit;
use std::ops::RangeInclusive;
use std::os::fd::OwnedFd;

use rustix::fs::{Mode, OFlags, RawDir};

use super::pids::{decode_hidepid, decode_last_pid, decode_pid, pids_between, place_of_pids};
use crate::Pid;

/// A list of all of /proc needs a few of these.
const LIST_BYTES: usize = 64 << 10;

/// Shows which pid was given out last.
pub(crate) struct Mark(OwnedFd);

impl Mark {
    /// `None` if it does not show a new thread at once: gVisor's is empty, that of LXCFS is late.
    pub(crate) fn open() -> Option<Self> {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        let mark = Self(rustix::fs::open("/proc/loadavg", flags, Mode::empty()).ok()?);
        for _ in 0..2 {
            let before = mark.read()?;
            let thread = std::thread::Builder::new().spawn(rustix::thread::gettid).ok()?;
            let tid = thread.join().ok()?.as_raw_nonzero().get().unsigned_abs();
            let after = mark.read()?;
            let told = pids_between(before, after, Pid::MAX).into_iter().any(|range| range.contains(&tid));
            if !told {
                return None;
            }
        }
        Some(mark)
    }

    pub(crate) fn read(&self) -> Option<Pid> {
        let mut line = [0; 128];
        let len = rustix::io::pread(&self.0, &mut line, 0).ok()?;
        decode_last_pid(&line[..len])
    }
}

/// /proc as a list.
pub(crate) struct List {
    dir: OwnedFd,
    buffer: Vec<MaybeUninit<u8>>,
    /// The place of a pid in it, less the pid.
    place: Option<u64>,
}

impl List {
    pub(crate) fn open() -> io::Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let dir = rustix::fs::open("/proc", flags, Mode::empty())?;
        let mut list = Self { dir, buffer: vec![MaybeUninit::uninit(); LIST_BYTES], place: None };
        let mut entries = Vec::new();
        list.read(0, |pid, place| {
            entries.push((pid, place));
            true
        })?;
        list.place = place_of_pids(&entries);
        Ok(list)
    }

    /// Lists pids from this place on, each with the place after it, while they are wanted.
    pub(crate) fn read(&mut self, from: u64, mut take: impl FnMut(Pid, u64) -> bool) -> io::Result<()> {
        rustix::fs::seek(&self.dir, rustix::fs::SeekFrom::Start(from))?;
        let mut entries = RawDir::new(&self.dir, &mut self.buffer);
        while let Some(entry) = entries.next() {
            let entry = entry?;
            if let Some(pid) = decode_pid(entry.file_name().to_bytes())
                && !take(pid, entry.next_entry_cookie())
            {
                break;
            }
        }
        Ok(())
    }

    pub(crate) fn all(&mut self) -> io::Result<Vec<Pid>> {
        let mut pids = Vec::new();
        self.read(0, |pid, _| {
            pids.push(pid);
            true
        })?;
        Ok(pids)
    }

    /// Those in these ranges, and if the last range reaches the newest pid, those beyond it too.
    pub(crate) fn within(&mut self, ranges: &[RangeInclusive<Pid>]) -> io::Result<Vec<Pid>> {
        let Some(offset) = self.place else {
            return self.all();
        };
        let mut pids = Vec::new();
        for range in ranges {
            let last = range.end().saturating_add(BEYOND);
            self.read(offset.saturating_add(u64::from(*range.start())), |pid, _| {
                if pid <= last {
                    pids.push(pid);
                }
                pid <= last
            })?;
        }
        Ok(pids)
    }
}

/// Processes that came since the mark was read are after it.
const BEYOND: Pid = 256;

pub(crate) fn most_pid() -> Pid {
    let read = std::fs::read_to_string("/proc/sys/kernel/pid_max").ok();
    read.and_then(|most| most.trim().parse::<Pid>().ok()).map_or(Pid::MAX >> 1, |most| most.saturating_sub(1))
}

/// Whether /proc is mounted so that it hides other users' processes.
pub(crate) fn hides_processes() -> bool {
    std::fs::read("/proc/self/mountinfo").is_ok_and(|mounts| decode_hidepid(&mounts))
}

//! Many short-lived processes at full speed, from several spawners.

use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::ptr;

use procscope_model::{ExitStatus, signal_name};

use crate::plan::{End, NAMES, Spawn};
use crate::proc_files;
use crate::raw;
use crate::tiny::{Bin, c_path, comm};
use crate::truth::{Bytes, Exec, Exit, Fork, Killer, Life, Line, Planned, Run, Usage};
use crate::{clock, plan};

/// The flags of `posix_spawn(3)`.
const SPAWN_FLAGS: i32 = libc::CLONE_VM | libc::CLONE_VFORK;

/// The settings of a storm.
#[derive(Clone, Copy, Debug)]
pub struct Storm {
    /// How many processes in all.
    pub count: u32,
    /// How many spawners.
    pub spawners: u32,
    /// The seed of the arguments.
    pub seed: u64,
    /// Leaves the arguments out of the truth; they can be made again from the seed.
    pub compact: bool,
    /// How many pages of fresh memory each process touches, as a larger program does when it starts.
    pub pages: u32,
}

/// A spawner's notes on each process while the storm lasts.
#[derive(Clone, Copy, Default)]
#[repr(C)]
struct Note {
    before_ns: u64,
    begun_ns: u64,
    ended_ns: u64,
    user_us: u64,
    system_us: u64,
    max_rss_kib: u64,
    nvcsw: u64,
    nivcsw: u64,
    pid: u32,
    status: u32,
}

const NOTE_BYTES: usize = size_of::<Note>();

struct Spawner {
    pid: u32,
    born_ns: (u64, u64),
    notes: OwnedFd,
}

impl Storm {
    /// Makes the storm and returns the truth.
    ///
    /// # Errors
    /// Those of its system calls.
    ///
    /// # Panics
    /// In the process of a spawner, if a child cannot be made.
    pub fn run(self) -> io::Result<Vec<Line>> {
        let bin = Bin::new()?;
        for name in &NAMES[1..] {
            fs::hard_link(bin.tiny(), bin.path().join(name))?;
        }
        let (gate, opener) = pipe()?;
        let mut spawners = Vec::new();
        for spawner in 0..self.spawners {
            let (notes, teller) = pipe()?;
            let before = clock::boot_ns();
            // SAFETY: this program has one thread, so the child may do anything.
            let pid = unsafe { libc::fork() };
            match pid {
                -1 => return Err(io::Error::last_os_error()),
                0 => {
                    // A holder of a reading end would keep the others from noticing that the parent
                    // is gone.
                    drop((opener, notes, spawners));
                    // SAFETY: a plain system call.
                    unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
                    let told = self.spawn_all(spawner, bin.path(), &gate, teller);
                    // SAFETY: ends the child without destructors that the parent still needs, such
                    // as the directory's removal.
                    unsafe { libc::_exit(i32::from(told.is_err())) }
                }
                _ => spawners.push(Spawner { pid: pid as u32, born_ns: (before, clock::boot_ns()), notes }),
            }
        }
        drop(gate);
        drop(opener);
        let mut lives = Vec::new();
        let (mut first, mut last) = (u64::MAX, 0);
        for (number, spawner) in spawners.iter().enumerate() {
            let mut told = Vec::new();
            File::from(spawner.notes.try_clone()?).read_to_end(&mut told)?;
            let Some((times, notes)) = told.split_at_checked(16) else {
                return Err(io::Error::other("a spawner broke off"));
            };
            first = first.min(u64::from_ne_bytes(times[..8].try_into().expect("8 bytes")));
            last = last.max(u64::from_ne_bytes(times[8..].try_into().expect("8 bytes")));
            lives.extend(self.tell_spawner(spawner)?);
            self.tell(number as u32, spawner, notes, &bin, &mut lives);
        }
        let run = Run {
            what: "storm".into(),
            pid: std::process::id(),
            seed: self.seed,
            wall_s: last.saturating_sub(first) as f64 / 1e9,
            realtime_offset_ns: clock::realtime_offset_ns(),
            free_mib_ns: clock::free_mib_ns()?,
            argv: std::env::args_os().map(|word| word.as_bytes().into()).collect(),
        };
        Ok(std::iter::once(Line::Run(run)).chain(lives).collect())
    }

    /// How many processes a spawner makes.
    fn share(self, spawner: u32) -> u32 {
        self.count / self.spawners + u32::from(spawner < self.count % self.spawners)
    }

    fn spawn_all(self, spawner: u32, dir: &Path, gate: &OwnedFd, teller: OwnedFd) -> io::Result<()> {
        let no_core = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
        // SAFETY: plain system calls.
        unsafe {
            libc::setrlimit(libc::RLIMIT_CORE, &no_core);
            // A parent that ignores it would pass that on.
            libc::signal(libc::SIGPIPE, libc::SIG_DFL);
        }
        let paths = NAMES.map(|name| c_path(&dir.join(name)));
        let share = self.share(spawner);
        let mut notes = vec![Note::default(); share as usize];
        // The pages are there before the storm.
        notes.iter_mut().for_each(|note| note.pid = u32::MAX);
        let mut spawn = Spawn::default();
        let mut argv: Vec<*const u8> = Vec::with_capacity(64);
        let mut env = Vec::with_capacity(16);
        let mut byte = [0];
        // Ends when the parent closes its side, at one moment for all.
        // SAFETY: the buffer holds the one requested byte.
        unsafe { libc::read(gate.as_raw_fd(), byte.as_mut_ptr().cast(), 1) };
        let begun = clock::boot_ns();
        for (index, note) in notes.iter_mut().enumerate() {
            spawn.plan(self.seed, Planned { spawner, index: index as u32 });
            let path = paths[spawn.name].as_ptr().cast::<u8>();
            argv.clear();
            argv.push(path);
            argv.extend(spawn.starts.iter().map(|&start| &raw const spawn.block[start]));
            argv.push(ptr::null());
            env.clear();
            env.extend_from_slice(b"PS=");
            if self.pages > 0 {
                write!(env, "k{}", self.pages)?;
            }
            match spawn.end {
                Some(End::Signal(signo)) => write!(env, "s{signo}\0")?,
                Some(End::Code(code)) => write!(env, "e{code}\0")?,
                None => unreachable!("every plan has an end"),
            }
            let envp = [env.as_ptr(), ptr::null()];
            note.before_ns = clock::boot_ns();
            let flags = (SPAWN_FLAGS | libc::SIGCHLD) as usize;
            // SAFETY: all lists are properly terminated.
            let pid = unsafe { raw::spawn(raw::nr::CLONE, flags, path, argv.as_ptr(), envp.as_ptr()) };
            note.begun_ns = clock::boot_ns();
            assert!(pid > 0, "clone: {}", io::Error::from_raw_os_error(-pid as i32));
            note.pid = pid as u32;
            wait(note)?;
        }
        let ended = clock::boot_ns();
        let mut teller = File::from(teller);
        teller.write_all(&begun.to_ne_bytes())?;
        teller.write_all(&ended.to_ne_bytes())?;
        // SAFETY: the notes are plain numbers without gaps.
        teller.write_all(unsafe { std::slice::from_raw_parts(notes.as_ptr().cast(), notes.len() * NOTE_BYTES) })
    }

    fn tell_spawner(self, spawner: &Spawner) -> io::Result<Option<Line>> {
        let start_ticks = proc_files::stat(spawner.pid)?.start_ticks;
        let mut status = 0;
        // SAFETY: the kernel fills the given memory.
        unsafe { libc::wait4(spawner.pid as i32, &mut status, 0, ptr::null_mut()) };
        let own = proc_files::Sight::of(std::process::id())?;
        let code = match ExitStatus::from_wait_status(status as u32) {
            ExitStatus::Code(0) => 0,
            other => return Err(io::Error::other(format!("a spawner ended with {other:?}"))),
        };
        Ok(Some(Line::Life(Box::new(Life {
            case: "spawner".into(),
            pid: spawner.pid,
            start_ticks: Some(start_ticks),
            born_ns: Some(spawner.born_ns),
            fork: Some(Fork { ppid: std::process::id(), parent_name: Some(own.name.into()), ..Fork::default() }),
            exit: Some(Exit {
                code: Some(code),
                killer: Some(None),
                ppid: Some(std::process::id()),
                ..Exit::default()
            }),
            ..Life::default()
        }))))
    }

    fn tell(self, number: u32, spawner: &Spawner, notes: &[u8], bin: &Bin, lives: &mut Vec<Line>) {
        let own = proc_files::Sight::of(std::process::id()).expect("our own files can be read");
        let mut spawn = Spawn::default();
        for (index, note) in notes.chunks_exact(NOTE_BYTES).enumerate() {
            // SAFETY: the spawner wrote exactly this type.
            let note: Note = unsafe { ptr::read_unaligned(note.as_ptr().cast()) };
            let planned = Planned { spawner: number, index: index as u32 };
            spawn.plan(self.seed, planned);
            let path = bin.path().join(NAMES[spawn.name]);
            let argv = if self.compact { Vec::new() } else { arguments(&path, &spawn) };
            let name = comm(&path);
            let exec = Exec {
                path: Some(path.as_os_str().as_bytes().into()),
                exe: Some(path.as_os_str().as_bytes().into()),
                argv,
                cwd: Some(own.cwd.clone().into()),
                old_name: Some(own.name.clone().into()),
                name: Some(name.clone().into()),
                ids: Some(own.ids),
                sid: Some(own.sid),
                pgid: Some(own.pgid),
                ppid: Some(spawner.pid),
                parent_name: Some(own.name.clone().into()),
                ..Exec::default()
            };
            lives.push(Line::Life(Box::new(Life {
                case: "storm".into(),
                pid: note.pid,
                born_ns: Some((note.before_ns, note.begun_ns)),
                died_ns: Some((note.before_ns, note.ended_ns)),
                fork: Some(Fork {
                    call: Some("clone".into()),
                    flags: Some(SPAWN_FLAGS as u64),
                    ppid: spawner.pid,
                    parent_name: Some(own.name.clone().into()),
                    ns_pid: None,
                }),
                execs: vec![exec],
                exit: Some(exit_of(&note, &name, spawner.pid)),
                planned: self.compact.then_some(planned),
                ..Life::default()
            })));
        }
    }
}

/// The arguments of a storm's process.
pub fn arguments(path: &Path, spawn: &plan::Spawn) -> Vec<Bytes> {
    std::iter::once(path.as_os_str().as_bytes()).chain(spawn.arguments()).map(Bytes::from).collect()
}

fn exit_of(note: &Note, name: &[u8], ppid: u32) -> Exit {
    let usage = Usage {
        user_us: note.user_us,
        system_us: note.system_us,
        max_rss_kib: note.max_rss_kib,
        nvcsw: note.nvcsw,
        nivcsw: note.nivcsw,
        io: None,
    };
    let exit = Exit { ppid: Some(ppid), usage: Some(usage), ..Exit::default() };
    match ExitStatus::from_wait_status(note.status) {
        ExitStatus::Signal { signo, core } => {
            let killer = Killer { pid: note.pid, name: name.into() };
            Exit { signal: Some(signal_name(signo).into()), core, killer: Some(Some(killer)), ..exit }
        }
        ExitStatus::Code(code) => Exit { code: Some(code), killer: Some(None), ..exit },
        _ => exit,
    }
}

fn wait(note: &mut Note) -> io::Result<()> {
    let mut status = 0;
    // SAFETY: the kernel fills the given memory; zeroes are a valid usage.
    let usage = unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        if libc::wait4(note.pid as i32, &mut status, 0, &mut usage) < 0 {
            return Err(io::Error::last_os_error());
        }
        usage
    };
    note.ended_ns = clock::boot_ns();
    note.status = status as u32;
    note.user_us = usage.ru_utime.tv_sec as u64 * 1_000_000 + usage.ru_utime.tv_usec as u64;
    note.system_us = usage.ru_stime.tv_sec as u64 * 1_000_000 + usage.ru_stime.tv_usec as u64;
    note.max_rss_kib = usage.ru_maxrss as u64;
    note.nvcsw = usage.ru_nvcsw as u64;
    note.nivcsw = usage.ru_nivcsw as u64;
    Ok(())
}

/// A pipe that no program inherits: its reading end, then its writing end.
pub(crate) fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    let mut ends = [0; 2];
    // SAFETY: the kernel fills both, and nothing else owns them.
    unsafe {
        if libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC) < 0 {
            return Err(io::Error::last_os_error());
        }
        Ok((OwnedFd::from_raw_fd(ends[0]), OwnedFd::from_raw_fd(ends[1])))
    }
}

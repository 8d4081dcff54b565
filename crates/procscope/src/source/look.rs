//! The result of reading a process in /proc, and its time.

use rustc_hash::FxHashMap;

use crate::record::names_up;
use crate::record::{Body, CgroupKey, Comm, ImageRecord, ListRecord, LoginRecord, NamesUp, Put, Record};
use crate::{ExeTraits, Field, Flaw, Flaws, Pid, StartTime, Tty};

/// How much to read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Depth {
    /// Only the arguments: for a storm, in which every look costs the storm time.
    Brief,
    Full,
    /// All, with the environment.
    Env,
}

/// The program's file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Exe {
    pub(crate) path: Vec<u8>,
    pub(crate) traits: ExeTraits,
}

/// `/proc/PID/stat`, as far as it is needed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct StatSeen {
    pub(crate) start: StartTime,
    /// Distinguishes the images of a process; 0 if it is not known.
    pub(crate) arg_start: u64,
    pub(crate) comm: Comm,
    pub(crate) ppid: Pid,
    pub(crate) pgid: Pid,
    pub(crate) sid: Pid,
    pub(crate) tty: Option<Tty>,
    pub(crate) kthread: bool,
    /// Its first thread has ended.
    pub(crate) ended: bool,
    /// It has begun to end, and has given up some things.
    pub(crate) ending: bool,
}

/// `/proc/PID/status`, as far as it is needed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct StatusSeen {
    /// Real, effective.
    pub(crate) uids: [u32; 2],
    pub(crate) gids: [u32; 2],
    /// The pid in the innermost namespace; 0 if it is not shown.
    pub(crate) ns_pid: Pid,
    pub(crate) threads: u32,
}

/// The values read from one process, however often its pid was used meanwhile.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Look {
    /// CLOCK_MONOTONIC when everything had been read, ns.
    pub(crate) read_ns: u64,
    pub(crate) argv: Option<Vec<u8>>,
    pub(crate) env: Option<Vec<u8>>,
    pub(crate) exe: Option<Exe>,
    pub(crate) cwd: Option<(Vec<u8>, bool)>,
    pub(crate) stat: Option<StatSeen>,
    pub(crate) status: Option<StatusSeen>,
    /// Read with the status.
    pub(crate) login: LoginRecord,
    pub(crate) cgroup: Option<Vec<u8>>,
    /// Its threads except the first; read if it has some.
    pub(crate) threads: Vec<Pid>,
    /// The rest was not requested.
    pub(crate) brief: bool,
}

impl Look {
    /// All its threads have ended, and it was not waited for yet.
    pub(crate) fn is_zombie(&self) -> bool {
        self.stat.is_some_and(|stat| stat.ended) && self.threads.is_empty()
    }
}

/// Reads /proc; a trait so that the tracker can be tried without one.
pub(crate) trait Proc {
    /// `None` if there is no such process.
    fn look(&mut self, pid: Pid, depth: Depth) -> Option<Look>;

    /// When the process that has this pid now was started.
    fn start(&mut self, pid: Pid) -> Option<StartTime>;

    /// How the process with this pid and start ended, as by `wait(2)`, if that is still kept.
    fn wait_status(&mut self, pid: Pid, start: StartTime) -> Option<u32>;
}

/// Strings of an image, which records borrow.
#[derive(Default)]
pub(crate) struct Strings {
    exe: Option<Vec<u8>>,
    traits: ExeTraits,
    cwd: Option<Vec<u8>>,
    cwd_deleted: bool,
    argv: Option<Vec<u8>>,
    env: Option<Vec<u8>>,
}

impl Strings {
    pub(crate) fn of(look: Option<Look>) -> Self {
        let Some(look) = look else { return Self::default() };
        let (cwd, cwd_deleted) = look.cwd.map_or((None, false), |(path, deleted)| (Some(names_up(&path)), deleted));
        let traits = look.exe.as_ref().map(|exe| exe.traits).unwrap_or_default();
        let exe = look.exe.map(|exe| names_up(&exe.path));
        Self { exe, traits, cwd, cwd_deleted, argv: look.argv, env: look.env }
    }

    pub(crate) fn image(&self) -> ImageRecord<'_> {
        fn list(list: &[u8]) -> ListRecord<'_> {
            ListRecord { inline: list, len: list.len() }
        }
        ImageRecord {
            exe: self.exe.as_deref().map(NamesUp),
            exe_traits: self.traits,
            cwd: self.cwd.as_deref().map(NamesUp),
            cwd_deleted: self.cwd_deleted,
            argv: list(self.argv.as_deref().unwrap_or_default()),
            env: self.env.as_deref().map(list),
            ..ImageRecord::default()
        }
    }

    /// Read values are late; others are missing, because they were not read or could not be.
    pub(crate) fn flaws(&self, missing: Flaw, env: bool) -> Flaws {
        let mut flaws = Flaws::new();
        let mut mark = |field, has: bool, missing| flaws.mark(field, if has { Flaw::ReadLate } else { missing });
        let untried = if self.argv.is_some() { missing } else { Flaw::Unreadable };
        mark(Field::Argv, self.argv.is_some(), Flaw::Unreadable);
        mark(Field::Exe, self.exe.is_some(), untried);
        mark(Field::Cwd, self.cwd.is_some(), untried);
        if env {
            mark(Field::Env, self.env.is_some(), untried);
        }
        flaws
    }
}

/// This many cgroups are kept apart; then all are reported again.
const MOST_CGROUPS: usize = 4096;
/// The hierarchy number of the keys made here: no kernel has so many.
const OWN_KEYS: u32 = u32::MAX;

/// Keys for cgroups of which /proc showed only the path.
#[derive(Default)]
pub(crate) struct CgroupKeys {
    keys: FxHashMap<Vec<u8>, CgroupKey>,
    last: u64,
}

impl CgroupKeys {
    /// The key of this path. A new one is reported first.
    pub(crate) fn key(&mut self, path: &[u8], put: &mut Put<'_>) -> CgroupKey {
        if let Some(key) = self.keys.get(path) {
            return *key;
        }
        if self.keys.len() >= MOST_CGROUPS {
            self.keys.clear();
        }
        // Numbers are not reused, so that the holder of an old one never gets another's path.
        self.last += 1;
        let key = CgroupKey { id: self.last, hierarchy: OWN_KEYS };
        self.keys.insert(path.to_vec(), key);
        let names = names_up(path);
        let body = Body::Cgroup { key, names: NamesUp(&names), cut: false };
        let _ = put(&Record { boot_ns: 0, processor: None, body, flaws: Flaws::new(), about: Flaws::new() });
        key
    }
}

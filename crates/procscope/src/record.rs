//! A source's report, in one form for all of them: the pipeline makes true events from it.

#[cfg(test)]
pub(crate) mod samples;

use std::ops::ControlFlow;

use crate::{ExeTraits, Flaws, ForkCall, Namespaces, Pid, ProcessId, StartTime, Tty};

/// A kernel's comm: at most 15 bytes and a NUL.
pub(crate) type Comm = [u8; 16];

/// A comm that the source does not know: the kernel's always end with a NUL.
pub(crate) const UNKNOWN_COMM: Comm = [0xff; 16];

/// A name as the kernel keeps it.
pub(crate) fn comm_of(name: &[u8]) -> Comm {
    let mut comm = Comm::default();
    let len = name.len().min(comm.len() - 1);
    comm[..len].copy_from_slice(&name[..len]);
    comm
}

/// The bytes of a comm up to its NUL, if it is known.
pub(crate) fn comm_bytes(comm: &Comm) -> Option<&[u8]> {
    (*comm != UNKNOWN_COMM).then(|| comm.split(|&b| b == 0).next().unwrap_or_default())
}

/// A path as the kernel's walk gives it: from the leaf to the root, each name with its NUL.
pub(crate) fn names_up(path: &[u8]) -> Vec<u8> {
    let mut names = Vec::with_capacity(path.len() + 1);
    for name in path.rsplit(|&b| b == b'/').filter(|name| !name.is_empty()) {
        names.extend_from_slice(name);
        names.push(0);
    }
    names
}

/// A user, group, session or process group that the source does not know: no such id is ever given
/// (`include/linux/uidgid.h`).
pub(crate) const UNKNOWN_ID: u32 = u32::MAX;
/// A count that the source does not know.
pub(crate) const UNKNOWN_COUNT: u64 = u64::MAX;
/// A start that the source does not know.
pub(crate) const UNKNOWN_START: u64 = u64::MAX;

/// The login, as the kernel's audit keeps it: [`UNKNOWN_ID`] if there was none, and if the source
/// does not know it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct LoginRecord {
    pub(crate) uid: u32,
    pub(crate) session: u32,
}

impl Default for LoginRecord {
    fn default() -> Self {
        Self { uid: UNKNOWN_ID, session: UNKNOWN_ID }
    }
}

fn start_of(start_ns: u64) -> Option<StartTime> {
    (start_ns != UNKNOWN_START).then(|| StartTime::from_boot_ns(start_ns))
}

/// Another process, as a record names it. pid 0 without a start is none.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RefRecord {
    pub(crate) pid: Pid,
    pub(crate) tid: Pid,
    pub(crate) start_ns: u64,
    pub(crate) comm: Comm,
}

impl RefRecord {
    pub(crate) fn id(&self) -> ProcessId {
        ProcessId { pid: self.pid, start: start_of(self.start_ns) }
    }
}

/// No process at all.
pub(crate) const NOBODY: RefRecord = RefRecord { pid: 0, tid: 0, start_ns: UNKNOWN_START, comm: [0; 16] };

/// The process that a record is about, as it was at that moment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Subject {
    pub(crate) pid: Pid,
    pub(crate) tid: Pid,
    pub(crate) start_ns: u64,
    pub(crate) comm: Comm,
    pub(crate) parent: RefRecord,
    pub(crate) ns_pid: Pid,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) euid: u32,
    pub(crate) egid: u32,
    pub(crate) login: LoginRecord,
    pub(crate) sid: Pid,
    pub(crate) pgid: Pid,
    pub(crate) tty: Option<Tty>,
    pub(crate) cgroup: CgroupKey,
    pub(crate) namespaces: Namespaces,
    pub(crate) kthread: bool,
    /// The same in all records of one program; an exec changes it.
    pub(crate) exec_id: Option<u32>,
}

impl Subject {
    pub(crate) fn id(&self) -> ProcessId {
        ProcessId { pid: self.pid, start: start_of(self.start_ns) }
    }
}

/// A cgroup's number, unique for a boot within its hierarchy.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub(crate) struct CgroupKey {
    pub(crate) id: u64,
    pub(crate) hierarchy: u32,
}

/// Path components from the leaf to the root, each with its NUL.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct NamesUp<'a>(pub(crate) &'a [u8]);

impl NamesUp<'_> {
    /// Writes the path from the root: only `/` without a component.
    pub(crate) fn write_path(self, path: &mut Vec<u8>) {
        let names = self.0.strip_suffix(b"\0").unwrap_or(self.0);
        if self.0.is_empty() {
            path.push(b'/');
            return;
        }
        for name in names.rsplit(|&b| b == 0) {
            path.push(b'/');
            path.extend_from_slice(name);
        }
    }
}

/// One record.
#[derive(Clone, Debug)]
pub(crate) struct Record<'a> {
    /// CLOCK_BOOTTIME, ns.
    pub(crate) boot_ns: u64,
    /// The CPU of the event, if the source knows it.
    pub(crate) processor: Option<u32>,
    pub(crate) body: Body<'a>,
    /// The values that the source could not get whole.
    pub(crate) flaws: Flaws,
    /// How far the subject's own fields can be trusted, whatever the event.
    pub(crate) about: Flaws,
}

/// The destination of records.
pub(crate) type Put<'a> = dyn FnMut(&Record<'_>) -> ControlFlow<()> + 'a;

/// The strings of a program's image.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct ImageRecord<'a> {
    pub(crate) path: Option<&'a [u8]>,
    pub(crate) interpreter: Option<&'a [u8]>,
    pub(crate) exe: Option<NamesUp<'a>>,
    pub(crate) exe_traits: ExeTraits,
    pub(crate) cwd: Option<NamesUp<'a>>,
    pub(crate) cwd_deleted: bool,
    pub(crate) argv: ListRecord<'a>,
    pub(crate) env: Option<ListRecord<'a>>,
}

/// A NUL-separated list: here, or in the chunks that came before.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct ListRecord<'a> {
    pub(crate) inline: &'a [u8],
    /// The size of the whole list, bytes.
    pub(crate) len: usize,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum ChunkOf {
    Argv,
    Env,
}

#[derive(Clone, Debug)]
pub(crate) enum Body<'a> {
    Existing {
        subject: Subject,
        image: ImageRecord<'a>,
    },
    Fork {
        subject: Subject,
        thread: bool,
        /// Only for the source.
        unasked: bool,
        call: Option<ForkCall>,
        flags: Option<u64>,
        /// If the source does not know it, the process is taken for a copy of the parent.
        creator: Option<RefRecord>,
        /// The values read from the process itself, in place of its creator's.
        image: Option<ImageRecord<'a>>,
    },
    Exec {
        subject: Subject,
        old_comm: Option<Comm>,
        old_tid: Option<Pid>,
        image: ImageRecord<'a>,
    },
    ExecFailed {
        subject: Subject,
        errno: u32,
        dirfd: Option<i32>,
        path: Option<&'a [u8]>,
        argv: &'a [u8],
    },
    Exit {
        subject: Subject,
        exit: ExitRecord,
    },
    ThreadExit {
        subject: Subject,
        wait_status: Option<u32>,
        thread_start_ns: u64,
        comm: Comm,
    },
    Core {
        subject: Subject,
        signo: Option<u8>,
    },
    Comm {
        subject: Subject,
        old: Comm,
        new: Comm,
    },
    Uid {
        subject: Subject,
        old: Option<[u32; 2]>,
    },
    Gid {
        subject: Subject,
        old: Option<[u32; 2]>,
    },
    Sid {
        subject: Subject,
    },
    /// The caller, and the process that it traces or, with `of_caller`, the one that it lets trace
    /// itself.
    Ptrace {
        subject: Subject,
        other: RefRecord,
        attach: bool,
        of_caller: bool,
    },
    /// A part of a long list of the exec that comes with the same tid and time.
    Chunk {
        tid: Pid,
        of: ChunkOf,
        offset: usize,
        bytes: &'a [u8],
    },
    /// The path of a cgroup that records name from now on.
    Cgroup {
        key: CgroupKey,
        names: NamesUp<'a>,
        cut: bool,
    },
}

/// The ancestors of a new process.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Descent {
    pub(crate) pid: Pid,
    pub(crate) parent: Pid,
    /// Its creator, with CLONE_PARENT not the parent; `None` if the source reports only the parent.
    pub(crate) creator: Option<Pid>,
}

impl Descent {
    /// Whether it belongs to a tree with these members: its creator's trees count, and its
    /// parent's.
    pub(crate) fn is_below(&self, is_member: impl Fn(Pid) -> bool) -> bool {
        is_member(self.parent) || self.creator.is_some_and(is_member)
    }
}

impl Body<'_> {
    /// For a new process, its ancestors.
    pub(crate) fn descent(&self) -> Option<Descent> {
        match self {
            Self::Fork { subject, thread: false, creator, .. } => Some(Descent {
                pid: subject.pid,
                parent: subject.parent.pid,
                creator: creator.as_ref().map(|creator| creator.pid),
            }),
            _ => None,
        }
    }

    /// The process that it is about.
    pub(crate) fn subject(&self) -> Option<&Subject> {
        match self {
            Self::Existing { subject, .. }
            | Self::Fork { subject, .. }
            | Self::Exec { subject, .. }
            | Self::ExecFailed { subject, .. }
            | Self::Exit { subject, .. }
            | Self::ThreadExit { subject, .. }
            | Self::Core { subject, .. }
            | Self::Comm { subject, .. }
            | Self::Uid { subject, .. }
            | Self::Gid { subject, .. }
            | Self::Sid { subject }
            | Self::Ptrace { subject, .. } => Some(subject),
            Self::Chunk { .. } | Self::Cgroup { .. } => None,
        }
    }
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct ExitRecord {
    /// `None` if the source could not learn it.
    pub(crate) wait_status: Option<u32>,
    pub(crate) killer: Option<RefRecord>,
    pub(crate) oom: bool,
    pub(crate) usage: Option<UsageRecord>,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct UsageRecord {
    pub(crate) utime_ns: u64,
    pub(crate) stime_ns: u64,
    pub(crate) runtime_ns: u64,
    pub(crate) maxrss_pages: u64,
    pub(crate) read_bytes: u64,
    pub(crate) write_bytes: u64,
    pub(crate) rchar: u64,
    pub(crate) wchar: u64,
    pub(crate) nvcsw: u64,
    pub(crate) nivcsw: u64,
    pub(crate) min_flt: u64,
    pub(crate) maj_flt: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_make_a_path() {
        let path = |names: &[u8]| {
            let mut path = Vec::new();
            NamesUp(names).write_path(&mut path);
            String::from_utf8(path).unwrap()
        };
        assert_eq!(path(b""), "/");
        assert_eq!(path(b"true\0bin\0usr\0"), "/usr/bin/true");
        assert_eq!(path(b"a"), "/a");
    }
}

//! The tracer's records, which own their data.

use std::ops::ControlFlow;

use crate::record::names_up;
use crate::record::{
    Body, CgroupKey, Comm, ExitRecord, ImageRecord, ListRecord, NamesUp, Record, RefRecord, Subject, UNKNOWN_START,
};
use crate::source::intake::Intake;
use crate::{ExeTraits, Flaws, Pid};

/// The strings of an image.
#[derive(Debug, Default)]
pub(super) struct Strings {
    pub(super) path: Option<Vec<u8>>,
    pub(super) exe: Option<Vec<u8>>,
    pub(super) traits: ExeTraits,
    pub(super) cwd: Option<Vec<u8>>,
    pub(super) cwd_deleted: bool,
    pub(super) argv: Option<Vec<u8>>,
    pub(super) env: Option<Vec<u8>>,
}

#[derive(Debug)]
pub(super) enum What {
    Fork { thread: bool, creator: Option<RefRecord> },
    Exec { old_comm: Option<Comm>, old_tid: Pid, strings: Box<Strings> },
    ExecFailed { errno: u32, dirfd: Option<i32>, path: Option<Vec<u8>>, argv: Vec<u8> },
    Exit { exit: ExitRecord },
    ThreadExit { wait_status: Option<u32>, comm: Comm },
}

/// A cgroup's path is alone, everything else is about a process.
#[derive(Debug)]
pub(super) enum OwnedRecord {
    Cgroup { key: CgroupKey, path: Vec<u8> },
    Event { boot_ns: u64, subject: Box<Subject>, flaws: Flaws, about: Flaws, what: What },
}

fn list(list: &[u8]) -> ListRecord<'_> {
    ListRecord { inline: list, len: list.len() }
}

impl OwnedRecord {
    pub(super) fn put(&self, out: &mut dyn Intake) -> ControlFlow<()> {
        match self {
            Self::Cgroup { key, path } => {
                let names = names_up(path);
                let body = Body::Cgroup { key: *key, names: NamesUp(&names), cut: false };
                out.push(&Record { boot_ns: 0, processor: None, body, flaws: Flaws::new(), about: Flaws::new() })
            }
            Self::Event { boot_ns, subject, flaws, about, what } => {
                let (exe, cwd);
                let subject = **subject;
                let body = match what {
                    What::Fork { thread, creator } => Body::Fork {
                        subject,
                        thread: *thread,
                        unasked: false,
                        call: None,
                        flags: None,
                        creator: *creator,
                        image: None,
                    },
                    What::Exec { old_comm, old_tid, strings } => {
                        exe = strings.exe.as_deref().map(names_up);
                        cwd = strings.cwd.as_deref().map(names_up);
                        let image = ImageRecord {
                            path: strings.path.as_deref(),
                            interpreter: None,
                            exe: exe.as_deref().map(NamesUp),
                            exe_traits: strings.traits,
                            cwd: cwd.as_deref().map(NamesUp),
                            cwd_deleted: strings.cwd_deleted,
                            argv: list(strings.argv.as_deref().unwrap_or_default()),
                            env: strings.env.as_deref().map(list),
                        };
                        Body::Exec { subject, old_comm: *old_comm, old_tid: Some(*old_tid), image }
                    }
                    What::ExecFailed { errno, dirfd, path, argv } => {
                        Body::ExecFailed { subject, errno: *errno, dirfd: *dirfd, path: path.as_deref(), argv }
                    }
                    What::Exit { exit } => Body::Exit { subject, exit: *exit },
                    What::ThreadExit { wait_status, comm } => Body::ThreadExit {
                        subject,
                        wait_status: *wait_status,
                        thread_start_ns: UNKNOWN_START,
                        comm: *comm,
                    },
                };
                out.push(&Record { boot_ns: *boot_ns, processor: None, body, flaws: *flaws, about: *about })
            }
        }
    }
}

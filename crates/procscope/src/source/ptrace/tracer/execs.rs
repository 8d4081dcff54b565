//! A process's execs and its attempts.

use super::calls;
use super::known::name_of;
use super::memory::{PATH_MAX, path_of, read_list, read_string};
use super::owned::{Strings, What};
use super::{Call, Tracer, calls_of};
use crate::record::{Comm, UNKNOWN_COMM};
use crate::source::look::{Depth, Look, Proc as _};
use crate::source::proc_files::ProcFiles;
use crate::{Field, Flaw, Flaws, Pid, sys};

fn strings_of(pid: Pid, look: &mut Look) -> Strings {
    let exe = look.exe.take();
    let cwd = look.cwd.take();
    Strings {
        path: path_of(pid),
        traits: exe.as_ref().map(|exe| exe.traits).unwrap_or_default(),
        exe: exe.map(|exe| exe.path),
        cwd_deleted: cwd.as_ref().is_some_and(|(_, deleted)| *deleted),
        cwd: cwd.map(|(path, _)| path),
        argv: look.argv.take(),
        env: look.env.take(),
    }
}

impl Tracer {
    /// The name of a thread when it calls exec: after that it has another one.
    pub(super) fn name_at_call(&self, tid: Pid) -> Option<Comm> {
        name_of(tid)
    }

    pub(super) fn execed(&mut self, pid: Pid, former: Pid) {
        let boot_ns = sys::now_boot_ns();
        let at_call = match self.calls.remove(&former) {
            Some(Call::Exec { comm, .. }) => comm,
            _ => None,
        };
        // The other threads are reported as they end. Only the calling one is left, and has the
        // first one's number.
        if former != pid {
            self.threads.remove(&former);
            self.calls.remove(&pid);
            // The filters are those of the thread that called.
            self.watched.remove(&pid);
            if self.watched.remove(&former) {
                self.watched.insert(pid);
            }
            if !self.leaving.remove(&pid) {
                // Nothing later will show that the first thread ended.
                self.thread_ended(pid, pid, None, UNKNOWN_COMM, Flaws::new());
            }
        }
        let mut look = ProcFiles.look(pid, if self.env { Depth::Env } else { Depth::Full }).unwrap_or_default();
        let Some(mut known) = self.known.remove(&pid) else { return };
        let before = known.comm;
        self.learn(&mut known, &look);
        known.take_name(look.stat.map(|stat| stat.comm));
        let ppid = look.stat.map_or(known.parent.pid, |stat| stat.ppid);
        self.name_parent(&mut known, ppid);
        known.delivered.clear();
        (known.staying, known.last, known.is_final) = (1, None, false);
        self.known.insert(pid, known);
        let strings = strings_of(pid, &mut look);
        let mut flaws = Flaws::new();
        let mut missing = |field, missing| {
            if missing {
                flaws.mark(field, Flaw::Unreadable);
            }
        };
        missing(Field::Argv, strings.argv.is_none());
        missing(Field::Exe, strings.exe.is_none());
        missing(Field::Cwd, strings.cwd.is_none());
        missing(Field::Path, strings.path.is_none());
        missing(Field::Env, self.env && strings.env.is_none());
        // Without the filter the call does not stop, and the name may have been changed since it
        // was read.
        let old_comm = at_call.or_else(|| {
            let flaw = if former == pid { Flaw::Estimated } else { Flaw::NotObserved };
            flaws.mark(Field::OldName, flaw);
            (former == pid).then_some(before)
        });
        let what = What::Exec { old_comm, old_tid: former, strings: Box::new(strings) };
        self.tell(boot_ns, pid, pid, flaws, what);
    }

    pub(super) fn failed(&mut self, tid: Pid, call: &calls::Call, errno: u32) {
        let Some(&pid) = self.threads.get(&tid) else { return };
        let boot_ns = sys::now_boot_ns();
        let Some(calls) = calls_of(call) else { return };
        let at = call.nr == calls.execveat;
        let args = &call.args[usize::from(at)..];
        let mut flaws = Flaws::new();
        let path = read_string(tid, args[0], PATH_MAX);
        if path.is_none() {
            flaws.mark(Field::Path, Flaw::Unreadable);
        }
        let (argv, whole) = read_list(tid, args[1], calls.pointer);
        if !whole {
            flaws.mark(Field::Argv, Flaw::Truncated);
        }
        let dirfd = at.then_some(call.args[0] as i32);
        self.refresh(pid, tid);
        self.tell(boot_ns, tid, pid, flaws, What::ExecFailed { errno, dirfd, path, argv });
    }
}

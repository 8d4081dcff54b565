//! The rules for a source that reads names after the event.

use std::collections::HashMap;

use super::field::{Field, is_beginning, unlike as unlike_argv};
use super::{PATH_MAX, UNOBSERVED_PATH, same, same_readable};
use crate::report::Report;
use crate::seen::Seen;
use crate::truth::{Bytes, Change, Exec, Exit, Fork};

/// The clock tick of process starts: an end less a start that was read has this error.
const START_TICK_NS: u64 = 10_000_000;

/// How long a busy machine may delay the report of an end.
const LATE_END_NS: u64 = 200_000_000;

/// How much is at least reported of a list of arguments marked as cut: a probe's record is no
/// longer than a page.
pub(super) const CUT_BYTES: usize = 1 << 10;

/// The kernel shows at least this much of a path.
const LEAST_SHOWN: usize = 60;

/// The arguments last reported for each pid, so that inherited ones can be compared.
#[derive(Default)]
pub(super) struct LastArguments {
    argv: HashMap<u32, Option<Vec<Vec<u8>>>>,
}

impl LastArguments {
    /// An end has the arguments of the process's last exec, or those of its parent at its fork, and
    /// no others.
    pub(super) fn follow(&mut self, seen: &Seen, report: &mut Report) {
        let Some(pid) = seen.pid else { return };
        match &*seen.event {
            "existing" | "exec" => _ = self.argv.insert(pid, seen.arguments()),
            // Arguments read from itself may be of a program that its parent was not yet seen to
            // have become.
            "fork" if seen.source.as_deref() == Some("proc-poll") => _ = self.argv.insert(pid, None),
            "fork" => {
                let argv = seen.ppid.and_then(|ppid| self.argv.get(&ppid).cloned()).flatten();
                self.argv.insert(pid, argv);
            }
            "exit" => {
                let (last, now) = (self.argv.remove(&pid), seen.arguments());
                // Nothing was reported about processes from before, and of long lists a part is
                // kept.
                if let (Some(last @ Some(_)), true) = (last, now.is_some() && flaw(seen, "argv") != "truncated") {
                    report.check("exit.argv", now == last, || format!("pid {pid}: {now:?}, not {last:?}"));
                }
            }
            _ => {}
        }
    }
}

/// This source's kernel records report paths, flags and senders exactly.
pub(super) fn tells_more(seen: &Seen) -> bool {
    seen.source.as_deref() == Some("tracefs")
}

/// True if the event is of another kind.
pub(super) fn unlike(change: &Change, seen: &Seen) -> bool {
    change.event() != seen.event
}

fn flaw<'a>(seen: &'a Seen, field: &str) -> &'a str {
    seen.flaws.get(field).map_or("", String::as_str)
}

impl Field<'_> {
    /// An absent value needs a reason, a present one has to be right.
    fn told<T>(&mut self, field: &'static str, key: &str, seen: &Seen, value: Option<T>, right: impl FnOnce(T) -> bool)
    where
        T: std::fmt::Debug + Clone,
    {
        let flaw = flaw(seen, key);
        match value {
            None => self.check(field, matches!(flaw, "unreadable" | "not-observed" | "after-loss"), || {
                format!("absent without a reason, flaws {:?}", seen.flaws)
            }),
            Some(value) => {
                let shown = value.clone();
                self.check(field, right(value), || format!("{shown:?}, flaws {:?}", seen.flaws));
            }
        }
    }

    /// Like [`Self::told`], but values that nothing reports may be absent.
    fn perhaps<T: PartialEq + std::fmt::Debug>(&mut self, field: &'static str, value: Option<T>, truth: &[Option<T>]) {
        if value.is_some() && truth.iter().any(Option::is_some) {
            self.check(field, truth.contains(&value), || format!("{value:?}, not {truth:?}"));
        }
    }

    fn never(&mut self, field: &'static str, is: bool) {
        self.check(field, !is, || "no message reports it".to_owned());
    }

    fn parent_late(&mut self, field: &'static str, seen: &Seen, truth: &[(Option<u32>, Option<&Bytes>)]) {
        if truth.iter().all(|(ppid, _)| ppid.is_none()) {
            return;
        }
        let parent = seen.parent.clone().unwrap_or_default();
        let told = seen.ppid.map(|ppid| (ppid, parent.pid, parent.name.clone()));
        self.told(field, "ppid", seen, told, |(ppid, ..)| {
            truth.iter().any(|(pid, name)| {
                let named = match (name, &parent.name) {
                    (Some(name), Some(_)) => same_readable(parent.name.as_deref(), parent.name_b64.as_deref(), &name.0),
                    _ => true,
                };
                *pid == Some(ppid) && parent.pid == ppid && named
            })
        });
    }

    pub(super) fn fork_late(&mut self, fork: &Fork, seen: &Seen) {
        let flags = tells_more(seen) && (fork.flags.is_none() || seen.flags == fork.flags);
        self.never("fork.call", seen.call.is_some() || seen.flags.is_some() && !flags);
        self.check("fork.ppid", seen.ppid == Some(fork.ppid), || format!("{:?}, not {}", seen.ppid, fork.ppid));
        self.parent_late("fork.parent", seen, &[(Some(fork.ppid), fork.parent_name.as_ref())]);
        self.perhaps("fork.ns_pid", seen.ns_pid, &[fork.ns_pid]);
        self.time("fork.time", seen, self.life.born_ns);
    }

    /// `execs`: this one, and later ones of the process.
    pub(super) fn exec_late(&mut self, execs: &[Exec], seen: &Seen, seed: u64) {
        let Some(exec) = execs.first() else { return };
        self.never("exec.image", seen.interpreter.is_some() || seen.namespaces.is_some());
        if tells_more(seen) {
            self.bytes("exec.path", &seen.path, &seen.path_b64, exec.path.as_ref());
        } else {
            self.never("exec.path", seen.path.is_some());
        }
        let argv: Option<Vec<Bytes>> = seen.arguments().map(|list| list.into_iter().map(Bytes).collect());
        if argv.is_some() {
            let marked = flaw(seen, "argv") == "read-late"
                || tells_more(seen) && matches!(flaw(seen, "argv"), "" | "estimated" | "truncated");
            self.check("exec.argv.marked", marked, || format!("{:?}", seen.flaws));
        }
        let exe_of = |exec: &Exec| {
            exec.exe.as_ref().is_none_or(|Bytes(exe)| {
                let exe = exe.strip_suffix(b" (deleted)").unwrap_or(exe);
                seen.exe.is_none() || same(seen.exe.as_deref(), seen.exe_b64.as_deref(), exe)
            })
        };
        // All strings are of one program: this or, because all are read late, a later one.
        let all: Vec<Vec<Bytes>> = execs.iter().map(|exec| self.argv(exec, seed)).collect();
        let cut = tells_more(seen) && flaw(seen, "argv") == "truncated";
        let fits = |argv: &[Bytes], all: &[Bytes]| argv == all || cut && is_beginning(argv, all, CUT_BYTES);
        // If the kernel records only the call, and the process was gone before a look: a script was
        // called without its interpreter.
        let of_call = tells_more(seen) && flaw(seen, "argv") == "estimated";
        let is_call = |argv: &[Bytes], exec: &Exec, all: &[Bytes]| {
            let arguments = argv.get(1..).filter(|_| of_call && exec.interpreter.is_some());
            arguments.is_some_and(|arguments| all.len() > argv.len() && all.ends_with(arguments))
        };
        // The kernel's own record of it, or of the call; the file may have been read when it ran another one.
        let recorded = tells_more(seen) && matches!(flaw(seen, "argv"), "" | "truncated" | "estimated");
        let one = match &argv {
            Some(argv) if recorded => {
                let arguments = all.first().filter(|all| fits(argv, all) || is_call(argv, exec, all));
                execs.iter().find(|exec| exe_of(exec)).zip(arguments)
            }
            _ => {
                let is = |all: &Vec<Bytes>| argv.as_ref().is_none_or(|argv| argv == all);
                execs.iter().zip(&all).find(|(exec, all)| is(all) && exe_of(exec))
            }
        };
        let shown = argv.clone();
        self.report.named += u64::from(shown.is_some());
        self.told("exec.argv", "argv", seen, argv, |_| one.is_some());
        if let (None, Some(argv)) = (one, shown) {
            self.check("exec.argv", false, || unlike_argv(Some(&argv), &all[0], seen));
        }
        self.told("exec.exe", "exe", seen, seen.exe.clone(), |_| one.is_some());
        let name_of = |name: &Option<Bytes>| {
            name.as_ref().is_none_or(|name| same_readable(seen.name.as_deref(), seen.name_b64.as_deref(), &name.0))
        };
        let late = flaw(seen, "name") == "read-late";
        let renamed = self.renamed(seen);
        self.told("exec.name", "name", seen, seen.name.clone(), |_| {
            name_of(&exec.name) || late && (renamed || execs.iter().any(|exec| name_of(&exec.name)))
        });
        if exec.old_name.is_some() {
            let old = exec.old_name.clone().unwrap_or_default();
            self.told("exec.old_name", "old_name", seen, seen.old_name.clone(), |_| {
                same_readable(seen.old_name.as_deref(), seen.old_name_b64.as_deref(), &old.0)
            });
        }
        let cwd_of = |exec: &Exec| {
            exec.cwd.as_ref().is_none_or(|Bytes(cwd)| {
                let cwd = cwd.strip_suffix(b" (deleted)").unwrap_or(cwd);
                cwd.len() > PATH_MAX || same(seen.cwd.as_deref(), seen.cwd_b64.as_deref(), cwd)
            })
        };
        self.told("exec.cwd", "cwd", seen, seen.cwd.clone(), |_| execs.iter().any(cwd_of));
        if let Some(ids) = exec.ids {
            let told = [seen.uid, seen.euid, seen.gid, seen.egid];
            let later = flaw(seen, "user") == "read-late";
            let estimated = tells_more(seen) && flaw(seen, "user") == "estimated";
            self.told("exec.uid", "user", seen, seen.uid, |_| {
                estimated
                    || told == ids.map(Some)
                    || later && execs.iter().any(|exec| exec.ids.map(|ids| ids.map(Some)) == Some(told))
            });
        }
        let of = |get: fn(&Exec) -> Option<u32>| -> Vec<Option<u32>> { execs.iter().map(get).collect() };
        self.perhaps("exec.sid", seen.sid, &of(|exec| exec.sid));
        self.perhaps("exec.pgid", seen.pgid, &of(|exec| exec.pgid));
        self.perhaps("exec.ns_pid", seen.ns_pid, &of(|exec| exec.ns_pid));
        self.perhaps("exec.old_tid", seen.old_tid, &[Some(exec.old_tid.unwrap_or(self.life.pid))]);
        let parents: Vec<_> = execs.iter().map(|exec| (exec.ppid, exec.parent_name.as_ref())).collect();
        self.parent_late("exec.parent", seen, &parents);
        // An inherited terminal or cgroup may have changed before the exec: a flaw says so.
        let unsure = |key| matches!(flaw(seen, key), "estimated" | "not-observed" | "unreadable" | "after-loss");
        if let (Some(tty), false) = (&exec.tty, unsure("tty")) {
            self.is("exec.tty", &seen.tty.as_deref().unwrap_or_default(), &&**tty);
        }
        if !unsure("cgroup") {
            self.maybe("exec.cgroup", seen.cgroup.as_deref(), exec.cgroup.as_deref());
            self.maybe("exec.container", seen.container.as_deref(), exec.container.as_deref());
            self.maybe("exec.unit", seen.unit.as_deref(), exec.unit.as_deref());
        }
        if let (Some(expected), Some(env)) = (&exec.env, seen.environment()) {
            let env: Vec<Bytes> = env.into_iter().map(Bytes).collect();
            let right = env == *expected || execs.iter().any(|exec| exec.env.as_ref() == Some(&env));
            self.check("exec.env", right, || format!("{env:?}, not {expected:?}"));
        }
        if let (Some(traits), Some(_)) = (one.and_then(|(exec, _)| exec.traits.as_ref()), &seen.exe) {
            let all = [
                ("memfd", seen.exe_memfd),
                ("deleted", seen.exe_deleted),
                ("setuid", seen.exe_setuid),
                ("setgid", seen.exe_setgid),
            ];
            // It may have been deleted before it was looked at.
            let later = !traits.iter().any(|t| t == "deleted");
            let seen: Vec<&str> =
                all.iter().filter(|(t, is)| *is && !(later && *t == "deleted")).map(|t| t.0).collect();
            self.is("exec.traits", &seen, &traits.iter().map(|t| &**t).collect());
        }
        let span = self.life.born_ns.zip(self.life.died_ns).map(|(born, died)| (born.0, died.1));
        self.time("exec.time", seen, span);
    }

    /// It has a name that it gave itself.
    fn renamed(&self, seen: &Seen) -> bool {
        self.life.changes.iter().any(|change| match change {
            Change::Comm { tid, new, .. } => {
                *tid == self.life.pid && same_readable(seen.name.as_deref(), seen.name_b64.as_deref(), &new.0)
            }
            _ => false,
        })
    }

    /// If the kernel shows it, it may be cut, and each byte that is not printed is a dot.
    pub(super) fn failed_path_late(&mut self, truth: Option<&Bytes>, seen: &Seen) {
        let Some(Bytes(truth)) = truth else { return };
        let told = seen.path.as_deref().map(str::as_bytes);
        let (field, right) = match (flaw(seen, "path"), told) {
            ("not-observed", None) => (UNOBSERVED_PATH, false),
            ("truncated", Some(told)) => ("exec-failed.path", truth.starts_with(told) && told.len() > LEAST_SHOWN),
            ("estimated", Some(told)) => {
                let printed = |&byte: &u8| if byte.is_ascii_graphic() || byte == b' ' { byte } else { b'.' };
                ("exec-failed.path", truth.iter().map(printed).eq(told.iter().copied()))
            }
            _ => ("exec-failed.path", same(seen.path.as_deref(), seen.path_b64.as_deref(), truth)),
        };
        self.check(field, right, || {
            format!("{:?}, flaws {:?}, not {:?}", seen.path, seen.flaws, Bytes::from(&truth[..]))
        });
    }

    pub(super) fn exit_late(&mut self, exit: &Exit, seen: &Seen) {
        let status = (seen.exit_code, seen.signal.as_deref(), seen.core.unwrap_or(false));
        if !matches!(flaw(seen, "status"), "estimated" | "not-observed") {
            self.is("exit.status", &status, &(exit.code, exit.signal.as_deref(), exit.core));
        }
        self.never("exit.usage", seen.user_ns.is_some() || seen.max_rss_bytes.is_some() || seen.rchar.is_some());
        if tells_more(seen) {
            // A signal that the kernel may have sent in the process's own name has no sender, and a mark.
            let unmarked = flaw(seen, "killer") != "not-observed" || seen.killer.is_some();
            let unsure = seen.signal.as_deref() != exit.signal.as_deref() || !unmarked;
            if let (Some(killer), false) = (&exit.killer, unsure) {
                let told = seen.killer.as_ref().map(|killer| killer.pid);
                self.is("exit.killer", &told, &killer.as_ref().map(|killer| killer.pid));
            }
        } else {
            self.never("exit.killer", seen.killer.is_some() || seen.oom == Some(true));
        }
        if exit.ppid.is_some() {
            self.told("exit.ppid", "ppid", seen, seen.ppid, |ppid| Some(ppid) == exit.ppid);
        }
        // The message may be made after the parent was notified.
        let told_late = |(from, to): (u64, u64)| (from, to + LATE_END_NS);
        self.time("exit.time", seen, self.life.died_ns.map(told_late));
        if let (Some(born), Some(died)) = (self.life.born_ns, self.life.died_ns) {
            let (least, most) = (died.0.saturating_sub(born.1), died.1.saturating_sub(born.0));
            let bounds = least.saturating_sub(START_TICK_NS)..=most + START_TICK_NS + LATE_END_NS;
            let marked = flaw(seen, "duration_ns") == "estimated";
            self.told("exit.duration_ns", "id", seen, seen.duration_ns, |ns| marked && bounds.contains(&ns));
        }
        let last = self.life.execs.last().and_then(|exec| exec.name.clone());
        let inherited = || self.life.fork.as_ref().and_then(|fork| fork.parent_name.clone());
        let name = if self.life.execs.is_empty() { inherited() } else { last };
        if let Some(name) = name {
            let renamed = self.renamed(seen);
            self.told("exit.name", "name", seen, seen.name.clone(), |_| {
                renamed || same_readable(seen.name.as_deref(), seen.name_b64.as_deref(), &name.0)
            });
        }
    }

    /// Ids that the truth does not list as a change have to be ones that the process had at an
    /// exec.
    pub(super) fn ids_late(&mut self, field: &'static str, seen: &Seen) {
        let had = self.life.execs.iter().filter_map(|exec| exec.ids).any(|[uid, euid, gid, egid]| match &*seen.event {
            "uid" => seen.uid.is_none() || (seen.uid, seen.euid) == (Some(uid), Some(euid)),
            _ => seen.gid.is_none() || (seen.gid, seen.egid) == (Some(gid), Some(egid)),
        });
        self.check(field, had, || {
            format!("{} {:?} {:?} {:?} {:?}", seen.event, seen.uid, seen.euid, seen.gid, seen.egid)
        });
    }
}

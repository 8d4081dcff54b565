//! One life's fields.

use std::fmt::Debug;

use super::*;

/// How far the clocks may differ: the offset between them is only measured at the end, and the wall
/// clock may be slewed.
const TIME_SLACK_NS: i64 = 1_000_000;
/// How much a process may use between its report and the notice to its parent.
const CPU_SLACK_NS: u64 = 1_000_000;
/// Returning a MiB costs at most this where it was not measured.
pub(super) const FREE_MIB_NS: u64 = 60_000;
/// The longest tick of a usual kernel; none is built with 100 Hz.
pub(super) const TICK_NS: u64 = 4_000_000;

pub(super) struct Field<'a> {
    pub(super) report: &'a mut Report,
    pub(super) life: &'a Life,
    pub(super) offset: i64,
    pub(super) free_mib_ns: u64,
}

impl Field<'_> {
    pub(super) fn check(&mut self, field: &'static str, right: bool, example: impl FnOnce() -> String) {
        self.report.check(field, right, || format!("{} pid {}: {}", self.life.case, self.life.pid, example()));
    }

    pub(super) fn is<T: PartialEq + Debug>(&mut self, field: &'static str, seen: &T, truth: &T) {
        self.check(field, seen == truth, || format!("{seen:?}, not {truth:?}"));
    }

    pub(super) fn maybe<T: PartialEq + Debug>(&mut self, field: &'static str, seen: Option<T>, truth: Option<T>) {
        if truth.is_some() {
            self.is(field, &seen, &truth);
        }
    }

    pub(super) fn bytes(
        &mut self,
        field: &'static str,
        text: &Option<String>,
        exact: &Option<String>,
        truth: Option<&Bytes>,
    ) {
        if let Some(Bytes(truth)) = truth {
            // The kernel adds this to the path of a file without a name; procscope has a field for
            // it.
            let truth = truth.strip_suffix(b" (deleted)").unwrap_or(truth);
            let right = same(text.as_deref(), exact.as_deref(), truth);
            self.check(field, right, || format!("{text:?} {exact:?}, not {:?}", Bytes::from(truth)));
        }
    }

    pub(super) fn cwd(&mut self, seen: &Seen, truth: Option<&Bytes>) {
        // No system call accepts or returns such a long path; its end is the most important part.
        let long = truth.is_some_and(|Bytes(cwd)| cwd.len() > PATH_MAX);
        match (truth, seen.cwd.as_deref()) {
            (Some(Bytes(cwd)), Some(end)) if long && seen.flaws.get("cwd").is_some_and(|flaw| flaw == "truncated") => {
                let rest = end.strip_prefix('\u{2026}').filter(|rest| rest.starts_with('/'));
                let right = rest.is_some_and(|rest| cwd.ends_with(rest.as_bytes())) && end.len() > PATH_MAX / 2;
                self.check("exec.cwd", right, || format!("{} bytes of {}", end.len(), cwd.len()));
            }
            _ => self.bytes("exec.cwd", &seen.cwd, &seen.cwd_b64, truth),
        }
    }

    pub(super) fn name(
        &mut self,
        field: &'static str,
        text: &Option<String>,
        exact: &Option<String>,
        truth: Option<&Bytes>,
    ) {
        if let Some(truth) = truth {
            let right = same_readable(text.as_deref(), exact.as_deref(), &truth.0);
            self.check(field, right, || format!("{text:?}, not {truth:?}"));
        }
    }

    pub(super) fn parent(&mut self, field: &'static str, seen: &Seen, ppid: Option<u32>, name: Option<&Bytes>) {
        let Some(ppid) = ppid else { return };
        let parent = seen.parent.clone().unwrap_or_default();
        let named = name.is_none_or(|n| same_readable(parent.name.as_deref(), parent.name_b64.as_deref(), &n.0));
        let right = seen.ppid == Some(ppid) && parent.pid == ppid && named;
        self.check(field, right, || format!("{:?} {:?}, not {ppid} {name:?}", seen.ppid, seen.parent));
    }

    pub(super) fn time(&mut self, field: &'static str, seen: &Seen, bounds: Option<(u64, u64)>) {
        let Some((from, to)) = bounds else { return };
        let boot = seen.time_ns().map(|time| time - self.offset);
        let right = boot.is_some_and(|t| (from as i64 - TIME_SLACK_NS..=to as i64 + TIME_SLACK_NS).contains(&t));
        self.check(field, right, || format!("{boot:?} ({}), not in {from}..{to}", seen.time));
    }

    pub(super) fn fork(&mut self, fork: &Fork, seen: &Seen) {
        self.maybe("fork.call", seen.call.as_deref(), fork.call.as_deref());
        self.maybe("fork.flags", seen.flags, fork.flags);
        self.parent("fork.parent", seen, Some(fork.ppid), fork.parent_name.as_ref());
        self.maybe("fork.ns_pid", seen.ns_pid.or(seen.pid), fork.ns_pid);
        self.time("fork.time", seen, self.life.born_ns);
    }

    pub(super) fn argv(&self, exec: &Exec, seed: u64) -> Vec<Bytes> {
        match (self.life.planned, &exec.path) {
            (Some(which), Some(Bytes(path))) if exec.argv.is_empty() => {
                let mut spawn = Spawn::default();
                spawn.plan(seed, which);
                debug_assert!(path.ends_with(NAMES[spawn.name].as_bytes()));
                std::iter::once(&path[..]).chain(spawn.arguments()).map(Bytes::from).collect()
            }
            _ => exec.argv.clone(),
        }
    }

    pub(super) fn exec(&mut self, exec: &Exec, seen: &Seen, seed: u64) {
        let expected = self.argv(exec, seed);
        let argv: Option<Vec<Bytes>> = seen.arguments().map(|list| list.into_iter().map(Bytes).collect());
        self.check("exec.argv", argv.as_ref() == Some(&expected), || unlike(argv.as_deref(), &expected, seen));
        self.bytes("exec.path", &seen.path, &seen.path_b64, exec.path.as_ref());
        self.bytes("exec.exe", &seen.exe, &seen.exe_b64, exec.exe.as_ref());
        self.bytes("exec.interpreter", &seen.interpreter, &seen.interpreter_b64, exec.interpreter.as_ref());
        self.cwd(seen, exec.cwd.as_ref());
        self.name("exec.name", &seen.name, &seen.name_b64, exec.name.as_ref());
        let unknown = seen.old_name.is_none() && seen.flaws.contains_key("old_name");
        let field = if unknown { UNKNOWN_OLD_NAME } else { "exec.old_name" };
        self.name(field, &seen.old_name, &seen.old_name_b64, exec.old_name.as_ref());
        if let Some(ids) = exec.ids {
            let seen = [seen.uid, seen.euid, seen.gid, seen.egid];
            self.is("exec.uid", &seen, &ids.map(Some));
        }
        self.maybe("exec.sid", seen.sid, exec.sid);
        self.maybe("exec.pgid", seen.pgid, exec.pgid);
        self.parent("exec.parent", seen, exec.ppid, exec.parent_name.as_ref());
        if let Some(tty) = &exec.tty {
            self.is("exec.tty", &seen.tty.as_deref().unwrap_or_default(), &&**tty);
        }
        self.maybe("exec.cgroup", seen.cgroup.as_deref(), exec.cgroup.as_deref());
        self.maybe("exec.container", seen.container.as_deref(), exec.container.as_deref());
        self.maybe("exec.unit", seen.unit.as_deref(), exec.unit.as_deref());
        // Reported only if it differs.
        self.maybe("exec.ns_pid", seen.ns_pid.or(seen.pid), exec.ns_pid);
        self.maybe("exec.old_tid", seen.old_tid, exec.old_tid);
        if let (Some(expected), Some(env)) = (&exec.env, seen.environment()) {
            let env: Vec<Bytes> = env.into_iter().map(Bytes).collect();
            self.is("exec.env", &env, expected);
        }
        for (name, inode) in exec.namespaces.iter().flatten() {
            let seen = seen.namespaces.as_ref().and_then(|map| map.get(name));
            self.check("exec.namespaces", seen == Some(inode), || format!("{name} {seen:?}, not {inode}"));
        }
        if let Some(traits) = &exec.traits {
            let all = [
                ("memfd", seen.exe_memfd),
                ("deleted", seen.exe_deleted),
                ("setuid", seen.exe_setuid),
                ("setgid", seen.exe_setgid),
            ];
            let seen: Vec<&str> = all.iter().filter(|(_, is)| *is).map(|t| t.0).collect();
            self.is("exec.traits", &seen, &traits.iter().map(|t| &**t).collect());
        }
        let span = self.life.born_ns.zip(self.life.died_ns).map(|(born, died)| (born.0, died.1));
        self.time("exec.time", seen, span);
    }

    pub(super) fn failed(&mut self, failed: &FailedExec, seen: &Seen) {
        self.is("exec-failed.errno", &seen.errno.as_deref().unwrap_or_default(), &&*failed.errno);
        let late = late::tells_more(seen);
        if late {
            self.failed_path_late(failed.path.as_ref(), seen);
        } else {
            self.bytes("exec-failed.path", &seen.path, &seen.path_b64, failed.path.as_ref());
        }
        if let Some(expected) = &failed.argv {
            let argv: Option<Vec<Bytes>> = seen.arguments().map(|list| list.into_iter().map(Bytes).collect());
            // If there are more than the kernel would have accepted, the beginning is enough if it is marked
            // as cut.
            let cut = failed.errno == "E2BIG" && seen.flaws.get("argv").is_some_and(|flaw| flaw == "truncated");
            let least = if late { late::CUT_BYTES } else { CUT_BYTES };
            let right = match &argv {
                Some(argv) if cut => is_beginning(argv, expected, least),
                argv => argv.as_ref() == Some(expected),
            };
            // Memory that was not touched since a fork may not be readable without a fault, and is
            // marked so.
            let unreadable = seen.flaws.get("argv").is_some_and(|flaw| flaw == "unreadable")
                && argv.as_ref().is_none_or(|argv| expected.starts_with(argv));
            let unobserved =
                late && argv.is_none() && seen.flaws.get("argv").is_some_and(|flaw| flaw == "not-observed");
            let field = match (unreadable, unobserved) {
                (true, _) => UNREADABLE_ARGV,
                (_, true) => UNOBSERVED_ARGV,
                _ => "exec-failed.argv",
            };
            self.check(field, right, || unlike(argv.as_deref(), expected, seen));
        }
    }

    pub(super) fn exit(&mut self, exit: &Exit, seen: &Seen) {
        let status = (seen.exit_code, seen.signal.as_deref(), seen.core.unwrap_or(false));
        self.is("exit.status", &status, &(exit.code, exit.signal.as_deref(), exit.core));
        self.is("exit.oom", &seen.oom.unwrap_or(false), &exit.oom);
        if let Some(killer) = &exit.killer {
            let right = match (killer, &seen.killer) {
                (None, None) => true,
                (Some(Killer { pid, name }), Some(SeenRef { pid: seen, name: text, name_b64, .. })) => {
                    pid == seen && same_readable(text.as_deref(), name_b64.as_deref(), &name.0)
                }
                _ => false,
            };
            self.check("exit.killer", right, || format!("{:?}, not {killer:?}", seen.killer));
        }
        self.maybe("exit.ppid", seen.ppid, exit.ppid);
        self.time("exit.time", seen, self.life.died_ns);
        if let (Some(born), Some(died)) = (self.life.born_ns, self.life.died_ns) {
            let bounds = died.0.saturating_sub(born.1)..=died.1.saturating_sub(born.0);
            let right = seen.duration_ns.is_some_and(|ns| bounds.contains(&ns));
            self.check("exit.duration_ns", right, || format!("{:?}, not in {bounds:?}", seen.duration_ns));
        }
        if let Some(usage) = &exit.usage {
            // Threads that end at the same moment may be impossible to add up; a flaw then says so.
            match seen.flaws.get("usage").map(String::as_str) {
                Some("estimated") => self.report.charged_otherwise += 1,
                _ => self.usage(usage, seen),
            }
        }
    }

    pub(super) fn usage(&mut self, usage: &Usage, seen: &Seen) {
        let (user, system) = (usage.user_us * 1000, usage.system_us * 1000);
        // The process's work after its report grows with the memory to be returned.
        let slack = CPU_SLACK_NS + (user + system) / 50 + (usage.max_rss_kib >> 10) * self.free_mib_ns;
        let near = |seen: Option<u64>, truth: u64, slack: u64| seen.is_some_and(|seen| seen.abs_diff(truth) <= slack);
        let sum = seen.user_ns.zip(seen.system_ns).map(|(u, s)| u + s);
        // An interrupt that strikes a process after its report, a disk's above all, is charged to
        // it all the same. And time that a hypervisor stole of its last slice is in the report, and
        // not in the kernel's account.
        let off = sum.map_or(0, |sum| sum.abs_diff(user + system));
        // The charge after the report is bounded by the time until its parent is notified, which is
        // long if the machine was stopped.
        let more = sum.is_some_and(|sum| sum < user + system);
        let late = if more { self.behind(seen).unwrap_or(0).max(LATE_NS) } else { LATE_NS };
        if (slack + 1..=slack + late).contains(&off) {
            self.report.charged_otherwise += 1;
        } else {
            self.check("exit.cpu", near(sum, user + system, slack), || format!("{sum:?}, not {}", user + system));
            // The kernel splits it by the hits of its ticks, and continues to do so until the end.
            let right = near(seen.user_ns, user, slack + TICK_NS) && near(seen.system_ns, system, slack + TICK_NS);
            let told = || format!("{:?} {:?}, not {user} {system}", seen.user_ns, seen.system_ns);
            self.check("exit.user_ns", right, told);
        }
        self.is("exit.max_rss_bytes", &seen.max_rss_bytes, &Some(usage.max_rss_kib << 10));
        // The switch away from an ended process comes after its report, and so do those of one that
        // is preempted while it cleans up.
        let close = |seen: Option<u64>, truth: u64, most| seen.is_some_and(|n| n <= truth && truth - n <= most);
        let right = close(seen.nvcsw, usage.nvcsw, 2) && close(seen.nivcsw, usage.nivcsw, 8);
        self.check("exit.nvcsw", right, || format!("{:?} {:?}, not {usage:?}", seen.nvcsw, seen.nivcsw));
        if let Some(io) = usage.io {
            let seen = [seen.rchar, seen.wchar, seen.read_bytes, seen.write_bytes];
            self.is("exit.io", &seen, &io.map(Some));
        }
    }

    /// How long the process existed after its report, at most, ns.
    pub(super) fn behind(&self, seen: &Seen) -> Option<u64> {
        let gone = i64::try_from(self.life.died_ns?.1).ok()?;
        u64::try_from(gone - (seen.time_ns()? - self.offset)).ok()
    }

    pub(super) fn change(&mut self, done: &mut [bool], seen: &Seen, late: bool) {
        let fits = |change: &Change| match change {
            _ if late && late::unlike(change, seen) => false,
            Change::Comm { tid, new, .. } if late && seen.old_name.is_none() => {
                seen.tid == Some(*tid) && same_readable(seen.name.as_deref(), seen.name_b64.as_deref(), &new.0)
            }
            // The kernel reports two of the four ids; they are reported together or not at all.
            Change::Uid { .. } | Change::Gid { .. } if late && seen.uid.is_none() => seen.flaws.contains_key("user"),
            Change::PtraceDetach { .. } if late => seen.ptrace.as_deref() == Some("detach"),
            Change::Core { .. } if late => true,
            Change::Comm { tid, old, new } => {
                seen.event == "comm"
                    && seen.tid == Some(*tid)
                    && same_readable(seen.old_name.as_deref(), seen.old_name_b64.as_deref(), &old.0)
                    && same_readable(seen.name.as_deref(), seen.name_b64.as_deref(), &new.0)
            }
            Change::Uid { uid, euid } => seen.event == "uid" && (seen.uid, seen.euid) == (Some(*uid), Some(*euid)),
            Change::Gid { gid, egid } => seen.event == "gid" && (seen.gid, seen.egid) == (Some(*gid), Some(*egid)),
            Change::Sid => seen.event == "sid",
            Change::PtraceAttach { tracer } | Change::PtraceDetach { tracer } => {
                let word = if matches!(change, Change::PtraceAttach { .. }) { "attach" } else { "detach" };
                seen.event == "ptrace"
                    && seen.ptrace.as_deref() == Some(word)
                    && seen.tracer.as_ref().is_some_and(|seen| seen.pid == *tracer)
            }
            Change::Core { signal } => seen.event == "core" && seen.signal.as_deref() == Some(signal),
            Change::ThreadExit { tid, code } => {
                seen.event == "thread-exit" && seen.tid == Some(*tid) && code.is_none_or(|c| seen.exit_code == Some(c))
            }
        };
        let found = self.life.changes.iter().zip(done.iter()).position(|(change, done)| !done && fits(change));
        match found {
            Some(index) => done[index] = true,
            // Some threads are not known to the truth by number.
            None if seen.event == "thread-exit" => {}
            // An exec of a set-user-id program makes these, too.
            None if late && matches!(&*seen.event, "uid" | "gid") => self.ids_late("change.surplus", seen),
            None => self.check("change.surplus", false, || {
                let Seen { event, tid, name, uid, gid, signal, ptrace, .. } = seen;
                format!("{event} of tid {tid:?}: {name:?} {uid:?} {gid:?} {signal:?} {ptrace:?}")
            }),
        }
    }
}

pub(super) fn is_beginning(seen: &[Bytes], truth: &[Bytes], least: usize) -> bool {
    let Some((last, whole)) = seen.split_last() else { return false };
    let bytes: usize = seen.iter().map(|string| string.0.len() + 1).sum();
    let same = truth.starts_with(whole) && truth.get(whole.len()).is_some_and(|string| string.0.starts_with(&last.0));
    same && bytes >= least
}

/// Where two lists of arguments first differ.
pub(super) fn unlike(seen: Option<&[Bytes]>, truth: &[Bytes], event: &Seen) -> String {
    let Some(seen) = seen else { return format!("none, flaws {:?}", event.flaws) };
    let at = seen.iter().zip(truth).take_while(|(a, b)| a == b).count();
    format!(
        "{} arguments, not {}; at {at}: {:?}, not {:?}; flaws {:?}",
        seen.len(),
        truth.len(),
        seen.get(at),
        truth.get(at),
        event.flaws
    )
}

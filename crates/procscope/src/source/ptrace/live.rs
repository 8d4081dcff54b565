use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, TryRecvError, channel, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::told::Told;
use super::tracer::{Living, Tracer};
use super::{EVENTS, calls};
use crate::launch::Held;
use crate::launch::filter::CALLS;
use crate::pipeline::{Outlet, Pipeline};
use crate::source::cgroups::resolve_cgroups;
use crate::source::stop::Stop;
use crate::source::{Source, foreign_proc, perhaps_filtered};
use crate::{Cause, EnvWanted, Error, EventSet, Kind, Obstacle, SourceId, Timestamp, Verdict, Want, sys};

/// How long records are gathered while there are some: waking for each would cost the command time.
const INTERVAL: Duration = Duration::from_millis(20);
/// How often a sleeping thread checks whether it is to stop.
const ASLEEP: Duration = Duration::from_millis(200);
/// This many records wait for a slow sink; then the command waits.
const QUEUE: usize = 4096;

const NAMELESS: &str = "names, arguments and paths are missing: /proc is not mounted";

fn unavailable(what: impl Into<String>, cause: Cause, remedy: impl Into<String>) -> Obstacle {
    Obstacle { what: what.into(), cause, remedy: remedy.into() }
}

fn error(obstacle: Obstacle) -> Error {
    Error::Unavailable { source_id: SourceId::Ptrace, obstacle }
}

pub(super) fn probe() -> Verdict {
    let scope = std::fs::read_to_string("/proc/sys/kernel/yama/ptrace_scope").unwrap_or_default();
    if CALLS.is_empty() {
        let what = format!("the system calls of {} are not known", std::env::consts::ARCH);
        return Verdict::Unavailable(unavailable(what, Cause::NotConfigured, "run procscope with --source ebpf"));
    }
    if sys::kernel_version() < (5, 3) {
        let what = "this kernel is older than 5.3";
        return Verdict::Unavailable(unavailable(what, Cause::TooOld, "run procscope as root, or boot a newer kernel"));
    }
    if sys::proc_has_own_pids() == Some(false) {
        return Verdict::Unavailable(foreign_proc());
    }
    if calls::is_refused() {
        let what = "ptrace(2) is refused";
        let other = || unavailable(what, Cause::Privilege, "run procscope outside its sandbox");
        return Verdict::Unavailable(perhaps_filtered(what).unwrap_or_else(other));
    }
    match scope.trim() {
        "3" => {
            let what = "/proc/sys/kernel/yama/ptrace_scope is 3: no process may trace";
            Verdict::Unavailable(unavailable(what, Cause::NotConfigured, "boot with kernel.yama.ptrace_scope=1"))
        }
        _ if sys::proc_has_own_pids().is_none() => {
            Verdict::Degraded(vec![unavailable(NAMELESS, Cause::NotConfigured, "mount -t proc proc /proc")])
        }
        _ => Verdict::Ready,
    }
}

/// The command, seized by a thread that waits for its release.
pub(super) struct Live {
    want: Want,
    held: Arc<Held>,
    go: Option<Sender<()>>,
    told: Receiver<Told>,
    thread: Option<JoinHandle<()>>,
    living: Living,
    attached: Timestamp,
    notes: Vec<String>,
    untold: EventSet,
    surprises: Vec<String>,
    cgroup_paths: Vec<String>,
    /// Execs fail without the tracer.
    filtered: bool,
}

impl Live {
    pub(super) fn open(want: &Want) -> Result<Self, Error> {
        let Some(held) = want.held.clone() else {
            return Err(error(unavailable(
                "ptrace follows a command that procscope starts, and no other process",
                Cause::NotConfigured,
                "name the command: procscope run --source ptrace -- CMD",
            )));
        };
        if let Verdict::Unavailable(obstacle) = probe() {
            return Err(error(obstacle));
        }
        let cgroups = resolve_cgroups(want)?;
        // Only a filter shows failed execs.
        let filter = want.events.contains(Kind::ExecFailed);
        let can_stop = std::fs::read_to_string("/proc/sys/kernel/seccomp/actions_avail")
            .is_ok_and(|actions| actions.split_whitespace().any(|action| action == "trace"));
        let (mut notes, mut untold) = (Vec::new(), EventSet::NONE);
        let missing = want.events.iter().filter(|kind| !EVENTS.contains(*kind)).map(Kind::name).collect::<Vec<_>>();
        if !missing.is_empty() {
            notes.push(format!("{} events are missing: ptrace does not report them", missing.join(", ")));
        }
        if filter && !can_stop {
            notes.push("exec-failed events are missing: this kernel has no seccomp filters".to_owned());
            untold = untold.with(Kind::ExecFailed);
        }
        let mut surprises = Vec::new();
        if sys::proc_has_own_pids().is_none() {
            surprises.push(format!("{NAMELESS}; mount -t proc proc /proc"));
        }
        let living = Living::default();
        let (sender, told) = sync_channel(QUEUE);
        let (go, gone) = channel::<()>();
        let (seized, answer) = channel::<io::Result<()>>();
        let (events, env) = (want.events, want.env != EnvWanted::No);
        let filtered = filter && can_stop;
        // If only execs are wanted, no process needs to stop at its end.
        let ends =
            [Kind::Fork, Kind::Clone, Kind::Exit, Kind::ThreadExit].into_iter().any(|kind| events.contains(kind));
        // Half a command is worse than none: with a filter none continues without us. Without one
        // all may.
        let to_the_last = filtered || want.launch.as_ref().is_some_and(|launch| launch.wait_all);
        let (theirs, members) = (Arc::clone(&held), living.clone());
        let trace = move || {
            let result = calls::seize(theirs.pid(), ends, filtered);
            let failed = result.is_err();
            if seized.send(result).is_err() || failed {
                return;
            }
            let mut tracer = Tracer::new(theirs.pid(), events, env, sender, members);
            if gone.recv().is_err() {
                return;
            }
            if filtered {
                theirs.open_gate_with_filter()
            } else {
                theirs.open_gate()
            }
            tracer.run(|status| {
                theirs.command().end(|| Some(Some(status)));
                to_the_last
            });
        };
        let spawned = thread::Builder::new().name("ps-trace".to_owned()).spawn(trace);
        let thread = spawned.map_err(|error| Error::System { what: "starting a thread", error })?;
        match answer.recv() {
            Ok(Ok(())) => {}
            Ok(Err(refusal)) => {
                let what = format!("the command may not be traced: {refusal}");
                let remedy = "run it as root: sudo procscope run -- CMD";
                return Err(error(
                    perhaps_filtered(&what).unwrap_or_else(|| unavailable(what, Cause::Privilege, remedy)),
                ));
            }
            Err(_) => {
                let error = io::Error::other("its thread ended");
                return Err(Error::Source { source_id: SourceId::Ptrace, what: "beginning to trace", error });
            }
        }
        let attached = sys::clock().wall(sys::now_boot_ns());
        Ok(Self {
            want: want.clone(),
            held,
            go: Some(go),
            told,
            thread: Some(thread),
            living,
            attached,
            notes,
            untold,
            surprises,
            cgroup_paths: cgroups.paths,
            filtered,
        })
    }

    /// Delivers the waiting records; false at the end.
    fn deliver(&mut self, out: &mut Outlet<'_>, stop: &Stop) -> bool {
        let mut first = match self.told.recv_timeout(ASLEEP) {
            Ok(told) => Some(told),
            Err(RecvTimeoutError::Timeout) => return !stop.is_stopped(),
            Err(RecvTimeoutError::Disconnected) => return false,
        };
        loop {
            out.set_clock(sys::clock());
            loop {
                let told = match first.take() {
                    Some(told) => told,
                    None => match self.told.try_recv() {
                        Ok(told) => told,
                        Err(TryRecvError::Empty) => break,
                        Err(TryRecvError::Disconnected) => return false,
                    },
                };
                if told.put(out).is_break() {
                    return false;
                }
            }
            if out.batch_end().is_break() || stop.is_stopped() {
                return false;
            }
            thread::park_timeout(INTERVAL);
            match self.told.try_recv() {
                Ok(told) => first = Some(told),
                Err(TryRecvError::Empty) => return true,
                Err(TryRecvError::Disconnected) => return false,
            }
        }
    }
}

impl Source for Live {
    fn attached(&self) -> Timestamp {
        self.attached
    }

    fn notes(&self) -> Vec<String> {
        [&self.notes[..], &self.surprises].concat()
    }

    fn untold(&self) -> EventSet {
        self.untold
    }

    fn surprises(&self) -> Vec<String> {
        self.surprises.clone()
    }

    fn rights(&self) -> &'static [&'static str] {
        // With it a traced set-uid program gets the rights that it would have untraced.
        &["CAP_SYS_PTRACE"]
    }

    fn prepare(&self, pipeline: &mut Pipeline) {
        pipeline.choose(&self.want);
        pipeline.filter_cgroup_paths(self.cgroup_paths.clone());
    }

    fn run(&mut self, out: &mut Outlet<'_>, stop: &Stop) -> Result<(), Error> {
        if let Some(go) = self.go.take() {
            let _ = go.send(());
        }
        while self.deliver(out, stop) {}
        let _ = out.batch_end();
        // From here on the tracer's records are dropped, so it never waits.
        let (_, nothing) = sync_channel(0);
        drop(std::mem::replace(&mut self.told, nothing));
        if let Some(thread) = self.thread.take() {
            while !thread.is_finished() {
                let over = self.held.command().status().is_some();
                if over && !self.filtered {
                    // Living processes are released with this program; until then the thread does
                    // what it must.
                    return self.held.became();
                }
                // Without us the rest could not continue: their execs would fail.
                if stop.is_stopped() && over {
                    self.living.kill();
                }
                thread::sleep(Duration::from_millis(5));
            }
            let _ = thread.join();
        }
        self.held.became()
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        // If it never ran, the thread ends, and the kernel ends the command with it.
        self.go = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

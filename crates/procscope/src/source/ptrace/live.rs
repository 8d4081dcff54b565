use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, TryRecvError, channel, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::owned::OwnedRecord;
use super::tracer::{Living, Tracer};
use super::{EVENTS, calls};
use crate::launch::Held;
use crate::launch::filter::CALLS;
use crate::source::cgroups::resolve_cgroups;
use crate::source::intake::Intake;
use crate::source::stop::Stop;
use crate::source::{Attached, Left, Source, foreign_proc, not_reported, note, perhaps_filtered, without_proc};
use crate::{Cause, EnvWanted, Error, EventSet, Field, Kind, Lack, Obstacle, Remedy, SourceId, Verdict, Want, sys};

/// How long records are gathered while there are some: waking for each would cost the command time.
const INTERVAL: Duration = Duration::from_millis(20);
/// How often a sleeping thread checks whether it is to stop.
const ASLEEP: Duration = Duration::from_millis(200);
/// This many records wait for a slow sink; then the command waits.
const QUEUE: usize = 4096;

fn error(obstacle: Obstacle) -> Error {
    Error::Unavailable { source_id: SourceId::Ptrace, obstacle }
}

/// What is missing without /proc.
fn nameless() -> Obstacle {
    let fields = &[Field::Parent, Field::Name, Field::Exe, Field::Argv, Field::Cwd];
    without_proc(|why| Lack::Fields { fields, why })
}

pub(super) fn probe() -> Verdict {
    let scope = std::fs::read_to_string("/proc/sys/kernel/yama/ptrace_scope").unwrap_or_default();
    let (release, least) = (sys::kernel_version(), (5, 3));
    let obstacle = if CALLS.is_empty() {
        let remedy = Remedy::OtherSource { id: Some(SourceId::Ebpf) };
        Obstacle::new(Lack::UnknownCalls { arch: std::env::consts::ARCH }, Cause::NotConfigured, remedy)
    } else if release < least {
        let old = Obstacle::new(Lack::OldKernel { release, least }, Cause::TooOld, Remedy::Root);
        old.or(Remedy::Kernel { least: Some(least), options: &[] })
    } else if sys::proc_has_own_pids() == Some(false) {
        foreign_proc()
    } else if calls::is_refused() {
        let call = "ptrace(2)";
        let refused = || Lack::Refused { call, error: None, filtered: false, needs_net_admin: false };
        let other = || Obstacle::new(refused(), Cause::Privilege, Remedy::Unconfined);
        perhaps_filtered(call, None).unwrap_or_else(other)
    } else if scope.trim() == "3" {
        let parameter = "kernel.yama.ptrace_scope=1";
        Obstacle::new(Lack::NoTracing, Cause::NotConfigured, Remedy::Boot { parameter })
    } else if sys::proc_has_own_pids().is_none() {
        return Verdict::Degraded(vec![nameless()]);
    } else {
        return Verdict::Ready;
    };
    Verdict::Unavailable(obstacle)
}

/// The command, seized by a thread that waits for its release.
pub(super) struct Live {
    held: Arc<Held>,
    go: Option<Sender<()>>,
    told: Receiver<OwnedRecord>,
    thread: Option<JoinHandle<()>>,
    living: Living,
    /// Execs fail without the tracer.
    filtered: bool,
}

impl Live {
    pub(super) fn open(want: &Want) -> Result<Attached, Error> {
        let Some(held) = want.held.clone() else {
            let lack = Lack::NoCommand { of: SourceId::Ptrace };
            return Err(error(Obstacle::new(lack, Cause::NotConfigured, Remedy::NameCommand)));
        };
        if let Verdict::Unavailable(obstacle) = probe() {
            return Err(error(obstacle));
        }
        let cgroups = resolve_cgroups(want)?;
        // Only a filter shows failed execs.
        let filter = want.events.contains(Kind::ExecFailed);
        let can_stop = std::fs::read_to_string("/proc/sys/kernel/seccomp/actions_avail")
            .is_ok_and(|actions| actions.split_whitespace().any(|action| action == "trace"));
        let mut notes: Vec<_> = not_reported(want, SourceId::Ptrace, EVENTS).into_iter().collect();
        let mut missing_kinds = EventSet::NONE;
        if filter && !can_stop {
            missing_kinds = missing_kinds.with(Kind::ExecFailed);
            notes.push(note(Lack::Kinds { kinds: missing_kinds, why: Lack::NoSeccomp.into() }));
        }
        let mut surprises = Vec::new();
        if sys::proc_has_own_pids().is_none() {
            surprises.push(nameless().into());
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
                let what = "tracing the command";
                return Err(error(perhaps_filtered(what, Some(&refusal)).unwrap_or_else(|| {
                    Obstacle::new(Lack::Failed { what, error: (&refusal).into() }, Cause::Privilege, Remedy::Root)
                })));
            }
            Err(_) => {
                let error = io::Error::other("its thread ended");
                return Err(Error::Source { source_id: SourceId::Ptrace, what: "beginning to trace", error });
            }
        }
        let since = sys::clock().wall(sys::now_boot_ns());
        let live = Self { held, go: Some(go), told, thread: Some(thread), living, filtered };
        Ok(Attached {
            since,
            notes,
            surprises,
            unavailable: missing_kinds,
            // With it a traced set-uid program gets the rights that it would have untraced.
            rights: &["CAP_SYS_PTRACE"],
            left: Left { processes: true, cgroup_paths: cgroups.paths },
            source: Box::new(live),
        })
    }

    /// Delivers the waiting records; false at the end.
    fn deliver(&mut self, out: &mut dyn Intake, stop: &Stop) -> bool {
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
    fn run(&mut self, out: &mut dyn Intake, stop: &Stop) -> Result<(), Error> {
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

use std::io;
use std::sync::Arc;

use super::decode::{Format, Kernel, Role, Schema};
use super::instance::{Instance, Names, TraceClock, Tracefs, clean};
use super::probe::{open_tracefs, reads_others, refused, unavailable};
use super::probes::Probes;
use super::records::{Execs, Records};
use crate::source::cgroups::resolve_cgroups;
use crate::source::follow::Follower;
use crate::source::intake::Intake;
use crate::source::looker::Looker;
use crate::source::stop::Stop;
use crate::source::tracker::{Settings, Tracker};
use crate::source::{Attached, Left, Source, no_proc, not_reported, note};
use crate::{Cause, EnvWanted, Error, EventSet, Kind, Lack, Note, Obstacle, Remedy, SourceId, Want, sys};

/// The default for all CPUs together, bytes; each has at least and at most this many of them.
const DEFAULT_BUFFER: usize = 32 << 20;
const LEAST_BUFFER: usize = 1 << 20;
const MOST_BUFFER: usize = 8 << 20;
/// The buffer for execs alone is smaller by this factor.
const EXEC_SHARE: usize = 8;

/// The kernel's records of processes, turned on.
pub(super) struct Live {
    follower: Follower,
    records: Records,
}

/// A schema of these events of an instance, as far as they exist.
fn schema_of(instance: &Instance, events: &[(Role, String)]) -> Result<(Schema, Vec<Role>), Error> {
    let fail = |error| unavailable(refused(&error));
    let mut schema: Option<Schema> = None;
    let mut found = Vec::new();
    for (role, event) in events {
        let path = format!("events/{event}/format");
        if !instance.has(&path) {
            continue;
        }
        let format = Format::decode(&instance.read(&path).map_err(fail)?).map_err(|_| strange(event))?;
        if schema.is_none() {
            schema = Some(Schema::new(&format).map_err(|_| strange(event))?);
        }
        if let Some(schema) = &mut schema
            && schema.add(*role, &format).is_ok()
        {
            found.push(*role);
        }
    }
    schema.map(|schema| (schema, found)).ok_or_else(|| strange("any"))
}

fn strange(event: &str) -> Error {
    let strange = Lack::StrangeTraceEvent { event: event.to_owned() };
    unavailable(Obstacle::new(strange, Cause::Io, Remedy::OtherSource { id: None }))
}

fn named(roles: &[Role]) -> Vec<(Role, String)> {
    roles.iter().filter_map(|&role| role.event().map(|(group, name)| (role, format!("{group}/{name}")))).collect()
}

/// The probes that these events need, as far as they can be made.
fn probe_for(want: &Want, tracefs: &Arc<Tracefs>, names: &Names) -> Probes {
    let events = want.events.union(want.needs);
    let wants = |kinds: &[Kind]| kinds.iter().any(|&kind| events.contains(kind));
    let mut probes = Probes::new(tracefs, names);
    if wants(&[Kind::Existing, Kind::Exec, Kind::Exit]) {
        probes.image();
    }
    if wants(&[Kind::Exit, Kind::ThreadExit]) {
        probes.doom();
    }
    if events.contains(Kind::ExecFailed) || !probes.has(Role::Image) {
        probes.calls();
    }
    probes
}

/// From Linux 6.0 on the thread that ends last has its process's status.
fn last_thread_decides() -> bool {
    sys::kernel_version() >= (6, 0)
}

/// The kernel's own trace events that these events need.
fn roles_for(want: &Want, probes: &Probes) -> Vec<Role> {
    let events = want.events.union(want.needs);
    let mut roles = vec![Role::NewTask, Role::Exit, Role::Rename];
    if events.contains(Kind::Exit) || events.contains(Kind::ThreadExit) {
        roles.extend([Role::Generate, Role::Deliver, Role::OomVictim]);
        // Before Linux 6.0 the first thread's status is the process's, unless all end with one.
        if !probes.has(Role::Doom) || !last_thread_decides() {
            roles.extend([Role::EnterExit, Role::EnterExitGroup]);
        }
    } else if events.contains(Kind::Core) {
        roles.push(Role::Deliver);
    }
    let calls = events.contains(Kind::ExecFailed) || events.contains(Kind::Comm);
    if calls || probes.has(Role::CallPath) || probes.has(Role::CallArguments) {
        roles.extend([Role::EnterExec, Role::EnterExecAt, Role::LeaveExec, Role::LeaveExecAt]);
    }
    if events.contains(Kind::Sid) {
        roles.push(Role::LeaveSetsid);
    }
    roles
}

/// Each CPU's buffer, bytes.
fn buffer_for(want: &Want) -> usize {
    let cpus = std::thread::available_parallelism().map_or(1, usize::from);
    match want.ring_bytes {
        Some(bytes) => bytes / cpus,
        None => (DEFAULT_BUFFER / cpus).clamp(LEAST_BUFFER, MOST_BUFFER),
    }
}

/// The buffer for execs alone, with the thread that looks at their processes.
fn look_at_execs(
    want: &Want,
    tracefs: &Arc<Tracefs>,
    names: &Names,
    buffer: usize,
) -> Result<Arc<Looker<Execs>>, Error> {
    let instance = Instance::make(tracefs, names, "execs", buffer).map_err(|error| unavailable(refused(&error)))?;
    let (schema, _) = schema_of(&instance, &named(&[Role::Exec]))?;
    let pipes = instance.pipes().map(|pipe| pipe.try_clone()).collect::<io::Result<_>>();
    let pipes = pipes.map_err(|error| Error::System { what: "sharing a pipe", error })?;
    Looker::new(pipes, Execs::new(instance, schema, want.env != EnvWanted::No))
}

/// Turns the events on. A thread's process has to be known before the first record of it: later
/// births are reported, and the others are listed before any other event is turned on.
fn attach(records: &mut Records, all: &[(Role, String)], found: &[Role]) -> Result<(), Error> {
    let fail = |error: io::Error| unavailable(refused(&error));
    let enable = |instance: &Instance, (_, event): &(Role, String)| instance.enable(event).map_err(fail);
    let (births, rest): (Vec<_>, Vec<_>) =
        all.iter().filter(|(role, _)| found.contains(role)).partition(|(role, _)| *role == Role::NewTask);
    births.iter().try_for_each(|event| enable(&records.main, event))?;
    for pid in sys::list_processes() {
        records.assembler.learn(pid, pid);
        sys::list_threads(pid).into_iter().for_each(|tid| records.assembler.learn(tid, pid));
    }
    rest.iter().try_for_each(|event| enable(&records.main, event))?;
    named(&[Role::Exec]).iter().try_for_each(|event| enable(&records.looker.lock().instance, event))?;
    Ok(())
}

impl Live {
    pub(super) fn open(want: &Want) -> Result<Attached, Error> {
        if !want.cgroups.is_empty() && sys::list_processes().is_empty() {
            return Err(unavailable(no_proc()));
        }
        let cgroups = resolve_cgroups(want)?;
        let tracefs = Arc::new(open_tracefs().map_err(unavailable)?);
        clean(&tracefs);
        let names = Names::new();
        let probes = probe_for(want, &tracefs, &names);
        let buffer = buffer_for(want);
        let main = Instance::make(&tracefs, &names, "main", buffer).map_err(|error| unavailable(refused(&error)))?;
        let mut all = named(&roles_for(want, &probes));
        all.extend(probes.defined.clone());
        let (mut schema, found) = schema_of(&main, &all)?;
        let shows_paths = found.contains(&Role::EnterExec) && schema.shows_paths();
        let mut kernel = Kernel { tells_faults: sys::kernel_version() >= (6, 2), ..Kernel::default() };
        if shows_paths && let Some(bytes) = main.keep_user_strings() {
            kernel.user_string = bytes;
        }
        schema.set_kernel(kernel);
        let looker = look_at_execs(want, &tracefs, &names, buffer / EXEC_SHARE)?;
        for role in [Role::Generate, Role::Deliver] {
            if let Some((group, name)) = role.event().filter(|_| found.contains(&role)) {
                // Each end sends one, which ends no process.
                let _ = main.write(&format!("events/{group}/{name}/filter"), &format!("sig != {}", libc::SIGCHLD));
            }
        }
        let mut records = Records::new(looker, main, schema, probes);
        attach(&mut records, &all, &found)?;
        let attached_ns = sys::now_boot_ns();
        let mut settings = Settings::new(want, true, last_thread_decides(), false);
        settings.logins = sys::keeps_logins();
        let live = Self { follower: Follower::new(want, Tracker::new(settings), attached_ns), records };
        let failures_missing =
            want.events.union(want.needs).contains(Kind::ExecFailed) && !found.contains(&Role::LeaveExec);
        Ok(Attached {
            since: sys::clock().wall(attached_ns),
            notes: live.notes(want, &found, shows_paths, buffer),
            surprises: Vec::new(),
            unavailable: if failures_missing { EventSet::NONE.with(Kind::ExecFailed) } else { EventSet::NONE },
            // It reads other users' processes; without root it needs more than a name to remove the
            // instance in the end.
            rights: match rustix::process::geteuid().is_root() {
                true => &["CAP_SYS_PTRACE"],
                false => &["CAP_SYS_PTRACE", "CAP_DAC_OVERRIDE"],
            },
            left: Left { processes: true, cgroup_paths: [cgroups.unified_paths, cgroups.paths].concat() },
            source: Box::new(live),
        })
    }

    /// What it cannot do here.
    fn notes(&self, want: &Want, found: &[Role], shows_paths: bool, buffer: usize) -> Vec<Note> {
        let has = |role| found.contains(&role);
        let events = want.events;
        let mut notes: Vec<_> = not_reported(want, SourceId::Tracefs, EventSet::LINUX).into_iter().collect();
        let mut lacks = |what: Lack| notes.push(note(what));
        if !has(Role::Image) && events.contains(Kind::Exec) {
            lacks(if has(Role::CallArguments) { Lack::ArgumentsOfCall } else { Lack::LateArguments });
        }
        let ends = events.contains(Kind::Exit);
        if ends && !has(Role::Doom) {
            lacks(if has(Role::EnterExitGroup) { Lack::StatusWorkedOut } else { Lack::StatusUnknown });
        }
        if events.contains(Kind::ExecFailed) {
            if !has(Role::LeaveExec) {
                let kinds = EventSet::NONE.with(Kind::ExecFailed);
                lacks(Lack::Kinds { kinds, why: Lack::NoCallEvents.into() });
            } else if !(has(Role::CallPath) && has(Role::CallArguments)) {
                lacks(Lack::TriedWithout { paths: shows_paths, why: Lack::NoProbes.into() });
            }
        }
        let calls = has(Role::LeaveExec) && events.contains(Kind::ExecFailed) || has(Role::LeaveSetsid);
        if calls && cfg!(any(target_arch = "x86_64", target_arch = "aarch64")) {
            lacks(Lack::No32BitCalls);
        }
        if matches!(self.records.main.clock, TraceClock::Other(_)) {
            lacks(Lack::TimesWorkedOut);
        }
        if self.records.main.buffer_kib < buffer >> 11 {
            lacks(Lack::SmallBuffer { bytes: (self.records.main.buffer_kib as u64) << 10, each_cpu: true });
        }
        if !reads_others() {
            lacks(Lack::OtherUsersFields);
        }
        notes
    }
}

impl Source for Live {
    fn run(&mut self, out: &mut dyn Intake, stop: &Stop) -> Result<(), Error> {
        let fail = |error| Error::Source { source_id: SourceId::Tracefs, what: "reading the trace", error };
        let looker = Arc::clone(&self.records.looker);
        looker.beside(|| self.follower.pump(&mut self.records, out, stop))?.map_err(fail)
    }
}

//! The contract of all mechanisms, and their table.
//!
//! A mechanism's static value exists on every OS, so that naming it anywhere gives an explanation.
//! Code for its own system only is in `live.rs`, its only file with FFI; its input is decoded in
//! `decode.rs`, on every OS.

mod auto;
#[cfg(target_os = "linux")]
pub(crate) mod cgroups;
#[cfg(feature = "ebpf")]
pub(crate) mod ebpf;
pub(crate) mod happening;
pub(crate) mod look;
#[cfg(target_os = "linux")]
pub(crate) mod looker;
#[cfg(target_os = "linux")]
pub(crate) mod proc_files;
pub(crate) mod proc_poll;
pub(crate) mod process_connector;
pub(crate) mod ptrace;
pub(crate) mod record;
pub(crate) mod settling;
pub(crate) mod stop;
pub(crate) mod tracefs;
pub(crate) mod tracker;

use crate::launch::Launch;
use crate::pipeline::{Outlet, Pipeline};
use crate::plan::{Explanation, Pushdown, plan};
use crate::{Capabilities, Cause, Error, EventSet, Obstacle, Pid, SourceId, SourceInfo, Timestamp, Verdict, Want, sys};

/// One way by which a system reports its processes.
pub(crate) trait Mechanism: Sync {
    fn id(&self) -> SourceId;

    /// What it can report at its best; on this kernel, if that can be found out.
    fn capabilities(&self) -> Capabilities;

    /// It watches only a command that it runs.
    fn needs_command(&self) -> bool {
        false
    }

    /// Whether it works here. Changes nothing; what it cannot find out that way, it does not call a
    /// no.
    #[cfg(target_os = "linux")]
    fn probe(&self) -> Verdict;

    /// All mechanisms so far are Linux's.
    #[cfg(not(target_os = "linux"))]
    fn probe(&self) -> Verdict {
        Verdict::Unavailable(wrong_os())
    }

    /// The parts of a filter that it can decide by itself.
    fn pushdown(&self) -> Pushdown {
        Pushdown::default()
    }

    /// Attaches. From its return on every wanted event is buffered or counted as lost.
    #[cfg(target_os = "linux")]
    fn open(&self, want: &Want) -> Result<Box<dyn Source>, Error>;

    /// Says whose it is.
    #[cfg(not(target_os = "linux"))]
    fn open(&self, _: &Want) -> Result<Box<dyn Source>, Error> {
        Err(Error::Unavailable { source_id: self.id(), obstacle: wrong_os() })
    }
}

/// An attached mechanism.
pub(crate) trait Source: Send {
    /// When it was attached.
    fn attached(&self) -> Timestamp;

    /// What it cannot do here, in words fit for a person.
    fn notes(&self) -> Vec<String>;

    /// Those of its notes that its cost does not already say.
    fn surprises(&self) -> Vec<String> {
        Vec::new()
    }

    /// The requested kinds that it reports elsewhere, but not here.
    fn untold(&self) -> EventSet {
        EventSet::NONE
    }

    /// The rights of `capabilities(7)` that it still needs while it runs.
    fn rights(&self) -> &'static [&'static str];

    /// Sets up the pipeline for the work that this mechanism leaves to it.
    fn prepare(&self, pipeline: &mut Pipeline);

    /// Puts records into the outlet until stopped, then those up to that moment. It stays attached
    /// until dropped.
    fn run(&mut self, out: &mut Outlet<'_>, stop: &stop::Stop) -> Result<(), Error>;
}

/// Every mechanism of this build: of two that can report the same, the better one first.
pub(crate) static SOURCES: &[&dyn Mechanism] = &[
    #[cfg(feature = "ebpf")]
    &ebpf::Ebpf,
    &ptrace::Ptrace,
    &process_connector::ProcessConnector,
    &tracefs::Tracefs,
    &proc_poll::ProcPoll,
];

/// The mechanisms of this build, and whether they work here: the best first, for exec, exec-failed
/// and exit events.
pub fn sources() -> Vec<SourceInfo> {
    let info = |mechanism: &dyn Mechanism| SourceInfo {
        id: mechanism.id(),
        command_only: mechanism.needs_command(),
        capabilities: mechanism.capabilities(),
        verdict: mechanism.probe(),
    };
    let want = Want { launch: Some(Launch::default()), ..Want::default() };
    auto::best_first(&want).into_iter().map(info).collect()
}

/// Those of these that are below the roots, with the roots. Each time it is called, `parents` gives
/// every process and its parent.
pub(crate) fn descendants<P: Iterator<Item = (Pid, Pid)>>(roots: &[Pid], parents: impl Fn() -> P) -> Vec<Pid> {
    let mut members: std::collections::HashSet<Pid> = roots.iter().copied().collect();
    loop {
        let new = parents().filter(|(pid, parent)| !members.contains(pid) && members.contains(parent));
        let new: Vec<Pid> = new.map(|(pid, _)| pid).collect();
        if new.is_empty() {
            return members.into_iter().collect();
        }
        members.extend(new);
    }
}

/// Why a system call is refused, if a filter may have done it, and the remedy.
#[cfg(target_os = "linux")]
pub(crate) fn perhaps_filtered(what: &str) -> Option<Obstacle> {
    sys::is_filtered().then(|| Obstacle {
        what: format!("{what}; a seccomp filter is set here, as in containers, and may have refused it"),
        cause: Cause::Privilege,
        remedy: "run procscope on the host, or start the container with --security-opt seccomp=unconfined".into(),
    })
}

/// Why a command cannot be followed by its pid in a /proc that gives it another one.
#[cfg(target_os = "linux")]
pub(crate) fn foreign_proc() -> Obstacle {
    Obstacle {
        what: "/proc is that of another pid namespace, where the command has another pid".into(),
        cause: Cause::NotConfigured,
        remedy: "mount it again: mount -t proc proc /proc".into(),
    }
}

/// What a source misses of trees if it reports a new process's parent, and not its creator.
#[cfg(target_os = "linux")]
pub(crate) fn parents_alone(want: &Want) -> Option<String> {
    let alone = !want.trees.is_empty() && want.held.is_none();
    alone.then(|| {
        "a child that the tree's own process makes with CLONE_PARENT is missing: only parents are reported here".into()
    })
}

/// A name as the kernel keeps it.
pub(crate) fn comm_of(name: &[u8]) -> record::Comm {
    let mut comm = record::Comm::default();
    let len = name.len().min(comm.len() - 1);
    comm[..len].copy_from_slice(&name[..len]);
    comm
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

#[cfg(not(target_os = "linux"))]
fn wrong_os() -> Obstacle {
    Obstacle {
        what: format!("a mechanism of Linux, and this is {}", std::env::consts::OS),
        cause: Cause::WrongOs,
        remedy: "run procscope without --source".into(),
    }
}

/// The mechanisms planned for a system that has none yet.
fn to_come() -> &'static str {
    match std::env::consts::OS {
        "windows" => "etw, wmi, a driver, toolhelp",
        "macos" => "dtrace, eslogger",
        _ => "none",
    }
}

/// A mechanism that was opened.
pub(crate) struct Opened {
    pub(crate) id: SourceId,
    pub(crate) capabilities: Capabilities,
    pub(crate) source: Box<dyn Source>,
    /// What it cannot do here. If it is not the best one, that comes first: why, its cost, and the
    /// remedy.
    pub(crate) notes: Vec<String>,
}

/// The named mechanism, or those that can do this, the best first.
fn candidates(named: Option<SourceId>, want: &Want) -> Vec<&'static dyn Mechanism> {
    match named {
        Some(id) => SOURCES.iter().copied().filter(|mechanism| mechanism.id() == id).collect(),
        None => auto::best_first(want),
    }
}

/// Opens the named mechanism, or the best that works here. A named one never falls back.
pub(crate) fn open(named: Option<SourceId>, want: &Want) -> Result<Opened, Error> {
    let none = Error::NoMechanism { os: std::env::consts::OS, to_come: to_come() };
    if named.is_none() && !cfg!(target_os = "linux") {
        return Err(none);
    }
    #[cfg(target_os = "linux")]
    crate::proc::timens::renew();
    let mut failures = Vec::new();
    for mechanism in candidates(named, want) {
        let plan = plan(want, mechanism.id(), &mechanism.pushdown(), sys::uid_of);
        match mechanism.open(&plan.want) {
            Ok(source) => {
                let own = match failures.first() {
                    Some(better) => [vec![instead_of(better, mechanism)], source.surprises()].concat(),
                    None => source.notes(),
                };
                #[cfg(target_os = "linux")]
                let own = own.into_iter().chain((!crate::proc::timens::is_known()).then(unknown_time)).collect();
                let notes: Vec<String> = own;
                return Ok(Opened { id: mechanism.id(), capabilities: mechanism.capabilities(), source, notes });
            }
            Err(error @ (Error::Filter { .. } | Error::Sink(_))) => return Err(error),
            Err(error) => failures.push(error),
        }
    }
    Err(match failures.len() {
        0 => none,
        1 => failures.swap_remove(0),
        _ => Error::NoneWorks { failures },
    })
}

/// What is unknown without /proc.
#[cfg(target_os = "linux")]
fn unknown_time() -> String {
    "times may be off by a time namespace's offsets, which only /proc shows; mount it: mount -t proc proc /proc"
        .to_owned()
}

/// Says in one line why this mechanism was picked, what that costs, and how to get the better one.
fn instead_of(better: &Error, mechanism: &dyn Mechanism) -> String {
    let (name, cost) = (mechanism.id().name(), mechanism.capabilities().cost);
    match better {
        Error::Unavailable { source_id, obstacle: Obstacle { what, remedy, .. } } => {
            format!("{name} in place of {}, since {what}. So {cost}. For all of it: {remedy}", source_id.name())
        }
        other => format!("{name}, since {other}. So {cost}"),
    }
}

/// The filter's effect on the named mechanism, or on the best.
pub(crate) fn explain(named: Option<SourceId>, want: &Want) -> Result<Explanation, Error> {
    let mechanism = candidates(named, want)
        .into_iter()
        .next()
        .ok_or(Error::NoMechanism { os: std::env::consts::OS, to_come: to_come() })?;
    Ok(plan(want, mechanism.id(), &mechanism.pushdown(), sys::uid_of).explanation)
}

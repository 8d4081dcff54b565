//! The contract of all mechanisms.
//!
//! A mechanism's static value exists on every OS, so that naming it anywhere gives an explanation.
//! Code for its own system only is in `live.rs`, its only file with FFI; its input is decoded in
//! `decode.rs`, on every OS.

mod auto;
#[cfg(target_os = "linux")]
pub(crate) mod cgroups;
#[cfg(feature = "ebpf")]
pub(crate) mod ebpf;
#[cfg(target_os = "linux")]
pub(crate) mod follow;
pub(crate) mod happening;
pub(crate) mod intake;
pub(crate) mod look;
#[cfg(target_os = "linux")]
pub(crate) mod looker;
#[cfg(target_os = "linux")]
pub(crate) mod proc_files;
pub(crate) mod proc_poll;
pub(crate) mod process_connector;
pub(crate) mod ptrace;
pub(crate) mod settling;
pub(crate) mod stop;
pub(crate) mod table;
pub(crate) mod tracefs;
pub(crate) mod tracker;

use crate::plan::Pushdown;
use crate::{
    Capabilities, Cause, Error, EventSet, Lack, Note, Obstacle, Pid, Remedy, SourceId, Timestamp, Verdict, Want, sys,
};
use intake::Intake;

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
    fn open(&self, want: &Want) -> Result<Attached, Error>;

    /// Says whose it is.
    #[cfg(not(target_os = "linux"))]
    fn open(&self, _: &Want) -> Result<Attached, Error> {
        Err(Error::Unavailable { source_id: self.id(), obstacle: wrong_os() })
    }
}

/// An attached mechanism.
pub(crate) struct Attached {
    /// Since when nothing is missed.
    pub(crate) since: Timestamp,
    /// What it cannot do here and its cost says already.
    pub(crate) notes: Vec<Note>,
    /// The same, where its cost does not say it.
    pub(crate) surprises: Vec<Note>,
    /// The requested kinds that it reports elsewhere, but not here.
    pub(crate) unavailable: EventSet,
    /// The rights of `capabilities(7)` that it still needs while it runs.
    pub(crate) rights: &'static [&'static str],
    /// What it leaves to be done with its records.
    pub(crate) left: Left,
    pub(crate) source: Box<dyn Source>,
}

/// The part of the choice that a source cannot make itself.
#[derive(Default)]
pub(crate) struct Left {
    /// Everything but cgroups and kinds of event.
    pub(crate) processes: bool,
    /// Only processes in these cgroups or below are wanted; all where there is none.
    pub(crate) cgroup_paths: Vec<String>,
}

/// A mechanism at work.
pub(crate) trait Source: Send {
    /// Puts records into the outlet until stopped, then those up to that moment. It stays attached
    /// until dropped.
    fn run(&mut self, out: &mut dyn Intake, stop: &stop::Stop) -> Result<(), Error>;
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
pub(crate) fn perhaps_filtered(call: &'static str, error: Option<&std::io::Error>) -> Option<Obstacle> {
    let options = &["--security-opt seccomp=unconfined"];
    sys::is_filtered().then(|| {
        let error = error.map(Into::into);
        let refused = Lack::Refused { call, error, filtered: true, needs_net_admin: false };
        Obstacle::new(refused, Cause::Privilege, Remedy::Host { options, user_namespace: true })
    })
}

/// Why a command cannot be followed by its pid in a /proc that gives it another one.
#[cfg(target_os = "linux")]
pub(crate) fn foreign_proc() -> Obstacle {
    Obstacle::new(Lack::ForeignProc, Cause::NotConfigured, Remedy::mount_proc())
}

/// Why nothing can be read of processes.
#[cfg(target_os = "linux")]
pub(crate) fn no_proc() -> Obstacle {
    Obstacle::new(Lack::NotMounted { path: "/proc" }, Cause::NotConfigured, Remedy::mount_proc())
}

/// What is missing without /proc.
#[cfg(target_os = "linux")]
pub(crate) fn without_proc(missing: impl FnOnce(Box<Lack>) -> Lack) -> Obstacle {
    let Obstacle { what, cause, .. } = no_proc();
    Obstacle::new(missing(what.into()), cause, Remedy::mount_proc())
}

/// What a source misses of trees if it reports a new process's parent, and not its creator.
#[cfg(target_os = "linux")]
pub(crate) fn parents_alone(want: &Want) -> Option<Note> {
    let alone = !want.trees.is_empty() && want.held.is_none();
    alone.then(|| note(Lack::ParentsAlone))
}

/// A note that nothing helps against.
#[cfg(target_os = "linux")]
pub(crate) fn note(what: Lack) -> Note {
    Obstacle::lasting(what, Cause::NotConfigured).into()
}

/// The kinds that are wanted and that the mechanism never reports.
#[cfg(target_os = "linux")]
pub(crate) fn not_reported(want: &Want, by: SourceId, events: EventSet) -> Option<Note> {
    let missing = want.events.iter().filter(|&kind| !events.contains(kind) && kind != crate::Kind::Lost);
    let kinds = missing.fold(EventSet::NONE, EventSet::with);
    (kinds != EventSet::NONE).then(|| note(Lack::Kinds { kinds, why: Lack::NotReported { of: by }.into() }))
}

#[cfg(not(target_os = "linux"))]
fn wrong_os() -> Obstacle {
    let lack = Lack::OtherSystem { needs: "Linux", this: std::env::consts::OS };
    Obstacle::new(lack, Cause::WrongOs, Remedy::AnySource)
}

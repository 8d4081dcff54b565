use std::io;
use std::os::fd::AsFd;

use super::EVENTS;
use super::decode::what;
use super::messages::{Execs, Messages};
use super::own::Own;
use super::probe::{nameless, reads_others, refused, unavailable};
use super::socket::{Kinds, Socket};
use crate::source::cgroups::resolve_cgroups;
use crate::source::follow::{Follower, Supply as _};
use crate::source::intake::Intake;
use crate::source::looker::Looker;
use crate::source::stop::Stop;
use crate::source::tracker::{Settings, Tracker};
use crate::source::{Attached, Left, Source, no_proc, not_reported, note, parents_alone};
use crate::{Cause, EnvWanted, Error, EventSet, Kind, Lack, Note, Obstacle, Remedy, SourceId, Want, sys};

/// The default size of each socket, bytes; kernel memory, used only while we are behind.
const DEFAULT_BUFFER: usize = 64 << 20;
/// The kinds of message that show which processes live, and their state.
fn follows(events: EventSet) -> bool {
    let whole_lives = [Kind::Existing, Kind::Fork, Kind::Clone, Kind::Exec, Kind::Exit, Kind::ThreadExit]
        .map(|kind| events.contains(kind));
    whole_lives.contains(&true)
}

/// The kinds of message that the events need, if no process's life is followed.
fn kinds_of(events: EventSet) -> Kinds {
    let table = [
        (Kind::Core, what::COREDUMP),
        (Kind::Comm, what::COMM),
        (Kind::Uid, what::UID),
        (Kind::Gid, what::GID),
        (Kind::Sid, what::SID),
        (Kind::Ptrace, what::PTRACE),
    ];
    Kinds(table.into_iter().filter(|(kind, _)| events.contains(*kind)).fold(0, |kinds, (_, bit)| kinds | bit))
}

/// The kernel's messages about processes, being received.
pub(super) struct Live {
    follower: Follower,
    messages: Messages,
}

impl Live {
    pub(super) fn open(want: &Want) -> Result<Attached, Error> {
        if !want.cgroups.is_empty() && sys::list_processes().is_empty() {
            return Err(unavailable(no_proc()));
        }
        let cgroups = resolve_cgroups(want)?;
        let follows = follows(want.events.union(want.needs));
        let buffer = want.ring_bytes.unwrap_or(DEFAULT_BUFFER);
        let kinds = if follows { Kinds(what::ALL & !what::EXEC) } else { kinds_of(want.events) };
        let event_filter = !follows && sys::kernel_version() >= (6, 6);
        let rest = Socket::listen(kinds, buffer, event_filter).map_err(refused)?;
        let looker = if follows {
            let socket = Socket::listen(Kinds(what::EXEC), buffer, false).map_err(refused)?;
            let exec_fd = socket.as_fd().try_clone_to_owned();
            let exec_fd = exec_fd.map_err(|error| Error::System { what: "sharing a socket", error })?;
            let execs = Execs::new(socket, want.env != EnvWanted::No);
            Some(Looker::new(vec![exec_fd], execs)?)
        } else {
            None
        };
        let since_ns = if follows { sys::now_mono_ns() } else { 0 };
        let attached_ns = sys::now_boot_ns();
        let mut settings = Settings::new(want, follows, sys::kernel_version() >= (6, 0), true);
        settings.logins = sys::keeps_logins();
        let own = want.held.as_ref().filter(|_| follows).and_then(Own::of);
        let live = Self {
            follower: Follower::new(want, Tracker::new(settings), attached_ns),
            messages: Messages::new(looker, rest, since_ns, own),
        };
        Ok(Attached {
            since: sys::clock().wall(attached_ns),
            notes: live.notes(want, buffer),
            surprises: Vec::new(),
            unavailable: EventSet::NONE,
            // It reads other users' processes.
            rights: &["CAP_SYS_PTRACE"],
            left: Left { processes: true, cgroup_paths: [cgroups.unified_paths, cgroups.paths].concat() },
            source: Box::new(live),
        })
    }

    /// What it cannot do here.
    fn notes(&self, want: &Want, buffer: usize) -> Vec<Note> {
        let mut notes: Vec<_> = parents_alone(want).into_iter().collect();
        notes.extend(not_reported(want, SourceId::ProcessConnector, EVENTS));
        if self.messages.rest.buffer_bytes < buffer / 2 {
            let small = Lack::SmallBuffer { bytes: self.messages.rest.buffer_bytes as u64, each_cpu: false };
            notes.push(Obstacle::new(small, Cause::Privilege, Remedy::LargerBuffer).into());
        }
        if self.messages.rest.drops().is_none() && !self.messages.follows() {
            notes.push(note(Lack::UncountedLosses));
        }
        if sys::list_processes().is_empty() {
            notes.push(nameless().into());
        } else if !reads_others() {
            notes.push(note(Lack::OtherUsersFields));
        }
        notes
    }
}

impl Source for Live {
    fn run(&mut self, out: &mut dyn Intake, stop: &Stop) -> Result<(), Error> {
        let fail = |error: io::Error| Error::Source {
            source_id: SourceId::ProcessConnector,
            what: "receiving messages",
            error,
        };
        let looker = self.messages.looker();
        let mut pump = || self.follower.pump(&mut self.messages, out, stop);
        let pumped = match looker {
            Some(looker) => looker.beside(pump)?,
            None => pump(),
        };
        pumped.map_err(fail)
    }
}

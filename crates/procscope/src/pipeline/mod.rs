//! Records become true events here: named, timed, filtered, numbered. No threads, no OS.

mod cgroup;
mod choice;
mod event;
mod identity;
mod ids;
mod intern;
mod lineage;
mod outlet;
mod parts;
mod process;
mod table;
mod usage;

use std::collections::HashMap;
use std::sync::Arc;

#[cfg(feature = "fuzzing")]
pub(crate) use cgroup::cgroup_identity;
pub(crate) use outlet::Outlet;

use crate::launch::Kin;
use crate::proc::id_maps::IdMaps;
use crate::record::{Body, CgroupKey, ChunkOf, Comm, ImageRecord, NamesUp, Record, RefRecord, Subject};
use crate::sys::{Clock, Names};
use crate::{
    Argv, BootId, CommChange, CoreDump, Credentials, EnvWanted, Event, EventKind, ExecFailure, ExecInfo, Exit,
    ExitStatus, Field, Filter, Flaw, Flaws, ForkInfo, Kind, Login, Lost, Namespaces, Pid, Process, ProcessRef,
    PtraceChange, SourceId, StartTime, ThreadExit, Want,
};
use cgroup::Cgroups;
use identity::Identity;
use intern::Interner;
use lineage::Lineage;
use parts::{
    id_change, is_cut, known, list, mark_of, missing, name_of, reference, set_image, share, status_of, unseen,
};
use table::{Image, Table};

/// See the module.
pub(crate) struct Pipeline {
    source: SourceId,
    clock: Clock,
    names: Box<dyn Names>,
    page_bytes: u64,
    env: EnvWanted,
    /// Filters that the kernel could not apply.
    cgroup_paths: Vec<String>,
    containers: Vec<String>,
    choice: Option<choice::Choice>,
    undecided: u64,
    /// Events that the choice or the filter refused for a value that is not to be trusted.
    refused_unsure: u64,
    filter: Option<Filter>,
    lineage: Lineage,
    kin: Option<Kin>,
    /// For a source that reads the ids of a user namespace.
    id_maps: Option<IdMaps>,
    wanted: crate::EventSet,
    table: Table,
    cgroups: Cgroups,
    interner: Interner,
    chunks: HashMap<(Pid, u64), Chunks>,
    credentials: [Option<Arc<Credentials>>; RECENT],
    /// A batch began after the last credentials.
    names_due: bool,
    identity: Identity,
    spare: Option<Arc<Process>>,
    seq: u64,
    last_ns: u64,
}

/// The parts of an incomplete long list, by the tid and time of their exec.
#[derive(Default)]
struct Chunks {
    argv: Vec<u8>,
    env: Vec<u8>,
}

/// This many execs with long lists may be incomplete at once; the kernel side can have one for each
/// CPU.
const MOST_CHUNKED: usize = 1024;
/// The parts of a list come at one time, by the kernel's clock, and the exec directly after them:
/// parts older by this belong to a lost exec.
const CHUNKS_LAST_NS: u64 = 1_000_000_000;
/// The memory of longer lists is returned at once, bytes.
const LONG_LIST: usize = 64 << 10;

/// This many different credentials are kept at hand.
const RECENT: usize = 16;

impl Pipeline {
    pub(crate) fn new(source: SourceId, want: &Want, names: Box<dyn Names>, page_bytes: u64) -> Self {
        Self {
            source,
            clock: Clock::default(),
            names,
            page_bytes,
            env: want.env.clone(),
            cgroup_paths: Vec::new(),
            containers: want.containers.clone(),
            choice: None,
            undecided: 0,
            refused_unsure: 0,
            filter: want.filter.clone(),
            lineage: Lineage::new(want.filter.as_ref().is_some_and(Filter::reads_ancestry)),
            kin: None,
            id_maps: None,
            wanted: want.events,
            table: Table::default(),
            cgroups: Cgroups::default(),
            interner: Interner::new(),
            chunks: HashMap::new(),
            credentials: Default::default(),
            names_due: true,
            identity: Identity::new(matches!(source, SourceId::Ebpf)),
            spare: None,
            seq: 0,
            last_ns: 0,
        }
    }

    /// Call this at the beginning of each batch.
    pub(crate) fn set_clock(&mut self, clock: Clock) {
        self.clock = clock;
        self.names_due = true;
    }

    /// Only processes in these cgroups or below pass; for a source that cannot decide this itself.
    pub(crate) fn filter_cgroup_paths(&mut self, paths: Vec<String>) {
        self.cgroup_paths = paths;
    }

    /// Only wanted processes pass; for a source that cannot decide this itself.
    pub(crate) fn choose(&mut self, want: &Want) {
        self.choice = Some(choice::Choice::new(want));
    }

    /// These processes, chosen by pid, were already running.
    pub(crate) fn pin(&mut self, pins: impl IntoIterator<Item = (Pid, StartTime)>) {
        self.identity.pin(pins);
    }

    /// These are in the wanted trees.
    pub(crate) fn plant(&mut self, members: Vec<Pid>) {
        if let Some(choice) = &mut self.choice {
            choice.plant(members);
        }
    }

    /// How many processes were forked since the last call that may or may not be wanted: nothing
    /// about them is reported.
    pub(crate) fn take_undecided(&mut self) -> u64 {
        std::mem::take(&mut self.undecided)
    }

    pub(crate) fn set_boot_id(&mut self, boot: BootId) {
        self.lineage.set_boot_id(boot);
    }

    /// The source reads ids as a user namespace numbers them.
    pub(crate) fn translate_ids(&mut self, maps: Option<IdMaps>) {
        self.id_maps = maps;
    }

    /// Counts a command's living descendants.
    pub(crate) fn follow(&mut self, kin: Kin) {
        self.kin = Some(kin);
    }

    /// Updates the tables from a record without making an event.
    pub(crate) fn note(&mut self, record: &Record<'_>) {
        self.see(record);
        self.lineage.end(&record.body);
    }

    fn see(&mut self, record: &Record<'_>) {
        let body = &record.body;
        let Self { lineage, interner, kin, .. } = self;
        if let Some(kin) = kin {
            kin.see(body);
        }
        lineage.see(body, || match body {
            Body::Existing { image, .. } | Body::Exec { image, .. } | Body::Fork { image: Some(image), .. } => {
                image.exe.map(|names| interner.intern_names(names, is_cut(&record.flaws, Field::Exe)))
            }
            _ => None,
        });
    }

    /// Makes the event of a record, if any.
    pub(crate) fn feed(&mut self, record: &Record<'_>) -> Option<Event> {
        self.see(record);
        self.identity.meet(&record.body);
        let event = self.event_of(record);
        self.identity.leave(&record.body);
        self.lineage.end(&record.body);
        event
    }

    /// Events are missing that may have replaced programs.
    pub(crate) fn doubt_images(&mut self, lost: &Lost) {
        let kinds = [Kind::Exec, Kind::Fork, Kind::Lost].map(|kind| lost.counts.of(kind));
        self.table.count_loss(kinds.iter().fold(0, |sum: u64, n| sum.saturating_add(*n)));
    }

    /// The mark in the place of missing events.
    pub(crate) fn lost(&mut self, lost: Lost) -> Event {
        let time = self.clock.wall(self.last_ns);
        Event::new(self.next_seq(), time, self.source, None, None, EventKind::Lost(lost))
    }

    fn next_seq(&mut self) -> u64 {
        self.seq += 1;
        self.seq
    }

    /// Images matter only to later events.
    fn keeps_images(&self) -> bool {
        self.wanted.iter().any(|kind| !matches!(kind, Kind::Existing | Kind::Exec | Kind::Lost))
    }

    fn passes(&self, process: &Process) -> bool {
        self.would_pass(process, |_| false)
    }

    /// The same, assuming the best about doubtful values.
    fn would_pass(&self, process: &Process, doubtful: impl Fn(Field) -> bool) -> bool {
        let below = |path: &str| {
            let under = |root: &String| {
                path.strip_prefix(root.trim_end_matches('/'))
                    .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            };
            self.cgroup_paths.iter().any(under)
        };
        let contained = |id: &str| self.containers.iter().any(|wanted| id.starts_with(wanted.as_str()));
        let anywhere = doubtful(Field::Cgroup);
        self.choice.as_ref().is_none_or(|choice| choice.takes(process, &doubtful))
            && (self.cgroup_paths.is_empty() || anywhere || process.cgroup.as_deref().is_some_and(below))
            && (self.containers.is_empty() || anywhere || process.container.as_deref().is_some_and(contained))
    }

    /// Whether a refused process would pass if all the requested values were known.
    /// [`Pipeline::take_undecided`] counts those whose forks could not be decided.
    fn is_unsure(&self, process: &Process) -> bool {
        let unknown = [Flaw::Unreadable, Flaw::NotObserved, Flaw::AfterLoss];
        // A cut cgroup's path lacks its beginning.
        let doubtful = |field| match process.flaws.get(field) {
            Some(Flaw::Truncated) => field == Field::Cgroup,
            flaw => flaw.is_some_and(|flaw| unknown.contains(&flaw)),
        };
        !process.flaws.is_empty() && self.would_pass(process, doubtful)
    }

    /// How many events were refused so far because of unknown values.
    pub(crate) fn refused_unsure(&self) -> u64 {
        self.refused_unsure
    }

    /// Takes an event back, so that the next one can reuse it.
    pub(crate) fn recycle(&mut self, event: Event) {
        // A kept process is not reused, and a long list is not held until the next event.
        let is_short = |list: &Option<Arc<Argv>>| list.as_ref().is_none_or(|list| list.block().len() <= LONG_LIST);
        let is_spare = |process: &Arc<Process>| {
            Arc::strong_count(process) == 1 && is_short(&process.argv) && is_short(&process.env)
        };
        self.spare = event.process.filter(is_spare);
    }
}

#[cfg(test)]
pub(crate) mod tests;

//! Records become true events here: named, timed, filtered, numbered. No threads, no OS.

mod cgroup;
mod choice;
mod identity;
mod ids;
mod intern;
mod lineage;
mod outlet;
mod table;
mod usage;

use std::collections::HashMap;
use std::sync::Arc;

#[cfg(feature = "fuzzing")]
pub(crate) use cgroup::cgroup_identity;
pub(crate) use outlet::Outlet;

use crate::launch::Kin;
use crate::proc::id_maps::IdMaps;
use crate::source::record::{
    Body, CgroupKey, ChunkOf, Comm, ImageRecord, ListRecord, NamesUp, Record, RefRecord, Subject, UNKNOWN_COMM,
    UNKNOWN_ID,
};
use crate::sys::{Clock, Names};
use crate::{
    Argv, BootId, CommChange, CoreDump, Credentials, EnvWanted, Event, EventKind, ExecFailure, ExecInfo, Exit,
    ExitStatus, Field, Filter, Flaw, Flaws, ForkInfo, IdChange, KIND_COUNT, Kind, Login, Lost, Name, Namespaces, Pid,
    Process, ProcessRef, PtraceChange, SourceId, StartTime, ThreadExit, Want,
};
use cgroup::Cgroups;
use identity::Identity;
use intern::Interner;
use lineage::Lineage;
use table::{Image, Table};

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

    fn event_of(&mut self, record: &Record<'_>) -> Option<Event> {
        let flaws = &record.flaws;
        if record.boot_ns != 0 {
            self.last_ns = record.boot_ns;
        }
        if let Some(choice) = &mut self.choice {
            choice.follow(record);
        }
        let (mut process, tid, mut kind, mut flaws_of_event) = match &record.body {
            Body::Chunk { tid, of, offset, bytes } => {
                self.take_chunk(*tid, record.boot_ns, *of, *offset, bytes);
                return None;
            }
            Body::Cgroup { key, names, cut } => {
                self.take_cgroup(*key, *names, *cut);
                return None;
            }
            Body::Existing { subject, image } => {
                let image = self.image(subject, image, record.boot_ns, flaws);
                self.table.insert(subject, image.clone());
                (self.process(subject, image), Some(subject.tid), EventKind::Existing, Flaws::new())
            }
            Body::Fork { unasked: true, .. } => return None,
            Body::Fork { subject, thread, call, flags: clone_flags, creator, image, .. } => {
                let info = ForkInfo {
                    call: *call,
                    flags: *clone_flags,
                    creator: creator.as_ref().map(reference),
                    creator_tid: creator.as_ref().map(|creator| creator.tid),
                };
                if *thread {
                    (self.living(subject), Some(subject.tid), EventKind::Clone(info), Flaws::new())
                } else {
                    let image = match image {
                        Some(image) => self.image(subject, image, record.boot_ns, flaws),
                        None => self.copied_image(subject, creator.as_ref()),
                    };
                    self.table.insert(subject, image.clone());
                    (self.process(subject, image), Some(subject.tid), EventKind::Fork(info), Flaws::new())
                }
            }
            Body::Exec { subject, old_comm, old_tid, image } => {
                let image = self.image(subject, image, record.boot_ns, flaws);
                if self.keeps_images() {
                    self.table.insert(subject, image.clone());
                }
                let mut event_flaws = Flaws::new();
                mark_of(&mut event_flaws, flaws, |field| field == Field::OldName);
                let info = ExecInfo { old_name: old_comm.as_ref().and_then(name_of), old_tid: *old_tid };
                (self.process(subject, image), Some(subject.tid), EventKind::Exec(info), event_flaws)
            }
            Body::ExecFailed { subject, errno, dirfd, path, argv } => {
                let mut event_flaws = Flaws::new();
                mark_of(&mut event_flaws, flaws, |_| true);
                // Unseen arguments are not an empty list.
                let seen = event_flaws.get(Field::Argv) != Some(Flaw::NotObserved);
                let failure = ExecFailure {
                    errno: *errno,
                    path: path.map(Into::into),
                    argv: seen.then(|| Arc::new(Argv::from_block(*argv))),
                    dirfd: *dirfd,
                };
                (self.living(subject), Some(subject.tid), EventKind::ExecFailed(failure), event_flaws)
            }
            Body::Exit { subject, .. } if self.identity.has_ended(subject) => {
                // Before Linux 6.16 two threads that end at once may both find themselves the last.
                let end = ThreadExit { status: ExitStatus::Unknown, duration_ns: None, thread_name: None };
                (self.living(subject), Some(subject.tid), EventKind::ThreadExit(end), Flaws::new())
            }
            Body::Exit { subject, exit } => {
                let mut event_flaws = Flaws::new();
                mark_of(&mut event_flaws, flaws, |_| true);
                let image = self.table.take(subject).unwrap_or_else(|| unseen(subject));
                let process = self.process(subject, image);
                let end = Exit {
                    status: status_of(exit.wait_status),
                    killer: exit.killer.as_ref().map(reference),
                    oom: exit.oom,
                    duration_ns: record.boot_ns.checked_sub(subject.start_ns),
                    usage: exit.usage.map(|usage| usage::usage(&usage, self.page_bytes)).unwrap_or_default(),
                };
                (process, Some(subject.tid), EventKind::Exit(end), event_flaws)
            }
            Body::ThreadExit { subject, wait_status, thread_start_ns, comm } => {
                let end = ThreadExit {
                    status: status_of(*wait_status),
                    duration_ns: record.boot_ns.checked_sub(*thread_start_ns),
                    thread_name: name_of(comm),
                };
                let mut event_flaws = Flaws::new();
                mark_of(&mut event_flaws, flaws, |field| field == Field::Status);
                (self.living(subject), Some(subject.tid), EventKind::ThreadExit(end), event_flaws)
            }
            Body::Core { subject, signo } => {
                let flaws = missing(Field::Status, signo.is_none());
                (self.living(subject), Some(subject.tid), EventKind::Core(CoreDump { signo: *signo }), flaws)
            }
            Body::Comm { subject, old, new } => {
                let mut process = self.living(subject);
                if subject.pid == subject.tid {
                    Arc::make_mut(&mut process).name = name_of(new);
                }
                let change = CommChange { old: name_of(old), new: Name::from_comm(new) };
                let flaws = missing(Field::OldName, change.old.is_none());
                (process, Some(subject.tid), EventKind::Comm(change), flaws)
            }
            Body::Uid { subject, old } => {
                (self.living(subject), Some(subject.tid), EventKind::Uid(id_change(*old)), Flaws::new())
            }
            Body::Gid { subject, old } => {
                (self.living(subject), Some(subject.tid), EventKind::Gid(id_change(*old)), Flaws::new())
            }
            Body::Sid { subject } => (self.living(subject), Some(subject.tid), EventKind::Sid, Flaws::new()),
            Body::Ptrace { subject, other, attach, of_caller } => self.ptrace(subject, other, *attach, *of_caller),
        };
        if !record.about.is_empty() {
            mark_of(&mut Arc::make_mut(&mut process).flaws, &record.about, |_| true);
        }
        if let Some(maps) = &self.id_maps {
            ids::translate(Arc::make_mut(&mut process), &mut kind, maps);
        }
        self.identity.mark(&mut process);
        mark_of(&mut flaws_of_event, &record.flaws, |field| field == Field::Time);
        if self.clock.is_doubtful() {
            self.doubt_clock(&mut process, &mut flaws_of_event);
        }
        let forked = matches!(kind, EventKind::Fork(_));
        if forked && self.choice.as_ref().is_some_and(|choice| choice.is_undecided(&process)) {
            self.undecided += 1;
        }
        let asked = self.wanted.contains(kind.kind());
        let chosen = self.identity.is_chosen(process.id);
        let passes = chosen && self.passes(&process);
        if asked && chosen && !passes && !forked && self.is_unsure(&process) {
            self.refused_unsure += 1;
        }
        if let Some(choice) = &mut self.choice {
            choice.leave(record);
        }
        if !(asked && passes) {
            return None;
        }
        let time = self.clock.wall(record.boot_ns);
        let mut event = Event::new(self.seq + 1, time, self.source, Some(process), tid, kind);
        event.processor = record.processor;
        event.flaws = flaws_of_event;
        if let Some(filter) = self.filter.as_ref().filter(|filter| !filter.matches(&event, &self.lineage)) {
            self.refused_unsure += u64::from(filter.is_undecided(&event, &self.lineage));
            self.recycle(event);
            return None;
        }
        self.seq = event.seq;
        Some(event)
    }

    /// Marks the doubts that the time namespace leaves; an existing mark says more.
    fn doubt_clock(&self, process: &mut Arc<Process>, of_event: &mut Flaws) {
        let doubts = self.clock.doubts(process, self.source);
        for (field, flaw) in doubts.iter() {
            let of_process = matches!(field, Field::Id | Field::Parent);
            let flaws = if of_process { &mut Arc::make_mut(process).flaws } else { &mut *of_event };
            if flaws.get(field).is_none() {
                flaws.mark(field, flaw);
            }
        }
    }

    /// Events are missing that may have replaced programs.
    pub(crate) fn doubt_images(&mut self, lost: &[u64; KIND_COUNT]) {
        let kinds = [Kind::Exec, Kind::Fork, Kind::Lost].map(|kind| lost[kind as usize]);
        self.table.count_loss(kinds.iter().fold(0, |sum: u64, n| sum.saturating_add(*n)));
    }

    /// The mark in the place of missing events.
    pub(crate) fn lost(&mut self, counts: [u64; KIND_COUNT]) -> Event {
        let time = self.clock.wall(self.last_ns);
        Event::new(self.next_seq(), time, self.source, None, None, EventKind::Lost(Lost { counts }))
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

    /// A new process is a copy of its creator.
    fn copied_image(&self, subject: &Subject, creator: Option<&RefRecord>) -> Image {
        if subject.kthread {
            return Image::default();
        }
        let original = creator.unwrap_or(&subject.parent);
        let Some(mut image) = self.table.image(original.pid, original.start_ns, subject.exec_id) else {
            return Image::unseen();
        };
        // The worse mark stays: a cut list is cut in the copy too.
        for (field, has) in [(Field::Argv, image.argv.is_some()), (Field::Exe, image.exe.is_some())] {
            if has && image.flaws.get(field).is_none() {
                image.flaws.mark(field, Flaw::Inherited);
            }
        }
        image
    }

    fn ptrace(
        &mut self,
        subject: &Subject,
        other: &RefRecord,
        attach: bool,
        of_caller: bool,
    ) -> (Arc<Process>, Option<Pid>, EventKind, Flaws) {
        if of_caller {
            let tracer = (other.pid != 0).then(|| reference(other));
            let kind = EventKind::Ptrace(PtraceChange { attach, tracer });
            return (self.living(subject), Some(subject.tid), kind, Flaws::new());
        }
        let tracer = ProcessRef { id: subject.id(), name: name_of(&subject.comm) };
        let kind = EventKind::Ptrace(PtraceChange { attach, tracer: Some(tracer) });
        let mut process = Process::new(other.id());
        process.name = name_of(&other.comm);
        set_image(&mut process, self.table.image(other.pid, other.start_ns, None).unwrap_or_else(Image::unseen));
        (Arc::new(process), Some(other.tid), kind, Flaws::new())
    }

    /// A process with the image that was last seen.
    fn living(&mut self, subject: &Subject) -> Arc<Process> {
        let image = self.table.image(subject.pid, subject.start_ns, subject.exec_id).unwrap_or_else(|| unseen(subject));
        self.process(subject, image)
    }

    fn process(&mut self, subject: &Subject, image: Image) -> Arc<Process> {
        let mut shared = self.spare.take().unwrap_or_else(|| Arc::new(Process::new(subject.id())));
        let process = Arc::make_mut(&mut shared);
        process.id = subject.id();
        process.ns_pid = (subject.ns_pid != 0).then_some(subject.ns_pid);
        // The first process has no parent with a name.
        let parent = Some(&subject.parent).filter(|parent| parent.pid != 0 || parent.comm != Comm::default());
        process.parent = parent.map(reference);
        process.name = name_of(&subject.comm);
        let credentials = known(subject.uid).map(|_| self.credentials(subject));
        share(&mut process.credentials, credentials);
        process.sid = known(subject.sid);
        process.pgid = known(subject.pgid);
        process.tty = subject.tty;
        process.namespaces = (subject.namespaces != Namespaces::default()).then_some(subject.namespaces);
        set_image(process, image);
        let cgroup = self.cgroups.get(subject.cgroup);
        share(&mut process.cgroup, cgroup.map(|cgroup| &cgroup.path));
        share(&mut process.container, cgroup.and_then(|cgroup| cgroup.container.as_ref()));
        share(&mut process.unit, cgroup.and_then(|cgroup| cgroup.unit.as_ref()));
        match cgroup {
            Some(cgroup) if cgroup.cut => process.flaws.mark(Field::Cgroup, Flaw::Truncated),
            None if subject.cgroup != CgroupKey::default() => process.flaws.mark(Field::Cgroup, Flaw::NotObserved),
            _ => {}
        }
        shared
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

    fn credentials(&mut self, subject: &Subject) -> &Arc<Credentials> {
        if std::mem::take(&mut self.names_due) && self.names.renew() {
            self.credentials = Default::default();
        }
        let slot = &mut self.credentials[(subject.uid ^ subject.euid ^ subject.gid ^ subject.egid) as usize % RECENT];
        let ids = (subject.uid, subject.euid, subject.gid, subject.egid);
        let login = (known(subject.login.uid), known(subject.login.session));
        let login_of =
            |of: &Credentials| of.login.as_ref().map_or((None, None), |login| (Some(login.uid), login.session));
        let known = slot
            .take()
            .filter(|known| (known.uid, known.euid, known.gid, known.egid) == ids && login_of(known) == login);
        slot.insert(known.unwrap_or_else(|| {
            Arc::new(Credentials {
                uid: subject.uid,
                euid: subject.euid,
                gid: subject.gid,
                egid: subject.egid,
                user: self.names.user(subject.uid),
                euser: self.names.user(subject.euid),
                group: self.names.group(subject.gid),
                egroup: self.names.group(subject.egid),
                login: login.0.map(|uid| Login { uid, user: self.names.user(uid), session: login.1 }),
            })
        }))
    }

    fn image(&mut self, subject: &Subject, image: &ImageRecord<'_>, boot_ns: u64, marks: &Flaws) -> Image {
        let mut flaws = Flaws::new();
        mark_of(&mut flaws, marks, |field| {
            !matches!(field, Field::OldName | Field::Usage | Field::Time)
                && (field != Field::Env || self.env != EnvWanted::No)
        });
        let chunks = match self.chunks.is_empty() {
            true => Chunks::default(),
            false => self.chunks.remove(&(subject.tid, boot_ns)).unwrap_or_default(),
        };
        let argv = match flaws.get(Field::Argv) {
            Some(Flaw::Unreadable | Flaw::NotObserved) => None,
            _ => Some(Arc::new(list(&image.argv, chunks.argv, Field::Argv, &mut flaws))),
        };
        let env = match (&image.env, &self.env) {
            (None, _) | (_, EnvWanted::No) => None,
            _ if flaws.get(Field::Env) == Some(Flaw::Unreadable) => None,
            (Some(env), EnvWanted::All) => Some(Arc::new(list(env, chunks.env, Field::Env, &mut flaws))),
            (Some(env), EnvWanted::Named(names)) => {
                let all = list(env, chunks.env, Field::Env, &mut flaws);
                let named = |var: &&bstr::BStr| {
                    names.iter().any(|name| var.strip_prefix(&name[..]).is_some_and(|rest| rest.first() == Some(&b'=')))
                };
                Some(Arc::new(Argv::from_strings(all.iter().filter(named))))
            }
        };
        Image {
            path: image.path.map(|path| self.interner.intern(path)),
            exe: image.exe.map(|names| self.interner.intern_names(names, is_cut(marks, Field::Exe))),
            interpreter: image.interpreter.map(|path| self.interner.intern(path)),
            exe_traits: image.exe_traits,
            argv: if subject.kthread { None } else { argv },
            env,
            cwd: image.cwd.map(|names| self.interner.intern_names(names, is_cut(marks, Field::Cwd))),
            cwd_deleted: image.cwd_deleted,
            flaws,
        }
    }

    fn take_chunk(&mut self, tid: Pid, boot_ns: u64, of: ChunkOf, offset: usize, bytes: &[u8]) {
        if !self.chunks.is_empty() && !self.chunks.contains_key(&(tid, boot_ns)) {
            self.chunks.retain(|(_, ns), _| ns.saturating_add(CHUNKS_LAST_NS) > boot_ns);
            if self.chunks.len() >= MOST_CHUNKED {
                self.chunks.clear();
            }
        }
        let chunks = self.chunks.entry((tid, boot_ns)).or_default();
        let list = match of {
            ChunkOf::Argv => &mut chunks.argv,
            ChunkOf::Env => &mut chunks.env,
        };
        // A gap would join separate parts.
        if list.len() == offset {
            list.extend_from_slice(bytes);
        }
    }

    fn take_cgroup(&mut self, key: CgroupKey, names: NamesUp<'_>, cut: bool) {
        let mut path = if cut { intern::GAP.to_vec() } else { Vec::new() };
        names.write_path(&mut path);
        self.cgroups.insert(key, &String::from_utf8_lossy(&path), cut);
    }
}

/// The image of a process whose own was never seen; a kernel thread has none.
fn unseen(subject: &Subject) -> Image {
    if subject.kthread { Image::default() } else { Image::unseen() }
}

/// Lets both share one value. Counting one sharer more and one less costs more than checking
/// whether they share it already.
fn share<T: ?Sized>(mine: &mut Option<Arc<T>>, theirs: Option<&Arc<T>>) {
    match (&*mine, theirs) {
        (Some(mine), Some(theirs)) if Arc::ptr_eq(mine, theirs) => {}
        (None, None) => {}
        _ => *mine = theirs.cloned(),
    }
}

fn set_image(process: &mut Process, image: Image) {
    process.path = image.path;
    process.exe = image.exe;
    process.interpreter = image.interpreter;
    process.exe_traits = image.exe_traits;
    process.argv = image.argv;
    process.env = image.env;
    process.cwd = image.cwd;
    process.cwd_deleted = image.cwd_deleted;
    process.flaws = image.flaws;
}

/// Paths that the kernel gives name by name, from the leaf on, lack their beginning if cut.
fn is_cut(flaws: &Flaws, field: Field) -> bool {
    flaws.get(field) == Some(Flaw::Truncated)
}

/// The mark of a field that no source showed.
fn missing(field: Field, is_missing: bool) -> Flaws {
    let mut flaws = Flaws::new();
    if is_missing {
        flaws.mark(field, Flaw::NotObserved);
    }
    flaws
}

fn mark_of(flaws: &mut Flaws, marks: &Flaws, take: impl Fn(Field) -> bool) {
    for (field, flaw) in marks.iter().filter(|(field, _)| take(*field)) {
        flaws.mark(field, flaw);
    }
}

fn list(record: &ListRecord<'_>, chunks: Vec<u8>, field: Field, flaws: &mut Flaws) -> Argv {
    let list = if chunks.is_empty() { Argv::from_block(record.inline) } else { Argv::from_block(chunks) };
    if list.block().len() != record.len {
        flaws.mark(field, Flaw::Truncated);
    }
    list
}

fn name_of(comm: &Comm) -> Option<Name> {
    (*comm != UNKNOWN_COMM).then(|| Name::from_comm(comm))
}

fn known(id: u32) -> Option<u32> {
    (id != UNKNOWN_ID).then_some(id)
}

fn reference(record: &RefRecord) -> ProcessRef {
    ProcessRef { id: record.id(), name: name_of(&record.comm) }
}

fn status_of(wait_status: Option<u32>) -> ExitStatus {
    wait_status.map_or(ExitStatus::Unknown, ExitStatus::from_wait_status)
}

fn id_change(old: Option<[u32; 2]>) -> IdChange {
    IdChange { old_real: old.map(|[real, _]| real), old_effective: old.map(|[_, effective]| effective) }
}

#[cfg(test)]
pub(crate) mod tests;

//! The event of a record.

use super::*;
use crate::Name;
use crate::record::ExitRecord;

/// An event's process, thread, kind, and own flaws.
type Made = (Arc<Process>, Option<Pid>, EventKind, Flaws);

/// These of the marks.
fn marks(of: &Flaws, take: impl Fn(Field) -> bool) -> Flaws {
    let mut flaws = Flaws::new();
    mark_of(&mut flaws, of, take);
    flaws
}

impl Pipeline {
    pub(super) fn event_of(&mut self, record: &Record<'_>) -> Option<Event> {
        if record.boot_ns != 0 {
            self.last_ns = record.boot_ns;
        }
        if let Some(choice) = &mut self.choice {
            choice.follow(record);
        }
        let (mut process, tid, mut kind, mut flaws_of_event) = self.made_of(record)?;
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

    /// The process, the kind and the event's own flaws; `None` for a record that is no event.
    fn made_of(&mut self, record: &Record<'_>) -> Option<Made> {
        let flaws = &record.flaws;
        Some(match &record.body {
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
            Body::Fork { subject, thread, call, flags, creator, image, .. } => {
                let mut info = ForkInfo::new(*call, *flags);
                info.creator = creator.as_ref().map(reference);
                info.creator_tid = creator.as_ref().map(|creator| creator.tid);
                match thread {
                    true => (self.living(subject), Some(subject.tid), EventKind::Clone(info), Flaws::new()),
                    false => self.fork(record, subject, creator.as_ref(), image.as_ref(), info),
                }
            }
            Body::Exec { subject, old_comm, old_tid, image } => {
                let info = ExecInfo::new(old_comm.as_ref().and_then(name_of), *old_tid);
                self.exec(record, subject, image, info)
            }
            Body::ExecFailed { subject, errno, dirfd, path, argv } => {
                let own = marks(flaws, |_| true);
                // Unseen arguments are not an empty list.
                let seen = own.get(Field::Argv) != Some(Flaw::NotObserved);
                let mut failure = ExecFailure::new(*errno);
                failure.path = path.map(Into::into);
                failure.argv = seen.then(|| Arc::new(Argv::from_block(*argv)));
                failure.dirfd = *dirfd;
                (self.living(subject), Some(subject.tid), EventKind::ExecFailed(failure), own)
            }
            Body::Exit { subject, .. } if self.identity.has_ended(subject) => {
                // Before Linux 6.16 two threads that end at once may both find themselves the last.
                let end = ThreadExit::new(ExitStatus::Unknown);
                (self.living(subject), Some(subject.tid), EventKind::ThreadExit(end), Flaws::new())
            }
            Body::Exit { subject, exit } => self.exit(record, subject, exit),
            Body::ThreadExit { subject, wait_status, thread_start_ns, comm } => {
                let mut end = ThreadExit::new(status_of(*wait_status));
                end.duration_ns = record.boot_ns.checked_sub(*thread_start_ns);
                end.thread_name = name_of(comm);
                let own = marks(flaws, |field| field == Field::Status);
                (self.living(subject), Some(subject.tid), EventKind::ThreadExit(end), own)
            }
            Body::Ptrace { subject, other, attach, of_caller } => self.ptrace(subject, other, *attach, *of_caller),
            body => self.changed(body)?,
        })
    }

    /// What changes while a process runs.
    fn changed(&mut self, body: &Body<'_>) -> Option<Made> {
        let mut own = Flaws::new();
        let subject = body.subject()?;
        let mut process = self.living(subject);
        let kind = match body {
            Body::Core { signo, .. } => {
                own = missing(Field::Status, signo.is_none());
                EventKind::Core(CoreDump::new(*signo))
            }
            Body::Comm { old, new, .. } => {
                if subject.pid == subject.tid {
                    Arc::make_mut(&mut process).name = name_of(new);
                }
                let change = CommChange::new(name_of(old), Name::from_comm(new));
                own = missing(Field::OldName, change.old.is_none());
                EventKind::Comm(change)
            }
            Body::Uid { old, .. } => EventKind::Uid(id_change(*old)),
            Body::Gid { old, .. } => EventKind::Gid(id_change(*old)),
            Body::Sid { .. } => EventKind::Sid,
            Body::Existing { .. } | Body::Fork { .. } | Body::Exec { .. } | Body::ExecFailed { .. } => return None,
            Body::Exit { .. } | Body::ThreadExit { .. } | Body::Ptrace { .. } => return None,
            Body::Chunk { .. } | Body::Cgroup { .. } => return None,
        };
        Some((process, Some(subject.tid), kind, own))
    }

    fn fork(
        &mut self,
        record: &Record<'_>,
        subject: &Subject,
        creator: Option<&RefRecord>,
        image: Option<&ImageRecord<'_>>,
        info: ForkInfo,
    ) -> Made {
        let image = match image {
            Some(image) => self.image(subject, image, record.boot_ns, &record.flaws),
            None => self.copied_image(subject, creator),
        };
        self.table.insert(subject, image.clone());
        (self.process(subject, image), Some(subject.tid), EventKind::Fork(info), Flaws::new())
    }

    fn exec(&mut self, record: &Record<'_>, subject: &Subject, image: &ImageRecord<'_>, info: ExecInfo) -> Made {
        let image = self.image(subject, image, record.boot_ns, &record.flaws);
        if self.keeps_images() {
            self.table.insert(subject, image.clone());
        }
        let own = marks(&record.flaws, |field| field == Field::OldName);
        (self.process(subject, image), Some(subject.tid), EventKind::Exec(info), own)
    }

    fn exit(&mut self, record: &Record<'_>, subject: &Subject, exit: &ExitRecord) -> Made {
        let own = marks(&record.flaws, |_| true);
        let image = self.table.take(subject).unwrap_or_else(|| unseen(subject));
        let process = self.process(subject, image);
        let usage = exit.usage.map(|usage| usage::usage(&usage, self.page_bytes)).unwrap_or_default();
        let mut end = Exit::new(status_of(exit.wait_status), usage);
        end.killer = exit.killer.as_ref().map(reference);
        end.oom = exit.oom;
        end.duration_ns = record.boot_ns.checked_sub(subject.start_ns);
        (process, Some(subject.tid), EventKind::Exit(end), own)
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

    fn ptrace(
        &mut self,
        subject: &Subject,
        other: &RefRecord,
        attach: bool,
        of_caller: bool,
    ) -> (Arc<Process>, Option<Pid>, EventKind, Flaws) {
        if of_caller {
            let tracer = (other.pid != 0).then(|| reference(other));
            let kind = EventKind::Ptrace(PtraceChange::new(attach, tracer));
            return (self.living(subject), Some(subject.tid), kind, Flaws::new());
        }
        let tracer = ProcessRef::new(subject.id(), name_of(&subject.comm));
        let kind = EventKind::Ptrace(PtraceChange::new(attach, Some(tracer)));
        let mut process = Process::new(other.id());
        process.name = name_of(&other.comm);
        set_image(&mut process, self.table.image(other.pid, other.start_ns, None).unwrap_or_else(Image::unseen));
        (Arc::new(process), Some(other.tid), kind, Flaws::new())
    }
}

use std::io;
use std::ops::ControlFlow;

use crate::{
    Ancestry, Event, EventKind, EventSet, Feed, FeedError, Filter, Kind, Session, Sink, StopHandle, Summary, Timestamp,
};

/// A feed of only some events of another: those of some kinds that match a filter.
///
/// Events get new numbers, and the summary counts them. Marks of loss always pass. A filter that
/// asks about ancestors knows those that earlier events of the feed named.
pub struct Selected {
    feed: Box<dyn Feed>,
    session: Session,
    filter: Option<Filter>,
    until: Option<Timestamp>,
}

impl Selected {
    /// Chooses from a feed.
    pub fn new(feed: Box<dyn Feed>, events: EventSet, filter: Option<Filter>) -> Self {
        let mut session = feed.session().clone();
        session.events = session.events.intersection(events);
        Self { feed, session, filter, until: None }
    }

    /// Ends at the first event that is later.
    #[must_use]
    pub fn until(self, until: Timestamp) -> Self {
        Self { until: Some(until), ..self }
    }
}

impl Feed for Selected {
    fn session(&self) -> &Session {
        &self.session
    }

    fn stop_handle(&self) -> StopHandle {
        self.feed.stop_handle()
    }

    fn run(self: Box<Self>, sink: &mut dyn Sink) -> Result<Summary, FeedError> {
        let Self { feed, session, filter, until } = *self;
        let mut ancestry = Ancestry::default();
        ancestry.set_boot_id(session.boot_id);
        let mut choosing =
            Choosing { sink, session, filter, ancestry, until, chosen: Summary::default(), given: false };
        let whole = feed.run(&mut choosing)?;
        let Summary { delivered, lost, incomplete, undecided, .. } = choosing.chosen;
        let undecided = undecided.saturating_add(whole.undecided);
        Ok(Summary { delivered, lost, incomplete, undecided, ..whole })
    }
}

/// The step between the feed and the sink.
struct Choosing<'a> {
    sink: &'a mut dyn Sink,
    session: Session,
    filter: Option<Filter>,
    ancestry: Ancestry,
    until: Option<Timestamp>,
    chosen: Summary,
    /// Something was passed on since the last end of a batch.
    given: bool,
}

impl Choosing<'_> {
    fn takes(&mut self, event: &Event) -> bool {
        let Some(filter) = &self.filter else { return self.is_of_kind(event) };
        if filter.reads_ancestry() {
            self.ancestry.observe(event);
        }
        if !self.is_of_kind(event) {
            return false;
        }
        let takes = filter.matches(event, &self.ancestry);
        if !takes && filter.is_undecided(event, &self.ancestry) {
            self.chosen.undecided += 1;
        }
        takes
    }

    fn is_of_kind(&self, event: &Event) -> bool {
        matches!(event.kind, EventKind::Lost(_)) || self.session.events.contains(event.kind.kind())
    }
}

impl Sink for Choosing<'_> {
    fn begin(&mut self, _: &Session) -> io::Result<()> {
        self.sink.begin(&self.session)
    }

    fn event(&mut self, event: &Event) -> io::Result<ControlFlow<()>> {
        if self.until.is_some_and(|until| event.time > until) {
            return Ok(ControlFlow::Break(()));
        }
        if !self.takes(event) {
            return Ok(ControlFlow::Continue(()));
        }
        self.given = true;
        self.chosen.count(event);
        let seq = self.chosen.total_delivered() + self.chosen.delivered(Kind::Lost);
        if seq == event.seq {
            return self.sink.event(event);
        }
        self.sink.event(&Event { seq, ..event.clone() })
    }

    fn batch_end(&mut self) -> io::Result<()> {
        if std::mem::take(&mut self.given) { self.sink.batch_end() } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{BootId, Field, Flaw, Kind, Lost, Process, ProcessId, ProcessRef, SourceId, StartTime};

    /// A feed of given events.
    struct Given(Session, Vec<Event>);

    impl Feed for Given {
        fn session(&self) -> &Session {
            &self.0
        }

        fn stop_handle(&self) -> StopHandle {
            StopHandle::default()
        }

        fn run(self: Box<Self>, sink: &mut dyn Sink) -> Result<Summary, FeedError> {
            sink.begin(&self.0).map_err(FeedError::Sink)?;
            let mut summary = Summary { malformed: 7, ..Summary::default() };
            for event in &self.1 {
                summary.count(event);
                if sink.event(event).map_err(FeedError::Sink)?.is_break() {
                    break;
                }
                sink.batch_end().map_err(FeedError::Sink)?;
            }
            Ok(summary)
        }
    }

    #[derive(Default)]
    struct Kept {
        events: Vec<(u64, Kind, u32)>,
        batches: usize,
    }

    impl Sink for Kept {
        fn event(&mut self, event: &Event) -> io::Result<ControlFlow<()>> {
            self.events.push((event.seq, event.kind.kind(), event.pid().unwrap_or(0)));
            Ok(ControlFlow::Continue(()))
        }

        fn batch_end(&mut self) -> io::Result<()> {
            self.batches += 1;
            Ok(())
        }
    }

    fn event(seq: u64, kind: Kind, pid: u32, parent: u32) -> Event {
        let id = |pid| ProcessId { pid, start: Some(StartTime(pid.into())) };
        let mut process = Process::new(id(pid));
        process.parent = Some(ProcessRef::new(id(parent), None));
        process.exe = Some(format!("/bin/{pid}").into_bytes().into());
        Event::new(seq, Timestamp(seq as i64), SourceId::Ebpf, Some(process.into()), None, EventKind::unknown(kind))
    }

    fn chosen(events: Vec<Event>, kinds: EventSet, filter: &str) -> (Kept, Summary) {
        let feed = Given(Session::new(BootId::default(), SourceId::Ebpf), events);
        let filter = (!filter.is_empty()).then(|| filter.parse().unwrap());
        let mut kept = Kept::default();
        let summary = Box::new(Selected::new(Box::new(feed), kinds, filter)).run(&mut kept).unwrap();
        (kept, summary)
    }

    #[test]
    fn only_some_kinds() {
        let mut lost = Event::new(3, Timestamp(3), SourceId::Ebpf, None, None, EventKind::Lost(Lost::default()));
        if let EventKind::Lost(lost) = &mut lost.kind {
            lost.counts.set(Kind::Exec, 5);
        }
        let events = vec![event(1, Kind::Fork, 2, 1), event(2, Kind::Exit, 2, 1), lost, event(4, Kind::Exit, 3, 1)];
        let (kept, summary) = chosen(events, EventSet::NONE.with(Kind::Exit), "");
        assert_eq!(kept.events, [(1, Kind::Exit, 2), (2, Kind::Lost, 0), (3, Kind::Exit, 3)]);
        assert_eq!((summary.total_delivered(), summary.total_lost(), summary.malformed), (2, 5, 7));
        assert_eq!(kept.batches, 3);
    }

    #[test]
    fn it_ends_in_time() {
        let feed = Given(
            Session::new(BootId::default(), SourceId::Ebpf),
            (1..9).map(|n| event(n, Kind::Exit, 2, 1)).collect(),
        );
        let mut kept = Kept::default();
        Box::new(Selected::new(Box::new(feed), EventSet::ALL, None).until(Timestamp(3))).run(&mut kept).unwrap();
        assert_eq!(kept.events.len(), 3);
    }

    #[test]
    fn ancestors_are_those_of_earlier_events() {
        let events = vec![
            event(1, Kind::Exec, 10, 1),
            event(2, Kind::Fork, 11, 10),
            event(3, Kind::Fork, 12, 11),
            event(4, Kind::Exit, 12, 1),
            event(5, Kind::Exit, 20, 1),
        ];
        let (kept, summary) = chosen(events, EventSet::NONE.with(Kind::Exit), "ancestor.exe == /bin/10");
        assert_eq!((kept.events, summary.total_delivered()), (vec![(1, Kind::Exit, 12)], 1));
    }

    #[test]
    fn what_cannot_be_decided_is_counted() {
        let mut unknown = event(1, Kind::Exit, 10, 1);
        let process = std::sync::Arc::make_mut(unknown.process.as_mut().unwrap());
        process.exe = None;
        process.flaws.mark(Field::Exe, Flaw::NotObserved);
        let (kept, summary) = chosen(vec![unknown, event(2, Kind::Exit, 11, 1)], EventSet::ALL, "exe == /bin/11");
        assert_eq!((kept.events, summary.undecided), (vec![(1, Kind::Exit, 11)], 1));
    }
}

use std::io;
use std::ops::ControlFlow;

use super::Pipeline;
use crate::record::Record;
use crate::source::intake::Intake;
use crate::sys::Clock;
use crate::{Event, EventKind, Field, Kind, Lost, Pid, Sink, Summary, Timestamp};

/// The path of a source's records: through the pipeline into the sink.
pub(crate) struct Outlet<'a> {
    pipeline: Pipeline,
    sink: &'a mut dyn Sink,
    summary: Summary,
    incomplete: [u64; 32],
    error: Option<io::Error>,
    dirty: bool,
    /// The event after which the sink wanted no more.
    last_wanted: Option<Timestamp>,
}

impl Intake for Outlet<'_> {
    fn set_clock(&mut self, clock: Clock) {
        self.pipeline.set_clock(clock);
    }

    fn plant(&mut self, members: Vec<Pid>) {
        self.pipeline.plant(members);
    }

    fn take_undecided(&mut self) -> u64 {
        self.pipeline.take_undecided()
    }

    fn push(&mut self, record: &Record<'_>) -> ControlFlow<()> {
        match self.pipeline.feed(record) {
            Some(event) => {
                let flow = self.deliver(&event);
                self.pipeline.recycle(event);
                flow
            }
            None => ControlFlow::Continue(()),
        }
    }

    fn note(&mut self, record: &Record<'_>) {
        self.pipeline.note(record);
    }

    fn lose(&mut self, lost: Lost) -> ControlFlow<()> {
        self.pipeline.doubt_images(&lost);
        self.miss(lost)
    }

    fn skip(&mut self, lost: Lost) -> ControlFlow<()> {
        self.summary.skipped = self.summary.skipped.saturating_add(lost.total());
        self.lose(lost)
    }

    fn miss(&mut self, lost: Lost) -> ControlFlow<()> {
        self.summary.add_lost(&lost.counts);
        let event = self.pipeline.lost(lost);
        self.deliver(&event)
    }

    fn count_malformed(&mut self) {
        self.summary.malformed += 1;
    }

    fn has_batch(&self) -> bool {
        self.dirty
    }

    fn batch_end(&mut self) -> ControlFlow<()> {
        if !std::mem::take(&mut self.dirty) {
            return ControlFlow::Continue(());
        }
        let result = self.sink.batch_end();
        self.keep(result.map(|()| ControlFlow::Continue(())))
    }
}

impl<'a> Outlet<'a> {
    pub(crate) fn new(pipeline: Pipeline, sink: &'a mut dyn Sink) -> Self {
        Self {
            pipeline,
            sink,
            summary: Summary::default(),
            incomplete: [0; 32],
            error: None,
            dirty: false,
            last_wanted: None,
        }
    }

    pub(crate) fn finish(mut self, elapsed_ns: u64, stopped: Option<Timestamp>) -> io::Result<Summary> {
        if self.error.is_none() {
            let _ = self.batch_end();
        }
        if let Some(error) = self.error {
            return Err(error);
        }
        self.summary.elapsed_ns = elapsed_ns;
        self.summary.undecided = self.pipeline.refused_unsure();
        self.summary.until = [self.last_wanted, stopped].into_iter().flatten().min().unwrap_or_else(Timestamp::now);
        self.summary.incomplete = Field::ALL
            .into_iter()
            .map(|field| (field, self.incomplete[field as usize]))
            .filter(|(_, n)| *n != 0)
            .collect();
        Ok(self.summary)
    }

    fn deliver(&mut self, event: &Event) -> ControlFlow<()> {
        if self.error.is_some() {
            return ControlFlow::Break(());
        }
        self.dirty = true;
        let kind: Kind = event.kind.kind();
        self.summary.add_delivered(kind, 1);
        if !matches!(event.kind, EventKind::Lost(_)) {
            self.count_flaws(event);
        }
        let result = self.sink.event(event);
        let flow = self.keep(result);
        if flow.is_break() {
            self.last_wanted.get_or_insert(event.time);
        }
        flow
    }

    fn count_flaws(&mut self, event: &Event) {
        for (field, flaw) in event.own_flaws().iter() {
            if flaw.is_incomplete() {
                self.incomplete[field as usize] += 1;
            }
        }
    }

    fn keep(&mut self, result: io::Result<ControlFlow<()>>) -> ControlFlow<()> {
        result.unwrap_or_else(|error| {
            self.error = Some(error);
            ControlFlow::Break(())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::tests::{all, forked, pipeline};
    use crate::record::Body;
    use crate::record::samples::{exec, exit, record, reference_to, subject};
    use crate::{Flaw, Flaws};

    /// Counts the flaws that events show: JSON's test holds its lines against the same.
    struct Reader {
        shown: [u64; Field::ALL.len()],
    }

    impl Sink for Reader {
        fn event(&mut self, event: &Event) -> io::Result<ControlFlow<()>> {
            for (field, _) in event.own_flaws().iter().filter(|(_, flaw)| flaw.is_incomplete()) {
                self.shown[field as usize] += 1;
            }
            Ok(ControlFlow::Continue(()))
        }
    }

    /// The arguments of a failed exec are its own, and a fork's program is its creator's: flaws of
    /// what else ran are not theirs.
    #[test]
    fn the_summary_counts_the_flaws_that_events_show() {
        let mut reader = Reader { shown: [0; Field::ALL.len()] };
        let mut outlet = Outlet::new(pipeline(&all()), &mut reader);
        let it = subject(7, 100, "p");
        let mut cut = Flaws::new();
        cut.mark(Field::Argv, Flaw::Truncated);
        cut.mark(Field::Path, Flaw::Unreadable);
        let failed = |argv| Body::ExecFailed { subject: it, errno: 2, dirfd: None, path: Some(b"/p"), argv };
        for body in [failed(b"whole\0"), exit(it), forked(8, reference_to(7, 900)), forked(9, reference_to(1, 0))] {
            let image = record(150, exec(it, b"a\0", 2));
            assert!(outlet.push(&Record { flaws: cut, ..image }).is_continue());
            assert!(outlet.push(&record(200, body)).is_continue());
        }
        // Here it is the failed exec itself that was cut.
        assert!(outlet.push(&Record { flaws: cut, ..record(250, failed(b"cu")) }).is_continue());
        let incomplete = outlet.finish(0, None).unwrap().incomplete;
        let shown = Field::ALL.map(|field| (field, reader.shown[field as usize]));
        let shown: Vec<_> = shown.into_iter().filter(|(_, count)| *count > 0).collect();
        assert_eq!(incomplete, shown);
        // Four execs, one exit of what the second executed, and the failed exec.
        assert_eq!(incomplete, [(Field::Path, 6), (Field::Argv, 6)]);
    }
}

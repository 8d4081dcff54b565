use std::io;
use std::ops::ControlFlow;

use crate::{
    BootId, Capabilities, Counts, Event, EventKind, EventSet, ExitStatus, Field, Kind, Note, SourceId, Timestamp,
};

/// What is the same for all events of one feed.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Session {
    /// The name of the events' system; `None` if the feed does not know it.
    pub host: Option<String>,
    /// The boot that the ids belong to.
    pub boot_id: BootId,
    /// The mechanism.
    pub source: SourceId,
    /// What that mechanism can report at its best; nothing if the feed does not say.
    pub capabilities: Capabilities,
    /// Since when nothing is missed: every later wanted event is delivered or counted as lost.
    pub attached: Timestamp,
    /// The kinds that can come: the wanted ones, as far as a filter can choose them.
    pub events: EventSet,
    /// Those of them that do not come here, although the mechanism's
    /// [`Capabilities`](crate::Capabilities) name them: the notes say why.
    pub unavailable: EventSet,
    /// What the mechanism cannot do here.
    pub notes: Vec<Note>,
    /// What the mechanism still needs while it runs, as `capabilities(7)` names it. A program may
    /// give up all other rights before it calls [`crate::Feed::run`], on the thread that does.
    pub rights: &'static [&'static str],
}

impl Session {
    /// A session without further data.
    pub fn new(boot_id: BootId, source: SourceId) -> Self {
        Self {
            host: None,
            boot_id,
            source,
            capabilities: Capabilities::new(EventSet::NONE),
            attached: Timestamp(0),
            events: EventSet::ALL,
            unavailable: EventSet::NONE,
            notes: Vec::new(),
            rights: &[],
        }
    }
}

/// The destination of events. Every method is called on the thread that runs the feed.
pub trait Sink {
    /// Called once, before the first event.
    fn begin(&mut self, session: &Session) -> io::Result<()> {
        let _ = session;
        Ok(())
    }

    /// Handles one event; `Break` ends the monitor without an error, and no further event comes.
    fn event(&mut self, event: &Event) -> io::Result<ControlFlow<()>>;

    /// Called when no further event is at hand, to flush what was buffered; every 20 to 40 ms while
    /// there are events.
    fn batch_end(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A closure takes each event, and returns as [`Sink::event`] does:
///
/// ```
/// use std::ops::ControlFlow;
///
/// use procscope_model::{Event, EventKind, Sink, SourceId, Timestamp};
///
/// let mut last = None;
/// let mut sink = |event: &Event| {
///     last = Some(event.seq);
///     Ok(ControlFlow::Continue(()))
/// };
/// sink.event(&Event::new(7, Timestamp(0), SourceId::Ebpf, None, None, EventKind::Sid))?;
/// assert_eq!(last, Some(7));
/// # Ok::<(), std::io::Error>(())
/// ```
impl<F: FnMut(&Event) -> io::Result<ControlFlow<()>>> Sink for F {
    fn event(&mut self, event: &Event) -> io::Result<ControlFlow<()>> {
        self(event)
    }
}

/// The result of a monitor's run.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct Summary {
    pub(crate) delivered: Counts,
    pub(crate) lost: Counts,
    /// How many of those no buffer could have kept: the kernel skipped the program that reports
    /// them, because another run of it was in progress on that processor.
    pub skipped: u64,
    /// Delivered events in which the field was cut, late or unreadable.
    pub incomplete: Vec<(Field, u64)>,
    /// Events that were not delivered because the filter, or a choice of cgroups or containers,
    /// refused them for an unknown value: they may have been wanted.
    /// [`crate::Filter::is_undecided`]
    pub undecided: u64,
    /// Records that could not be decoded.
    pub malformed: u64,
    /// Until when nothing is missed, the counterpart of [`Session::attached`]: everything up to
    /// then was delivered or counted as lost.
    pub until: Timestamp,
    /// How long the monitor ran, ns.
    pub elapsed_ns: u64,
    /// How the command ended, if there was one.
    pub command: Option<ExitStatus>,
}

impl Summary {
    /// Counts an event passed to the sink.
    pub fn count(&mut self, event: &Event) {
        let kind = event.kind.kind();
        self.delivered.add(kind, 1);
        if let EventKind::Lost(lost) = &event.kind {
            self.lost.add_all(&lost.counts);
        }
        for (field, _) in event.own_flaws().iter().filter(|(_, flaw)| flaw.is_incomplete()) {
            match self.incomplete.iter_mut().find(|(of, _)| *of == field) {
                Some((_, count)) => *count += 1,
                None => self.incomplete.push((field, 1)),
            }
        }
    }

    /// How long the feed ran.
    pub fn elapsed(&self) -> std::time::Duration {
        std::time::Duration::from_nanos(self.elapsed_ns)
    }

    /// Events of a kind that were given to the sink.
    pub fn delivered(&self, kind: Kind) -> u64 {
        self.delivered.of(kind)
    }

    /// Events of a kind that were lost in the kernel or on the way; of [`Kind::Lost`] those whose kind is unknown.
    pub fn lost(&self, kind: Kind) -> u64 {
        self.lost.of(kind)
    }

    /// Counts events that were given to the sink.
    pub fn add_delivered(&mut self, kind: Kind, n: u64) {
        self.delivered.add(kind, n);
    }

    /// Counts events that were lost.
    pub fn add_lost(&mut self, lost: &Counts) {
        self.lost.add_all(lost);
    }

    /// All events given to the sink, without the `lost` marks.
    pub fn total_delivered(&self) -> u64 {
        self.delivered.total() - self.delivered.of(Kind::Lost)
    }

    /// All events lost.
    pub fn total_lost(&self) -> u64 {
        self.lost.total()
    }
}

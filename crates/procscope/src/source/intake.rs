//! The way of records from a source: it knows this, and nothing of what comes after.

use std::ops::ControlFlow;

use crate::record::Record;
use crate::sys::Clock;
use crate::{Kind, Lost, Pid};

/// Takes a source's records. `Break`: no more is wanted.
pub(crate) trait Intake {
    /// To be called at the beginning of each batch.
    fn set_clock(&mut self, clock: Clock);

    /// These are in the wanted trees.
    fn plant(&mut self, members: Vec<Pid>);

    /// How many processes were forked since the last call that may or may not be wanted.
    fn take_undecided(&mut self) -> u64;

    /// Marks how many processes were forked that may or may not be wanted.
    fn miss_undecided(&mut self) -> ControlFlow<()> {
        match self.take_undecided() {
            0 => ControlFlow::Continue(()),
            undecided => self.miss(Lost::of(Kind::Lost, undecided)),
        }
    }

    /// Handles a record.
    fn push(&mut self, record: &Record<'_>) -> ControlFlow<()>;

    /// Handles a record that becomes no event.
    fn note(&mut self, record: &Record<'_>);

    /// Marks, in place, that this many events of each kind are missing.
    fn lose(&mut self, lost: Lost) -> ControlFlow<()>;

    /// The same, for losses that no buffer could have prevented.
    fn skip(&mut self, lost: Lost) -> ControlFlow<()>;

    /// The same, for processes of which nothing else is reported either.
    fn miss(&mut self, lost: Lost) -> ControlFlow<()>;

    /// A record could not be decoded, and was skipped.
    fn count_malformed(&mut self);

    /// An event was given on since the last end of a batch.
    fn has_batch(&self) -> bool;

    /// No further record is at hand.
    fn batch_end(&mut self) -> ControlFlow<()>;
}

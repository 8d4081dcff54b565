use std::io;

use crate::{Session, Sink, StopHandle, Summary};

/// Anything that gives events: a monitor of this system, or a file.
pub trait Feed: Send {
    /// What is the same for all its events.
    fn session(&self) -> &Session;

    /// A handle by which any thread ends the run.
    fn stop_handle(&self) -> StopHandle;

    /// Passes events to the sink until there are no more, or it is stopped; on the caller's thread.
    ///
    /// # Errors
    /// [`FeedError::Sink`] with the sink's own error, otherwise [`FeedError::Source`].
    fn run(self: Box<Self>, sink: &mut dyn Sink) -> Result<Summary, FeedError>;
}

/// Why a feed ended early.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FeedError {
    /// The sink failed.
    #[error(transparent)]
    Sink(io::Error),
    /// The source of the events failed.
    #[error(transparent)]
    Source(Box<dyn std::error::Error + Send + Sync>),
}

impl Feed for Box<dyn Feed> {
    fn session(&self) -> &Session {
        (**self).session()
    }

    fn stop_handle(&self) -> StopHandle {
        (**self).stop_handle()
    }

    fn run(self: Box<Self>, sink: &mut dyn Sink) -> Result<Summary, FeedError> {
        (*self).run(sink)
    }
}

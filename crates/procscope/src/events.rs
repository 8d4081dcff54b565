//! Events one after another, for callers that pull: a monitor on a thread of its own, and a bounded
//! queue between.

#[cfg(unix)]
mod bell;

use std::collections::VecDeque;
use std::io;
use std::iter::FusedIterator;
use std::ops::ControlFlow;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::thread::{self, JoinHandle};
use std::time::Duration;

#[cfg(unix)]
use bell::Bell;
#[cfg(unix)]
pub use bell::Readiness;

use crate::{Argv, Error, Event, EventKind, Monitor, Session, Sink, StopHandle, Summary};

/// At most this many events pass at once: taking the lock for each would cost more than making it.
const BATCH: usize = 256;

/// This much may wait for a consumer, besides what it already has. Then the reader waits, and the
/// kernel's ring fills and counts.
const QUEUE_BYTES: usize = 16 << 20;

impl Monitor {
    /// Runs on a thread of its own, and gives the events one after another.
    pub fn events(self) -> Events {
        Events::begin(self)
    }

    /// Runs on a thread of its own, and gives the events to tasks of any async runtime.
    #[cfg(feature = "stream")]
    pub fn stream(self) -> EventStream {
        EventStream::begin(self)
    }
}

impl IntoIterator for Monitor {
    type Item = Result<Event, Error>;
    type IntoIter = Events;

    fn into_iter(self) -> Events {
        self.events()
    }
}

/// The events of a [`Monitor`] that runs on a thread of its own; [`Monitor::events`] begins it.
///
/// An error comes once and is the last item. Events wait in a queue of 16 MiB for a slow consumer,
/// then in the kernel's ring. Events for which that has no room are counted and reported as
/// [`EventKind::Lost`].
///
/// Dropping it stops the monitor and waits until it has released the system.
#[derive(Debug)]
pub struct Events {
    shared: Arc<Shared>,
    ready: VecDeque<Event>,
    session: Session,
    stop: StopHandle,
    thread: Option<JoinHandle<()>>,
    summary: Option<Summary>,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    filled: Condvar,
    emptied: Condvar,
}

#[derive(Debug, Default)]
struct State {
    queue: VecDeque<Event>,
    queue_bytes: usize,
    /// The task that waits for the queue to fill.
    waker: Option<Waker>,
    /// The loop that waits for it.
    #[cfg(unix)]
    bell: Option<Bell>,
    /// How the monitor ended, until the consumer has reached that point.
    outcome: Option<Result<Summary, Error>>,
    /// Nothing will come any more.
    closed: bool,
    /// The consumer is gone.
    abandoned: bool,
}

impl State {
    /// Nothing is to be had yet.
    fn is_waiting(&self) -> bool {
        self.queue.is_empty() && !self.closed
    }

    /// All that was at hand has been taken.
    fn hush(&mut self) {
        #[cfg(unix)]
        if self.is_waiting()
            && let Some(bell) = &mut self.bell
        {
            bell.hush();
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn close(&self, outcome: Result<Summary, Error>) {
        let mut state = self.lock();
        if state.closed {
            return;
        }
        state.closed = true;
        state.outcome = Some(outcome);
        self.tell(state);
    }

    /// Wakes the consumer, be it a thread or a task.
    fn tell(&self, mut state: MutexGuard<'_, State>) {
        let waker = state.waker.take();
        #[cfg(unix)]
        if let Some(bell) = &mut state.bell {
            bell.ring();
        }
        drop(state);
        self.filled.notify_one();
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl Events {
    pub(crate) fn begin(monitor: Monitor) -> Self {
        let shared = Arc::<Shared>::default();
        let session = monitor.session().clone();
        let stop = monitor.stop_handle();
        let mut producer = Producer { shared: Arc::clone(&shared), batch: Vec::new(), batch_bytes: 0 };
        let spawned = thread::Builder::new().name("ps-events".to_owned()).spawn(move || {
            let outcome = monitor.run(&mut producer);
            producer.shared.close(outcome);
        });
        let thread = match spawned {
            Ok(thread) => Some(thread),
            Err(error) => {
                shared.close(Err(Error::System { what: "starting a thread", error }));
                None
            }
        };
        Self { shared, ready: VecDeque::new(), session, stop, thread, summary: None }
    }

    /// What is the same for all the events.
    pub fn session(&self) -> &Session {
        &self.session
    }

    /// A handle by which any thread ends it. Everything up to then still comes, and then the end.
    pub fn stop_handle(&self) -> StopHandle {
        self.stop.clone()
    }

    /// The result of the monitor's run; known when the last event was taken, unless the monitor
    /// broke.
    pub fn summary(&self) -> Option<&Summary> {
        self.summary.as_ref()
    }

    /// The next event, if one comes in this time; `Ready(None)` after the last, as by `next`, and
    /// `Pending` if none came. [`Duration::ZERO`] asks without waiting.
    ///
    /// ```no_run
    /// use std::task::Poll;
    /// use std::time::Duration;
    ///
    /// # fn main() -> Result<(), procscope::Error> {
    /// let mut events = procscope::Monitor::builder().build()?.events();
    /// loop {
    ///     match events.recv_timeout(Duration::from_secs(1)) {
    ///         Poll::Ready(Some(event)) => println!("{}", event?.kind.kind()),
    ///         Poll::Ready(None) => return Ok(()),
    ///         Poll::Pending => println!("nothing for a second"),
    ///     }
    /// }
    /// # }
    /// ```
    pub fn recv_timeout(&mut self, timeout: Duration) -> Poll<Option<Result<Event, Error>>> {
        if let Some(event) = self.ready.pop_front() {
            return Poll::Ready(Some(Ok(event)));
        }
        let shared = Arc::clone(&self.shared);
        let mut state = shared.lock();
        state.hush();
        let waiting = shared.filled.wait_timeout_while(state, timeout, |state| state.is_waiting());
        state = waiting.unwrap_or_else(PoisonError::into_inner).0;
        if state.is_waiting() {
            return Poll::Pending;
        }
        Poll::Ready(self.refill(state))
    }

    /// A descriptor for a loop of your own: readable once events may be taken, and from the end on.
    /// Then call [`Events::recv_timeout`] with [`Duration::ZERO`] until it returns `Pending`.
    ///
    /// ```no_run
    /// use std::os::fd::AsRawFd as _;
    /// use std::task::Poll;
    /// use std::time::Duration;
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let mut events = procscope::Monitor::builder().build()?.events();
    /// let readiness = events.readiness()?;
    /// loop {
    ///     let mut fd = libc::pollfd { fd: readiness.as_raw_fd(), events: libc::POLLIN, revents: 0 };
    ///     // SAFETY: one descriptor, which lives as long as the call.
    ///     unsafe { libc::poll(&mut fd, 1, -1) };
    ///     loop {
    ///         match events.recv_timeout(Duration::ZERO) {
    ///             Poll::Ready(Some(event)) => println!("{}", event?.kind.kind()),
    ///             Poll::Ready(None) => return Ok(()),
    ///             Poll::Pending => break,
    ///         }
    ///     }
    /// }
    /// # }
    /// ```
    ///
    /// # Errors
    /// If the system has no descriptor left.
    #[cfg(unix)]
    pub fn readiness(&self) -> io::Result<Readiness> {
        let mut state = self.shared.lock();
        let at_hand = !self.ready.is_empty() || !state.is_waiting();
        if state.bell.is_none() {
            state.bell = Some(Bell::new()?);
        }
        let Some(bell) = &mut state.bell else { return Err(io::ErrorKind::NotFound.into()) };
        if at_hand {
            bell.ring();
        }
        Ok(bell.readiness())
    }

    /// Takes the content of the queue; if it is empty, returns how the monitor ended.
    fn refill(&mut self, mut state: MutexGuard<'_, State>) -> Option<Result<Event, Error>> {
        std::mem::swap(&mut state.queue, &mut self.ready);
        state.queue_bytes = 0;
        let outcome = if self.ready.is_empty() { state.outcome.take() } else { None };
        drop(state);
        match outcome {
            Some(Ok(summary)) => {
                self.summary = Some(summary);
                None
            }
            Some(Err(error)) => Some(Err(error)),
            None => {
                self.shared.emptied.notify_one();
                self.ready.pop_front().map(Ok)
            }
        }
    }

    #[cfg_attr(not(any(feature = "stream", test)), expect(dead_code, reason = "only tasks poll"))]
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Event, Error>>> {
        if let Some(event) = self.ready.pop_front() {
            return Poll::Ready(Some(Ok(event)));
        }
        let shared = Arc::clone(&self.shared);
        let mut state = shared.lock();
        if state.queue.is_empty() && !state.closed {
            state.waker = Some(context.waker().clone());
            return Poll::Pending;
        }
        Poll::Ready(self.refill(state))
    }
}

impl Iterator for Events {
    type Item = Result<Event, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        if let Some(event) = self.ready.pop_front() {
            return Some(Ok(event));
        }
        let shared = Arc::clone(&self.shared);
        let mut state = shared.lock();
        while state.queue.is_empty() && !state.closed {
            state = shared.filled.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        self.refill(state)
    }
}

impl FusedIterator for Events {}

impl Drop for Events {
    fn drop(&mut self) {
        self.shared.lock().abandoned = true;
        self.shared.emptied.notify_one();
        self.stop.stop();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// The events of a [`Monitor`] for tasks of any async runtime, or of none; [`Monitor::stream`]
/// begins it.
///
/// It is like [`Events`], except at its end: a task must not wait, so dropping it stops the monitor
/// without waiting until that has released the system. To be sure of that, call
/// [`StopHandle::stop`] and take the events up to `None`.
#[cfg(feature = "stream")]
#[derive(Debug)]
pub struct EventStream {
    events: Events,
}

#[cfg(feature = "stream")]
impl EventStream {
    pub(crate) fn begin(monitor: Monitor) -> Self {
        let mut events = Events::begin(monitor);
        // Not joined: see above.
        events.thread = None;
        Self { events }
    }

    /// The next event; `None` after the last. A future that is dropped has taken none.
    pub async fn next(&mut self) -> Option<Result<Event, Error>> {
        std::future::poll_fn(|context| self.events.poll(context)).await
    }

    /// What is the same for all the events.
    pub fn session(&self) -> &Session {
        self.events.session()
    }

    /// A handle by which any thread or task ends it. Everything up to then still comes, and then
    /// the end.
    pub fn stop_handle(&self) -> StopHandle {
        self.events.stop_handle()
    }

    /// The result of the monitor's run; known when the last event was taken, unless the monitor
    /// broke.
    pub fn summary(&self) -> Option<&Summary> {
        self.events.summary()
    }
}

#[cfg(feature = "stream")]
impl futures_core::Stream for EventStream {
    type Item = Result<Event, Error>;

    fn poll_next(mut self: std::pin::Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.events.poll(context)
    }
}

/// The monitor's end of the queue.
struct Producer {
    shared: Arc<Shared>,
    batch: Vec<Event>,
    batch_bytes: usize,
}

impl Producer {
    /// Passes the batch on, once there is room.
    fn hand_over(&mut self) -> ControlFlow<()> {
        let mut state = self.shared.lock();
        while state.queue_bytes > 0 && state.queue_bytes + self.batch_bytes > QUEUE_BYTES && !state.abandoned {
            state = self.shared.emptied.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        if state.abandoned {
            return ControlFlow::Break(());
        }
        state.queue.extend(self.batch.drain(..));
        state.queue_bytes += std::mem::take(&mut self.batch_bytes);
        self.shared.tell(state);
        ControlFlow::Continue(())
    }
}

impl Sink for Producer {
    fn event(&mut self, event: &Event) -> io::Result<ControlFlow<()>> {
        self.batch_bytes += weight(event);
        self.batch.push(event.clone());
        Ok(if self.batch.len() < BATCH { ControlFlow::Continue(()) } else { self.hand_over() })
    }

    fn batch_end(&mut self) -> io::Result<()> {
        // A consumer that is gone is noticed at the next event, or by the stop that comes with it.
        let _ = self.hand_over();
        Ok(())
    }
}

impl Drop for Producer {
    /// Ends the consumer's wait if the monitor panicked; after an orderly end this does nothing.
    fn drop(&mut self) {
        let error = io::Error::other("its thread panicked");
        self.shared.close(Err(Error::System { what: "running the monitor", error }));
    }
}

/// Roughly how much memory an event holds, bytes; shared lists count for each.
fn weight(event: &Event) -> usize {
    let list = |list: &Option<Arc<Argv>>| list.as_ref().map_or(0, |list| list.block().len());
    let process = event.process.as_ref().map_or(0, |process| list(&process.argv) + list(&process.env));
    let tried = match &event.kind {
        EventKind::ExecFailed(failure) => list(&failure.argv),
        _ => 0,
    };
    // The event, its process, and some paths.
    1024 + process + tried
}

#[cfg(test)]
mod tests;

//! Events one after another, for callers that pull: a monitor on a thread of its own, and a bounded
//! queue between.

use std::collections::VecDeque;
use std::io;
use std::iter::FusedIterator;
use std::ops::ControlFlow;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::thread::{self, JoinHandle};

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
    /// How the monitor ended, until the consumer has reached that point.
    outcome: Option<Result<Summary, Error>>,
    /// Nothing will come any more.
    closed: bool,
    /// The consumer is gone.
    abandoned: bool,
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
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;
    use std::time::Duration;

    use super::*;
    use crate::{BootId, SourceId, Timestamp};

    fn event(seq: u64) -> Event {
        Event::new(seq, Timestamp(0), SourceId::Ebpf, None, None, EventKind::Sid)
    }

    /// A consumer whose monitor is this function.
    fn events(run: impl FnOnce(&mut Producer, &StopHandle) -> Result<Summary, Error> + Send + 'static) -> Events {
        let shared = Arc::<Shared>::default();
        let stop = StopHandle::default();
        let mut producer = Producer { shared: Arc::clone(&shared), batch: Vec::new(), batch_bytes: 0 };
        let stopped = stop.clone();
        let thread = thread::spawn(move || {
            let outcome = run(&mut producer, &stopped);
            producer.shared.close(outcome);
        });
        let session = Session::new(BootId::default(), SourceId::Ebpf);
        Events { shared, ready: VecDeque::new(), session, stop, thread: Some(thread), summary: None }
    }

    fn send(producer: &mut Producer, seq: u64) -> ControlFlow<()> {
        producer.event(&event(seq)).unwrap()
    }

    #[test]
    fn events_come_in_order_and_the_summary_after_them() {
        let mut events = events(|producer, _| {
            for seq in 0..10_000 {
                assert!(send(producer, seq).is_continue());
                if seq % 7 == 0 {
                    producer.batch_end().unwrap();
                }
            }
            producer.batch_end().unwrap();
            let mut summary = Summary::default();
            summary.malformed = 3;
            Ok(summary)
        });
        let seqs: Vec<u64> = events.by_ref().map(|event| event.unwrap().seq).collect();
        assert!(seqs.into_iter().eq(0..10_000));
        assert_eq!(events.summary().unwrap().malformed, 3);
        assert!(events.next().is_none());
    }

    #[test]
    fn an_error_is_the_last_item() {
        let mut events = events(|producer, _| {
            let _ = send(producer, 1);
            producer.batch_end().unwrap();
            Err(Error::Sink(io::ErrorKind::Other.into()))
        });
        assert_eq!(events.next().unwrap().unwrap().seq, 1);
        assert!(events.next().unwrap().is_err());
        assert!(events.next().is_none() && events.summary().is_none());
    }

    #[test]
    fn a_panic_is_an_error_and_no_endless_wait() {
        let mut events = events(|_, _| panic!("on purpose"));
        assert!(events.next().unwrap().unwrap_err().to_string().contains("panicked"));
        assert!(events.next().is_none());
    }

    #[test]
    fn the_reader_waits_for_a_slow_consumer() {
        let sent = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&sent);
        let most = QUEUE_BYTES / weight(&event(0));
        let total = most * 3;
        let mut events = events(move |producer, _| {
            for seq in 0..total as u64 {
                assert!(send(producer, seq).is_continue());
                count.fetch_add(1, Ordering::SeqCst);
            }
            producer.batch_end().unwrap();
            Ok(Summary::default())
        });
        while sent.load(Ordering::SeqCst) + BATCH < most {
            thread::yield_now();
        }
        thread::sleep(Duration::from_millis(50));
        let waiting = sent.load(Ordering::SeqCst);
        assert!(waiting <= most + BATCH, "{waiting} of at most {most} were taken");
        assert_eq!(events.by_ref().count(), total);
        assert!(events.summary().is_some());
    }

    #[test]
    fn dropping_ends_a_reader_that_waits_for_room() {
        let dropped = events(|producer, stop| {
            let mut seq = 0;
            while send(producer, seq).is_continue() {
                seq += 1;
            }
            assert!(producer.shared.lock().abandoned);
            while !stop.is_stopped() {
                thread::yield_now();
            }
            Ok(Summary::default())
        });
        let shared = Arc::clone(&dropped.shared);
        while shared.lock().queue_bytes + BATCH * 1024 < QUEUE_BYTES {
            thread::yield_now();
        }
        drop(dropped);
        assert!(shared.lock().closed);
    }

    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    #[test]
    fn a_task_is_woken_once_for_each_time_it_found_nothing() {
        let (go, gone) = std::sync::mpsc::channel();
        let mut events = events(move |producer, _| {
            for seq in 0..3 {
                gone.recv().unwrap();
                let _ = send(producer, seq);
                producer.batch_end().unwrap();
            }
            gone.recv().unwrap();
            Ok(Summary::default())
        });
        let count = Arc::new(Count(AtomicUsize::new(0)));
        let waker = Waker::from(Arc::clone(&count));
        let mut context = Context::from_waker(&waker);
        for seq in 0..4 {
            assert!(events.poll(&mut context).is_pending());
            assert_eq!(count.0.load(Ordering::SeqCst), seq);
            go.send(()).unwrap();
            while count.0.load(Ordering::SeqCst) == seq {
                thread::yield_now();
            }
            match events.poll(&mut context) {
                Poll::Ready(Some(event)) => assert_eq!(event.unwrap().seq, seq as u64),
                Poll::Ready(None) => assert_eq!(seq, 3),
                Poll::Pending => panic!("woken for nothing"),
            }
        }
        assert!(events.summary().is_some());
    }
}

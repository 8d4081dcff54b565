//! JSON Lines as a feed.

use std::io::{self, Read};
use std::ops::ControlFlow;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use procscope_model::{BootId, Event, Feed, FeedError, Session, Sink, StopHandle, Summary, Timestamp};

use super::DecodeError;
use super::decode::{Decoded, decode};
use super::lines::{Lines, Next};
use super::restore::Programs;

/// At most this many events pass at once.
const BATCH: usize = 256;
/// A batch passes once its lines have this many bytes.
const BATCH_BYTES: usize = 1 << 20;
/// This many batches may wait.
const QUEUE: usize = 8;

/// A line without an event.
#[derive(Debug, thiserror::Error)]
#[error("line {line}: {cause}")]
#[non_exhaustive]
pub struct BadLine {
    /// Its number, from 1.
    pub line: u64,
    /// Its fault.
    pub cause: BadLineCause,
}

/// The fault of a line.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BadLineCause {
    /// It is not an event.
    #[error(transparent)]
    Decode(DecodeError),
    /// It is longer than any event can be.
    #[error("longer than any event")]
    TooLong,
    /// The last line is cut off: its writer was killed, the disk was full, or the file was copied too early.
    #[error("cut off")]
    CutOff,
    /// It is of another boot than the first event: its ids mean other processes.
    #[error("of another boot")]
    OtherBoot,
}

/// Why a stream cannot be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// It cannot be read at all, or not to its end.
    #[error("line {line}: {error}")]
    Io {
        /// The last line read.
        line: u64,
        /// The error of the system, or of the decompressor.
        error: io::Error,
    },
    /// It has lines, but none is an event.
    #[error("no line is an event; {0}")]
    Foreign(BadLine),
    /// It has no line.
    #[error("no events")]
    Empty,
}

type Complaint = Box<dyn FnMut(&BadLine) + Send>;

/// Reads JSON Lines, as [`JsonLines`](super::JsonLines) writes them, from a file or a pipe.
///
/// Values that lines leave out come from earlier lines: a fork has its creator's program, and after
/// a refused exec a process keeps its own. An unreadable line is counted in [`Summary::malformed`]
/// and skipped.
pub struct Reader {
    session: Session,
    stop: StopHandle,
    speed: Option<f64>,
    complain: Complaint,
    input: Input,
    /// Those up to the first that names its boot.
    first: Vec<Item>,
}

/// This many marks of loss, which name no boot, may come before the first event that does.
const MOST_FIRST: usize = 4096;

impl Reader {
    /// Reads up to the first event, which names the boot and source of all. `complain` gets each
    /// line without an event.
    ///
    /// # Errors
    /// [`ReadError`]
    pub fn open(
        input: impl Read + Send + 'static,
        complain: impl FnMut(&BadLine) + Send + 'static,
    ) -> Result<Self, ReadError> {
        let mut input = Input { lines: Lines::new(Box::new(input)), programs: Programs::default(), boot: None };
        let mut first = Vec::new();
        while input.boot.is_none() && first.len() < MOST_FIRST {
            match input.next()? {
                Item::End => break,
                item => first.push(item),
            }
        }
        let event = first.iter().find_map(Item::event);
        let Some((source, time)) = event.map(|event| (event.source, event.time)) else {
            let bad = first.into_iter().find_map(|item| match item {
                Item::Bad(bad) => Some(bad),
                _ => None,
            });
            return Err(bad.map_or(ReadError::Empty, ReadError::Foreign));
        };
        let mut session = Session::new(input.boot_id(), source);
        session.attached = time;
        let (stop, complain) = (StopHandle::default(), Box::new(complain));
        Ok(Self { session, stop, speed: None, complain, input, first })
    }

    /// Gives events at this many times their original speed, rather than at once.
    #[must_use]
    pub fn speed(mut self, speed: f64) -> Self {
        self.speed = Some(speed).filter(|speed| *speed > 0.0 && speed.is_finite());
        self
    }
}

impl Feed for Reader {
    fn session(&self) -> &Session {
        &self.session
    }

    fn stop_handle(&self) -> StopHandle {
        self.stop.clone()
    }

    /// Reads on a thread of its own. After a stop that thread ends with the next line.
    fn run(self: Box<Self>, sink: &mut dyn Sink) -> Result<Summary, FeedError> {
        let Self { session, stop, speed, complain, input, first } = *self;
        let begun = Instant::now();
        let (send, receive) = sync_channel(QUEUE);
        let alarm = Arc::<Alarm>::default();
        let (wake, ring) = (send.clone(), Arc::clone(&alarm));
        stop.on_stop(move || {
            // If the queue is full, the receiver does not sleep there.
            let _ = wake.try_send(Batch::default());
            ring.ring();
        });
        let reading = move || input.send(first, &send);
        thread::Builder::new()
            .name("ps-read".to_owned())
            .spawn(reading)
            .map_err(|error| FeedError::Source(Box::new(error)))?;
        sink.begin(&session).map_err(FeedError::Sink)?;
        let pace = speed.map(|speed| Pace { speed, begun, first: session.attached, alarm });
        let mut giving = Giving { sink, stop, complain, pace, receive, summary: Summary::default() };
        giving.run()?;
        giving.summary.elapsed_ns = u64::try_from(begun.elapsed().as_nanos()).unwrap_or(u64::MAX);
        Ok(giving.summary)
    }
}

/// The result of a line.
#[derive(Debug)]
enum Item {
    Event(Box<Event>),
    Bad(BadLine),
    End,
}

impl Item {
    fn event(&self) -> Option<&Event> {
        match self {
            Self::Event(event) => Some(event),
            _ => None,
        }
    }
}

/// The stream, decoded.
struct Input {
    lines: Lines,
    programs: Programs,
    boot: Option<[u8; 4]>,
}

impl Input {
    fn boot_id(&self) -> BootId {
        let mut id = BootId::default();
        id.0[..4].copy_from_slice(&self.boot.unwrap_or_default());
        id
    }

    fn next(&mut self) -> Result<Item, ReadError> {
        let bad = |line, cause| Ok(Item::Bad(BadLine { line, cause }));
        let next = match self.lines.next() {
            // The decompressor of a cut stream says so.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                return bad(self.lines.number, BadLineCause::CutOff);
            }
            next => next.map_err(|error| ReadError::Io { line: self.lines.number, error })?,
        };
        let number = self.lines.number;
        match next {
            Next::End => return Ok(Item::End),
            Next::TooLong => return bad(number, BadLineCause::TooLong),
            Next::Line | Next::Unended => {}
        }
        match decode(&self.lines.line) {
            Ok(decoded) => Ok(self.take(decoded, number)),
            Err(_) if next == Next::Unended => bad(number, BadLineCause::CutOff),
            Err(error) => bad(number, BadLineCause::Decode(error)),
        }
    }

    fn take(&mut self, decoded: Decoded, line: u64) -> Item {
        let Decoded { mut event, boot, .. } = decoded;
        if boot.is_some() && *self.boot.get_or_insert(boot.unwrap_or_default()) != boot.unwrap_or_default() {
            return Item::Bad(BadLine { line, cause: BadLineCause::OtherBoot });
        }
        self.programs.restore(&mut event);
        Item::Event(Box::new(event))
    }

    /// Passes everything on, until nothing takes it.
    fn send(mut self, first: Vec<Item>, to: &SyncSender<Batch>) {
        let mut batch = Batch { items: first, ..Batch::default() };
        let mut bytes = 0;
        while !batch.is_last {
            if batch.items.len() >= BATCH || bytes >= BATCH_BYTES || !batch.items.is_empty() && !self.lines.at_hand() {
                batch.more_at_hand = self.lines.at_hand();
                if to.send(std::mem::take(&mut batch)).is_err() {
                    return;
                }
                bytes = 0;
            }
            match self.next() {
                Ok(Item::End) => batch.is_last = true,
                Ok(item) => {
                    batch.is_last = matches!(&item, Item::Bad(BadLine { cause: BadLineCause::CutOff, .. }));
                    batch.items.push(item);
                }
                Err(error) => (batch.is_last, batch.error) = (true, Some(error)),
            }
            bytes += self.lines.line.len();
        }
        let _ = to.send(batch);
    }
}

/// Messages from one thread to the other.
#[derive(Default)]
struct Batch {
    items: Vec<Item>,
    more_at_hand: bool,
    is_last: bool,
    error: Option<ReadError>,
}

/// Rings once, when a run is stopped.
#[derive(Default)]
struct Alarm {
    rung: Mutex<bool>,
    bell: Condvar,
}

impl Alarm {
    fn ring(&self) {
        *self.rung.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.bell.notify_all();
    }

    fn sleep(&self, time: Duration) {
        let rung = self.rung.lock().unwrap_or_else(PoisonError::into_inner);
        let slept = self.bell.wait_timeout_while(rung, time, |rung| !*rung);
        drop(slept.unwrap_or_else(PoisonError::into_inner));
    }
}

/// When events are due.
struct Pace {
    speed: f64,
    begun: Instant,
    first: Timestamp,
    alarm: Arc<Alarm>,
}

impl Pace {
    /// How long it is until an event of this time is due.
    fn wait_for(&self, time: Timestamp) -> Duration {
        let behind_first = time.0.saturating_sub(self.first.0).max(0) as u64;
        let due = Duration::from_nanos((behind_first as f64 / self.speed) as u64);
        due.saturating_sub(self.begun.elapsed())
    }
}

/// An unfinished run.
struct Giving<'a> {
    sink: &'a mut dyn Sink,
    stop: StopHandle,
    complain: Complaint,
    pace: Option<Pace>,
    receive: Receiver<Batch>,
    summary: Summary,
}

impl Giving<'_> {
    fn run(&mut self) -> Result<(), FeedError> {
        // The other thread ends after its last batch.
        while let Ok(batch) = self.receive.recv() {
            let more_at_hand = batch.more_at_hand;
            let is_last = batch.is_last;
            for item in batch.items {
                if self.take(item)?.is_break() {
                    return self.end_batch();
                }
            }
            if !more_at_hand || is_last {
                self.end_batch()?;
            }
            if let Some(error) = batch.error {
                return Err(FeedError::Source(Box::new(error)));
            }
            if is_last || self.stop.is_stopped() {
                break;
            }
        }
        Ok(())
    }

    fn take(&mut self, item: Item) -> Result<ControlFlow<()>, FeedError> {
        match item {
            Item::Event(event) => {
                self.pause(event.time)?;
                if self.stop.is_stopped() {
                    return Ok(ControlFlow::Break(()));
                }
                self.summary.count(&event);
                self.summary.until = self.summary.until.max(event.time);
                return self.sink.event(&event).map_err(FeedError::Sink);
            }
            Item::Bad(bad) => {
                self.summary.malformed += 1;
                (self.complain)(&bad);
            }
            Item::End => {}
        }
        Ok(ControlFlow::Continue(()))
    }

    fn end_batch(&mut self) -> Result<(), FeedError> {
        self.sink.batch_end().map_err(FeedError::Sink)
    }

    /// Waits until an event is due, or the run is stopped.
    fn pause(&mut self, time: Timestamp) -> Result<(), FeedError> {
        let Some(pace) = &self.pace else { return Ok(()) };
        let left = pace.wait_for(time);
        if !left.is_zero() {
            self.sink.batch_end().map_err(FeedError::Sink)?;
            pace.alarm.sleep(left);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;

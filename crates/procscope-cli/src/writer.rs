//! Output on a thread of its own, so that a busy disk or a slow pipe does not keep events waiting
//! in the kernel.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::mem;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

/// How many bytes may wait for a slow output. Beyond it the caller waits; then the kernel's ring
/// fills, and it counts its losses.
const QUEUE_BYTES: usize = 64 << 20;

/// A buffer is passed on from this size, bytes.
pub(crate) const CHUNK_BYTES: usize = 512 << 10;

/// The room of a fresh buffer: a chunk, and the event that fills it.
const BUFFER_BYTES: usize = CHUNK_BYTES * 5 / 4;

/// How many empty buffers wait for reuse, and how large each may be.
const SPARE_BUFFERS: usize = 3;
const SPARE_BYTES: usize = 2 * CHUNK_BYTES;

/// Passes buffers to a thread that writes them.
pub(crate) struct Writer {
    shared: Arc<Shared>,
    thread: JoinHandle<()>,
}

struct Shared {
    state: Mutex<State>,
    /// Taken and called at the first error.
    on_error: Mutex<Option<Box<dyn FnOnce() + Send>>>,
    /// Notified when there is something to write, or when nothing more will come.
    filled: Condvar,
    /// Notified when there is room again.
    emptied: Condvar,
}

#[derive(Default)]
struct State {
    queue: VecDeque<Vec<u8>>,
    /// The bytes in the queue and those being written.
    waiting_bytes: usize,
    spare: Vec<Vec<u8>>,
    error: Option<io::Error>,
    closed: bool,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn fail(&self, error: io::Error) {
        self.lock().error.get_or_insert(error);
        self.emptied.notify_all();
        let on_error = self.on_error.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(on_error) = on_error {
            on_error();
        }
    }
}

impl Writer {
    /// Starts the thread. `on_error` is called on it at the first error; after that nothing more is
    /// written.
    pub(crate) fn spawn(out: Box<dyn Write + Send>, on_error: impl FnOnce() + Send + 'static) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            state: Mutex::default(),
            on_error: Mutex::new(Some(Box::new(on_error))),
            filled: Condvar::new(),
            emptied: Condvar::new(),
        });
        let theirs = Arc::clone(&shared);
        let thread = thread::Builder::new().name("ps-write".to_owned()).spawn(move || {
            if let Err(error) = write_queue(&theirs, out) {
                theirs.fail(error);
            }
        })?;
        Ok(Self { shared, thread })
    }

    /// Watches for the moment when this pipe has no reader any more. A write would notice only when
    /// there is something to write: it is the same error then.
    #[cfg(target_os = "linux")]
    pub(crate) fn watch_reader(&self, pipe: std::fs::File) -> io::Result<()> {
        use rustix::event::{PollFd, PollFlags, poll};
        let shared = Arc::downgrade(&self.shared);
        let wait = move || {
            loop {
                // No events are requested: an error or a hang-up is always reported.
                let mut fds = [PollFd::new(&pipe, PollFlags::empty())];
                match poll(&mut fds, None) {
                    Err(rustix::io::Errno::INTR) => {}
                    Err(_) => return,
                    Ok(_) => break,
                }
            }
            if let Some(shared) = shared.upgrade() {
                shared.fail(io::ErrorKind::BrokenPipe.into());
            }
        };
        thread::Builder::new().name("ps-reader".to_owned()).spawn(wait).map(drop)
    }

    /// A buffer to fill.
    pub(crate) fn buffer() -> Vec<u8> {
        Vec::with_capacity(BUFFER_BYTES)
    }

    /// Passes on the buffer's content and leaves an empty one. Waits if too much is waiting
    /// already.
    pub(crate) fn push(&self, buffer: &mut Vec<u8>) -> io::Result<()> {
        if buffer.is_empty() {
            return Ok(());
        }
        let mut state = self.shared.lock();
        while state.error.is_none() && state.waiting_bytes > 0 && state.waiting_bytes + buffer.len() > QUEUE_BYTES {
            state = self.shared.emptied.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        if let Some(error) = &state.error {
            return Err(same(error));
        }
        state.waiting_bytes += buffer.len();
        // Small pieces fill the room of the one before. Otherwise each would keep a whole buffer
        // while the output is slow.
        match state.queue.back_mut().filter(|last| last.capacity() - last.len() >= buffer.len()) {
            Some(last) => {
                last.extend_from_slice(buffer);
                buffer.clear();
                if buffer.capacity() > SPARE_BYTES {
                    *buffer = Self::buffer();
                }
            }
            None => {
                let empty = state.spare.pop().unwrap_or_else(Self::buffer);
                state.queue.push_back(mem::replace(buffer, empty));
                drop(state);
                self.shared.filled.notify_one();
            }
        }
        Ok(())
    }

    /// Waits until all is written.
    pub(crate) fn finish(self) -> io::Result<()> {
        self.shared.lock().closed = true;
        self.shared.filled.notify_one();
        if self.thread.join().is_err() {
            return Err(io::Error::other("the thread that writes panicked"));
        }
        match self.shared.lock().error.take() {
            Some(error) => Err(error),
            None => Ok(()),
        }
    }
}

fn write_queue(shared: &Shared, mut out: Box<dyn Write + Send>) -> io::Result<()> {
    loop {
        let mut state = shared.lock();
        let mut buffer = loop {
            match state.queue.pop_front() {
                Some(buffer) => break buffer,
                None if state.closed => return Ok(()),
                None => state = shared.filled.wait(state).unwrap_or_else(PoisonError::into_inner),
            }
        };
        drop(state);
        out.write_all(&buffer)?;
        out.flush()?;
        let mut state = shared.lock();
        state.waiting_bytes -= buffer.len();
        if state.spare.len() < SPARE_BUFFERS && (BUFFER_BYTES..=SPARE_BYTES).contains(&buffer.capacity()) {
            buffer.clear();
            state.spare.push(buffer);
        }
        drop(state);
        shared.emptied.notify_one();
    }
}

/// The same error once more: io::Error cannot be cloned.
fn same(error: &io::Error) -> io::Error {
    match error.raw_os_error() {
        Some(code) => io::Error::from_raw_os_error(code),
        None => io::Error::new(error.kind(), error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
    use std::sync::mpsc;
    use std::time::Duration;

    use super::*;

    /// Writes nothing before it is allowed to.
    struct Gate {
        open: mpsc::Receiver<()>,
        is_open: bool,
        to: Arc<Mutex<Vec<u8>>>,
    }

    impl Write for Gate {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            if !self.is_open {
                self.open.recv().unwrap();
                self.is_open = true;
            }
            // Less than requested, as a pipe does.
            let some = &bytes[..bytes.len().min(1 << 20)];
            self.to.lock().unwrap().extend_from_slice(some);
            Ok(some.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn gate() -> (mpsc::Sender<()>, Arc<Mutex<Vec<u8>>>, Writer) {
        let (sender, open) = mpsc::channel();
        let to = Arc::new(Mutex::new(Vec::new()));
        let writer = Writer::spawn(Box::new(Gate { open, is_open: false, to: Arc::clone(&to) }), || ()).unwrap();
        (sender, to, writer)
    }

    #[test]
    fn everything_comes_in_order() {
        let (open, to, writer) = gate();
        open.send(()).unwrap();
        let mut expected = Vec::new();
        let mut buffer = Writer::buffer();
        for number in 0..100_000u32 {
            buffer.extend_from_slice(format!("{number}\n").as_bytes());
            expected.extend_from_slice(format!("{number}\n").as_bytes());
            if number % 7 == 0 {
                writer.push(&mut buffer).unwrap();
                assert!(buffer.is_empty());
            }
        }
        writer.push(&mut buffer).unwrap();
        writer.finish().unwrap();
        assert_eq!(*to.lock().unwrap(), expected);
    }

    #[test]
    fn small_pieces_share_a_buffer_while_the_output_is_slow() {
        let (open, to, writer) = gate();
        for _ in 0..10_000 {
            writer.push(&mut b"ten bytes\n".to_vec()).unwrap();
        }
        let held: usize = writer.shared.lock().queue.iter().map(Vec::capacity).sum();
        assert!(held < 10_000 * 10 * 4, "{held} bytes are held for 100,000");
        open.send(()).unwrap();
        writer.finish().unwrap();
        assert_eq!(to.lock().unwrap().len(), 100_000);
    }

    #[test]
    fn a_full_queue_makes_the_caller_wait() {
        let (open, to, writer) = gate();
        let pushed = AtomicUsize::new(0);
        thread::scope(|scope| {
            scope.spawn(|| {
                for _ in 0..80 {
                    writer.push(&mut vec![b'x'; 1 << 20]).unwrap();
                    pushed.fetch_add(1, Ordering::SeqCst);
                }
            });
            while pushed.load(Ordering::SeqCst) < QUEUE_BYTES >> 20 {
                thread::yield_now();
            }
            thread::sleep(Duration::from_millis(50));
            assert_eq!(pushed.load(Ordering::SeqCst), QUEUE_BYTES >> 20);
            open.send(()).unwrap();
        });
        assert!(writer.shared.lock().spare.iter().all(|spare| spare.capacity() <= SPARE_BYTES));
        writer.finish().unwrap();
        assert_eq!(to.lock().unwrap().len(), 80 << 20);
    }

    #[test]
    fn an_error_comes_back_and_wakes_who_waits() {
        struct Full;
        impl Write for Full {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(io::ErrorKind::StorageFull.into())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let told = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&told);
        let writer = Writer::spawn(Box::new(Full), move || flag.store(true, Ordering::SeqCst)).unwrap();
        let error = loop {
            if let Err(error) = writer.push(&mut vec![b'x'; 40 << 20]) {
                break error;
            }
        };
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
        assert_eq!(writer.finish().unwrap_err().kind(), io::ErrorKind::StorageFull);
        assert!(told.load(Ordering::SeqCst));
    }
}

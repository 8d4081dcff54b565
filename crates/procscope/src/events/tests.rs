use super::*;
use crate::{BootId, SourceId, Timestamp};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Wake;

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

#[test]
fn a_wait_ends_with_its_time() {
    let (go, gone) = std::sync::mpsc::channel();
    let mut events = events(move |producer, _| {
        gone.recv().unwrap();
        let _ = send(producer, 1);
        producer.batch_end().unwrap();
        Ok(Summary::default())
    });
    assert!(events.recv_timeout(Duration::from_millis(5)).is_pending());
    go.send(()).unwrap();
    let Poll::Ready(Some(event)) = events.recv_timeout(Duration::from_secs(60)) else { panic!("none came") };
    assert_eq!(event.unwrap().seq, 1);
    assert!(matches!(events.recv_timeout(Duration::from_secs(60)), Poll::Ready(None)));
    assert!(events.summary().is_some());
}

#[test]
#[cfg(target_os = "linux")]
fn a_descriptor_is_readable_while_events_wait() {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    let (go, gone) = std::sync::mpsc::channel();
    let mut events = events(move |producer, _| {
        for seq in 0..2 {
            gone.recv().unwrap();
            let _ = send(producer, seq);
            producer.batch_end().unwrap();
        }
        gone.recv().unwrap();
        Ok(Summary::default())
    });
    let readiness = events.readiness().unwrap();
    let is_ready = |seconds| {
        let wait = Timespec { tv_sec: seconds, tv_nsec: 0 };
        poll(&mut [PollFd::new(&readiness, PollFlags::IN)], Some(&wait)).unwrap() == 1
    };
    for seq in 0..2 {
        assert!(!is_ready(0));
        go.send(()).unwrap();
        assert!(is_ready(60) && is_ready(0));
        let Poll::Ready(Some(event)) = events.recv_timeout(Duration::ZERO) else { panic!("none is there") };
        assert_eq!(event.unwrap().seq, seq);
        assert!(events.recv_timeout(Duration::ZERO).is_pending());
    }
    go.send(()).unwrap();
    assert!(is_ready(60));
    assert!(matches!(events.recv_timeout(Duration::ZERO), Poll::Ready(None)));
    assert!(is_ready(0));
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

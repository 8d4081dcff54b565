//! The library `procscope`, in this same process.

use std::collections::BTreeSet;
use std::future::Future;
use std::pin::{Pin, pin};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use futures_core::Stream;
use procscope::{Event, EventKind, EventSet, EventStream, Kind, Monitor, MonitorBuilder, Pid};

use crate::turn;
use crate::watch::PATIENCE;

/// A monitor that sees only this test's own children.
fn own(kinds: &[Kind]) -> MonitorBuilder {
    let kinds = kinds.iter().fold(EventSet::NONE, |set, &kind| set.with(kind));
    Monitor::builder().events(kinds).tree(std::process::id())
}

/// Runs a program to its end, and returns its pid.
fn spawn(program: &str) -> Pid {
    let mut child = Command::new(program).stdin(Stdio::null()).spawn().expect("it can be run");
    let pid = child.id();
    child.wait().expect("our own child");
    pid
}

fn pid(event: &Event) -> Pid {
    event.process.as_ref().map_or(0, |process| process.id.pid)
}

#[test]
fn iterator_gives_what_happens_and_ends_with_the_summary() {
    let _turn = turn::take();
    let mut events = own(&[Kind::Exec, Kind::Exit]).build().expect("it works here").events();
    let stop = events.stop_handle();
    let truth = thread::spawn(move || {
        let truth: Vec<Pid> = (0..50).map(|_| spawn("/bin/true")).collect();
        stop.stop();
        truth
    });
    let mut execs = Vec::new();
    let mut exits = Vec::new();
    for event in events.by_ref() {
        let event = event.expect("the monitor works");
        match event.kind {
            EventKind::Exec(_) => execs.push(pid(&event)),
            EventKind::Exit(_) => exits.push(pid(&event)),
            ref other => panic!("{other:?}"),
        }
    }
    let truth = truth.join().expect("it only spawns");
    assert_eq!(execs, truth);
    assert_eq!(exits, truth);
    let summary = events.summary().expect("it ended");
    assert_eq!((summary.total_delivered(), summary.total_lost()), (100, 0));
}

#[test]
fn events_come_while_it_goes_on() {
    let _turn = turn::take();
    let mut events = own(&[Kind::Exec]).build().expect("it works here").into_iter();
    for _ in 0..5 {
        let spawned = spawn("/bin/true");
        let event = events.next().expect("it goes on").expect("it works");
        assert_eq!(pid(&event), spawned);
    }
    let began = Instant::now();
    drop(events);
    assert!(began.elapsed() < PATIENCE, "{:?}", began.elapsed());
}

/// Two at once, each with its own choice; ending one does not affect the other.
#[test]
fn two_monitors_in_one_process() {
    let _turn = turn::take();
    let first = own(&[Kind::Exec]).name("true").build().expect("it works here");
    let second = own(&[Kind::Exec, Kind::Exit]).user_names(false).build().expect("and beside another");
    let (stop_first, stop_second) = (first.stop_handle(), second.stop_handle());
    let first = thread::spawn(move || first.events().collect::<Result<Vec<_>, _>>());
    let second = thread::spawn(move || second.events().collect::<Result<Vec<_>, _>>());

    let before = [spawn("/bin/true"), spawn("/bin/false")];
    stop_first.stop();
    let first = first.join().expect("it ends").expect("it works");
    let after = [spawn("/bin/true"), spawn("/bin/false")];
    stop_second.stop();
    let second = second.join().expect("it ends").expect("it works");

    assert_eq!(first.iter().map(pid).collect::<Vec<_>>(), before[..1]);
    let user = |event: &Event| {
        let process = event.process.as_ref().expect("it has one");
        process.credentials.as_ref().expect("the kernel shows it").user.clone()
    };
    assert!(user(&first[0]).is_some());
    assert!(second.iter().all(|event| user(event).is_none()));
    let expected: Vec<Pid> = [before, after].concat();
    for kind in [Kind::Exec, Kind::Exit] {
        let told = second.iter().filter(|event| event.kind.kind() == kind).map(pid);
        assert_eq!(told.collect::<Vec<_>>(), expected, "{kind}");
    }
}

/// Many at once come and go.
#[test]
fn monitors_come_and_go_beside_each_other() {
    let _turn = turn::take();
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..3 {
                    let mut events = own(&[Kind::Exec]).build().expect("it works here").events();
                    let spawned = spawn("/bin/true");
                    let told = events.by_ref().map(|event| pid(&event.expect("it works")));
                    assert!({ told }.any(|pid| pid == spawned));
                }
            });
        }
    });
}

/// The kernel counts the events that a sleeping consumer leaves in its ring.
#[test]
fn slow_consumer_loses_nothing_uncounted() {
    let _turn = turn::take();
    let builder = own(&[Kind::Fork, Kind::Exit]).ring_bytes(64 << 10);
    let mut events = builder.build().expect("it works here").events();
    let stop = events.stop_handle();
    // More than the queue and the ring can hold.
    let count = 40_000;
    let script = format!("i=0; while [ $i -lt {count} ]; do (:); i=$((i+1)); done");
    let status = Command::new("/bin/sh").args(["-c", &script]).status().expect("a shell can be run");
    assert!(status.success());
    stop.stop();
    let (mut told, mut lost) = (0, 0);
    for event in events.by_ref() {
        match event.expect("it works").kind {
            EventKind::Lost(counts) => lost += counts.total(),
            _ => told += 1,
        }
    }
    assert!(lost > 0, "nothing was lost, so nothing was tested");
    assert_eq!(told + lost, 2 * (count + 1));
    assert_eq!(events.summary().expect("it ended").total_lost(), lost);
}

/// The simplest executor: it parks until woken.
fn block_on<F: Future>(future: F) -> F::Output {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(output) => return output,
            Poll::Pending => thread::park_timeout(PATIENCE),
        }
    }
}

/// By the trait, as combinators of other crates do.
async fn next(stream: &mut EventStream) -> Option<Event> {
    let next = std::future::poll_fn(|context| Pin::new(&mut *stream).poll_next(context)).await;
    next.map(|event| event.expect("the monitor works"))
}

#[test]
fn stream_works_without_a_runtime() {
    let _turn = turn::take();
    let mut stream = own(&[Kind::Exec]).build().expect("it works here").stream();
    for _ in 0..5 {
        let spawned = spawn("/bin/true");
        assert_eq!(block_on(next(&mut stream)).map(|event| pid(&event)), Some(spawned));
    }
    stream.stop_handle().stop();
    assert!(block_on(stream.next()).is_none());
    assert_eq!(stream.summary().expect("it ended").total_delivered(), 5);
}

#[test]
fn stream_works_under_tokio() {
    let _turn = turn::take();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("tokio works");
    runtime.block_on(async {
        let mut stream = own(&[Kind::Exec]).build().expect("it works here").stream();
        let stop = stream.stop_handle();
        let spawner = thread::spawn(move || {
            let truth: BTreeSet<Pid> = (0..20).map(|_| spawn("/bin/true")).collect();
            thread::sleep(Duration::from_millis(300));
            stop.stop();
            truth
        });
        // One thread for both: a poll that blocked, or was busy, would show here.
        let mut ticks = 0;
        let mut clock = tokio::time::interval(Duration::from_millis(10));
        let mut told = BTreeSet::new();
        loop {
            tokio::select! {
                event = next(&mut stream) => match event {
                    Some(event) => _ = told.insert(pid(&event)),
                    None => break,
                },
                _ = clock.tick() => ticks += 1,
            }
        }
        assert_eq!(told, spawner.join().expect("it only spawns"));
        assert!(ticks >= 20, "{ticks}");
    });
}

/// A dropped stream releases the system soon, though nothing waits for it.
#[test]
fn dropped_stream_ends_its_thread() {
    let _turn = turn::take();
    let threads = || {
        std::fs::read_dir("/proc/self/task").expect("our own").flatten().filter(|task| {
            let name = std::fs::read_to_string(task.path().join("comm")).unwrap_or_default();
            name.trim() == "ps-events"
        })
    };
    let stream = own(&[Kind::Exec]).build().expect("it works here").stream();
    let began = Instant::now();
    while threads().count() == 0 && began.elapsed() < PATIENCE {
        thread::yield_now();
    }
    assert_eq!(threads().count(), 1);
    drop(stream);
    while threads().count() > 0 {
        assert!(began.elapsed() < PATIENCE, "its thread goes on");
        thread::sleep(Duration::from_millis(5));
    }
}

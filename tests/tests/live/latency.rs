//! How soon an event is printed.

use std::io::BufRead as _;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime};

use procscope_tests::seen::Seen;

use crate::turn;
use crate::watch::{piped, program, wait};

const LATEST: Duration = Duration::from_millis(50);
const FIRST: Duration = Duration::from_millis(150);

fn spawn() {
    assert!(Command::new("/bin/true").status().is_ok_and(|status| status.success()));
}

/// How late the machine runs a process that wakes, because of its other work.
struct Lateness {
    over: Arc<AtomicBool>,
    most: JoinHandle<Duration>,
}

impl Lateness {
    fn begin() -> Self {
        const REST: Duration = Duration::from_millis(1);
        let over = Arc::new(AtomicBool::new(false));
        let until = Arc::clone(&over);
        let most = std::thread::spawn(move || {
            let mut most = Duration::ZERO;
            while !until.load(Ordering::Relaxed) {
                let begun = Instant::now();
                std::thread::sleep(REST);
                most = most.max(begun.elapsed() - REST);
            }
            most
        });
        Self { over, most }
    }

    fn end(self) -> Duration {
        self.over.store(true, Ordering::Relaxed);
        self.most.join().expect("it only sleeps")
    }
}

/// When the system is quiet, an event is printed at most 50 ms after it happened.
#[test]
fn quiet_events_come_soon() {
    let _turn = turn::take();
    let own = std::process::id().to_string();
    let (mut child, mut stdout, _stderr) = piped(&["-e", "exec,exit", "--tree", &own]);
    let mut delays = Vec::new();
    let late = Lateness::begin();
    for _ in 0..20 {
        let spawned = std::thread::spawn(spawn);
        for _ in 0..2 {
            let mut line = String::new();
            stdout.read_line(&mut line).expect("procscope shows it");
            let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970").as_nanos() as i64;
            crate::schema::check(line.as_bytes());
            let seen: Seen = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"));
            delays.push(Duration::from_nanos((now - seen.time_ns().expect("it has a time")).max(0) as u64));
        }
        spawned.join().expect("it spawned");
        std::thread::sleep(Duration::from_millis(60));
    }
    delays.sort();
    let late = late.end();
    println!("median {:?}, largest {:?}, the machine {late:?}", delays[delays.len() / 2], delays.last());
    // procscope's reader and writer have to run, and so do we.
    assert!(delays.last().is_some_and(|d| *d <= LATEST + 3 * late), "{delays:?} {late:?}");
    // SAFETY: our child, not waited for yet.
    unsafe { libc::kill(child.id() as i32, libc::SIGINT) };
    assert!(wait(&mut child).success());
}

/// The first event is printed at most 150 ms after the start; the best of several, because the
/// machine may be busy.
#[test]
fn first_event_comes_soon() {
    let _turn = turn::take();
    let mut best = Duration::MAX;
    for _ in 0..15 {
        best = best.min(first_event());
        println!("{best:?}");
        if best <= FIRST {
            return;
        }
    }
    panic!("at best {best:?}");
}

fn first_event() -> Duration {
    let begun = Instant::now();
    let mut command = Command::new(program());
    command.args(["--format", "json", "-e", "exec", "--count", "1"]).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().expect("procscope can be run");
    let mut stdout = std::io::BufReader::new(child.stdout.take().expect("it is piped"));
    let spawner = std::thread::spawn(move || {
        while begun.elapsed() < 4 * FIRST {
            spawn();
            std::thread::sleep(Duration::from_millis(5));
        }
    });
    let mut line = String::new();
    stdout.read_line(&mut line).expect("procscope shows it");
    let took = begun.elapsed();
    assert!(line.contains("\"exec\""), "{line}");
    spawner.join().expect("it spawned");
    assert!(wait(&mut child).success());
    took
}

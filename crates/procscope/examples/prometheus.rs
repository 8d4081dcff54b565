//! Counts starts and ends of programs by name, for Prometheus to read:
//! `prometheus [127.0.0.1:9912]`.

use std::collections::HashSet;
use std::io::{self, BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use procscope::{EventKind, EventSet, ExitStatus, Kind, Monitor};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

/// Each label costs Prometheus a time series for ever: after this many names all others count as
/// `other`.
const MOST_NAMES: usize = 200;

#[derive(Clone, PartialEq, Eq, Hash, Debug, EncodeLabelSet)]
struct Started {
    name: String,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug, EncodeLabelSet)]
struct Ended {
    name: String,
    /// `ok`, `error`, `signal` or `unknown`.
    how: &'static str,
}

/// The names that have a label of their own.
#[derive(Default)]
struct Names(HashSet<String>);

impl Names {
    fn label(&mut self, name: Option<&[u8]>) -> String {
        let name = String::from_utf8_lossy(name.unwrap_or(b"unknown")).into_owned();
        if self.0.contains(&name) || self.0.len() < MOST_NAMES {
            self.0.insert(name.clone());
            return name;
        }
        "other".to_owned()
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let starts = Family::<Started, Counter>::default();
    let ends = Family::<Ended, Counter>::default();
    let lost = Counter::<u64>::default();
    let mut registry = Registry::with_prefix("procscope");
    registry.register("starts", "Programs that processes became", starts.clone());
    registry.register("ends", "Processes that ended", ends.clone());
    registry.register("lost", "Events that were lost, and are missing above", lost.clone());

    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:9912".to_owned());
    let listener = TcpListener::bind(address)?;
    let kinds = EventSet::NONE.with(Kind::Exec).with(Kind::Exit);
    let events = Monitor::builder().events(kinds).user_names(false).build()?.events();
    println!("http://{}/metrics", listener.local_addr()?);

    let registry = Arc::new(Mutex::new(registry));
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            // A client that hangs up early does not matter.
            let _ = answer(stream, &registry);
        }
    });

    let mut names = Names::default();
    for event in events {
        let event = event?;
        let mut label = || names.label(event.process.as_ref().and_then(|process| process.name.as_deref()));
        match &event.kind {
            EventKind::Exec(_) => _ = starts.get_or_create(&Started { name: label() }).inc(),
            EventKind::Exit(exit) => {
                let how = match exit.status {
                    ExitStatus::Code(0) => "ok",
                    ExitStatus::Code(_) => "error",
                    ExitStatus::Signal { .. } => "signal",
                    _ => "unknown",
                };
                ends.get_or_create(&Ended { name: label(), how }).inc();
            }
            EventKind::Lost(counts) => _ = lost.inc_by(counts.total()),
            _ => {}
        }
    }
    Ok(())
}

/// Answers one request, whatever it is, with all the counters.
fn answer(stream: TcpStream, registry: &Mutex<Registry>) -> io::Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(2)))?;
    stream.set_write_timeout(Some(Duration::from_secs(2)))?;
    let mut reader = BufReader::new(&stream);
    let mut line = String::new();
    // Up to the empty line that ends the request. Otherwise the unread rest would cut off the
    // answer.
    for _ in 0..100 {
        line.clear();
        if io::Read::take(&mut reader, 8192).read_line(&mut line)? <= 2 {
            break;
        }
    }
    let mut body = String::new();
    encode(&mut body, &registry.lock().unwrap_or_else(PoisonError::into_inner)).map_err(io::Error::other)?;
    let head = "HTTP/1.1 200 OK\r\nContent-Type: application/openmetrics-text; version=1.0.0; charset=utf-8\r\n";
    write!(&stream, "{head}Content-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len())
}

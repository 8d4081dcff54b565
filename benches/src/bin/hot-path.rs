//! procscope's work on each process once its records are in the ring, without the kernel: decoding,
//! pipeline, JSON.

#![allow(missing_docs)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::io;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Instant;

use clap::Parser;
use procscope::fuzzing::{Life, push_ebpf_cgroup, replay_ebpf};
use procscope::{BootId, Event, Sink};
use procscope_format::Encode as _;
use procscope_format::json::JsonLines;
use procscope_tests::plan::{End, NAMES, Spawn};
use procscope_tests::truth::Planned;

/// Makes procscope turn the records of a made-up storm into JSON, and discards the text.
#[derive(Parser)]
struct Args {
    /// How many processes, each of which forks, execs and exits.
    #[arg(long, default_value_t = 20_000)]
    processes: u32,
    /// How often; the quickest counts.
    #[arg(long, default_value_t = 15)]
    rounds: u32,
}

struct Counting;

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

// SAFETY: everything is passed on unchanged to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Relaxed);
        // SAFETY: as the caller promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: as the caller promises.
        unsafe { System.dealloc(at, layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Relaxed);
        // SAFETY: as the caller promises.
        unsafe { System.realloc(at, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// As much as procscope passes on at once.
const CHUNK_BYTES: usize = 512 << 10;

struct Rendered {
    json: JsonLines,
    buffer: Vec<u8>,
    bytes: u64,
}

impl Sink for Rendered {
    fn event(&mut self, event: &Event) -> io::Result<ControlFlow<()>> {
        self.json.event(event, &mut self.buffer);
        if self.buffer.len() >= CHUNK_BYTES {
            self.bytes += self.buffer.len() as u64;
            self.buffer.clear();
        }
        Ok(ControlFlow::Continue(()))
    }
}

/// The records of a storm: the same arguments and ends as in the live one.
fn storm(processes: u32) -> Vec<u8> {
    let paths = NAMES.map(|name| format!("/tmp/.tmpAbCdEf/{name}").into_bytes());
    let mut records = Vec::new();
    push_ebpf_cgroup(&mut records);
    let mut spawn = Spawn::default();
    for index in 0..processes {
        spawn.plan(1, Planned { spawner: 0, index });
        let path = &paths[spawn.name];
        let argv = [&path[..], b"\0", &spawn.block].concat();
        let wait_status = match spawn.end {
            Some(End::Code(code)) => u32::from(code) << 8,
            Some(End::Signal(signo)) => signo.into(),
            None => 0,
        };
        let start_ns = 5_000_000_000 + u64::from(index) * 110_000;
        Life { pid: 5000 + index % 27_000, start_ns, path, argv: &argv, wait_status }.push_ebpf(&mut records);
    }
    records
}

fn main() {
    let args = Args::parse();
    let records = storm(args.processes);
    let processes = f64::from(args.processes);
    let mut best_ns = f64::INFINITY;
    for round in 0..args.rounds {
        let mut rendered = Rendered {
            json: JsonLines::new(BootId::default()),
            buffer: Vec::with_capacity(CHUNK_BYTES * 5 / 4),
            bytes: 0,
        };
        let allocations = ALLOCATIONS.load(Relaxed);
        let begun = Instant::now();
        replay_ebpf(&records, &mut rendered);
        best_ns = best_ns.min(begun.elapsed().as_nanos() as f64);
        if round == 0 {
            let allocations = (ALLOCATIONS.load(Relaxed) - allocations) as f64 / processes;
            let bytes = (rendered.bytes as f64 + rendered.buffer.len() as f64) / processes;
            println!("{bytes:.0} bytes of JSON and {allocations:.2} allocations a process");
        }
    }
    println!("{:.0} ns a process", best_ns / processes);
}

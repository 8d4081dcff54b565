//! procscope's memory: its tables are bounded, and the memory of one long list is returned.

use std::fs;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::turn;
use crate::watch::{Watch, program};

/// The most that procscope may need while long lists come, above its earlier size, KiB: the table's
/// 4 MiB of lists, one list as it comes and as it is shown, and the text that waits to be written.
const PEAK_KIB: u64 = 12 << 10;
/// The most that may be left of that: four buffers for text, which are reused, of 1 MiB each, and
/// as much freed memory.
const LEFT_KIB: u64 = 5 << 10;

/// The most that the process connector's looks may hold until they are used, KiB.
const LOOKS_KIB: u64 = 8 << 10;

/// The kernel's account of a process, KiB.
fn memory(pid: u32, key: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix(key)).unwrap_or_else(|| panic!("no {key}: {status}"));
    line.trim_start_matches(':').trim().trim_end_matches(" kB").parse().expect("a number")
}

fn run(arguments: &[String]) {
    let ended = Command::new("/bin/true").args(arguments).stdin(Stdio::null()).status();
    assert!(ended.expect("it can be run").success());
}

/// 300 processes a second, every tenth with nearly 2 MiB of arguments.
fn load(seconds: u32) {
    let long: Vec<String> = vec!["x".repeat(130_000); 15];
    let begun = Instant::now();
    for number in 0..300 * seconds {
        run(if number % 10 == 0 { &long } else { &[] });
        let due = Duration::from_secs(1) * number / 300;
        thread::sleep(due.saturating_sub(begun.elapsed()));
    }
}

#[test]
fn long_lists_are_given_back() {
    give_back("ebpf", 0);
}

#[test]
fn long_lists_that_the_connector_reads_are_given_back() {
    give_back("process-connector", LOOKS_KIB);
}

/// `waiting`: how much more its lists may need before they are used, KiB.
fn give_back(source: &str, waiting: u64) {
    let _turn = turn::take();
    let own = std::process::id().to_string();
    // A disk may be slow, and text may wait for it: here none does.
    let mut command = Command::new(program());
    command.args(["--source", source, "--format", "json", "-o", "/dev/null", "-e", "all", "--tree", &own]);
    let watch = Watch::of(command);
    for _ in 0..300 {
        run(&[]);
    }
    thread::sleep(Duration::from_millis(300));
    let before = memory(watch.pid(), "VmRSS");
    load(5);
    let (begun, held) = (Instant::now(), || memory(watch.pid(), "VmRSS").saturating_sub(before));
    while held() > LEFT_KIB && begun.elapsed() < Duration::from_secs(5) {
        thread::sleep(Duration::from_millis(50));
    }
    let (peak, left) = (memory(watch.pid(), "VmHWM").saturating_sub(before), held());
    println!("{before} KiB before, {peak} more at the most, {left} more afterwards");
    let ended = watch.stop().well();
    // On a busy machine some may be lost, and are counted.
    let delivered = ended.stderr.lines().find(|line| line.contains("delivered")).unwrap_or_default();
    let execs = delivered.split(", ").find_map(|part| part.trim().strip_suffix(" exec"));
    assert!(execs.and_then(|n| n.parse().ok()).is_some_and(|n: u32| n > 900), "{}", ended.stderr);
    assert!(
        peak <= PEAK_KIB + waiting && left <= LEFT_KIB,
        "{before} KiB before, {peak} more at the most, {left} more afterwards"
    );
}

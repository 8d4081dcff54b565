use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::thread;

use procscope::StopHandle;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::flag;
use signal_hook::iterator::Signals;

/// Makes the first SIGINT, SIGTERM or SIGHUP stop the run; the second of the same ends the program at once, as a flush
/// may wait for ever for what reads the output.
pub(crate) fn stop_on_signals(stop: StopHandle) -> io::Result<()> {
    let mut signals = vec![SIGINT, SIGTERM];
    // nohup has the program live on after its terminal.
    if !is_ignored(SIGHUP) {
        signals.push(SIGHUP);
    }
    for &signal in &signals {
        let seen = Arc::new(AtomicBool::new(false));
        // In this order: the first one finds the flag down, and then raises it.
        flag::register_conditional_default(signal, Arc::clone(&seen))?;
        flag::register(signal, seen)?;
    }
    let mut signals = Signals::new(signals)?;
    thread::Builder::new().name("ps-signal".to_owned()).spawn(move || signals.forever().for_each(|_| stop.stop()))?;
    Ok(())
}

/// True where the signal was ignored when the program began: `SigIgn` of proc_pid_status(5). Elsewhere nobody knows.
fn is_ignored(signal: i32) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0);
    mask >> (signal - 1) & 1 == 1
}

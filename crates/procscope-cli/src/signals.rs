use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::thread;

use procscope::{RunningCommand, StopHandle};
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM};
use signal_hook::flag;
use signal_hook::iterator::Signals;

use crate::failure::{Failure, describe};

/// Why signals cannot be caught.
pub(crate) fn failure(error: io::Error) -> Failure {
    Failure {
        what: "cannot catch Ctrl-C".to_owned(),
        cause: describe(&error),
        help: "start procscope again".to_owned(),
    }
}

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

/// Passes SIGTERM and SIGHUP on to the command; SIGINT and SIGQUIT it has from the terminal itself, and they are not for us while
/// it lives. Afterwards they stop the run.
pub(crate) fn pass_on(command: RunningCommand, stop: StopHandle) -> io::Result<()> {
    // What is ignored stays so, also for the command.
    let signals: Vec<_> = [SIGINT, SIGQUIT, SIGTERM, SIGHUP].into_iter().filter(|&it| !is_ignored(it)).collect();
    let mut signals = Signals::new(signals)?;
    let take = move || {
        for signal in signals.forever() {
            if command.status().is_some() {
                stop.stop();
            } else if matches!(signal, SIGTERM | SIGHUP) {
                let _ = command.signal(signal);
            }
        }
    };
    thread::Builder::new().name("ps-signal".to_owned()).spawn(take)?;
    Ok(())
}

/// True where the signal was ignored when the program began: `SigIgn` of proc_pid_status(5). Elsewhere nobody knows.
fn is_ignored(signal: i32) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0);
    mask >> (signal - 1) & 1 == 1
}

use std::io;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use procscope::{RunningCommand, StopHandle};
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGXFSZ};
use signal_hook::iterator::Signals;
use signal_hook::low_level::emulate_default_handler;

use crate::failure::{Failure, describe, remedy};

/// Why signals cannot be caught.
pub(crate) fn failure(error: io::Error) -> Failure {
    Failure {
        what: "cannot start watching".to_owned(),
        cause: format!("preparing for Ctrl-C: {}", describe(&error)),
        help: remedy(&error)
            .unwrap_or("look at the limits that `ulimit -a` prints, then start procscope again")
            .to_owned(),
    }
}

/// Makes a write beyond `ulimit -f` fail like one to a full disk: SIGXFSZ would end the program
/// without a message. A command does not inherit the handler, as it would an ignored signal.
pub(crate) fn outlive_file_limit() {
    if !is_ignored(SIGXFSZ) {
        // If this fails, the signal ends the program.
        let _ = signal_hook::flag::register(SIGXFSZ, Arc::default());
    }
}

/// Signals so soon after the first mean the same: timeout(1) sends its own twice, to the process
/// and to its group.
const SAME_WISH: Duration = Duration::from_millis(300);

/// Makes the first SIGINT, SIGTERM or SIGHUP stop the run. A later one ends the program at once,
/// because a flush may wait for ever for the reader of the output.
pub(crate) fn stop_on_signals(stop: StopHandle) -> io::Result<()> {
    let mut signals = vec![SIGINT, SIGTERM];
    // nohup keeps the program alive after its terminal.
    if !is_ignored(SIGHUP) {
        signals.push(SIGHUP);
    }
    let mut signals = Signals::new(signals)?;
    let take = move || {
        let mut first = None;
        for signal in signals.forever() {
            let begun: Instant = *first.get_or_insert_with(Instant::now);
            stop.stop();
            if begun.elapsed() > SAME_WISH {
                let _ = emulate_default_handler(signal);
            }
        }
    };
    thread::Builder::new().name("ps-signal".to_owned()).spawn(take)?;
    Ok(())
}

/// Passes SIGTERM and SIGHUP on to the command. It gets SIGINT and SIGQUIT from the terminal
/// itself, and they are not for us while it lives. Afterwards they stop the run.
pub(crate) fn pass_on(command: RunningCommand, stop: StopHandle) -> io::Result<()> {
    // An ignored signal stays ignored, also for the command.
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

/// True if the signal was ignored when the program began: `SigIgn` of proc_pid_status(5). Unknown
/// on other systems.
fn is_ignored(signal: i32) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0);
    mask >> (signal - 1) & 1 == 1
}

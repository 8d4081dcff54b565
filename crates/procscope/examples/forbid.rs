//! Kills every program whose file matches a pattern: `forbid '/tmp/*/miner'`, where `*` is any
//! text.
//!
//! It learns of an exec within some 20 ms, so the program has run for a moment: this is a watchman,
//! not a wall.

#[cfg(target_os = "linux")]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    use procscope::{EventKind, EventSet, Kind, Monitor};

    let pattern = std::env::args_os().nth(1).ok_or("usage: forbid PATTERN")?.into_encoded_bytes();
    let monitor = Monitor::builder().events(EventSet::NONE.with(Kind::Exec)).build()?;
    println!("watching");
    for event in monitor {
        let event = event?;
        let (EventKind::Exec(_), Some(process)) = (&event.kind, &event.process) else { continue };
        let Some(exe) = process.exe.as_deref().filter(|exe| matches(&pattern, exe)) else { continue };
        let exe = exe.escape_ascii();
        match kill::kill(process.id) {
            Ok(true) => println!("killed {} {exe}", process.id.pid),
            Ok(false) => println!("gone {} {exe}", process.id.pid),
            Err(error) => eprintln!("{} {exe}: {error}", process.id.pid),
        }
    }
    Ok(())
}

#[cfg(target_os = "linux")]
mod kill {
    use std::io;

    use procscope::ProcessId;
    use rustix::io::Errno;
    use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

    /// Kills exactly this process, never a later one with its pid; false if it is gone.
    pub(super) fn kill(id: ProcessId) -> io::Result<bool> {
        let Some(pid) = i32::try_from(id.pid).ok().and_then(Pid::from_raw) else { return Ok(false) };
        let pidfd = match pidfd_open(pid, PidfdFlags::empty()) {
            Ok(pidfd) => pidfd,
            Err(Errno::SRCH) => return Ok(false),
            Err(error) => return Err(error.into()),
        };
        // From here on the descriptor means one process; its start shows whether it is the right
        // one.
        if id.start.is_none() || procscope::start_of(id.pid) != id.start {
            return Ok(false);
        }
        match pidfd_send_signal(&pidfd, Signal::KILL) {
            Ok(()) => Ok(true),
            Err(Errno::SRCH) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }
}

/// Whether a pattern matches a text: `*` is any bytes, `/` too.
#[cfg(target_os = "linux")]
fn matches(pattern: &[u8], text: &[u8]) -> bool {
    let mut parts = pattern.split(|&b| b == b'*');
    let Some(mut rest) = parts.next().and_then(|first| text.strip_prefix(first)) else { return false };
    let parts = parts.collect::<Vec<_>>();
    let Some((last, middle)) = parts.split_last() else { return rest.is_empty() };
    for part in middle.iter().filter(|part| !part.is_empty()) {
        let Some(at) = rest.windows(part.len()).position(|window| window == *part) else { return false };
        rest = &rest[at + part.len()..];
    }
    rest.ends_with(last)
}

#[cfg(not(target_os = "linux"))]
fn main() {
    eprintln!("forbid is for Linux");
}

//! Prints the pid of each program that starts.

use procscope::{Error, EventKind, Monitor};

fn main() -> Result<(), Error> {
    for event in Monitor::builder().build()? {
        let event = event?;
        if let (EventKind::Exec(_), Some(process)) = (&event.kind, &event.process) {
            println!("Process started: PID {}", process.id.pid);
        }
    }
    Ok(())
}

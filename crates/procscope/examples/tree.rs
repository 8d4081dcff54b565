//! Prints processes below those that started them: `tree` for all new ones, `tree PID` for one and
//! its descendants, until it ends.

use std::collections::HashMap;
use std::io::{self, Write};

use procscope::{Argv, EventKind, EventSet, Kind, Monitor, Process, ProcessId};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let root = std::env::args().nth(1).map(|pid| pid.parse()).transpose()?;
    let kinds = EventSet::NONE.with(Kind::Fork).with(Kind::Exec).with(Kind::Exit);
    let builder = Monitor::builder().user_names(false);
    let builder = match root {
        Some(pid) => builder.events(kinds.with(Kind::Existing)).tree(pid),
        None => builder.events(kinds),
    };
    // The depth of each living process below the first of its line that was seen to start.
    let mut depths: HashMap<ProcessId, usize> = HashMap::new();
    let mut out = io::stdout().lock();
    for event in builder.build()? {
        let event = event?;
        let Some(process) = &event.process else {
            writeln!(out, "some processes were lost here")?;
            continue;
        };
        if let EventKind::Existing | EventKind::Fork(_) = event.kind {
            let parent = process.parent.as_ref().and_then(|parent| depths.get(&parent.id));
            depths.insert(process.id, parent.map_or(0, |depth| depth + 1));
        }
        match &event.kind {
            EventKind::Existing | EventKind::Exec(_) => {
                print(&mut out, depths.get(&process.id).copied().unwrap_or(0), process)?;
            }
            EventKind::Exit(_) => {
                depths.remove(&process.id);
                if root == Some(process.id.pid) {
                    break;
                }
            }
            _ => {}
        }
    }
    Ok(())
}

fn print(out: &mut impl Write, depth: usize, process: &Process) -> io::Result<()> {
    let words = process.argv.as_deref().into_iter().flat_map(Argv::iter);
    // A terminal must not obey a process's name.
    let words = words.map(|word| word.escape_ascii().to_string()).collect::<Vec<_>>();
    writeln!(out, "{:1$}{2} {3}", "", depth * 2, process.id.pid, words.join(" "))
}

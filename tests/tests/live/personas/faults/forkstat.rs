//! It reads `/proc/PID` when it gets to a message: the line shows the content at that time. It
//! keeps its reading at the fork, and shows it again if it finds nothing any more.

use super::*;

/// The result of its look at a process.
struct Looks {
    /// The spawners' command line, in each case as forkstat prints it.
    spawner: Vec<u8>,
    spawner_comm: Vec<u8>,
    own: Vec<u8>,
    own_comm: Vec<u8>,
}

const GONE: &[u8] = b"<unknown>";

fn flat(mut text: Vec<u8>) -> Vec<u8> {
    text.iter_mut().filter(|b| b"\r\n".contains(b)).for_each(|b| *b = b' ');
    text
}

impl Looks {
    fn at(life: &Life, spawner: &[&[u8]]) -> Self {
        let fork = life.fork.as_ref().expect("spawned");
        Self {
            spawner: flat(joined(spawner.iter().copied(), " ")),
            spawner_comm: flat(bytes(&fork.parent_name).to_vec()),
            own: flat(joined(argv(life), " ")),
            own_comm: flat(bytes(&life.execs[0].name).to_vec()),
        }
    }
}

/// A line, split at the ends of its columns.
struct Row<'a> {
    event: &'a [u8],
    pid: u32,
    info: &'a [u8],
    name: &'a [u8],
}

fn row(line: &[u8], pid_width: usize) -> Option<Row<'_>> {
    let text = |from: usize, to: usize| line.get(from..to).map(|text| text.trim_ascii());
    // `HH:MM:SS event pid info duration name`
    let info = 15 + pid_width + 1;
    Some(Row {
        event: text(9, 14)?,
        pid: std::str::from_utf8(text(15, 15 + pid_width)?).ok()?.parse().ok()?,
        info: text(info, info + 6)?,
        name: line.get(info + 6 + 1 + 8 + 1..)?,
    })
}

/// Checks all lines about the spawned processes: of their forks, from both sides, of their
/// execs and of their ends.
pub(in super::super) fn explain(told: &Printed, truth: &HashMap<u32, &Life>, spawner: &[&[u8]]) {
    let mut faults = Faults::of("forkstat");
    let most = fs::read_to_string("/proc/sys/kernel/pid_max").expect("the kernel has it");
    let rows = told.out.split(|&b| b == b'\n').map(|line| row(line, most.trim().len().max(5)));
    let mut last: Option<Row<'_>> = None;
    // The values that it keeps for each.
    let mut kept = HashMap::<u32, &[u8]>::new();
    let mut seen = HashMap::<(u32, &[u8]), usize>::new();
    for row in rows {
        // The heading may come anywhere.
        let Some(row) = row else { continue };
        let before = last.take();
        if let Some(life) = truth.get(&row.pid) {
            let event = if row.event == b"clone" { b"fork" } else { row.event };
            *seen.entry((row.pid, event)).or_default() += 1;
            let looks = Looks::at(life, spawner);
            let what = format!("{} of {}", row.event.escape_ascii(), row.pid);
            let has = |name: &str, text: &[u8]| (name.to_owned(), text.to_vec());
            let line = |faults: &mut Faults, right: &[u8], causes: &[(String, Vec<u8>)]| {
                let causes: Vec<_> = causes.iter().map(|(cause, text)| (&**cause, text.clone())).collect();
                faults.line(&what, row.name, right, &causes);
            };
            let ended = has("exec, exit: had ended, so that its comm was left", &looks.own_comm);
            let gone = has("exec, exit: was gone, so that nothing was left", GONE);
            match row.event {
                b"fork" => {
                    let parent = before.filter(|row| row.event == b"fork" && row.info == b"parent");
                    parent_line(&mut faults, life, parent, &looks);
                    let causes = [
                        has("fork: the look came behind the exec", &looks.own),
                        has("fork: the look came behind the end, so that its comm was left", &looks.own_comm),
                        has("fork: the look came in the middle of the exec: the comm before", &looks.spawner_comm),
                        has("fork: was gone, so that nothing was left", GONE),
                    ];
                    let torn = torn(&looks.spawner_comm, &looks.own_comm).into_iter();
                    let torn = torn.map(|text| has("fork: the look came while its comm was being written", &text));
                    let causes: Vec<_> = causes.into_iter().chain(torn).collect();
                    line(&mut faults, &looks.spawner, &causes);
                }
                // Its /proc/PID/status has 0 for Tgid by then, which is not its pid.
                b"clone" => {
                    let of_nobody =
                        before.is_some_and(|row| row.event == b"clone" && (row.pid, row.name) == (0, b"[swapper]"));
                    let names = [&looks.spawner, &looks.own, &looks.own_comm, &looks.spawner_comm, GONE];
                    if of_nobody && row.info == b"thread" && names.contains(&row.name) {
                        let cause = "fork: was just being removed, so that it means a thread of pid 0";
                        (0..2).for_each(|_| faults.explained(cause));
                    } else {
                        faults.unexplained.push(format!("{what}, which is no thread"));
                    }
                }
                b"exec" => {
                    // It keeps the earlier value if it finds nothing new: the one in its line
                    // about the fork, which is explained itself.
                    let old = kept.get(&row.pid).copied().unwrap_or(GONE);
                    let old = has("exec: was gone, so that the fork line's text stays", old);
                    line(&mut faults, &looks.own, &[ended, gone, old]);
                }
                b"exit" => {
                    if row.info != wait_status(life).to_string().as_bytes() {
                        faults.unexplained.push(format!("{what} has {}", row.info.escape_ascii()));
                    }
                    let old = kept.get(&row.pid).copied().unwrap_or(GONE);
                    let old = has("exit: as its exec's line had it", old);
                    line(&mut faults, &looks.own, &[ended, gone, old]);
                }
                _ => {}
            }
            kept.insert(row.pid, row.name);
        }
        last = Some(row);
    }
    for pid in truth.keys() {
        for event in [&b"fork"[..], b"exec", b"exit"] {
            match seen.get(&(*pid, event)) {
                None => faults.missing(format!("{} of {pid}", event.escape_ascii())),
                Some(1) => {}
                Some(_) => faults.unexplained.push(format!("{} of {pid} more than once", event.escape_ascii())),
            }
        }
    }
    faults.tell("missing: the socket had no place", told.drops);
}

/// The possible readings of a comm while another is written over it, from the front.
fn torn(old: &[u8], new: &[u8]) -> Vec<Vec<u8>> {
    let filled = |comm: &[u8]| -> Vec<u8> { comm.iter().copied().chain(std::iter::repeat(0)).take(16).collect() };
    let (old, new) = (filled(old), filled(new));
    let mixed = (1..16).map(|at| [&new[..at], &old[at..]].concat());
    mixed.map(|comm| comm.split(|b| *b == 0).next().unwrap_or_default().to_vec()).collect()
}

/// The parent's side of a fork.
fn parent_line(faults: &mut Faults, life: &Life, row: Option<Row<'_>>, looks: &Looks) {
    let ppid = life.fork.as_ref().expect("spawned").ppid;
    let right = [ppid.to_string().as_bytes(), b" ", &looks.spawner].concat();
    let said = row.map(|row| [row.pid.to_string().as_bytes(), b" ", row.name].concat());
    let orphan = b"0 [swapper]".to_vec();
    let cause = ("fork: the child was gone, so that pid 0 is shown as its parent", orphan);
    faults.line(&format!("parent of {}", life.pid), &said.unwrap_or_default(), &right, &[cause]);
}

use std::collections::HashMap;

use procscope::{Pid, Process, ProcessId};

/// The deepest line of ancestors that is followed, so that an error in it cannot go on for ever.
const DEEPEST: usize = 1000;

/// The parents of living processes: bounded by the number of pids.
#[derive(Default)]
pub(super) struct Lineage {
    members: HashMap<Pid, Member>,
    /// The processes are of another time: /proc does not know them.
    recorded: bool,
}

struct Member {
    id: ProcessId,
    parent: Option<ProcessId>,
}

impl Lineage {
    /// For a recording.
    pub(super) fn recorded() -> Self {
        Self { recorded: true, ..Self::default() }
    }

    pub(super) fn see(&mut self, process: &Process) {
        let parent = process.parent.as_ref().map(|parent| parent.id);
        self.members.insert(process.id.pid, Member { id: process.id, parent });
    }

    pub(super) fn end(&mut self, process: &Process) {
        self.members.remove(&process.id.pid);
    }

    /// How many processes are between a process and the root; or up to one without a parent, if the
    /// root is not above it.
    pub(super) fn depth(&mut self, process: &Process, root: Pid) -> usize {
        let mut next = process.parent.as_ref().map(|parent| parent.id);
        for depth in 0..DEEPEST {
            match next {
                Some(parent) if parent.pid != root && parent.pid != 0 => next = self.parent(parent),
                _ => return depth,
            }
        }
        DEEPEST
    }

    /// The parent of a living process, as it is now: an orphan has another one.
    fn parent(&mut self, of: ProcessId) -> Option<ProcessId> {
        let known = self.members.get(&of.pid).filter(|member| same(member.id, of))?.parent;
        if let Some(parent) = known
            && (parent.pid == 0 || self.members.get(&parent.pid).is_some_and(|member| same(member.id, parent)))
        {
            return known;
        }
        if self.recorded {
            return known;
        }
        let parent = read_ppid(of.pid).map(|pid| match self.members.get(&pid) {
            Some(member) => member.id,
            None => ProcessId { pid, start: None },
        });
        if let Some(member) = self.members.get_mut(&of.pid) {
            member.parent = parent;
        }
        parent
    }
}

/// True unless both starts are known and differ.
fn same(one: ProcessId, other: ProcessId) -> bool {
    one.pid == other.pid && one.start.zip(other.start).is_none_or(|(one, other)| one == other)
}

/// `ppid` of proc_pid_stat(5).
fn read_ppid(pid: Pid) -> Option<Pid> {
    let stat = std::fs::read(format!("/proc/{pid}/stat")).ok()?;
    let behind_name = stat.iter().rposition(|&b| b == b')')?;
    let fields = std::str::from_utf8(&stat[behind_name + 1..]).ok()?;
    fields.split_whitespace().nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use procscope::{ProcessRef, StartTime};

    use super::*;

    fn process(pid: Pid, start: u64, parent: (Pid, u64)) -> Process {
        let id = |pid, start| ProcessId { pid, start: Some(StartTime(start)) };
        let mut process = Process::new(id(pid, start));
        process.parent = Some(ProcessRef::new(id(parent.0, parent.1), None));
        process
    }

    // Pids that no system gives, so that /proc has none of them.
    const A: Pid = 500_000_001;
    const B: Pid = 500_000_002;
    const C: Pid = 500_000_003;

    #[test]
    fn depth_counts_who_is_between() {
        let mut lineage = Lineage::default();
        for it in [process(A, 10, (1, 0)), process(B, 20, (A, 10)), process(C, 30, (B, 20))] {
            lineage.see(&it);
        }
        assert_eq!(lineage.depth(&process(A, 10, (1, 0)), 1), 0);
        assert_eq!(lineage.depth(&process(C, 30, (B, 20)), 1), 2);
        assert_eq!(lineage.depth(&process(C, 30, (B, 20)), A), 1);
        assert_eq!(lineage.depth(&process(C, 30, (B, 20)), B), 0);
    }

    #[test]
    fn the_dead_and_who_has_their_pid_are_no_ancestors() {
        let mut lineage = Lineage::default();
        lineage.see(&process(A, 10, (1, 0)));
        lineage.see(&process(B, 20, (A, 10)));
        lineage.end(&process(A, 10, (1, 0)));
        assert_eq!(lineage.depth(&process(C, 30, (B, 20)), 1), 1);
        lineage.see(&process(A, 99, (C, 30)));
        lineage.see(&process(C, 30, (B, 20)));
        assert_eq!(lineage.depth(&process(C, 30, (B, 20)), 1), 1);
    }

    #[test]
    fn a_ring_ends() {
        let mut lineage = Lineage::default();
        lineage.see(&process(A, 10, (B, 20)));
        lineage.see(&process(B, 20, (A, 10)));
        assert_eq!(lineage.depth(&process(A, 10, (B, 20)), 1), DEEPEST);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn parents_are_read() {
        assert_eq!(read_ppid(std::process::id()), Some(std::os::unix::process::parent_id()));
        assert_eq!(read_ppid(A), None);
    }
}

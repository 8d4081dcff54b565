//! Looks at one process: at a new one, and again at known ones.

use std::cmp::Reverse;
use std::ops::ControlFlow;
use std::os::fd::OwnedFd;

use super::super::pidfd;
use super::super::tracker::{Judgement, Sight, is_between, is_loading, settle};
use super::Live;
use crate::source::intake::Intake;
use crate::source::look::{Depth, Look};
use crate::source::proc_files::look_between;
use crate::sys::{self, ProcDir};
use crate::{Flaw, Pid, StartTime};

/// A process is read again when its age has grown by a quarter, but within these bounds.
const AGAIN_SOONEST_NS: u64 = 1_000_000;

const AGAIN_LATEST_NS: u64 = 1_000_000_000;

/// This many of them are read in a round: it rests many times as long as it worked, and that must
/// not be long at once.
const MOST_DUE: usize = 16;

/// This many processes are read completely in a round; of those beyond only the arguments are read.
const THOROUGH: usize = 40;

impl Live {
    /// Looks at an unknown process, and guards it.
    pub(super) fn look(&mut self, pid: Pid, depth: Depth) -> Option<(Sight, Option<OwnedFd>)> {
        let dir = ProcDir::open(pid)?;
        let guard = (self.own_pids && self.guards.len() < self.most_guards).then(|| pidfd::open(pid)).flatten();
        // The process just read was not waited for yet, so the descriptor is its own and no later
        // one's.
        Some((sight(&dir, pid, depth)?, guard))
    }

    pub(super) fn depth(&self, looked: usize) -> Depth {
        match looked {
            _ if self.env => Depth::Env,
            looked if looked > THOROUGH && !self.chosen_by_look => Depth::Brief,
            _ => Depth::Full,
        }
    }

    /// Schedules the next look at a process, as soon as possible while its program is being loaded.
    pub(super) fn expect(&mut self, pid: Pid, start: StartTime, now_ns: u64, loading: bool) {
        let age_ns = if loading { 0 } else { now_ns.saturating_sub(start.boot_ns()) };
        let due_ns = now_ns.saturating_add((age_ns / 4).clamp(AGAIN_SOONEST_NS, AGAIN_LATEST_NS));
        self.due.push(Reverse((due_ns, pid, start)));
    }

    /// Reads processes that were not read for long.
    pub(super) fn look_at_due(&mut self, now_ns: u64, out: &mut dyn Intake) -> ControlFlow<()> {
        let mut looked = 0;
        while let Some(&Reverse((due_ns, pid, start))) = self.due.peek() {
            if due_ns > now_ns || looked == MOST_DUE {
                break;
            }
            self.due.pop();
            if self.tracker.start(pid) != Some(start) {
                continue;
            }
            looked += 1;
            let loading = self.look_again(pid, out)?;
            if self.tracker.start(pid) == Some(start) {
                self.expect(pid, start, now_ns, loading);
            }
        }
        ControlFlow::Continue(())
    }

    /// Reads a process again that another one is about to name, unless it was read since then.
    pub(super) fn refresh(&mut self, pid: Pid, since_ns: u64, out: &mut dyn Intake) -> ControlFlow<()> {
        if !self.tracker.is_stale(pid, since_ns) {
            return ControlFlow::Continue(());
        }
        let read = ProcDir::open(pid).and_then(|dir| dir.stat().map(|stat| (dir, stat)));
        let Some((dir, stat)) = read else { return ControlFlow::Continue(()) };
        let now_ns = sys::now_boot_ns();
        match self.tracker.judge(pid, &stat) {
            Judgement::Other => ControlFlow::Continue(()),
            Judgement::Ended => {
                self.tracker.confirm(pid, &stat, now_ns);
                ControlFlow::Continue(())
            }
            Judgement::Same => self.tracker.touch(pid, &stat, now_ns, &mut |record| out.push(record)),
            Judgement::Look => match sight(&dir, pid, self.depth(0)) {
                Some(sight) => self.tracker.again(sight, &mut |record| out.push(record)),
                None => ControlFlow::Continue(()),
            },
        }
    }

    /// Reports what changed in a process. Returns whether its program is being loaded.
    pub(super) fn look_again(&mut self, pid: Pid, out: &mut dyn Intake) -> ControlFlow<(), bool> {
        let now_ns = sys::now_boot_ns();
        let mut loading = false;
        let Some((dir, stat)) = ProcDir::open(pid).and_then(|dir| dir.stat().map(|stat| (dir, stat))) else {
            return self.gone(pid, now_ns, out).map_continue(|()| loading);
        };
        match self.tracker.judge(pid, &stat) {
            Judgement::Other => {
                self.end(pid, now_ns, Flaw::Estimated, out)?;
                if let Some((sight, guard)) = self.look(pid, self.depth(0)) {
                    self.welcome(sight, guard, out)?;
                }
            }
            // Its guard reports when.
            Judgement::Ended if self.guards.contains_key(&pid) => {}
            Judgement::Ended => self.end(pid, now_ns, Flaw::Estimated, out)?,
            Judgement::Same => self.tracker.touch(pid, &stat, now_ns, &mut |record| out.push(record))?,
            Judgement::Look => {
                if let Some(sight) = sight(&dir, pid, self.depth(0)) {
                    loading = sight.loading;
                    self.refresh(sight.stat.ppid, sight.read_ns, out)?;
                    self.tracker.again(sight, &mut |record| out.push(record))?;
                }
            }
        }
        ControlFlow::Continue(loading)
    }
}

fn sight(dir: &ProcDir, pid: Pid, depth: Depth) -> Option<Sight> {
    let file = dir.open_file(c"stat")?;
    for _ in 0..3 {
        let first = file.stat()?;
        let (look, code_kib) = look_between(dir, &first, depth);
        if let Some((stat, look)) = settle(&first, look, file.stat().as_ref()) {
            let loading = is_loading(&stat, &look, code_kib);
            return Some(Sight { pid, read_ns: sys::now_boot_ns(), stat, look, code_kib, loading });
        }
    }
    // It executes one program after the other: the last one is still to be seen.
    let (stat, look) = (file.stat()?, Look::default());
    let loading = is_between(&stat);
    Some(Sight { pid, read_ns: sys::now_boot_ns(), stat, look, code_kib: 0, loading })
}

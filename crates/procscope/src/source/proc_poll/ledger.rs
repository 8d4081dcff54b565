//! Which of the pids given out belong to a known process, and which belong to none any more. No OS.

use std::ops::RangeInclusive;

use rustc_hash::FxHashSet;

use crate::Pid;
use crate::proc::pids::pids_between;

/// This many unknown pids are looked for after a round; those beyond count as missed at once.
const MOST_ASKED: usize = 4096;

/// The holder of a pid.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Holder {
    Process,
    Thread,
    Nobody,
}

/// Each pid that the mark has passed is a known process's, or a thread's, or counted as missed.
///
/// A pid that is unknown in its round is looked for in the next: its process may not have been in
/// /proc yet when that was listed, because a pid is given out before the process appears. If it
/// still has no holder, it is held until all of /proc was listed once more.
#[derive(Default)]
pub(crate) struct Ledger {
    mark: Option<Pid>,
    most: Pid,
    /// Given out between the mark of this round and that of the one before.
    ranges: Vec<RangeInclusive<Pid>>,
    /// Those of them whose holder is known.
    met: FxHashSet<Pid>,
    /// Found in this round, and given out since its mark was read.
    beyond: FxHashSet<Pid>,
    /// The same for the round before: this round's mark has passed them.
    ahead: FxHashSet<Pid>,
    /// Not found in the round before.
    open: Vec<Pid>,
    /// Those of them that a process has.
    waiting: FxHashSet<Pid>,
    /// Without a holder, as far as is known.
    held: FxHashSet<Pid>,
    missed: u64,
}

impl Ledger {
    /// `mark`: the pid that was given out last, if that is known; `most`: the highest that there
    /// is.
    pub(crate) fn new(mark: Option<Pid>, most: Pid) -> Self {
        Self { mark, most, ..Self::default() }
    }

    /// A round begins. Without a mark no pid is known to have been given out.
    pub(crate) fn begin(&mut self, mark: Option<Pid>) {
        self.ranges.clear();
        let Some(mark) = mark else { return };
        let Some(old) = self.mark.replace(mark) else { return };
        self.ranges = pids_between(old, mark, self.most);
        self.met.clear();
        // A pid that is not in these ranges now never was beyond the mark.
        self.ahead = std::mem::take(&mut self.beyond);
    }

    /// The pids given out since the last round up to this mark.
    pub(crate) fn until(&self, mark: Pid) -> Vec<RangeInclusive<Pid>> {
        self.mark.map_or_else(Vec::new, |old| pids_between(old, mark, self.most))
    }

    pub(crate) fn ranges(&self) -> &[RangeInclusive<Pid>] {
        &self.ranges
    }

    /// Looks for those that were not found in the round before. Returns those that a process has:
    /// they are to be read.
    pub(crate) fn ask(&mut self, mut who_has: impl FnMut(Pid) -> Holder) -> Vec<Pid> {
        let mut processes = Vec::new();
        for pid in std::mem::take(&mut self.open) {
            match who_has(pid) {
                // Given out again, so it had been given back.
                _ if self.is_given(pid) => self.missed += 1,
                Holder::Process => {
                    self.waiting.insert(pid);
                    processes.push(pid);
                }
                // It is not a process, and will never be one.
                Holder::Thread => {}
                Holder::Nobody => self.hold(pid),
            }
        }
        processes
    }

    fn hold(&mut self, pid: Pid) {
        // At most one of two holders may still appear.
        if !self.held.insert(pid) {
            self.missed += 1;
        }
    }

    /// The holder of this pid is still to be found.
    pub(crate) fn is_due(&self, pid: Pid) -> bool {
        self.waiting.contains(&pid) || self.is_given(pid) && !self.met.contains(&pid) && !self.ahead.contains(&pid)
    }

    fn is_given(&self, pid: Pid) -> bool {
        self.ranges.iter().any(|range| range.contains(&pid))
    }

    /// The holder of this pid was reported.
    pub(crate) fn meet(&mut self, pid: Pid) {
        if self.mark.is_none() {
            return;
        }
        if self.is_given(pid) {
            self.met.insert(pid);
            self.waiting.remove(&pid);
        } else if !self.waiting.remove(&pid) && !self.held.remove(&pid) {
            self.beyond.insert(pid);
        }
    }

    /// All of /proc was listed and everything in it found: pids held since before have no holder.
    pub(crate) fn close(&mut self) {
        self.missed += self.held.len() as u64;
        self.held.clear();
    }

    /// The round ends.
    pub(crate) fn end(&mut self) {
        // A process that can be seen only by its pid.
        for pid in std::mem::take(&mut self.waiting) {
            self.hold(pid);
        }
        for pid in self.ranges.iter().cloned().flatten() {
            if self.met.contains(&pid) || self.ahead.contains(&pid) {
                continue;
            }
            if self.open.len() < MOST_ASKED {
                self.open.push(pid);
            } else {
                self.missed += 1;
            }
        }
    }

    /// A process was found, but could not be reported.
    pub(crate) fn count(&mut self, missed: u64) {
        self.missed += missed;
    }

    /// A pid is to be looked for in the next round.
    pub(crate) fn is_open(&self) -> bool {
        !self.open.is_empty()
    }

    /// How many were missed since the last call.
    pub(crate) fn take_missed(&mut self) -> u64 {
        std::mem::take(&mut self.missed)
    }
}

#[cfg(test)]
mod tests;

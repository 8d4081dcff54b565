//! Puts reports in the order of time, and drops looks that may have seen another process.

use rustc_hash::FxHashSet;

use super::happening::{Happening, Report};
use crate::Pid;

/// How long after a look an exec may be reported that had changed the process before it: the kernel
/// replaces the image first and reports it last.
pub(crate) const SETTLE_NS: u64 = 2_000_000;

/// See the module.
#[derive(Default)]
pub(crate) struct Settling {
    pending: Vec<Report>,
    /// Working space of [`Settling::give`].
    changes: Vec<(Pid, u64, Option<u64>)>,
}

/// The image that a look has seen.
fn image(told: &Report) -> Option<u64> {
    let stat = told.look.as_ref()?.stat?;
    (stat.arg_start != 0).then_some(stat.arg_start)
}

impl Settling {
    pub(crate) fn push(&mut self, told: Report) {
        self.pending.push(told);
    }

    /// Forgets the looks that only lost reports could distinguish from looks at another process.
    pub(crate) fn distrust(&mut self) {
        for it in &mut self.pending {
            if it.look.as_ref().is_some_and(|look| look.stat.is_none()) {
                it.look = None;
            }
        }
    }

    /// Which processes were forked, and when, as far as that is not yet passed on.
    pub(crate) fn forked(&self) -> Vec<(Pid, u64)> {
        let forked = self.pending.iter().filter_map(|it| match it.what {
            Happening::Fork { child, .. } if child.is_leader() => Some((child.pid, it.mono_ns)),
            _ => None,
        });
        forked.collect()
    }

    /// The processes whose threads ended, as far as that is not yet passed on.
    pub(crate) fn ended(&self) -> FxHashSet<Pid> {
        let ended = self.pending.iter().filter_map(|it| match it.what {
            Happening::Exit { task, .. } => Some(task.pid),
            _ => None,
        });
        ended.collect()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.pending.is_empty()
    }

    /// The reports up to this time, in order, without the looks that may have seen something else.
    pub(crate) fn give(&mut self, until_ns: u64) -> Vec<Report> {
        self.pending.sort_by_key(|it| it.mono_ns);
        // When each process became another program, and which one, or its pid another process.
        self.changes.clear();
        self.changes.extend(self.pending.iter().filter_map(|it| match it.what {
            Happening::Exec { task, .. } => Some((task.pid, it.mono_ns, image(it))),
            Happening::Fork { child, .. } if child.is_leader() => Some((child.pid, it.mono_ns, None)),
            _ => None,
        }));
        self.changes.sort_unstable();
        for it in &mut self.pending {
            let (Some(look), task) = (&it.look, it.what.task()) else { continue };
            // Seen before another image was: then it is the reported one.
            let told = image(it);
            let later = self.changes.partition_point(|&(pid, at, _)| (pid, at) <= (task.pid, it.mono_ns));
            let doubtful = self.changes[later..]
                .iter()
                .take_while(|&&(pid, at, _)| pid == task.pid && at <= look.read_ns + SETTLE_NS)
                .any(|&(.., then)| told.is_none() || then.is_none() || told == then);
            if doubtful {
                it.look = None;
            }
        }
        let count = self.pending.partition_point(|it| it.mono_ns <= until_ns);
        let rest = self.pending.split_off(count);
        std::mem::replace(&mut self.pending, rest)
    }
}

//! Ends: seen by a guard, or found at the next look.

use std::io;
use std::ops::ControlFlow;

use rustix::event::Timespec;
use rustix::event::epoll;
use rustix::io::Errno;

use super::super::pidfd;
use super::super::tracker::End;
use super::Live;
use crate::proc::pid::Stat;
use crate::source::intake::Intake;
use crate::sys::{self, ProcDir};
use crate::{Flaw, Pid, StartTime};

/// How long an end waits for the status, which the kernel shows after it has notified the parent.
const STATUS_WITHIN_NS: u64 = 1_000_000_000;

/// A known end, with its status still unknown.
pub(super) struct Ending {
    pid: Pid,
    end: End,
    until_ns: u64,
}

impl Live {
    pub(super) fn gone(&mut self, pid: Pid, now_ns: u64, out: &mut dyn Intake) -> ControlFlow<()> {
        if self.guards.contains_key(&pid) {
            return ControlFlow::Continue(());
        }
        self.end(pid, now_ns, Flaw::Estimated, out)
    }

    /// A process has ended: reports it, or notes it until its status is known.
    pub(super) fn end(&mut self, pid: Pid, boot_ns: u64, time: Flaw, out: &mut dyn Intake) -> ControlFlow<()> {
        let Some(start) = self.tracker.start(pid) else { return ControlFlow::Continue(()) };
        let left = ProcDir::open(pid).and_then(|dir| remains(&dir, start));
        let (stat, mut wait_status) = left.map_or((None, None), |(stat, status)| (Some(stat), status));
        if stat.is_some() {
            self.dead.insert(pid, start);
        }
        if let Some(held) = self.held.as_ref().filter(|held| held.pid() == pid) {
            wait_status = wait_status.or_else(|| held.command().wait_status());
        }
        let parent = stat.as_ref().map(|stat| stat.ppid).or_else(|| self.tracker.parent(pid));
        let end = End { boot_ns, time, wait_status, stat };
        self.refresh(parent.unwrap_or_default(), boot_ns, out)?;
        let guard = self.guards.get(&pid);
        if end.wait_status.is_none() && self.tells_status && guard.is_some() {
            self.endings.push(Ending { pid, end, until_ns: boot_ns.saturating_add(STATUS_WITHIN_NS) });
            return ControlFlow::Continue(());
        }
        self.guards.remove(&pid);
        self.tracker.ended(pid, &end, &mut |record| out.push(record))
    }

    /// Reports ends whose status has come, or will not.
    pub(super) fn settle_endings(&mut self, now_ns: u64, out: &mut dyn Intake) -> ControlFlow<()> {
        let mut waiting = std::mem::take(&mut self.endings).into_iter();
        for mut it in waiting.by_ref() {
            it.end.wait_status = self.guards.get(&it.pid).and_then(pidfd::wait_status);
            if it.end.wait_status.is_none() && now_ns < it.until_ns {
                self.endings.push(it);
                continue;
            }
            self.guards.remove(&it.pid);
            self.tracker.ended(it.pid, &it.end, &mut |record| out.push(record))?;
        }
        ControlFlow::Continue(())
    }

    /// Handles the ends that guards report. Returns how many.
    pub(super) fn take_ends(&mut self, time: Flaw, out: &mut dyn Intake) -> io::Result<ControlFlow<(), usize>> {
        let mut events = Vec::with_capacity(256);
        let mut count = 0;
        loop {
            match epoll::wait(&self.epoll, rustix::buffer::spare_capacity(&mut events), Some(&Timespec::default())) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
            if events.is_empty() {
                return Ok(ControlFlow::Continue(count));
            }
            let now_ns = sys::now_boot_ns();
            for event in events.drain(..) {
                count += 1;
                let pid = { event.data }.u64() as Pid;
                if self.end(pid, now_ns, time, out).is_break() {
                    return Ok(ControlFlow::Break(()));
                }
            }
        }
    }
}

/// The rest of a process that has ended, and how it ended if that may be known.
fn remains(dir: &ProcDir, start: StartTime) -> Option<(Stat, Option<u32>)> {
    let stat = dir.stat().filter(|stat| stat.start == start && stat.has_ended())?;
    // A caller without the right sees the status 0; and a link is refused, rather than missing.
    let known = stat.wait_status != 0 || dir.link_error(c"cwd") == Some(Errno::NOENT);
    let status = known.then_some(stat.wait_status);
    Some((stat, status))
}

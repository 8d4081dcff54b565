//! The processes that were already running when the programs were attached.

use std::collections::HashSet;
use std::io::{self, Read};
use std::ops::ControlFlow;
use std::time::Duration;

use libbpf_rs::{Iter, MapCore, MapFlags};

use super::complaints::Complaints;
use super::live::Live;
use super::object::map;
use super::running::{Running, decode_existing, read_hidden, subject_of, tell};
use crate::record::{Body, ImageRecord, NamesUp, Record, Subject, comm_of, names_up};
use crate::source::intake::Intake;
use crate::{Flaws, Pid, StartTime, sys};

const TREES_SWITCHING: u32 = 1;
const TREES_READY: u32 = 2;

impl Live {
    fn read_existing(&self) -> io::Result<Vec<u8>> {
        let _kept = Complaints::keep();
        let program = self.object.progs_mut().find(|program| program.name() == "existing");
        let program = program.ok_or(io::ErrorKind::NotFound)?;
        let link = program.attach().map_err(io::Error::other)?;
        let mut bytes = Vec::new();
        Iter::new(&link).map_err(io::Error::other)?.read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    /// Reports the processes that are already running, each once. A process forked since we
    /// attached comes as a fork.
    pub(super) fn snapshot(&mut self, out: &mut dyn Intake) -> io::Result<ControlFlow<()>> {
        let bytes = self.read_existing()?;
        let mut malformed = 0;
        let mut running = decode_existing(&bytes, &mut malformed);
        (0..malformed).for_each(|_| out.count_malformed());
        let (forked, mut gone) = self.peek_at_waiting(&running, out);
        let hidden = read_hidden(&running.iter().chain(&gone).map(|it| it.subject.pid).collect());
        let places = |it: &sys::ReadProcess| [&it.exe, &it.cwd].map(|path| path.as_deref().map(names_up));
        let places: Vec<_> = hidden.iter().map(places).collect();
        for (it, places) in hidden.iter().zip(&places) {
            running.extend(self.hidden(it, places, &forked));
        }
        running.append(&mut gone);
        running.retain(|it| it.subject.start_ns < self.attached_ns);

        // All before any is reported: ancestors do not always come first, and need not be chosen.
        for it in &running {
            let body = Body::Existing { subject: it.subject, image: it.image };
            let boot_ns = self.attached_ns;
            out.note(&Record { boot_ns, processor: None, body, flaws: it.flaws, about: Flaws::new() });
        }
        for it in &running {
            let member = self.want.trees.is_empty() || self.members.contains(&it.subject.pid);
            let fork_comes = forked.contains(&(it.subject.pid, it.subject.start_ns));
            if it.chosen && member && !fork_comes && self.tell(it, out).is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    /// What the ring shows: who was forked since we attached, and who was running before and gone
    /// before we could look.
    fn peek_at_waiting(
        &mut self,
        running: &[Running<'_>],
        out: &mut dyn Intake,
    ) -> (HashSet<(Pid, u64)>, Vec<Running<'static>>) {
        let (mut forked, mut gone) = (HashSet::new(), Vec::new());
        let mut seen: HashSet<(Pid, u64)> = running.iter().map(|it| (it.subject.pid, it.subject.start_ns)).collect();
        let attached_ns = self.attached_ns;
        self.peek(|record, asked| {
            if let Body::Cgroup { .. } = &record.body {
                let _ = out.push(record);
            }
            let Some(subject) = record.body.subject() else { return };
            let key = (subject.pid, subject.start_ns);
            match &record.body {
                Body::Fork { thread: false, .. } if asked => _ = forked.insert(key),
                Body::Fork { .. } | Body::Ptrace { .. } => {}
                body if asked && subject.start_ns < attached_ns && !forked.contains(&key) && seen.insert(key) => {
                    gone.push(Running::gone(*subject, body));
                }
                _ => {}
            }
        });
        (forked, gone)
    }

    /// A process that only /proc shows, if it was running when we attached.
    fn hidden<'a>(
        &mut self,
        it: &sys::ReadProcess,
        places: &'a [Option<Vec<u8>>; 2],
        forked: &HashSet<(Pid, u64)>,
    ) -> Option<Running<'a>> {
        let attached = StartTime::from_boot_ns(self.attached_ns);
        let gone = it.stat.has_ended() && !it.stat.has_lost_leader();
        if gone || it.stat.start > attached || forked.iter().any(|(pid, _)| *pid == it.pid) {
            return None;
        }
        if it.stat.start == attached {
            // Only the tick of its start is known; its next event shows which came first.
            self.unsure.insert(it.pid);
            return None;
        }
        let [exe, cwd] = places.each_ref().map(|names| names.as_deref().map(NamesUp));
        let (subject, image) = (subject_of(it), ImageRecord { exe, cwd, ..ImageRecord::default() });
        Some(Running { subject, image, flaws: Flaws::new(), chosen: self.chooses(&subject), in_proc: true })
    }

    /// The filters that need no cgroup, for processes from /proc.
    fn chooses(&self, subject: &Subject) -> bool {
        let names = &self.want.names;
        (self.want.pids.is_empty() || self.want.pids.contains(&subject.pid))
            && (self.want.uids.is_empty() || self.want.uids.contains(&subject.uid))
            && (names.is_empty() || names.iter().any(|name| comm_of(name) == subject.comm))
            && self.want.cgroups.is_empty()
    }

    fn tell(&mut self, it: &Running<'_>, out: &mut dyn Intake) -> ControlFlow<()> {
        tell(&self.want, &mut self.existing, self.attached_ns, it, out)
    }

    /// Puts all present descendants into the programs' map, then lets the programs decide.
    pub(super) fn plant_trees(&mut self) -> io::Result<()> {
        let mut members: HashSet<Pid> = self.want.trees.iter().copied().collect();
        if members.is_empty() {
            return Ok(());
        }
        let bytes = self.read_existing()?;
        let running = decode_existing(&bytes, &mut 0);
        let born = running.iter().map(|it| Born {
            pid: it.subject.pid,
            above: it.subject.parent.pid,
            start_ns: it.subject.start_ns,
        });
        let mut born: Vec<_> = born.collect();
        let hidden = read_hidden(&born.iter().map(|it| it.pid).collect());
        let read = |it: &sys::ReadProcess| Born { pid: it.pid, above: it.stat.ppid, start_ns: it.stat.start.boot_ns() };
        born.extend(hidden.iter().map(read));
        let mut planted = members.clone();
        loop {
            // Children forked meanwhile by members that the programs did not know yet.
            self.peek(|record, _| {
                if let (Some(subject), Some(descent)) = (record.body.subject(), record.body.descent()) {
                    let above = [Some(descent.parent), descent.creator.filter(|creator| *creator != descent.parent)];
                    let one = |above| Born { pid: descent.pid, above, start_ns: subject.start_ns };
                    born.extend(above.into_iter().flatten().map(one));
                }
            });
            add_descendants(&born, &mut members);
            let new: Vec<Pid> = members.difference(&planted).copied().collect();
            if new.is_empty() {
                break;
            }
            self.plant(&new, &born)?;
            planted.extend(new);
        }
        self.shared.set_trees(TREES_SWITCHING);
        std::thread::sleep(Duration::from_millis(1));
        self.unfiltered_until = self.ring.end();
        self.shared.set_trees(TREES_READY);
        self.members = members;
        Ok(())
    }

    fn plant(&self, new: &[Pid], born: &[Born]) -> io::Result<()> {
        let map = map(&self.object, "trees")?;
        let proc_is_here = !sys::list_processes().is_empty();
        for &pid in new {
            map.update(&pid.to_ne_bytes(), &[1], MapFlags::ANY).map_err(io::Error::other)?;
            // The programs remove a process that ends. They do not remove one that ended before it
            // was inserted, and whose pid is free for another process.
            let start = sys::read_process(pid).map(|it| it.stat.start);
            let is_it = |it: &Born| {
                it.pid == pid && start.is_some_and(|start| sys::is_start(start, StartTime::from_boot_ns(it.start_ns)))
            };
            if proc_is_here && !born.iter().any(is_it) {
                let _ = map.delete(&pid.to_ne_bytes());
            }
        }
        Ok(())
    }
}

/// A process below another one: its parent or its creator.
struct Born {
    pid: Pid,
    above: Pid,
    start_ns: u64,
}

fn add_descendants(born: &[Born], members: &mut HashSet<Pid>) {
    loop {
        let before = members.len();
        let children = born.iter().filter(|it| members.contains(&it.above)).map(|it| it.pid);
        let children: Vec<Pid> = children.collect();
        members.extend(children);
        if members.len() == before {
            break;
        }
    }
}

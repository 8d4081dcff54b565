use std::collections::HashSet;

use crate::launch::Home;
use crate::record::{Body, Record, UNKNOWN_START};
use crate::{Field, Flaw, Pid, Process, Want};

/// A comm has this many bytes, in the kernel.
const COMM_BYTES: usize = 15;

/// The choice of processes, for a mechanism whose kernel side cannot make it.
#[derive(Default)]
pub(super) struct Choice {
    pids: Vec<Pid>,
    names: Vec<Vec<u8>>,
    uids: Vec<u32>,
    /// Roots and all their living descendants; `None` without a tree.
    members: Option<HashSet<Pid>>,
    /// Processes that may or may not belong: their creator was not seen.
    perhaps: HashSet<Pid>,
    /// The process that started the command, which is a root.
    home: Home,
}

impl Choice {
    pub(super) fn new(want: &Want) -> Self {
        let cut = |name: &Vec<u8>| name[..name.len().min(COMM_BYTES)].to_vec();
        Self {
            pids: want.pids.clone(),
            names: want.names.iter().map(cut).collect(),
            uids: want.uids.clone(),
            members: (!want.trees.is_empty()).then(|| want.trees.iter().copied().collect()),
            perhaps: HashSet::new(),
            home: want.held.as_ref().map_or_else(Home::default, |held| held.home()),
        }
    }

    pub(super) fn plant(&mut self, members: impl IntoIterator<Item = Pid>) {
        if let Some(known) = &mut self.members {
            known.extend(members);
        }
    }

    /// Adds a process that joins a tree.
    pub(super) fn follow(&mut self, record: &Record<'_>) {
        let (Some(members), Some(subject), Some(descent)) =
            (&mut self.members, record.body.subject(), record.body.descent())
        else {
            return;
        };
        // An unrelated process may have the pid of one that ended unseen.
        members.remove(&descent.pid);
        self.perhaps.remove(&descent.pid);
        let adopted = self.home.adopts(&descent);
        if descent.is_below(|pid| members.contains(&pid)) || adopted == Some(true) {
            members.insert(descent.pid);
            return;
        }
        let unseen = descent.parent != 0
            && (subject.parent.start_ns == UNKNOWN_START || record.about.get(Field::Ppid) == Some(Flaw::Estimated));
        if unseen || adopted.is_some() || descent.is_below(|pid| pid != 0 && self.perhaps.contains(&pid)) {
            self.perhaps.insert(descent.pid);
        }
    }

    /// Removes a process that has ended.
    pub(super) fn leave(&mut self, record: &Record<'_>) {
        if let (Some(members), Body::Exit { subject, .. }) = (&mut self.members, &record.body) {
            members.remove(&subject.pid);
            self.perhaps.remove(&subject.pid);
        }
    }

    /// Whether a forked process may be wanted, although what was seen of it does not show that.
    pub(super) fn is_undecided(&self, process: &Process) -> bool {
        let pid = process.id.pid;
        let member = self.members.as_ref().map_or(Some(true), |members| match members.contains(&pid) {
            true => Some(true),
            false => (!self.perhaps.contains(&pid)).then_some(false),
        });
        let uid = match &process.credentials {
            _ if self.uids.is_empty() => Some(true),
            who => who.as_ref().map(|who| self.uids.contains(&who.uid)),
        };
        // A process that has executed something has another name than its fork.
        let named =
            process.name.as_deref().is_none_or(|name| self.names.is_empty() || self.names.iter().any(|it| it == name));
        let all = [member, uid, Some(named), Some(self.pids.is_empty() || self.pids.contains(&pid))];
        all.contains(&None) && !all.contains(&Some(false))
    }

    /// Whether it is wanted, assuming the best about doubtful values.
    pub(super) fn takes(&self, process: &Process, doubtful: impl Fn(Field) -> bool) -> bool {
        let pid = process.id.pid;
        (self.pids.is_empty() || self.pids.contains(&pid))
            && self.members.as_ref().is_none_or(|members| members.contains(&pid))
            && (self.uids.is_empty()
                || doubtful(Field::User)
                || process.credentials.as_ref().is_some_and(|who| self.uids.contains(&who.uid)))
            && (self.names.is_empty()
                || doubtful(Field::Name)
                || process.name.as_deref().is_some_and(|name| self.names.iter().any(|wanted| wanted == name)))
    }
}

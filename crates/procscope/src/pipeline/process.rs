//! The process of an event: who it is, and what it runs.

use super::*;

impl Pipeline {
    /// A new process is a copy of its creator.
    pub(super) fn copied_image(&self, subject: &Subject, creator: Option<&RefRecord>) -> Image {
        if subject.kthread {
            return Image::default();
        }
        let original = creator.unwrap_or(&subject.parent);
        let Some(mut image) = self.table.image(original.pid, original.start_ns, subject.exec_id) else {
            return Image::unseen();
        };
        // The worse mark stays: a cut list is cut in the copy too.
        for (field, has) in [(Field::Argv, image.argv.is_some()), (Field::Exe, image.exe.is_some())] {
            if has && image.flaws.get(field).is_none() {
                image.flaws.mark(field, Flaw::Inherited);
            }
        }
        image
    }

    /// A process with the image that was last seen.
    pub(super) fn living(&mut self, subject: &Subject) -> Arc<Process> {
        let image = self.table.image(subject.pid, subject.start_ns, subject.exec_id).unwrap_or_else(|| unseen(subject));
        self.process(subject, image)
    }

    pub(super) fn process(&mut self, subject: &Subject, image: Image) -> Arc<Process> {
        let mut shared = self.spare.take().unwrap_or_else(|| Arc::new(Process::new(subject.id())));
        let process = Arc::make_mut(&mut shared);
        process.id = subject.id();
        process.ns_pid = (subject.ns_pid != 0).then_some(subject.ns_pid);
        // The first process has no parent with a name.
        let parent = Some(&subject.parent).filter(|parent| parent.pid != 0 || parent.comm != Comm::default());
        process.parent = parent.map(reference);
        process.name = name_of(&subject.comm);
        let credentials = known(subject.uid).map(|_| self.credentials(subject));
        share(&mut process.credentials, credentials);
        process.sid = known(subject.sid);
        process.pgid = known(subject.pgid);
        process.tty = subject.tty;
        process.namespaces = (subject.namespaces != Namespaces::default()).then_some(subject.namespaces);
        set_image(process, image);
        let cgroup = self.cgroups.get(subject.cgroup);
        share(&mut process.cgroup, cgroup.map(|cgroup| &cgroup.path));
        share(&mut process.container, cgroup.and_then(|cgroup| cgroup.container.as_ref()));
        share(&mut process.unit, cgroup.and_then(|cgroup| cgroup.unit.as_ref()));
        match cgroup {
            Some(cgroup) if cgroup.cut => process.flaws.mark(Field::Cgroup, Flaw::Truncated),
            None if subject.cgroup != CgroupKey::default() => process.flaws.mark(Field::Cgroup, Flaw::NotObserved),
            _ => {}
        }
        shared
    }

    pub(super) fn credentials(&mut self, subject: &Subject) -> &Arc<Credentials> {
        if std::mem::take(&mut self.names_due) && self.names.renew() {
            self.credentials = Default::default();
        }
        let slot = &mut self.credentials[(subject.uid ^ subject.euid ^ subject.gid ^ subject.egid) as usize % RECENT];
        let ids = (subject.uid, subject.euid, subject.gid, subject.egid);
        let login = (known(subject.login.uid), known(subject.login.session));
        let login_of =
            |of: &Credentials| of.login.as_ref().map_or((None, None), |login| (Some(login.uid), login.session));
        let known = slot
            .take()
            .filter(|known| (known.uid, known.euid, known.gid, known.egid) == ids && login_of(known) == login);
        slot.insert(known.unwrap_or_else(|| {
            let mut who = Credentials::new([subject.uid, subject.euid], [subject.gid, subject.egid]);
            (who.user, who.euser) = (self.names.user(subject.uid), self.names.user(subject.euid));
            (who.group, who.egroup) = (self.names.group(subject.gid), self.names.group(subject.egid));
            who.login = login.0.map(|uid| {
                let mut login_of = Login::new(uid);
                (login_of.user, login_of.session) = (self.names.user(uid), login.1);
                login_of
            });
            Arc::new(who)
        }))
    }

    pub(super) fn image(&mut self, subject: &Subject, image: &ImageRecord<'_>, boot_ns: u64, marks: &Flaws) -> Image {
        let mut flaws = Flaws::new();
        mark_of(&mut flaws, marks, |field| {
            !matches!(field, Field::OldName | Field::Usage | Field::Time)
                && (field != Field::Env || self.env != EnvWanted::No)
        });
        let chunks = match self.chunks.is_empty() {
            true => Chunks::default(),
            false => self.chunks.remove(&(subject.tid, boot_ns)).unwrap_or_default(),
        };
        let argv = match flaws.get(Field::Argv) {
            Some(Flaw::Unreadable | Flaw::NotObserved) => None,
            _ => Some(Arc::new(list(&image.argv, chunks.argv, Field::Argv, &mut flaws))),
        };
        let env = match (&image.env, &self.env) {
            (None, _) | (_, EnvWanted::No) => None,
            _ if flaws.get(Field::Env) == Some(Flaw::Unreadable) => None,
            (Some(env), EnvWanted::All) => Some(Arc::new(list(env, chunks.env, Field::Env, &mut flaws))),
            (Some(env), EnvWanted::Named(names)) => {
                let all = list(env, chunks.env, Field::Env, &mut flaws);
                let named = |var: &&bstr::BStr| {
                    names.iter().any(|name| var.strip_prefix(&name[..]).is_some_and(|rest| rest.first() == Some(&b'=')))
                };
                Some(Arc::new(Argv::from_strings(all.iter().filter(named))))
            }
        };
        Image {
            path: image.path.map(|path| self.interner.intern(path)),
            exe: image.exe.map(|names| self.interner.intern_names(names, is_cut(marks, Field::Exe))),
            interpreter: image.interpreter.map(|path| self.interner.intern(path)),
            exe_traits: image.exe_traits,
            argv: if subject.kthread { None } else { argv },
            env,
            cwd: image.cwd.map(|names| self.interner.intern_names(names, is_cut(marks, Field::Cwd))),
            cwd_deleted: image.cwd_deleted,
            flaws,
        }
    }

    pub(super) fn take_chunk(&mut self, tid: Pid, boot_ns: u64, of: ChunkOf, offset: usize, bytes: &[u8]) {
        if !self.chunks.is_empty() && !self.chunks.contains_key(&(tid, boot_ns)) {
            self.chunks.retain(|(_, ns), _| ns.saturating_add(CHUNKS_LAST_NS) > boot_ns);
            if self.chunks.len() >= MOST_CHUNKED {
                self.chunks.clear();
            }
        }
        let chunks = self.chunks.entry((tid, boot_ns)).or_default();
        let list = match of {
            ChunkOf::Argv => &mut chunks.argv,
            ChunkOf::Env => &mut chunks.env,
        };
        // A gap would join separate parts.
        if list.len() == offset {
            list.extend_from_slice(bytes);
        }
    }

    pub(super) fn take_cgroup(&mut self, key: CgroupKey, names: NamesUp<'_>, cut: bool) {
        let mut path = if cut { intern::GAP.to_vec() } else { Vec::new() };
        names.write_path(&mut path);
        self.cgroups.insert(key, &String::from_utf8_lossy(&path), cut);
    }
}

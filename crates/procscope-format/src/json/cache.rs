//! Parts of a line that come again: an exit repeats its exec, and a process often has the same user
//! and cgroup as the next.

use std::io::Write;
use std::sync::Arc;

use procscope_model::{Argv, Credentials, Namespaces, Pid, Process, ProcessRef, Tty};

use super::text::{key, push_text};
use crate::number::push_number;

/// This many images are kept, each at the place that its arguments' address chooses.
const SLOTS: usize = 256;
/// Longer texts are written again each time. If all come to more than this many bytes, all are
/// dropped.
const LONGEST: usize = 64 << 10;
const MOST_BYTES: usize = 1 << 20;

struct Slot {
    /// Held, so that its address cannot become another list's meanwhile.
    argv: Arc<Argv>,
    path: Option<Arc<[u8]>>,
    exe: Option<Arc<[u8]>>,
    cwd: Option<Arc<[u8]>>,
    text: Vec<u8>,
}

fn same<T: ?Sized>(a: Option<&Arc<T>>, b: Option<&Arc<T>>) -> bool {
    match (a, b) {
        (Some(a), Some(b)) => Arc::ptr_eq(a, b),
        (None, None) => true,
        _ => false,
    }
}

/// The texts of images, for the events that repeat them.
pub(super) struct Images {
    slots: Vec<Option<Slot>>,
    /// The room of all texts.
    bytes: usize,
}

impl Images {
    pub(super) fn new() -> Self {
        Self { slots: std::iter::repeat_with(|| None).take(SLOTS).collect(), bytes: 0 }
    }

    /// Appends the text that `write` makes of this process, or made of it before.
    pub(super) fn push(&mut self, out: &mut Vec<u8>, process: &Process, write: impl FnOnce(&mut Vec<u8>)) {
        let Some(argv) = &process.argv else { return write(out) };
        // The lowest bits of an address are those of its alignment.
        let index = Arc::as_ptr(argv).addr() / 32 % SLOTS;
        let slot = &mut self.slots[index];
        if let Some(slot) = slot
            && Arc::ptr_eq(&slot.argv, argv)
            && same(slot.path.as_ref(), process.path.as_ref())
            && same(slot.exe.as_ref(), process.exe.as_ref())
            && same(slot.cwd.as_ref(), process.cwd.as_ref())
        {
            out.extend_from_slice(&slot.text);
            return;
        }
        let start = out.len();
        write(out);
        let text = &out[start..];
        let mut kept = slot.take().map(|slot| slot.text).unwrap_or_default();
        self.bytes -= kept.capacity();
        if text.len() > LONGEST {
            return;
        }
        // Room for a long text is not kept for short ones.
        if kept.capacity() > 2 * text.len() + 4096 {
            kept = Vec::new();
        }
        kept.clear();
        kept.extend_from_slice(text);
        if self.bytes + kept.capacity() > MOST_BYTES {
            self.slots.fill_with(|| None);
            self.bytes = 0;
        }
        self.bytes += kept.capacity();
        let (path, exe, cwd) = (process.path.clone(), process.exe.clone(), process.cwd.clone());
        self.slots[index] = Some(Slot { argv: argv.clone(), path, exe, cwd, text: kept });
    }
}

/// The text of the users, groups and places of the process in the line before.
#[derive(Default)]
pub(super) struct Identity {
    who: Option<Arc<Credentials>>,
    sid: Option<Pid>,
    pgid: Option<Pid>,
    tty: Option<Tty>,
    cgroup: Option<Arc<str>>,
    text: Vec<u8>,
}

impl Identity {
    pub(super) fn push(&mut self, out: &mut Vec<u8>, process: &Process) {
        let known = !self.text.is_empty()
            && same(self.who.as_ref(), process.credentials.as_ref())
            && same(self.cgroup.as_ref(), process.cgroup.as_ref())
            && (self.sid, self.pgid, self.tty) == (process.sid, process.pgid, process.tty);
        if !known {
            self.who = process.credentials.clone();
            self.cgroup = process.cgroup.clone();
            (self.sid, self.pgid, self.tty) = (process.sid, process.pgid, process.tty);
            self.text.clear();
            push_identity(&mut self.text, process);
        }
        out.extend_from_slice(&self.text);
    }
}

/// The texts of the latest parents, each in the place that its pid chooses.
#[derive(Default)]
pub(super) struct Parents {
    slots: [Option<(ProcessRef, Vec<u8>)>; 16],
}

impl Parents {
    /// Appends the text that `write` makes of this parent, or made of it before.
    pub(super) fn push(&mut self, out: &mut Vec<u8>, parent: &ProcessRef, write: impl FnOnce(&mut Vec<u8>)) {
        let slot = &mut self.slots[parent.id.pid as usize % 16];
        match slot {
            Some((known, text)) if known == parent => out.extend_from_slice(text),
            _ => {
                let start = out.len();
                write(out);
                *slot = Some((parent.clone(), out[start..].to_vec()));
            }
        }
    }
}

/// The text of the namespaces of the line before.
#[derive(Default)]
pub(super) struct SameNamespaces {
    of: Namespaces,
    text: Vec<u8>,
}

impl SameNamespaces {
    pub(super) fn push(
        &mut self,
        out: &mut Vec<u8>,
        namespaces: &Namespaces,
        write: impl FnOnce(&mut Vec<u8>, &Namespaces),
    ) {
        if self.of != *namespaces || self.text.is_empty() {
            self.text.clear();
            write(&mut self.text, namespaces);
            self.of = *namespaces;
        }
        out.extend_from_slice(&self.text);
    }
}

fn push_identity(out: &mut Vec<u8>, process: &Process) {
    fn number(out: &mut Vec<u8>, key: &str, value: Option<u32>) {
        if let Some(value) = value {
            out.extend_from_slice(key.as_bytes());
            push_number(out, value);
        }
    }
    fn text(out: &mut Vec<u8>, key: &str, key_b64: &str, value: Option<&Arc<str>>) {
        if let Some(value) = value {
            push_text(out, key, key_b64, value.as_bytes());
        }
    }
    if let Some(who) = &process.credentials {
        number(out, key!("uid"), Some(who.uid));
        text(out, key!("user"), key!("user_b64"), who.user.as_ref());
        number(out, key!("euid"), Some(who.euid));
        text(out, key!("euser"), key!("euser_b64"), who.euser.as_ref());
        number(out, key!("gid"), Some(who.gid));
        text(out, key!("group"), key!("group_b64"), who.group.as_ref());
        number(out, key!("egid"), Some(who.egid));
        text(out, key!("egroup"), key!("egroup_b64"), who.egroup.as_ref());
    }
    if let Some(login) = process.credentials.as_deref().and_then(|who| who.login.as_ref()) {
        number(out, key!("loginuid"), Some(login.uid));
        text(out, key!("login_user"), key!("login_user_b64"), login.user.as_ref());
        number(out, key!("audit_session"), login.session);
    }
    number(out, key!("sid"), process.sid);
    number(out, key!("pgid"), process.pgid);
    if let Some(tty) = process.tty {
        // Writing to a Vec does not fail.
        let _ = write!(out, concat!(key!("tty"), "\"{}\""), tty);
    }
    text(out, key!("cgroup"), key!("cgroup_b64"), process.cgroup.as_ref());
    text(out, key!("container"), key!("container_b64"), process.container.as_ref());
    text(out, key!("unit"), key!("unit_b64"), process.unit.as_ref());
}

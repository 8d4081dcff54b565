use procscope_model::{
    BootId, Event, EventKind, ExeTraits, Exit, ExitStatus, Kind, Namespaces, Pid, Process, ProcessId, ProcessRef,
    errno_name, signal_name,
};

use super::VERSION;
use super::cache::{Identity, Images, Parents, SameNamespaces};
use super::text::{key, list, number, push_object, push_true, push_word, text};
use crate::Encode;
use crate::number::push_number;
use crate::time::Rfc3339;

/// Writes events as JSON, one flat object a line: `docs/event.schema.json`.
///
/// The text is written by hand, straight into the buffer: this is the hot path of the program, and
/// serde_json needs twice the time even for values that are built already. The tests read every
/// line with it.
pub struct JsonLines {
    /// The beginning of every id: the boot's digits and a dash.
    boot: String,
    time: Rfc3339,
    images: Images,
    identity: Identity,
    parents: Parents,
    namespaces: SameNamespaces,
}

/// Appends another process under its key if it is known.
macro_rules! other {
    ($json:expr, $out:expr, $name:literal, $value:expr) => {
        if let Some(value) = $value {
            push_ref($out, &$json.boot, key!($name), value);
            $out.push(b'}');
        }
    };
}

impl JsonLines {
    /// Ids begin with that of this boot.
    pub fn new(boot: BootId) -> Self {
        let digits = format!("{boot:?}");
        Self {
            boot: format!("{}-", &digits[..8]),
            time: Rfc3339::new(),
            images: Images::new(),
            identity: Identity::default(),
            parents: Parents::default(),
            namespaces: SameNamespaces::default(),
        }
    }

    fn push_process(&mut self, out: &mut Vec<u8>, event: &Event, process: &Process) {
        let kind = event.kind.kind();
        out.extend_from_slice(key!("id").as_bytes());
        push_id(out, &self.boot, process.id);
        number!(out, "pid", Some(process.id.pid));
        number!(out, "ppid", process.parent.as_ref().map(|parent| parent.id.pid));
        number!(out, "tid", event.tid);
        number!(out, "processor", event.processor);
        text!(out, "name", event.name());
        match &event.kind {
            EventKind::Exec(exec) => text!(out, "old_name", exec.old_name.as_deref()),
            EventKind::Comm(change) => text!(out, "old_name", change.old.as_deref()),
            _ => {}
        }
        if kind == Kind::Fork {
            // It runs what its creator runs, and that was already reported.
        } else if kind == Kind::ExecFailed || process.env.is_some() {
            push_image(out, event, process);
        } else {
            self.images.push(out, process, |out| push_image(out, event, process));
        }
        self.identity.push(out, process);
        number!(out, "ns_pid", process.ns_pid.filter(|&pid| pid != process.id.pid));
        if let Some(namespaces) = &process.namespaces
            && matches!(kind, Kind::Exec | Kind::Start | Kind::Existing)
        {
            self.namespaces.push(out, namespaces, push_namespaces);
        }
        if let Some(parent) = &process.parent {
            self.parents.push(out, parent, |out| {
                push_ref(out, &self.boot, key!("parent"), parent);
                out.push(b'}');
            });
        }
    }

    fn push_kind(&self, out: &mut Vec<u8>, event: &Event) {
        match &event.kind {
            EventKind::Fork(fork) | EventKind::Clone(fork) => {
                if let Some(call) = fork.call {
                    push_word(out, key!("call"), call.name());
                }
                number!(out, "flags", fork.flags);
                if let Some(creator) = &fork.creator {
                    self.push_creator(out, event, creator, fork.creator_tid);
                }
            }
            EventKind::Start(start) => {
                if let Some(creator) = &start.creator {
                    push_ref(out, &self.boot, key!("creator"), creator);
                    number!(out, "tid", start.creator_tid);
                    out.push(b'}');
                }
            }
            EventKind::Exec(exec) => number!(out, "old_tid", exec.old_tid.filter(|&tid| Some(tid) != event.tid)),
            EventKind::ExecFailed(failure) => {
                if let Some(fd) = failure.dirfd {
                    out.extend_from_slice(key!("dirfd").as_bytes());
                    push_number(out, fd);
                }
                match errno_name(failure.errno) {
                    Some(name) => push_word(out, key!("errno"), name),
                    None => push_word(out, key!("errno"), &format!("E{}", failure.errno)),
                }
            }
            EventKind::Exit(exit) => {
                push_status(out, event);
                self.push_exit(out, exit);
            }
            EventKind::ThreadExit(exit) => {
                push_status(out, event);
                number!(out, "duration_ns", event.duration_ns());
                text!(out, "thread_name", exit.thread_name.as_deref());
            }
            EventKind::Core(dump) => dump.signo.into_iter().for_each(|signo| push_signal(out, signo)),
            EventKind::Uid(change) => {
                number!(out, "old_uid", change.old_real);
                number!(out, "old_euid", change.old_effective);
            }
            EventKind::Gid(change) => {
                number!(out, "old_gid", change.old_real);
                number!(out, "old_egid", change.old_effective);
            }
            EventKind::Ptrace(change) => {
                push_word(out, key!("ptrace"), if change.attach { "attach" } else { "detach" });
                other!(self, out, "tracer", &change.tracer);
            }
            EventKind::Lost(lost) => {
                number!(out, "count", Some(lost.total()));
                out.extend_from_slice(key!("lost").as_bytes());
                push_object(out, lost.iter(), |out, (kind, count)| {
                    out.extend_from_slice(kind.name().as_bytes());
                    out.extend_from_slice(b"\":");
                    push_number(out, count);
                });
            }
            // The process itself holds all about existing, comm and sid; a later kind has its name.
            _ => {}
        }
    }

    /// The creator, if it is not the expected one: the leader of the parent, or for a thread its
    /// own process.
    fn push_creator(&self, out: &mut Vec<u8>, event: &Event, creator: &ProcessRef, tid: Option<Pid>) {
        let process = event.process.as_deref();
        let expected = match event.kind.kind() {
            Kind::Clone => process.map(|process| process.id),
            _ => process.and_then(|process| process.parent.as_ref()).map(|parent| parent.id),
        };
        if expected != Some(creator.id) || tid.is_some_and(|tid| tid != creator.id.pid) {
            push_ref(out, &self.boot, key!("creator"), creator);
            number!(out, "tid", tid);
            out.push(b'}');
        }
    }

    fn push_exit(&self, out: &mut Vec<u8>, exit: &Exit) {
        if exit.oom {
            push_true(out, key!("oom"));
        }
        other!(self, out, "killer", &exit.killer);
        number!(out, "duration_ns", exit.duration_ns);
        number!(out, "user_ns", exit.usage.user_ns);
        number!(out, "system_ns", exit.usage.system_ns);
        number!(out, "max_rss_bytes", exit.usage.max_rss_bytes);
        number!(out, "read_bytes", exit.usage.read_bytes);
        number!(out, "write_bytes", exit.usage.write_bytes);
        number!(out, "rchar", exit.usage.rchar);
        number!(out, "wchar", exit.usage.wchar);
        number!(out, "nvcsw", exit.usage.nvcsw);
        number!(out, "nivcsw", exit.usage.nivcsw);
        number!(out, "minflt", exit.usage.minflt);
        number!(out, "majflt", exit.usage.majflt);
    }
}

impl Encode for JsonLines {
    fn event(&mut self, event: &Event, out: &mut Vec<u8>) {
        out.extend_from_slice(b"{\"v\":");
        push_number(out, VERSION);
        number!(out, "seq", Some(event.seq));
        out.extend_from_slice(concat!(key!("time"), "\"").as_bytes());
        self.time.push(out, event.time);
        out.push(b'"');
        push_word(out, key!("event"), event.kind.kind().name());
        if let Some(process) = &event.process {
            self.push_process(out, event, process);
        }
        self.push_kind(out, event);
        push_word(out, key!("source"), event.source.name());
        let flaws = event.own_flaws();
        if !flaws.is_empty() {
            out.extend_from_slice(key!("flaws").as_bytes());
            push_object(out, flaws.iter(), |out, (field, flaw)| {
                out.extend_from_slice(field.name().as_bytes());
                out.extend_from_slice(b"\":\"");
                out.extend_from_slice(flaw.name().as_bytes());
                out.push(b'"');
            });
        }
        out.extend_from_slice(b"}\n");
    }
}

#[inline(always)]
fn push_id(out: &mut Vec<u8>, boot: &str, id: ProcessId) {
    out.push(b'"');
    out.extend_from_slice(boot.as_bytes());
    push_number(out, id.pid);
    out.push(b'-');
    match id.start {
        Some(start) => push_number(out, start.0),
        None => out.push(b'?'),
    }
    out.push(b'"');
}

/// Leaves the object open.
#[inline(always)]
fn push_ref(out: &mut Vec<u8>, boot: &str, key: &str, of: &ProcessRef) {
    out.extend_from_slice(key.as_bytes());
    out.extend_from_slice(b"{\"pid\":");
    push_number(out, of.id.pid);
    text!(out, "name", of.name.as_deref());
    out.extend_from_slice(key!("id").as_bytes());
    push_id(out, boot, of.id);
}

/// What the process runs.
fn push_image(out: &mut Vec<u8>, event: &Event, process: &Process) {
    let kind = event.kind.kind();
    text!(out, "path", event.path());
    text!(out, "exe", process.exe.as_deref());
    if kind != Kind::ExecFailed {
        text!(out, "interpreter", process.interpreter.as_deref());
    }
    if !process.exe_traits.is_empty() {
        push_traits(out, process.exe_traits);
    }
    list!(out, "argv", event.argv());
    if matches!(kind, Kind::Exec | Kind::Start | Kind::Existing) {
        list!(out, "env", process.env.as_deref());
    }
    text!(out, "cwd", process.cwd.as_deref());
    if process.cwd_deleted {
        push_true(out, key!("cwd_deleted"));
    }
}

fn push_traits(out: &mut Vec<u8>, traits: ExeTraits) {
    for (one, key) in [
        (ExeTraits::MEMFD, key!("exe_memfd")),
        (ExeTraits::DELETED, key!("exe_deleted")),
        (ExeTraits::SETUID, key!("exe_setuid")),
        (ExeTraits::SETGID, key!("exe_setgid")),
        (ExeTraits::SECURE, key!("secure")),
    ] {
        if traits.contains(one) {
            push_true(out, key);
        }
    }
}

fn push_namespaces(out: &mut Vec<u8>, of: &Namespaces) {
    let Namespaces { mnt, pid, net, uts, ipc, user, cgroup, time, .. } = *of;
    let all = [
        ("mnt\":", mnt),
        ("pid\":", pid),
        ("net\":", net),
        ("uts\":", uts),
        ("ipc\":", ipc),
        ("user\":", user),
        ("cgroup\":", cgroup),
        ("time\":", time),
    ];
    out.extend_from_slice(key!("namespaces").as_bytes());
    push_object(out, all.into_iter().filter(|&(_, inode)| inode != 0), |out, (key, inode)| {
        out.extend_from_slice(key.as_bytes());
        push_number(out, inode);
    });
}

fn push_status(out: &mut Vec<u8>, event: &Event) {
    match event.exit_status() {
        Some(ExitStatus::Code(code)) => number!(out, "exit_code", Some(code)),
        Some(ExitStatus::Signal { signo, core }) => {
            push_signal(out, signo);
            out.extend_from_slice(key!("core").as_bytes());
            out.extend_from_slice(if core { b"true" } else { b"false" });
        }
        _ => {}
    }
}

fn push_signal(out: &mut Vec<u8>, signo: u8) {
    push_word(out, key!("signal"), &signal_name(signo));
    number!(out, "signo", Some(signo));
}

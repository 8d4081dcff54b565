//! Fields of every event: time, kind, process and source.

use super::{AncestorField, FieldSpec, FieldType, HAPPENINGS, U32, U64, Value, put, some};
use crate::{Event, Field, ForkCall, Kind, Process, ProcessId, ProcessRef, SourceId};

use FieldSpec as F;

/// The version in `v`.
const VERSION: u64 = 1;

/// The process of an event that has one, to be changed.
pub(super) fn process(event: &mut Event) -> Option<&mut Process> {
    if event.kind.kind() == Kind::Lost {
        return None;
    }
    let unknown = || Process::new(ProcessId { pid: 0, start: None }).into();
    Some(std::sync::Arc::make_mut(event.process.get_or_insert_with(unknown)))
}

/// Another process, to be changed.
pub(super) fn other(place: &mut Option<ProcessRef>) -> &mut ProcessRef {
    place.get_or_insert(ProcessRef::new(ProcessId { pid: 0, start: None }, None))
}

fn parent(event: &mut Event) -> Option<&mut ProcessRef> {
    process(event).map(|process| other(&mut process.parent))
}

pub(super) const FIELDS: &[FieldSpec] = &[
    F::new("v", FieldType::Number { max: VERSION }, "The version of this format. A later one keeps every key's meaning or raises the number.")
        .get(|_| Value::of(VERSION))
        .set(|_, v| v.number::<u64>() == Some(VERSION)),
    F::new("seq", U64, "Counts the lines of one run from 1, without a gap; `lost` events report loss, not gaps here.")
        .column("seq")
        .get(|e| Value::of(e.seq))
        .set(|e, v| put(&mut e.seq, v.number::<u64>())),
    F::new("time", FieldType::Time, "When it happened: RFC 3339, UTC, 9 digits of a second. From the kernel's clock at the event (CLOCK_BOOTTIME), not from when it was read.")
        .column("time")
        .flaw(Field::Time)
        .get(|e| Some(Value::Time(e.time)))
        .set(|e, v| match v {
            Value::Time(time) => put(&mut e.time, Some(time)),
            _ => false,
        }),
    F::new("event", FieldType::Kind, "The kind of event: existing (was already running), fork (a process began), clone (a thread began), exec, exec-failed (the kernel refused an exec), exit (a process ended, with its last thread), thread-exit, core (a signal dumps core), comm, uid, gid, sid, ptrace (changes), lost (events that were lost), start (a process began and runs its program from the first moment: Windows and macOS).")
        .column("event")
        .get(|e| Some(Value::Kind(e.kind.kind())))
        .set(|e, v| v == Value::Kind(e.kind.kind())),
    F::new("id", FieldType::Id, "The identity of the process. Unlike `pid` it is not used again, except within a clock tick (flaw `repeated`). Every event of one process has the same.")
        .column("id")
        .flaw(Field::Id)
        .get(|e| e.id().map(Value::Id))
        .set(|e, v| process(e).is_some_and(|process| put(&mut process.id, v.process_id()))),
    F::new("pid", U32, "Process id (tgid) in the pid namespace where it is watched.")
        .column("pid")
        .get(|e| Value::of(e.pid()?))
        .set(|e, v| process(e).is_some_and(|process| put(&mut process.id.pid, v.number::<u32>()))),
    F::new("ppid", U32, "Process id of the parent at the time of the event (real_parent).")
        .aka(&["parent_pid"])
        .column("ppid")
        .flaw(Field::Ppid)
        .get(|e| Value::of(e.parent()?.id.pid))
        .set(|e, v| parent(e).is_some_and(|parent| put(&mut parent.id.pid, v.number::<u32>()))),
    F::new("tid", U32, "Thread id of the thread that it happened to; for clone the new thread (task->pid).")
        .column("tid")
        .get(|e| Value::of(e.tid?))
        .set(|e, v| some(&mut e.tid, v.number::<u32>())),
    F::new("processor", U32, "The CPU that it happened on, by its number in /proc/cpuinfo; for fork and clone that of the creator. Absent for existing and lost, and if the mechanism does not know it (ptrace, proc-poll).")
        .aka(&["psr"])
        .on(HAPPENINGS)
        .always(HAPPENINGS)
        .column("processor")
        .get(|e| Value::of(e.processor?))
        .set(|e, v| some(&mut e.processor, v.number::<u32>())),
    F::new("parent", FieldType::Process, "The parent at the time of the event (real_parent).")
        .flaw(Field::Parent)
        .get(|e| e.parent().map(Value::Process)),
    F::new("parent.pid", U32, "Process id of the parent.")
        .flaw(Field::Parent)
        .get(|e| Value::of(e.parent()?.id.pid))
        .set(|e, v| parent(e).is_some_and(|parent| put(&mut parent.id.pid, v.number::<u32>()))),
    F::new("parent.name", FieldType::Text, "The parent's comm.")
        .aka(&["parent_name"])
        .column("parent_name")
        .flaw(Field::Parent)
        .get(|e| e.parent()?.name.as_deref().map(Value::Text))
        .set(|e, v| parent(e).is_some_and(|parent| some(&mut parent.name, v.bytes().map(Into::into)))),
    F::new("parent.id", FieldType::Id, "The identity of the parent.")
        .aka(&["parent_id"])
        .column("parent_id")
        .flaw(Field::Parent)
        .get(|e| Some(Value::Id(e.parent()?.id)))
        .set(|e, v| parent(e).is_some_and(|parent| put(&mut parent.id, v.process_id()))),
    F::new("ancestor.pid", FieldType::Ancestor(AncestorField::Pid), "Process id of any ancestor.").flaw(Field::Parent),
    F::new("ancestor.name", FieldType::Ancestor(AncestorField::Name), "Comm of any ancestor.").flaw(Field::Parent),
    F::new("ancestor.exe", FieldType::Ancestor(AncestorField::Exe), "The file that any ancestor runs.").flaw(Field::Parent),
    F::new("ancestor.id", FieldType::Ancestor(AncestorField::Id), "Any ancestor.").flaw(Field::Parent),
];

/// The fields at the end of a line.
pub(super) const LAST: &[FieldSpec] = &[
    F::new("source", FieldType::Word(&SOURCES), "The mechanism that reported it.")
        .column("source")
        .get(|e| Some(Value::Word(e.source.name())))
        .set(|e, v| put(&mut e.source, SourceId::ALL.into_iter().find(|id| Value::Word(id.name()) == v))),
    F::new("flaws", FieldType::Flaws, "Fields whose values are not to be trusted fully, and why: truncated (only the beginning is here; of exe, cwd and cgroup only the end), unreadable, read-late (read after the event), not-observed, after-loss (this may be an older value), inherited (the parent's, of which the process is a copy: exact), estimated (worked out, not read; or read or handed down earlier, where nothing reports a change), repeated (an id that an earlier process had). `user` is estimated where the monitor itself runs in a user namespace: the ids are then those of the namespace above, which is the initial one unless namespaces are nested. `usage` means the CPU times and counts of an exit, `user` for all user and group ids, `loginuid` for login_user and audit_session too, `status` for exit_code, signal and core.")
        .aka(&["flaw"])
        .column("flaws")
        .set(|e, v| match v {
            Value::Flaw(field, flaw) => {
                e.mark(field, flaw);
                true
            }
            _ => false,
        }),
];

const SOURCES: [&str; SourceId::ALL.len()] = {
    let mut names = [""; SourceId::ALL.len()];
    let mut at = 0;
    while at < names.len() {
        names[at] = SourceId::ALL[at].name();
        at += 1;
    }
    names
};

pub(super) fn call(v: Value<'_>) -> Option<ForkCall> {
    [ForkCall::Fork, ForkCall::Vfork, ForkCall::Clone, ForkCall::Clone3]
        .into_iter()
        .find(|call| v == Value::Word(call.name()) || v == Value::Text(call.name().as_bytes()))
}

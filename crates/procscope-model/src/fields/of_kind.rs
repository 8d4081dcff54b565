//! Fields of only some kinds of event.

use super::of_event::{call, other};
use super::{BEGINNINGS, ENDS, EXIT, FieldSpec, FieldType, NONE, U32, U64, Value, put, some};
use crate::{Event, EventKind, EventSet, ExecFailure, Exit, ExitStatus, Field, ForkInfo, Kind, Lost, Pid, ProcessRef};

use FieldSpec as F;

/// What a creator made.
const MADE: EventSet = BEGINNINGS.with(Kind::Start);
const EXEC: EventSet = NONE.with(Kind::Exec);
const FAILED: EventSet = NONE.with(Kind::ExecFailed);
const PTRACE: EventSet = NONE.with(Kind::Ptrace);
const SPAN_NS: FieldType = FieldType::Span { unit: false };
const SPAN: FieldType = FieldType::Span { unit: true };
const SIZE_BYTES: FieldType = FieldType::Size { unit: false };

fn fork(event: &mut Event) -> Option<&mut ForkInfo> {
    match &mut event.kind {
        EventKind::Fork(fork) | EventKind::Clone(fork) => Some(fork),
        _ => None,
    }
}

/// The place of the creator and of its thread.
fn creator(event: &mut Event) -> Option<(&mut Option<ProcessRef>, &mut Option<Pid>)> {
    match &mut event.kind {
        EventKind::Start(start) => Some((&mut start.creator, &mut start.creator_tid)),
        EventKind::Fork(fork) | EventKind::Clone(fork) => Some((&mut fork.creator, &mut fork.creator_tid)),
        _ => None,
    }
}

fn failure(event: &Event) -> Option<&ExecFailure> {
    match &event.kind {
        EventKind::ExecFailed(failure) => Some(failure),
        _ => None,
    }
}

fn exit(event: &mut Event) -> Option<&mut Exit> {
    match &mut event.kind {
        EventKind::Exit(exit) => Some(exit),
        _ => None,
    }
}

fn killer(event: &mut Event) -> Option<&mut ProcessRef> {
    exit(event).map(|exit| other(&mut exit.killer))
}

fn tracer(event: &mut Event) -> Option<&mut ProcessRef> {
    match &mut event.kind {
        EventKind::Ptrace(change) => Some(other(&mut change.tracer)),
        _ => None,
    }
}

fn status(event: &mut Event) -> Option<&mut ExitStatus> {
    match &mut event.kind {
        EventKind::Exit(exit) => Some(&mut exit.status),
        EventKind::ThreadExit(exit) => Some(&mut exit.status),
        _ => None,
    }
}

fn set_signal(event: &mut Event, value: Value<'_>) -> bool {
    let Some(signo) = value.number::<u8>() else { return false };
    if let EventKind::Core(dump) = &mut event.kind {
        return some(&mut dump.signo, Some(signo));
    }
    status(event).is_some_and(|status| put(status, Some(ExitStatus::Signal { signo, core: false })))
}

fn lost(event: &Event) -> Option<&Lost> {
    match &event.kind {
        EventKind::Lost(lost) => Some(lost),
        _ => None,
    }
}

pub(super) const FIELDS: &[FieldSpec] = &[
    F::new("call", FieldType::Word(&["fork", "vfork", "clone", "clone3"]), "The system call that made the process or thread; absent for kernel threads and before Linux 5.15.")
        .on(BEGINNINGS).always(BEGINNINGS).column("call")
        .get(|e| Some(Value::Word(e.fork()?.call?.name())))
        .set(|e, v| fork(e).is_some_and(|fork| some(&mut fork.call, call(v)))),
    F::new("flags", U64, "The flags of that call: clone(2), without the exit signal in the low byte.")
        .on(BEGINNINGS).always(BEGINNINGS).column("flags")
        .get(|e| Value::of(e.fork()?.flags?))
        .set(|e, v| fork(e).is_some_and(|fork| some(&mut fork.flags, v.number::<u64>()))),
    F::new("creator", FieldType::Process, "The thread that made the call, if it is not the expected one: the first thread of the parent or, for a thread, of its own process. For start it is always there.").on(MADE)
        .get(|e| e.creator().map(Value::Process)),
    F::new("creator.pid", U32, "Process id of the creator.").aka(&["creator_pid"]).on(MADE).column("creator_pid")
        .get(|e| Value::of(e.creator()?.id.pid))
        .set(|e, v| creator(e).is_some_and(|(of, _)| put(&mut other(of).id.pid, v.number::<u32>()))),
    F::new("creator.tid", U32, "The thread of the creator that made the call.").aka(&["creator_tid"]).on(MADE).column("creator_tid")
        .get(|e| Value::of(e.creator_tid()?))
        .set(|e, v| creator(e).is_some_and(|(_, tid)| some(tid, v.number::<u32>()))),
    F::new("creator.name", FieldType::Text, "The creator's comm.").on(MADE)
        .get(|e| e.creator()?.name.as_deref().map(Value::Text))
        .set(|e, v| creator(e).is_some_and(|(of, _)| some(&mut other(of).name, v.bytes().map(Into::into)))),
    F::new("creator.id", FieldType::Id, "The identity of the creator.").on(MADE)
        .get(|e| Some(Value::Id(e.creator()?.id)))
        .set(|e, v| creator(e).is_some_and(|(of, _)| put(&mut other(of).id, v.process_id()))),
    F::new("old_tid", U32, "For exec: the thread that called it, if that was not `tid`, which it became.")
        .on(EXEC)
        .get(|e| match &e.kind {
            EventKind::Exec(exec) => Value::of(exec.old_tid?),
            _ => None,
        })
        .set(|e, v| match &mut e.kind {
            EventKind::Exec(exec) => some(&mut exec.old_tid, v.number::<u32>()),
            _ => false,
        }),
    F::new("dirfd", FieldType::Signed, "For exec-failed: the directory or file descriptor given to execveat(2); -100 is AT_FDCWD.")
        .on(FAILED)
        .get(|e| Value::of(failure(e)?.dirfd?))
        .set(|e, v| match &mut e.kind {
            EventKind::ExecFailed(failure) => some(&mut failure.dirfd, v.number::<i32>()),
            _ => false,
        }),
    F::new("errno", FieldType::Errno, "For exec-failed: the error's name in errno(3), or E and its number.")
        .on(FAILED).column("errno")
        .get(|e| Value::of(failure(e)?.errno))
        .set(|e, v| match &mut e.kind {
            EventKind::ExecFailed(failure) => put(&mut failure.errno, v.number::<u32>()),
            _ => false,
        }),
    F::new("exit_code", U32, "The code given to exit(2), if no signal ended the process or thread. On Windows all 32 bits: an NTSTATUS is 3221225477, not 0xC0000005.")
        .aka(&["exit"]).on(ENDS).column("exit_code").flaw(Field::Status)
        .get(|e| match e.exit_status()? {
            ExitStatus::Code(code) => Value::of(code),
            _ => None,
        })
        .set(|e, v| status(e).is_some_and(|status| put(status, v.number::<u32>().map(ExitStatus::Code)))),
    F::new("signal", FieldType::Signal, "The name of the signal that ended it or, for a core event, makes it dump core: signal(7).")
        .on(ENDS.with(Kind::Core)).column("signal").flaw(Field::Status)
        .get(|e| Value::of(e.signo()?))
        .set(set_signal),
    F::new("signo", FieldType::Number { max: u8::MAX as u64 }, "That signal's number.")
        .on(ENDS.with(Kind::Core)).flaw(Field::Status)
        .get(|e| Value::of(e.signo()?))
        .set(set_signal),
    F::new("core", FieldType::Truth { only_true: false }, "Whether the kernel dumped core; present if a signal ended it (bit 7 of the wait status).")
        .on(ENDS).column("core").flaw(Field::Status)
        .get(|e| match e.exit_status()? {
            ExitStatus::Signal { core, .. } => Some(Value::Truth(core)),
            _ => None,
        })
        .set(|e, v| match status(e) {
            Some(ExitStatus::Signal { core, .. }) => put(core, v.truth()),
            _ => false,
        }),
    F::new("oom", FieldType::Truth { only_true: true }, "The kernel killed it because memory ran out (oom:mark_victim).")
        .on(EXIT).column("oom").flaw(Field::Status)
        .get(|e| Some(Value::Truth(e.exit()?.oom)))
        .set(|e, v| exit(e).is_some_and(|exit| put(&mut exit.oom, v.truth()))),
    F::new("killer", FieldType::Process, "The sender of the signal that ended it (signal:signal_generate); absent if that was the kernel.").on(EXIT).flaw(Field::Killer)
        .get(|e| e.killer().map(Value::Process)),
    F::new("killer.pid", U32, "Process id of the killer.").aka(&["killer_pid"]).on(EXIT).column("killer_pid").flaw(Field::Killer)
        .get(|e| Value::of(e.killer()?.id.pid))
        .set(|e, v| killer(e).is_some_and(|of| put(&mut of.id.pid, v.number::<u32>()))),
    F::new("killer.name", FieldType::Text, "The killer's comm.").aka(&["killer_name"]).on(EXIT).column("killer_name").flaw(Field::Killer)
        .get(|e| e.killer()?.name.as_deref().map(Value::Text))
        .set(|e, v| killer(e).is_some_and(|of| some(&mut of.name, v.bytes().map(Into::into)))),
    F::new("killer.id", FieldType::Id, "The identity of the killer.").on(EXIT).flaw(Field::Killer)
        .get(|e| Some(Value::Id(e.killer()?.id)))
        .set(|e, v| killer(e).is_some_and(|of| put(&mut of.id, v.process_id()))),
    F::new("duration_ns", SPAN_NS, "How long the process, or for thread-exit the thread, had lived; nanoseconds. 0 is a true zero.")
        .on(ENDS).column("duration_ns").flaw(Field::Duration)
        .get(|e| Value::of(e.duration_ns()?))
        .set(|e, v| match &mut e.kind {
            EventKind::Exit(exit) => some(&mut exit.duration_ns, v.number::<u64>()),
            EventKind::ThreadExit(exit) => some(&mut exit.duration_ns, v.number::<u64>()),
            _ => false,
        }),
    F::new("duration", SPAN, "The same, with a unit.").on(ENDS).flaw(Field::Duration).get(|e| Value::of(e.duration_ns()?)),
    F::new("cpu", SPAN, "CPU time in both modes.").aka(&["cpu_time"]).on(EXIT).flaw(Field::Usage)
        .get(|e| Value::of(e.usage()?.cpu_ns()?)),
    F::new("user_ns", SPAN_NS, "CPU time in user mode over its life, all threads together; nanoseconds (task->utime, signal->utime).").on(EXIT).column("user_ns").flaw(Field::Usage)
        .get(|e| Value::of(e.usage()?.user_ns?))
        .set(|e, v| exit(e).is_some_and(|exit| some(&mut exit.usage.user_ns, v.number::<u64>()))),
    F::new("user_time", SPAN, "The same, with a unit.").on(EXIT).flaw(Field::Usage).get(|e| Value::of(e.usage()?.user_ns?)),
    F::new("system_ns", SPAN_NS, "CPU time in the kernel, likewise; nanoseconds (stime).").on(EXIT).column("system_ns").flaw(Field::Usage)
        .get(|e| Value::of(e.usage()?.system_ns?))
        .set(|e, v| exit(e).is_some_and(|exit| some(&mut exit.usage.system_ns, v.number::<u64>()))),
    F::new("system_time", SPAN, "The same, with a unit.").on(EXIT).flaw(Field::Usage).get(|e| Value::of(e.usage()?.system_ns?)),
    F::new("max_rss_bytes", SIZE_BYTES, "The largest resident set; bytes (signal->maxrss, as ru_maxrss of getrusage(2)).").on(EXIT).column("max_rss_bytes").flaw(Field::Usage)
        .get(|e| Value::of(e.usage()?.max_rss_bytes?))
        .set(|e, v| exit(e).is_some_and(|exit| some(&mut exit.usage.max_rss_bytes, v.number::<u64>()))),
    F::new("max_rss", FieldType::Size { unit: true }, "The same, with a unit.").aka(&["rss"]).on(EXIT).flaw(Field::Usage)
        .get(|e| Value::of(e.usage()?.max_rss_bytes?)),
    F::new("read_bytes", SIZE_BYTES, "Bytes fetched from storage (ioac.read_bytes, as in /proc/PID/io).").on(EXIT).column("read_bytes").flaw(Field::Usage)
        .get(|e| Value::of(e.usage()?.read_bytes?))
        .set(|e, v| exit(e).is_some_and(|exit| some(&mut exit.usage.read_bytes, v.number::<u64>()))),
    F::new("write_bytes", SIZE_BYTES, "Bytes sent to storage (ioac.write_bytes).").on(EXIT).column("write_bytes").flaw(Field::Usage)
        .get(|e| Value::of(e.usage()?.write_bytes?))
        .set(|e, v| exit(e).is_some_and(|exit| some(&mut exit.usage.write_bytes, v.number::<u64>()))),
    F::new("rchar", SIZE_BYTES, "Bytes that read calls returned (ioac.rchar).").on(EXIT).column("rchar").flaw(Field::Usage)
        .get(|e| Value::of(e.usage()?.rchar?))
        .set(|e, v| exit(e).is_some_and(|exit| some(&mut exit.usage.rchar, v.number::<u64>()))),
    F::new("wchar", SIZE_BYTES, "Bytes that write calls took (ioac.wchar).").on(EXIT).column("wchar").flaw(Field::Usage)
        .get(|e| Value::of(e.usage()?.wchar?))
        .set(|e, v| exit(e).is_some_and(|exit| some(&mut exit.usage.wchar, v.number::<u64>()))),
    F::new("nvcsw", U64, "Voluntary context switches; a count.").on(EXIT).column("nvcsw").flaw(Field::Usage)
        .get(|e| Value::of(e.usage()?.nvcsw?))
        .set(|e, v| exit(e).is_some_and(|exit| some(&mut exit.usage.nvcsw, v.number::<u64>()))),
    F::new("nivcsw", U64, "Involuntary context switches; a count.").on(EXIT).column("nivcsw").flaw(Field::Usage)
        .get(|e| Value::of(e.usage()?.nivcsw?))
        .set(|e, v| exit(e).is_some_and(|exit| some(&mut exit.usage.nivcsw, v.number::<u64>()))),
    F::new("minflt", U64, "Page faults without I/O; a count.").on(EXIT).column("minflt").flaw(Field::Usage)
        .get(|e| Value::of(e.usage()?.minflt?))
        .set(|e, v| exit(e).is_some_and(|exit| some(&mut exit.usage.minflt, v.number::<u64>()))),
    F::new("majflt", U64, "Page faults with I/O; a count.").on(EXIT).column("majflt").flaw(Field::Usage)
        .get(|e| Value::of(e.usage()?.majflt?))
        .set(|e, v| exit(e).is_some_and(|exit| some(&mut exit.usage.majflt, v.number::<u64>()))),
    F::new("thread_name", FieldType::Text, "For thread-exit: the thread's comm.")
        .on(NONE.with(Kind::ThreadExit)).column("thread_name")
        .get(|e| match &e.kind {
            EventKind::ThreadExit(exit) => exit.thread_name.as_deref().map(Value::Text),
            _ => None,
        })
        .set(|e, v| match &mut e.kind {
            EventKind::ThreadExit(exit) => some(&mut exit.thread_name, v.bytes().map(Into::into)),
            _ => false,
        }),
    F::new("old_uid", U32, "For a uid event: the real user id before.").on(NONE.with(Kind::Uid)).column("old_uid")
        .get(|e| match &e.kind {
            EventKind::Uid(change) => Value::of(change.old_real?),
            _ => None,
        })
        .set(|e, v| match &mut e.kind {
            EventKind::Uid(change) => some(&mut change.old_real, v.number::<u32>()),
            _ => false,
        }),
    F::new("old_euid", U32, "For a uid event: the effective user id before.").on(NONE.with(Kind::Uid)).column("old_euid")
        .get(|e| match &e.kind {
            EventKind::Uid(change) => Value::of(change.old_effective?),
            _ => None,
        })
        .set(|e, v| match &mut e.kind {
            EventKind::Uid(change) => some(&mut change.old_effective, v.number::<u32>()),
            _ => false,
        }),
    F::new("old_gid", U32, "For a gid event: the real group id before.").on(NONE.with(Kind::Gid)).column("old_gid")
        .get(|e| match &e.kind {
            EventKind::Gid(change) => Value::of(change.old_real?),
            _ => None,
        })
        .set(|e, v| match &mut e.kind {
            EventKind::Gid(change) => some(&mut change.old_real, v.number::<u32>()),
            _ => false,
        }),
    F::new("old_egid", U32, "For a gid event: the effective group id before.").on(NONE.with(Kind::Gid)).column("old_egid")
        .get(|e| match &e.kind {
            EventKind::Gid(change) => Value::of(change.old_effective?),
            _ => None,
        })
        .set(|e, v| match &mut e.kind {
            EventKind::Gid(change) => some(&mut change.old_effective, v.number::<u32>()),
            _ => false,
        }),
    F::new("ptrace", FieldType::Word(&["attach", "detach"]), "For ptrace: whether a debugger attached to the process or detached.")
        .on(PTRACE).column("ptrace")
        .get(|e| match &e.kind {
            EventKind::Ptrace(change) => Some(Value::Word(if change.attach { "attach" } else { "detach" })),
            _ => None,
        })
        .set(|e, v| match (&mut e.kind, v.str()) {
            (EventKind::Ptrace(change), Some(word @ ("attach" | "detach"))) => put(&mut change.attach, Some(word == "attach")),
            _ => false,
        }),
    F::new("tracer", FieldType::Process, "For ptrace: the debugger.").on(PTRACE)
        .get(|e| e.tracer().map(Value::Process)),
    F::new("tracer.pid", U32, "Process id of the tracer.").aka(&["tracer_pid"]).on(PTRACE).column("tracer_pid")
        .get(|e| Value::of(e.tracer()?.id.pid))
        .set(|e, v| tracer(e).is_some_and(|of| put(&mut of.id.pid, v.number::<u32>()))),
    F::new("tracer.name", FieldType::Text, "The tracer's comm.").aka(&["tracer_name"]).on(PTRACE).column("tracer_name")
        .get(|e| e.tracer()?.name.as_deref().map(Value::Text))
        .set(|e, v| tracer(e).is_some_and(|of| some(&mut of.name, v.bytes().map(Into::into)))),
    F::new("tracer.id", FieldType::Id, "The identity of the tracer.").on(PTRACE)
        .get(|e| Some(Value::Id(e.tracer()?.id)))
        .set(|e, v| tracer(e).is_some_and(|of| put(&mut of.id, v.process_id()))),
    F::new("count", U64, "For lost: how many events were lost between the line before and the next.")
        .aka(&["lost"]).on(NONE).column("count")
        .get(|e| Value::of(lost(e)?.total()))
        // Until their kinds are known, they have none.
        .set(|e, v| match &mut e.kind {
            EventKind::Lost(lost) => v.number::<u64>().map(|n| lost.counts.set(Kind::Lost, n)).is_some(),
            _ => false,
        }),
    F::new("lost", FieldType::Counts, "For lost: how many of each kind; under `lost` those of unknown kind.")
        .on(NONE).column("lost")
        .get(|e| lost(e).map(Value::Counts))
        .set(|e, v| match (&mut e.kind, v) {
            (EventKind::Lost(lost), Value::Counts(counts)) => put(lost, Some(*counts)),
            _ => false,
        }),
];

//! Bytes of the kernel's ring to records. Total over any bytes, on every OS.

use zerocopy::{FromBytes, Immutable, KnownLayout, Unaligned};

use super::wire::{self, flag, killer, kind};
use crate::record::{
    Body, CgroupKey, ChunkOf, ExitRecord, ImageRecord, ListRecord, LoginRecord, NamesUp, Record, RefRecord, Subject,
    UsageRecord,
};
use crate::{ExeTraits, Field, Flaw, Flaws, ForkCall, Namespaces, Tty};

/// The bytes are not a record that this version knows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Malformed;

/// The system calls that start a process, by number.
struct ForkCalls {
    fork: i32,
    vfork: i32,
    clone: i32,
    clone3: i32,
}

const NO_CALL: i32 = i32::MIN;

/// arch/x86/entry/syscalls/syscall_64.tbl and syscall_32.tbl; include/uapi/asm-generic/unistd.h for
/// all others.
#[cfg(target_arch = "x86_64")]
const NATIVE: ForkCalls = ForkCalls { fork: 57, vfork: 58, clone: 56, clone3: 435 };
#[cfg(target_arch = "x86_64")]
const COMPAT: ForkCalls = ForkCalls { fork: 2, vfork: 190, clone: 120, clone3: 435 };
#[cfg(not(target_arch = "x86_64"))]
const NATIVE: ForkCalls = ForkCalls { fork: NO_CALL, vfork: NO_CALL, clone: 220, clone3: 435 };
/// arch/arm/tools/syscall.tbl
#[cfg(not(target_arch = "x86_64"))]
const COMPAT: ForkCalls = ForkCalls { fork: 2, vfork: 190, clone: 120, clone3: 435 };

/// x32 has the native numbers, with this bit.
#[cfg(target_arch = "x86_64")]
const ABI_BITS: i32 = 0x4000_0000;
#[cfg(not(target_arch = "x86_64"))]
const ABI_BITS: i32 = 0;

fn fork_call(number: i32, compat: bool) -> Option<ForkCall> {
    let number = if number > 0 { number & !ABI_BITS } else { number };
    let calls = if compat { &COMPAT } else { &NATIVE };
    match number {
        NO_CALL => None,
        n if n == calls.fork => Some(ForkCall::Fork),
        n if n == calls.vfork => Some(ForkCall::Vfork),
        n if n == calls.clone => Some(ForkCall::Clone),
        n if n == calls.clone3 => Some(ForkCall::Clone3),
        _ => None,
    }
}

/// Splits off a struct; its strings follow it.
#[inline(always)]
fn split<T: FromBytes + KnownLayout + Immutable + Unaligned>(bytes: &[u8]) -> Result<(&T, &[u8]), Malformed> {
    T::ref_from_prefix(bytes).map_err(|_| Malformed)
}

/// Splits off `len` bytes of strings.
fn take<'a>(bytes: &mut &'a [u8], len: usize) -> Result<&'a [u8], Malformed> {
    let (head, tail) = bytes.split_at_checked(len).ok_or(Malformed)?;
    *bytes = tail;
    Ok(head)
}

fn decode_ref(r: &wire::Ref) -> RefRecord {
    RefRecord { pid: r.tgid, tid: r.tid, start_ns: r.start_ns, comm: r.comm }
}

/// A thread that is ending has given up all but two: none are reported.
#[inline(always)]
fn decode_namespaces(p: &wire::Process) -> Namespaces {
    if p.ns_mnt == 0 {
        return Namespaces::default();
    }
    let mut it = Namespaces::default();
    (it.mnt, it.pid, it.net, it.uts) = (p.ns_mnt, p.ns_pid, p.ns_net, p.ns_uts);
    (it.ipc, it.user, it.cgroup, it.time) = (p.ns_ipc, p.ns_user, p.ns_cgroup, p.ns_time);
    it
}

#[inline(always)]
fn decode_subject(header: &wire::Header, p: &wire::Process) -> Subject {
    Subject {
        pid: header.tgid,
        tid: header.tid,
        start_ns: header.start_ns,
        comm: p.comm,
        parent: RefRecord { pid: p.ppid, tid: p.ppid, start_ns: p.parent_start_ns, comm: p.parent_comm },
        ns_pid: p.ns_tgid,
        uid: p.uid,
        gid: p.gid,
        euid: p.euid,
        egid: p.egid,
        login: LoginRecord { uid: p.loginuid, session: p.audit_session },
        sid: p.sid,
        pgid: p.pgid,
        tty: (p.tty != 0).then_some(Tty { major: p.tty >> 20, minor: p.tty & 0xf_ffff }),
        cgroup: CgroupKey { id: p.cgroup_id, hierarchy: p.cgroup_hierarchy },
        namespaces: decode_namespaces(p),
        kthread: header.flags & flag::KTHREAD != 0,
        exec_id: Some(header.exec_id),
    }
}

#[inline(always)]
fn decode_image<'a>(exec: &wire::Exec, mut strings: &'a [u8]) -> Result<ImageRecord<'a>, Malformed> {
    let strings = &mut strings;
    let path = take(strings, exec.path_len.into())?;
    let interpreter = take(strings, exec.interp_len.into())?;
    let exe = take(strings, exec.exe_len.into())?;
    let cwd = take(strings, exec.cwd_len.into())?;
    let argv = take(strings, exec.argv_inline as usize)?;
    let env = take(strings, exec.env_inline as usize)?;
    let kernel_only = exec.header.flags & flag::KTHREAD != 0;
    Ok(ImageRecord {
        path: (exec.header.flags & flag::PATH_UNREADABLE == 0 && exec.header.kind == kind::EXEC).then_some(path),
        interpreter: (!interpreter.is_empty()).then_some(interpreter),
        exe: (!exe.is_empty()).then_some(NamesUp(exe)),
        exe_traits: ExeTraits::from_bits_truncate(exec.exe_traits as u8),
        cwd: (!kernel_only && exec.has_cwd != 0).then_some(NamesUp(cwd)),
        cwd_deleted: exec.header.flags & flag::CWD_DELETED != 0,
        argv: ListRecord { inline: argv, len: exec.argv_len as usize },
        env: Some(ListRecord { inline: env, len: exec.env_len as usize }),
    })
}

/// Each flag that spoils a field.
const FLAWS: [(u16, Field, Flaw); 11] = [
    (flag::PATH_CUT, Field::Path, Flaw::Truncated),
    (flag::EXE_CUT, Field::Exe, Flaw::Truncated),
    (flag::CWD_CUT, Field::Cwd, Flaw::Truncated),
    (flag::ARGV_CUT, Field::Argv, Flaw::Truncated),
    (flag::ENV_CUT, Field::Env, Flaw::Truncated),
    (flag::ARGV_UNREADABLE, Field::Argv, Flaw::Unreadable),
    (flag::ENV_UNREADABLE, Field::Env, Flaw::Unreadable),
    (flag::PATH_UNREADABLE, Field::Path, Flaw::Unreadable),
    (flag::NO_OLD_COMM, Field::OldName, Flaw::NotObserved),
    (flag::USAGE_RACED, Field::Usage, Flaw::Estimated),
    (flag::USAGE_TICK, Field::Usage, Flaw::Estimated),
];

/// True for a record that was not requested, which is sent only for the tables.
pub(crate) fn is_unasked(bytes: &[u8]) -> bool {
    split::<wire::Header>(bytes).is_ok_and(|(header, _)| header.flags & flag::UNASKED != 0)
}

/// How many events had been lost before this record.
#[inline]
pub(crate) fn lost_before(bytes: &[u8]) -> u64 {
    split::<wire::Header>(bytes).map_or(0, |(header, _)| header.lost)
}

/// How many events were lost so far, by kind, from a record that holds nothing else.
#[inline]
pub(crate) fn losses(bytes: &[u8]) -> Option<[u64; kind::KINDS]> {
    let (header, _) = split::<wire::Header>(bytes).ok()?;
    let told = |bytes| split::<wire::Losses>(bytes).ok().map(|(losses, _)| losses.lost);
    if header.kind == kind::LOSSES { told(bytes.get(..header.size as usize)?) } else { None }
}

/// Decodes one record of an event, or of data that events need.
#[inline]
pub(crate) fn decode(bytes: &[u8]) -> Result<Record<'_>, Malformed> {
    let (header, _) = split::<wire::Header>(bytes)?;
    let bytes = bytes.get(..header.size as usize).ok_or(Malformed)?;
    let mut flaws = Flaws::new();
    if header.flags != 0 {
        let set = FLAWS.iter().filter(|(bit, ..)| header.flags & bit != 0);
        set.for_each(|&(_, field, flaw)| flaws.mark(field, flaw));
    }
    let body = decode_body(header, bytes, &mut flaws)?;
    // The list of running processes is made on any CPU.
    let processor = (header.kind != kind::EXISTING).then_some(header.cpu);
    Ok(Record { boot_ns: header.boot_ns, processor, body, flaws, about: Flaws::new() })
}

#[inline(always)]
fn decode_body<'a>(header: &wire::Header, bytes: &'a [u8], flaws: &mut Flaws) -> Result<Body<'a>, Malformed> {
    Ok(match header.kind {
        kind::EXEC => {
            let (exec, strings) = split::<wire::Exec>(bytes)?;
            Body::Exec {
                subject: decode_subject(&exec.header, &exec.process),
                old_comm: (header.flags & flag::NO_OLD_COMM == 0).then_some(exec.old_comm),
                old_tid: Some(exec.old_tid),
                image: decode_image(exec, strings)?,
            }
        }
        kind::EXIT => {
            let (exit, _) = split::<wire::Exit>(bytes)?;
            if exit.killer_how == killer::UNKNOWN {
                flaws.mark(Field::Killer, Flaw::NotObserved);
            }
            Body::Exit {
                subject: decode_subject(&exit.header, &exit.process),
                exit: ExitRecord {
                    wait_status: Some(exit.wait_status),
                    killer: (exit.killer_how == killer::KNOWN).then(|| decode_ref(&exit.killer)),
                    oom: header.flags & flag::OOM != 0,
                    usage: Some(UsageRecord {
                        utime_ns: exit.utime_ns,
                        stime_ns: exit.stime_ns,
                        runtime_ns: exit.runtime_ns,
                        maxrss_pages: exit.maxrss_pages,
                        read_bytes: exit.read_bytes,
                        write_bytes: exit.write_bytes,
                        rchar: exit.rchar,
                        wchar: exit.wchar,
                        nvcsw: exit.nvcsw,
                        nivcsw: exit.nivcsw,
                        min_flt: exit.min_flt,
                        maj_flt: exit.maj_flt,
                    }),
                },
            }
        }
        kind::FORK | kind::CLONE => {
            let (fork, _) = split::<wire::Fork>(bytes)?;
            Body::Fork {
                subject: decode_subject(&fork.header, &fork.process),
                thread: header.kind == kind::CLONE,
                unasked: header.flags & flag::UNASKED != 0,
                call: fork_call(fork.syscall, header.flags & flag::COMPAT != 0),
                flags: Some(fork.clone_flags),
                creator: Some(decode_ref(&fork.creator)),
                image: None,
            }
        }
        kind::EXEC_FAILED => {
            let (failed, mut strings) = split::<wire::ExecFailed>(bytes)?;
            let path = take(&mut strings, failed.path_len as usize)?;
            let argv = take(&mut strings, failed.argv_len as usize)?;
            Body::ExecFailed {
                subject: decode_subject(&failed.header, &failed.process),
                errno: failed.error.unsigned_abs(),
                dirfd: (failed.has_dirfd != 0).then_some(failed.dirfd),
                path: (header.flags & flag::PATH_UNREADABLE == 0).then_some(path),
                argv,
            }
        }
        kind::THREAD_EXIT => {
            let (exit, _) = split::<wire::ThreadExit>(bytes)?;
            Body::ThreadExit {
                subject: decode_subject(&exit.header, &exit.process),
                wait_status: Some(exit.wait_status),
                thread_start_ns: exit.thread_start_ns,
                comm: exit.thread_comm,
            }
        }
        kind::EXISTING => {
            let (existing, strings) = split::<wire::Exec>(bytes)?;
            Body::Existing {
                subject: decode_subject(&existing.header, &existing.process),
                image: decode_image(existing, strings)?,
            }
        }
        kind::CORE | kind::COMM | kind::UID | kind::GID | kind::SID | kind::PTRACE => {
            let (change, _) = split::<wire::Change>(bytes)?;
            let subject = decode_subject(&change.header, &change.process);
            match header.kind {
                kind::CORE => Body::Core { subject, signo: Some(change.value[0] as u8) },
                kind::COMM => Body::Comm { subject, old: change.old_comm, new: change.new_comm },
                kind::UID => Body::Uid { subject, old: Some(change.value) },
                kind::GID => Body::Gid { subject, old: Some(change.value) },
                kind::SID => Body::Sid { subject },
                _ => Body::Ptrace {
                    subject,
                    other: decode_ref(&change.other),
                    attach: change.value[0] != 0,
                    of_caller: change.value[1] != 0,
                },
            }
        }
        kind::CHUNK_ARGV | kind::CHUNK_ENV => {
            let (chunk, mut rest) = split::<wire::Chunk>(bytes)?;
            let of = if header.kind == kind::CHUNK_ARGV { ChunkOf::Argv } else { ChunkOf::Env };
            let bytes = take(&mut rest, chunk.len as usize)?;
            Body::Chunk { tid: header.tid, of, offset: chunk.offset as usize, bytes }
        }
        kind::CGROUP => {
            let (cgroup, mut rest) = split::<wire::Cgroup>(bytes)?;
            Body::Cgroup {
                key: CgroupKey { id: cgroup.id, hierarchy: cgroup.hierarchy },
                names: NamesUp(take(&mut rest, cgroup.len as usize)?),
                cut: header.flags & flag::PATH_CUT != 0,
            }
        }
        _ => return Err(Malformed),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use zerocopy::{FromZeros, IntoBytes};

    use super::*;

    fn exec(path: &[u8], exe: &[u8], argv: &[u8]) -> Vec<u8> {
        let mut exec = wire::Exec::new_zeroed();
        let size = size_of::<wire::Exec>() + path.len() + exe.len() + argv.len();
        exec.header.kind = kind::EXEC;
        exec.header.size = size as u32;
        exec.header.tgid = 7;
        exec.header.start_ns = 12_345_678_901;
        exec.path_len = path.len() as u16;
        exec.exe_len = exe.len() as u16;
        exec.argv_len = argv.len() as u32;
        exec.argv_inline = argv.len() as u32;
        [exec.as_bytes(), path, exe, argv].concat()
    }

    #[test]
    fn an_exec() {
        let bytes = exec(b"./true", b"true\0bin\0", b"true\0\0");
        let record = decode(&bytes).unwrap();
        let Body::Exec { subject, image, .. } = record.body else { panic!("no exec: {record:?}") };
        assert_eq!(subject.id().start, Some(crate::StartTime(1234)));
        assert_eq!(image.path, Some(&b"./true"[..]));
        assert_eq!(image.exe.unwrap().0, b"true\0bin\0");
        assert_eq!(image.argv.inline, b"true\0\0");
        assert!(record.flaws.is_empty());
    }

    #[test]
    fn lengths_beyond_the_record_are_malformed() {
        let whole = exec(b"./true", b"true\0bin\0", b"true\0\0");
        for len in 0..whole.len() {
            assert_eq!(decode(&whole[..len]).err(), Some(Malformed), "{len} bytes");
        }
        let mut short = whole.clone();
        short[0] -= 1;
        assert_eq!(decode(&short).err(), Some(Malformed));
        assert!(decode(&[whole, vec![0; 8]].concat()).is_ok());
    }

    #[test]
    fn losses_by_kind() {
        let mut record = wire::Losses::new_zeroed();
        record.header.size = size_of::<wire::Losses>() as u32;
        record.header.kind = kind::LOSSES;
        record.header.lost = 7;
        record.lost[usize::from(kind::EXEC)] = 7;
        let bytes = record.as_bytes();
        assert_eq!(lost_before(bytes), 7);
        assert_eq!(losses(bytes).map(|lost| lost[usize::from(kind::EXEC)]), Some(7));
        assert_eq!(losses(&exec(b"a", b"a\0", b"a\0")), None);
        for len in 0..bytes.len() {
            assert_eq!(losses(&bytes[..len]), None, "{len} bytes");
        }
        record.header.size -= 1;
        assert_eq!(losses(record.as_bytes()), None);
    }

    #[test]
    fn a_killer_is_known_or_nobody_or_marked() {
        let decoded = |how| {
            let mut exit = wire::Exit::new_zeroed();
            (exit.header.kind, exit.header.size) = (kind::EXIT, size_of::<wire::Exit>() as u32);
            (exit.wait_status, exit.killer_how, exit.killer.tgid) = (9, how, 7);
            let record = decode(exit.as_bytes()).unwrap();
            let Body::Exit { exit, .. } = record.body else { panic!("no exit") };
            (exit.killer.map(|killer| killer.pid), record.flaws.get(Field::Killer))
        };
        assert_eq!(decoded(killer::KNOWN), (Some(7), None));
        assert_eq!(decoded(killer::UNKNOWN), (None, Some(Flaw::NotObserved)));
        assert_eq!(decoded(0), (None, None));
    }

    #[test]
    fn calls_by_number() {
        assert_eq!(fork_call(435, false), Some(ForkCall::Clone3));
        assert_eq!(fork_call(-1, false), None);
        assert_eq!(fork_call(NO_CALL, false), None);
        #[cfg(target_arch = "x86_64")]
        assert_eq!(
            [57, 58, 56].map(|n| fork_call(n, false)),
            [Some(ForkCall::Fork), Some(ForkCall::Vfork), Some(ForkCall::Clone)]
        );
        assert_eq!(fork_call(190, true), Some(ForkCall::Vfork));
        #[cfg(target_arch = "x86_64")]
        assert_eq!(fork_call(0x4000_0000 | 58, false), Some(ForkCall::Vfork));
    }

    proptest! {
        #[test]
        fn any_bytes_are_taken(kind in 0u16..20, mut bytes in proptest::collection::vec(any::<u8>(), 0..1200)) {
            let _ = (decode(&bytes), losses(&bytes), lost_before(&bytes));
            if bytes.len() >= 8 {
                let size = bytes.len() as u32;
                bytes[..4].copy_from_slice(&size.to_ne_bytes());
                bytes[4..6].copy_from_slice(&kind.to_ne_bytes());
                let _ = (decode(&bytes), losses(&bytes), lost_before(&bytes));
            }
        }

        #[test]
        fn strings_come_back(path in proptest::collection::vec(1u8..=255, 0..300), argv: Vec<u8>) {
            let bytes = exec(&path, b"", &argv);
            let record = decode(&bytes).unwrap();
            let Body::Exec { image, .. } = record.body else { panic!("no exec") };
            prop_assert_eq!(image.path, Some(&path[..]));
            prop_assert_eq!(image.argv.inline, &argv[..]);
        }
    }
}

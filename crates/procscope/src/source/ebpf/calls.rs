//! The system calls that report events: the tracepoints of those by name, and the numbers that have
//! none of their own.

use super::wire::{NUMBERS, TABLES};
use crate::{Kind, Want, sys};

/// Programs on tracepoints that only tracefs knows, with the system calls that they belong to.
pub(super) const CALLS: [(&str, Kind, &[&str]); 8] = [
    (EXEC, Kind::ExecFailed, &["sys_exit_execve", "sys_exit_execveat"]),
    ("sys_enter_setid", Kind::Uid, &["sys_enter_setuid", "sys_enter_setreuid", "sys_enter_setresuid"]),
    ("sys_exit_setid", Kind::Uid, &["sys_exit_setuid", "sys_exit_setreuid", "sys_exit_setresuid"]),
    ("sys_enter_setid", Kind::Gid, &["sys_enter_setgid", "sys_enter_setregid", "sys_enter_setresgid"]),
    ("sys_exit_setid", Kind::Gid, &["sys_exit_setgid", "sys_exit_setregid", "sys_exit_setresgid"]),
    ("sys_exit_setsid", Kind::Sid, &["sys_exit_setsid"]),
    ("sys_enter_ptrace", Kind::Ptrace, &["sys_enter_ptrace"]),
    ("sys_exit_ptrace", Kind::Ptrace, &["sys_exit_ptrace"]),
];

const EXEC: &str = "sys_exit_exec";

/// Programs on the tracepoints that every call passes, for calls without tracepoints by name. The
/// second of each makes up for skipped runs of the first.
const EVERY: [(&str, &[Kind]); 2] = [
    ("sys_enter", &[Kind::Uid, Kind::Gid, Kind::Ptrace]),
    ("sys_exit", &[Kind::ExecFailed, Kind::Uid, Kind::Gid, Kind::Sid, Kind::Ptrace]),
];

/// The kinds of event that a program on the calls reports, if it is one.
pub(super) fn kinds_of(program: &str) -> Option<Vec<Kind>> {
    let program = program.strip_suffix("_2").unwrap_or(program);
    if let Some((_, kinds)) = EVERY.iter().find(|(name, _)| *name == program) {
        return Some(kinds.to_vec());
    }
    if program == EXEC && !has_registers() {
        return None;
    }
    let kinds: Vec<Kind> = CALLS.iter().filter(|(name, ..)| *name == program).map(|&(_, kind, _)| kind).collect();
    (!kinds.is_empty()).then_some(kinds)
}

/// Whether the kernel also skips runs of the program that do not matter, so that its skips are not
/// a number of lost events.
pub(super) fn is_for_every_call(program: &str) -> bool {
    EVERY.iter().any(|(name, _)| *name == program.strip_suffix("_2").unwrap_or(program))
}

/// `bpf_task_pt_regs`. Without it the arguments of an exec are known only on the tracepoint of
/// every call.
fn has_registers() -> bool {
    sys::kernel_version() >= (5, 15)
}

/// `enum ps_call`, and the kinds of event that it may report.
type Meaning = (u8, &'static [Kind]);
const EXECVE: Meaning = (1, &[Kind::ExecFailed]);
const EXECVEAT: Meaning = (2, &[Kind::ExecFailed]);
const SETUID: Meaning = (3, &[Kind::Uid]);
const SETGID: Meaning = (3, &[Kind::Gid]);
const SETSID: Meaning = (4, &[Kind::Sid]);
const PTRACE: Meaning = (5, &[Kind::Ptrace]);

type Numbers = &'static [(Meaning, &'static [u16])];

/// `libc` does not bind it as a number that fits.
pub(super) const EXECVEAT_NUMBER: u32 = libc::SYS_execveat as u32;

const NATIVE: Numbers = &[(EXECVE, &[libc::SYS_execve as u16]), (EXECVEAT, &[EXECVEAT_NUMBER as u16])];

/// arch/x86/entry/syscalls/syscall_32.tbl and arch/arm/tools/syscall.tbl, which differ in execveat.
/// Ids of 16 bits and of 32.
const COMPAT: Numbers = &[
    (EXECVE, &[11]),
    (EXECVEAT, if cfg!(target_arch = "x86_64") { &[358] } else { &[387] }),
    (SETUID, &[23, 70, 164, 203, 208, 213]),
    (SETGID, &[46, 71, 170, 204, 210, 214]),
    (SETSID, &[66]),
    (PTRACE, &[26]),
];

/// arch/x86/entry/syscalls/syscall_64.tbl, without the bit that they have.
const X32: Numbers = &[
    (EXECVE, &[520]),
    (EXECVEAT, &[545]),
    (SETUID, &[105, 113, 117]),
    (SETGID, &[106, 114, 119]),
    (SETSID, &[112]),
    (PTRACE, &[521]),
];

/// The numbers of each table that the wanted events need.
pub(super) fn numbers(want: &Want) -> [[u8; NUMBERS]; TABLES] {
    let mut tables = [[0; NUMBERS]; TABLES];
    let native = if has_registers() { &[] } else { NATIVE };
    let x32 = if cfg!(target_arch = "x86_64") { X32 } else { &[] };
    for (table, calls) in tables.iter_mut().zip([native, COMPAT, x32]) {
        for ((call, kinds), numbers) in calls {
            if kinds.iter().any(|&kind| want.events.contains(kind)) {
                numbers.iter().for_each(|&number| table[usize::from(number)] = *call);
            }
        }
    }
    tables
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_wanted_has_a_meaning() {
        let want = |kinds: &[Kind]| Want {
            events: kinds.iter().fold(crate::EventSet::NONE, |set, &kind| set.with(kind)),
            ..Want::default()
        };
        let count = |want: &Want| numbers(want)[1].iter().filter(|&&call| call != 0).count();
        assert_eq!(count(&want(&[Kind::Exec, Kind::Exit])), 0);
        assert_eq!(count(&want(&[Kind::Sid])), 1);
        assert_eq!(count(&want(&[Kind::Uid])), 6);
        assert_eq!(count(&want(&[Kind::ExecFailed, Kind::Uid, Kind::Gid, Kind::Sid, Kind::Ptrace])), 16);
        let all = numbers(&want(&[Kind::ExecFailed, Kind::Uid]));
        assert_eq!((all[1][11], all[1][213], all[1][26]), (EXECVE.0, SETUID.0, 0));
    }

    #[test]
    fn programs_tell_of_kinds() {
        assert_eq!(kinds_of("sys_exit_setid"), Some(vec![Kind::Uid, Kind::Gid]));
        assert_eq!(kinds_of("sys_enter_2"), kinds_of("sys_enter"));
        assert_eq!(kinds_of("task_newtask"), None);
    }
}

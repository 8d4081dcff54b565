//! Filters that a command installs: `seccomp(2)`. One that refuses an exec does so before our
//! filter could stop it.

use std::collections::HashSet;

use libc::sock_filter;

use super::calls;
use super::memory::read_word;
use crate::Pid;
use crate::launch::filter::{CALLS, Calls};

/// The longest program: `BPF_MAXINSNS`.
const MOST_STEPS: usize = 4096;
/// A program that needs more steps to decide is assumed to refuse.
const MOST_TRIED: usize = 1 << 16;
/// `SECCOMP_FILTER_FLAG_TSYNC`.
const FOR_ALL_THREADS: u64 = 1;

/// A filter that a call is about to install.
#[derive(Clone, Copy, Debug)]
pub(super) struct Installing {
    /// The place of `struct sock_fprog`.
    program: u64,
    /// Not only for the calling thread.
    pub(super) for_all: bool,
}

/// The filter that a call of seccomp(2) or prctl(2) is about to install; `None` if it is no filter.
pub(super) fn installing(call: &calls::Call, known: &Calls) -> Option<Installing> {
    let [first, second, third, ..] = call.args;
    if call.nr == known.seccomp {
        let is_filter = first as u32 == libc::SECCOMP_SET_MODE_FILTER;
        is_filter.then_some(Installing { program: third, for_all: second & FOR_ALL_THREADS != 0 })
    } else {
        let is_filter = second as u32 == libc::SECCOMP_MODE_FILTER;
        is_filter.then_some(Installing { program: third, for_all: false })
    }
}

impl Installing {
    /// Whether it may make execs fail. An unreadable one may do anything.
    pub(super) fn may_refuse_execs(&self, tid: Pid, pointer: usize) -> bool {
        self.read(tid, pointer).is_none_or(|steps| may_refuse_execs(&steps))
    }

    fn read(&self, tid: Pid, pointer: usize) -> Option<Vec<sock_filter>> {
        let len = read_word(tid, self.program, size_of::<u16>())? as usize;
        let at = read_word(tid, self.program.checked_add(pointer as u64)?, pointer)?;
        let mut bytes = vec![0; len.min(MOST_STEPS) * size_of::<sock_filter>()];
        if calls::read_memory(tid, at, &mut bytes) < bytes.len() {
            return None;
        }
        let step = |step: &[u8]| sock_filter {
            code: u16::from_ne_bytes([step[0], step[1]]),
            jt: step[2],
            jf: step[3],
            k: u32::from_ne_bytes([step[4], step[5], step[6], step[7]]),
        };
        Some(bytes.chunks_exact(size_of::<sock_filter>()).map(step).collect())
    }
}

/// Whether any exec, with any arguments, may be refused.
fn may_refuse_execs(steps: &[sock_filter]) -> bool {
    CALLS.iter().any(|calls| [calls.execve, calls.execveat].into_iter().any(|nr| may_refuse(steps, calls.arch, nr)))
}

/// Follows all paths through the program that a call with this number can take; nothing else about
/// the call is known.
fn may_refuse(steps: &[sock_filter], arch: u32, nr: u32) -> bool {
    let mut ways = vec![(0usize, None::<u32>)];
    let mut tried = HashSet::new();
    while let Some((at, value)) = ways.pop() {
        if !tried.insert((at, value)) {
            continue;
        }
        let Some(step) = steps.get(at).filter(|_| tried.len() < MOST_TRIED) else { return true };
        let next = at + 1;
        let code = u32::from(step.code);
        match code & 7 {
            libc::BPF_RET if code & 0x18 == libc::BPF_K => {
                if refuses(step.k) {
                    return true;
                }
            }
            libc::BPF_RET => {
                if value.is_none_or(refuses) {
                    return true;
                }
            }
            libc::BPF_LD => ways.push((next, loaded(code, step.k, arch, nr))),
            libc::BPF_JMP if code & 0xf0 == libc::BPF_JA => ways.push((next.saturating_add(step.k as usize), value)),
            libc::BPF_JMP => {
                let holds = if code & libc::BPF_X == 0 { holds(code, value, step.k) } else { None };
                if holds != Some(false) {
                    ways.push((next + usize::from(step.jt), value));
                }
                if holds != Some(true) {
                    ways.push((next + usize::from(step.jf), value));
                }
            }
            // Arithmetic, and the other register moved into this one.
            libc::BPF_ALU => ways.push((next, None)),
            libc::BPF_MISC if code & 0xf8 == libc::BPF_TXA => ways.push((next, None)),
            _ => ways.push((next, value)),
        }
    }
    false
}

/// The call fails, or another process decides whether it does. A filter that asks for a tracer
/// stops for us; one that kills leaves no failed call.
fn refuses(action: u32) -> bool {
    matches!(action & libc::SECCOMP_RET_ACTION_FULL, libc::SECCOMP_RET_ERRNO | libc::SECCOMP_RET_USER_NOTIF)
}

/// The loaded value, as far as it is known: of `struct seccomp_data` the number and the
/// architecture.
fn loaded(code: u32, k: u32, arch: u32, nr: u32) -> Option<u32> {
    match (code & 0xe0, k) {
        (libc::BPF_ABS, 0) => Some(nr),
        (libc::BPF_ABS, 4) => Some(arch),
        (libc::BPF_IMM, k) => Some(k),
        _ => None,
    }
}

fn holds(code: u32, value: Option<u32>, k: u32) -> Option<bool> {
    let value = value?;
    match code & 0xf0 {
        libc::BPF_JEQ => Some(value == k),
        libc::BPF_JGT => Some(value > k),
        libc::BPF_JGE => Some(value >= k),
        libc::BPF_JSET => Some(value & k != 0),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOAD: u16 = (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16;
    const EQUAL: u16 = (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16;
    const GIVE: u16 = (libc::BPF_RET | libc::BPF_K) as u16;
    const ENOSYS: u32 = libc::SECCOMP_RET_ERRNO | libc::ENOSYS as u32;

    fn step(code: u16, jt: u8, jf: u8, k: u32) -> sock_filter {
        sock_filter { code, jt, jf, k }
    }

    /// Does this with the call of that number, and passes all others.
    fn with(nr: u32, action: u32) -> Vec<sock_filter> {
        vec![
            step(LOAD, 0, 0, 0),
            step(EQUAL, 0, 1, nr),
            step(GIVE, 0, 0, action),
            step(GIVE, 0, 0, libc::SECCOMP_RET_ALLOW),
        ]
    }

    #[test]
    fn filters_that_refuse_execs() {
        let exec = CALLS[0].execve;
        assert!(may_refuse_execs(&with(exec, ENOSYS)));
        assert!(may_refuse_execs(&with(CALLS[0].execveat, libc::SECCOMP_RET_USER_NOTIF)));
        assert!(!may_refuse_execs(&with(exec + 1000, ENOSYS)));
        for action in
            [libc::SECCOMP_RET_ALLOW, libc::SECCOMP_RET_KILL_PROCESS, libc::SECCOMP_RET_TRACE, libc::SECCOMP_RET_LOG]
        {
            assert!(!may_refuse_execs(&with(exec, action)), "{action:x}");
        }
        // By an argument, which may be any value.
        let mut by_argument = with(exec, libc::SECCOMP_RET_ALLOW);
        by_argument.splice(2..2, [step(LOAD, 0, 0, 16), step(EQUAL, 1, 0, 7), step(GIVE, 0, 0, ENOSYS)]);
        assert!(may_refuse_execs(&by_argument));
        // An incomplete program.
        assert!(may_refuse_execs(&[]));
        assert!(may_refuse_execs(&with(exec, ENOSYS)[..2]));
    }

    proptest::proptest! {
        #[test]
        fn any_program_is_followed_to_its_end(steps: Vec<(u16, u8, u8, u32)>) {
            let steps: Vec<_> = steps.into_iter().map(|(code, jt, jf, k)| step(code, jt, jf, k)).collect();
            let _ = may_refuse_execs(&steps);
        }
    }
}

//! A seccomp program that makes execs stop for the tracer, and calls that would hide a process or
//! its execs from it: `seccomp(2)`.

use libc::{SECCOMP_RET_ALLOW, SECCOMP_RET_TRACE, sock_filter};

/// Offsets in `struct seccomp_data`: the number of the call, the architecture whose number that is,
/// the low half of the first argument.
const NR: u32 = 0;
const ARCH: u32 = 4;
const FIRST: u32 = 16;

/// The number on our stops, which distinguishes them from those that a filter of the command's own
/// requests.
pub(crate) const OURS: u32 = 0x7073;
/// `linux/sched.h`: the new process is not to be traced.
pub(crate) const CLONE_UNTRACED: u32 = 0x0080_0000;

/// The option of prctl(2) that installs a filter.
pub(crate) const PR_SET_SECCOMP: u32 = libc::PR_SET_SECCOMP as u32;

/// The calls of an architecture: `linux/audit.h` and the kernel's tables.
pub(crate) struct Calls {
    pub(crate) arch: u32,
    pub(crate) execve: u32,
    pub(crate) execveat: u32,
    pub(crate) clone: u32,
    pub(crate) clone3: u32,
    pub(crate) seccomp: u32,
    pub(crate) prctl: u32,
    /// Bytes of a pointer.
    pub(crate) pointer: usize,
}

impl Calls {
    pub(crate) fn is_exec(&self, nr: u32) -> bool {
        nr == self.execve || nr == self.execveat
    }
}

/// The machine's own calls come first, then those of its other modes.
#[cfg(target_arch = "x86_64")]
pub(crate) const CALLS: [Calls; 3] = [
    Calls {
        arch: 0xc000_003e,
        execve: 59,
        execveat: 322,
        clone: 56,
        clone3: 435,
        seccomp: 317,
        prctl: 157,
        pointer: 8,
    },
    Calls {
        arch: 0x4000_0003,
        execve: 11,
        execveat: 358,
        clone: 120,
        clone3: 435,
        seccomp: 354,
        prctl: 172,
        pointer: 4,
    },
    // x32
    Calls {
        arch: 0xc000_003e,
        execve: X32 | 520,
        execveat: X32 | 545,
        clone: X32 | 56,
        clone3: X32 | 435,
        seccomp: X32 | 317,
        prctl: X32 | 157,
        pointer: 4,
    },
];

/// The mark of the calls of x32 programs.
#[cfg(target_arch = "x86_64")]
const X32: u32 = 0x4000_0000;

#[cfg(target_arch = "aarch64")]
pub(crate) const CALLS: [Calls; 2] = [
    Calls {
        arch: 0xc000_00b7,
        execve: 221,
        execveat: 281,
        clone: 220,
        clone3: 435,
        seccomp: 277,
        prctl: 167,
        pointer: 8,
    },
    Calls {
        arch: 0x4000_0028,
        execve: 11,
        execveat: 387,
        clone: 120,
        clone3: 435,
        seccomp: 383,
        prctl: 172,
        pointer: 4,
    },
];

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
pub(crate) const CALLS: [Calls; 0] = [];

/// Steps for each architecture, then the ends.
const STEPS: usize = 9;
const LEN: usize = CALLS.len() * STEPS + 7;

/// The program.
pub(crate) static STOPS: [sock_filter; LEN] = program();

const fn load(offset: u32) -> sock_filter {
    sock_filter { code: (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16, jt: 0, jf: 0, k: offset }
}

const fn equal(k: u32, jt: usize, jf: usize) -> sock_filter {
    sock_filter { code: (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16, jt: jt as u8, jf: jf as u8, k }
}

const fn any_of(k: u32, jt: usize, jf: usize) -> sock_filter {
    sock_filter { code: (libc::BPF_JMP | libc::BPF_JSET | libc::BPF_K) as u16, jt: jt as u8, jf: jf as u8, k }
}

const fn give(k: u32) -> sock_filter {
    sock_filter { code: (libc::BPF_RET | libc::BPF_K) as u16, jt: 0, jf: 0, k }
}

/// The flags of clone are in a register; those of clone3 in memory, which a filter cannot see.
const fn program() -> [sock_filter; LEN] {
    let mut steps = [give(SECCOMP_RET_ALLOW); LEN];
    // After each of these comes the step that lets the call continue.
    let (option, flags, trace) = (LEN - 6, LEN - 4, LEN - 1);
    let mut i = 0;
    while i < CALLS.len() {
        let at = i * STEPS;
        steps[at] = load(ARCH);
        // Not this one: on to the next.
        steps[at + 1] = equal(CALLS[i].arch, 0, STEPS - 2);
        steps[at + 2] = load(NR);
        steps[at + 3] = equal(CALLS[i].execve, trace - (at + 4), 0);
        steps[at + 4] = equal(CALLS[i].execveat, trace - (at + 5), 0);
        steps[at + 5] = equal(CALLS[i].clone3, trace - (at + 6), 0);
        steps[at + 6] = equal(CALLS[i].seccomp, trace - (at + 7), 0);
        steps[at + 7] = equal(CALLS[i].prctl, option - (at + 8), 0);
        steps[at + 8] = equal(CALLS[i].clone, flags - (at + 9), 0);
        i += 1;
    }
    steps[option] = load(FIRST);
    steps[option + 1] = equal(PR_SET_SECCOMP, trace - (option + 2), LEN - 2 - (option + 2));
    steps[flags] = load(FIRST);
    steps[flags + 1] = any_of(CLONE_UNTRACED, 1, 0);
    steps[trace] = give(SECCOMP_RET_TRACE | OURS);
    steps
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The result of the kernel's interpreter.
    fn verdict(arch: u32, nr: u32, first: u32) -> u32 {
        let (mut at, mut value) = (0, 0);
        loop {
            let step = STOPS[at];
            at += 1;
            let holds = match step.code as u32 {
                c if c == libc::BPF_LD | libc::BPF_W | libc::BPF_ABS => {
                    value = match step.k {
                        ARCH => arch,
                        NR => nr,
                        _ => first,
                    };
                    continue;
                }
                c if c == libc::BPF_RET | libc::BPF_K => return step.k,
                c if c == libc::BPF_JMP | libc::BPF_JSET | libc::BPF_K => value & step.k != 0,
                _ => value == step.k,
            };
            at += usize::from(if holds { step.jt } else { step.jf });
        }
    }

    #[test]
    fn what_the_tracer_has_to_see_stops_and_nothing_else() {
        for calls in &CALLS {
            for nr in [calls.execve, calls.execveat, calls.clone3, calls.seccomp] {
                assert_eq!(verdict(calls.arch, nr, 0), SECCOMP_RET_TRACE | OURS, "{nr}");
            }
            assert_eq!(verdict(calls.arch, calls.clone, 0x0120_0011), SECCOMP_RET_ALLOW);
            assert_eq!(verdict(calls.arch, calls.clone, 0x0120_0011 | CLONE_UNTRACED), SECCOMP_RET_TRACE | OURS);
            assert_eq!(verdict(calls.arch, calls.prctl, PR_SET_SECCOMP), SECCOMP_RET_TRACE | OURS);
            assert_eq!(verdict(calls.arch, calls.prctl, 38), SECCOMP_RET_ALLOW);
            for nr in [0, 1, 57, 3, calls.execve + 1] {
                assert_eq!(verdict(calls.arch, nr, CLONE_UNTRACED), SECCOMP_RET_ALLOW, "{nr}");
            }
            assert_eq!(verdict(0, calls.execve, CLONE_UNTRACED), SECCOMP_RET_ALLOW);
        }
    }
}

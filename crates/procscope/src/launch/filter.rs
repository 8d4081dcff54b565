//! A seccomp program that makes execs stop for the tracer, and nothing else: `seccomp(2)`.

use libc::{SECCOMP_RET_ALLOW, SECCOMP_RET_TRACE, sock_filter};

/// Of `struct seccomp_data`: the number of the call, and the architecture whose number that is.
const NR: u32 = 0;
const ARCH: u32 = 4;

/// The calls of an architecture, `linux/audit.h` and the kernel's tables: execve, execveat.
pub(crate) struct Calls {
    pub(crate) arch: u32,
    pub(crate) execve: u32,
    pub(crate) execveat: u32,
    /// Bytes of a pointer.
    pub(crate) pointer: usize,
}

/// The machine's own calls come first, then those of its other modes.
#[cfg(target_arch = "x86_64")]
pub(crate) const CALLS: [Calls; 3] = [
    Calls { arch: 0xc000_003e, execve: 59, execveat: 322, pointer: 8 },
    Calls { arch: 0x4000_0003, execve: 11, execveat: 358, pointer: 4 },
    // x32
    Calls { arch: 0xc000_003e, execve: 0x4000_0000 | 520, execveat: 0x4000_0000 | 545, pointer: 4 },
];

#[cfg(target_arch = "aarch64")]
pub(crate) const CALLS: [Calls; 2] = [
    Calls { arch: 0xc000_00b7, execve: 221, execveat: 281, pointer: 8 },
    Calls { arch: 0x4000_0028, execve: 11, execveat: 387, pointer: 4 },
];

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
pub(crate) const CALLS: [Calls; 0] = [];

const LEN: usize = 2 + CALLS.len() * 5;

/// The program.
pub(crate) static EXECS: [sock_filter; LEN] = program();

const fn load(offset: u32) -> sock_filter {
    sock_filter { code: (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16, jt: 0, jf: 0, k: offset }
}

const fn equal(k: u32, jt: u8, jf: u8) -> sock_filter {
    sock_filter { code: (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16, jt, jf, k }
}

const fn give(k: u32) -> sock_filter {
    sock_filter { code: (libc::BPF_RET | libc::BPF_K) as u16, jt: 0, jf: 0, k }
}

/// For each architecture five steps, then two ends.
const fn program() -> [sock_filter; LEN] {
    let mut steps = [give(SECCOMP_RET_ALLOW); LEN];
    let trace = LEN - 1;
    let mut i = 0;
    while i < CALLS.len() {
        let at = i * 5;
        steps[at] = load(ARCH);
        // Another's: on to the next.
        steps[at + 1] = equal(CALLS[i].arch, 0, 3);
        steps[at + 2] = load(NR);
        steps[at + 3] = equal(CALLS[i].execve, (trace - (at + 4)) as u8, 0);
        steps[at + 4] = equal(CALLS[i].execveat, (trace - (at + 5)) as u8, 0);
        i += 1;
    }
    steps[trace] = give(SECCOMP_RET_TRACE);
    steps
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the kernel's interpreter would give.
    fn verdict(arch: u32, nr: u32) -> u32 {
        let (mut at, mut value) = (0, 0);
        loop {
            let step = EXECS[at];
            at += 1;
            match step.code as u32 {
                c if c == libc::BPF_LD | libc::BPF_W | libc::BPF_ABS => value = if step.k == ARCH { arch } else { nr },
                c if c == libc::BPF_RET | libc::BPF_K => return step.k,
                _ => at += usize::from(if value == step.k { step.jt } else { step.jf }),
            }
        }
    }

    #[test]
    fn execs_alone_stop() {
        for calls in &CALLS {
            assert_eq!(verdict(calls.arch, calls.execve), SECCOMP_RET_TRACE);
            assert_eq!(verdict(calls.arch, calls.execveat), SECCOMP_RET_TRACE);
            for nr in [0, 1, 56, 57, 435, 3, calls.execve + 1] {
                assert_eq!(verdict(calls.arch, nr), SECCOMP_RET_ALLOW, "{nr}");
            }
            assert_eq!(verdict(0, calls.execve), SECCOMP_RET_ALLOW);
        }
    }
}

//! System calls by the numbers of 32-bit programs, and one that a filter refuses.

use std::io;

use super::failed::expect;
#[cfg(target_arch = "x86_64")]
use super::failed::failing;
use super::{Case, Stage};
use crate::actor::List;

pub(super) const CASES: &[(&str, Case)] = &[("calls-32-bit", calls_32_bit), ("seccomp-exec", seccomp_exec)];

#[cfg(target_arch = "x86_64")]
fn calls_32_bit(stage: &mut Stage) -> io::Result<()> {
    use super::checked;
    use crate::actor::{Actor, Child};
    use crate::truth::Change;

    const SETGID: usize = 46;
    const SETSID: usize = 66;
    const SETRESUID: usize = 208;

    if !std::path::Path::new("/proc/sys/abi/vsyscall32").exists() {
        return Err(super::unsupported("the kernel has no calls for 32-bit programs"));
    }
    let argv = List::new(["tried", "by int 0x80"]);
    let low = Low::new("/not/there", &["tried", "by int 0x80"])?;
    let fail = |child: &Child| {
        // Arguments in the lowest 4 GiB, where 32 bits are enough; ids.
        low.exec(child);
        for (name, nr, args) in [("setsid", SETSID, [0; 3]), ("setgid", SETGID, [1002, 0, 0])] {
            child.must(name, interrupt(nr, args) as i64);
        }
        child.must("setresuid", interrupt(SETRESUID, [1000, 1001, usize::MAX]) as i64);
    };
    let saw = |actor: &mut Actor| {
        actor.saw_failure(Some(b"/not/there"), Some(&argv))?;
        actor.life.changes.push(Change::Sid);
        actor.life.changes.push(Change::Gid { gid: 1002, egid: 1002 });
        actor.life.changes.push(Change::Uid { uid: 1000, euid: 1001 });
        expect(actor, "ENOENT")
    };
    /// A path and arguments below 4 GiB.
    struct Low(usize);

    impl Low {
        fn new(path: &str, argv: &[&str]) -> io::Result<Self> {
            let (access, kind) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
            // SAFETY: a new mapping that nothing else has.
            let at = unsafe { libc::mmap(std::ptr::null_mut(), 4096, access, kind | libc::MAP_32BIT, -1, 0) };
            checked(at.expose_provenance() as i64)?;
            let (mut pointers, mut end) = (256, 512);
            for text in [path].iter().chain(argv) {
                // SAFETY: within the page, which holds a few short strings.
                unsafe {
                    at.byte_add(end).cast::<u8>().copy_from(text.as_ptr(), text.len());
                    at.byte_add(pointers).cast::<u32>().write((at.expose_provenance() + end) as u32);
                }
                (pointers, end) = (pointers + 4, end + text.len() + 1);
            }
            Ok(Self(at.expose_provenance()))
        }

        /// execve, whose path is the first of the strings.
        fn exec(&self, child: &Child) {
            let errno = interrupt(11, [self.0 + 512, self.0 + 260, 0]);
            // SAFETY: this thread's own.
            unsafe { *libc::__errno_location() = -errno as i32 };
            child.tell_errno();
        }
    }
    failing(stage, fail, saw)
}

/// A system call by `int 0x80`, with the number and the arguments of a 32-bit program.
#[cfg(target_arch = "x86_64")]
fn interrupt(nr: usize, [a, b, c]: [usize; 3]) -> isize {
    let ret: i32;
    // SAFETY: the calls that are made here write to no memory; the compiler keeps rbx for itself.
    unsafe {
        std::arch::asm!("xchg {a}, rbx", "int 0x80", "xchg {a}, rbx", a = inout(reg) a => _, inlateout("eax") nr as i32 => ret,
            in("rcx") b, in("rdx") c, in("rsi") 0, in("rdi") 0,
            lateout("r8") _, lateout("r9") _, lateout("r10") _, lateout("r11") _, options(nostack));
    }
    ret as isize
}

#[cfg(not(target_arch = "x86_64"))]
fn calls_32_bit(_: &mut Stage) -> io::Result<()> {
    Err(super::unsupported("a 64-bit program of this architecture makes no calls of 32-bit programs"))
}

/// `execve(2)` refused by a filter, as a sandbox does it; then `execveat(2)`, which is not.
fn seccomp_exec(stage: &mut Stage) -> io::Result<()> {
    let (path, argv, env) = (stage.bin.tiny(), List::new(["tried", "to"]), List::new(["A=b"]));
    let (real, steps) = (List::new([stage.case]), List::steps(&format!("{}e0", crate::actor::HOLD)));
    let statement = |code: u32, k: u32, jt: u8| libc::sock_filter { code: code as u16, jt, jf: 0, k };
    let mut filter = [
        // The number of the call is the first word.
        statement(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0),
        libc::sock_filter {
            jf: 1,
            ..statement(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, libc::SYS_execve as u32, 0)
        },
        statement(libc::BPF_RET | libc::BPF_K, libc::SECCOMP_RET_ERRNO | libc::ENOSYS as u32, 0),
        statement(libc::BPF_RET | libc::BPF_K, libc::SECCOMP_RET_ALLOW, 0),
    ];
    let mut actor = stage.actor(|child| {
        let program = libc::sock_fprog { len: filter.len() as u16, filter: filter.as_mut_ptr() };
        // SAFETY: a program of the given length.
        child.must("seccomp", unsafe {
            libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, 0, &raw const program)
        });
        child.exec(&path, &argv, &env);
        child.exec_at(libc::AT_FDCWD, &path, &real, &steps, 0);
    })?;
    actor.go()?;
    actor.saw_failure(Some(path.as_os_str().as_encoded_bytes()), Some(&argv))?;
    expect(&actor, "ENOSYS")?;
    actor.saw_exec(&path, &real.bytes())?;
    stage.note(actor.end()?);
    Ok(())
}

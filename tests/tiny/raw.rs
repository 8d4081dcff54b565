//! System calls without a C library; shared by the tiny program and the generator.

use core::arch::asm;

/// Numbers of system calls; `asm/unistd.h`.
#[cfg(target_arch = "x86_64")]
#[allow(dead_code, missing_docs, reason = "each user takes some; the names say it")]
pub(crate) mod nr {
    pub(crate) const READ: usize = 0;
    pub(crate) const WRITE: usize = 1;
    pub(crate) const LSEEK: usize = 8;
    pub(crate) const MMAP: usize = 9;
    pub(crate) const NANOSLEEP: usize = 35;
    pub(crate) const GETPID: usize = 39;
    pub(crate) const CLONE: usize = 56;
    pub(crate) const VFORK: usize = 58;
    pub(crate) const EXECVE: usize = 59;
    pub(crate) const EXIT: usize = 60;
    pub(crate) const KILL: usize = 62;
    pub(crate) const FSYNC: usize = 74;
    pub(crate) const GETTID: usize = 186;
    pub(crate) const CLOCK_GETTIME: usize = 228;
    pub(crate) const EXIT_GROUP: usize = 231;
    pub(crate) const TGKILL: usize = 234;
}

/// Numbers of system calls; `asm-generic/unistd.h`.
#[cfg(target_arch = "aarch64")]
#[allow(dead_code, missing_docs, reason = "each user takes some; the names say it")]
pub(crate) mod nr {
    pub(crate) const LSEEK: usize = 62;
    pub(crate) const READ: usize = 63;
    pub(crate) const WRITE: usize = 64;
    pub(crate) const FSYNC: usize = 82;
    pub(crate) const EXIT: usize = 93;
    pub(crate) const EXIT_GROUP: usize = 94;
    pub(crate) const NANOSLEEP: usize = 101;
    pub(crate) const CLOCK_GETTIME: usize = 113;
    pub(crate) const KILL: usize = 129;
    pub(crate) const TGKILL: usize = 131;
    pub(crate) const GETPID: usize = 172;
    pub(crate) const GETTID: usize = 178;
    pub(crate) const CLONE: usize = 220;
    pub(crate) const EXECVE: usize = 221;
    pub(crate) const MMAP: usize = 222;
}

/// Makes a system call; the result is negative for an error number.
///
/// # Safety
/// As for the call itself.
#[inline(always)]
#[allow(dead_code, reason = "the generator has libc for it")]
pub(crate) unsafe fn syscall(nr: usize, args: [usize; 6]) -> isize {
    let [a, b, c, d, e, f] = args;
    let ret: isize;
    // SAFETY: the registers are those of the kernel's calling convention; the caller vouches for the arguments.
    #[cfg(target_arch = "x86_64")]
    unsafe {
        asm!("syscall", inlateout("rax") nr as isize => ret, in("rdi") a, in("rsi") b, in("rdx") c, in("r10") d,
             in("r8") e, in("r9") f, lateout("rcx") _, lateout("r11") _, options(nostack));
    }
    // SAFETY: as above.
    #[cfg(target_arch = "aarch64")]
    unsafe {
        asm!("svc #0", in("x8") nr, inlateout("x0") a => ret, in("x1") b, in("x2") c, in("x3") d, in("x4") e,
             in("x5") f, options(nostack));
    }
    ret
}

/// Makes a child that shares our memory, and only runs execve. `nr` is the number of clone or
/// vfork, `flags` the flags of clone.
///
/// The child uses no stack, so it cannot spoil ours; we continue once it has become the new
/// program. If execve fails the child ends with 127. The result is the child's pid, or negative for
/// an error number.
///
/// # Safety
/// `path` ends with a NUL, `argv` and `envp` with a null pointer. `flags` has CLONE_VM and
/// CLONE_VFORK.
#[inline(never)]
#[allow(dead_code, reason = "the tiny program spawns nothing")]
pub(crate) unsafe fn spawn(
    nr: usize,
    flags: usize,
    path: *const u8,
    argv: *const *const u8,
    envp: *const *const u8,
) -> isize {
    let ret: isize;
    // SAFETY: the child touches only registers, and has its own.
    #[cfg(target_arch = "x86_64")]
    unsafe {
        asm!(
            "syscall",
            "test rax, rax",
            "jnz 2f",
            "mov eax, 59",
            "mov rdi, {path}",
            "mov rsi, {argv}",
            "mov rdx, {envp}",
            "syscall",
            "mov edi, 127",
            "mov eax, 231",
            "syscall",
            "2:",
            path = in(reg) path, argv = in(reg) argv, envp = in(reg) envp,
            inout("rax") nr as isize => ret, inout("rdi") flags => _, inout("rsi") 0usize => _, inout("rdx") 0usize => _,
            inout("r10") 0usize => _, inout("r8") 0usize => _, out("rcx") _, out("r11") _,
        );
    }
    // SAFETY: as above.
    #[cfg(target_arch = "aarch64")]
    unsafe {
        asm!(
            "svc #0",
            "cbnz x0, 2f",
            "mov x8, #221",
            "mov x0, {path}",
            "mov x1, {argv}",
            "mov x2, {envp}",
            "svc #0",
            "mov x0, #127",
            "mov x8, #94",
            "svc #0",
            "2:",
            path = in(reg) path, argv = in(reg) argv, envp = in(reg) envp,
            inout("x8") nr => _, inout("x0") flags as isize => ret, inout("x1") 0usize => _, inout("x2") 0usize => _,
            inout("x3") 0usize => _, inout("x4") 0usize => _,
        );
    }
    ret
}

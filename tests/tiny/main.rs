//! The program that the generator spawns: static, without a C library, so that a spawn is as cheap as
//! possible.
//!
//! The environment variable `PS` gives its steps, so that its arguments are free for anything. Each step
//! is one letter and its numbers:
//!
//! | step | meaning |
//! |---|---|
//! | `eN` | exit_group(N) |
//! | `xN` | exit(N): of the calling thread only |
//! | `sN` | sends itself signal N |
//! | `tN` | sends its thread signal N |
//! | `f` | writes to address 0 |
//! | `nF` | writes a line with a dot to descriptor F |
//! | `gF` | writes a line with its tid to descriptor F |
//! | `rF` | reads one byte from descriptor F |
//! | `bN` | burns N ms of CPU time |
//! | `mN` | touches N MiB of fresh memory |
//! | `kN` | touches N pages of fresh memory |
//! | `wF,N` | writes N KiB to descriptor F |
//! | `lF` | seeks descriptor F to its start |
//! | `iF,N` | reads N KiB from descriptor F |
//! | `yF` | fsync of descriptor F |
//! | `zN` | sleeps N ms |
//! | `hN` | makes the system call N, without arguments |
//! | `c` | becomes the program in the first argument after its name, with the arguments from there; the steps continue in it |
//! | `p(…)` | starts a thread that takes the steps in parentheses |
//! | `o(…)` | clones a process with its own parent (CLONE_PARENT) that takes the steps in parentheses |

#![no_std]
#![no_main]

mod raw;

use raw::{nr, syscall};

#[panic_handler]
fn panic(_: &core::panic::PanicInfo) -> ! {
    exit_group(125)
}

#[cfg(target_arch = "x86_64")]
core::arch::global_asm!(".globl _start", "_start:", "xor ebp, ebp", "mov rdi, rsp", "and rsp, -16", "call {}", "ud2", sym begin);
#[cfg(target_arch = "aarch64")]
core::arch::global_asm!(".globl _start", "_start:", "mov x29, #0", "mov x0, sp", "bl {}", "brk #0", sym begin);

// The prebuilt core refers to it, though nothing here unwinds.
#[unsafe(no_mangle)]
extern "C" fn rust_eh_personality() {}

struct Program {
    argv: *const *const u8,
    envp: *mut *mut u8,
}

static mut PROGRAM: Program = Program { argv: core::ptr::null(), envp: core::ptr::null_mut() };

/// Thread flags as in every C library: VM, FS, FILES, SIGHAND, THREAD, SYSVSEM.
const THREAD_FLAGS: usize = 0x100 | 0x200 | 0x400 | 0x800 | 0x1_0000 | 0x4_0000;

extern "C" fn begin(stack: *mut usize) -> ! {
    // SAFETY: the kernel puts argc, argv, NULL, envp, NULL there.
    unsafe {
        let argc = *stack;
        PROGRAM = Program { argv: stack.add(1).cast(), envp: stack.add(argc + 2).cast() };
        let mut at = PROGRAM.envp;
        while !(*at).is_null() {
            let text = *at;
            if *text == b'P' && *text.add(1) == b'S' && *text.add(2) == b'=' {
                steps(text.add(3));
                exit_group(0);
            }
            at = at.add(1);
        }
    }
    exit_group(0)
}

extern "C" fn thread(script: *const u8) -> ! {
    // SAFETY: the script is part of the environment, which stays.
    unsafe { steps(script) };
    call(nr::EXIT, 0, 0, 0);
    exit_group(124)
}

/// # Safety
/// `at` ends with a NUL.
unsafe fn steps(mut at: *const u8) {
    loop {
        // SAFETY: never moved past the NUL.
        let step = unsafe { *at };
        if step == 0 || step == b')' {
            return;
        }
        // SAFETY: the byte was not the NUL.
        at = unsafe { at.add(1) };
        if matches!(step, b'p' | b'o') {
            // SAFETY: stays within the string.
            unsafe {
                let start = if step == b'p' { start_thread } else { start_sister };
                start(at.add(1));
                at = past_parentheses(at);
            }
            continue;
        }
        let (mut first, mut second) = (0, 0);
        // SAFETY: as above.
        unsafe {
            at = number(at, &mut first);
            if *at == b',' {
                at = number(at.add(1), &mut second);
            }
        }
        take(step, first, second, at);
    }
}

/// After the parenthesis that closes the one here.
///
/// # Safety
/// `at` ends with a NUL.
unsafe fn past_parentheses(mut at: *const u8) -> *const u8 {
    let mut depth = 0usize;
    loop {
        // SAFETY: never moved past the NUL.
        let byte = unsafe { *at };
        if byte == 0 {
            return at;
        }
        // SAFETY: the byte was not the NUL.
        at = unsafe { at.add(1) };
        match byte {
            b'(' => depth = depth.wrapping_add(1),
            b')' if depth <= 1 => return at,
            b')' => depth -= 1,
            _ => {}
        }
    }
}

fn take(step: u8, first: usize, second: usize, rest: *const u8) {
    match step {
        b'e' => exit_group(first),
        b'x' => drop(call(nr::EXIT, first, 0, 0)),
        b's' => drop(call(nr::KILL, pid(), first, 0)),
        b't' => drop(call(nr::TGKILL, pid(), tid(), first)),
        b'f' => fault(),
        b'n' => drop(call(nr::WRITE, first, c".\n".as_ptr() as usize, 2)),
        b'g' => tell_tid(first),
        b'r' => {
            let mut byte = 0u8;
            call(nr::READ, first, &raw mut byte as usize, 1);
        }
        b'b' => burn(first),
        b'm' => touch(first << 8),
        b'k' => touch(first),
        b'w' => transfer(nr::WRITE, first, second),
        b'i' => transfer(nr::READ, first, second),
        b'l' => drop(call(nr::LSEEK, first, 0, 0)),
        b'y' => drop(call(nr::FSYNC, first, 0, 0)),
        b'z' => {
            let time = [first / 1000, first % 1000 * 1_000_000];
            call(nr::NANOSLEEP, time.as_ptr() as usize, 0, 0);
        }
        b'h' => drop(call(first, 0, 0, 0)),
        b'c' => chain(rest),
        _ => exit_group(126),
    }
}

/// # Safety
/// `at` ends with a NUL.
unsafe fn number(mut at: *const u8, value: &mut usize) -> *const u8 {
    loop {
        // SAFETY: stops at the first byte that is not a digit, so at the NUL at the latest.
        let digit = unsafe { *at }.wrapping_sub(b'0');
        if digit > 9 {
            return at;
        }
        *value = value.wrapping_mul(10).wrapping_add(digit as usize);
        // SAFETY: the byte was not the NUL.
        at = unsafe { at.add(1) };
    }
}

fn fault() {
    // SAFETY: none; this is the requested fault.
    #[cfg(target_arch = "x86_64")]
    unsafe {
        core::arch::asm!("mov qword ptr [{0}], 0", in(reg) 0usize)
    };
    // SAFETY: as above.
    #[cfg(target_arch = "aarch64")]
    unsafe {
        core::arch::asm!("str xzr, [{0}]", in(reg) 0usize)
    };
}

fn pid() -> usize {
    call(nr::GETPID, 0, 0, 0) as usize
}

fn tid() -> usize {
    call(nr::GETTID, 0, 0, 0) as usize
}

fn tell_tid(descriptor: usize) {
    let text = map(4096);
    let mut rest = tid();
    let mut size = 1;
    // SAFETY: the digits are written from the 16th byte down, and there are at most ten.
    unsafe {
        text.add(16).write(b'\n');
        loop {
            text.add(16 - size).write(b'0' + (rest % 10) as u8);
            size += 1;
            rest /= 10;
            if rest == 0 {
                break;
            }
        }
        call(nr::WRITE, descriptor, text.add(17 - size) as usize, size);
    }
}

fn burn(ms: usize) {
    const CLOCK_PROCESS_CPUTIME_ID: usize = 2;
    let mut sum = 1u64;
    loop {
        let mut time = [0usize; 2];
        call(nr::CLOCK_GETTIME, CLOCK_PROCESS_CPUTIME_ID, time.as_mut_ptr() as usize, 0);
        if time[0] * 1000 + time[1] / 1_000_000 >= ms {
            return;
        }
        // Long enough that nearly all the time is spent in user mode.
        for _ in 0..100_000 {
            sum = core::hint::black_box(sum.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1));
        }
    }
}

/// Private, anonymous, readable and writable memory.
fn map(bytes: usize) -> *mut u8 {
    // SAFETY: a new mapping touches nothing else.
    unsafe { syscall(nr::MMAP, [0, bytes, 1 | 2, 2 | 0x20, usize::MAX, 0]) as *mut u8 }
}

fn touch(pages: usize) {
    let start = map(pages << 12);
    for page in 0..pages {
        // SAFETY: within the mapping.
        unsafe { start.add(page << 12).write_volatile(1) };
    }
}

fn transfer(call_nr: usize, descriptor: usize, kib: usize) {
    let buffer = map(64 << 10);
    let mut left = kib << 10;
    while left > 0 {
        let size = if left < 64 << 10 { left } else { 64 << 10 };
        let done = call(call_nr, descriptor, buffer as usize, size);
        if done <= 0 {
            exit_group(123);
        }
        left -= done as usize;
    }
}

fn chain(rest: *const u8) {
    // SAFETY: the environment is ours, and the new text is shorter than the old one.
    unsafe {
        let program = &raw const PROGRAM;
        let (argv, envp) = ((*program).argv.add(1), (*program).envp);
        let mut at = envp;
        while !(*at).is_null() {
            let text = *at;
            if *text == b'P' && *text.add(1) == b'S' && *text.add(2) == b'=' {
                let mut to = text.add(3);
                let mut from = rest;
                while *from != 0 {
                    to.write_volatile(*from);
                    to = to.add(1);
                    from = from.add(1);
                }
                to.write_volatile(0);
            }
            at = at.add(1);
        }
        call(nr::EXECVE, *argv as usize, argv as usize, envp as usize);
    }
    exit_group(122)
}

/// # Safety
/// `script` stays for good.
unsafe fn start_thread(script: *const u8) {
    const STACK: usize = 16 << 10;
    // SAFETY: the thread has a stack of its own, with its argument and its function on top.
    unsafe {
        let top = map(STACK).add(STACK - 16).cast::<usize>();
        top.write(script as usize);
        top.add(1).write(thread as *const () as usize);
        #[cfg(target_arch = "x86_64")]
        core::arch::asm!("syscall", "test rax, rax", "jnz 2f", "xor ebp, ebp", "pop rdi", "pop rax", "call rax", "ud2", "2:",
            inout("rax") nr::CLONE => _, in("rdi") THREAD_FLAGS, in("rsi") top, in("rdx") 0, in("r10") 0, in("r8") 0,
            out("rcx") _, out("r11") _);
        #[cfg(target_arch = "aarch64")]
        core::arch::asm!("svc #0", "cbnz x0, 2f", "mov x29, #0", "ldp x0, x1, [sp], #16", "blr x1", "brk #0", "2:",
            in("x8") nr::CLONE, inout("x0") THREAD_FLAGS => _, inout("x1") top => _, in("x2") 0, in("x3") 0, in("x4") 0);
    }
}

/// # Safety
/// `script` ends with a NUL.
unsafe fn start_sister(script: *const u8) {
    const CLONE_PARENT: usize = 0x8000;
    const SIGCHLD: usize = 17;
    if call(nr::CLONE, CLONE_PARENT | SIGCHLD, 0, 0) == 0 {
        // SAFETY: the caller vouches for it.
        unsafe { steps(script) };
        exit_group(0);
    }
}

#[inline(never)]
fn call(number: usize, a: usize, b: usize, c: usize) -> isize {
    // SAFETY: the steps above pass the values that each call needs.
    unsafe { syscall(number, [a, b, c, 0, 0, 0]) }
}

fn exit_group(code: usize) -> ! {
    loop {
        call(nr::EXIT_GROUP, code, 0, 0);
    }
}

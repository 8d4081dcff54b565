//! The system calls of a tracer. All except `kill` are only for the thread that seized the first
//! process.

use std::io;
use std::ptr;

use crate::Pid;

/// `linux/ptrace.h`; not in libc for every C library.
const PTRACE_SEIZE: u32 = 0x4206;
const PTRACE_INTERRUPT: u32 = 0x4207;
const PTRACE_LISTEN: u32 = 0x4208;
const PTRACE_GET_SYSCALL_INFO: u32 = 0x420e;

const OPTIONS: libc::c_int = libc::PTRACE_O_TRACESYSGOOD
    | libc::PTRACE_O_TRACEFORK
    | libc::PTRACE_O_TRACEVFORK
    | libc::PTRACE_O_TRACECLONE
    | libc::PTRACE_O_TRACEEXEC
    | libc::PTRACE_O_TRACESECCOMP;

/// How to continue.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Go {
    On,
    /// To the end of the system call.
    ToCallsEnd,
    /// Stays stopped, but hears SIGCONT.
    Listen,
    /// Not yet.
    Later,
}

fn request(request: u32, tid: Pid, address: usize, data: usize) -> io::Result<libc::c_long> {
    // SAFETY: the requests made here write at most to where `data` points, for which each caller
    // vouches.
    let result = unsafe { libc::ptrace(request as _, tid as libc::pid_t, address, data) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// Whether ptrace(2) is refused for any process: none has this pid, so the other answer is that
/// there is no such process.
pub(super) fn is_refused() -> bool {
    request(libc::PTRACE_CONT, Pid::MAX >> 1, 0, 0).is_err_and(|error| error.raw_os_error() == Some(libc::EPERM))
}

/// Seizes it, so that it stops when it ends if ENDS is set. With TO_THE_END it and all its
/// descendants end with this thread.
pub(super) fn seize(pid: Pid, ends: bool, to_the_end: bool) -> io::Result<()> {
    let ends = if ends { libc::PTRACE_O_TRACEEXIT } else { 0 };
    let kill = if to_the_end { libc::PTRACE_O_EXITKILL } else { 0 };
    request(PTRACE_SEIZE, pid, 0, (OPTIONS | ends | kill) as usize).map(|_| ())
}

/// Continues a stopped thread, with a signal. [`wait`] reports one that was killed meanwhile.
pub(super) fn go(tid: Pid, how: Go, signo: i32) {
    let how = match how {
        Go::On => libc::PTRACE_CONT,
        Go::ToCallsEnd => libc::PTRACE_SYSCALL,
        Go::Listen => PTRACE_LISTEN,
        Go::Later => return,
    };
    let _ = request(how, tid, 0, signo as usize);
}

/// Makes a running thread stop.
pub(super) fn interrupt(tid: Pid) {
    let _ = request(PTRACE_INTERRUPT, tid, 0, 0);
}

/// The number that came with an event.
pub(super) fn event_number(tid: Pid) -> Option<u64> {
    let mut message: libc::c_ulong = 0;
    request(libc::PTRACE_GETEVENTMSG, tid, 0, (&raw mut message).expose_provenance()).ok()?;
    Some(message as u64)
}

/// The same, if it is that of a thread: a new one, or the one that execed.
pub(super) fn event_message(tid: Pid) -> Option<Pid> {
    Pid::try_from(event_number(tid)?).ok()
}

/// The origin of the signal that stopped a thread.
#[derive(Clone, Copy)]
pub(super) struct SignalInfo {
    pub(super) code: i32,
    /// For a signal that a process sent this is the sender, by its number for the receiver;
    /// otherwise any number.
    pub(super) pid: Pid,
}

pub(super) fn signal_info(tid: Pid) -> Option<SignalInfo> {
    // SAFETY: plain data, for which all zeroes is a valid value.
    let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
    request(libc::PTRACE_GETSIGINFO, tid, 0, (&raw mut info).expose_provenance()).ok()?;
    // SAFETY: every value there is a number.
    let pid = unsafe { info.si_pid() };
    Some(SignalInfo { code: info.si_code, pid: pid as Pid })
}

/// The call from which a thread comes that stopped for a signal.
#[derive(Clone, Copy)]
pub(super) struct Interrupted {
    /// It was kill(2).
    pub(super) is_kill: bool,
    pub(super) result: i32,
}

/// `None` if it does not come from a call.
#[cfg(target_arch = "x86_64")]
pub(super) fn interrupted(tid: Pid) -> Option<Interrupted> {
    const USER_CODE_32: u64 = 0x23;
    // SAFETY: plain data, for which all zeroes is a valid value.
    let mut registers: libc::user_regs_struct = unsafe { std::mem::zeroed() };
    request(libc::PTRACE_GETREGS, tid, 0, (&raw mut registers).expose_provenance()).ok()?;
    let number = u32::try_from(registers.orig_rax).ok()?;
    let kill = if registers.cs == USER_CODE_32 { 37 } else { libc::SYS_kill as u32 };
    // x32 programs put a mark on their numbers.
    Some(Interrupted { is_kill: number & !0x4000_0000 == kill, result: registers.rax as i32 })
}

/// That machine's kernel has forgotten the call by then.
#[cfg(not(target_arch = "x86_64"))]
pub(super) fn interrupted(_: Pid) -> Option<Interrupted> {
    None
}

/// `struct ptrace_syscall_info`, as far as it is needed.
#[repr(C)]
#[derive(Default)]
struct Info {
    op: u8,
    pad: [u8; 3],
    arch: u32,
    instruction: u64,
    stack: u64,
    /// For the entry: number and arguments; for the exit: the result.
    values: [u64; 8],
}

/// An unfinished system call.
#[derive(Clone, Copy, Debug)]
pub(super) struct Call {
    pub(super) arch: u32,
    pub(super) nr: u32,
    pub(super) args: [u64; 6],
}

fn info(tid: Pid) -> Option<Info> {
    let mut info = Info::default();
    request(PTRACE_GET_SYSCALL_INFO, tid, size_of::<Info>(), (&raw mut info).expose_provenance()).ok()?;
    Some(info)
}

/// The call at whose beginning it stopped: for the filter, or for each call.
pub(super) fn call(tid: Pid) -> Option<Call> {
    let info = info(tid).filter(|info| matches!(info.op, 1 | 3))?;
    let mut args = [0; 6];
    args.copy_from_slice(&info.values[1..7]);
    Some(Call { arch: info.arch, nr: info.values[0] as u32, args })
}

/// The number of the registers of a machine, `linux/elf.h`.
#[cfg(target_arch = "aarch64")]
const NT_PRSTATUS: usize = 1;
#[cfg(target_arch = "aarch64")]
const NT_ARM_SYSTEM_CALL: usize = 0x404;

/// Sets the first argument of the call at whose beginning it is stopped.
#[cfg(target_arch = "x86_64")]
pub(super) fn set_first_argument(tid: Pid, call: &Call, value: u64) {
    let wide = call.arch == crate::launch::filter::CALLS[0].arch;
    let offset = if wide {
        std::mem::offset_of!(libc::user_regs_struct, rdi)
    } else {
        std::mem::offset_of!(libc::user_regs_struct, rbx)
    };
    let _ = request(libc::PTRACE_POKEUSER, tid, offset, value as usize);
}

#[cfg(target_arch = "aarch64")]
pub(super) fn set_first_argument(tid: Pid, _: &Call, value: u64) {
    // SAFETY: plain data, for which all zeroes is a valid value.
    let mut registers: libc::user_regs_struct = unsafe { std::mem::zeroed() };
    let mut room = libc::iovec { iov_base: (&raw mut registers).cast(), iov_len: size_of_val(&registers) };
    if request(libc::PTRACE_GETREGSET, tid, NT_PRSTATUS, (&raw mut room).expose_provenance()).is_ok() {
        registers.regs[0] = value;
        room.iov_base = (&raw mut registers).cast();
        let _ = request(libc::PTRACE_SETREGSET, tid, NT_PRSTATUS, (&raw mut room).expose_provenance());
    }
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
pub(super) fn set_first_argument(_: Pid, _: &Call, _: u64) {}

/// Makes the call at whose beginning it is stopped fail with ENOSYS, as the kernel does without a
/// tracer: `seccomp(2)`.
#[cfg(target_arch = "x86_64")]
pub(super) fn refuse(tid: Pid, _: &Call) {
    // The result is already there: `arch/x86/entry/entry_64.S`.
    let offset = std::mem::offset_of!(libc::user_regs_struct, orig_rax);
    let _ = request(libc::PTRACE_POKEUSER, tid, offset, usize::MAX);
}

#[cfg(target_arch = "aarch64")]
pub(super) fn refuse(tid: Pid, call: &Call) {
    let mut none: libc::c_int = -1;
    let mut room = libc::iovec { iov_base: (&raw mut none).cast(), iov_len: size_of_val(&none) };
    if request(libc::PTRACE_SETREGSET, tid, NT_ARM_SYSTEM_CALL, (&raw mut room).expose_provenance()).is_ok() {
        set_first_argument(tid, call, i64::from(-libc::ENOSYS) as u64);
    }
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
pub(super) fn refuse(_: Pid, _: &Call) {}

/// Writes a word into the memory of a stopped thread, even if that is read-only.
pub(super) fn write_word(tid: Pid, address: u64, word: u64) {
    let _ = request(libc::PTRACE_POKEDATA, tid, address as usize, word as usize);
}

/// The result of the call at whose end it stopped.
pub(super) fn result(tid: Pid) -> Option<i64> {
    info(tid).filter(|info| info.op == 2).map(|info| info.values[0] as i64)
}

/// Something happened to a thread.
pub(super) struct Waited {
    pub(super) tid: Pid,
    pub(super) status: i32,
    pub(super) usage: libc::rusage,
}

/// Waits for any thread that this one traces; `None` when there is none.
pub(super) fn wait() -> Option<Waited> {
    // Others of this process may have their own children.
    const FLAGS: i32 = libc::__WALL | libc::__WNOTHREAD;
    loop {
        // SAFETY: plain data, for which all zeroes is a valid value.
        let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
        let mut status = 0;
        // SAFETY: the kernel fills both.
        let tid = unsafe { libc::wait4(-1, &raw mut status, FLAGS, &raw mut usage) };
        if tid > 0 {
            return Some(Waited { tid: tid as Pid, status, usage });
        }
        if io::Error::last_os_error().raw_os_error() != Some(libc::EINTR) {
            return None;
        }
    }
}

/// Ends a process.
pub(super) fn kill(pid: Pid) {
    // SAFETY: no memory is involved.
    unsafe { libc::kill(pid as libc::pid_t, libc::SIGKILL) };
}

/// Reads memory of a stopped process; returns how much could be read from there on.
pub(super) fn read_memory(tid: Pid, address: u64, into: &mut [u8]) -> usize {
    let local = libc::iovec { iov_base: into.as_mut_ptr().cast(), iov_len: into.len() };
    let remote = libc::iovec { iov_base: ptr::without_provenance_mut(address as usize), iov_len: into.len() };
    // SAFETY: one range each; ours is writable and as long as given.
    let read = unsafe { libc::process_vm_readv(tid as libc::pid_t, &raw const local, 1, &raw const remote, 1, 0) };
    usize::try_from(read).unwrap_or(0)
}

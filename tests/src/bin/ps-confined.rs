//! Runs a command with system calls filtered as container engines do by default: `bpf`,
//! `perf_event_open`, `ptrace` and netlink sockets are refused with EPERM.

#[cfg(target_os = "linux")]
fn main() {
    use std::os::unix::process::CommandExt as _;

    let mut words = std::env::args_os().skip(1);
    let Some(program) = words.next() else {
        eprintln!("ps-confined: type: ps-confined CMD ARG…");
        std::process::exit(2);
    };
    if let Err(error) = confine() {
        eprintln!("ps-confined: seccomp: {error}");
        std::process::exit(1);
    }
    let error = std::process::Command::new(&program).args(words).exec();
    eprintln!("ps-confined: {}: {error}", program.display());
    std::process::exit(1);
}

#[cfg(target_os = "linux")]
fn confine() -> std::io::Result<()> {
    /// Offsets in `struct seccomp_data`: the call's number, and the low half of its first argument.
    const NR: u32 = 0;
    const FIRST: u32 = if cfg!(target_endian = "little") { 16 } else { 20 };
    let load =
        |at: u32| libc::sock_filter { code: (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16, jt: 0, jf: 0, k: at };
    let give = |k: u32| libc::sock_filter { code: (libc::BPF_RET | libc::BPF_K) as u16, jt: 0, jf: 0, k };
    let equal =
        |k: u32, jt, jf| libc::sock_filter { code: (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16, jt, jf, k };
    let number = |call: libc::c_long| u32::try_from(call).unwrap_or(u32::MAX);
    let program = [
        load(NR),
        equal(number(libc::SYS_bpf), 6, 0),
        equal(number(libc::SYS_perf_event_open), 5, 0),
        equal(number(libc::SYS_ptrace), 4, 0),
        equal(number(libc::SYS_socket), 0, 2),
        load(FIRST),
        equal(libc::AF_NETLINK as u32, 1, 0),
        give(libc::SECCOMP_RET_ALLOW),
        give(libc::SECCOMP_RET_ERRNO | libc::EPERM as u32),
    ];
    let filter = libc::sock_fprog { len: program.len() as u16, filter: program.as_ptr().cast_mut() };
    // SAFETY: plain numbers, and a program of the given length.
    let done = unsafe {
        libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
            && libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const filter) == 0
    };
    if done { Ok(()) } else { Err(std::io::Error::last_os_error()) }
}

#[cfg(not(target_os = "linux"))]
fn main() {
    eprintln!("ps-confined: seccomp is Linux's");
    std::process::exit(2);
}

/// Linux signals 1 to 31 by number: `signal(7)`, the x86, arm64 and riscv column.
const NAMES: [&str; 31] = [
    "SIGHUP",
    "SIGINT",
    "SIGQUIT",
    "SIGILL",
    "SIGTRAP",
    "SIGABRT",
    "SIGBUS",
    "SIGFPE",
    "SIGKILL",
    "SIGUSR1",
    "SIGSEGV",
    "SIGUSR2",
    "SIGPIPE",
    "SIGALRM",
    "SIGTERM",
    "SIGSTKFLT",
    "SIGCHLD",
    "SIGCONT",
    "SIGSTOP",
    "SIGTSTP",
    "SIGTTIN",
    "SIGTTOU",
    "SIGURG",
    "SIGXCPU",
    "SIGXFSZ",
    "SIGVTALRM",
    "SIGPROF",
    "SIGWINCH",
    "SIGIO",
    "SIGPWR",
    "SIGSYS",
];

/// The first real-time signal that the C library leaves to programs: `SIGRTMIN` of glibc.
const SIGRTMIN: u8 = 34;

/// The name of a Linux signal: `SIGKILL`, `SIGRTMIN+2`; a number without a name as `SIG32`.
pub fn signal_name(signo: u8) -> std::borrow::Cow<'static, str> {
    match signo {
        1..=31 => NAMES[usize::from(signo) - 1].into(),
        SIGRTMIN => "SIGRTMIN".into(),
        35..=64 => format!("SIGRTMIN+{}", signo - SIGRTMIN).into(),
        _ => format!("SIG{signo}").into(),
    }
}

/// The number of a name that [`signal_name`] gives, with or without `SIG`.
pub fn signal_number(name: &str) -> Option<u8> {
    let name = name.strip_prefix("SIG").unwrap_or(name);
    (1..=64).find(|&signo| signal_name(signo).strip_prefix("SIG") == Some(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers() {
        for (signo, name) in
            [(9, "SIGKILL"), (11, "SIGSEGV"), (31, "SIGSYS"), (34, "SIGRTMIN"), (64, "SIGRTMIN+30"), (32, "SIG32")]
        {
            assert_eq!(signal_name(signo), name);
            assert_eq!(signal_number(name), Some(signo));
        }
        assert_eq!(signal_number("KILL"), Some(9));
        assert_eq!(signal_number("NOPE"), None);
        assert_eq!(signal_name(255), "SIG255");
    }
}

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

/// The number of a name from [`signal_name`], with or without `SIG`.
pub fn signal_number(name: &str) -> Option<u8> {
    let name = name.strip_prefix("SIG").unwrap_or(name);
    let signo = match NAMES.iter().zip(1..).find(|(known, _)| known.strip_prefix("SIG") == Some(name)) {
        Some((_, signo)) => signo,
        None if name == "RTMIN" => SIGRTMIN,
        None => match name.strip_prefix("RTMIN+") {
            Some(more) => SIGRTMIN.checked_add(more.parse().ok()?)?,
            None => name.parse().ok()?,
        },
    };
    // Each has one name.
    (signo > 0 && signal_name(signo).strip_prefix("SIG") == Some(name)).then_some(signo)
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
        for signo in 1..=u8::MAX {
            assert_eq!(signal_number(&signal_name(signo)), Some(signo));
        }
        for other in ["", "0", "9", "SIG09", "RTMIN+0", "RTMIN+31", "RTMIN+250", "SIG256", "+32"] {
            assert_eq!(signal_number(other), None, "{other}");
        }
    }
}

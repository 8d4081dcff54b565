/// How a process ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum ExitStatus {
    /// It ended by itself with this code.
    Code(u32),
    /// A signal ended it.
    Signal {
        /// The signal's number.
        signo: u8,
        /// True where the kernel wrote a core dump.
        core: bool,
    },
    /// The source does not report it.
    Unknown,
}

impl ExitStatus {
    /// Decodes a wait status: `wait(2)`, `include/uapi/asm-generic/wait.h`.
    pub fn from_wait_status(status: u32) -> Self {
        match (status & 0x7f) as u8 {
            0 => Self::Code(status >> 8 & 0xff),
            signo => Self::Signal { signo, core: status & 0x80 != 0 },
        }
    }

    /// True only for exit code 0.
    pub fn is_success(self) -> bool {
        self == Self::Code(0)
    }
}

/// What a process used over its whole life, with all its threads. `None` is unknown, never zero.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct Usage {
    /// CPU time in user mode, ns.
    pub user_ns: Option<u64>,
    /// CPU time in the kernel, ns.
    pub system_ns: Option<u64>,
    /// The largest resident set, bytes (`signal->maxrss`, as in `getrusage(2)`).
    pub max_rss_bytes: Option<u64>,
    /// Bytes fetched from storage (`read_bytes` of `/proc/PID/io`).
    pub read_bytes: Option<u64>,
    /// Bytes sent to storage (`write_bytes` of `/proc/PID/io`).
    pub write_bytes: Option<u64>,
    /// Bytes that read calls returned (`rchar` of `/proc/PID/io`).
    pub rchar: Option<u64>,
    /// Bytes that write calls accepted (`wchar` of `/proc/PID/io`).
    pub wchar: Option<u64>,
    /// Voluntary context switches.
    pub nvcsw: Option<u64>,
    /// Involuntary context switches.
    pub nivcsw: Option<u64>,
    /// Page faults without I/O.
    pub minflt: Option<u64>,
    /// Page faults with I/O.
    pub majflt: Option<u64>,
}

impl Usage {
    /// The CPU time in both modes, ns; unknown if either is.
    pub fn cpu_ns(&self) -> Option<u64> {
        self.user_ns?.checked_add(self.system_ns?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wait_status() {
        assert_eq!(ExitStatus::from_wait_status(0), ExitStatus::Code(0));
        assert_eq!(ExitStatus::from_wait_status(0x0300), ExitStatus::Code(3));
        assert_eq!(ExitStatus::from_wait_status(9), ExitStatus::Signal { signo: 9, core: false });
        assert_eq!(ExitStatus::from_wait_status(0x8b), ExitStatus::Signal { signo: 11, core: true });
    }
}

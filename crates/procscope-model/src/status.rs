use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use crate::{UnknownWord, signal_name, signal_number};

/// How a process ended.
///
/// ```
/// use procscope_model::ExitStatus;
///
/// let status: ExitStatus = "SIGSEGV core".parse()?;
/// assert_eq!(status, ExitStatus::Signal { signo: 11, core: true });
/// assert_eq!(ExitStatus::Code(3).to_string(), "exit 3");
/// # Ok::<(), procscope_model::UnknownWord>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "kebab-case"))]
#[non_exhaustive]
pub enum ExitStatus {
    /// It ended by itself with this code: 8 bits on Unix, all 32 on Windows, where a crash is an
    /// NTSTATUS such as 0xC0000005.
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

    /// True for a code that is an NTSTATUS of a warning or an error (`ntstatus.h`), which people know in
    /// hexadecimal. No code of Unix is one.
    pub fn is_nt_status(self) -> bool {
        matches!(self, Self::Code(0x8000_0000..))
    }

    /// True only for exit code 0.
    pub fn is_success(self) -> bool {
        self == Self::Code(0)
    }
}

impl fmt::Display for ExitStatus {
    /// `exit 3`, `SIGKILL`, `SIGSEGV core`, or `unknown`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Code(code) => f.pad(&format!("exit {code}")),
            Self::Signal { signo, core: false } => f.pad(&signal_name(signo)),
            Self::Signal { signo, core: true } => f.pad(&format!("{} core", signal_name(signo))),
            Self::Unknown => f.pad("unknown"),
        }
    }
}

impl FromStr for ExitStatus {
    type Err = UnknownWord;

    /// Reads what `Display` writes.
    fn from_str(text: &str) -> Result<Self, UnknownWord> {
        let unknown = || UnknownWord { what: "exit status", word: text.to_owned() };
        if text == "unknown" {
            return Ok(Self::Unknown);
        }
        if let Some(code) = text.strip_prefix("exit ") {
            let digits = code.bytes().all(|byte| byte.is_ascii_digit());
            return code.parse().ok().filter(|_| digits).map(Self::Code).ok_or_else(unknown);
        }
        let (name, core) = text.strip_suffix(" core").map_or((text, false), |name| (name, true));
        let signo = signal_number(name).filter(|_| name.starts_with("SIG"));
        signo.map(|signo| Self::Signal { signo, core }).ok_or_else(unknown)
    }
}

/// What a process used over its whole life, with all its threads. `None` is unknown, never zero.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
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

    /// The CPU time in user mode.
    pub fn user_time(&self) -> Option<Duration> {
        self.user_ns.map(Duration::from_nanos)
    }

    /// The CPU time in the kernel.
    pub fn system_time(&self) -> Option<Duration> {
        self.system_ns.map(Duration::from_nanos)
    }

    /// The CPU time in both modes; unknown if one is.
    pub fn cpu_time(&self) -> Option<Duration> {
        self.cpu_ns().map(Duration::from_nanos)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        #[test]
        fn any_status_is_read_again(code: u32, signo in 1u8.., core: bool) {
            for status in [ExitStatus::Code(code), ExitStatus::Signal { signo, core }, ExitStatus::Unknown] {
                proptest::prop_assert_eq!(status.to_string().parse(), Ok(status));
            }
        }
    }

    #[test]
    fn words_of_a_status() {
        assert_eq!(ExitStatus::Code(3).to_string(), "exit 3");
        assert_eq!(ExitStatus::Signal { signo: 11, core: true }.to_string(), "SIGSEGV core");
        for other in ["", "exit", "exit +1", "exit -1", "KILL", "core", "SIGNOPE", "SIGKILL  core"] {
            assert!(other.parse::<ExitStatus>().is_err(), "{other}");
        }
    }

    #[test]
    fn wait_status() {
        assert_eq!(ExitStatus::from_wait_status(0), ExitStatus::Code(0));
        assert_eq!(ExitStatus::from_wait_status(0x0300), ExitStatus::Code(3));
        assert_eq!(ExitStatus::from_wait_status(9), ExitStatus::Signal { signo: 9, core: false });
        assert_eq!(ExitStatus::from_wait_status(0x8b), ExitStatus::Signal { signo: 11, core: true });
    }
}

use std::fmt;
use std::str::FromStr;

/// A process id: on Linux the tgid in the initial pid namespace; on Windows the 32-bit id.
pub type Pid = u32;

/// The id of one boot: `/proc/sys/kernel/random/boot_id` on Linux.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct BootId(pub [u8; 16]);

/// The text was not 32 hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ParseBootIdError;

impl fmt::Display for ParseBootIdError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a boot id has 32 hexadecimal digits")
    }
}

impl std::error::Error for ParseBootIdError {}

impl FromStr for BootId {
    type Err = ParseBootIdError;

    /// Reads the kernel's form, with or without dashes.
    fn from_str(text: &str) -> Result<Self, ParseBootIdError> {
        let mut id = [0u8; 16];
        let mut digits = 0;
        for c in text.trim().chars().filter(|&c| c != '-') {
            let digit = c.to_digit(16).ok_or(ParseBootIdError)? as u8;
            *id.get_mut(digits / 2).ok_or(ParseBootIdError)? |= digit << (4 * (1 - digits % 2));
            digits += 1;
        }
        if digits == 32 { Ok(Self(id)) } else { Err(ParseBootIdError) }
    }
}

impl fmt::Debug for BootId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// When a process started, in the system's own clock ticks since boot, rounded down.
///
/// On Linux field 22 of `/proc/PID/stat`, in hundredths of a second (USER_HZ); every Linux source
/// gives the same number.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct StartTime(pub u64);

/// USER_HZ is 100 on every supported architecture.
const TICK_NS: u64 = 10_000_000;

impl StartTime {
    /// Rounds nanoseconds since boot (CLOCK_BOOTTIME) down to ticks, as `nsec_to_clock_t` in
    /// `kernel/time/time.c` does.
    pub fn from_boot_ns(ns: u64) -> Self {
        Self(ns / TICK_NS)
    }

    /// The tick's beginning, nanoseconds since boot.
    pub fn boot_ns(self) -> u64 {
        self.0.saturating_mul(TICK_NS)
    }
}

/// Identifies one process among all of a boot, however often its pid is used again. The exception
/// is a pid used again within the clock tick in which the process started: the later process then
/// has the flaw [`Flaw::Repeated`](crate::Flaw::Repeated).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct ProcessId {
    /// The process id.
    pub pid: Pid,
    /// When it started; `None` if the source does not know it.
    pub start: Option<StartTime>,
}

impl ProcessId {
    /// The printed form: the first 8 digits of the boot id, the pid and the start, joined by
    /// dashes; `?` for an unknown start.
    pub fn display(self, boot: BootId) -> impl fmt::Display {
        fmt::from_fn(move |f| {
            let [a, b, c, d, ..] = boot.0;
            write!(f, "{a:02x}{b:02x}{c:02x}{d:02x}-{}-", self.pid)?;
            match self.start {
                Some(start) => write!(f, "{}", start.0),
                None => f.write_str("?"),
            }
        })
    }
}

/// A mechanism by which a system reports its processes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum SourceId {
    /// Linux: BPF programs on the kernel's tracepoints.
    Ebpf,
    /// Linux: ptrace(2) of a command and its descendants, without any privilege.
    Ptrace,
    /// Linux: the netlink process connector (CONFIG_PROC_EVENTS), with look-ups in /proc.
    ProcessConnector,
    /// Linux: ftrace through tracefs, in an instance of our own, with kprobes if the kernel has
    /// them.
    Tracefs,
    /// Linux: /proc, read again and again; needs nothing else.
    ProcPoll,
}

impl SourceId {
    /// Every mechanism that procscope knows, on any system.
    pub const ALL: [Self; 5] = [Self::Ebpf, Self::Ptrace, Self::ProcessConnector, Self::Tracefs, Self::ProcPoll];

    /// The name that `--source` and JSON's `source` use.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ebpf => "ebpf",
            Self::Ptrace => "ptrace",
            Self::ProcessConnector => "process-connector",
            Self::Tracefs => "tracefs",
            Self::ProcPoll => "proc-poll",
        }
    }
}

crate::flaw::named!(SourceId, "mechanism");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn boot_id_reads_the_kernels_form() {
        let id: BootId = "1b4e28ba-2fa1-11d2-883f-0016d3cca427\n".parse().unwrap();
        assert_eq!(format!("{id:?}"), "1b4e28ba2fa111d2883f0016d3cca427");
        let process = ProcessId { pid: 7, start: Some(StartTime::from_boot_ns(12_345_678_901)) };
        assert_eq!(process.display(id).to_string(), "1b4e28ba-7-1234");
        assert_eq!(ProcessId { start: None, ..process }.display(id).to_string(), "1b4e28ba-7-?");
    }

    #[test]
    fn boot_id_refuses_other_lengths_and_letters() {
        for bad in ["", "1b4e28ba", "1b4e28ba-2fa1-11d2-883f-0016d3cca42z", "1b4e28ba-2fa1-11d2-883f-0016d3cca4271"] {
            assert_eq!(bad.parse::<BootId>(), Err(ParseBootIdError), "{bad:?}");
        }
    }
}

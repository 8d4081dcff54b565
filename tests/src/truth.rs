//! The truth: one JSON line for the run, then one for each process.

use std::io::{self, BufRead, Write};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A byte string, base64 in JSON.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Bytes(pub Vec<u8>);

impl std::fmt::Debug for Bytes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        const SHOWN: usize = 200;
        let shown = &self.0[..self.0.len().min(SHOWN)];
        write!(f, "\"{}\"", shown.escape_ascii())?;
        if self.0.len() > SHOWN { write!(f, "… ({} bytes)", self.0.len()) } else { Ok(()) }
    }
}

impl<T: AsRef<[u8]>> From<T> for Bytes {
    fn from(bytes: T) -> Self {
        Self(bytes.as_ref().to_vec())
    }
}

impl Serialize for Bytes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        STANDARD.decode(text).map(Self).map_err(serde::de::Error::custom)
    }
}

/// A line of a truth file.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "t", rename_all = "kebab-case")]
pub enum Line {
    /// The first line.
    Run(Run),
    /// A process.
    Life(Box<Life>),
    /// A case that could not be made here, or whose maker failed.
    Skipped {
        /// The case.
        case: String,
        /// Why.
        why: String,
        /// True if that is a fault of the generator, not a limit of the machine.
        fault: bool,
    },
}

/// The whole run.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Run {
    /// `storm`, or `odd` and its case.
    pub what: String,
    /// The generator's own pid.
    pub pid: u32,
    /// The seed of the arguments.
    #[serde(default)]
    pub seed: u64,
    /// From the release of the spawners to the end of the last one, seconds.
    #[serde(default)]
    pub wall_s: f64,
    /// CLOCK_REALTIME less CLOCK_BOOTTIME, ns.
    #[serde(default)]
    pub realtime_offset_ns: i64,
    /// The CPU time in which this machine returns a MiB of memory, ns; 0 if it was not measured.
    #[serde(default)]
    pub free_mib_ns: u64,
    /// The command line of the generator and of its spawners.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub argv: Vec<Bytes>,
}

/// From its fork to its end, one process.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Life {
    /// The case that it belongs to.
    pub case: String,
    /// Its pid in the generator's pid namespace.
    pub pid: u32,
    /// Field 22 of `/proc/PID/stat`, if it could be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start_ticks: Option<u64>,
    /// CLOCK_BOOTTIME right before and right after its start, ns.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub born_ns: Option<(u64, u64)>,
    /// CLOCK_BOOTTIME before and after its end, ns.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub died_ns: Option<(u64, u64)>,
    /// How it began; absent if it was already running.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fork: Option<Fork>,
    /// Its threads except the first, as far as they are known.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub threads: Vec<Thread>,
    /// The programs that it became, in order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub execs: Vec<Exec>,
    /// Its failed execs, in order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub failed: Vec<FailedExec>,
    /// Its other events, in order within each kind.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub changes: Vec<Change>,
    /// How it ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exit: Option<Exit>,
    /// In place of the arguments of its only exec: their line in the plan.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub planned: Option<Planned>,
}

/// Arguments that can be made again from the seed.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Planned {
    /// Which spawner.
    pub spawner: u32,
    /// Its number there.
    pub index: u32,
}

/// A fork.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Fork {
    /// `fork`, `vfork`, `clone` or `clone3`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub call: Option<String>,
    /// The flags without the exit signal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub flags: Option<u64>,
    /// The parent.
    pub ppid: u32,
    /// The parent's comm.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parent_name: Option<Bytes>,
    /// The pid inside the innermost namespace.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ns_pid: Option<u32>,
}

/// A thread that is not the first.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Thread {
    /// Its tid.
    pub tid: u32,
    /// `clone` or `clone3`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub call: Option<String>,
}

/// A program that a process became. An absent value is not checked.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Exec {
    /// The path as called.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<Bytes>,
    /// The file, resolved; for a script, its interpreter.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exe: Option<Bytes>,
    /// The interpreter in the script.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interpreter: Option<Bytes>,
    /// The received arguments. Empty if `planned` gives them.
    pub argv: Vec<Bytes>,
    /// The environment; compared if it was requested.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub env: Option<Vec<Bytes>>,
    /// The working directory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cwd: Option<Bytes>,
    /// The tid that called exec, if it is not the pid.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub old_tid: Option<u32>,
    /// The comm before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub old_name: Option<Bytes>,
    /// The comm after.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<Bytes>,
    /// Real user, effective user, real group, effective group; numbers of the initial namespace.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ids: Option<[u32; 4]>,
    /// Session.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sid: Option<u32>,
    /// Process group.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pgid: Option<u32>,
    /// The parent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ppid: Option<u32>,
    /// The parent's comm.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parent_name: Option<Bytes>,
    /// The controlling terminal, such as `pts/3`; empty if there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tty: Option<String>,
    /// The cgroup's path.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cgroup: Option<String>,
    /// The container in the cgroup's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub container: Option<String>,
    /// The systemd unit in the cgroup's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unit: Option<String>,
    /// The pid inside the innermost namespace.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ns_pid: Option<u32>,
    /// Inode numbers by name, as in `/proc/PID/ns`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespaces: Option<std::collections::BTreeMap<String, u64>>,
    /// The special properties of the file: `memfd`, `deleted`, `setuid`, `setgid`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub traits: Option<Vec<String>>,
}

/// A refused exec.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct FailedExec {
    /// The error's name.
    pub errno: String,
    /// The path as called; absent if it cannot be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<Bytes>,
    /// The arguments tried; absent if they cannot be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub argv: Option<Vec<Bytes>>,
}

/// Any other event.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Change {
    /// A thread's comm.
    Comm {
        /// Which thread.
        tid: u32,
        /// Before.
        old: Bytes,
        /// After.
        new: Bytes,
    },
    /// User ids, as they are afterwards.
    Uid {
        /// The real one.
        uid: u32,
        /// The effective one.
        euid: u32,
    },
    /// Group ids, as they are afterwards.
    Gid {
        /// The real one.
        gid: u32,
        /// The effective one.
        egid: u32,
    },
    /// A new session.
    Sid,
    /// A debugger attached.
    PtraceAttach {
        /// The debugger.
        tracer: u32,
    },
    /// A debugger detached.
    PtraceDetach {
        /// The debugger.
        tracer: u32,
    },
    /// A core dump.
    Core {
        /// The signal's name.
        signal: String,
    },
    /// A thread ended while others of its process lived on.
    ThreadExit {
        /// Its identity.
        tid: u32,
        /// Its own code, if it ended by itself.
        code: Option<u32>,
    },
}

/// An end.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Exit {
    /// The exit code.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<u32>,
    /// The name of the signal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signal: Option<String>,
    /// A core was written.
    pub core: bool,
    /// Killed because memory ran out.
    pub oom: bool,
    /// The sender of the signal; `Some(None)` if it was the kernel. An absent value is not checked.
    #[serde(skip_serializing_if = "Option::is_none", with = "serde_option_option")]
    pub killer: Option<Option<Killer>>,
    /// The parent at the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ppid: Option<u32>,
    /// Its resources.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub usage: Option<Usage>,
}

/// The sender of a signal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Killer {
    /// Its pid.
    pub pid: u32,
    /// Its comm.
    pub name: Bytes,
}

/// From `wait4(2)` and `/proc/PID/io`.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Usage {
    /// CPU time in user mode, microseconds.
    pub user_us: u64,
    /// CPU time in the kernel, microseconds.
    pub system_us: u64,
    /// The largest resident set, KiB.
    pub max_rss_kib: u64,
    /// Voluntary context switches; the very last one may come late.
    pub nvcsw: u64,
    /// Involuntary context switches.
    pub nivcsw: u64,
    /// `rchar`, `wchar`, `read_bytes`, `write_bytes`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub io: Option<[u64; 4]>,
}

mod serde_option_option {
    //! Distinguishes null from absent.
    use super::*;

    pub(super) fn serialize<S: Serializer>(value: &Option<Option<Killer>>, serializer: S) -> Result<S::Ok, S::Error> {
        value.as_ref().and_then(Option::as_ref).serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Option<Killer>>, D::Error> {
        Option::deserialize(deserializer).map(Some)
    }
}

/// Writes a truth file.
///
/// # Errors
/// Those of the writer.
pub fn write(out: &mut impl Write, lines: impl IntoIterator<Item = Line>) -> io::Result<()> {
    for line in lines {
        serde_json::to_writer(&mut *out, &line)?;
        out.write_all(b"\n")?;
    }
    out.flush()
}

/// Reads a truth file.
///
/// # Errors
/// Those of the reader, and lines that are not in its form.
pub fn read(input: impl BufRead) -> io::Result<Vec<Line>> {
    input.lines().map(|line| Ok(serde_json::from_str(&line?)?)).collect()
}

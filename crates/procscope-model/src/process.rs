use std::sync::Arc;

use crate::{Argv, Flaws, Name, Pid, ProcessId};

/// Another process, as far as an event names it: a parent, or the sender of a signal.
#[derive(Clone, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct ProcessRef {
    /// Its identity.
    pub id: ProcessId,
    /// Its comm at that moment.
    pub name: Option<Name>,
}

impl ProcessRef {
    /// Another process, by its identity and its name at that moment.
    pub fn new(id: ProcessId, name: Option<Name>) -> Self {
        Self { id, name }
    }
}

/// The user who logged in, whatever users the process became since: `/proc/PID/loginuid` and
/// `sessionid`, `CONFIG_AUDIT`.
#[derive(Clone, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct Login {
    /// The user id set at login.
    pub uid: u32,
    /// The name of `uid`; `None` if the user database has none.
    pub user: Option<Arc<str>>,
    /// The audit session, a new number for each login.
    pub session: Option<u32>,
}

impl Login {
    /// A login as this user, of which no more is known.
    pub fn new(uid: u32) -> Self {
        Self { uid, user: None, session: None }
    }
}

/// The users and groups as which a process acts. Numbers are those of the initial user namespace.
#[derive(Clone, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct Credentials {
    /// Real user id.
    pub uid: u32,
    /// Effective user id.
    pub euid: u32,
    /// Real group id.
    pub gid: u32,
    /// Effective group id.
    pub egid: u32,
    /// The name of `uid`; `None` if the user database has none.
    pub user: Option<Arc<str>>,
    /// The name of `euid`.
    pub euser: Option<Arc<str>>,
    /// The name of `gid`.
    pub group: Option<Arc<str>>,
    /// The name of `egid`.
    pub egroup: Option<Arc<str>>,
    /// The user who logged in; `None` if nobody did, as for services.
    pub login: Option<Login>,
}

impl Credentials {
    /// Real and effective ids, without any names.
    pub fn new([uid, euid]: [u32; 2], [gid, egid]: [u32; 2]) -> Self {
        Self { uid, euid, gid, egid, user: None, euser: None, group: None, egroup: None, login: None }
    }
}

/// The controlling terminal, by its device number: `makedev(3)`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Tty {
    /// Major number.
    pub major: u32,
    /// Minor number.
    pub minor: u32,
}

impl std::fmt::Display for Tty {
    /// The name under `/dev`, as `ps(1)` prints it: `Documentation/admin-guide/devices.txt`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { major, minor } = *self;
        match major {
            4 if minor < 64 => write!(f, "tty{minor}"),
            4 => write!(f, "ttyS{}", minor - 64),
            5 if minor == 1 => f.write_str("console"),
            136..=143 => write!(f, "pts/{}", u64::from(major - 136) * 256 + u64::from(minor)),
            188 => write!(f, "ttyUSB{minor}"),
            204 if (64..68).contains(&minor) => write!(f, "ttyAMA{}", minor - 64),
            229 => write!(f, "hvc{minor}"),
            _ => write!(f, "{major}:{minor}"),
        }
    }
}

/// The text is not a terminal's name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ParseTtyError;

impl std::fmt::Display for ParseTtyError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a terminal is named as under /dev, as pts/3, or by its numbers, as 136:3")
    }
}

impl std::error::Error for ParseTtyError {}

impl std::str::FromStr for Tty {
    type Err = ParseTtyError;

    /// Reads what `Display` writes.
    fn from_str(text: &str) -> Result<Self, ParseTtyError> {
        if text == "console" {
            return Ok(Self { major: 5, minor: 1 });
        }
        if let Some((major, minor)) = text.split_once(':') {
            let number = |text: &str| text.parse().map_err(|_| ParseTtyError);
            return Ok(Self { major: number(major)?, minor: number(minor)? });
        }
        let number = |prefix: &str| text.strip_prefix(prefix)?.parse::<u32>().ok();
        let tty = if let Some(n) = number("pts/") {
            Some(Self { major: 136 + (n >> 8).min(7), minor: n - ((n >> 8).min(7) << 8) })
        } else if let Some(n) = number("ttyS") {
            Some(Self { major: 4, minor: n.checked_add(64).ok_or(ParseTtyError)? })
        } else if let Some(minor) = number("ttyUSB") {
            Some(Self { major: 188, minor })
        } else if let Some(n) = number("ttyAMA") {
            Some(Self { major: 204, minor: n.checked_add(64).ok_or(ParseTtyError)? })
        } else if let Some(minor) = number("tty") {
            Some(Self { major: 4, minor })
        } else {
            number("hvc").map(|minor| Self { major: 229, minor })
        };
        tty.filter(|tty| tty.to_string() == text).ok_or(ParseTtyError)
    }
}

/// The namespaces of a process, by inode number (`/proc/PID/ns/`); 0 if the kernel has no such
/// namespace.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[allow(missing_docs, reason = "each field is the namespace of that name")]
#[non_exhaustive]
pub struct Namespaces {
    pub mnt: u32,
    pub pid: u32,
    pub net: u32,
    pub uts: u32,
    pub ipc: u32,
    pub user: u32,
    pub cgroup: u32,
    pub time: u32,
}

bitflags::bitflags! {
    /// The special properties of the executed file.
    #[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
    pub struct ExeTraits: u8 {
        /// It existed only in memory: `memfd_create(2)`.
        const MEMFD = 1;
        /// It had no name left in any directory.
        const DELETED = 2;
        /// It had the set-user-id bit.
        const SETUID = 4;
        /// It had the set-group-id bit.
        const SETGID = 8;
        /// The exec raised privileges, so that the loader treats its environment with care
        /// (AT_SECURE).
        const SECURE = 16;
    }
}

/// A process as it was at one moment. An absent value is unknown or does not apply; `flaws` says
/// which.
#[derive(Clone, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct Process {
    /// Its identity.
    pub id: ProcessId,
    /// Its pid in its innermost pid namespace.
    pub ns_pid: Option<Pid>,
    /// Its present parent (`real_parent`), with the parent's name.
    pub parent: Option<ProcessRef>,
    /// Its comm: at most 15 bytes on Linux.
    pub name: Option<Name>,
    /// The path as it was given to exec; for a script, the script. For `execveat` and `fexecve` as
    /// the kernel writes it: `/dev/fd/N/PATH` or `/dev/fd/N` (`fs/exec.c`).
    #[cfg_attr(feature = "serde", serde(with = "crate::serial::bytes"))]
    pub path: Option<Arc<[u8]>>,
    /// The resolved path of the executed file, from the root of its mount namespace.
    #[cfg_attr(feature = "serde", serde(with = "crate::serial::bytes"))]
    pub exe: Option<Arc<[u8]>>,
    /// The interpreter that the script named after `#!`.
    #[cfg_attr(feature = "serde", serde(with = "crate::serial::bytes"))]
    pub interpreter: Option<Arc<[u8]>>,
    /// The special properties of the file.
    pub exe_traits: ExeTraits,
    /// The arguments as the program received them.
    pub argv: Option<Arc<Argv>>,
    /// The environment as the program received it; only if requested.
    pub env: Option<Arc<Argv>>,
    /// The working directory at exec, from the root of its mount namespace.
    #[cfg_attr(feature = "serde", serde(with = "crate::serial::bytes"))]
    pub cwd: Option<Arc<[u8]>>,
    /// True if that directory had been removed: `cwd` is its former path.
    pub cwd_deleted: bool,
    /// The users and groups as which it acts.
    pub credentials: Option<Arc<Credentials>>,
    /// Session id.
    pub sid: Option<Pid>,
    /// Process group id.
    pub pgid: Option<Pid>,
    /// Its controlling terminal.
    pub tty: Option<Tty>,
    /// Its cgroup's path: in the unified hierarchy, or in the first of memory, pids, cpu, cpuset
    /// and devices whose path is not the root.
    pub cgroup: Option<Arc<str>>,
    /// The container's id, from that path.
    pub container: Option<Arc<str>>,
    /// The systemd unit, from that path.
    pub unit: Option<Arc<str>>,
    /// The namespaces.
    pub namespaces: Option<Namespaces>,
    /// How far the fields above can be trusted.
    pub flaws: Flaws,
}

impl Process {
    /// A process with only its identity known.
    pub fn new(id: ProcessId) -> Self {
        Self {
            id,
            ns_pid: None,
            parent: None,
            name: None,
            path: None,
            exe: None,
            interpreter: None,
            exe_traits: ExeTraits::empty(),
            argv: None,
            env: None,
            cwd: None,
            cwd_deleted: false,
            credentials: None,
            sid: None,
            pgid: None,
            tty: None,
            cgroup: None,
            container: None,
            unit: None,
            namespaces: None,
            flaws: Flaws::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        #[test]
        fn any_terminal_is_read_again(major in 0u32..300, minor in 0u32..1 << 20) {
            let name = Tty { major, minor }.to_string();
            let again: Tty = name.parse().unwrap();
            proptest::prop_assert_eq!(again.to_string(), name);
        }

        #[test]
        fn any_text_is_taken(text: String) {
            let _ = text.parse::<Tty>();
        }
    }

    #[test]
    fn tty_names() {
        for (major, minor, name) in [
            (136, 3, "pts/3"),
            (137, 1, "pts/257"),
            (4, 1, "tty1"),
            (4, 65, "ttyS1"),
            (5, 1, "console"),
            (99, 7, "99:7"),
        ] {
            assert_eq!(Tty { major, minor }.to_string(), name);
            assert_eq!(name.parse(), Ok(Tty { major, minor }));
        }
    }
}

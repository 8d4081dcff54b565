//! The facts that decide the verdicts.

use serde::Serialize;

/// This system, as far as it decides what works.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub(super) struct Facts {
    pub(super) procscope: &'static str,
    pub(super) os: &'static str,
    pub(super) kernel: String,
    pub(super) arch: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) linux: Option<Linux>,
}

/// Facts of Linux only.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub(super) struct Linux {
    pub(super) uid: u32,
    /// The effective ones of [`CAPABILITIES`].
    pub(super) capabilities: Vec<&'static str>,
    pub(super) btf: bool,
    /// `none`, `integrity` or `confidentiality`; absent if the kernel does not say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) lockdown: Option<String>,
    pub(super) proc: bool,
    /// `readable`, `unreadable` or `unmounted`.
    pub(super) tracefs: &'static str,
    /// Absent if /proc does not show it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) initial_pid_namespace: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) initial_user_namespace: Option<bool>,
    pub(super) container: bool,
}

/// The capabilities that change what a mechanism can do: `capabilities(7)`.
pub(super) const CAPABILITIES: [&str; 6] =
    ["CAP_BPF", "CAP_PERFMON", "CAP_SYS_ADMIN", "CAP_DAC_READ_SEARCH", "CAP_SYS_PTRACE", "CAP_NET_ADMIN"];

#[cfg(target_os = "linux")]
pub(super) fn read_facts() -> Facts {
    let uname = rustix::system::uname();
    Facts {
        procscope: env!("CARGO_PKG_VERSION"),
        os: "linux",
        kernel: uname.release().to_string_lossy().into_owned(),
        arch: uname.machine().to_string_lossy().into_owned(),
        linux: Some(read_linux()),
    }
}

#[cfg(not(target_os = "linux"))]
pub(super) fn read_facts() -> Facts {
    Facts {
        procscope: env!("CARGO_PKG_VERSION"),
        os: std::env::consts::OS,
        kernel: String::new(),
        arch: std::env::consts::ARCH.to_owned(),
        linux: None,
    }
}

#[cfg(target_os = "linux")]
fn read_linux() -> Linux {
    use std::fs;
    use std::path::Path;

    use rustix::thread::{CapabilitySet, capabilities};

    let effective = capabilities(None).map_or(CapabilitySet::empty(), |sets| sets.effective);
    let has = |name: &&str| {
        CapabilitySet::from_name(name.trim_start_matches("CAP_")).is_some_and(|one| effective.contains(one))
    };
    let lockdown = fs::read_to_string("/sys/kernel/security/lockdown").ok();
    let lockdown = lockdown.and_then(|modes| Some(modes.split_once('[')?.1.split_once(']')?.0.to_owned()));
    // The inode numbers of the first ones: `include/linux/proc_ns.h`.
    let initial = |name: &str, number: u32| {
        let link = fs::read_link(format!("/proc/self/ns/{name}")).ok()?;
        Some(link.as_os_str() == format!("{name}:[{number}]").as_str())
    };
    let tracefs = ["/sys/kernel/tracing", "/sys/kernel/debug/tracing"].map(|path| Path::new(path).join("events"));
    let mounted = tracefs.iter().find_map(|path| match fs::read_to_string(path.join("syscalls/sys_enter_execve/id")) {
        Ok(_) => Some("readable"),
        Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => Some("unreadable"),
        Err(_) => None,
    });
    let signs = ["/.dockerenv", "/run/.containerenv", "/run/systemd/container"];
    Linux {
        uid: rustix::process::geteuid().as_raw(),
        capabilities: CAPABILITIES.iter().filter(|name| has(name)).copied().collect(),
        btf: Path::new("/sys/kernel/btf/vmlinux").exists(),
        lockdown,
        proc: Path::new("/proc/self").exists(),
        tracefs: mounted.unwrap_or("unmounted"),
        initial_pid_namespace: initial("pid", 0xeffffffc),
        initial_user_namespace: initial("user", 0xeffffffd),
        container: signs.iter().any(|path| Path::new(path).exists()) || std::env::var_os("container").is_some(),
    }
}

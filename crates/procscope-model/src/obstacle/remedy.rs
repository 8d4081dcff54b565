use crate::SourceId;

/// What a person can do about an [`Obstacle`](super::Obstacle).
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Remedy {
    /// Run it as root.
    #[error("run it as root")]
    Root,
    /// Run it as root, outside a container or in one without confinement.
    #[error("run it as root, outside a container or with --privileged")]
    RootUnconfined,
    /// Give it these rights.
    #[error("grant {}; to a container with: {}", names.join(" and "), cap_add(names))]
    Capabilities {
        /// As `capabilities(7)` names them.
        names: &'static [&'static str],
    },
    /// Run it outside of the container, or start the container with other options.
    #[error("run it on the host, or start the container with {}{}", options.join(" "), if *user_namespace { "" } else { " and without a user namespace" })]
    Host {
        /// The options of Docker and Podman.
        options: &'static [&'static str],
        /// The container may have a user namespace of its own.
        user_namespace: bool,
    },
    /// Run it outside its confinement.
    #[error("run it outside its sandbox")]
    Unconfined,
    /// Mount a file system.
    #[error("{}mount{} {} {at}", if *sudo { "sudo " } else { "" }, mount_options(fs, options), if fs.is_empty() { "" } else { fs })]
    Mount {
        /// Its type.
        fs: &'static str,
        /// Where.
        at: &'static str,
        /// Options; empty for none.
        options: String,
        /// It needs root, and the caller is not.
        sudo: bool,
    },
    /// Mount it again with other options.
    #[error("sudo mount -o remount,{options} {at}")]
    Remount {
        /// Where.
        at: &'static str,
        /// Options.
        options: String,
    },
    /// Boot with a parameter of the kernel.
    #[error("boot with {parameter}")]
    Boot {
        /// As on the kernel's command line.
        parameter: &'static str,
    },
    /// Boot another kernel.
    #[error("boot {}{}", kernel(*least), configured(options))]
    Kernel {
        /// The first that is new enough.
        least: Option<(u32, u32)>,
        /// The options that it has to be built with.
        options: &'static [&'static str],
    },
    /// Use another mechanism.
    #[error("use {}", id.map_or("another mechanism", SourceId::name))]
    OtherSource {
        /// Which one.
        id: Option<SourceId>,
    },
    /// Name no mechanism.
    #[error("name no mechanism")]
    AnySource,
    /// Only trying shows it.
    #[error("try it")]
    Try,
    /// Name a command to run.
    #[error("name the command to run")]
    NameCommand,
    /// Name a cgroup that exists.
    #[error("name one as /proc/PID/cgroup prints it, or its directory under /sys/fs/cgroup")]
    NameCgroup,
    /// Raise the limit of open files.
    #[error("raise the limit: ulimit -n 1024, then start it again")]
    OpenFiles,
    /// Raise the system's limit of open files.
    #[error("close programs, or raise the limit: sudo sysctl -w fs.file-max=1000000")]
    SystemFiles,
    /// Look at the limits.
    #[error("see `ulimit -a`, then start it again")]
    Limits,
    /// Make room, or ask for less.
    #[error("free memory, or ask for a smaller buffer")]
    Memory,
    /// Allow it a larger buffer.
    #[error("CAP_NET_ADMIN, or a larger net.core.rmem_max, gives more")]
    LargerBuffer,
}

impl Remedy {
    /// Mounting /proc.
    pub fn mount_proc() -> Self {
        Self::Mount { fs: "proc", at: "/proc", options: String::new(), sudo: false }
    }
}

fn cap_add(names: &[&str]) -> String {
    let options: Vec<_> =
        names.iter().map(|name| format!("--cap-add {}", name.strip_prefix("CAP_").unwrap_or(name))).collect();
    options.join(" ")
}

fn mount_options(fs: &str, options: &str) -> String {
    if options.is_empty() { format!(" -t {fs}") } else { format!(" -t {fs} -o {options}") }
}

fn kernel(least: Option<(u32, u32)>) -> String {
    least.map_or("a kernel".to_owned(), |(major, minor)| format!("Linux {major}.{minor} or later"))
}

fn configured(options: &[&str]) -> String {
    if options.is_empty() {
        return String::new();
    }
    let set: Vec<_> = options.iter().map(|option| format!("{option}=y")).collect();
    format!(" with {}: grep -e {} /boot/config-$(uname -r)", set.join(" and "), options.join(" -e "))
}

//! The sets of cgroups and of mount namespaces that bcc's tools accept as pinned BPF maps: bcc's
//! docs/special_filtering.md.

use procscope::Event;

use crate::failure::Failure;

/// The content of a set.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Holds {
    /// Ids of cgroups of the unified hierarchy: the inodes of their directories.
    Cgroups,
    /// Inodes of mount namespaces.
    Mounts,
}

#[cfg(target_os = "linux")]
pub(super) use self::linux::Set;

#[cfg(target_os = "linux")]
mod linux {
    use std::collections::{HashMap, HashSet};
    use std::fs;
    use std::os::unix::fs::MetadataExt as _;
    use std::path::{Path, PathBuf};
    use std::time::{Duration, Instant};

    use libbpf_rs::{MapCore as _, MapHandle};

    use super::*;

    /// How often the map is read: other programs change it while we run.
    const FRESH: Duration = Duration::from_millis(500);

    /// How many cgroups' ids are kept.
    const MOST: usize = 4096;

    /// A pinned map, and its content when last read.
    #[derive(Debug)]
    pub(in super::super) struct Set {
        map: MapHandle,
        holds: Holds,
        ids: HashSet<u64>,
        read: Instant,
        /// Where the unified hierarchy is mounted.
        hierarchy: PathBuf,
        /// Whether there are others: then the path of a process in the unified root is that of the
        /// first of those.
        hybrid: bool,
        cgroups: HashMap<Box<str>, u64>,
    }

    impl Set {
        pub(in super::super) fn open(path: &Path, holds: Holds) -> Result<Self, Failure> {
            let failure = |cause: String| {
                Failure {
                what: format!("cannot read the BPF map {}", path.display()),
                cause,
                help: "name a hash map with keys of 8 bytes: bpftool map create PATH type hash key 8 value 4 entries 128 name set"
                    .to_owned(),
            }
            };
            let map = MapHandle::from_pinned_path(path).map_err(|error| failure(error.to_string()))?;
            if map.key_size() != 8 {
                return Err(failure(format!("its keys have {} bytes", map.key_size())));
            }
            let ids = read(&map);
            let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
            let hierarchy = mounted(&mounts, "cgroup2").unwrap_or_else(|| "/sys/fs/cgroup".into());
            let hybrid = mounted(&mounts, "cgroup").is_some();
            Ok(Self { map, holds, ids, read: Instant::now(), hierarchy, hybrid, cgroups: HashMap::new() })
        }

        pub(in super::super) fn has(&mut self, event: &Event) -> bool {
            if self.read.elapsed() > FRESH {
                self.ids = read(&self.map);
                self.read = Instant::now();
            }
            let id = match self.holds {
                Holds::Cgroups => self.cgroup(event),
                Holds::Mounts => mounts(event),
            };
            id.is_some_and(|id| self.ids.contains(&id))
        }

        fn cgroup(&mut self, event: &Event) -> Option<u64> {
            let path = event.process.as_ref()?.cgroup.as_deref()?;
            if let Some(id) = self.cgroups.get(path) {
                return Some(*id);
            }
            let within = fs::metadata(self.hierarchy.join(path.trim_start_matches('/'))).ok();
            let root = || self.hybrid.then(|| fs::metadata(&self.hierarchy).ok()).flatten();
            let id = within.or_else(root)?.ino();
            if self.cgroups.len() >= MOST {
                self.cgroups.clear();
            }
            self.cgroups.insert(path.into(), id);
            Some(id)
        }
    }

    fn read(map: &MapHandle) -> HashSet<u64> {
        map.keys().filter_map(|key| Some(u64::from_ne_bytes(key.try_into().ok()?))).collect()
    }

    /// From the event; otherwise from /proc, if the process still exists.
    fn mounts(event: &Event) -> Option<u64> {
        let process = event.process.as_ref()?;
        if let Some(namespaces) = &process.namespaces {
            return Some(namespaces.mnt.into());
        }
        Some(fs::metadata(format!("/proc/{}/ns/mnt", process.id.pid)).ok()?.ino())
    }

    /// Where a file system of this kind is first mounted: proc_pid_mounts(5).
    fn mounted(mounts: &str, kind: &str) -> Option<PathBuf> {
        let mut lines = mounts.lines().map(|line| line.split(' ').collect::<Vec<_>>());
        lines.find_map(|words| (*words.get(2)? == kind).then(|| PathBuf::from(words[1])))
    }
}

/// Other systems have no such maps.
#[cfg(not(target_os = "linux"))]
#[derive(Debug)]
pub(super) enum Set {}

#[cfg(not(target_os = "linux"))]
impl Set {
    pub(super) fn open(path: &std::path::Path, holds: Holds) -> Result<Self, Failure> {
        Err(Failure {
            what: format!("cannot read the BPF map {} ({holds:?})", path.display()),
            cause: "only Linux has BPF maps".to_owned(),
            help: "leave the option out".to_owned(),
        })
    }

    pub(super) fn has(&mut self, _: &Event) -> bool {
        match *self {}
    }
}

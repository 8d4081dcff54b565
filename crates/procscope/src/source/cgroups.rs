use std::path::{Path, PathBuf};

use crate::{Cause, Error, Lack, Obstacle, Remedy, SystemError, Want};

/// The chosen cgroups.
pub(crate) struct Cgroups {
    /// Ids in the unified hierarchy, which the programs know.
    pub(crate) unified: Vec<u64>,
    /// Paths in an old one.
    pub(crate) paths: Vec<String>,
    /// The paths of those in the unified one, as `/proc/PID/cgroup` prints them.
    pub(crate) unified_paths: Vec<String>,
}

/// Turns the user's names into the kernel's.
pub(crate) fn resolve_cgroups(want: &Want) -> Result<Cgroups, Error> {
    use std::os::unix::fs::MetadataExt;
    const CGROUP2_SUPER_MAGIC: u64 = 0x6367_7270;
    let unified_root = ["/sys/fs/cgroup/unified", "/sys/fs/cgroup"]
        .into_iter()
        .find(|root| Path::new(root).join("cgroup.procs").exists());
    let mut cgroups = Cgroups { unified: Vec::new(), paths: Vec::new(), unified_paths: Vec::new() };
    for named in &want.cgroups {
        let relative = named.strip_prefix("/").unwrap_or(named);
        let below_root = unified_root.map(|root| Path::new(root).join(relative));
        let found = [Some(named.clone()), below_root]
            .into_iter()
            .flatten()
            .find(|path: &PathBuf| path.join("cgroup.procs").exists());
        if let Some(path) = found {
            let unified = rustix::fs::statfs(&path).is_ok_and(|fs| u64::try_from(fs.f_type) == Ok(CGROUP2_SUPER_MAGIC));
            if unified {
                let inode = path.metadata().map_err(|error| unusable(named, Some(&error)))?;
                cgroups.unified.push(inode.ino());
                let below = unified_root.and_then(|root| path.strip_prefix(root).ok()).unwrap_or(&path);
                cgroups.unified_paths.push(format!("/{}", below.display()));
            } else {
                // /sys/fs/cgroup/CONTROLLER/PATH
                let path: PathBuf = path.strip_prefix("/sys/fs/cgroup").unwrap_or(&path).components().skip(1).collect();
                cgroups.paths.push(format!("/{}", path.display()));
            }
        } else if named.is_absolute() && old_hierarchies().any(|root| root.join(relative).is_dir()) {
            cgroups.paths.push(named.display().to_string());
        } else {
            return Err(unusable(named, None));
        }
    }
    Ok(cgroups)
}

fn unusable(named: &Path, error: Option<&std::io::Error>) -> Error {
    let lack = Lack::NoCgroup { path: named.display().to_string(), error: error.map(SystemError::from) };
    Error::Choice { obstacle: Obstacle::new(lack, Cause::Io, Remedy::NameCgroup) }
}

fn old_hierarchies() -> impl Iterator<Item = PathBuf> {
    let entries = std::fs::read_dir("/sys/fs/cgroup").into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).filter(|path| path.is_dir())
}

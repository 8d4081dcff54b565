//! A filesystem without a place in the tree, for a system on which /proc or tracefs is not mounted.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{Mode, OFlags, openat};
use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsmount, fsopen};

/// Mounts a filesystem without a place in the tree; it ends with the descriptor.
pub(crate) fn mount_nameless(kind: &str) -> io::Result<OwnedFd> {
    let fs = fsopen(kind, FsOpenFlags::FSOPEN_CLOEXEC)?;
    fsconfig_create(fs.as_fd())?;
    let mount = fsmount(fs.as_fd(), FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::empty())?;
    Ok(openat(&mount, ".", OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?)
}

pub(super) fn exists(dir: BorrowedFd<'_>, path: &str) -> bool {
    rustix::fs::accessat(dir, path, rustix::fs::Access::EXISTS, rustix::fs::AtFlags::empty()).is_ok()
}

pub(super) fn read_at(dir: BorrowedFd<'_>, name: &str, most: u64) -> io::Result<Vec<u8>> {
    let file = File::from(openat(dir, name, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?);
    let mut bytes = Vec::new();
    file.take(most).read_to_end(&mut bytes)?;
    Ok(bytes)
}

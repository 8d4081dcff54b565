//! The tiny program's bytes, and a directory to run them from.

use std::ffi::CString;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

const PROGRAM: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/ps-tiny"));

/// The program itself.
///
/// # Errors
/// If it was built for a machine for which it is not written.
pub fn program() -> io::Result<&'static [u8]> {
    if PROGRAM.is_empty() {
        return Err(io::Error::other("the tiny program is written for x86_64 and aarch64 alone"));
    }
    Ok(PROGRAM)
}

/// A temporary directory with the tiny program in it; removed when dropped.
#[derive(Debug)]
pub struct Bin {
    dir: tempfile::TempDir,
    path: PathBuf,
}

impl Bin {
    /// Makes one that every user may enter.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn new() -> io::Result<Self> {
        let dir = tempfile::Builder::new().prefix("ps-workload-").tempdir()?;
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755))?;
        let path = dir.path().canonicalize()?;
        let bin = Self { dir, path };
        bin.copy("ps-tiny")?;
        Ok(bin)
    }

    /// Its path, resolved.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The tiny program.
    pub fn tiny(&self) -> PathBuf {
        self.path.join("ps-tiny")
    }

    /// Another copy of it, a file of its own.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn copy(&self, name: impl AsRef<Path>) -> io::Result<PathBuf> {
        let path = self.path.join(name);
        fs::write(&path, program()?)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?;
        Ok(path)
    }

    /// Another file, such as a script.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn file(&self, name: &str, content: impl AsRef<[u8]>, mode: u32) -> io::Result<PathBuf> {
        let path = self.path.join(name);
        fs::write(&path, content)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(mode))?;
        Ok(path)
    }

    /// Leaves the directory where it is.
    pub fn keep(self) -> PathBuf {
        self.dir.keep()
    }
}

/// A path in the form of system calls.
pub fn c_path(path: &Path) -> CString {
    CString::new(path.as_os_str().as_bytes()).expect("no path has a NUL")
}

/// The comm that an exec of this file gives: the first 15 bytes of its name.
pub fn comm(path: &Path) -> Vec<u8> {
    let name = path.file_name().unwrap_or_default().as_bytes();
    name[..name.len().min(15)].to_vec()
}

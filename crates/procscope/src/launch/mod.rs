//! A command that is held back until its watcher is ready.

#[cfg(target_os = "linux")]
pub(crate) mod filter;
mod kin;
#[cfg(target_os = "linux")]
mod live;
#[cfg(not(target_os = "linux"))]
mod other;

use std::ffi::{OsStr, OsString};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

pub(crate) use kin::Kin;
#[cfg(target_os = "linux")]
pub(crate) use live::Held;
#[cfg(not(target_os = "linux"))]
pub(crate) use other::Held;

use crate::record::Descent;
use crate::{ExitStatus, Pid};

/// The state of a command.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Stage {
    Alive,
    /// Ended with this wait status, if there was one to see.
    Ended(Option<u32>),
}

/// The command that a [`Monitor`](crate::Monitor) runs:
/// [`MonitorBuilder::command`](crate::MonitorBuilder::command) begins it.
#[derive(Clone, Debug)]
pub struct RunningCommand {
    pid: Pid,
    stage: Arc<Mutex<Stage>>,
}

impl RunningCommand {
    pub(crate) fn new(pid: Pid) -> Self {
        Self { pid, stage: Arc::new(Mutex::new(Stage::Alive)) }
    }

    /// Its process.
    pub fn pid(&self) -> Pid {
        self.pid
    }

    /// How it ended; `None` while it lives.
    pub fn status(&self) -> Option<ExitStatus> {
        match *self.stage.lock().unwrap_or_else(PoisonError::into_inner) {
            Stage::Alive => None,
            Stage::Ended(status) => Some(ExitStatus::from_wait_status(status.unwrap_or(0))),
        }
    }

    /// The same, as by `wait(2)`.
    #[cfg(target_os = "linux")]
    pub(crate) fn wait_status(&self) -> Option<u32> {
        match *self.stage.lock().unwrap_or_else(PoisonError::into_inner) {
            Stage::Alive => None,
            Stage::Ended(status) => status,
        }
    }

    /// The same; `zombie` reads the status of one that was not waited for.
    #[cfg(target_os = "linux")]
    pub(crate) fn wait_status_or(&self, zombie: impl FnOnce() -> Option<u32>) -> Option<u32> {
        match *self.stage.lock().unwrap_or_else(PoisonError::into_inner) {
            // It is not reaped while this is locked.
            Stage::Alive => zombie(),
            Stage::Ended(status) => status,
        }
    }

    /// Sends it a signal. Never reaches another process, even if the pid is reused.
    ///
    /// # Errors
    /// If it has ended, or the system refuses.
    pub fn signal(&self, signo: i32) -> io::Result<()> {
        let stage = self.stage.lock().unwrap_or_else(PoisonError::into_inner);
        match *stage {
            // It is not reaped while this is locked.
            Stage::Alive => send(self.pid, signo),
            Stage::Ended(_) => Err(io::Error::new(io::ErrorKind::NotFound, "the command has ended")),
        }
    }

    /// Reaps it by `reap`, which must not wait, and returns whether it has ended. A status may be
    /// missing all the same.
    pub(crate) fn end(&self, reap: impl FnOnce() -> Option<Option<u32>>) -> bool {
        let mut stage = self.stage.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(status) = reap() {
            *stage = Stage::Ended(status);
        }
        *stage != Stage::Alive
    }
}

#[cfg(target_os = "linux")]
use live::send;
#[cfg(not(target_os = "linux"))]
use other::send;

/// The file that a shell in this directory would run for this name.
fn find_program(name: &OsStr, path: &OsStr, dir: &Path) -> io::Result<PathBuf> {
    if name.is_empty() {
        return Err(none());
    }
    let bytes = name.as_encoded_bytes();
    if bytes.contains(&b'/') {
        return dir.join(name).metadata().map(|_| name.into());
    }
    let mut barred = false;
    for entry in std::env::split_paths(path) {
        // An empty entry is the working directory.
        let file = if entry.as_os_str().is_empty() { Path::new(".").join(name) } else { entry.join(name) };
        let seen = dir.join(&file);
        if seen.is_file() {
            if live_is_executable(&seen) {
                return Ok(file);
            }
            barred = true;
        }
    }
    Err(match barred {
        true => io::Error::new(io::ErrorKind::PermissionDenied, "no program of that name in $PATH may be executed"),
        false => none(),
    })
}

fn none() -> io::Error {
    io::Error::new(io::ErrorKind::NotFound, "there is no program of that name in $PATH")
}

#[cfg(target_os = "linux")]
fn live_is_executable(file: &Path) -> bool {
    rustix::fs::access(file, rustix::fs::Access::EXEC_OK).is_ok()
}

#[cfg(not(target_os = "linux"))]
fn live_is_executable(_: &Path) -> bool {
    true
}

impl PartialEq for Held {
    fn eq(&self, other: &Self) -> bool {
        self.pid() == other.pid()
    }
}

impl Eq for Held {}

/// The command to run.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Launch {
    /// The program and its arguments; `None` without a command.
    pub(crate) argv: Option<Vec<OsString>>,
    /// Variables to set, or to remove.
    pub(crate) env: Vec<(OsString, Option<OsString>)>,
    /// The working directory, if not the caller's.
    pub(crate) dir: Option<PathBuf>,
    /// Continues until all descendants have ended.
    pub(crate) wait_all: bool,
    /// The caller starts no other process meanwhile.
    pub(crate) sole: bool,
}

impl Launch {
    pub(crate) fn argv(&self) -> &[OsString] {
        self.argv.as_deref().unwrap_or_default()
    }

    /// A variable as the command has it.
    fn variable(&self, name: &str) -> Option<OsString> {
        match self.env.iter().rev().find(|(known, _)| known == name) {
            Some((_, value)) => value.clone(),
            None => std::env::var_os(name),
        }
    }

    /// All variables that the command has.
    #[cfg_attr(not(target_os = "linux"), expect(dead_code, reason = "commands are Linux's so far"))]
    pub(crate) fn variables(&self) -> Vec<(OsString, OsString)> {
        let is_kept = |name: &OsString| !self.env.iter().any(|(changed, _)| changed == name);
        let kept = std::env::vars_os().filter(|(name, _)| is_kept(name));
        let set = self.env.iter().filter_map(|(name, value)| Some((name.clone(), value.clone()?)));
        kept.chain(set).collect()
    }

    /// The file that a shell would run for its first word.
    pub(crate) fn program(&self) -> io::Result<PathBuf> {
        let unnamed = || io::Error::new(io::ErrorKind::InvalidInput, "no program is named");
        let name = self.argv().first().ok_or_else(unnamed)?;
        // The shell's default if there is none: `confstr(3)`, _CS_PATH.
        let path = self.variable("PATH").unwrap_or_else(|| "/bin:/usr/bin".into());
        find_program(name, &path, self.dir.as_deref().unwrap_or(Path::new("")))
    }
}

/// The process that started the command. CLONE_PARENT makes it the parent of everything that the
/// command clones.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Home {
    /// 0 without a command.
    pub(crate) pid: Pid,
    /// It has no other child, and starts none.
    pub(crate) sole: bool,
}

impl Home {
    /// Whether a new process is the command's, if the source reports only its parent; `None` if
    /// that does not show it.
    pub(crate) fn adopts(self, descent: &Descent) -> Option<bool> {
        (descent.creator.is_none() && self.pid != 0 && descent.parent == self.pid).then_some(self.sole)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_os = "linux")]
    fn programs_are_found_as_a_shell_finds_them() {
        let find = |name: &str, dir: &str| find_program(OsStr::new(name), OsStr::new("/usr/bin:/bin"), Path::new(dir));
        assert!(find("sh", "").unwrap().ends_with("sh"));
        assert_eq!(find("./mem", "/proc/self").unwrap(), Path::new("./mem"));
        for missing in ["", "no-such-program-here", "./x/y", "/no/such/program"] {
            assert_eq!(find(missing, "").unwrap_err().kind(), io::ErrorKind::NotFound, "{missing}");
        }
    }

    #[test]
    fn a_command_has_its_own_variables() {
        let change = |name: &str, value: Option<&str>| (name.into(), value.map(Into::into));
        let env = vec![change("A_TEST", Some("1")), change("PATH", None)];
        let launch = Launch { argv: Some(Vec::new()), env, ..Launch::default() };
        assert_eq!(launch.variable("A_TEST"), Some("1".into()));
        assert_eq!(launch.variable("PATH"), None);
        assert_eq!(launch.program().unwrap_err().kind(), io::ErrorKind::InvalidInput);
    }
}

//! The child's side.

use std::ffi::CString;
use std::io;
use std::os::fd::RawFd;
use std::path::Path;
use std::ptr;

use procscope_model::errno_name;

use super::{TELL, WAIT};
use crate::tiny::c_path;
use crate::truth::Bytes;

/// Arguments or environment in execve's form.
pub struct List {
    strings: Vec<CString>,
    pointers: Vec<*const libc::c_char>,
}

impl List {
    /// Copies the strings.
    ///
    /// # Panics
    /// On a NUL within one.
    pub fn new<S: AsRef<[u8]>>(strings: impl IntoIterator<Item = S>) -> Self {
        let strings: Vec<CString> =
            strings.into_iter().map(|s| CString::new(s.as_ref()).expect("a string without NUL")).collect();
        let pointers = strings.iter().map(|s| s.as_ptr()).chain([ptr::null()]).collect();
        Self { strings, pointers }
    }

    /// The steps of the tiny program as its whole environment.
    pub fn steps(steps: &str) -> Self {
        Self::new([format!("PS={steps}")])
    }

    /// In execve's form.
    pub fn as_ptr(&self) -> *const *const libc::c_char {
        self.pointers.as_ptr()
    }

    /// The strings.
    pub fn bytes(&self) -> Vec<Bytes> {
        self.strings.iter().map(|s| Bytes::from(s.as_bytes())).collect()
    }
}

/// The child's own view, in the child.
pub struct Child(pub(super) ());

impl Child {
    /// Writes a line.
    pub fn tell(&self, line: impl std::fmt::Display) {
        let line = format!("{line}\n");
        // SAFETY: the buffer has the given length.
        unsafe { libc::write(TELL, line.as_ptr().cast(), line.len()) };
    }

    /// Waits for the next byte.
    pub fn wait(&self) {
        let mut byte = 0u8;
        // SAFETY: the buffer holds the one requested byte.
        unsafe { libc::read(WAIT, (&raw mut byte).cast(), 1) };
    }

    /// Becomes another program, or writes the error's name.
    pub fn exec(&self, path: &Path, argv: &List, env: &List) {
        // SAFETY: all lists are properly terminated.
        unsafe { libc::execve(c_path(path).as_ptr(), argv.as_ptr(), env.as_ptr()) };
        self.tell_errno();
    }

    /// Becomes another program by execveat, or writes the error's name.
    pub fn exec_at(&self, dir: RawFd, path: &Path, argv: &List, env: &List, flags: i32) {
        // SAFETY: all lists are properly terminated.
        unsafe {
            libc::syscall(libc::SYS_execveat, dir, c_path(path).as_ptr(), argv.as_ptr(), env.as_ptr(), flags);
        }
        self.tell_errno();
    }

    /// Writes the name of the last error.
    pub fn tell_errno(&self) {
        let errno = io::Error::last_os_error().raw_os_error().unwrap_or_default();
        self.tell(errno_name(errno as u32).unwrap_or("?"));
    }

    /// Reports a failed system call, and ends.
    pub fn must(&self, what: &str, result: impl TryInto<i64>) {
        if result.try_into().is_ok_and(|r| r < 0) {
            self.tell(format_args!("{what}: {}", io::Error::last_os_error()));
            // SAFETY: ends the child without running the parent's destructors.
            unsafe { libc::_exit(99) }
        }
    }
}

//! What wakes a loop of the caller's own.

use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;

/// A pair of sockets: one holds a byte while it is rung.
#[derive(Debug)]
pub(super) struct Bell {
    inner: Arc<UnixStream>,
    outer: UnixStream,
    is_rung: bool,
}

impl Bell {
    pub(super) fn new() -> io::Result<Self> {
        let (inner, outer) = UnixStream::pair()?;
        inner.set_nonblocking(true)?;
        outer.set_nonblocking(true)?;
        Ok(Self { inner: Arc::new(inner), outer, is_rung: false })
    }

    pub(super) fn ring(&mut self) {
        if !self.is_rung {
            self.is_rung = self.outer.write(&[0]).is_ok();
        }
    }

    pub(super) fn hush(&mut self) {
        if self.is_rung {
            self.is_rung = (&*self.inner).read(&mut [0; 8]).is_err();
        }
    }

    pub(super) fn readiness(&self) -> Readiness {
        Readiness(Arc::clone(&self.inner))
    }
}

/// A descriptor that is readable while there are events to take:
/// [`Events::readiness`](super::Events::readiness). Wait for it, and do not read it.
#[derive(Clone, Debug)]
pub struct Readiness(Arc<UnixStream>);

impl AsFd for Readiness {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl AsRawFd for Readiness {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

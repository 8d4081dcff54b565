//! eBPF on Linux 5.11 and later: programs on tracepoints fill a ring, and a reader comes by every few milliseconds.

#[cfg(target_os = "linux")]
mod complaints;
pub(crate) mod decode;
#[cfg(target_os = "linux")]
mod live;
#[cfg(target_os = "linux")]
mod object;
#[cfg(target_os = "linux")]
mod ring;
#[cfg(target_os = "linux")]
mod snapshot;
#[cfg(target_os = "linux")]
mod tracepoint;
pub(crate) mod wire;

use super::{Mechanism, Source};
use crate::{Error, SourceId, Want};

/// See the module.
pub(crate) struct Ebpf;

impl Mechanism for Ebpf {
    fn id(&self) -> SourceId {
        SourceId::Ebpf
    }

    #[cfg(target_os = "linux")]
    fn open(&self, want: &Want) -> Result<Box<dyn Source>, Error> {
        Ok(Box::new(live::Live::open(want)?))
    }

    #[cfg(not(target_os = "linux"))]
    fn open(&self, _: &Want) -> Result<Box<dyn Source>, Error> {
        Err(super::wrong_os(SourceId::Ebpf))
    }
}

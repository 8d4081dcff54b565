//! eBPF on Linux 5.11 and later: programs on tracepoints fill a ring, and a reader comes by every few milliseconds.

#[cfg(target_os = "linux")]
mod cgroups;
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
use crate::plan::Pushdown;
use crate::{Error, SourceId, Want};

/// See the module.
pub(crate) struct Ebpf;

impl Mechanism for Ebpf {
    fn id(&self) -> SourceId {
        SourceId::Ebpf
    }

    /// The sizes of the programs' maps, and of a comm.
    fn pushdown(&self) -> Pushdown {
        Pushdown { events: true, pids: 1024, uids: 256, names: 256, name_bytes: 15 }
    }

    #[cfg(target_os = "linux")]
    fn open(&self, want: &Want) -> Result<Box<dyn Source>, Error> {
        Ok(Box::new(live::Live::open(want)?))
    }

    #[cfg(not(target_os = "linux"))]
    fn open(&self, _: &Want) -> Result<Box<dyn Source>, Error> {
        use crate::{Cause, Obstacle};
        Err(Error::Unavailable {
            source_id: SourceId::Ebpf,
            obstacle: Obstacle {
                what: format!("a mechanism of Linux, and this is {}", std::env::consts::OS),
                cause: Cause::WrongOs,
                remedy: "run procscope without --source".into(),
            },
        })
    }
}

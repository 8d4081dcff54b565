//! The process connector: a netlink socket on which the kernel tells of its processes (CONFIG_PROC_EVENTS, Linux 2.6.15 and
//! later; `drivers/connector/cn_proc.c`). Its messages hold numbers alone, so what a process is called is read from /proc.

pub(crate) mod decode;
#[cfg(target_os = "linux")]
mod live;
pub(crate) mod look;
pub(crate) mod merge;
#[cfg(target_os = "linux")]
mod proc_files;
#[cfg(target_os = "linux")]
mod socket;
pub(crate) mod tracker;

use super::{Mechanism, Source};
use crate::{Error, SourceId, Want};

/// See the module.
pub(crate) struct ProcessConnector;

impl Mechanism for ProcessConnector {
    fn id(&self) -> SourceId {
        SourceId::ProcessConnector
    }

    #[cfg(target_os = "linux")]
    fn open(&self, want: &Want) -> Result<Box<dyn Source>, Error> {
        Ok(Box::new(live::Live::open(want)?))
    }

    #[cfg(not(target_os = "linux"))]
    fn open(&self, _: &Want) -> Result<Box<dyn Source>, Error> {
        Err(super::wrong_os(SourceId::ProcessConnector))
    }
}

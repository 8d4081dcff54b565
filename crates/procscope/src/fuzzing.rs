//! Doors to the decoders for the fuzz targets. No part of the library's promise.

use std::sync::Arc;

use crate::pipeline::{Names, Pipeline};
use crate::{EnvWanted, EventSet, SourceId, Want};

struct NoNames;

impl Names for NoNames {
    fn user(&mut self, _: u32) -> Option<Arc<str>> {
        None
    }

    fn group(&mut self, _: u32) -> Option<Arc<str>> {
        None
    }
}

/// Takes the bytes for records of the kernel's ring, one after the other, and makes events of them.
#[cfg(feature = "ebpf")]
pub fn decode_ebpf(mut bytes: &[u8]) {
    use crate::source::ebpf::decode::decode;

    let want = Want { events: EventSet::ALL, env: EnvWanted::All, ..Want::default() };
    let mut pipeline = Pipeline::new(SourceId::Ebpf, &want, Box::new(NoNames), 4096);
    while let Some(size) = bytes.first_chunk().map(|size| u32::from_ne_bytes(*size) as usize) {
        let (record, rest) = bytes.split_at(size.clamp(1, bytes.len()));
        if let Ok(record) = decode(record) {
            let _ = pipeline.feed(&record);
        }
        bytes = rest;
    }
}

/// The container and the unit in a cgroup's path.
pub fn cgroup_identity(path: &str) -> (Option<&str>, Option<&str>) {
    crate::pipeline::cgroup_identity(path)
}

use std::hash::BuildHasher;
use std::sync::Arc;

use rustc_hash::FxBuildHasher;

const SLOTS: usize = 1024;
const LONGEST: usize = 1024;

/// Paths come again and again: the same bytes get the same allocation, as long as no other path takes their slot.
pub(crate) struct Interner {
    slots: Vec<Option<Arc<[u8]>>>,
}

impl Interner {
    pub(crate) fn new() -> Self {
        Self { slots: vec![None; SLOTS] }
    }

    pub(crate) fn intern(&mut self, bytes: &[u8]) -> Arc<[u8]> {
        if bytes.len() > LONGEST {
            return bytes.into();
        }
        let slot = FxBuildHasher.hash_one(bytes) as usize % SLOTS;
        match &self.slots[slot] {
            Some(known) if **known == *bytes => known.clone(),
            _ => {
                let new: Arc<[u8]> = bytes.into();
                self.slots[slot] = Some(new.clone());
                new
            }
        }
    }
}

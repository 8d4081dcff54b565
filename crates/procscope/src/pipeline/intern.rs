use std::hash::BuildHasher;
use std::sync::Arc;

use rustc_hash::FxBuildHasher;

use crate::source::record::NamesUp;

const SLOTS: usize = 1024;
const LONGEST: usize = 1024;

/// Paths come again and again: the same bytes get the same allocation, as long as no other path takes their slot.
pub(crate) struct Interner {
    slots: Vec<Option<Arc<[u8]>>>,
    upward: Vec<Option<Upward>>,
}

/// A path told from the leaf to the root.
#[derive(Clone)]
struct Upward {
    names: Box<[u8]>,
    path: Arc<[u8]>,
}

fn slot_of(bytes: &[u8]) -> usize {
    FxBuildHasher.hash_one(bytes) as usize % SLOTS
}

impl Interner {
    pub(crate) fn new() -> Self {
        Self { slots: vec![None; SLOTS], upward: vec![None; SLOTS] }
    }

    pub(crate) fn intern(&mut self, bytes: &[u8]) -> Arc<[u8]> {
        if bytes.len() > LONGEST {
            return bytes.into();
        }
        let slot = &mut self.slots[slot_of(bytes)];
        match slot {
            Some(known) if **known == *bytes => known.clone(),
            _ => slot.insert(bytes.into()).clone(),
        }
    }

    pub(crate) fn intern_names(&mut self, names: NamesUp<'_>) -> Arc<[u8]> {
        let slot = slot_of(names.0);
        if let Some(known) = &self.upward[slot]
            && *known.names == *names.0
        {
            return known.path.clone();
        }
        let mut path = Vec::new();
        names.write_path(&mut path);
        let path = self.intern(&path);
        if names.0.len() <= LONGEST {
            self.upward[slot] = Some(Upward { names: names.0.into(), path: path.clone() });
        }
        path
    }
}

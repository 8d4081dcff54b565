use std::hash::BuildHasher;
use std::sync::Arc;

use rustc_hash::FxBuildHasher;

use crate::record::NamesUp;

/// The beginning of a path whose own beginning is missing. No whole path has it: those begin with a
/// slash.
pub(super) const GAP: &[u8] = "\u{2026}".as_bytes();

const SLOTS: usize = 1024;
const LONGEST: usize = 1024;

/// Paths come again and again: the same bytes share an allocation, as long as no other path
/// occupies their slot.
pub(crate) struct Interner {
    slots: Vec<Option<Arc<[u8]>>>,
    upward: Vec<Option<Upward>>,
}

/// A path, listed from the leaf to the root.
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

    /// `cut`: names are missing at the root, where a gap is.
    pub(crate) fn intern_names(&mut self, names: NamesUp<'_>, cut: bool) -> Arc<[u8]> {
        if cut {
            let mut path = GAP.to_vec();
            names.write_path(&mut path);
            return self.intern(&path);
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_that_is_cut_shows_its_gap() {
        let mut interner = Interner::new();
        let mut path = |cut| String::from_utf8(interner.intern_names(NamesUp(b"true\0bin\0"), cut).to_vec()).unwrap();
        assert_eq!([path(false), path(true), path(false)], ["/bin/true", "…/bin/true", "/bin/true"]);
        assert_eq!(*interner.intern_names(NamesUp(b""), true), *"…/".as_bytes());
    }
}

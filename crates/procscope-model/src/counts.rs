//! Numbers by kind of event.

use std::fmt;

use crate::Kind;
use crate::kind::KIND_COUNT;

/// A number for each kind of event.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts([u64; KIND_COUNT]);

impl Counts {
    /// That of one kind.
    pub fn of(&self, kind: Kind) -> u64 {
        self.0[kind as usize]
    }

    /// Adds to one kind.
    pub fn add(&mut self, kind: Kind, n: u64) {
        let sum = &mut self.0[kind as usize];
        *sum = sum.saturating_add(n);
    }

    /// Adds to each kind.
    pub fn add_all(&mut self, others: &Self) {
        others.iter().for_each(|(kind, n)| self.add(kind, n));
    }

    /// Sets that of one kind.
    pub fn set(&mut self, kind: Kind, n: u64) {
        self.0[kind as usize] = n;
    }

    /// The total.
    pub fn total(&self) -> u64 {
        self.0.iter().fold(0, |sum, n| sum.saturating_add(*n))
    }

    /// The kinds with a number that is not 0.
    pub fn iter(&self) -> impl Iterator<Item = (Kind, u64)> + '_ {
        Kind::ALL.iter().map(|&kind| (kind, self.of(kind))).filter(|(_, n)| *n != 0)
    }
}

impl fmt::Debug for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

//! The arguments and the end of each process of a storm; everything follows from the seed.

use crate::truth::Planned;

/// One process in this many has many long arguments.
const LONG_EVERY: u32 = 50;
const LONG_COUNT: usize = 60;
const LONG_BYTES: usize = 8 << 10;

/// A tenth of the processes die by one of these. SIGKILL leaves no time for anything, SIGTERM is
/// the usual one, the others would dump core.
const DEADLY: [u8; 10] = [9, 15, 11, 6, 9, 15, 8, 4, 7, 1];

/// Pieces that odd arguments are made of.
const ODD: [&[u8]; 16] = [
    b"",
    b" ",
    b"two words",
    b"line\nbreak",
    b"tab\there",
    b"it's",
    b"\"quoted\"",
    b"\xff\xfe\x80raw",
    b"\x1b[31mred\x1b[0m",
    "b\u{202e}idi\u{202c}".as_bytes(),
    "gr\u{fc}\u{df}e \u{1f980}".as_bytes(),
    b"--option=value",
    b"$HOME `id` $(id)",
    b"back\\slash",
    b"\r\x08\x7f\x01",
    b"*?[a-z]{1,2};&|<>",
];

/// SplitMix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }
}

/// The end of a process.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum End {
    /// With this code.
    Code(u8),
    /// By this signal, sent by itself.
    Signal(u8),
}

/// One process of a storm.
#[derive(Debug, Default)]
pub struct Spawn {
    /// The arguments after the first, each with a NUL at its end.
    pub block: Vec<u8>,
    /// The beginning of each.
    pub starts: Vec<usize>,
    /// Which of the programs' names to use.
    pub name: usize,
    /// How it ends.
    pub end: Option<End>,
}

/// The number of names of the tiny program.
pub const NAMES: [&str; 4] = ["ps-tiny", "true", "a-name-of-more-than-15-bytes", "sp ace"];

impl Spawn {
    /// Works out one process, reusing the memory of the last.
    pub fn plan(&mut self, seed: u64, which: Planned) {
        let Planned { spawner, index } = which;
        let mut random = Random(seed ^ u64::from(spawner) << 48 ^ u64::from(index) << 8);
        self.block.clear();
        self.starts.clear();
        self.name = random.below(NAMES.len() as u64) as usize;
        self.end = Some(match random.below(10) {
            0 => End::Signal(DEADLY[random.below(DEADLY.len() as u64) as usize]),
            1..=5 => End::Code(0),
            _ => End::Code(random.below(256) as u8),
        });
        if index % LONG_EVERY == LONG_EVERY - 1 {
            for _ in 1..LONG_COUNT {
                self.starts.push(self.block.len());
                self.piece(&mut random);
                while self.block.len() < self.starts.len() * LONG_BYTES / LONG_COUNT {
                    self.block.push(b'a' + random.below(26) as u8);
                }
                self.block.push(0);
            }
        } else {
            for _ in 0..2 + random.below(8) {
                self.starts.push(self.block.len());
                for _ in 0..1 + random.below(2) {
                    self.piece(&mut random);
                }
                self.block.push(0);
            }
        }
    }

    fn piece(&mut self, random: &mut Random) {
        self.block.extend_from_slice(ODD[random.below(ODD.len() as u64) as usize]);
    }

    /// The arguments after the first.
    pub fn arguments(&self) -> impl Iterator<Item = &[u8]> {
        self.starts.iter().map(|&start| {
            let rest = &self.block[start..];
            &rest[..rest.iter().position(|&b| b == 0).unwrap_or(rest.len())]
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_plan_is_as_promised() {
        let mut spawn = Spawn::default();
        let mut killed = 0;
        for index in 0..5_000 {
            spawn.plan(1, Planned { spawner: 0, index });
            let count = spawn.arguments().count() + 1;
            if index % 50 == 49 {
                assert_eq!(count, 60);
                assert!((8_000..9_000).contains(&spawn.block.len()), "{}", spawn.block.len());
            } else {
                assert!((3..=10).contains(&count), "{count}");
            }
            killed += usize::from(matches!(spawn.end, Some(End::Signal(_))));
        }
        assert!((400..600).contains(&killed), "{killed}");
    }

    #[test]
    fn it_comes_out_the_same_again() {
        let (mut a, mut b) = (Spawn::default(), Spawn::default());
        b.plan(3, Planned { spawner: 1, index: 7 });
        a.plan(3, Planned { spawner: 1, index: 8 });
        assert_ne!(a.block, b.block);
        a.plan(3, Planned { spawner: 1, index: 7 });
        assert_eq!((a.block, a.starts), (b.block, b.starts));
    }
}

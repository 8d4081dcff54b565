use std::collections::HashMap;
use std::io::Write as _;

/// The columns, in their order.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Counted {
    Fork,
    Exec,
    Exit,
    Coredump,
    Comm,
    Clone,
    Ptrace,
    Uid,
    Sid,
    NonzeroExit,
}

const LABELS: [&str; 10] = ["Fork", "Exec", "Exit", "Coredump", "Comm", "Clone", "Ptrace", "Uid", "Sid", "NonzeroExit"];

/// How many names are distinguished, so that a stream of ever new ones does not fill the memory.
const MAX_NAMES: usize = 65_536;

/// The row for all others.
const OTHERS: &[u8] = b"<others>";

/// How often each event happened, by name.
#[derive(Default)]
pub(super) struct Statistics {
    names: HashMap<Box<[u8]>, [u64; LABELS.len()]>,
}

impl Statistics {
    pub(super) fn count(&mut self, name: &[u8], what: Counted) {
        if let Some(counts) = self.names.get_mut(name) {
            counts[what as usize] += 1;
            return;
        }
        let name = if self.names.len() < MAX_NAMES { name } else { OTHERS };
        self.names.entry(name.into()).or_default()[what as usize] += 1;
    }

    pub(super) fn report(&self, out: &mut Vec<u8>) {
        if self.names.is_empty() {
            out.extend_from_slice(b"\nNo statistics gathered.\n");
            return;
        }
        out.push(b'\n');
        for label in LABELS {
            let _ = write!(out, "{label:>8} ");
        }
        out.extend_from_slice(b"   Total Process\n");
        let mut sorted: Vec<_> = self.names.iter().collect();
        sorted.sort_by(|(a_name, a), (b_name, b)| total(b).cmp(&total(a)).then(a_name.cmp(b_name)));
        for (name, counts) in sorted {
            for (label, count) in LABELS.iter().zip(counts) {
                let _ = write!(out, "{count:>0$} ", label.len().max(8));
            }
            let _ = write!(out, "{:>8} ", total(counts));
            out.extend_from_slice(name);
            out.push(b'\n');
        }
    }
}

/// All of them; a failed exit once.
fn total(counts: &[u64; LABELS.len()]) -> u64 {
    counts.iter().sum::<u64>() - counts[Counted::NonzeroExit as usize]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_by_total() {
        let mut statistics = Statistics::default();
        let mut text = Vec::new();
        statistics.report(&mut text);
        for (name, what, count) in [
            ("ls -l", Counted::Exec, 3),
            ("sh", Counted::Fork, 7),
            ("sh", Counted::Exit, 2),
            ("sh", Counted::NonzeroExit, 2),
            ("a", Counted::Sid, 3),
        ] {
            (0..count).for_each(|_| statistics.count(name.as_bytes(), what));
        }
        statistics.report(&mut text);
        insta::assert_snapshot!(String::from_utf8(text).unwrap());
    }

    #[test]
    fn ever_new_names_do_not_fill_the_memory() {
        let mut statistics = Statistics::default();
        for number in 0..MAX_NAMES as u64 + 1000 {
            statistics.count(&number.to_le_bytes(), Counted::Exec);
        }
        assert_eq!(statistics.names.len(), MAX_NAMES + 1);
        assert_eq!(statistics.names[OTHERS][Counted::Exec as usize], 1000);
    }
}

//! A page of a CPU's ring buffer, and the records in it.

use std::collections::BTreeMap;

use super::Malformed;
use super::format::{LONGEST, Place, decode_field};

/// The layout of a page and of the header of each record.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct PageLayout {
    stamp: Place,
    commit: Place,
    data: usize,
    /// The whole page, bytes.
    pub(crate) size: usize,
    type_bits: u32,
    padding: u32,
    extend: u32,
    absolute: u32,
}

/// The count in a page's header says that records are missing before the page.
const MISSED: u64 = 1 << 31;
/// Their number follows the last record.
const MISSED_STORED: u64 = 1 << 30;
/// The delta has this many bits; the rest of a longer one is in the next word.
const DELTA_BITS: u32 = 27;
/// An absolute time has this many bits.
const ABSOLUTE_BITS: u32 = 59;

/// The position of a page among the others of its CPU.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Missed {
    /// Records are missing before it.
    pub(crate) before: bool,
    /// How many, if that is known.
    pub(crate) count: Option<u64>,
}

impl PageLayout {
    /// From `events/header_page` and `events/header_event`.
    pub(crate) fn decode(page: &str, event: &str) -> Result<Self, Malformed> {
        let fields: BTreeMap<_, _> = page.lines().filter_map(decode_field).collect();
        let field = |name| fields.get(name).copied().ok_or(Malformed);
        let data = field("data")?;
        let number = |name: &str| {
            let line = event.lines().find(|line| line.trim_start().starts_with(name)).ok_or(Malformed)?;
            let digits = line.split(|c: char| !c.is_ascii_digit()).find(|word| !word.is_empty());
            digits.and_then(|digits| digits.parse::<u32>().ok()).ok_or(Malformed)
        };
        let layout = Self {
            stamp: field("timestamp")?,
            commit: field("commit")?,
            data: data.offset,
            size: data.offset + data.size,
            type_bits: number("type_len")?,
            padding: number("padding")?,
            extend: number("time_extend")?,
            absolute: number("time_stamp").unwrap_or(31),
        };
        let rest = number("time_delta")?;
        let sound = layout.size <= LONGEST && layout.type_bits == 5 && rest == DELTA_BITS;
        sound.then_some(layout).ok_or(Malformed)
    }

    /// The type and the delta in a record's first word, which is a C bit field.
    fn split(&self, word: u32) -> (u32, u64) {
        if cfg!(target_endian = "big") {
            (word >> DELTA_BITS, u64::from(word & ((1 << DELTA_BITS) - 1)))
        } else {
            (word & ((1 << self.type_bits) - 1), u64::from(word >> self.type_bits))
        }
    }

    /// Gives each record of a page with its time; bytes that are not a record end it. Returns
    /// whether some are missing before it.
    pub(crate) fn records<'a>(&self, page: &'a [u8], mut each: impl FnMut(u64, &'a [u8])) -> Result<Missed, Malformed> {
        let unsigned = |place: &Place| place.number(page).map(|number| number as u64).ok_or(Malformed);
        let (mut now, commit) = (unsigned(&self.stamp)?, unsigned(&self.commit)?);
        let room = page.get(self.data..).ok_or(Malformed)?;
        let len = (commit & (MISSED_STORED - 1)) as usize;
        let data = room.get(..len).ok_or(Malformed)?;
        let mut missed = Missed { before: commit & MISSED != 0, count: None };
        if commit & MISSED_STORED != 0 {
            // As long as the counter is.
            let count = room.get(len..).and_then(|rest| rest.get(..self.commit.size));
            let place = Place { offset: 0, ..self.commit };
            missed.count = count.and_then(|count| place.number(count)).and_then(|count| u64::try_from(count).ok());
        }
        let word = |at: usize| data.get(at..).and_then(|rest| rest.first_chunk()).map(|word| u32::from_ne_bytes(*word));
        let mut at = 0;
        while at < data.len() {
            let (kind, delta) = self.split(word(at).ok_or(Malformed)?);
            let second = word(at + 4);
            let long = |second: Option<u32>| Ok((u64::from(second.ok_or(Malformed)?) << DELTA_BITS) + delta);
            if kind == self.padding {
                // Without a delta nothing follows it. A discarded one with the smallest delta had
                // none (`rb_event_discard`).
                if delta == 0 {
                    break;
                }
                now = now.wrapping_add(if delta == 1 { 0 } else { delta });
                at = next(at + 4, second.ok_or(Malformed)? as usize, 4)?;
            } else if kind == self.extend {
                now = now.wrapping_add(long(second)?);
                at += 8;
            } else if kind == self.absolute {
                let mut stamp = long(second)? & ((1 << ABSOLUTE_BITS) - 1) | now >> ABSOLUTE_BITS << ABSOLUTE_BITS;
                if stamp < now && now >> ABSOLUTE_BITS != 0 {
                    stamp = stamp.wrapping_add(1 << ABSOLUTE_BITS);
                }
                now = stamp;
                at += 8;
            } else {
                now = now.wrapping_add(delta);
                let (start, end) = match kind {
                    0 => (at + 8, next(at + 4, second.ok_or(Malformed)? as usize, 4)?),
                    words => (at + 4, at + 4 + 4 * words as usize),
                };
                each(now, data.get(start..end).ok_or(Malformed)?);
                at = end;
            }
        }
        Ok(missed)
    }
}

/// After a length that counts itself.
fn next(at: usize, len: usize, least: usize) -> Result<usize, Malformed> {
    if len < least || len > LONGEST {
        return Err(Malformed);
    }
    Ok(at + len.next_multiple_of(4))
}

#[cfg(test)]
mod tests {
    use super::super::samples;
    use super::*;

    /// A page that begins at this time, with these records: a type and a delta, the following
    /// words, and the rest.
    fn page(stamp: u64, flags: u64, words: &[u32]) -> Vec<u8> {
        let mut page = stamp.to_ne_bytes().to_vec();
        page.extend((words.len() as u64 * 4).wrapping_add(flags).to_ne_bytes());
        page.extend(words.iter().flat_map(|word| word.to_ne_bytes()));
        page.resize(4096, 0);
        page
    }

    fn head(kind: u32, delta: u32) -> u32 {
        kind | delta << 5
    }

    fn times(page: &[u8]) -> (Vec<(u64, usize)>, Result<Missed, Malformed>) {
        let mut times = Vec::new();
        let missed = samples::layout().unwrap().records(page, |ns, record| times.push((ns, record.len())));
        (times, missed)
    }

    #[test]
    fn the_layout_of_a_page() {
        let layout = samples::layout().unwrap();
        assert_eq!((layout.size, layout.padding, layout.extend, layout.absolute), (4096, 29, 30, 31));
        assert_eq!((layout.stamp.offset, layout.commit.offset, layout.data), (0, 8, 16));
        assert_eq!(PageLayout::decode("", ""), Err(Malformed));
    }

    #[test]
    fn times_of_every_kind() {
        // A record of one word, a discarded one, a long delta, a record with a given length, an
        // absolute time, one more.
        let words = [head(1, 10), 7, head(29, 5), 4, head(30, 3), 1, head(0, 1), 8, 9, head(31, 2), 2, head(1, 1), 7];
        let (told, missed) = times(&page(100, 0, &words));
        let long = 100 + 10 + 5 + (1 << 27) + 3 + 1;
        assert_eq!(told, [(110, 4), (long, 4), ((2 << 27) + 2 + 1, 4)]);
        assert_eq!(missed, Ok(Missed::default()));
    }

    #[test]
    fn what_is_missing_is_told() {
        let mut bytes = page(1, MISSED | MISSED_STORED, &[head(1, 1), 7]);
        bytes[24..32].copy_from_slice(&41u64.to_ne_bytes());
        assert_eq!(times(&bytes).1, Ok(Missed { before: true, count: Some(41) }));
        assert_eq!(times(&page(1, MISSED, &[])).1, Ok(Missed { before: true, count: None }));
    }
}

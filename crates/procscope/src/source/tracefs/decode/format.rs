//! The places of a record's fields, from `events/GROUP/NAME/format`.

use std::collections::BTreeMap;

use super::Malformed;

/// The place of a field's bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum At {
    Here,
    /// Elsewhere in the record. The word here gives it: its lower half is the place, counted from
    /// the record's beginning, the upper the length.
    Elsewhere,
    /// The same, counted from this field's end.
    ElsewhereFromHere,
}

/// A field of a record.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Place {
    pub(super) offset: usize,
    pub(super) size: usize,
    pub(super) signed: bool,
    pub(super) at: At,
}

impl Place {
    fn raw<'a>(&self, record: &'a [u8]) -> Option<&'a [u8]> {
        record.get(self.offset..self.offset.checked_add(self.size)?)
    }

    pub(super) fn bytes<'a>(&self, record: &'a [u8]) -> Option<&'a [u8]> {
        let raw = self.raw(record)?;
        if self.at == At::Here {
            return Some(raw);
        }
        let word = u32::from_ne_bytes(*raw.first_chunk()?);
        let from = if self.at == At::Elsewhere { 0 } else { self.offset + self.size };
        let start = from + (word & 0xffff) as usize;
        record.get(start..start + (word >> 16) as usize)
    }

    /// The bytes up to the first NUL.
    pub(super) fn text<'a>(&self, record: &'a [u8]) -> Option<&'a [u8]> {
        self.bytes(record)?.split(|&b| b == 0).next()
    }

    pub(super) fn number(&self, record: &[u8]) -> Option<i64> {
        let raw = self.raw(record)?;
        Some(match (raw, self.signed) {
            (&[byte], false) => byte.into(),
            (&[byte], true) => (byte as i8).into(),
            (&[a, b], false) => u16::from_ne_bytes([a, b]).into(),
            (&[a, b], true) => i16::from_ne_bytes([a, b]).into(),
            (&[a, b, c, d], false) => u32::from_ne_bytes([a, b, c, d]).into(),
            (&[a, b, c, d], true) => i32::from_ne_bytes([a, b, c, d]).into(),
            _ => i64::from_ne_bytes(*raw.first_chunk().filter(|_| raw.len() == 8)?),
        })
    }
}

/// The layout of one event: `events/GROUP/NAME/format`.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Format {
    pub(super) id: u16,
    fields: BTreeMap<String, Place>,
}

/// No record is longer: a sub-buffer has at most 2^8 pages.
pub(super) const LONGEST: usize = 1 << 24;

/// `field:DECLARATION; offset:N; size:N; signed:N;`
pub(super) fn decode_field(line: &str) -> Option<(String, Place)> {
    let (_, rest) = line.trim().strip_prefix("field")?.split_once(':')?;
    let mut parts = rest.split(';').map(str::trim);
    let declaration = parts.next()?;
    let (mut offset, mut size, mut signed) = (None, None, false);
    for part in parts {
        match part.split_once(':') {
            Some(("offset", number)) => offset = number.trim().parse().ok(),
            Some(("size", number)) => size = number.trim().parse().ok(),
            Some(("signed", number)) => signed = number.trim() == "1",
            _ => {}
        }
    }
    let at = match declaration.split_whitespace().next()? {
        "__data_loc" => At::Elsewhere,
        "__rel_loc" => At::ElsewhereFromHere,
        _ => At::Here,
    };
    let name = declaration.split_whitespace().next_back()?;
    let name = name.split('[').next()?.trim_start_matches('*');
    let (offset, size) = (offset?, size?);
    let place = Place { offset, size, signed, at };
    (!name.is_empty() && offset <= LONGEST && size <= LONGEST).then(|| (name.to_owned(), place))
}

impl Format {
    pub(crate) fn decode(text: &str) -> Result<Self, Malformed> {
        let id = text.lines().find_map(|line| line.strip_prefix("ID:")?.trim().parse().ok());
        Ok(Self { id: id.ok_or(Malformed)?, fields: text.lines().filter_map(decode_field).collect() })
    }

    pub(super) fn place(&self, name: &str) -> Option<Place> {
        self.fields.get(name).copied()
    }
}

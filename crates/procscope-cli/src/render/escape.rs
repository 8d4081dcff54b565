use std::borrow::Cow;
use std::fmt::Write;

/// True for what may act on a terminal or change how a line reads: control characters, and the invisible ones that turn
/// the direction of text, join or hide it.
///
/// Source: Unicode's general categories Cc, Zl, Zp and Cf, without those of Cf that have a shape of their own, and
/// without ZWNJ and ZWJ, which words of Persian and emoji need; UAX #9 lists the directional ones.
pub(crate) fn is_unsafe(c: char) -> bool {
    matches!(c,
        '\0'..='\x1f'
        | '\x7f'..='\u{9f}'
        | '\u{ad}'
        | '\u{61c}'
        | '\u{180e}'
        | '\u{200b}'
        | '\u{200e}'..='\u{200f}'
        | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}'
        | '\u{feff}'
        | '\u{fff9}'..='\u{fffb}'
        | '\u{e0000}'..='\u{e007f}')
}

/// A text of our own for stderr, with what is unsafe as `\u{…}`.
pub(crate) fn visible(text: &str) -> Cow<'_, str> {
    if !text.contains(is_unsafe) {
        return Cow::Borrowed(text);
    }
    let mut safe = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match is_unsafe(c) {
            true => _ = write!(safe, "{}", c.escape_unicode()),
            false => safe.push(c),
        }
    }
    Cow::Owned(safe)
}

/// Of each byte: whether JSON text can hold it as it stands, without a look at what follows. DEL is escaped for the
/// terminal's sake.
const PLAIN: [bool; 256] = {
    let mut plain = [false; 256];
    let mut byte = 0x20;
    while byte < 0x7f {
        plain[byte] = byte != b'"' as usize && byte != b'\\' as usize;
        byte += 1;
    }
    plain
};

/// The length of the longest beginning that JSON text can hold as it stands.
pub(crate) fn plain_len(bytes: &[u8]) -> usize {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = ONES << 7;
    // Sets the high bit of each byte below 0x20, of each that is `"`, `\` or DEL, and of each above DEL. A borrow may
    // spoil the bytes above a hit, never those below the first one.
    let hits = |word: u64| {
        let quote = word ^ (ONES * b'"' as u64);
        let backslash = word ^ (ONES * b'\\' as u64);
        let delete = word ^ (ONES * 0x7f);
        let below = word.wrapping_sub(ONES * 0x20) & !word;
        let zero = |x: u64| x.wrapping_sub(ONES) & !x;
        (below | zero(quote) | zero(backslash) | zero(delete) | word) & HIGH
    };
    let (chunks, tail) = bytes.as_chunks::<8>();
    for (index, chunk) in chunks.iter().enumerate() {
        let hits = hits(u64::from_le_bytes(*chunk));
        if hits != 0 {
            return index * 8 + (hits.trailing_zeros() / 8) as usize;
        }
    }
    bytes.len() - tail.len() + tail.iter().position(|&b| !PLAIN[usize::from(b)]).unwrap_or(tail.len())
}

/// Appends `bytes` as the inside of a JSON string, and each NUL in it as `nul`. True where they were no UTF-8, so that
/// U+FFFD stands for the rest of what was no character.
pub(crate) fn push_json(out: &mut Vec<u8>, mut bytes: &[u8], nul: &[u8]) -> bool {
    let mut lossy = false;
    loop {
        let (plain, rest) = bytes.split_at(plain_len(bytes));
        out.extend_from_slice(plain);
        let Some(&first) = rest.first() else { return lossy };
        let length = match first {
            0 => {
                out.extend_from_slice(nul);
                1
            }
            b'"' | b'\\' => {
                out.extend_from_slice(&[b'\\', first]);
                1
            }
            b'\n' => {
                out.extend_from_slice(b"\\n");
                1
            }
            b'\t' => {
                out.extend_from_slice(b"\\t");
                1
            }
            b'\r' => {
                out.extend_from_slice(b"\\r");
                1
            }
            _ => {
                let (c, length) = bstr::decode_utf8(rest);
                match c {
                    Some(c) if is_unsafe(c) => push_unicode_escape(out, c),
                    Some(_) => out.extend_from_slice(&rest[..length]),
                    None => {
                        lossy = true;
                        out.extend_from_slice("\u{fffd}".as_bytes());
                    }
                }
                length
            }
        };
        bytes = &rest[length..];
    }
}

fn push_unicode_escape(out: &mut Vec<u8>, c: char) {
    for unit in c.encode_utf16(&mut [0; 2]) {
        out.extend_from_slice(b"\\u");
        out.extend([12, 8, 4, 0].map(|shift| b"0123456789abcdef"[usize::from(*unit >> shift & 15)]));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn plain_len_knows_every_byte_at_every_place() {
        for byte in 0..=255u8 {
            for place in 0..20 {
                let mut text = vec![b'a'; 20];
                text[place] = byte;
                let plain = (0x20..0x7f).contains(&byte) && byte != b'"' && byte != b'\\';
                assert_eq!(plain_len(&text), if plain { 20 } else { place }, "{byte:#x} at {place}");
            }
        }
    }

    #[test]
    fn terminals_are_safe_from_every_character() {
        for c in ('\0'..=char::MAX).filter(|&c| is_unsafe(c)) {
            let mut out = vec![b'"'];
            assert!(!push_json(&mut out, c.to_string().as_bytes(), b"\\u0000"));
            out.push(b'"');
            assert!(out.iter().all(u8::is_ascii_graphic), "{c:?}");
            assert_eq!(serde_json::from_slice::<String>(&out).unwrap(), c.to_string());
        }
        // Those that the documentation promises.
        let promised = "\x1b\x7f\u{9b}\u{200e}\u{200f}\u{202a}\u{202e}\u{2066}\u{2069}\u{61c}\u{feff}\u{2028}\u{2029}";
        assert!(promised.chars().all(is_unsafe));
    }

    proptest! {
        #[test]
        fn json_reads_back(bytes: Vec<u8>) {
            let mut out = vec![b'"'];
            let lossy = push_json(&mut out, &bytes, b"\\u0000");
            out.push(b'"');
            prop_assert_eq!(serde_json::from_slice::<String>(&out).unwrap(), String::from_utf8_lossy(&bytes).into_owned());
            prop_assert_eq!(lossy, std::str::from_utf8(&bytes).is_err());
        }

        #[test]
        fn plain_len_is_exact(bytes: Vec<u8>) {
            let slow = bytes.iter().position(|&b| !PLAIN[usize::from(b)]).unwrap_or(bytes.len());
            prop_assert_eq!(plain_len(&bytes), slow);
        }

        #[test]
        fn visible_text_is_safe(text: String) {
            prop_assert!(!visible(&text).contains(is_unsafe));
        }
    }
}

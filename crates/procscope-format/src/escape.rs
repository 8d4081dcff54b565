//! Characters that may act on a terminal, and how they are shown.

use std::borrow::Cow;
use std::fmt::Write;

/// True for characters that may act on a terminal or change how a line reads: control characters,
/// line separators, and every character that nothing shows.
///
/// Source: Unicode's general categories Cc, Zl and Zp; its property Default_Ignorable_Code_Point,
/// unassigned code points included; and the three marks of interlinear annotations.
pub fn is_unsafe(c: char) -> bool {
    matches!(c,
        '\0'..='\x1f'
        | '\x7f'..='\u{9f}'
        | '\u{ad}'
        | '\u{34f}'
        | '\u{61c}'
        | '\u{115f}'..='\u{1160}'
        | '\u{17b4}'..='\u{17b5}'
        | '\u{180b}'..='\u{180f}'
        | '\u{200b}'..='\u{200f}'
        | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}'
        | '\u{3164}'
        | '\u{fe00}'..='\u{fe0f}'
        | '\u{feff}'
        | '\u{ffa0}'
        | '\u{fff0}'..='\u{fffb}'
        | '\u{1bca0}'..='\u{1bca3}'
        | '\u{1d173}'..='\u{1d17a}'
        | '\u{e0000}'..='\u{e0fff}')
}

/// A text of our own for stderr; unsafe characters become `\u{…}`.
pub fn visible(text: &str) -> Cow<'_, str> {
    escaped(text, is_unsafe)
}

/// The same for a text of several lines.
pub fn visible_lines(text: &str) -> Cow<'_, str> {
    escaped(text, |c| c != '\n' && is_unsafe(c))
}

fn escaped(text: &str, hidden: fn(char) -> bool) -> Cow<'_, str> {
    if !text.contains(hidden) {
        return Cow::Borrowed(text);
    }
    let mut safe = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match hidden(c) {
            true => _ = write!(safe, "{}", c.escape_unicode()),
            false => safe.push(c),
        }
    }
    Cow::Owned(safe)
}

/// This many bytes are checked and copied at once; neither needs a call.
const BLOCK: usize = 8;

/// How many bytes at the beginning JSON text can hold unchanged, whatever follows. DEL is escaped
/// because of terminals.
#[inline(always)]
fn plain_of(block: &[u8; BLOCK]) -> usize {
    const ONES: u64 = u64::MAX / 255;
    let word = u64::from_le_bytes(*block);
    let zero = |x: u64| x.wrapping_sub(ONES);
    // Sets the high bit of each byte below 0x20, of each that is `"` or `\`, and of each from DEL
    // on. Carries and borrows may spoil the bytes above a hit, never those below the first one.
    let hits = word
        | word.wrapping_add(ONES)
        | word.wrapping_sub(ONES * 0x20)
        | zero(word ^ (ONES * b'"' as u64))
        | zero(word ^ (ONES * b'\\' as u64));
    ((hits & (ONES << 7)).trailing_zeros() / 8) as usize
}

/// What becomes of a byte that [`plain_of`] stops at: the letter of its short escape, or one of
/// these.
const ESCAPES: [u8; 256] = {
    let mut escapes = [PLAIN; 256];
    let mut byte = 0;
    while byte < 0x20 {
        escapes[byte] = CONTROL;
        byte += 1;
    }
    escapes[0x7f] = CONTROL;
    byte = 0x80;
    while byte <= 0xff {
        // Bytes that begin no character: continuations, and those of overlong forms or beyond
        // U+10FFFF.
        escapes[byte] = if byte >= 0xc2 && byte <= 0xf4 { WIDE } else { INVALID };
        byte += 1;
    }
    escapes[0] = NUL;
    escapes[b'"' as usize] = b'"';
    escapes[b'\\' as usize] = b'\\';
    escapes[b'\n' as usize] = b'n';
    escapes[b'\t' as usize] = b't';
    escapes[b'\r' as usize] = b'r';
    escapes
};
const PLAIN: u8 = 0;
const NUL: u8 = 1;
const CONTROL: u8 = 2;
const INVALID: u8 = 3;
const WIDE: u8 = 4;

/// The longest escape: two units of 6 bytes each, for a character beyond U+FFFF.
const ESCAPE: usize = 12;
const ROOM: usize = BLOCK + ESCAPE;

/// Appends `bytes` as the inside of a JSON string, and each NUL in it as `nul`. Returns true if
/// they were not valid UTF-8, so that U+FFFD replaces the invalid ones.
pub(crate) fn push_json<const N: usize>(out: &mut Vec<u8>, bytes: &[u8], nul: &[u8; N]) -> bool {
    const { assert!(N <= ESCAPE) };
    if push_short(out, bytes) {
        return false;
    }
    let mut end = out.len();
    let mut rest = bytes;
    let mut lossy = false;
    // Room for twice the rest, or at least for one more: a byte grows to at most 6.
    loop {
        out.resize(end + rest.len() + rest.len().min(64) + 2 * ROOM, 0);
        let filled = fill(&mut out[end..], rest, nul);
        end += filled.room;
        rest = &rest[filled.bytes..];
        lossy |= filled.lossy;
        if rest.is_empty() {
            out.truncate(end);
            return lossy;
        }
    }
}

struct Filled {
    bytes: usize,
    room: usize,
    lossy: bool,
}

/// Continues while there is room for any escape.
fn fill<const N: usize>(room: &mut [u8], bytes: &[u8], nul: &[u8; N]) -> Filled {
    let (mut from, mut to) = (0, 0);
    let mut lossy = false;
    while let Some(room) = room.get_mut(to..).and_then(<[u8]>::first_chunk_mut::<ROOM>) {
        let mut plain = 0;
        if let Some(block) = bytes[from..].first_chunk::<BLOCK>() {
            room[..BLOCK].copy_from_slice(block);
            plain = plain_of(block);
            from += plain;
            to += plain;
            if plain == BLOCK {
                continue;
            }
        }
        let Some(&first) = bytes.get(from) else { break };
        let Some(room) = room[plain..].first_chunk_mut::<ESCAPE>() else { break };
        from += 1;
        to += match ESCAPES[usize::from(first)] {
            PLAIN => {
                room[0] = first;
                1
            }
            NUL => {
                room[..N].copy_from_slice(nul);
                N
            }
            CONTROL => put_unicode_escape(room, 0, first.into()),
            INVALID => {
                lossy = true;
                put_replacement(room)
            }
            WIDE => {
                let (c, length) = bstr::decode_utf8(&bytes[from - 1..]);
                from += length - 1;
                match c {
                    Some(c) if is_unsafe(c) => {
                        c.encode_utf16(&mut [0; 2]).iter().fold(0, |at, unit| put_unicode_escape(room, at, *unit))
                    }
                    Some(c) => c.encode_utf8(room).len(),
                    None => {
                        lossy = true;
                        put_replacement(room)
                    }
                }
            }
            letter => {
                room[..2].copy_from_slice(&[b'\\', letter]);
                2
            }
        };
    }
    Filled { bytes: from, room: to, lossy }
}

/// Appends a short text that needs no escape, such as names and most paths; otherwise returns
/// `false`.
#[inline(always)]
fn push_short(out: &mut Vec<u8>, bytes: &[u8]) -> bool {
    let end = out.len() + bytes.len();
    if let (Some(head), Some(tail), true) =
        (bytes.first_chunk::<BLOCK>(), bytes.last_chunk::<BLOCK>(), bytes.len() <= 2 * BLOCK)
    {
        // The two overlap.
        if plain_of(head) != BLOCK || plain_of(tail) != BLOCK {
            return false;
        }
        out.extend_from_slice(head);
        out.truncate(end - BLOCK);
        out.extend_from_slice(tail);
        return true;
    }
    if bytes.len() >= BLOCK {
        return false;
    }
    let word = bytes.iter().rev().fold(0, |word, &b| word << 8 | u64::from(b)).to_le_bytes();
    if plain_of(&word) < bytes.len() {
        return false;
    }
    out.extend_from_slice(&word);
    out.truncate(end);
    true
}

/// Each returns the length of what it put into the room.
#[inline(always)]
fn put_replacement(room: &mut [u8; ESCAPE]) -> usize {
    room[..3].copy_from_slice("\u{fffd}".as_bytes());
    3
}

fn put_unicode_escape(room: &mut [u8; ESCAPE], at: usize, unit: u16) -> usize {
    let [a, b, c, d] = [12, 8, 4, 0].map(|shift| b"0123456789abcdef"[usize::from(unit >> shift & 15)]);
    room[at..at + 6].copy_from_slice(&[b'\\', b'u', a, b, c, d]);
    at + 6
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PLAIN: [bool; 256] = {
        let mut plain = [false; 256];
        let mut byte = 0x20;
        while byte < 0x7f {
            plain[byte] = byte != b'"' as usize && byte != b'\\' as usize;
            byte += 1;
        }
        plain
    };

    fn plain_len(bytes: &[u8]) -> usize {
        let mut done = 0;
        loop {
            let mut block = [0; BLOCK];
            let rest = &bytes[done..];
            let length = rest.len().min(BLOCK);
            block[..length].copy_from_slice(&rest[..length]);
            let plain = plain_of(&block);
            done += plain;
            if plain < BLOCK {
                return done;
            }
        }
    }

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
        // The characters that the documentation promises.
        let promised = "\x1b\x7f\u{9b}\u{200e}\u{200f}\u{202a}\u{202e}\u{2066}\u{2069}\u{61c}\u{feff}\u{2028}\u{2029}";
        assert!(promised.chars().all(is_unsafe));
    }

    #[test]
    fn what_nothing_shows_is_unsafe_and_nothing_else() {
        let unsafe_ones = r"[\p{Default_Ignorable_Code_Point}\p{Cc}\p{Zl}\p{Zp}\x{FFF9}-\x{FFFB}]";
        let unsafe_ones = regex::Regex::new(unsafe_ones).unwrap();
        for c in '\0'..=char::MAX {
            assert_eq!(is_unsafe(c), unsafe_ones.is_match(c.encode_utf8(&mut [0; 4])), "{c:?}");
        }
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

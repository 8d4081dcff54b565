/// The two digits of each 12 bits, the first in the lower half.
static PAIRS: [u16; 4096] = {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut pairs = [0; 4096];
    let mut bits = 0;
    while bits < pairs.len() {
        pairs[bits] = u16::from_le_bytes([DIGITS[bits >> 6], DIGITS[bits & 63]]);
        bits += 1;
    }
    pairs
};

/// The bytes of a block, the first of them highest; 2 bytes of 1 above all.
#[inline(always)]
fn word_of(&[a, b, c, d, e, f]: &[u8; 6]) -> u64 {
    let (high, low) = (u32::from_be_bytes([a, b, c, d]), u16::from_be_bytes([e, f]));
    0x0101 << 48 | u64::from(high) << 16 | u64::from(low)
}

#[inline(always)]
fn digits(word: u64) -> [u8; 8] {
    let pair = |shift: u32| u64::from(PAIRS[(word >> shift & 0xfff) as usize]);
    (pair(36) | pair(24) << 16 | pair(12) << 32 | pair(0) << 48).to_le_bytes()
}

/// Appends the rest of a string, fewer than 6 bytes, padded.
#[inline(always)]
fn push_tail(out: &mut Vec<u8>, tail: &[u8]) {
    if tail.is_empty() {
        return;
    }
    let mut padded = [0; 6];
    padded[..tail.len()].copy_from_slice(tail);
    let mut text = digits(word_of(&padded));
    let length = if tail.len() > 3 { 8 } else { 4 };
    // 1 byte of 3 makes 2 digits, 2 make 3.
    let missing = (6 - tail.len()) % 3;
    text[length - missing..length].fill(b'=');
    let length = out.len() + length;
    out.extend_from_slice(&text);
    out.truncate(length);
}

/// Appends bytes in base64, padded: RFC 4648, section 4.
pub(super) fn push_base64(out: &mut Vec<u8>, bytes: &[u8]) {
    let (blocks, tail) = bytes.as_chunks::<6>();
    for block in blocks {
        out.extend_from_slice(&digits(word_of(block)));
    }
    push_tail(out, tail);
}

#[inline(always)]
fn has_nul(word: u64) -> bool {
    const ONES: u64 = u64::MAX / 255;
    word.wrapping_sub(ONES) & !word & (ONES << 7) != 0
}

/// Appends strings that NULs separate, each by itself, and `between` between them.
pub(super) fn push_base64_list<const N: usize>(out: &mut Vec<u8>, mut list: &[u8], between: &[u8; N]) {
    loop {
        // The whole string except its end.
        while let Some(word) = list.first_chunk().map(word_of)
            && !has_nul(word)
        {
            out.extend_from_slice(&digits(word));
            list = &list[6..];
        }
        let nul = list.iter().take(6).position(|&b| b == 0);
        push_tail(out, &list[..nul.unwrap_or(list.len())]);
        let Some(nul) = nul else { return };
        out.extend_from_slice(between);
        list = &list[nul + 1..];
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine;
    use base64::prelude::BASE64_STANDARD;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_is_the_usual_encoding(bytes: Vec<u8>) {
            let mut text = b"before".to_vec();
            push_base64(&mut text, &bytes);
            prop_assert_eq!(String::from_utf8(text).unwrap(), format!("before{}", BASE64_STANDARD.encode(&bytes)));
        }

        #[test]
        fn lists_are_their_strings(bytes in proptest::collection::vec(prop_oneof![2 => Just(0u8), 9 => any::<u8>()], 0..80)) {
            let mut text = Vec::new();
            push_base64_list(&mut text, &bytes, b", ");
            let strings = bytes.split(|&b| b == 0).map(|string| BASE64_STANDARD.encode(string)).collect::<Vec<_>>();
            prop_assert_eq!(String::from_utf8(text).unwrap(), strings.join(", "));
        }
    }
}

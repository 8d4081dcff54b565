/// The two digits of each 12 bits.
static PAIRS: [[u8; 2]; 4096] = {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut pairs = [[0; 2]; 4096];
    let mut bits = 0;
    while bits < pairs.len() {
        pairs[bits] = [DIGITS[bits >> 6], DIGITS[bits & 63]];
        bits += 1;
    }
    pairs
};

#[inline(always)]
fn digits(bytes: &[u8; 6]) -> [u8; 8] {
    let &[a, b, c, d, e, f] = bytes;
    let bits = u64::from_be_bytes([0, 0, a, b, c, d, e, f]);
    let [[a, b], [c, d], [e, f], [g, h]] = [36, 24, 12, 0].map(|shift| PAIRS[(bits >> shift & 0xfff) as usize]);
    [a, b, c, d, e, f, g, h]
}

/// Appends what is left of a string, fewer than 6 bytes, padded.
#[inline(always)]
fn push_tail(out: &mut Vec<u8>, tail: &[u8]) {
    if tail.is_empty() {
        return;
    }
    let mut padded = [0; 6];
    padded.iter_mut().zip(tail).for_each(|(to, from)| *to = *from);
    let mut text = digits(&padded);
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
        out.extend_from_slice(&digits(block));
    }
    push_tail(out, tail);
}

#[inline(always)]
fn has_nul(block: &[u8; 6]) -> bool {
    const ONES: u64 = u64::MAX / 255;
    let &[a, b, c, d, e, f] = block;
    let word = u64::from_be_bytes([1, 1, a, b, c, d, e, f]);
    word.wrapping_sub(ONES) & !word & (ONES << 7) != 0
}

/// Appends strings that NULs part, each by itself, and `between` between them.
pub(super) fn push_base64_list<const N: usize>(out: &mut Vec<u8>, mut list: &[u8], between: &[u8; N]) {
    loop {
        // All of a string but the last of it.
        while let Some(block) = list.first_chunk::<6>()
            && !has_nul(block)
        {
            out.extend_from_slice(&digits(block));
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

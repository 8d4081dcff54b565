//! Numbers as text.

/// Appends a number in decimal digits.
#[inline(always)]
pub fn push_number(out: &mut Vec<u8>, number: impl itoa::Integer) {
    let mut buffer = itoa::Buffer::new();
    let digits = buffer.format(number).as_bytes();
    // Most are short: two overlapping copies of a known length need no call.
    match (digits.first_chunk::<4>(), digits.last_chunk::<4>()) {
        (Some(head), Some(tail)) if digits.len() <= 8 => {
            let end = out.len() + digits.len();
            out.extend_from_slice(head);
            out.truncate(end - tail.len());
            out.extend_from_slice(tail);
        }
        (None, _) => digits.iter().for_each(|&digit| out.push(digit)),
        _ => out.extend_from_slice(digits),
    }
}

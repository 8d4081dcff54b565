//! Times as text.

use procscope_model::Timestamp;

const NS_PER_S: i64 = 1_000_000_000;

/// The last second that was formatted: many events come in a second, and only their fractions
/// differ.
pub struct Second<const N: usize> {
    second: Option<i64>,
    text: [u8; N],
}

impl<const N: usize> Second<N> {
    /// None yet.
    #[allow(clippy::new_without_default, reason = "an array of any length has no default")]
    pub const fn new() -> Self {
        Self { second: None, text: [b' '; N] }
    }

    /// The text of a second, and the nanoseconds that follow it.
    pub fn at(&mut self, time: Timestamp, format: impl FnOnce(jiff::Timestamp) -> String) -> (&[u8; N], u32) {
        let second = time.0.div_euclid(NS_PER_S);
        if self.second != Some(second) {
            // Every second of an i64 of nanoseconds is within jiff's years -9999 to 9999.
            let text = format(jiff::Timestamp::from_second(second).unwrap_or_default());
            self.text.copy_from_slice(text.as_bytes());
            self.second = Some(second);
        }
        (&self.text, time.0.rem_euclid(NS_PER_S) as u32)
    }
}

/// Writes times as RFC 3339 in UTC with 9 digits: `2026-01-31T12:00:00.000000001Z`.
pub struct Rfc3339(Second<19>);

impl Rfc3339 {
    /// No time yet.
    pub const fn new() -> Self {
        Self(Second::new())
    }

    /// Appends one.
    pub fn push(&mut self, out: &mut Vec<u8>, time: Timestamp) {
        let (second, ns) = self.0.at(time, |second| second.strftime("%Y-%m-%dT%H:%M:%S").to_string());
        let mut text = *b"0000-00-00T00:00:00.000000000Z";
        text[..19].copy_from_slice(second);
        digits(&mut text[20..29], ns);
        out.extend_from_slice(&text);
    }
}

impl Default for Rfc3339 {
    fn default() -> Self {
        Self::new()
    }
}

/// Fills `text` with the last digits of a number.
pub fn digits(text: &mut [u8], mut number: u32) {
    for digit in text.iter_mut().rev() {
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn rfc3339_is_jiffs(times in proptest::collection::vec(any::<i64>(), 1..5), step in 0..2_000_000_000i64) {
            let mut writer = Rfc3339::new();
            for time in times.into_iter().flat_map(|time| [time, time.saturating_add(step)]) {
                let mut out = Vec::new();
                writer.push(&mut out, Timestamp(time));
                let jiff = jiff::Timestamp::from_nanosecond(time.into()).unwrap();
                prop_assert_eq!(String::from_utf8(out).unwrap(), format!("{jiff:.9}"));
            }
        }
    }
}

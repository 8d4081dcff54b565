use jiff::tz::TimeZone;
use procscope::Timestamp;

const NS_PER_S: i64 = 1_000_000_000;

/// The last second that was formatted: events come many a second, and only their fractions differ.
struct Second<const N: usize> {
    second: Option<i64>,
    text: [u8; N],
}

impl<const N: usize> Second<N> {
    const fn new() -> Self {
        Self { second: None, text: [b' '; N] }
    }

    /// The text of a second, and the nanoseconds that follow it.
    fn at(&mut self, time: Timestamp, format: impl FnOnce(jiff::Timestamp) -> String) -> (&[u8; N], u32) {
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
pub(crate) struct Rfc3339(Second<19>);

impl Rfc3339 {
    pub(crate) const fn new() -> Self {
        Self(Second::new())
    }

    pub(crate) fn push(&mut self, out: &mut Vec<u8>, time: Timestamp) {
        let (second, ns) = self.0.at(time, |second| second.strftime("%Y-%m-%dT%H:%M:%S").to_string());
        let mut text = *b"0000-00-00T00:00:00.000000000Z";
        text[..19].copy_from_slice(second);
        digits(&mut text[20..29], ns);
        out.extend_from_slice(&text);
    }
}

/// Writes times as a wall clock in a time zone: `2026-01-31` and `12:00:00.123`.
pub(crate) struct WallClock {
    zone: TimeZone,
    second: Second<19>,
}

impl WallClock {
    pub(crate) fn new(zone: TimeZone) -> Self {
        Self { zone, second: Second::new() }
    }

    fn at(&mut self, time: Timestamp) -> (&[u8; 19], u32) {
        let zone = &self.zone;
        self.second.at(time, |second| second.to_zoned_datetime(zone.clone()).strftime("%Y-%m-%d %H:%M:%S").to_string())
    }

    pub(crate) fn date(&mut self, time: Timestamp) -> [u8; 10] {
        let mut text = [0; 10];
        text.copy_from_slice(&self.at(time).0[..10]);
        text
    }

    pub(crate) fn time(&mut self, time: Timestamp) -> [u8; 12] {
        let (second, ns) = self.at(time);
        let mut text = *b"00:00:00.000";
        text[..8].copy_from_slice(&second[11..]);
        digits(&mut text[9..], ns / 1_000_000);
        text
    }
}

/// Fills `text` with the last digits of a number.
fn digits(text: &mut [u8], mut number: u32) {
    for digit in text.iter_mut().rev() {
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
    }
}

/// A span of time for people, floored: `0s`, `830ns`, `12µs`, `1.3ms`, `12.4s`, `3m02s`, `5h07m`, `2d04h`.
pub(crate) fn human_span(ns: u64) -> String {
    const MS: u64 = 1_000_000;
    const S: u64 = 1_000_000_000;
    let tenths = |unit: u64| (ns / unit, ns % unit / (unit / 10));
    match ns {
        0 => "0s".to_owned(),
        1..1_000 => format!("{ns}ns"),
        1_000..MS => format!("{}µs", ns / 1_000),
        MS..S => {
            let (whole, tenth) = tenths(MS);
            if whole < 100 { format!("{whole}.{tenth}ms") } else { format!("{whole}ms") }
        }
        _ => {
            let (s, tenth) = tenths(S);
            match s {
                0..60 => format!("{s}.{tenth}s"),
                60..3_600 => format!("{}m{:02}s", s / 60, s % 60),
                3_600..86_400 => format!("{}h{:02}m", s / 3_600, s / 60 % 60),
                _ => format!("{}d{:02}h", s / 86_400, s / 3_600 % 24),
            }
        }
    }
}

/// A number of bytes for people, floored: `512B`, `1.5KiB`, `24MiB`.
pub(crate) fn human_bytes(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    let Some(power) = bytes.checked_ilog2().map(|bits| bits / 10).filter(|&power| power > 0) else {
        return format!("{bytes}B");
    };
    let unit = UNITS[power as usize - 1];
    let whole = bytes >> (10 * power);
    let tenth = (bytes >> (10 * (power - 1)) & 1023) * 10 / 1024;
    if whole < 10 { format!("{whole}.{tenth}{unit}") } else { format!("{whole}{unit}") }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn spans_read_well() {
        for (ns, text) in [
            (0, "0s"),
            (830, "830ns"),
            (12_999, "12µs"),
            (1_399_999, "1.3ms"),
            (99_999_999, "99.9ms"),
            (999_999_999, "999ms"),
            (1_000_000_000, "1.0s"),
            (59_999_999_999, "59.9s"),
            (60_000_000_000, "1m00s"),
            (182_000_000_000, "3m02s"),
            (3_600_000_000_000, "1h00m"),
            (86_399_000_000_000, "23h59m"),
            (187_200_000_000_000, "2d04h"),
            (u64::MAX, "213503d23h"),
        ] {
            assert_eq!(human_span(ns), text);
        }
    }

    #[test]
    fn sizes_read_well() {
        for (bytes, text) in [
            (0, "0B"),
            (1023, "1023B"),
            (1024, "1.0KiB"),
            (1536, "1.5KiB"),
            (10_240, "10KiB"),
            (24 << 20, "24MiB"),
            (u64::MAX, "15EiB"),
        ] {
            assert_eq!(human_bytes(bytes), text);
        }
    }

    #[test]
    fn wall_clock_is_local() {
        let mut clock = WallClock::new(TimeZone::fixed(jiff::tz::offset(2)));
        let time = Timestamp(1_800_000_000_123_999_999);
        assert_eq!(&clock.date(time), b"2027-01-15");
        assert_eq!(&clock.time(time), b"10:00:00.123");
        assert_eq!(&clock.time(Timestamp(-1)), b"01:59:59.999");
        assert_eq!(&clock.date(Timestamp(-1)), b"1970-01-01");
    }

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

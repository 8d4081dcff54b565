use jiff::tz::TimeZone;
use procscope::Timestamp;
use procscope_format::time::{Second, digits};

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

/// A span of time for people, rounded down: `0s`, `830ns`, `12µs`, `1.3ms`, `12.4s`, `3m02s`,
/// `5h07m`, `2d04h`.
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

/// A number of bytes for people, rounded down: `512B`, `1.5KiB`, `24MiB`.
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
}

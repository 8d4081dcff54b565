//! Numbers with and without units, and times.

use super::error::{Fault, shown};

/// A whole number, decimal or hexadecimal.
pub(super) fn whole(text: &str) -> Option<i128> {
    match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(hex) if hex.bytes().all(|b| b.is_ascii_hexdigit()) => i128::from_str_radix(hex, 16).ok(),
        Some(_) => None,
        None if text.strip_prefix('-').unwrap_or(text).bytes().all(|b| b.is_ascii_digit()) => text.parse().ok(),
        None => None,
    }
}

/// A unit, in multiples of the smallest.
type Unit = (&'static str, i128);

pub(super) const SPANS: &[Unit] = &[
    ("ns", 1),
    ("us", 1_000),
    ("µs", 1_000),
    ("μs", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("min", 60_000_000_000),
    ("h", 3_600_000_000_000),
    ("d", 86_400_000_000_000),
];

pub(super) const SIZES: &[Unit] = &[
    ("B", 1),
    ("kB", 1_000),
    ("KB", 1_000),
    ("KiB", 1 << 10),
    ("MB", 1_000_000),
    ("MiB", 1 << 20),
    ("GB", 1_000_000_000),
    ("GiB", 1 << 30),
    ("TB", 1_000_000_000_000),
    ("TiB", 1 << 40),
];

/// This many digits after the point can count.
const FRACTION_DIGITS: usize = 18;

/// A number with a unit, in the smallest one; without a unit only if `bare` allows it.
pub(super) fn with_unit(text: &str, units: &[Unit], bare: bool) -> Result<i128, Fault> {
    let unit_at = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(unit_at);
    let examples = if units[0].0 == "ns" { ["ms", "s", "us"] } else { ["KiB", "MiB", "B"] };
    let type_one = |number: &str| {
        let [a, b, c] = examples;
        format!("type {number}{a}, {number}{b} or {number}{c}")
    };
    let (digits, fraction) = number.split_once('.').unwrap_or((number, ""));
    let valid = !digits.is_empty()
        && digits.len() <= 20
        && fraction.len() <= FRACTION_DIGITS
        && !fraction.contains('.')
        && (number.contains('.') != fraction.is_empty());
    if !valid {
        return Err(Fault::new(format!("'{}' is no amount", shown(text))).or(type_one("50")));
    }
    let factor = match units.iter().find(|(name, _)| *name == unit) {
        Some((_, factor)) => *factor,
        None if unit.is_empty() && bare && fraction.is_empty() => 1,
        None if unit.is_empty() => return Err(Fault::new("this number needs its unit").or(type_one(number))),
        None => {
            let names: Vec<_> = units.iter().map(|(name, _)| *name).filter(|name| name.is_ascii()).collect();
            let fault = Fault::new(format!("there is no unit '{}'", shown(unit)));
            return Err(fault.or(format!("the units are {}", names.join(" "))));
        }
    };
    let part = |digits: &str| if digits.is_empty() { Some(0) } else { digits.parse::<i128>().ok() };
    let scale = 10i128.pow(fraction.len() as u32);
    let amount = part(digits).and_then(|whole| {
        let whole = whole.checked_mul(factor)?;
        whole.checked_add(part(fraction)?.checked_mul(factor)? / scale)
    });
    amount.ok_or_else(|| Fault::new("this number is too large"))
}

/// RFC 3339: nanoseconds since 1970.
pub(super) fn time(text: &str) -> Option<i128> {
    let digits = |at: std::ops::Range<usize>, most: i128| -> Option<i128> {
        let digits = text.get(at)?;
        let number = digits.bytes().all(|b| b.is_ascii_digit()).then(|| digits.parse::<i128>().ok())??;
        (number <= most).then_some(number)
    };
    let is = |at: usize, signs: &[u8]| text.as_bytes().get(at).is_some_and(|b| signs.contains(b));
    let signs = is(4, b"-") && is(7, b"-") && is(10, b"Tt ") && is(13, b":") && is(16, b":");
    let (year, month, day) = (digits(0..4, 9999)?, digits(5..7, 12)?, digits(8..10, 31)?);
    let (hour, minute, second) = (digits(11..13, 23)?, digits(14..16, 59)?, digits(17..19, 60)?);
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days = [31, if leap { 29 } else { 28 }, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let month_days = days.get(usize::try_from(month).ok()?.checked_sub(1)?)?;
    if !signs || day == 0 || day > *month_days {
        return None;
    }
    let mut at = 19;
    let mut nanoseconds = 0;
    if is(at, b".") {
        let fraction = text.get(at + 1..)?;
        let len = fraction.bytes().take_while(u8::is_ascii_digit).count();
        if len == 0 || len > FRACTION_DIGITS {
            return None;
        }
        nanoseconds = digits(at + 1..at + 1 + len, i128::MAX)? * 1_000_000_000 / 10i128.pow(len as u32);
        at += 1 + len;
    }
    let offset = match text.get(at..)? {
        "Z" | "z" => 0,
        zone if zone.len() == 6 && is(at, b"+-") && is(at + 3, b":") => {
            let minutes = digits(at + 1..at + 3, 23)? * 60 + digits(at + 4..at + 6, 59)?;
            if is(at, b"-") { -minutes } else { minutes }
        }
        _ => return None,
    };
    // Howard Hinnant's days_from_civil.
    let shifted = year - i128::from(month <= 2);
    let era = shifted.div_euclid(400);
    let year_of_era = shifted.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    let days = era * 146_097 + day_of_era - 719_468;
    let seconds = ((days * 24 + hour) * 60 + minute - offset) * 60 + second;
    Some(seconds * 1_000_000_000 + nanoseconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers() {
        for (text, is) in [("0", Some(0)), ("-100", Some(-100)), ("0x1F", Some(31)), ("1e3", None), ("", None)] {
            assert_eq!(whole(text), is, "{text}");
        }
        assert_eq!((whole("0x"), whole("-"), whole("+1"), whole("0x-1")), (None, None, None, None));
    }

    #[test]
    fn amounts() {
        let span = |text| with_unit(text, SPANS, false).ok();
        assert_eq!(span("50ms"), Some(50_000_000));
        assert_eq!(span("1.5s"), Some(1_500_000_000));
        assert_eq!(span("0.1us"), Some(100));
        assert_eq!(span("2µs"), Some(2_000));
        assert_eq!(span("1.5d"), Some(129_600_000_000_000));
        for text in ["50", "", "ms", ".5s", "5.s", "1.2.3s", "5 ms", "99999999999999999999999d", "-5ms", "5parsecs"] {
            assert_eq!(span(text), None, "{text}");
        }
        assert_eq!(with_unit("10MiB", SIZES, false).ok(), Some(10 << 20));
        assert_eq!(with_unit("10", SIZES, true).ok(), Some(10));
        assert!(with_unit("1.5", SIZES, true).is_err());
    }

    #[test]
    fn times() {
        assert_eq!(time("1970-01-01T00:00:00Z"), Some(0));
        assert_eq!(time("2026-01-31T12:00:06.5Z"), Some(1_769_860_806_500_000_000));
        assert_eq!(time("2026-01-31T14:00:06.5+02:00"), Some(1_769_860_806_500_000_000));
        assert_eq!(time("2024-02-29T00:00:00-00:30"), Some(1_709_166_600_000_000_000));
        assert_eq!(time("0000-01-01T00:00:00Z"), Some(-62_167_219_200_000_000_000));
        for text in ["", "2026-01-31", "2026-02-30T00:00:00Z", "2026-01-31T12:00:00", "2026-01-31T12:00:00.Z"] {
            assert_eq!(time(text), None, "{text}");
        }
        assert_eq!(time("2026-01-31T1é:00:00Z"), None);
    }
}

//! Values of options, from their text.

use std::ffi::OsString;
use std::str::FromStr;
use std::time::Duration;

use procscope::{EnvWanted, Pid, SourceId};

/// A requested mechanism; `None` is the best that works.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Source(pub(crate) Option<SourceId>);

impl FromStr for Source {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "auto" => Ok(Self(None)),
            _ => match SourceId::ALL.into_iter().find(|source| source.name() == text) {
                Some(source) => Ok(Self(Some(source))),
                None => {
                    let names = SourceId::ALL.map(SourceId::name);
                    let (last, others) = names.split_last().unwrap_or((&"", &[]));
                    Err(format!("type auto, {} or {last}", others.join(", ")))
                }
            },
        }
    }
}

/// The size of the kernel's ring, bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct RingSize(pub(crate) usize);

impl FromStr for RingSize {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        // At least a page; and the kernel accepts the size as a 32-bit power of two.
        const RANGE: std::ops::RangeInclusive<u64> = 4 << 10..=2 << 30;
        let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
        let shift = match text[digits.len()..].to_ascii_lowercase().as_str() {
            "" | "b" => Some(0),
            "k" | "kib" => Some(10),
            "m" | "mib" => Some(20),
            "g" | "gib" => Some(30),
            _ => None,
        };
        let bytes = shift.and_then(|shift| digits.parse::<u64>().ok()?.checked_mul(1 << shift));
        match bytes.filter(|bytes| RANGE.contains(bytes)).and_then(|bytes| usize::try_from(bytes).ok()) {
            Some(bytes) => Ok(Self(bytes)),
            None => Err("type a size from 4KiB to 2GiB, such as 256KiB or 8MiB".to_owned()),
        }
    }
}

pub(crate) fn parse_pid(text: &str) -> Result<Pid, String> {
    let pid = text.parse().ok().filter(|&pid| pid > 0 && pid <= i32::MAX as Pid);
    pid.ok_or_else(|| "type a process id from 1 to 2147483647, such as 1234".to_owned())
}

pub(crate) fn parse_count(text: &str) -> Result<u64, String> {
    text.parse()
        .ok()
        .filter(|&count| count > 0)
        .ok_or_else(|| format!("type a number from 1 to {}, such as 100", u64::MAX))
}

/// How many times as fast as events happened.
pub(crate) fn parse_speed(text: &str) -> Result<f64, String> {
    let speed = text.parse().ok().filter(|speed: &f64| (0.001..=1_000_000.0).contains(speed));
    speed.ok_or_else(|| "type a number from 0.001 to 1000000, such as 1 or 10".to_owned())
}

/// A comm, whatever its bytes are.
pub(crate) fn parse_name(name: OsString) -> Result<Vec<u8>, String> {
    match name.into_encoded_bytes() {
        name if name.is_empty() => Err("type a name, such as sshd".to_owned()),
        name => Ok(name),
    }
}

pub(crate) fn parse_env(names: OsString) -> Result<EnvWanted, String> {
    let names = names.into_encoded_bytes();
    if names == ALL_VARIABLES.as_bytes() {
        return Ok(EnvWanted::All);
    }
    let names = names.split(|&b| b == b',').map(<[u8]>::to_vec).collect::<Vec<_>>();
    if names.iter().any(|name| name.is_empty() || name.contains(&b'=')) {
        return Err("type names of variables, as in --env=PATH,HOME, or --env alone for all".to_owned());
    }
    Ok(EnvWanted::Named(names))
}

/// Means all variables if `--env` has no value: no variable has this name.
pub(crate) const ALL_VARIABLES: &str = "=";

pub(crate) fn parse_container(id: &str) -> Result<String, String> {
    if !id.is_empty() && id.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.-".contains(&b)) && id != ".." {
        Ok(id.to_owned())
    } else {
        Err("type the beginning of a container's id, as `docker ps` prints it".to_owned())
    }
}

/// A user id, or the name of one.
pub(crate) fn parse_user(user: &str) -> Result<u32, String> {
    // The highest is not a user, but means "leave it as it is" in setreuid(2) and others.
    if let Some(uid) = user.parse().ok().filter(|&uid| uid != u32::MAX) {
        return Ok(uid);
    }
    if !user.is_empty() && user.bytes().all(|b| b.is_ascii_digit()) {
        return user_by_name(user).ok_or_else(|| format!("type a number up to {}, or a name", u32::MAX - 1));
    }
    user_by_name(user)
        .ok_or_else(|| "there is no such user; type a number, or a name that `getent passwd` lists".to_owned())
}

#[cfg(unix)]
fn user_by_name(name: &str) -> Option<u32> {
    uzers::get_user_by_name(name).map(|user| user.uid())
}

#[cfg(not(unix))]
fn user_by_name(_: &str) -> Option<u32> {
    None
}

/// Longer is never needed; and all clocks can count it.
const LONGEST_DAYS: u32 = 36_500;

/// A time such as `10`, `1.5s`, `500ms`, `5m`, `1h`; seconds without a unit.
pub(crate) fn parse_duration(text: &str) -> Result<Duration, String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = match &text[digits.len()..] {
        "ms" => Some(0.001),
        "" | "s" => Some(1.0),
        "m" => Some(60.0),
        "h" => Some(3_600.0),
        "d" => Some(86_400.0),
        _ => None,
    };
    let is_number = digits.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    let seconds = unit.filter(|_| is_number).and_then(|unit| Some(digits.parse::<f64>().ok()? * unit));
    if seconds.is_some_and(|seconds| seconds > f64::from(LONGEST_DAYS) * 86_400.0) {
        return Err(format!("type a time of at most {LONGEST_DAYS}d, such as 10, 500ms, 30s, 5m or 1h"));
    }
    match seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok()) {
        Some(time) if !time.is_zero() => Ok(time),
        _ => Err("type a time above 0, such as 10, 500ms, 30s, 5m or 1h".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn durations() {
        for (text, ms) in
            [("10", 10_000), ("10s", 10_000), ("1.5s", 1_500), ("500ms", 500), ("5m", 300_000), ("1h", 3_600_000)]
        {
            assert_eq!(parse_duration(text), Ok(Duration::from_millis(ms)));
        }
        for text in ["", "0", "0s", "-1", "s", "1e3", "inf", "nan", "5 m", "5parsecs", "1.2.3", "99999999999999999999d"]
        {
            assert!(parse_duration(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn numbers_that_are_too_large_say_how_large_they_may_be() {
        for text in ["99999999999999999999d", "36500.1d", &"9".repeat(400)] {
            assert!(parse_duration(text).unwrap_err().contains("at most 36500d"), "{text}");
        }
        assert!(parse_duration("36500d").is_ok());
        assert!(parse_duration("0.0000000001").unwrap_err().contains("above 0"));
        for text in ["4294967295", "99999999999"] {
            assert!(parse_user(text).unwrap_err().contains("up to 4294967294"), "{text}");
        }
        assert_eq!(parse_user("4294967294"), Ok(4_294_967_294));
        for text in ["0", "-1", "2147483648", "99999999999999999999", "1.5", "nan", ""] {
            assert!(parse_pid(text).unwrap_err().contains("from 1 to 2147483647"), "{text}");
        }
        for text in ["0", "-1", "18446744073709551616", "1e3", ""] {
            assert!(parse_count(text).unwrap_err().contains("from 1 to 18446744073709551615"), "{text}");
        }
    }

    #[test]
    fn ring_sizes() {
        for (text, bytes) in
            [("4096", 4096), ("256KiB", 256 << 10), ("8MiB", 8 << 20), ("1g", 1 << 30), ("64K", 64 << 10)]
        {
            assert_eq!(text.parse(), Ok(RingSize(bytes)));
        }
        for text in ["", "0", "1KiB", "4GiB", "8MB", "-8MiB", "99999999999999999999", "18014398509481985KiB"] {
            assert!(text.parse::<RingSize>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn users() {
        assert_eq!(parse_user("4711"), Ok(4711));
        assert!(parse_user("no-such-user-here").is_err());
        assert!(parse_user("").is_err());
        #[cfg(unix)]
        assert_eq!(parse_user("root"), Ok(0));
    }

    proptest! {
        #[test]
        fn no_text_panics(text: String) {
            let _ = (parse_duration(&text), text.parse::<RingSize>(), parse_user(&text), parse_container(&text));
            let _ = parse_env(text.into());
        }
    }
}

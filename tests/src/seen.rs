//! An event in procscope's JSON lines.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;

/// One line; absent fields stay at their default.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
#[allow(missing_docs, reason = "each field is the JSON field of that name; procscope's schema describes it")]
pub struct Seen {
    pub v: u32,
    pub seq: u64,
    pub time: String,
    pub event: String,
    pub id: Option<String>,
    pub pid: Option<u32>,
    pub ppid: Option<u32>,
    pub tid: Option<u32>,
    pub processor: Option<u32>,
    pub name: Option<String>,
    pub name_b64: Option<String>,
    pub old_name: Option<String>,
    pub old_name_b64: Option<String>,
    pub path: Option<String>,
    pub path_b64: Option<String>,
    pub exe: Option<String>,
    pub exe_b64: Option<String>,
    pub interpreter: Option<String>,
    pub interpreter_b64: Option<String>,
    pub argv: Option<Vec<String>>,
    pub argv_b64: Option<Vec<String>>,
    pub cwd: Option<String>,
    pub cwd_b64: Option<String>,
    pub uid: Option<u32>,
    pub euid: Option<u32>,
    pub gid: Option<u32>,
    pub egid: Option<u32>,
    pub user: Option<String>,
    pub group: Option<String>,
    pub loginuid: Option<u32>,
    pub audit_session: Option<u32>,
    pub sid: Option<u32>,
    pub pgid: Option<u32>,
    pub tty: Option<String>,
    pub cgroup: Option<String>,
    pub container: Option<String>,
    pub unit: Option<String>,
    pub ns_pid: Option<u32>,
    pub namespaces: Option<BTreeMap<String, u64>>,
    pub parent: Option<SeenRef>,
    pub call: Option<String>,
    pub flags: Option<u64>,
    pub errno: Option<String>,
    pub env: Option<Vec<String>>,
    pub env_b64: Option<Vec<String>>,
    pub ptrace: Option<String>,
    pub tracer: Option<SeenRef>,
    pub old_tid: Option<u32>,
    pub exit_code: Option<u32>,
    pub thread_name: Option<String>,
    pub old_uid: Option<u32>,
    pub signal: Option<String>,
    pub core: Option<bool>,
    pub oom: Option<bool>,
    pub killer: Option<SeenRef>,
    pub duration_ns: Option<u64>,
    pub user_ns: Option<u64>,
    pub system_ns: Option<u64>,
    pub max_rss_bytes: Option<u64>,
    pub read_bytes: Option<u64>,
    pub write_bytes: Option<u64>,
    pub rchar: Option<u64>,
    pub wchar: Option<u64>,
    pub nvcsw: Option<u64>,
    pub nivcsw: Option<u64>,
    pub count: Option<u64>,
    pub lost: Option<BTreeMap<String, u64>>,
    pub source: Option<String>,
    pub exe_memfd: bool,
    pub exe_deleted: bool,
    pub exe_setuid: bool,
    pub exe_setgid: bool,
    pub flaws: BTreeMap<String, String>,
}

/// Another process.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
#[allow(missing_docs, reason = "each field is the JSON field of that name")]
pub struct SeenRef {
    pub pid: u32,
    pub name: Option<String>,
    pub name_b64: Option<String>,
    pub id: Option<String>,
}

/// True if the text, or the exact bytes beside it, is this.
pub fn same(text: Option<&str>, exact: Option<&str>, truth: &[u8]) -> bool {
    match exact {
        Some(exact) => STANDARD.decode(exact).is_ok_and(|bytes| bytes == truth),
        None => text.is_some_and(|text| text.as_bytes() == truth),
    }
}

/// Like [`same`], but a readable form of bytes that are not text is enough.
pub fn same_readable(text: Option<&str>, exact: Option<&str>, truth: &[u8]) -> bool {
    same(text, exact, truth) || exact.is_none() && text == Some(&*String::from_utf8_lossy(truth))
}

fn exact(exact: Option<&[String]>, text: Option<&[String]>) -> Option<Vec<Vec<u8>>> {
    match (exact, text) {
        (Some(exact), _) => exact.iter().map(|text| STANDARD.decode(text).ok()).collect(),
        (None, Some(list)) => Some(list.iter().map(|text| text.as_bytes().to_vec()).collect()),
        (None, None) => None,
    }
}

impl Seen {
    /// The arguments, exact.
    pub fn arguments(&self) -> Option<Vec<Vec<u8>>> {
        exact(self.argv_b64.as_deref(), self.argv.as_deref())
    }

    /// The environment, exact.
    pub fn environment(&self) -> Option<Vec<Vec<u8>>> {
        exact(self.env_b64.as_deref(), self.env.as_deref())
    }

    /// The start of the process in clock ticks, from its id.
    pub fn start_ticks(&self) -> Option<u64> {
        self.id.as_deref()?.rsplit_once('-')?.1.parse().ok()
    }

    /// The event's time, ns since 1970.
    pub fn time_ns(&self) -> Option<i64> {
        time_ns(&self.time)
    }
}

/// Reads RFC 3339 with nine digits of a second and either `Z` or an offset.
fn time_ns(text: &str) -> Option<i64> {
    let number = |range: std::ops::Range<usize>| text.get(range)?.parse::<i64>().ok();
    let (year, month, day) = (number(0..4)?, number(5..7)?, number(8..10)?);
    let seconds = number(11..13)? * 3600 + number(14..16)? * 60 + number(17..19)?;
    let ns = number(20..29)?;
    let offset = match text.get(29..)? {
        "Z" => 0,
        zone => {
            let sign = if zone.starts_with('-') { -1 } else { 1 };
            sign * (zone.get(1..3)?.parse::<i64>().ok()? * 3600 + zone.get(4..6)?.parse::<i64>().ok()? * 60)
        }
    };
    // Days since 1970-03-01 by the usual trick of beginning the year in March.
    let (y, m) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = y * 365 + y / 4 - y / 100 + y / 400 + (m * 153 + 2) / 5 + day - 1 - 719_468;
    Some((days * 86_400 + seconds - offset) * 1_000_000_000 + ns)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times() {
        assert_eq!(time_ns("1970-01-01T00:00:00.000000001Z"), Some(1));
        assert_eq!(time_ns("2024-02-29T12:00:00.500000000Z"), Some(1_709_208_000_500_000_000));
        assert_eq!(time_ns("2024-02-29T13:30:00.500000000+01:30"), Some(1_709_208_000_500_000_000));
        assert_eq!(time_ns("soon"), None);
    }

    #[test]
    fn exact_bytes_win() {
        assert!(same(Some("a\u{fffd}"), Some("Yf8="), b"a\xff"));
        assert!(!same(Some("a\u{fffd}"), None, b"a\xff"));
        assert!(same_readable(Some("a\u{fffd}"), None, b"a\xff"));
    }
}

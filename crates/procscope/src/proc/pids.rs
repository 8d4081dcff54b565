//! What /proc shows of all processes together, and which pids lie between two readings. No OS.

use std::ops::RangeInclusive;

use crate::Pid;

/// The pid that was given out last: the last word of `/proc/loadavg`, `proc_loadavg(5)`. 0, which
/// no process has, is no answer.
pub(crate) fn decode_last_pid(loadavg: &[u8]) -> Option<Pid> {
    let line = loadavg.split(|&b| b == b'\n').next()?;
    let word = line.rsplit(|&b| b == b' ').next()?;
    str::from_utf8(word).ok()?.parse().ok().filter(|&pid| pid != 0)
}

/// A name in /proc that is a process's.
pub(crate) fn decode_pid(name: &[u8]) -> Option<Pid> {
    str::from_utf8(name)
        .ok()
        .filter(|name| name.bytes().all(|b| b.is_ascii_digit()))?
        .parse()
        .ok()
        .filter(|&pid| pid != 0)
}

/// Whether the mount of /proc hides other users' processes: `hidepid` in `proc(5)`. The last mount
/// is the one that is seen.
pub(crate) fn decode_hidepid(mountinfo: &[u8]) -> bool {
    let of_proc = |line: &&[u8]| line.split(|&b| b == b' ').nth(4) == Some(b"/proc");
    let Some(line) = mountinfo.split(|&b| b == b'\n').rfind(of_proc) else { return false };
    let options = line.rsplit(|&b| b == b' ').next().unwrap_or_default();
    options
        .split(|&b| b == b',')
        .any(|option| option.strip_prefix(b"hidepid=").is_some_and(|how| !matches!(how, b"0" | b"off")))
}

/// The pids given out after `old`, up to `new`: in one part, or in two if they began again at a low
/// number.
pub(crate) fn pids_between(old: Pid, new: Pid, most: Pid) -> Vec<RangeInclusive<Pid>> {
    match old.cmp(&new) {
        std::cmp::Ordering::Equal => Vec::new(),
        std::cmp::Ordering::Less => vec![old.saturating_add(1)..=new],
        std::cmp::Ordering::Greater => {
            let ranges = [old.saturating_add(1)..=most, FIRST_AGAIN..=new];
            ranges.into_iter().filter(|range| !range.is_empty()).collect()
        }
    }
}

/// `RESERVED_PIDS` in `kernel/pid.c`: a second round begins there.
const FIRST_AGAIN: Pid = 300;

/// How the place of an entry in /proc follows from its pid (`TGID_OFFSET` in `fs/proc/base.c`), if
/// it does: `entries` are pids, each with the place after it.
pub(crate) fn place_of_pids(entries: &[(Pid, u64)]) -> Option<u64> {
    let mut offsets = entries.windows(2).map(|two| two[0].1.checked_sub(u64::from(two[1].0)));
    let first = offsets.next()??;
    offsets.all(|offset| offset == Some(first)).then_some(first)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn last_pids() {
        assert_eq!(decode_last_pid(b"0.00 0.01 0.05 1/123 4567\n"), Some(4567));
        for other in [&b""[..], b"\n", b"0.00 0.00 0.00 0/0 0\n", b"0.1 0.2 0.3 1/2 x", b"1 -2", b"1 99999999999"] {
            assert_eq!(decode_last_pid(other), None);
        }
    }

    #[test]
    fn names_of_processes() {
        assert_eq!(decode_pid(b"12"), Some(12));
        for other in [&b""[..], b"self", b"0", b"+1", b"1a", b"99999999999"] {
            assert_eq!(decode_pid(other), None);
        }
    }

    #[test]
    fn hidden_processes() {
        let line = |options: &str| format!("25 1 0:21 / /proc rw,nosuid shared:5 - proc proc rw{options}\n");
        for (options, hides) in [
            ("", false),
            (",hidepid=0", false),
            (",hidepid=2", true),
            (",gid=7,hidepid=invisible", true),
            (",hidepid=1", true),
            (",hidepid=off", false),
            (",hidepid=ptraceable", true),
        ] {
            assert_eq!(decode_hidepid(line(options).as_bytes()), hides, "{options}");
        }
        let twice = line(",hidepid=2") + &line("");
        assert!(!decode_hidepid(twice.as_bytes()));
        assert!(!decode_hidepid(b"25 1 0:21 / /other rw - proc proc rw,hidepid=2\njunk"));
    }

    #[test]
    fn pids_that_were_given_out() {
        assert_eq!(pids_between(7, 7, 32767), []);
        assert_eq!(pids_between(7, 9, 32767), [8..=9]);
        assert_eq!(pids_between(32760, 310, 32767), [32761..=32767, 300..=310]);
        assert_eq!(pids_between(32767, 310, 32767), [300..=310]);
        assert_eq!(pids_between(400, 100, 32767), [401..=32767]);
    }

    #[test]
    fn places_follow_from_pids() {
        assert_eq!(place_of_pids(&[(1, 260), (2, 263), (5, 300)]), Some(258));
        assert_eq!(place_of_pids(&[(1, 260), (2, 261), (5, 300)]), None);
        assert_eq!(place_of_pids(&[(1, 1), (2, 2)]), None);
        assert_eq!(place_of_pids(&[(1, 260)]), None);
    }

    proptest! {
        #[test]
        fn anything_is_taken(bytes: Vec<u8>, entries: Vec<(Pid, u64)>) {
            let _ = (decode_last_pid(&bytes), decode_pid(&bytes), decode_hidepid(&bytes), place_of_pids(&entries));
        }

        /// Each pid once, and neither the old one nor one past the new.
        #[test]
        fn no_pid_twice(old in 1u32..400, new in 1u32..400) {
            let pids: Vec<Pid> = pids_between(old, new, 399).into_iter().flatten().collect();
            prop_assert!(!pids.contains(&old) || old >= FIRST_AGAIN && new < old);
            prop_assert!(pids.iter().all(|&pid| pid <= 399));
            let mut once = pids.clone();
            once.sort_unstable();
            once.dedup();
            prop_assert_eq!(once.len(), pids.len());
        }
    }
}

//! The content of a process's files in /proc: `proc_pid(5)`. No OS.

use crate::{Pid, StartTime, Tty};

/// The content of `/proc/PID/stat`: `proc_pid_stat(5)`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Stat {
    pub(crate) comm: Vec<u8>,
    /// R, S, D, Z, …
    pub(crate) state: u8,
    pub(crate) ppid: Pid,
    pub(crate) pgid: Pid,
    pub(crate) sid: Pid,
    /// In the kernel's encoding: `new_encode_dev` in `include/linux/kdev_t.h`.
    pub(crate) tty: u32,
    pub(crate) flags: u32,
    /// Page faults without and with I/O, of all its threads.
    pub(crate) faults: [u64; 2],
    /// In user mode and in the kernel, of all its threads, ticks of 10 ms.
    pub(crate) cpu: [u64; 2],
    pub(crate) threads: u32,
    pub(crate) start: StartTime,
    /// The address of the arguments: for each image another one, unless addresses are not
    /// randomised; 0 if it may not be known.
    pub(crate) arg_start: u64,
    /// The addresses where its code begins and ends and its stack began: for each image others, as
    /// above; see [`Self::places`].
    code: [u64; 3],
    /// As by `wait(2)`: for an ended process, and 0 if it may not be known.
    pub(crate) wait_status: u32,
}

/// `PF_KTHREAD` in `include/linux/sched.h`.
const PF_KTHREAD: u32 = 0x0020_0000;
/// `PF_EXITING`: it has begun to end, and gives up its memory.
const PF_EXITING: u32 = 0x0000_0004;
/// `PF_FORKNOEXEC`: its program is a copy of its parent's.
const PF_FORKNOEXEC: u32 = 0x0000_0040;

impl Stat {
    /// Reads the line. The comm may hold blanks, newlines and parentheses.
    pub(crate) fn decode(stat: &[u8]) -> Option<Self> {
        let open = stat.iter().position(|&b| b == b'(')?;
        let close = stat.iter().rposition(|&b| b == b')')?;
        let comm = stat.get(open + 1..close)?.to_vec();
        let behind = str::from_utf8(&stat[close + 1..]).ok()?;
        // The state is field 3.
        let mut fields = [""; 50];
        fields.iter_mut().zip(behind.split_ascii_whitespace()).for_each(|(field, word)| *field = word);
        let number = |field: usize| fields.get(field - 3)?.parse::<i64>().ok();
        let unsigned = |field: usize| fields[field - 3].parse::<u64>().unwrap_or(0);
        let id = |field: usize| number(field).and_then(|n| Pid::try_from(n).ok());
        Some(Self {
            comm,
            state: *fields.first()?.as_bytes().first()?,
            ppid: id(4)?,
            pgid: id(5)?,
            sid: id(6)?,
            tty: number(7)? as u32,
            flags: number(9)? as u32,
            start: StartTime(u64::try_from(number(22)?).ok()?),
            faults: [unsigned(10), unsigned(12)],
            cpu: [unsigned(14), unsigned(15)],
            threads: fields[20 - 3].parse().unwrap_or(1),
            // Only since 3.5.
            arg_start: unsigned(48),
            code: [unsigned(26), unsigned(27), unsigned(28)],
            wait_status: fields[52 - 3].parse().unwrap_or(0),
        })
    }

    /// Distinguishes one image from another, if it may be known: without the right the kernel shows
    /// 1 (`fs/proc/array.c`), and there is none without memory.
    pub(crate) fn places(&self) -> Option<[u64; 3]> {
        (self.code[0] > 1).then_some(self.code)
    }

    /// Whether it has no code: then [`Self::places`] are those of a program being loaded. `None` if
    /// it may not be known.
    pub(crate) fn lacks_code(&self) -> Option<bool> {
        (self.code[0] != 1).then_some(self.code[0] == 0)
    }

    /// Whether it has executed anything since it was forked; `None` if the kernel keeps no flags,
    /// as gVisor.
    pub(crate) fn has_executed(&self) -> Option<bool> {
        (self.flags != 0).then_some(self.flags & PF_FORKNOEXEC == 0)
    }

    pub(crate) fn is_kthread(&self) -> bool {
        self.flags & PF_KTHREAD != 0
    }

    /// Ended, or about to end.
    pub(crate) fn is_ending(&self) -> bool {
        self.has_ended() || self.flags & PF_EXITING != 0
    }

    pub(crate) fn has_ended(&self) -> bool {
        matches!(self.state, b'Z' | b'X' | b'x')
    }

    /// Its first thread has ended, and others are left.
    pub(crate) fn has_lost_leader(&self) -> bool {
        self.has_ended() && self.threads > 1
    }

    /// The process itself ends: no other thread is left.
    pub(crate) fn is_over(&self) -> bool {
        self.is_ending() && !self.has_lost_leader()
    }

    pub(crate) fn tty(&self) -> Option<Tty> {
        let (major, minor) = (self.tty >> 8 & 0xfff, self.tty & 0xff | self.tty >> 12 & 0xf_ff00);
        (self.tty != 0).then_some(Tty { major, minor })
    }
}

/// The content of `/proc/PID/status`, as far as it is needed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Status {
    /// Real and effective.
    pub(crate) uids: [u32; 2],
    pub(crate) gids: [u32; 2],
    /// The process's pid in the innermost namespace, in a thread's file, too; 0 if the kernel does
    /// not show it (before 4.1).
    pub(crate) ns_pid: Pid,
    pub(crate) threads: u32,
    /// The size of the program's code, KiB, which any process may read. 0 if it is not shown.
    pub(crate) code_kib: u64,
}

impl Status {
    pub(crate) fn decode(status: &str) -> Option<Self> {
        let rest = |name: &str| status.lines().find_map(|line| line.strip_prefix(name));
        let last = |name: &str| rest(name)?.split_ascii_whitespace().next_back()?.parse().ok();
        Some(Self {
            uids: decode_ids(status, "Uid:")?,
            gids: decode_ids(status, "Gid:")?,
            ns_pid: last("NStgid:").unwrap_or(0),
            threads: last("Threads:").unwrap_or(1),
            code_kib: rest("VmExe:").and_then(|size| size.split_ascii_whitespace().next()?.parse().ok()).unwrap_or(0),
        })
    }
}

/// The one number of `/proc/PID/loginuid` and `sessionid`.
pub(crate) fn decode_id(file: &[u8]) -> Option<u32> {
    str::from_utf8(file).ok()?.trim_ascii_end().parse().ok()
}

/// Whether `/proc/PID/status` shows that the process catches or ignores this signal.
pub(super) fn decode_handled(status: &str, signo: i32) -> bool {
    let Some(bit) = u32::try_from(signo.saturating_sub(1)).ok().and_then(|nth| 1u64.checked_shl(nth)) else {
        return false;
    };
    let mask = |line: &str| line.strip_prefix("SigCgt:").or_else(|| line.strip_prefix("SigIgn:")).map(str::to_owned);
    let masks = status.lines().filter_map(|line| u64::from_str_radix(mask(line)?.trim(), 16).ok());
    masks.fold(0, |all, mask| all | mask) & bit != 0
}

/// The first two numbers after `name` in `/proc/PID/status`.
pub(super) fn decode_ids(status: &str, name: &str) -> Option<[u32; 2]> {
    let mut numbers = status.lines().find_map(|line| line.strip_prefix(name))?.split_ascii_whitespace();
    Some([numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?])
}

/// The path in a process's cgroup file: `cgroups(7)`. That of the unified hierarchy, or of the
/// first known controller.
pub(crate) fn decode_cgroup(file: &[u8]) -> Option<Vec<u8>> {
    const CONTROLLERS: [&[u8]; 5] = [b"memory", b"pids", b"cpu", b"cpuset", b"devices"];
    let lines = || {
        file.split(|&b| b == b'\n').filter_map(|line| {
            let mut parts = line.splitn(3, |&b| b == b':');
            Some((parts.next()?, parts.next()?, parts.next()?))
        })
    };
    let unified = lines().find(|(_, controllers, _)| controllers.is_empty()).map(|(.., path)| path);
    let old = CONTROLLERS.iter().find_map(|controller| {
        let has = |names: &[u8]| names.split(|&b| b == b',').any(|name| name == *controller);
        lines().find(|(_, names, path)| has(names) && *path != b"/").map(|(.., path)| path)
    });
    unified.filter(|path| *path != b"/").or(old).or(unified).map(<[u8]>::to_vec)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_id() {
        assert_eq!(
            [&b"1000"[..], b"4294967295\n", b"", b"-1", b"4294967296"].map(decode_id),
            [Some(1000), Some(u32::MAX), None, None, None]
        );
    }

    #[test]
    fn handled_signals() {
        let status = "Name:\tx\nSigBlk:\t0000000000000001\nSigIgn:\t0000000000001000\nSigCgt:\t8000000000000002\n";
        let handled: Vec<i32> = (-1..70).filter(|&signo| decode_handled(status, signo)).collect();
        assert_eq!(handled, [2, 13, 64]);
        assert!(!decode_handled("", 1) && !decode_handled("SigCgt: x", 1));
    }

    #[test]
    fn a_threads_status_has_the_pid_of_its_process() {
        let ids = "Uid:\t1\t2\t3\t4\nGid:\t5\t6\t7\t8\n";
        let status = format!("Tgid:\t70\nPid:\t71\n{ids}NStgid:\t70\t7\nNSpid:\t71\t8\nThreads:\t2\n");
        let status = Status::decode(&status).unwrap();
        assert_eq!((status.ns_pid, status.uids, status.threads), (7, [1, 2], 2));
        assert_eq!(Status::decode(ids).unwrap().ns_pid, 0);
    }

    #[test]
    fn stat_with_a_hostile_name() {
        let stat = b"7 (a) b) (c) S 1 7 6 34821 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 98765 1 2 3\n";
        let stat = Stat::decode(stat).unwrap();
        assert_eq!((&stat.comm[..], stat.ppid, stat.pgid, stat.sid), (&b"a) b) (c"[..], 1, 7, 6));
        assert_eq!((stat.start, stat.is_kthread(), stat.has_ended()), (StartTime(98765), false, false));
        assert_eq!(stat.tty(), Some(Tty { major: 136, minor: 5 }));
        for bad in [&b""[..], b"7 (a", b"7 (a) S 1 2", b")(", b"7 (a) S x 7 6 0 -1 0 1 2 3 4 5 6 7 8 20 0 1 0 9 1"] {
            assert_eq!(Stat::decode(bad), None);
        }
    }

    #[test]
    fn cgroups() {
        let path = |file: &str| decode_cgroup(file.as_bytes()).map(|path| String::from_utf8(path).unwrap());
        assert_eq!(path("0::/system.slice/ssh.service\n").as_deref(), Some("/system.slice/ssh.service"));
        assert_eq!(path("3:cpu,cpuacct:/a\n2:memory:/b:c\n0::/\n").as_deref(), Some("/b:c"));
        assert_eq!(path("2:memory:/\n0::/\n").as_deref(), Some("/"));
        assert_eq!(path("").as_deref(), None);
        assert_eq!(path("junk\n:\n").as_deref(), None);
    }

    proptest::proptest! {
        #[test]
        fn any_stat_is_taken(stat: Vec<u8>) {
            let _ = Stat::decode(&stat);
        }
    }
}

//! A process as `/proc` shows it while it is held still: the source of the truth.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStringExt as _;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

/// Some fields of `/proc/PID/stat`.
#[derive(Clone, Debug)]
pub struct Stat {
    /// One letter: `S`, `R`, `Z` …
    pub state: u8,
    /// The parent.
    pub ppid: u32,
    /// Process group.
    pub pgid: u32,
    /// Session.
    pub sid: u32,
    /// The terminal's device number.
    pub tty_nr: u32,
    /// Field 22.
    pub start_ticks: u64,
}

/// Reads `/proc/PID/stat`.
///
/// # Errors
/// Those of reading it.
pub fn stat(pid: u32) -> io::Result<Stat> {
    let text = fs::read(format!("/proc/{pid}/stat"))?;
    // The comm may contain anything, parentheses too.
    let end = text.iter().rposition(|&b| b == b')').ok_or(io::ErrorKind::InvalidData)?;
    let text = String::from_utf8_lossy(&text[end + 2..]);
    let fields: Vec<&str> = text.split_ascii_whitespace().collect();
    let number = |field: usize| fields[field - 3].parse::<i64>().unwrap_or_default() as u64;
    Ok(Stat {
        state: fields[0].as_bytes()[0],
        ppid: number(4) as u32,
        pgid: number(5) as u32,
        sid: number(6) as u32,
        tty_nr: number(7) as u32,
        start_ticks: number(22),
    })
}

/// Everything that an exec is compared with.
#[derive(Clone, Debug)]
pub struct Sight {
    /// From `/proc/PID/cmdline`.
    pub argv: Vec<Vec<u8>>,
    /// From `/proc/PID/exe`, with the kernel's addition for a deleted file.
    pub exe: Vec<u8>,
    /// From `/proc/PID/cwd`.
    pub cwd: Vec<u8>,
    /// From `/proc/PID/comm`.
    pub name: Vec<u8>,
    /// Real user, effective user, real group, effective group.
    pub ids: [u32; 4],
    /// The innermost pid.
    pub ns_pid: u32,
    /// Parent.
    pub ppid: u32,
    /// Process group.
    pub pgid: u32,
    /// Session.
    pub sid: u32,
    /// `pts/3`, or nothing.
    pub tty: String,
    /// The cgroup, chosen as procscope does.
    pub cgroup: String,
    /// Inode numbers.
    pub namespaces: BTreeMap<String, u64>,
    /// Field 22 of stat.
    pub start_ticks: u64,
}

impl Sight {
    /// Looks at a process, which must not change meanwhile.
    ///
    /// # Errors
    /// Those of reading its files.
    pub fn of(pid: u32) -> io::Result<Self> {
        let dir = Path::new("/proc").join(pid.to_string());
        let stat = stat(pid)?;
        let status = fs::read(dir.join("status"))?;
        let status = String::from_utf8_lossy(&status);
        let line = |key: &str| -> Vec<u32> {
            let line = status.lines().find_map(|line| line.strip_prefix(key)).unwrap_or_default();
            line.split_ascii_whitespace().filter_map(|n| n.parse().ok()).collect()
        };
        let (uid, gid, ns) = (line("Uid:"), line("Gid:"), line("NSpid:"));
        let mut name = fs::read(dir.join("comm"))?;
        name.pop();
        Ok(Self {
            argv: split(&fs::read(dir.join("cmdline"))?),
            exe: link(&dir.join("exe")).unwrap_or_default(),
            cwd: link(&dir.join("cwd")).unwrap_or_default(),
            name,
            ids: [uid[0], uid[1], gid[0], gid[1]],
            ns_pid: *ns.last().unwrap_or(&pid),
            ppid: stat.ppid,
            pgid: stat.pgid,
            sid: stat.sid,
            tty: tty(stat.tty_nr),
            cgroup: cgroup(&fs::read_to_string(dir.join("cgroup"))?),
            namespaces: namespaces(&dir),
            start_ticks: stat.start_ticks,
        })
    }
}

/// The comm of a process.
///
/// # Errors
/// Those of reading it.
pub fn comm(pid: u32) -> io::Result<Vec<u8>> {
    let mut name = fs::read(format!("/proc/{pid}/comm"))?;
    name.pop();
    Ok(name)
}

/// Reads `/proc/PID/io` of a process that waits for us. A write is charged to it only after its
/// reader was woken, so each of its threads gets the time to fall asleep.
///
/// # Errors
/// Those of reading it.
pub fn settled_io(pid: u32) -> io::Result<[u64; 4]> {
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(2) {
        let before = io(pid)?;
        // A thread that is gone by now was added up.
        let states = tasks(pid)?.into_iter().filter_map(|tid| stat(tid).ok()).map(|stat| stat.state);
        let busy = states.filter(|state| matches!(state, b'R' | b'D')).count();
        if busy == 0 && before == io(pid)? {
            return Ok(before);
        }
        thread::sleep(Duration::from_micros(100));
    }
    io(pid)
}

/// The threads of a process.
fn tasks(pid: u32) -> io::Result<Vec<u32>> {
    let entries = fs::read_dir(format!("/proc/{pid}/task"))?;
    Ok(entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).collect())
}

/// `rchar`, `wchar`, `read_bytes`, `write_bytes` of a process.
///
/// # Errors
/// Those of reading them.
pub fn io(pid: u32) -> io::Result<[u64; 4]> {
    let text = fs::read_to_string(format!("/proc/{pid}/io"))?;
    let number = |key: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(": "));
        line.and_then(|n| n.parse().ok()).unwrap_or_default()
    };
    Ok(["rchar", "wchar", "read_bytes", "write_bytes"].map(number))
}

/// The pids of the children, as the pid namespace of `/proc` numbers them.
///
/// # Errors
/// Those of listing `/proc`.
pub fn children(pid: u32) -> io::Result<Vec<u32>> {
    let pids = fs::read_dir("/proc")?.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok());
    Ok(pids.filter(|&child| stat(child).is_ok_and(|stat| stat.ppid == pid)).collect())
}

/// Splits a block in which every string ends with a NUL.
pub fn split(block: &[u8]) -> Vec<Vec<u8>> {
    let inner = block.strip_suffix(b"\0").unwrap_or(block);
    if block.is_empty() { Vec::new() } else { inner.split(|&b| b == 0).map(<[u8]>::to_vec).collect() }
}

/// Reads a link of any length: one in `/proc` longer than PATH_MAX is an error.
fn link(path: &Path) -> io::Result<Vec<u8>> {
    Ok(fs::read_link(path)?.into_os_string().into_vec())
}

fn tty(number: u32) -> String {
    let (major, minor) = ((number >> 8) & 0xfff, (number & 0xff) | ((number >> 12) & 0xf_ff00));
    match major {
        0 => String::new(),
        136..=143 => format!("pts/{}", (major - 136) * 256 + minor),
        _ => procscope_model::Tty { major, minor }.to_string(),
    }
}

/// The unified hierarchy's path, or the first of some others that is not the root.
fn cgroup(text: &str) -> String {
    let lines: Vec<(&str, &str)> = text
        .lines()
        .filter_map(|line| line.split_once(':')?.1.split_once(':'))
        .filter(|(_, path)| *path != "/")
        .collect();
    let of = |controller: &str| lines.iter().find(|(list, _)| list.split(',').any(|c| c == controller)).map(|l| l.1);
    ["", "memory", "pids", "cpu", "cpuset", "devices"].iter().find_map(|c| of(c)).unwrap_or("/").to_owned()
}

fn namespaces(dir: &Path) -> BTreeMap<String, u64> {
    let names = ["mnt", "pid", "net", "uts", "ipc", "user", "cgroup", "time"];
    let inode = |name: &str| {
        let text = fs::read_link(dir.join("ns").join(name)).ok()?.into_os_string().into_string().ok()?;
        text.split_once('[')?.1.strip_suffix(']')?.parse().ok()
    };
    names.iter().filter_map(|name| Some(((*name).to_owned(), inode(name)?))).collect()
}

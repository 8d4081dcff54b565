//! The BPF programs of the system, by bpf(2) itself, so that no tool is needed.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};

/// `include/uapi/linux/bpf.h`.
const BPF_PROG_GET_NEXT_ID: i32 = 11;
const BPF_PROG_GET_FD_BY_ID: i32 = 13;
const BPF_OBJ_GET_INFO_BY_FD: i32 = 15;
/// The place of `run_time_ns` in `struct bpf_prog_info`, in words of 8 bytes.
const RUN_TIME_WORD: usize = 192 / 8;
const INFO_WORDS: usize = 28;

fn bpf(command: i32, attr: &mut [u32; 8]) -> io::Result<i32> {
    // SAFETY: the attributes have the given length, and hold what the command needs.
    let result = unsafe { libc::syscall(libc::SYS_bpf, command, attr.as_mut_ptr(), size_of_val(attr)) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result as i32) }
}

/// The ids of all loaded programs.
pub fn programs() -> HashSet<u32> {
    let mut all = HashSet::new();
    let mut last = 0;
    loop {
        let mut attr = [0; 8];
        attr[0] = last;
        if bpf(BPF_PROG_GET_NEXT_ID, &mut attr).is_err() {
            return all;
        }
        last = attr[1];
        all.insert(last);
    }
}

/// For how long these programs ran, ns, since `kernel.bpf_stats_enabled` was set.
pub fn run_time_ns(programs: impl IntoIterator<Item = u32>) -> u64 {
    programs.into_iter().filter_map(|id| run_time_of(id).ok()).sum()
}

fn run_time_of(id: u32) -> io::Result<u64> {
    let mut attr = [0; 8];
    attr[0] = id;
    // SAFETY: nothing else owns the descriptor from the kernel.
    let program = unsafe { OwnedFd::from_raw_fd(bpf(BPF_PROG_GET_FD_BY_ID, &mut attr)?) };
    let mut info = [0u64; INFO_WORDS];
    let address = info.as_mut_ptr() as u64;
    let mut attr =
        [program.as_raw_fd() as u32, size_of_val(&info) as u32, address as u32, (address >> 32) as u32, 0, 0, 0, 0];
    bpf(BPF_OBJ_GET_INFO_BY_FD, &mut attr)?;
    Ok(info[RUN_TIME_WORD])
}

/// `kernel.bpf_stats_enabled`, restored when dropped.
#[derive(Debug)]
pub struct Stats {
    before: String,
}

const STATS: &str = "/proc/sys/kernel/bpf_stats_enabled";

impl Stats {
    /// Makes the kernel measure each run of each program, which costs time itself.
    ///
    /// # Errors
    /// Without the right to.
    pub fn enable() -> io::Result<Self> {
        let before = fs::read_to_string(STATS)?;
        fs::write(STATS, "1")?;
        Ok(Self { before })
    }
}

impl Drop for Stats {
    fn drop(&mut self) {
        let _ = fs::write(STATS, &self.before);
    }
}

//! What is seen of a process at once, and what follows from it.

use crate::source::look::Look;
use crate::sys::proc_pid::Stat;
use crate::{Flaw, Pid};

/// One process as it was seen.
#[derive(Clone, Debug)]
pub(crate) struct Sight {
    pub(crate) pid: Pid,
    /// CLOCK_BOOTTIME, ns.
    pub(crate) read_ns: u64,
    pub(crate) stat: Stat,
    pub(crate) look: Look,
    /// The size of the program's code, KiB; 0 where it is not known.
    pub(crate) code_kib: u64,
    /// See [`is_loading`]: what it runs is to be read later.
    pub(crate) loading: bool,
}

/// Whether a process has executed something and lives, so that it may be between two programs.
pub(crate) fn is_between(stat: &Stat) -> bool {
    stat.has_executed() == Some(true) && !stat.is_kthread() && !stat.is_ending()
}

/// Whether a process is between two programs: the old one is gone, and the kernel tells neither code nor arguments of the new one
/// before all of it is in place (`load_elf_binary` in `fs/binfmt_elf.c`), for which it may have to wait for the disk.
pub(crate) fn is_loading(stat: &Stat, look: &Look, code_kib: u64) -> bool {
    is_between(stat) && look.argv.is_none() && stat.lacks_code().unwrap_or(code_kib == 0)
}

/// What was read of a process between two readings of its stat, as far as it is of one program: that of the second reading.
pub(crate) fn settle(first: &Stat, mut look: Look, last: Option<&Stat>) -> Option<(Stat, Look)> {
    let Some(last) = last else {
        // It is gone. What it had executed by the first reading, or later, it had; what it had not may be either's.
        if first.has_executed() != Some(true) {
            forget_image(&mut look);
        }
        return Some((first.clone(), look));
    };
    // The parent as it was first: an orphan has another one.
    let mut last = last.clone();
    last.ppid = first.ppid;
    let same = first.has_executed() == last.has_executed() && first.comm == last.comm;
    if same && (first.places() == last.places() || last.is_ending()) {
        return Some((last, look));
    }
    if last.is_ending() {
        forget_image(&mut look);
        return Some((last, look));
    }
    None
}

fn forget_image(look: &mut Look) {
    (look.argv, look.env, look.exe) = (None, None, None);
}

/// What to do about a process that was known before.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Judgement {
    /// Another process has the pid now.
    Other,
    /// It has ended, and nobody has waited for it yet.
    Ended,
    /// More has to be read to know what changed.
    Look,
    /// What its stat tells is all there is to it.
    Same,
}

/// How a process ended, as far as it was seen.
#[derive(Clone, Debug)]
pub(crate) struct End {
    pub(crate) boot_ns: u64,
    /// What is wrong with that time.
    pub(crate) time: Flaw,
    pub(crate) wait_status: Option<u32>,
    /// What was left of it.
    pub(crate) stat: Option<Stat>,
}

//! What is seen of a process at once, and what follows from it.

use crate::proc::pid::Stat;
use crate::source::look::Look;
use crate::{Flaw, Pid};

/// One process as it was seen.
#[derive(Clone, Debug)]
pub(crate) struct Sight {
    pub(crate) pid: Pid,
    /// CLOCK_BOOTTIME, ns.
    pub(crate) read_ns: u64,
    pub(crate) stat: Stat,
    pub(crate) look: Look,
    /// The size of the program's code, KiB; 0 if it is not known.
    pub(crate) code_kib: u64,
    /// See [`is_loading`]: its program is to be read later.
    pub(crate) loading: bool,
}

/// Whether a process has executed something and lives, so that it may be between two programs.
pub(crate) fn is_between(stat: &Stat) -> bool {
    stat.has_executed() == Some(true) && !stat.is_kthread() && !stat.is_ending()
}

/// Whether a process is between two programs: the old one is gone, and the kernel shows neither
/// code nor arguments of the new one before all of it is in place (`load_elf_binary` in
/// `fs/binfmt_elf.c`). For that it may have to wait for the disk.
pub(crate) fn is_loading(stat: &Stat, look: &Look, code_kib: u64) -> bool {
    is_between(stat) && look.argv.is_none() && stat.lacks_code().unwrap_or(code_kib == 0)
}

/// The values of a process read between two readings of its stat, as far as they are of one
/// program: that of the second reading.
pub(crate) fn settle(first: &Stat, mut look: Look, last: Option<&Stat>) -> Option<(Stat, Look)> {
    let Some(last) = last else {
        // It is gone. If it had executed something by the first reading, or later, that is certain;
        // otherwise it is open.
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

/// What to do about a known process.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Judgement {
    /// Another process has the pid now.
    Other,
    /// It has ended, and was not waited for yet.
    Ended,
    /// More has to be read to know what changed.
    Look,
    /// Its stat shows everything.
    Same,
}

/// How a process ended, as far as it was seen.
#[derive(Clone, Debug)]
pub(crate) struct End {
    pub(crate) boot_ns: u64,
    /// What is wrong with that time.
    pub(crate) time: Flaw,
    pub(crate) wait_status: Option<u32>,
    /// The rest of it.
    pub(crate) stat: Option<Stat>,
}

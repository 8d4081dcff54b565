//! The resources that a process used itself: the kernel adds those of the children that it waited
//! for.

use crate::record::{UNKNOWN_COUNT, UsageRecord};
use crate::sys;

pub(super) fn zero_usage() -> libc::rusage {
    // SAFETY: plain numbers.
    unsafe { std::mem::zeroed() }
}

fn ns(time: libc::timeval) -> u64 {
    (time.tv_sec as u64).saturating_mul(1_000_000_000).saturating_add(time.tv_usec as u64 * 1000)
}

fn timeval(ns: u64) -> libc::timeval {
    libc::timeval { tv_sec: (ns / 1_000_000_000) as _, tv_usec: (ns % 1_000_000_000 / 1000) as _ }
}

pub(super) fn add(sum: &mut libc::rusage, more: &libc::rusage) {
    sum.ru_utime = timeval(ns(sum.ru_utime) + ns(more.ru_utime));
    sum.ru_stime = timeval(ns(sum.ru_stime) + ns(more.ru_stime));
    sum.ru_maxrss = sum.ru_maxrss.max(more.ru_maxrss);
    sum.ru_minflt += more.ru_minflt;
    sum.ru_majflt += more.ru_majflt;
    sum.ru_inblock += more.ru_inblock;
    sum.ru_oublock += more.ru_oublock;
}

/// wait4(2) gives the sum of a process and the children that it waited for.
pub(super) fn own_usage(all: &libc::rusage, children: Option<&libc::rusage>) -> UsageRecord {
    let zero = zero_usage();
    let children = children.unwrap_or(&zero);
    let less =
        |all: libc::c_long, children: libc::c_long| if all >= children { (all - children) as u64 } else { all as u64 };
    let less_ns = |all: u64, children: u64| if all >= children { all - children } else { all };
    let utime_ns = less_ns(ns(all.ru_utime), ns(children.ru_utime));
    let stime_ns = less_ns(ns(all.ru_stime), ns(children.ru_stime));
    // In KiB; the largest of all, whichever process that was.
    let own_rss = all.ru_maxrss > children.ru_maxrss;
    UsageRecord {
        utime_ns,
        stime_ns,
        runtime_ns: utime_ns + stime_ns,
        maxrss_pages: if own_rss { all.ru_maxrss as u64 * 1024 / sys::page_bytes() } else { UNKNOWN_COUNT },
        read_bytes: less(all.ru_inblock, children.ru_inblock) * 512,
        write_bytes: less(all.ru_oublock, children.ru_oublock) * 512,
        rchar: UNKNOWN_COUNT,
        wchar: UNKNOWN_COUNT,
        // Our own stops are among them.
        nvcsw: UNKNOWN_COUNT,
        nivcsw: UNKNOWN_COUNT,
        min_flt: less(all.ru_minflt, children.ru_minflt),
        maj_flt: less(all.ru_majflt, children.ru_majflt),
    }
}

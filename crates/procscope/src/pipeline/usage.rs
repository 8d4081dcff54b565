use crate::Usage;
use crate::record::{UNKNOWN_COUNT, UsageRecord};

/// Divides the exact run time by the tick's samples, as `cputime_adjust` in
/// `kernel/sched/cputime.c` does for wait4(2).
pub(crate) fn split_runtime(utime_ns: u64, stime_ns: u64, runtime_ns: u64) -> (u64, u64) {
    if stime_ns == 0 {
        return (runtime_ns, 0);
    }
    if utime_ns == 0 {
        return (0, runtime_ns);
    }
    let whole = u128::from(utime_ns) + u128::from(stime_ns);
    let system = (u128::from(stime_ns) * u128::from(runtime_ns) / whole) as u64;
    (runtime_ns - system, system)
}

pub(crate) fn usage(exit: &UsageRecord, page_bytes: u64) -> Usage {
    let (user_ns, system_ns) = split_runtime(exit.utime_ns, exit.stime_ns, exit.runtime_ns);
    let mut usage = Usage::default();
    usage.user_ns = Some(user_ns);
    usage.system_ns = Some(system_ns);
    let known = |count: u64| (count != UNKNOWN_COUNT).then_some(count);
    usage.max_rss_bytes = known(exit.maxrss_pages).map(|pages| pages.saturating_mul(page_bytes));
    usage.read_bytes = known(exit.read_bytes);
    usage.write_bytes = known(exit.write_bytes);
    usage.rchar = known(exit.rchar);
    usage.wchar = known(exit.wchar);
    usage.nvcsw = known(exit.nvcsw);
    usage.nivcsw = known(exit.nivcsw);
    usage.minflt = Some(exit.min_flt);
    usage.majflt = Some(exit.maj_flt);
    usage
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runtime_is_shared_out() {
        assert_eq!(split_runtime(0, 0, 700), (700, 0));
        assert_eq!(split_runtime(0, 4, 700), (0, 700));
        assert_eq!(split_runtime(3, 1, 800), (600, 200));
        assert_eq!(split_runtime(u64::MAX, u64::MAX, u64::MAX), (u64::MAX - u64::MAX / 2, u64::MAX / 2));
    }
}

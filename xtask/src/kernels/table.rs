//! What each source is expected to do on each kernel. This is the one place where it is written.

/// A kernel of Debian's.
pub(super) struct Kernel {
    pub(super) name: &'static str,
    /// The suites that have it.
    pub(super) suites: &'static [Suite],
    /// Tried unless others are named.
    pub(super) by_default: bool,
}

pub(super) struct Suite {
    pub(super) name: &'static str,
    /// In the archive of security updates.
    pub(super) security: bool,
}

const fn suite(name: &'static str) -> Suite {
    Suite { name, security: false }
}

const fn security(name: &'static str) -> Suite {
    Suite { name, security: true }
}

pub(super) const KERNELS: [Kernel; 4] = [
    Kernel { name: "5.10", suites: &[suite("bullseye"), security("bullseye-security")], by_default: false },
    Kernel { name: "6.1", suites: &[suite("bookworm"), security("bookworm-security")], by_default: true },
    Kernel { name: "6.12", suites: &[suite("bookworm-backports")], by_default: true },
    Kernel { name: "newest", suites: &[suite("sid")], by_default: false },
];

/// What is to be seen of one behaviour of one source on one kernel.
#[derive(Clone, Copy)]
pub(super) enum Expected {
    Works,
    /// Works, or else procscope says of itself, in a line that has these words, why not quite: a matter of luck.
    WorksOrSays(&'static str),
    /// procscope says it itself, in a line that has these words.
    Says(&'static str),
    /// Not tried, since the source does not start.
    Absent,
}

use Expected::{Absent, Says, Works, WorksOrSays};

pub(super) struct Row {
    pub(super) source: &'static str,
    pub(super) behaviour: &'static str,
    /// In the order of [`KERNELS`].
    pub(super) expected: [Expected; KERNELS.len()],
}

const fn row(source: &'static str, behaviour: &'static str, expected: [Expected; KERNELS.len()]) -> Row {
    Row { source, behaviour, expected }
}

/// Seen there in a storm. Not proved: programs may be preempted, and the kernel skips one that is under way on the same CPU.
const MAY_LOSE: Expected = WorksOrSays("told as lost");
const OLD: Expected = Says("boot Linux 5.11 or later");
const NO_BPF: Expected = Says("without CAP_BPF and CAP_PERFMON");
const NO_ADMIN: Expected = Says("before Linux 6.6 that takes CAP_NET_ADMIN");
const NO_FAILED: Expected = Says("exec-failed events are missing: the process connector does not tell of them");
const EBPF: Expected = Says("(ebpf)");
const FALLS_BACK: Expected = Says("process-connector because of ebpf: ");

#[rustfmt::skip]
pub(super) const TABLE: [Row; 20] = [
    //                                           5.10       6.1        6.12       newest
    row("ebpf", "start",                        [OLD,       Works,     Works,     Works]),
    row("ebpf", "storm",                        [Absent,    Works,     Works,     MAY_LOSE]),
    row("ebpf", "odd",                          [Absent,    Works,     Works,     MAY_LOSE]),
    row("ebpf", "failed-execs",                 [Absent,    Works,     Works,     Works]),
    row("ebpf", "tree",                         [Absent,    Works,     Works,     MAY_LOSE]),
    row("ebpf", "name",                         [Absent,    Works,     Works,     MAY_LOSE]),
    row("ebpf", "loss",                         [Absent,    Works,     Works,     Works]),
    row("ebpf", "status",                       [Absent,    Works,     Works,     Works]),
    row("ebpf", "unprivileged",                 [NO_BPF,    NO_BPF,    NO_BPF,    NO_BPF]),
    row("process-connector", "start",           [Works,     Works,     Works,     Works]),
    row("process-connector", "storm",           [Works,     Works,     Works,     Works]),
    row("process-connector", "odd",             [Works,     Works,     Works,     Works]),
    row("process-connector", "failed-execs",    [NO_FAILED, NO_FAILED, NO_FAILED, NO_FAILED]),
    row("process-connector", "tree",            [Works,     Works,     Works,     Works]),
    row("process-connector", "name",            [Works,     Works,     Works,     Works]),
    row("process-connector", "loss",            [Works,     Works,     Works,     Works]),
    row("process-connector", "status",          [Works,     Works,     Works,     Works]),
    row("process-connector", "unprivileged",    [NO_ADMIN,  NO_ADMIN,  Works,     Works]),
    row("auto", "start",                        [FALLS_BACK, EBPF,     EBPF,      EBPF]),
    row("auto", "unprivileged",                 [NO_BPF,    NO_BPF,    FALLS_BACK, FALLS_BACK]),
];

//! The expected behaviour of each source on each kernel. Only this file has it.

/// A machine that kernels are built for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Arch {
    Amd64,
    Arm64,
}

/// A kernel of Debian's.
pub(super) struct Kernel {
    pub(super) name: &'static str,
    pub(super) arch: Arch,
    /// The machine for QEMU to emulate.
    pub(super) cpu: &'static str,
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

pub(super) const fn suite(name: &'static str) -> Suite {
    Suite { name, security: false }
}

const fn security(name: &'static str) -> Suite {
    Suite { name, security: true }
}

const fn kernel(
    name: &'static str,
    arch: Arch,
    cpu: &'static str,
    suites: &'static [Suite],
    by_default: bool,
) -> Kernel {
    Kernel { name, arch, cpu, suites, by_default }
}

/// Debian 12's QEMU dies with cmpxchg16b under newer kernels.
const X86: &str = "max,-cx16";
/// It leaves it to the kernel to note that a page was used, as the cheap ones do.
const A72: &str = "cortex-a72";
/// It notes that itself. Signing pointers costs an emulator much, and nothing here is about it.
const NEWER: &str = "max,pauth=off";

const BULLSEYE: &[Suite] = &[suite("bullseye"), security("bullseye-security")];
const BOOKWORM: &[Suite] = &[suite("bookworm"), security("bookworm-security")];
const BACKPORTS: &[Suite] = &[suite("bookworm-backports")];
const SID: &[Suite] = &[suite("sid")];

pub(super) const KERNELS: [Kernel; 6] = [
    kernel("5.10", Arch::Amd64, X86, BULLSEYE, true),
    kernel("6.1", Arch::Amd64, X86, BOOKWORM, true),
    kernel("6.12", Arch::Amd64, X86, BACKPORTS, false),
    kernel("newest", Arch::Amd64, X86, SID, false),
    kernel("arm64-6.1", Arch::Arm64, A72, BOOKWORM, false),
    kernel("arm64-6.12", Arch::Arm64, NEWER, BACKPORTS, true),
];

/// The expected result of one behaviour of one source on one kernel.
#[derive(Clone, Copy)]
pub(super) enum Expected {
    Works,
    /// Works, or procscope says in a line with these words why not quite: a matter of luck.
    WorksOrSays(&'static str),
    /// procscope says so in a line with these words.
    Says(&'static str),
    /// Not tried, because the source does not start, or as `docs/kernels.md` says.
    Absent,
}

use Expected::{Absent, Says, Works, WorksOrSays};

pub(super) struct Row {
    pub(super) source: &'static str,
    pub(super) behaviour: &'static str,
    /// In the order of [`KERNELS`].
    pub(super) expected: [Expected; KERNELS.len()],
    /// Tried only if more than the default is requested.
    pub(super) long: bool,
}

const fn row(source: &'static str, behaviour: &'static str, expected: [Expected; KERNELS.len()]) -> Row {
    Row { source, behaviour, expected, long: false }
}

const fn long(source: &'static str, behaviour: &'static str, expected: [Expected; KERNELS.len()]) -> Row {
    Row { source, behaviour, expected, long: true }
}

/// A program may be preempted there, and the kernel skips another run of it on the same CPU meanwhile.
const MAY_LOSE: Expected = WorksOrSays("reported as lost");
const OLD: Expected = Says("boot Linux 5.11 or later");
const NO_BPF: Expected = Says("needs CAP_BPF and CAP_PERFMON");
const NO_ADMIN: Expected = Says("before Linux 6.6 that needs CAP_NET_ADMIN");
const NO_FAILED: Expected = Says("exec-failed events are missing");
const NOT_MADE: Expected = Says("not made: vfork: this architecture has no vfork call");
const UNREAD: Expected = Says("arguments marked unreadable");
const NO_SYS: Expected = Says("/sys is not mounted; mount -t sysfs sysfs /sys");
const NO_PIDS: Expected = Says("answers only in the initial pid and user namespaces");
const NO_PROC: Expected = Says("mount -t proc proc /proc");
const EBPF: Expected = Says("(ebpf)");
const NO_ROOT: Expected = Says("tracefs may not be used");
const TRACEFS: Expected = Says("(tracefs)");
const NO_PIDS_TRACED: Expected = Says("shows the pids of the initial pid namespace");
const NO_PROBES: Expected = Says("neither path nor arguments: this kernel has neither kprobes nor event probes");
/// The kernel uses another address than the path's.
const NO_PATH: Expected = Says("paths marked not observed");
const SHOWN: Expected = Says("no arguments, and a longer path is cut");
const POLL: Expected = Says("(proc-poll)");
const CONNECTOR: Expected = Says("(process-connector)");

#[rustfmt::skip]
pub(super) const TABLE: [Row; 64] = [
    //                                           5.10       6.1        6.12       newest     arm64-6.1  arm64-6.12
    row("ebpf", "start",                        [OLD,       Works,     Works,     Works,     Works,     Works]),
    row("ebpf", "storm",                        [Absent,    Works,     Works,     MAY_LOSE,  Works,     Works]),
    row("ebpf", "odd",                          [Absent,    Works,     Works,     MAY_LOSE,  UNREAD,    NOT_MADE]),
    row("ebpf", "failed-execs",                 [Absent,    Works,     Works,     Works,     UNREAD,    Works]),
    row("ebpf", "tree",                         [Absent,    Works,     Works,     MAY_LOSE,  Works,     Works]),
    row("ebpf", "name",                         [Absent,    Works,     Works,     MAY_LOSE,  Works,     Works]),
    row("ebpf", "loss",                         [Absent,    Works,     Works,     Works,     Works,     Works]),
    row("ebpf", "status",                       [Absent,    Works,     Works,     Works,     Works,     Works]),
    row("ebpf", "run",                          [Absent,    Works,     Works,     MAY_LOSE,  Works,     Works]),
    row("ebpf", "cgroup-hybrid",                [Absent,    Works,     Works,     MAY_LOSE,  Works,     Works]),
    row("ebpf", "cgroup-v1",                    [Absent,    Works,     Works,     MAY_LOSE,  Works,     Works]),
    row("ebpf", "pid-namespace",                [Absent,    Works,     Works,     MAY_LOSE,  Works,     Works]),
    row("ebpf", "chroot",                       [Absent,    NO_SYS,    NO_SYS,    NO_SYS,    NO_SYS,    NO_SYS]),
    row("ebpf", "unprivileged",                 [NO_BPF,    NO_BPF,    NO_BPF,    NO_BPF,    NO_BPF,    NO_BPF]),
    row("ebpf", "doctor",                       [Works,     Works,     Works,     Works,     Works,     Works]),
    row("process-connector", "start",           [Works,     Works,     Works,     Works,     Works,     Works]),
    row("process-connector", "storm",           [Works,     Works,     Works,     Works,     Works,     Works]),
    row("process-connector", "odd",             [Works,     Works,     Works,     Works,     NOT_MADE,  NOT_MADE]),
    row("process-connector", "failed-execs",    [NO_FAILED, NO_FAILED, NO_FAILED, NO_FAILED, NO_FAILED, NO_FAILED]),
    row("process-connector", "tree",            [Works,     Works,     Works,     Works,     Works,     Works]),
    row("process-connector", "name",            [Works,     Works,     Works,     Works,     Works,     Works]),
    row("process-connector", "loss",            [Works,     Works,     Works,     Works,     Works,     Works]),
    row("process-connector", "status",          [Works,     Works,     Works,     Works,     Works,     Works]),
    row("process-connector", "run",             [Works,     Works,     Works,     Works,     Works,     Works]),
    row("process-connector", "cgroup-hybrid",   [Works,     Works,     Works,     Works,     Works,     Works]),
    row("process-connector", "cgroup-v1",       [Works,     Works,     Works,     Works,     Works,     Works]),
    row("process-connector", "pid-namespace",   [NO_PIDS,   NO_PIDS,   NO_PIDS,   NO_PIDS,   NO_PIDS,   NO_PIDS]),
    row("process-connector", "chroot",          [Works,     Works,     Works,     Works,     Works,     Works]),
    row("process-connector", "unprivileged",    [NO_ADMIN,  NO_ADMIN,  Works,     Works,     NO_ADMIN,  Works]),
    row("process-connector", "doctor",          [Works,     Works,     Works,     Works,     Works,     Works]),
    row("tracefs", "start",                     [Works,     Works,     Works,     Works,     Works,     Works]),
    row("tracefs", "storm",                     [Works,     Works,     Works,     Works,     Works,     Works]),
    row("tracefs", "odd",                       [Works,     Works,     Works,     Works,     NOT_MADE,  NOT_MADE]),
    row("tracefs", "failed-execs",              [UNREAD,    UNREAD,    Works,     Works,     UNREAD,    Works]),
    row("tracefs", "event-probes",              [NO_PROBES, UNREAD,    NO_PATH,   Works,     UNREAD,    NO_PATH]),
    row("tracefs", "user-strings",              [NO_PROBES, NO_PROBES, NO_PROBES, SHOWN,     NO_PROBES, NO_PROBES]),
    row("tracefs", "tree",                      [Works,     Works,     Works,     Works,     Works,     Works]),
    row("tracefs", "loss",                      [Works,     Works,     Works,     Works,     Works,     Works]),
    row("tracefs", "status",                    [Works,     Works,     Works,     Works,     Works,     Works]),
    row("tracefs", "run",                       [Works,     Works,     Works,     Works,     Works,     Works]),
    row("tracefs", "pid-namespace",            [NO_PIDS_TRACED, NO_PIDS_TRACED, NO_PIDS_TRACED, NO_PIDS_TRACED, NO_PIDS_TRACED, NO_PIDS_TRACED]),
    row("tracefs", "chroot",                   [NO_PROC,   NO_PROC,   NO_PROC,   NO_PROC,   NO_PROC,   NO_PROC]),
    long("tracefs", "storm-20000",              [Works,     Works,     Works,     Works,     Works,     Works]),
    row("tracefs", "unprivileged",              [NO_ROOT,   NO_ROOT,   NO_ROOT,   NO_ROOT,   NO_ROOT,   NO_ROOT]),
    row("tracefs", "doctor",                    [Works,     Works,     Works,     Works,     Works,     Works]),
    row("proc-poll", "start",                   [Works,     Works,     Works,     Works,     Works,     Works]),
    row("proc-poll", "storm",                   [Works,     Works,     Works,     Works,     Works,     Works]),
    row("proc-poll", "odd",                     [Works,     Works,     Works,     Works,     NOT_MADE,  NOT_MADE]),
    row("proc-poll", "failed-execs",            [NO_FAILED, NO_FAILED, NO_FAILED, NO_FAILED, NO_FAILED, NO_FAILED]),
    row("proc-poll", "tree",                    [Works,     Works,     Works,     Works,     Works,     Works]),
    row("proc-poll", "run",                       [MAY_LOSE,  MAY_LOSE,  MAY_LOSE,  MAY_LOSE,  MAY_LOSE,  MAY_LOSE]),
    row("proc-poll", "chroot",                  [NO_PROC,   NO_PROC,   NO_PROC,   NO_PROC,   NO_PROC,   NO_PROC]),
    row("proc-poll", "unprivileged",            [Works,     Works,     Works,     Works,     Works,     Works]),
    row("proc-poll", "doctor",                  [Works,     Works,     Works,     Works,     Works,     Works]),
    row("ptrace", "start",                      [Works,     Works,     Works,     Works,     Works,     Works]),
    row("ptrace", "storm",                      [Works,     Works,     Works,     Works,     Works,     Works]),
    row("ptrace", "odd",                        [Works,     Works,     Works,     Works,     NOT_MADE,  NOT_MADE]),
    row("ptrace", "failed-execs",               [Works,     Works,     Works,     Works,     Works,     Works]),
    row("ptrace", "run",                        [Works,     Works,     Works,     Works,     Works,     Works]),
    row("ptrace", "unprivileged",               [Works,     Works,     Works,     Works,     Works,     Works]),
    row("ptrace", "doctor",                     [Works,     Works,     Works,     Works,     Works,     Works]),
    row("auto", "start",                        [TRACEFS,   EBPF,      EBPF,      EBPF,      EBPF,      EBPF]),
    row("auto", "unprivileged",                 [POLL,      POLL,      CONNECTOR, CONNECTOR, POLL,      CONNECTOR]),
    row("auto", "doctor",                       [Works,     Works,     Works,     Works,     Works,     Works]),
];

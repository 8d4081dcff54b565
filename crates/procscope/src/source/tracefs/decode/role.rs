//! The events that are read, and their fields.

/// An event's role for us.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) enum Role {
    NewTask,
    Exec,
    Exit,
    Rename,
    Generate,
    Deliver,
    OomVictim,
    EnterExec,
    EnterExecAt,
    LeaveExec,
    LeaveExecAt,
    EnterExit,
    EnterExitGroup,
    LeaveSetsid,
    /// A probe of ours on `do_exit`.
    Doom,
    /// A probe of ours at the point where the new program's stack is ready.
    Image,
    /// A probe of ours at the call's beginning: the path.
    CallPath,
    /// The same: the first arguments.
    CallArguments,
    /// The same: the following ones, apart, because no record is longer than a page.
    CallRest,
}

impl Role {
    /// The group and the name; none for probes of our own.
    pub(crate) fn event(self) -> Option<(&'static str, &'static str)> {
        Some(match self {
            Self::NewTask => ("task", "task_newtask"),
            Self::Exec => ("sched", "sched_process_exec"),
            Self::Exit => ("sched", "sched_process_exit"),
            Self::Rename => ("task", "task_rename"),
            Self::Generate => ("signal", "signal_generate"),
            Self::Deliver => ("signal", "signal_deliver"),
            Self::OomVictim => ("oom", "mark_victim"),
            Self::EnterExec => ("syscalls", "sys_enter_execve"),
            Self::EnterExecAt => ("syscalls", "sys_enter_execveat"),
            Self::LeaveExec => ("syscalls", "sys_exit_execve"),
            Self::LeaveExecAt => ("syscalls", "sys_exit_execveat"),
            Self::EnterExit => ("syscalls", "sys_enter_exit"),
            Self::EnterExitGroup => ("syscalls", "sys_enter_exit_group"),
            Self::LeaveSetsid => ("syscalls", "sys_exit_setsid"),
            Self::Doom | Self::Image | Self::CallPath | Self::CallArguments | Self::CallRest => return None,
        })
    }

    /// The names of its fields, and how many of the first must be there.
    pub(super) fn fields(self) -> (&'static [&'static str], usize) {
        match self {
            Self::NewTask => (&["pid", "comm", "clone_flags"], 3),
            Self::Exec => (&["pid", "old_pid", "filename"], 1),
            Self::Exit => (&["pid", "comm", "group_dead"], 1),
            Self::Rename => (&["pid", "oldcomm", "newcomm"], 3),
            Self::Generate => (&["sig", "pid", "code", "result"], 2),
            Self::Deliver => (&["sig", "sa_handler"], 2),
            Self::OomVictim => (&["pid"], 1),
            Self::EnterExec | Self::EnterExecAt => (&["fd", USER_PATH], 0),
            Self::LeaveExec | Self::LeaveExecAt | Self::LeaveSetsid => (&["ret"], 1),
            Self::EnterExit | Self::EnterExitGroup => (&["error_code"], 1),
            Self::Doom => (&["code"], 1),
            Self::Image => (&["argc", "first", "block0", "block1", "block2", "block3", "block4", "block5"], 3),
            Self::CallPath => (&["path", "at"], 1),
            Self::CallArguments | Self::CallRest => (&["list", "at", "end0", "end1", "end2"], 2),
        }
    }
}

/// The field of a system call's event that has the string at its argument `filename`
/// (`syscall_enter_define_fields` in `kernel/trace/trace_syscalls.c`).
const USER_PATH: &str = "__filename_val";

/// This many strings of a call are read as its first arguments, and this many after them: with all
/// their pointers, as many fields as a probe may have.
pub(crate) const FIRST_ARGUMENTS: usize = 16;
pub(crate) const MORE_ARGUMENTS: usize = 63;

/// The most fields that one of our events has.
pub(super) const MOST_FIELDS: usize = 8;

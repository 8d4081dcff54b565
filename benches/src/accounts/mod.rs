//! The meaning of each monitor's text.

mod read;
#[cfg(test)]
mod tests;

use std::collections::HashMap;

pub use read::{auditd, bpftrace, execsnoop, extrace, forkstat, perf, procscope, strace};

use procscope_tests::truth::{Bytes, Exit, Life};

/// A monitor's report on one process.
#[derive(Clone, Debug, Default)]
pub struct Account {
    /// The text of an exec, and its arguments as far as the text shows them.
    pub exec: Option<(Vec<u8>, Vec<Vec<u8>>)>,
    /// The comm, if it has a column of its own.
    pub name: Option<Vec<u8>>,
    /// The wait status.
    pub status: Option<Status>,
    /// The parent.
    pub ppid: Option<u32>,
}

/// An end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Status {
    /// By itself.
    Code(u32),
    /// By a signal.
    Signal(u8),
}

/// By pid; a storm has each pid once.
pub type ByPid = HashMap<u32, Account>;

/// How much of the truth was reported, in percent; absent if the monitor never reports such things.
#[derive(Clone, Copy, Debug, Default)]
pub struct Score {
    /// Execs with the program's name: its path, or exactly its comm.
    pub named: Option<f64>,
    /// Execs with another name than the program's.
    pub misnamed: Option<f64>,
    /// Execs whose arguments follow exactly from the text.
    pub argv: Option<f64>,
    /// Ends with their status.
    pub status: Option<f64>,
    /// Processes with their parent.
    pub parent: Option<f64>,
}

/// Compares the reports with the truth.
pub fn score(accounts: &ByPid, lives: &[&Life]) -> Score {
    let percent = |right: usize| (!lives.is_empty()).then(|| right as f64 * 100.0 / lives.len() as f64);
    let count = |is: fn(&Account, &Life) -> bool| {
        lives.iter().filter(|l| accounts.get(&l.pid).is_some_and(|t| is(t, l))).count()
    };
    let any = |has: fn(&Account) -> bool| accounts.values().any(has);
    Score {
        named: percent(count(named)),
        misnamed: percent(count(|account, life| {
            account.exec.as_ref().is_some_and(|(text, _)| !text.is_empty()) && !named(account, life)
        })),
        argv: any(|account| account.exec.as_ref().is_some_and(|(_, argv)| !argv.is_empty()))
            .then(|| {
                percent(count(|account, life| {
                    let (Some((_, argv)), Some(exec)) = (&account.exec, life.execs.first()) else { return false };
                    argv.iter().eq(exec.argv.iter().map(|Bytes(arg)| arg))
                }))
            })
            .flatten(),
        status: any(|account| account.status.is_some()).then(|| percent(count(status_right))).flatten(),
        parent: any(|account| account.ppid.is_some()).then(|| percent(count(parent_right))).flatten(),
    }
}

fn named(account: &Account, life: &Life) -> bool {
    let (Some((text, _)), Some(exec)) = (&account.exec, life.execs.first()) else { return false };
    let path = exec.path.as_ref().map_or(&b""[..], |Bytes(path)| path);
    let comm = exec.name.as_ref().map_or(&b""[..], |Bytes(name)| name);
    let first = account.exec.as_ref().and_then(|(_, argv)| argv.first());
    first.is_some_and(|first| first == path)
        || text.starts_with(path)
        || text.trim_ascii_end() == comm.trim_ascii_end()
        || account.name.as_deref() == Some(comm)
}

fn status_right(account: &Account, life: &Life) -> bool {
    let Some(Exit { code, signal, .. }) = &life.exit else { return false };
    match account.status {
        Some(Status::Code(account)) => *code == Some(account),
        Some(Status::Signal(account)) => signal.as_deref().and_then(signal_number) == Some(account),
        None => false,
    }
}

fn parent_right(account: &Account, life: &Life) -> bool {
    account.ppid.is_some() && account.ppid == life.fork.as_ref().map(|fork| fork.ppid)
}

/// The signals of a storm, and some more.
fn signal_number(name: &str) -> Option<u8> {
    let all = [(1, "HUP"), (2, "INT"), (3, "QUIT"), (4, "ILL"), (5, "TRAP"), (6, "ABRT"), (7, "BUS"), (8, "FPE")];
    let more = [(9, "KILL"), (10, "USR1"), (11, "SEGV"), (12, "USR2"), (13, "PIPE"), (14, "ALRM"), (15, "TERM")];
    let name = name.strip_prefix("SIG").unwrap_or(name);
    all.iter().chain(&more).find(|(_, known)| *known == name).map(|(number, _)| *number)
}

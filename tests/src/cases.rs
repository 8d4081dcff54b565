//! The odd cases, each by its name.

mod args;
mod calls;
mod ends;
mod failed;
mod files;
mod forks;
mod identity;
mod pids;
mod places;
mod senders;
mod threads;
mod traced;
mod usage;

use std::io;

use crate::actor::{Actor, Call, Child, HOLD, List};
use crate::clock;
use crate::tiny::Bin;
use crate::truth::{Life, Line, Run};

/// A case's tools.
pub struct Stage<'a> {
    case: &'static str,
    bin: &'a Bin,
    lines: Vec<Line>,
}

type Case = fn(&mut Stage) -> io::Result<()>;

/// All cases.
pub fn all() -> impl Iterator<Item = (&'static str, Case)> {
    [
        forks::CASES,
        threads::CASES,
        args::CASES,
        files::CASES,
        failed::CASES,
        calls::CASES,
        identity::CASES,
        places::CASES,
        ends::CASES,
        senders::CASES,
        usage::CASES,
        traced::CASES,
        pids::CASES,
    ]
    .into_iter()
    .flatten()
    .copied()
}

/// Cases that run only by name, and not among all: some mechanisms do not report their results.
pub const APART: [&str; 7] = [
    "calls-32-bit",
    "seccomp-exec",
    "killed-by-the-first",
    "broken-pipe",
    "broken-pipe-blocked",
    "file-too-large",
    "timer",
];

/// Runs one case, or all of them except those apart.
///
/// # Errors
/// If there is no such case, or the tiny program cannot be placed.
pub fn run(wanted: &str) -> io::Result<Vec<Line>> {
    let chosen = |name| if wanted == "all" { !APART.contains(&name) } else { name == wanted };
    let cases: Vec<_> = all().filter(|(name, _)| chosen(name)).collect();
    if cases.is_empty() {
        let names: Vec<&str> = all().map(|(name, _)| name).collect();
        return Err(io::Error::other(format!("there is no case '{wanted}'; the cases are all, {}", names.join(", "))));
    }
    let bin = Bin::new()?;
    let mut lines = vec![Line::Run(Run {
        what: format!("odd {wanted}"),
        pid: std::process::id(),
        realtime_offset_ns: clock::realtime_offset_ns(),
        free_mib_ns: clock::free_mib_ns()?,
        ..Run::default()
    })];
    for (case, make) in cases {
        let mut stage = Stage { case, bin: &bin, lines: Vec::new() };
        let made = make(&mut stage);
        lines.append(&mut stage.lines);
        if let Err(error) = made {
            let fault = error.kind() != io::ErrorKind::Unsupported;
            eprintln!("{}: {case}: {error}", if fault { "error" } else { "NOT MADE HERE" });
            lines.push(Line::Skipped { case: case.into(), why: error.to_string(), fault });
        }
    }
    Ok(lines)
}

impl Stage<'_> {
    fn note(&mut self, life: Life) {
        self.lines.push(Line::Life(Box::new(life)));
    }

    /// A child that does `body`, held before it.
    fn actor(&self, body: impl FnOnce(&Child)) -> io::Result<Actor> {
        Actor::begin(self.case, Call::Fork, body)
    }

    /// A child that becomes the tiny program with these steps, held in it.
    fn tiny(&self, steps: &str) -> io::Result<Actor> {
        let path = self.bin.tiny();
        let argv = List::new([self.case]);
        let env = List::steps(&format!("{HOLD}{steps}"));
        let mut actor = self.actor(|child| child.exec(&path, &argv, &env))?;
        actor.go()?;
        actor.saw_exec(&path, &argv.bytes())?;
        Ok(actor)
    }

    /// A child that does `body`, then becomes the tiny program, held in it.
    fn tiny_after(&self, body: impl FnOnce(&Child)) -> io::Result<Actor> {
        let path = self.bin.tiny();
        let argv = List::new([self.case]);
        let env = List::steps(&format!("{HOLD}e0"));
        let mut actor = self.actor(|child| {
            body(child);
            child.exec(&path, &argv, &env);
        })?;
        actor.go()?;
        actor.saw_exec(&path, &argv.bytes())?;
        Ok(actor)
    }
}

/// A limit of this machine rather than a fault.
fn unsupported(why: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::Unsupported, why.into())
}

/// Turns a system call's result into one.
fn checked(result: impl Into<i64>) -> io::Result<i64> {
    match result.into() {
        r if r < 0 => Err(io::Error::last_os_error()),
        r => Ok(r),
    }
}

//! pwait: waits for processes to end.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::Write as _;
use std::process::ExitCode;
use std::rc::Rc;

use procscope::{Event, EventKind, EventSet, ExitStatus, Kind, Monitor, Pid, Summary};

use super::options::{Common, Grammar, Refusal, Table, flag};
use super::session::Watch;
use crate::failure::Failure;
use crate::output;
use crate::output::say;
use crate::render::Render;
use procscope_format::escape;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Key {
    Check,
    Verbose,
}

pub(super) const TABLE: Table<Key> = Table {
    name: "pwait",
    about: "Waits for processes to end, as pwait of extrace does",
    usage: "pwait [-v] [-c] PID...",
    grammar: Grammar::Posix,
    original: &[
        flag(Key::Verbose, b'v', "Say how each ended"),
        flag(Key::Check, b'c', "End with status 111 if one failed"),
    ],
    added: &[],
    help: &["-h"],
    help_status: 0,
    wrong_status: 1,
    notes: "\
Differs:
  It needs no rights to wait. If no mechanism works that reports statuses, -v
  says 'terminated', and -c ends with status 1, because the status is unknown.
  -c does the same if it is interrupted, which is not a success.
  A process that ends while pwait starts is waited for too.

Examples:
  sleep 1 & procscope pwait -v $!               how it ended
  sleep 1 & procscope pwait -c $! && echo well",
};

/// The status by which `-c` reports a failure.
const FAILED: u8 = 111;

/// The known facts about the processes that are waited for.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
struct Ends {
    verbose: bool,
    ends: BTreeMap<Pid, Option<ExitStatus>>,
}

impl Ends {
    fn code(&self, check: bool) -> ExitCode {
        let known = || self.ends.values();
        if !check || known().all(|end| end.is_some_and(ExitStatus::is_success)) {
            ExitCode::SUCCESS
        } else if known().flatten().any(|end| !matches!(end, ExitStatus::Unknown) && !end.is_success()) {
            ExitCode::from(FAILED)
        } else {
            ExitCode::from(1)
        }
    }

    fn push(&self, pid: Pid, status: ExitStatus, out: &mut Vec<u8>) {
        let _ = match status {
            _ if !self.verbose => Ok(()),
            ExitStatus::Code(code) => writeln!(out, "{pid}: exited with status {code}."),
            ExitStatus::Signal { signo, .. } => writeln!(out, "{pid}: killed by signal {signo}."),
            _ => writeln!(out, "{pid}: terminated."),
        };
    }
}

pub(super) fn run(words: Vec<OsString>) -> Result<ExitCode, Refusal> {
    let line = TABLE.parse(words)?;
    let has = |key| line.options.iter().any(|(it, _)| *it == key);
    let (verbose, check) = (has(Key::Verbose), has(Key::Check));
    if line.operands.is_empty() {
        return Err(TABLE.wrong("it needs the ids of processes".to_owned()));
    }
    let pids = read_pids(&line.operands);
    if line.common.replay.is_some() {
        return replay(pids, verbose, check, line.common);
    }
    let waiting = waiting::Waiting::begin("pwait", &pids);
    if waiting.is_empty() {
        return Ok(ExitCode::from(1));
    }
    let ends = Ends { verbose, ends: waiting.pids().map(|pid| (pid, None)).collect() };
    let builder = Monitor::builder().events(EventSet::NONE.with(Kind::Exit)).user_names(false);
    let builder = ends.ends.keys().fold(builder, |builder, &pid| builder.pid(pid));
    let mut watch = Watch::new(builder, line.common)?;
    // Values that a mechanism does not report do not matter here.
    watch.quiet = true;
    let monitor = match watch.attach() {
        Ok(monitor) => monitor,
        Err(failure) => return without_statuses(&waiting, ends, check, failure),
    };
    let stop = monitor.stop_handle();
    waiting.stop_at_the_end(stop).map_err(|error| Failure {
        what: "cannot wait".to_owned(),
        cause: crate::failure::describe(&error),
        help: "look at the limits that `ulimit -a` prints".to_owned(),
    })?;
    let ends = Rc::new(RefCell::new(ends));
    let lines = Lines { ends: Rc::clone(&ends), lives: true };
    monitor.run(|_, _| Box::new(lines))?;
    let code = ends.borrow().code(check);
    Ok(code)
}

/// Reports from a recording how processes ended.
fn replay(pids: Vec<Pid>, verbose: bool, check: bool, common: Common) -> Result<ExitCode, Refusal> {
    let ends = Ends { verbose, ends: pids.iter().map(|&pid| (pid, None)).collect() };
    if ends.ends.is_empty() {
        return Ok(ExitCode::from(1));
    }
    let builder = Monitor::builder().events(EventSet::NONE.with(Kind::Exit)).user_names(false);
    let builder = pids.iter().fold(builder, |builder, &pid| builder.pid(pid));
    let ends = Rc::new(RefCell::new(ends));
    let lines = Lines { ends: Rc::clone(&ends), lives: false };
    Watch::new(builder, common)?.run(|_, _| Box::new(lines))?;
    let code = ends.borrow().code(check);
    Ok(code)
}

/// The words that are ids; the others cause a complaint, as in the original.
fn read_pids(words: &[OsString]) -> Vec<Pid> {
    let read = |word: &OsString| {
        let text = word.to_string_lossy();
        let pid = text.trim_start().parse::<Pid>().ok().filter(|&pid| pid > 0);
        if pid.is_none() {
            say(&format!("pwait: {}: invalid process id\n", escape::visible(&text)));
        }
        pid
    };
    words.iter().filter_map(read).collect()
}

/// Waits although no mechanism reports how they end.
fn without_statuses(waiting: &waiting::Waiting, ends: Ends, check: bool, why: Failure) -> Result<ExitCode, Refusal> {
    if !waiting.can_wait() {
        return Err(why.into());
    }
    if ends.verbose || check {
        say(&format!("procscope: exit statuses are not reported here: {}\n", escape::visible(&why.cause)));
    }
    let mut text = Vec::new();
    waiting.wait(|pid| {
        text.clear();
        ends.push(pid, ExitStatus::Unknown, &mut text);
        output::print(&text)
    })?;
    Ok(ends.code(check))
}

struct Lines {
    ends: Rc<RefCell<Ends>>,
    /// The processes are of now, not of a recording.
    lives: bool,
}

impl Render for Lines {
    fn event(&mut self, event: &Event, out: &mut Vec<u8>) {
        let (EventKind::Exit(exit), Some(process)) = (&event.kind, event.process.as_deref()) else { return };
        let mut ends = self.ends.borrow_mut();
        let pid = process.id.pid;
        match ends.ends.get_mut(&pid) {
            // A later process with the pid is another one.
            Some(end) if end.is_none() => *end = Some(exit.status),
            _ => return,
        }
        ends.push(pid, exit.status, out);
    }

    fn is_done(&self) -> bool {
        self.ends.borrow().ends.values().all(Option::is_some)
    }

    fn end(&mut self, _: &Summary, out: &mut Vec<u8>) {
        let ends = self.ends.borrow();
        if !self.lives {
            return;
        }
        for (&pid, _) in ends.ends.iter().filter(|(pid, end)| end.is_none() && waiting::is_over(**pid)) {
            ends.push(pid, ExitStatus::Unknown, out);
        }
    }
}

#[cfg(target_os = "linux")]
pub(super) mod waiting {
    //! Waiting by pidfd(2), which needs no rights: a descriptor stays that of its process, even if
    //! its pid is reused.

    use std::io;
    use std::os::fd::OwnedFd;
    use std::thread;
    use std::time::Duration;

    use procscope::{Pid, StopHandle};
    use rustix::event::{PollFd, PollFlags, poll};
    use rustix::io::Errno;
    use rustix::process::{Pid as RustixPid, PidfdFlags, pidfd_open};

    use crate::failure::Failure;
    use crate::output::say;

    /// How late the report of an end may be.
    const LATE: Duration = Duration::from_millis(500);

    pub(in super::super) struct Waiting {
        processes: Vec<(Pid, Option<OwnedFd>)>,
    }

    fn open(pid: Pid) -> Result<OwnedFd, Errno> {
        let pid = i32::try_from(pid).ok().and_then(RustixPid::from_raw).ok_or(Errno::SRCH)?;
        pidfd_open(pid, PidfdFlags::empty())
    }

    pub(super) fn is_over(pid: Pid) -> bool {
        open(pid).is_err_and(|error| error == Errno::SRCH)
    }

    impl Waiting {
        /// Opens descriptors of existing processes; complains about others in a tool's name, as the
        /// original does.
        pub(in super::super) fn begin(tool: &str, pids: &[Pid]) -> Self {
            let mut processes: Vec<(Pid, Option<OwnedFd>)> = Vec::new();
            for &pid in pids {
                match open(pid) {
                    Err(Errno::SRCH) => say(&format!("{tool}: {pid}: no such process\n")),
                    opened if !processes.iter().any(|(other, _)| *other == pid) => processes.push((pid, opened.ok())),
                    _ => {}
                }
            }
            Self { processes }
        }

        pub(in super::super) fn is_empty(&self) -> bool {
            self.processes.is_empty()
        }

        pub(super) fn pids(&self) -> impl Iterator<Item = Pid> {
            self.processes.iter().map(|(pid, _)| *pid)
        }

        /// Before Linux 5.3 there is no such descriptor.
        pub(super) fn can_wait(&self) -> bool {
            self.processes.iter().all(|(_, fd)| fd.is_some())
        }

        /// Waits for all, and calls for each one when it has ended.
        pub(super) fn wait(&self, mut ended: impl FnMut(Pid) -> Result<(), Failure>) -> Result<(), Failure> {
            let mut left: Vec<_> = self.processes.iter().filter_map(|(pid, fd)| Some((*pid, fd.as_ref()?))).collect();
            while !left.is_empty() {
                let mut fds: Vec<_> = left.iter().map(|(_, fd)| PollFd::new(*fd, PollFlags::IN)).collect();
                match poll(&mut fds, None) {
                    Err(Errno::INTR) | Ok(_) => {}
                    Err(error) => {
                        return Err(Failure {
                            what: "cannot wait".to_owned(),
                            cause: crate::failure::describe(&io::Error::from(error)),
                            help: "look at the limits that `ulimit -a` prints".to_owned(),
                        });
                    }
                }
                let over: Vec<_> = fds.iter().map(|fd| !fd.revents().is_empty()).collect();
                let mut over = over.into_iter();
                let mut result = Ok(());
                left.retain(|(pid, _)| {
                    let is_over = over.next().unwrap_or(false);
                    if is_over && result.is_ok() {
                        result = ended(*pid);
                    }
                    !is_over
                });
                result?;
            }
            Ok(())
        }

        /// Stops the monitor a while after all have ended: no mechanism reports a process that
        /// ended while it started.
        pub(in super::super) fn stop_at_the_end(self, stop: StopHandle) -> io::Result<()> {
            if !self.can_wait() {
                return Ok(());
            }
            let wait = move || {
                if self.wait(|_| Ok(())).is_ok() {
                    thread::sleep(LATE);
                    stop.stop();
                }
            };
            thread::Builder::new().name("ps-pwait".to_owned()).spawn(wait).map(|_| ())
        }
    }
}

#[cfg(not(target_os = "linux"))]
pub(super) mod waiting {
    //! On other systems a mechanism has to report it.

    use std::io;

    use procscope::{Pid, StopHandle};

    use crate::failure::Failure;

    pub(in super::super) struct Waiting {
        pids: Vec<Pid>,
    }

    pub(super) fn is_over(_: Pid) -> bool {
        false
    }

    impl Waiting {
        pub(in super::super) fn begin(_: &str, pids: &[Pid]) -> Self {
            Self { pids: pids.to_vec() }
        }

        pub(in super::super) fn is_empty(&self) -> bool {
            self.pids.is_empty()
        }

        pub(super) fn pids(&self) -> impl Iterator<Item = Pid> {
            self.pids.iter().copied()
        }

        pub(super) fn can_wait(&self) -> bool {
            false
        }

        pub(super) fn wait(&self, _: impl FnMut(Pid) -> Result<(), Failure>) -> Result<(), Failure> {
            Ok(())
        }

        pub(in super::super) fn stop_at_the_end(self, _: StopHandle) -> io::Result<()> {
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::personas::samples::words;
    use crate::render::samples;

    #[test]
    fn ends_are_told_once() {
        let ends = Ends { verbose: true, ends: [(4711, None), (4712, None)].into() };
        let ends = Rc::new(RefCell::new(ends));
        let mut lines = Lines { ends: Rc::clone(&ends), lives: true };
        let text = samples::rendered(&mut lines, &samples::events());
        assert_eq!(text, "4711: exited with status 0.\n4712: exited with status 0.\n");
        assert!(lines.is_done());
        let mut text = Vec::new();
        for status in [ExitStatus::Signal { signo: 9, core: false }, ExitStatus::Unknown] {
            ends.borrow().push(7, status, &mut text);
        }
        assert_eq!(String::from_utf8(text).unwrap(), "7: killed by signal 9.\n7: terminated.\n");
    }

    #[test]
    fn what_is_not_known_is_no_success() {
        let code = |statuses: &[Option<ExitStatus>]| {
            let ends = Ends { verbose: false, ends: (1..).zip(statuses.iter().copied()).collect() };
            format!("{:?}", ends.code(true))
        };
        let expect = |code: u8| format!("{:?}", ExitCode::from(code));
        let (well, failed) = (Some(ExitStatus::Code(0)), Some(ExitStatus::Code(3)));
        assert_eq!(code(&[well, well]), expect(0));
        assert_eq!(code(&[well, failed, None]), expect(111));
        assert_eq!(code(&[well, None]), expect(1));
        assert_eq!(code(&[Some(ExitStatus::Unknown)]), expect(1));
    }

    /// `getopt(argc, argv, "+cv")`.
    #[test]
    fn nothing_is_refused_that_the_original_accepts() {
        assert_eq!(TABLE.parse(words("-cv -v 1 x -c")).unwrap().operands.len(), 3);
    }
}

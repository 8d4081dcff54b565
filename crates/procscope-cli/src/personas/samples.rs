//! Events for the tests of several personas.

use std::ffi::OsString;
use std::sync::Arc;

use procscope::{Argv, Event, EventKind, ExecFailure, ExecInfo, Exit, ExitStatus, Timestamp, Usage};

use crate::render::samples::{NOON, event, odd_process, process, unknown_process};

/// A command line, split at blanks.
pub(super) fn words(line: &str) -> Vec<OsString> {
    line.split_whitespace().map(OsString::from).collect()
}

/// The start of watching, and execs of well-known, odd and unknown processes, refused ones among
/// them.
pub(super) fn execs() -> (Timestamp, Vec<Event>) {
    let refused = |errno, path: Option<&[u8]>, argv: Option<&[&str]>| {
        let mut failure = ExecFailure::new(errno);
        failure.path = path.map(Into::into);
        failure.argv = argv.map(|argv| Arc::new(Argv::from_strings(argv)));
        EventKind::ExecFailed(failure)
    };
    let exec = || EventKind::Exec(ExecInfo::default());
    let mut quoting = process();
    quoting.argv = Some(Arc::new(Argv::from_strings(["ls", "a\"b", "", "x\ty"])));
    let events = vec![
        event(1, &process(), exec()),
        event(2, &process(), refused(2, Some(b"/no/such"), Some(&["such", "a b"]))),
        event(3, &process(), refused(14, None, None)),
        event(4, &odd_process(), exec()),
        event(5, &unknown_process(), exec()),
        event(6, &quoting, exec()),
        event(7, &process(), exit()),
        event(8, &process(), exec()),
    ];
    (NOON, events)
}

fn exit() -> EventKind {
    let usage = Usage::default();
    EventKind::Exit(Exit::new(ExitStatus::Code(0), usage))
}

use std::process::ExitCode;

use procscope::{Error, ExitStatus};

use super::watch::{self, STATUS_LOST};
use crate::args::Run;
use crate::failure::Failure;
use crate::output::Output;
use crate::telling::Trouble;
use crate::verify;

/// A shell's exit statuses for a command that does not exist, and for one that it cannot run.
const STATUS_NOT_FOUND: u8 = 127;
const STATUS_NOT_RUN: u8 = 126;

/// Runs a command, prints its events, and ends with its status.
pub(crate) fn run(run: &Run) -> Result<ExitCode, Failure> {
    let options = &run.options;
    if options.explain {
        return watch::explain(options);
    }
    let output = match &options.output {
        Some(path) => Output::open(Some(path), options.duration, options.quiet)?,
        None => Output::stderr()?,
    };
    let builder = watch::builder(options).command(&run.command).wait_all(run.wait_all).sole_command(true);
    let monitor = match builder.build() {
        Err(error) => return refused(error),
        Ok(monitor) => monitor,
    };
    let command = monitor.command();
    let second = verify::open(options, monitor.session(), command.as_ref().map(|command| command.pid()))?;
    #[cfg_attr(not(target_os = "linux"), allow(unused_mut))]
    let mut notes = watch::notes(&monitor, second.as_ref());
    // Before another thread starts. The tracer is one already, and has the rights of the programs
    // that it traces. The command has its own, and may later run as another user, to which signals
    // still have to be passed.
    #[cfg(target_os = "linux")]
    if monitor.session().source != procscope::SourceId::Ptrace {
        let kept = [watch::rights(&monitor, second.as_ref()), vec!["CAP_KILL"]].concat();
        notes.extend(crate::rights::give_up_all_but(&kept));
    }
    #[cfg(unix)]
    if let Some(command) = command.clone() {
        crate::signals::pass_on(command, monitor.stop_handle()).map_err(crate::signals::failure)?;
    }
    let told = match watch::tell(options, monitor, second, output, "until the command ends", &notes) {
        Err(Trouble::Monitor(error)) => return refused(error),
        Err(trouble) => return Err(trouble.into()),
        Ok(told) => told,
    };
    if told.is_some_and(|told| told.fails(options)) {
        return Ok(ExitCode::from(STATUS_LOST));
    }
    let status = command.and_then(|command| command.status());
    Ok(ExitCode::from(status.map_or(1, status_of)))
}

/// Explains why the command did not run, or why none of its events were reported.
fn refused(error: Error) -> Result<ExitCode, Failure> {
    let status = match &error {
        Error::Command { error, .. } if error.kind() == std::io::ErrorKind::NotFound => STATUS_NOT_FOUND,
        Error::Command { .. } => STATUS_NOT_RUN,
        _ => return Err(error.into()),
    };
    Failure::from(error).print();
    Ok(ExitCode::from(status))
}

/// As a shell shows it in `$?`.
fn status_of(status: ExitStatus) -> u8 {
    match status {
        ExitStatus::Code(code) => code as u8,
        ExitStatus::Signal { signo, .. } => 128 | signo,
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_status_is_a_shells() {
        assert_eq!(status_of(ExitStatus::Code(3)), 3);
        assert_eq!(status_of(ExitStatus::Signal { signo: 9, core: false }), 137);
        assert_eq!(status_of(ExitStatus::Signal { signo: 64, core: true }), 192);
    }
}

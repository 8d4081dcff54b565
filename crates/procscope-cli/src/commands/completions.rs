use std::process::ExitCode;

use crate::args::{self, Completions};
use crate::failure::Failure;
use crate::output;

/// Prints the script of a shell.
pub(crate) fn run(completions: &Completions) -> Result<ExitCode, Failure> {
    // Not straight to the output: clap_complete panics where it cannot write.
    let mut script = Vec::new();
    clap_complete::generate(completions.shell, &mut args::command_with_personas(), "procscope", &mut script);
    output::print(&script)?;
    Ok(ExitCode::SUCCESS)
}

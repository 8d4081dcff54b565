use std::os::unix::process::CommandExt;
use std::process::Command;

use anyhow::{Context, Result};

use crate::{packages, workspace};

/// Builds procscope and becomes it.
pub(crate) fn run(args: &[String]) -> Result<()> {
    // `cargo xtask run -- -e all` and `cargo xtask run -e all` are the same.
    let args = match args {
        [dashes, rest @ ..] if dashes == "--" => rest,
        _ => args,
    };
    packages::ensure(&[packages::BUILD])?;
    workspace::build_release()?;
    let program = workspace::program()?;
    if !packages::is_root()? {
        eprintln!("built; the kernel shows every process to root only: sudo {}", program.display());
    }
    // Exec, not spawn: Ctrl-C and the status are procscope's own.
    let error = Command::new(&program).args(args).exec();
    Err(error).with_context(|| program.display().to_string())
}

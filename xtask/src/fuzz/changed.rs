//! The differences from the commit that this one is built upon.

use std::process::Command;

use anyhow::{Context, Result};

use crate::process::output;
use crate::workspace;

/// Branches that others start from.
const TRUNKS: [&str; 4] = ["origin/main", "origin/master", "main", "master"];

/// The base, and the files that differ from it, in the work tree too.
pub(super) fn files() -> Result<(String, Vec<String>)> {
    let base = base()?;
    let changed = git(&["diff", "--name-only", &base])?;
    let new = git(&["ls-files", "--others", "--exclude-standard"])?;
    Ok((base, changed.lines().chain(new.lines()).map(str::to_owned).collect()))
}

/// Where this branch left the trunk; on the trunk itself the commit before.
fn base() -> Result<String> {
    let head = git(&["rev-parse", "HEAD"])?;
    for trunk in TRUNKS {
        let Ok(base) = git(&["merge-base", "HEAD", trunk]) else { continue };
        if base != head {
            return Ok(base);
        }
    }
    git(&["rev-parse", "HEAD~1"]).context("there is no commit before this one; `git fetch --unshallow` fetches it")
}

fn git(args: &[&str]) -> Result<String> {
    let text = output(Command::new("git").current_dir(workspace::root()).args(args))?;
    Ok(text.trim().to_owned())
}

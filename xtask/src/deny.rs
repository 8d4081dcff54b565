//! deny.toml, with cargo-deny; docs/dependencies.md, by ourselves.

use std::collections::BTreeSet;
use std::fs;

use anyhow::{Context, Result, bail};

use crate::process::run;
use crate::{tools, workspace};

/// The part that the lock file alone decides: the same answer today and tomorrow.
pub(crate) fn check() -> Result<()> {
    check_documented()?;
    let what = ["check", "--hide-inclusion-graph", "bans", "licenses", "sources"];
    run(tools::DENY.cargo()?.args(["deny", "--locked"]).args(what))
}

/// The advisories too, which come from github.com and change by the day.
pub(crate) fn check_all() -> Result<()> {
    check_documented()?;
    run(tools::DENY.cargo()?.args(["deny", "--locked", "check"]))
}

/// Checks that docs/dependencies.md names each crate that a member of the workspace depends on.
fn check_documented() -> Result<()> {
    let file = "docs/dependencies.md";
    let text = fs::read_to_string(workspace::root().join(file)).context(file)?;
    // The first cell of each row of its tables.
    let cells = text.lines().filter_map(|line| line.strip_prefix("| ")?.split(" |").next());
    let words: BTreeSet<_> = cells.flat_map(|cell| cell.split([' ', ','])).collect();
    let dependencies = workspace::dependencies()?;
    let missing: Vec<_> = dependencies.iter().map(String::as_str).filter(|name| !words.contains(name)).collect();
    if !missing.is_empty() {
        bail!("{file} does not say why we depend on {}", missing.join(", "));
    }
    println!("{file} has the {} direct dependencies", dependencies.len());
    Ok(())
}

//! The parts of docs/ that the table of fields decides. Tests of procscope-format compare them; here the
//! same tests write them.

use anyhow::Result;

use crate::process::{cargo, run};

/// Writes docs/event.schema.json, and the parts of other pages between marks.
pub(crate) fn generate() -> Result<()> {
    let mut tests = cargo();
    tests.args(["test", "--locked", "--quiet", "--package", "procscope-format", "--lib", "--", "docs::"]);
    run(tests.env("PROCSCOPE_DOCS", "write"))
}

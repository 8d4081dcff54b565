//! docs/api.txt: every public item of the libraries, so that a change of the API shows as a change of a file.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::fs;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::process::{cargo, output, run};
use crate::{tools, workspace};

const FILE: &str = "docs/api.txt";

/// `procscope` re-exports the model, and rustdoc lists only a crate's own items.
const CRATES: [(&str, &[&str]); 3] =
    [("procscope-model", &[]), ("procscope-format", &[]), ("procscope", &["--features", "stream"])];

/// The format of Rust 1.95's rustdoc, which [`tools::PUBLIC_API`] reads: the two change together.
const FORMAT: u64 = 57;

/// Writes the file.
pub(crate) fn generate() -> Result<()> {
    let text = list()?;
    fs::write(workspace::root().join(FILE), &text)?;
    println!("{FILE}: {} items", text.lines().filter(|line| line.starts_with("pub ")).count());
    Ok(())
}

/// Shows the differences from it.
pub(crate) fn check() -> Result<()> {
    let now = list()?;
    let committed = fs::read_to_string(workspace::root().join(FILE)).context(FILE)?;
    if now == committed {
        println!("{FILE} lists the public API");
        return Ok(());
    }
    let (before, after): (BTreeSet<_>, BTreeSet<_>) = (committed.lines().collect(), now.lines().collect());
    let mut differences = String::new();
    before.difference(&after).try_for_each(|line| writeln!(differences, "  - {line}"))?;
    after.difference(&before).try_for_each(|line| writeln!(differences, "  + {line}"))?;
    bail!("the public API is not what {FILE} lists\n{differences}  help: where that is meant, cargo xtask api")
}

fn list() -> Result<String> {
    // Its own: otherwise a build with RUSTC_BOOTSTRAP set would rebuild everything.
    let target = workspace::target_dir()?.join("api");
    let mut text = String::from("# Written by `cargo xtask api`.\n");
    for (name, features) in CRATES {
        let mut rustdoc = cargo();
        rustdoc.current_dir(workspace::root()).env("RUSTC_BOOTSTRAP", "1").env("CARGO_TARGET_DIR", &target);
        rustdoc.args(["rustdoc", "--locked", "--lib", "--package", name]).args(features);
        rustdoc.args(["--", "-Zunstable-options", "--output-format", "json"]);
        run(&mut rustdoc)?;
        let json = target.join("doc").join(format!("{}.json", name.replace('-', "_")));
        let content: Value = serde_json::from_slice(&fs::read(&json)?).context("rustdoc's JSON")?;
        let format = content["format_version"].as_u64().context("rustdoc's JSON has no format_version")?;
        if format != FORMAT {
            let rust = workspace::rust_version()?;
            bail!(
                "rustdoc here writes format {format}, and only {FORMAT} can be read, which is that of Rust {rust}\n  \
                 help: rustup toolchain install {rust} && cargo +{rust} xtask test api"
            );
        }
        let mut public_api = tools::PUBLIC_API.cargo()?;
        public_api.args(["public-api", "-ss", "--color", "never", "--rustdoc-json"]).arg(&json);
        write!(text, "\n# {name}\n\n{}", output(&mut public_api)?)?;
    }
    Ok(text)
}

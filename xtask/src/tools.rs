//! Programs from crates.io that a check needs: built once, kept between checkouts.

use std::path::PathBuf;
use std::process::Command;

use anyhow::Result;

use crate::process::{cargo, run};
use crate::{packages, workspace};

/// A cargo subcommand; if any version is good enough, one on the PATH is preferred.
pub(crate) struct Tool {
    name: &'static str,
    version: &'static str,
    exact: bool,
}

/// Licences, sources, advisories. 2.5 minutes to build on 2 cores.
pub(crate) const DENY: Tool = Tool { name: "cargo-deny", version: "0.20.2", exact: false };

/// libFuzzer for Rust. Half a minute to build.
pub(crate) const FUZZ: Tool = Tool { name: "cargo-fuzz", version: "0.13.2", exact: false };

/// The public API from rustdoc's JSON, whose format is that of one version of Rust. A minute to
/// build.
pub(crate) const PUBLIC_API: Tool = Tool { name: "cargo-public-api", version: "0.52.0", exact: true };

impl Tool {
    /// A cargo that has this subcommand, built first if needed.
    pub(crate) fn cargo(&self) -> Result<Command> {
        let mut command = cargo();
        command.current_dir(workspace::root());
        if self.exact || packages::find_program(self.name).is_none() {
            let bin = self.built()?;
            let mut path = bin.into_os_string();
            path.push(":");
            path.push(std::env::var_os("PATH").unwrap_or_default());
            command.env("PATH", path);
        }
        Ok(command)
    }

    fn built(&self) -> Result<PathBuf> {
        let dir = workspace::cache()?.join(format!("{}-{}", self.name, self.version));
        let bin = dir.join("bin");
        if !bin.join(self.name).exists() {
            packages::ensure(&[packages::BUILD])?;
            // Neither our target directory nor our profile.
            let mut install = cargo();
            install.current_dir("/").env_remove("CARGO_TARGET_DIR");
            install.args(["install", "--quiet", "--locked", "--version", self.version, "--root"]).arg(&dir);
            run(install.arg(self.name))?;
        }
        Ok(bin)
    }
}

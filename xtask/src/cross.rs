//! Builds and type checks for the systems that this one cannot run. Debian's rustc-web brings the source of std, so that no
//! target needs to be downloaded; RUSTC_BOOTSTRAP lets a stable compiler build it.

use std::path::PathBuf;
use std::process::Command;

use anyhow::Result;

use crate::process::run;
use crate::{packages, workspace};

/// What the workspace is checked for. For Windows there is a linker here, so the program is built; for macOS there is none.
pub(crate) const TARGETS: [&str; 2] = [WINDOWS, "aarch64-apple-darwin"];
const WINDOWS: &str = "x86_64-pc-windows-gnu";

/// The crates that are to compile everywhere.
const CRATES: [&str; 3] = ["procscope-model", "procscope", "procscope-cli"];

/// What it takes.
pub(crate) const NEEDS: &[&[packages::Package]] = &[packages::BUILD, packages::CROSS, packages::WINDOWS];

/// Checks the crates for these targets.
pub(crate) fn check(targets: &[&str]) -> Result<()> {
    packages::ensure(NEEDS)?;
    for target in targets {
        let mut cargo = cargo()?;
        let build = if *target == WINDOWS { "build" } else { "check" };
        cargo.args([build, "--locked", "-Zbuild-std=std,panic_unwind", "--target", target]);
        // Our warnings alone; RUSTFLAGS would rebuild std, and meet those of the dependencies.
        cargo.env("CARGO_BUILD_WARNINGS", "deny").arg("-Zwarnings");
        CRATES.iter().for_each(|name| {
            cargo.args(["--package", name]);
        });
        run(&mut cargo)?;
    }
    Ok(())
}

/// The program, built for Windows.
pub(crate) fn build_windows() -> Result<PathBuf> {
    check(&[WINDOWS])?;
    Ok(cache()?.join("target").join(WINDOWS).join("debug/procscope.exe"))
}

/// A cargo that can build std.
pub(crate) fn cargo() -> Result<Command> {
    // Outside the checkout: std takes minutes, and is the same for every clone.
    let cache = cache()?;
    let mut cargo = Command::new("/usr/bin/cargo");
    cargo.current_dir(workspace::root());
    // What rustup and cargo set for this program is of another toolchain.
    for name in ["RUSTUP_TOOLCHAIN", "LD_LIBRARY_PATH", "CARGO", "RUSTDOC"] {
        cargo.env_remove(name);
    }
    cargo.env("RUSTC", "/usr/bin/rustc").env("RUSTC_BOOTSTRAP", "1");
    cargo.env("CARGO_HOME", cache.join("cargo-home")).env("CARGO_TARGET_DIR", cache.join("target"));
    Ok(cargo)
}

pub(crate) fn cache() -> Result<PathBuf> {
    Ok(workspace::cache()?.join("cross"))
}

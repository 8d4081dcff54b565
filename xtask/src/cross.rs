//! Builds and type checks for the systems that this one cannot run. Debian's rustc-web includes the
//! source of std, so no target has to be downloaded; RUSTC_BOOTSTRAP lets a stable compiler build
//! it.

use std::path::PathBuf;
use std::process::Command;

use anyhow::Result;

use crate::process::run;
use crate::{packages, workspace};

/// The targets of the check. There is a linker for Windows here, so the program is built; for macOS
/// there is none.
pub(crate) const TARGETS: [&str; 2] = [WINDOWS, "aarch64-apple-darwin"];
const WINDOWS: &str = "x86_64-pc-windows-gnu";

/// The crates that are to compile everywhere.
const CRATES: [&str; 3] = ["procscope-model", "procscope", "procscope-cli"];

/// The packages that it needs.
pub(crate) const NEEDS: &[&[packages::Package]] = &[packages::BUILD, packages::CROSS, packages::WINDOWS];

/// Checks the crates for these targets.
pub(crate) fn check(targets: &[&str]) -> Result<()> {
    packages::ensure(NEEDS)?;
    for target in targets {
        let mut cargo = cargo()?;
        let build = if *target == WINDOWS { "build" } else { "check" };
        cargo.args([build, "--locked", "-Zbuild-std=std,panic_unwind", "--target", target]);
        // Only our warnings; RUSTFLAGS would rebuild std, and show those of the dependencies.
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
    // Outside the checkout: std needs minutes, and is the same for every clone.
    let cache = cache()?;
    let mut cargo = Command::new("/usr/bin/cargo");
    cargo.current_dir(workspace::root());
    // Variables that rustup and cargo set for this program belong to another toolchain.
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

//! The oldest Rust that builds procscope: defined once in Cargo.toml, and repeated for people.

use std::fs;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::process::{output, run};
use crate::workspace;

/// The places for people, as `Rust 1.95`.
const TOLD: [&str; 3] = ["README.md", "crates/procscope/src/lib.rs", "x"];

/// Checks that all say the same, and that this version builds it, if it is installed.
pub(crate) fn check() -> Result<()> {
    let version = workspace::rust_version()?;
    for file in TOLD {
        let text = fs::read_to_string(workspace::root().join(file)).context(file)?;
        let told: Vec<_> = text.split("Rust 1.").skip(1).map(|rest| format!("1.{}", digits(rest))).collect();
        if told.is_empty() || told.iter().any(|told| *told != version) {
            bail!("{file} names Rust {told:?}, and Cargo.toml has rust-version = {version:?}");
        }
    }
    let fuzz = fs::read_to_string(workspace::root().join("fuzz/Cargo.toml")).context("fuzz/Cargo.toml")?;
    if !fuzz.contains(&format!("rust-version = \"{version}\"")) {
        bail!("fuzz/Cargo.toml has another rust-version than {version}");
    }

    let rustc = output(Command::new(std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into())).arg("--version"))?;
    let here = rustc.split(' ').nth(1).context("rustc does not say its version")?;
    if here.starts_with(&format!("{version}.")) {
        println!("{} is the oldest that is promised; every other step builds with it", rustc.trim());
        return Ok(());
    }
    // rustup's cargo knows other toolchains; any other cargo reads the word as a command.
    let mut other = Command::new("cargo");
    other.env_remove("CARGO").env_remove("RUSTC").env_remove("RUSTUP_TOOLCHAIN").arg(format!("+{version}"));
    let found = other.arg("--version").output().is_ok_and(|output| output.status.success());
    if !found {
        println!("NOTE: {} is not Rust {version}: whether that builds procscope is NOT CHECKED here", rustc.trim());
        println!("  help: rustup toolchain install {version}");
        return Ok(());
    }
    let mut check = Command::new("cargo");
    check.current_dir(workspace::root()).env_remove("CARGO").env_remove("RUSTC").env_remove("RUSTUP_TOOLCHAIN");
    check.env("CARGO_TARGET_DIR", workspace::target_dir()?.join("msrv")).arg(format!("+{version}"));
    run(check.args(["check", "--locked", "--workspace", "--all-targets"]))
}

fn digits(text: &str) -> &str {
    &text[..text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len())]
}

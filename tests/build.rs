//! Compiles the tiny program that the generator spawns, so that its bytes can be embedded.
//!
//! A plain binary target is not enough: without std it needs `panic=abort`, which a profile can
//! only set for the whole workspace.

use std::path::PathBuf;
use std::process::Command;
use std::{env, fs};

fn main() {
    println!("cargo::rerun-if-changed=tiny");
    println!("cargo::rerun-if-changed=build.rs");
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR")).join("ps-tiny");
    let os = env::var("CARGO_CFG_TARGET_OS").unwrap_or_default();
    let arch = env::var("CARGO_CFG_TARGET_ARCH").unwrap_or_default();
    let fits = os == "linux" && matches!(arch.as_str(), "x86_64" | "aarch64");
    if !fits {
        fs::write(&out, b"").expect("OUT_DIR can be written");
        return;
    }
    let mut rustc = Command::new(env::var_os("RUSTC").expect("cargo sets RUSTC"));
    rustc.args(["--crate-name", "ps_tiny", "--crate-type", "bin", "--edition", "2024"]);
    rustc.args(["-C", "opt-level=s", "-C", "panic=abort", "-C", "strip=symbols", "-C", "relocation-model=static"]);
    for arg in ["-nostartfiles", "-nostdlib", "-static", "-no-pie", "-Wl,--build-id=none", "-Wl,-z,norelro"] {
        rustc.args(["-C", &format!("link-arg={arg}")]);
    }
    rustc.arg("--target").arg(env::var_os("TARGET").expect("cargo sets TARGET"));
    if let Some(linker) = env::var_os("RUSTC_LINKER") {
        rustc.arg("-C").arg(format!("linker={}", linker.to_string_lossy()));
    }
    // A custom sysroot comes in by the flags.
    rustc.args(env::var("CARGO_ENCODED_RUSTFLAGS").unwrap_or_default().split('\x1f').filter(|flag| !flag.is_empty()));
    let status = rustc.arg("-o").arg(&out).arg("tiny/main.rs").status().expect("rustc runs");
    assert!(status.success(), "the tiny program does not compile");
}

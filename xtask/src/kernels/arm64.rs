//! The programs for arm64, and an emulator for it. Only a C compiler is installed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::download::Apt;
use super::table::{Arch, suite};
use crate::process::{output, run};
use crate::{cross, packages, workspace};

const TARGET: &str = "aarch64-unknown-linux-gnu";
const LINKER: &str = "aarch64-linux-gnu-gcc";
/// The place of that machine's C library in Debian's packages for cross compilers.
const LIBRARIES: &str = "/usr/aarch64-linux-gnu/lib";

/// Builds the guests' programs, and returns where they are.
pub(super) fn build() -> Result<PathBuf> {
    let (rust, libraries) = (rust()?, linked()?);
    let mut cargo = cargo()?;
    cargo.env(target("RUSTFLAGS"), format!("--sysroot={}", rust.display()));
    cargo.env("CC_aarch64_unknown_linux_gnu", LINKER);
    cargo.env("CFLAGS_aarch64_unknown_linux_gnu", format!("-idirafter {}", libraries.join("include").display()));
    cargo.env("LIBBPF_SYS_LIBRARY_PATH_aarch64_unknown_linux_gnu", libraries.join("lib"));
    // A quick build counts for more than a quick program.
    let profile = [("LTO", "off"), ("CODEGEN_UNITS", "16"), ("DEBUG", "false"), ("OPT_LEVEL", "1")];
    cargo.envs(profile.map(|(name, value)| (format!("CARGO_PROFILE_RELEASE_{name}"), value)));
    cargo.args(["build", "--locked", "--release", "--target", TARGET, "--bins"]);
    run(cargo.args(["--package", "procscope-cli", "--package", "procscope-tests"]))?;
    Ok(cross::cache()?.join("target").join(TARGET).join("release"))
}

fn target(what: &str) -> String {
    format!("CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_{what}")
}

fn cargo() -> Result<Command> {
    let mut cargo = cross::cargo()?;
    cargo.env(target("LINKER"), LINKER);
    Ok(cargo)
}

/// Rust's std, built once for each version: the build script that compiles the tiny program also
/// needs it.
fn rust() -> Result<PathBuf> {
    let version = output(Command::new("/usr/bin/rustc").arg("--version"))?;
    let version = version.split_whitespace().nth(1).context("rustc --version")?;
    let sysroot = cross::cache()?.join(format!("{TARGET}-{version}"));
    let lib = format!("lib/rustlib/{TARGET}/lib");
    if sysroot.exists() {
        return Ok(sysroot);
    }
    let work = cross::cache()?.join(format!("{TARGET}.new"));
    if work.exists() {
        fs::remove_dir_all(&work)?;
    }
    fs::create_dir_all(work.join("src"))?;
    fs::create_dir_all(work.join("ready").join(&lib))?;
    fs::write(work.join("Cargo.toml"), "[package]\nname = \"empty\"\nedition = \"2024\"\n[workspace]\n")?;
    fs::write(work.join("src/lib.rs"), "")?;
    let built = work.join("target");
    let mut cargo = cargo()?;
    cargo.current_dir(&work).env("CARGO_TARGET_DIR", &built);
    run(cargo.args(["build", "--release", "-Zbuild-std=std,panic_unwind", "--target", TARGET]))?;
    for entry in fs::read_dir(built.join(TARGET).join("release/deps"))? {
        let file = entry?.path();
        if file.extension().is_some_and(|it| it == "rlib" || it == "rmeta") {
            let name = file.file_name().context("a file without a name")?;
            fs::rename(&file, work.join("ready").join(&lib).join(name))?;
        }
    }
    fs::rename(work.join("ready"), &sysroot)?;
    fs::remove_dir_all(&work)?;
    Ok(sysroot)
}

/// The libraries that procscope is linked with, except the C library, static, with their headers.
fn linked() -> Result<PathBuf> {
    let libraries = workspace::cache()?.join("kernels/arm64-libraries");
    if libraries.exists() {
        return Ok(libraries);
    }
    let apt = Apt::new(libraries.with_extension("new"), &[suite("bookworm")], Arch::Arm64)?;
    let unpacked = apt.unpack(&["libelf-dev", "zlib1g-dev"])?;
    let ready = apt.dir.join("ready");
    fs::create_dir_all(ready.join("lib"))?;
    for name in ["libelf.a", "libz.a"] {
        fs::rename(unpacked.join("usr/lib/aarch64-linux-gnu").join(name), ready.join("lib").join(name))?;
    }
    fs::rename(unpacked.join("usr/include"), ready.join("include"))?;
    fs::rename(&ready, &libraries)?;
    fs::remove_dir_all(&apt.dir)?;
    Ok(libraries)
}

/// The shared libraries that a program needs, by the places where the guest looks for them.
pub(super) fn libraries(program: &Path) -> Result<Vec<(PathBuf, PathBuf)>> {
    let mut names = vec!["ld-linux-aarch64.so.1".to_owned()];
    names.extend(needed(program)?);
    let mut next = 0;
    while let Some(name) = names.get(next) {
        let more = needed(&Path::new(LIBRARIES).join(name))?;
        names.extend(more.into_iter().filter(|name| !names.contains(name)).collect::<Vec<_>>());
        next += 1;
    }
    Ok(names.iter().map(|name| (Path::new(LIBRARIES).join(name), Path::new("/lib").join(name))).collect())
}

fn needed(file: &Path) -> Result<Vec<String>> {
    let text = output(Command::new("aarch64-linux-gnu-readelf").arg("--dynamic").arg(file))?;
    let lines = text.lines().filter(|line| line.contains("(NEEDED)"));
    Ok(lines.filter_map(|line| Some(line.split_once('[')?.1.split_once(']')?.0.to_owned())).collect())
}

/// The emulator: the system's, or one of the cache. Debian 12's own cannot coexist with newer parts
/// of QEMU.
pub(super) fn qemu() -> Result<PathBuf> {
    const NAME: &str = "qemu-system-aarch64";
    if let Some(installed) = packages::find_program(NAME) {
        return Ok(installed);
    }
    let dir = workspace::cache()?.join("kernels/qemu-arm");
    let program = dir.join(NAME);
    if !program.exists() {
        let apt = Apt::new(dir.with_extension("new"), &[suite("bookworm-backports")], Arch::Amd64)?;
        let unpacked = apt.unpack(&["qemu-system-arm"])?.join("usr/bin").join(NAME);
        fs::create_dir_all(&dir)?;
        fs::rename(unpacked, &program)?;
        fs::remove_dir_all(&apt.dir)?;
    }
    let linked = output(Command::new("ldd").arg(&program)).context(NAME)?;
    if let Some(missing) = linked.lines().find(|line| line.contains("not found")) {
        bail!("{}: {}\n  help: sudo apt-get install -y qemu-system-arm", program.display(), missing.trim());
    }
    Ok(program)
}

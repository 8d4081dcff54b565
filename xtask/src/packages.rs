//! The packages that the system must supply, by the names of Debian 12.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::process::run;

/// A Debian package, and the sign that it is already installed.
pub(crate) struct Package {
    name: &'static str,
    shown_by: ShownBy,
}

enum ShownBy {
    Program(&'static str),
    File(&'static str),
    /// For packages whose programs have names that others have too.
    Dpkg,
}

use ShownBy::{Dpkg, File, Program};

const fn package(name: &'static str, shown_by: ShownBy) -> Package {
    Package { name, shown_by }
}

/// To build: libbpf is compiled from libbpf-sys's copy, against the system's libelf and zlib.
pub(crate) const BUILD: &[Package] = &[
    package("gcc", Program("cc")),
    package("libc6-dev", File("/usr/include/stdlib.h")),
    package("libelf-dev", File("/usr/include/libelf.h")),
    package("make", Program("make")),
    package("pkg-config", Program("pkg-config")),
    package("zlib1g-dev", File("/usr/include/zlib.h")),
];

/// To compile the BPF object: no other version gives the same bytes.
pub(crate) const BPF: &[Package] =
    &[package("clang-19", Program("clang-19")), package("llvm-19", Program("llvm-strip-19"))];

/// To run the live tests: the monitors that ours is compared with, the programs in the examples of
/// help and documentation, and the readers of completions and manual pages.
pub(crate) const LIVE: &[Package] = &[
    package("bpftool", Program("bpftool")),
    package("bpftrace", Program("bpftrace")),
    package("extrace", Program("extrace")),
    package("forkstat", Program("forkstat")),
    package("jq", Program("jq")),
    package("libcap2-bin", Program("setcap")),
    package("libbpf-tools", File("/usr/sbin/execsnoop")),
    package("man-db", Program("man")),
    package("strace", Program("strace")),
    package("zsh", Program("zsh")),
];

/// To build for other systems: a compiler that includes std's source.
pub(crate) const CROSS: &[Package] =
    &[package("cargo-web", Dpkg), package("rust-web-src", Dpkg), package("rustc-web", Dpkg)];

/// To link for Windows.
pub(crate) const WINDOWS: &[Package] = &[package("gcc-mingw-w64-x86-64", Program("x86_64-w64-mingw32-gcc"))];

/// To start a program of Windows.
pub(crate) const WINE: &[Package] = &[package("wine64", File("/usr/lib/wine/wine64"))];

/// To boot other kernels, and to link for those of arm64.
pub(crate) const GUEST: &[Package] = &[
    package("cpio", Program("cpio")),
    package("gcc-aarch64-linux-gnu", Program("aarch64-linux-gnu-gcc")),
    package("libc6-dev-arm64-cross", File("/usr/aarch64-linux-gnu/include/stdlib.h")),
    package("qemu-system-x86", Program("qemu-system-x86_64")),
];

/// To fuzz: libFuzzer is C++.
pub(crate) const FUZZ: &[Package] = &[package("g++", Program("c++"))];

/// Checks that everything in these lists is installed: as root it installs the missing packages,
/// otherwise it says what to type.
pub(crate) fn ensure(lists: &[&[Package]]) -> Result<()> {
    let missing = missing(lists)?;
    if missing.is_empty() {
        return Ok(());
    }
    let names = missing.join(" ");
    if find_program("apt-get").is_none() {
        bail!(
            "these are missing; Debian 12 calls them {names}\n  help: install them with this system's package manager"
        );
    }
    if !is_root()? {
        bail!("missing: {names}\n  help: sudo apt-get update && sudo apt-get install -y {names}");
    }
    println!("installing {names}");
    run(apt_get().args(["update", "-q"]))?;
    run(apt_get().args(["install", "-q", "-y", "--no-install-recommends"]).args(&missing))?;
    let missing = self::missing(lists)?;
    if !missing.is_empty() {
        bail!("installed, but still not found: {}", missing.join(" "));
    }
    Ok(())
}

/// True if this process has root's rights.
pub(crate) fn is_root() -> Result<bool> {
    Ok(fs::metadata("/proc/self").context("/proc/self")?.uid() == 0)
}

/// A program of the PATH, or of root's directories of programs, where the peers are.
pub(crate) fn find_program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let sbin = ["/usr/local/sbin", "/usr/sbin", "/sbin"].map(PathBuf::from);
    std::env::split_paths(&path).chain(sbin).map(|dir| dir.join(name)).find(|file| is_executable(file))
}

fn is_executable(file: &Path) -> bool {
    fs::metadata(file).is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
}

fn missing(lists: &[&[Package]]) -> Result<Vec<&'static str>> {
    let mut missing = Vec::new();
    for package in lists.iter().copied().flatten() {
        let there = match package.shown_by {
            Program(name) => find_program(name).is_some(),
            File(path) => Path::new(path).exists(),
            Dpkg => is_installed(package.name)?,
        };
        if !there && !missing.contains(&package.name) {
            missing.push(package.name);
        }
    }
    Ok(missing)
}

fn is_installed(package: &str) -> Result<bool> {
    if find_program("dpkg-query").is_none() {
        return Ok(false);
    }
    let mut query = Command::new("dpkg-query");
    query.args(["--show", "--showformat=${db:Status-Status}", package]);
    // It prints nothing on stdout about an unknown package.
    Ok(query.stdin(Stdio::null()).output().context("dpkg-query")?.stdout == b"installed")
}

fn apt_get() -> Command {
    let mut command = Command::new("apt-get");
    command.env("DEBIAN_FRONTEND", "noninteractive").args(["-o", "DPkg::Lock::Timeout=300"]);
    command
}

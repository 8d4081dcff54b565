//! Links libelf, and the libraries that it needs, into the program, so that it starts where they
//! are not installed.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    // A build for another machine names the place of its libraries.
    if env::var_os("CARGO_CFG_TARGET_OS").is_none_or(|os| os != "linux") || env::var_os("TARGET") != env::var_os("HOST")
    {
        return;
    }
    if let Err(missing) = link_statically() {
        println!(
            "cargo::warning={missing}, so the program will start only where libelf and zlib are installed; \
             on Debian type: apt-get install libelf-dev zlib1g-dev libzstd-dev"
        );
    }
}

/// Gives the linker a directory that has these libraries only as archives: libbpf-sys asks for
/// `-lelf -lz`, and the linker uses what it finds first.
fn link_statically() -> Result<(), String> {
    let names = libraries()?;
    let archives = names.iter().map(|name| archive(name)).collect::<Result<Vec<_>, _>>()?;
    let dir = Path::new(&env::var_os("OUT_DIR").unwrap_or_default()).join("static");
    fs::create_dir_all(&dir).map_err(|error| format!("{}: {error}", dir.display()))?;
    for (name, archive) in names.iter().zip(&archives) {
        println!("cargo::rerun-if-changed={}", archive.display());
        let copied = fs::copy(archive, dir.join(format!("lib{name}.a")));
        copied.map_err(|error| format!("{}: {error}", archive.display()))?;
    }
    println!("cargo::rustc-link-search=native={}", dir.display());
    // libelf from 0.189 on needs zstd, which libbpf-sys does not know; unneeded ones leave nothing
    // behind.
    names.iter().for_each(|name| println!("cargo::rustc-link-arg-bins=-l{name}"));
    Ok(())
}

/// libelf and its parts, by the names that `-l` knows.
fn libraries() -> Result<Vec<String>, String> {
    let program = env::var_os("PKG_CONFIG").unwrap_or_else(|| "pkg-config".into());
    println!("cargo::rerun-if-env-changed=PKG_CONFIG");
    let output = Command::new(&program).args(["--static", "--libs-only-l", "libelf", "zlib"]).output();
    let output = output.map_err(|error| format!("{}: {error}", program.display()))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let mut names: Vec<_> =
        text.split_whitespace().filter_map(|word| word.strip_prefix("-l")).map(str::to_owned).collect();
    // The C library is the system's.
    names.retain(|name| !["c", "m", "pthread"].contains(&name.as_str()));
    match names.is_empty() {
        true => Err("pkg-config knows no libelf".to_owned()),
        false => Ok(names),
    }
}

/// The place of a library's archive, by the linker's C compiler.
fn archive(name: &str) -> Result<PathBuf, String> {
    let linker = env::var_os("RUSTC_LINKER").unwrap_or_else(|| "cc".into());
    let file = format!("lib{name}.a");
    let output = Command::new(&linker).arg(format!("-print-file-name={file}")).output();
    let output = output.map_err(|error| format!("{}: {error}", linker.display()))?;
    let path = PathBuf::from(String::from_utf8_lossy(&output.stdout).trim());
    // It answers with a name without a directory if there is none.
    if path.is_absolute() && path.exists() { Ok(path) } else { Err(format!("there is no {file}")) }
}

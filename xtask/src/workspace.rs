use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::process::{cargo, output};

/// The top of the checkout from which this program was built.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask/ is in the workspace")
}

/// The directory of cargo's products.
pub(crate) fn target_dir() -> Result<PathBuf> {
    let metadata = metadata(&["--no-deps"])?;
    Ok(metadata["target_directory"].as_str().context("cargo metadata names no target directory")?.into())
}

/// The release build of the program; [`build_release`] makes it.
pub(crate) fn program() -> Result<PathBuf> {
    Ok(target_dir()?.join("release/procscope"))
}

/// Builds the program for release.
pub(crate) fn build_release() -> Result<()> {
    crate::process::run(cargo().current_dir(root()).args(["build", "--release", "--package", "procscope-cli"]))
}

/// The source and the version of a crate in the lock file, as it is built for Linux.
pub(crate) fn source_of(name: &str) -> Result<(PathBuf, String)> {
    let metadata = metadata(&["--filter-platform", "x86_64-unknown-linux-gnu"])?;
    let packages = metadata["packages"].as_array().context("cargo metadata lists no packages")?;
    let package = packages
        .iter()
        .find(|package| package["name"] == name)
        .with_context(|| format!("{name} is not among the dependencies"))?;
    let manifest = package["manifest_path"].as_str().context("a package without a manifest")?;
    let version = package["version"].as_str().context("a package without a version")?;
    Ok((Path::new(manifest).parent().context("a manifest without a directory")?.to_owned(), version.to_owned()))
}

/// The dependencies of the workspace's members, except each other.
pub(crate) fn dependencies() -> Result<BTreeSet<String>> {
    let metadata = metadata(&["--no-deps"])?;
    let packages = metadata["packages"].as_array().context("cargo metadata lists no packages")?;
    let dependencies = packages.iter().filter_map(|package| package["dependencies"].as_array()).flatten();
    let foreign = dependencies.filter(|dependency| dependency["path"].is_null());
    Ok(foreign.filter_map(|dependency| Some(dependency["name"].as_str()?.to_owned())).collect())
}

/// The oldest Rust that builds the members; they agree on it.
pub(crate) fn rust_version() -> Result<String> {
    let metadata = metadata(&["--no-deps"])?;
    let packages = metadata["packages"].as_array().context("cargo metadata lists no packages")?;
    let versions: BTreeSet<_> = packages.iter().map(|package| package["rust_version"].as_str()).collect();
    match versions.into_iter().collect::<Vec<_>>()[..] {
        [Some(version)] => Ok(version.to_owned()),
        ref others => bail!("the members of the workspace ask for different versions of Rust: {others:?}"),
    }
}

/// The directory for slow products, kept between checkouts.
pub(crate) fn cache() -> Result<PathBuf> {
    let home = || std::env::var_os("HOME").map(|home| Path::new(&home).join(".cache"));
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from).filter(|dir| dir.is_absolute()).or_else(home);
    Ok(cache.context("neither XDG_CACHE_HOME nor HOME is set")?.join("procscope"))
}

fn metadata(args: &[&str]) -> Result<Value> {
    let json = output(cargo().current_dir(root()).args(["metadata", "--format-version", "1"]).args(args))?;
    serde_json::from_str(&json).context("cargo metadata")
}

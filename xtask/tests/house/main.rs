//! How the tree is laid out and worded, checked on its sources: which module may use which, how
//! long a file may be, and which phrases a page may not hold. `./x test house` runs it alone.

mod arrows;
mod circles;
mod modules;
mod phrases;
mod rooms;
mod sizes;

use std::path::{Path, PathBuf};
use std::process::Command;

/// The crates that are divided into modules.
const CRATES: [&str; 4] =
    ["crates/procscope-model", "crates/procscope-format", "crates/procscope", "crates/procscope-cli"];

/// The top of the checkout.
fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask/ is in the workspace")
}

/// The files that git knows or would add, from the top of the checkout. A file that is deleted but
/// not yet committed is left out.
fn files() -> Vec<PathBuf> {
    let git = Command::new("git")
        .current_dir(root())
        .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
        .output()
        .expect("git runs");
    assert!(git.status.success(), "{}", String::from_utf8_lossy(&git.stderr));
    let names = String::from_utf8(git.stdout).expect("names of files are UTF-8");
    let paths = names.split_terminator('\0').map(PathBuf::from);
    paths.filter(|path| root().join(path).is_file()).collect()
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Fails with one line a finding.
fn assert_none(findings: &[String], help: &str) {
    assert!(findings.is_empty(), "\n{}\n  help: {help}\n", findings.join("\n"));
}

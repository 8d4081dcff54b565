//! A guest that runs ps-matrix as its first process, and nothing else.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::process::{cargo, output, run};
use crate::workspace;

/// A guest takes a tenth of that on two idle cores.
const PATIENCE: Duration = Duration::from_secs(600);

/// Builds the file system that the guests start with, and says where it is.
pub(super) fn build(dir: &Path) -> Result<PathBuf> {
    let mut build = cargo();
    build.current_dir(workspace::root()).args(["build", "--locked", "--release", "--bins"]);
    run(build.args(["--package", "procscope-cli", "--package", "procscope-tests"]))?;
    let built = workspace::target_dir()?.join("release");
    let root = dir.join("root");
    if root.exists() {
        fs::remove_dir_all(&root)?;
    }
    // What is mounted on, by ps-matrix.
    for name in ["bin", "dev", "proc", "sys", "tmp"] {
        fs::create_dir_all(root.join(name))?;
    }
    let mut libraries = BTreeSet::new();
    for (from, to) in [("ps-matrix", "init"), ("procscope", "bin/procscope"), ("ps-workload", "bin/ps-workload")] {
        fs::copy(built.join(from), root.join(to)).with_context(|| from.to_owned())?;
        let text = output(Command::new("ldd").arg(built.join(from)))?;
        libraries.extend(text.split_whitespace().filter(|word| word.starts_with('/')).map(PathBuf::from));
    }
    for library in libraries {
        let to = root.join(library.strip_prefix("/")?);
        fs::create_dir_all(to.parent().context("a library without a directory")?)?;
        fs::copy(&library, to).with_context(|| library.display().to_string())?;
    }
    let archive = dir.join("initramfs");
    pack(&root, &archive)?;
    Ok(archive)
}

fn pack(root: &Path, archive: &Path) -> Result<()> {
    let mut names = String::new();
    list(root, root, &mut names)?;
    let mut cpio = Command::new("cpio");
    cpio.current_dir(root).args(["--create", "--format=newc", "--quiet", "--owner=0:0"]);
    let mut child = cpio.stdin(Stdio::piped()).stdout(File::create(archive)?).spawn().context("cpio")?;
    child.stdin.take().context("no pipe")?.write_all(names.as_bytes())?;
    let status = child.wait()?;
    if !status.success() {
        bail!("{status}: cpio");
    }
    Ok(())
}

/// Directories before what is in them; all may be read by everyone.
fn list(root: &Path, dir: &Path, names: &mut String) -> Result<()> {
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?;
        names.push_str(path.strip_prefix(root)?.to_str().context("a name that is no text")?);
        names.push('\n');
        if path.is_dir() {
            list(root, &path, names)?;
        }
    }
    Ok(())
}

/// Starts a kernel with it, and returns what came on its console. That is kept in `log` too.
pub(super) fn start(image: &Path, initramfs: &Path, log: &Path) -> Result<String> {
    let mut qemu = Command::new("qemu-system-x86_64");
    // Debian 12's QEMU dies with cmpxchg16b under newer kernels.
    qemu.args(["-accel", "tcg,thread=multi", "-machine", "q35", "-cpu", "max,-cx16", "-smp", "2", "-m", "1024"]);
    qemu.args(["-nodefaults", "-no-user-config", "-display", "none", "-serial", "stdio", "-no-reboot"]);
    qemu.arg("-kernel").arg(image).arg("-initrd").arg(initramfs);
    qemu.args(["-append", "console=ttyS0 quiet panic=-1"]);
    let mut child = qemu.stdin(Stdio::null()).stdout(File::create(log)?).spawn().context("qemu-system-x86_64")?;
    let begun = Instant::now();
    while child.try_wait()?.is_none() {
        if begun.elapsed() > PATIENCE {
            child.kill()?;
            child.wait()?;
            break;
        }
        std::thread::sleep(Duration::from_millis(200));
    }
    Ok(String::from_utf8_lossy(&fs::read(log)?).into_owned())
}

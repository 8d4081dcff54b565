//! A guest that runs ps-matrix as its first process, and nothing else.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::arm64;
use super::boot::Console;
use super::table::{Arch, Kernel};
use crate::process::{cargo, output, run};
use crate::workspace;

/// A guest that reports no cell for this long is cut off. On two idle cores the longest needs a
/// tenth of that, and `storm-20000` a half.
pub(super) const STALLED: Duration = Duration::from_secs(600);

impl Arch {
    /// Its name in Debian.
    pub(super) fn debian(self) -> &'static str {
        match self {
            Self::Amd64 => "amd64",
            Self::Arm64 => "arm64",
        }
    }

    /// An emulated machine, and the name that its kernel has for the serial line.
    fn qemu(self) -> Result<(Command, &'static str)> {
        let (program, machine, console) = match self {
            Self::Amd64 => ("qemu-system-x86_64".into(), "q35", "ttyS0"),
            Self::Arm64 => (arm64::qemu()?, "virt", "ttyAMA0"),
        };
        let mut qemu = Command::new(program);
        qemu.args(["-machine", machine]);
        Ok((qemu, console))
    }

    /// Builds the guest's programs, and returns where they are.
    fn build(self) -> Result<PathBuf> {
        if self == Self::Arm64 {
            // Available before the guests want it at the same time.
            arm64::qemu()?;
            return arm64::build();
        }
        let mut build = cargo();
        build.current_dir(workspace::root()).args(["build", "--locked", "--release", "--bins"]);
        run(build.args(["--package", "procscope-cli", "--package", "procscope-tests"]))?;
        Ok(workspace::target_dir()?.join("release"))
    }

    /// The shared libraries of a program, and where the guest looks for them.
    fn libraries(self, program: &Path) -> Result<Vec<(PathBuf, PathBuf)>> {
        if self == Self::Arm64 {
            return arm64::libraries(program);
        }
        let text = output(Command::new("ldd").arg(program))?;
        let libraries = text.split_whitespace().filter(|word| word.starts_with('/')).map(PathBuf::from);
        Ok(libraries.map(|library| (library.clone(), library)).collect())
    }
}

/// Builds the guests' initial file system, and returns where it is.
pub(super) fn build(dir: &Path, arch: Arch) -> Result<PathBuf> {
    let built = arch.build()?;
    let root = dir.join(format!("root-{}", arch.debian()));
    if root.exists() {
        fs::remove_dir_all(&root)?;
    }
    // Mount points for ps-matrix.
    for name in ["bin", "dev", "proc", "sys", "tmp"] {
        fs::create_dir_all(root.join(name))?;
    }
    let mut libraries = BTreeSet::new();
    for (from, to) in [("ps-matrix", "init"), ("procscope", "bin/procscope"), ("ps-workload", "bin/ps-workload")] {
        fs::copy(built.join(from), root.join(to)).with_context(|| from.to_owned())?;
        libraries.extend(arch.libraries(&built.join(from))?);
    }
    for (library, to) in libraries {
        let to = root.join(to.strip_prefix("/")?);
        fs::create_dir_all(to.parent().context("a library without a directory")?)?;
        fs::copy(&library, to).with_context(|| library.display().to_string())?;
    }
    let archive = dir.join(format!("initramfs-{}", arch.debian()));
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

/// Directories before their content; every user may read all.
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

/// Starts a kernel with it, and returns the output of its console up to its end, or until it
/// stalled. That is kept in `log` too. `words` are ps-matrix's own.
pub(super) fn start(kernel: &Kernel, image: &Path, initramfs: &Path, log: &Path, words: &str) -> Result<Console> {
    let (mut qemu, console) = kernel.arch.qemu()?;
    qemu.args([
        "-cpu",
        kernel.cpu,
        "-accel",
        "tcg,thread=multi",
        "-smp",
        "2",
        "-m",
        "1024",
        "-nodefaults",
        "-no-user-config",
    ]);
    qemu.args(["-display", "none", "-serial", "stdio", "-no-reboot"]);
    qemu.arg("-kernel").arg(image).arg("-initrd").arg(initramfs);
    qemu.args(["-append", &format!("console={console} quiet panic=-1 -- {words}")]);
    let mut child =
        qemu.stdin(Stdio::null()).stdout(File::create(log)?).spawn().with_context(|| format!("{qemu:?}"))?;
    let (mut cells, mut since, mut stalled) = (0, Instant::now(), false);
    let text = || Ok::<_, std::io::Error>(String::from_utf8_lossy(&fs::read(log)?).into_owned());
    while child.try_wait()?.is_none() {
        let now = text()?.matches("@@ cell ").count();
        if now != cells {
            (cells, since) = (now, Instant::now());
        }
        if since.elapsed() > STALLED {
            child.kill()?;
            child.wait()?;
            stalled = true;
            break;
        }
        std::thread::sleep(Duration::from_millis(500));
    }
    Ok(Console { text: text()?, stalled })
}

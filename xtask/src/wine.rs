//! The Windows program under Wine: not Windows, but it starts there as on Windows.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::process::run;
use crate::{cross, packages, workspace};

/// Rust's std imports this library, which Debian 12's Wine lacks.
const BCRYPTPRIMITIVES: &str = "\
#include <windows.h>
BOOLEAN NTAPI SystemFunction036(PVOID, ULONG);
__declspec(dllexport) BOOL WINAPI ProcessPrng(PBYTE data, SIZE_T len) { return SystemFunction036(data, (ULONG)len); }
";

/// Builds procscope.exe and checks that it names itself, and refuses in words to watch.
pub(crate) fn check() -> Result<()> {
    let program = cross::build_windows()?;
    let wine = Wine::new()?;

    let (status, stdout, _) = wine.run(&program, &["--version"])?;
    let version = format!("procscope {}", env!("CARGO_PKG_VERSION"));
    if status != Some(0) || stdout.trim() != version {
        bail!("procscope.exe --version: status {status:?}, {stdout:?}");
    }
    let (status, _, stderr) = wine.run(&program, &["watch"])?;
    if status != Some(1) || !["cannot watch", "to come", "help: "].iter().all(|words| stderr.contains(words)) {
        bail!("procscope.exe watch: status {status:?}, {stderr}");
    }
    print!("{version}\n{stderr}");
    Ok(())
}

struct Wine {
    prefix: PathBuf,
}

impl Wine {
    fn new() -> Result<Self> {
        let wine = Self { prefix: workspace::cache()?.join("wine") };
        let system32 = wine.prefix.join("drive_c/windows/system32");
        if !system32.join("bcryptprimitives.dll").exists() {
            fs::create_dir_all(&wine.prefix)?;
            run(wine.command().args(["wineboot", "--init"]))?;
            let source = wine.prefix.join("bcryptprimitives.c");
            fs::write(&source, BCRYPTPRIMITIVES)?;
            let mut gcc = Command::new("x86_64-w64-mingw32-gcc");
            gcc.arg("-shared").arg("-o").arg(system32.join("bcryptprimitives.dll")).arg(&source).arg("-ladvapi32");
            run(&mut gcc)?;
        }
        Ok(wine)
    }

    fn command(&self) -> Command {
        let mut command = Command::new("/usr/lib/wine/wine64");
        command.env("WINEPREFIX", &self.prefix).env("WINEDEBUG", "-all");
        // Neither .NET nor a browser is offered.
        command.env("WINEDLLOVERRIDES", "mscoree,mshtml=");
        command
    }

    fn run(&self, program: &Path, args: &[&str]) -> Result<(Option<i32>, String, String)> {
        let mut command = self.command();
        let output = command.arg(program).args(args).stdin(Stdio::null()).output().context("wine64")?;
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        Ok((output.status.code(), text(output.stdout), text(output.stderr)))
    }
}

/// Ends the leftover server for the next program.
impl Drop for Wine {
    fn drop(&mut self) {
        let mut server = Command::new("/usr/lib/wine/wineserver64");
        // Best effort: it ends by itself after a while.
        let _ = server.env("WINEPREFIX", &self.prefix).arg("-k").status();
    }
}

/// The packages that it needs besides those of the cross build.
pub(crate) const NEEDS: &[&[packages::Package]] =
    &[packages::BUILD, packages::CROSS, packages::WINDOWS, packages::WINE];

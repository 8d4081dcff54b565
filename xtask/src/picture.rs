//! docs/live.svg: the live view of a small build, as README.md shows it.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anstyle_svg::{Term, WIN10_CONSOLE};
use anyhow::{Context, Result};

use crate::process::output;
use crate::workspace;

const FILE: &str = "docs/live.svg";
const COLUMNS: u16 = 110;

/// The command of the picture, as a reader would type it.
const TYPED: &str = "procscope run make -s";

/// A compiler, its product and a killed process.
const MAKEFILE: &str = "\
all: greet
\tsleep 60 & sleep 0.05; kill -KILL $$!
\t./greet 'big world'
greet: greet.c
\tcc -o $@ greet.c
";

const SOURCE: &str = r#"#include <stdio.h>
int main(int argc, char **argv) { return printf("Hello, %s\n", argv[argc - 1]) < 0; }
"#;

/// Runs procscope on a build in a pseudo-terminal, and draws the screen.
pub(crate) fn draw() -> Result<()> {
    let program = program()?;
    let dir = workspace::target_dir()?.join("picture");
    if dir.exists() {
        fs::remove_dir_all(&dir)?;
    }
    fs::create_dir_all(&dir).with_context(|| dir.display().to_string())?;
    fs::write(dir.join("Makefile"), MAKEFILE)?;
    fs::write(dir.join("greet.c"), SOURCE)?;
    let program_dir = program.parent().context("the program is in a directory")?;
    // A search along two directories shows a failed exec, and no more than that.
    let command =
        format!("stty cols {COLUMNS} rows 100; PATH=/usr/local/bin:/usr/bin exec {}/{TYPED}", program_dir.display());
    let mut script = Command::new("script");
    script.current_dir(&dir).env_remove("NO_COLOR").env("TERM", "xterm-256color");
    let screen = output(script.args(["--quiet", "--return", "--command", &command, "/dev/null"]))?;
    let text = format!("$ \x1b[1m{TYPED}\x1b[0m\n{}", screen.replace('\r', ""));
    let svg = Term::new().palette(WIN10_CONSOLE).render_svg(&text);
    fs::write(workspace::root().join(FILE), svg).context(FILE)?;
    println!("{FILE} shows {} lines", text.lines().count());
    Ok(())
}

/// `PROCSCOPE_BIN`, otherwise the release build.
fn program() -> Result<PathBuf> {
    if let Some(program) = std::env::var_os("PROCSCOPE_BIN") {
        return Ok(PathBuf::from(program));
    }
    workspace::build_release()?;
    workspace::program()
}

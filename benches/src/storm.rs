//! Runs the generator in a process of its own, which is this very program again.

use std::fs::File;
use std::io::BufReader;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context as _, ensure};
use procscope_tests::truth::{self, Life, Line};

/// The word that makes any of these programs the generator.
const WORD: &str = "generate";

/// To be called first in `main`: takes over where this process is to be the generator.
pub fn generate() -> Option<ExitCode> {
    let mut args = std::env::args_os();
    let program = args.next()?;
    (args.next()?.to_str() == Some(WORD)).then(|| procscope_tests::workload::main(std::iter::once(program).chain(args)))
}

/// A storm to come.
#[derive(Clone, Copy, Debug)]
pub struct Storm {
    /// How many processes.
    pub count: u32,
    /// From how many spawners.
    pub spawners: u32,
    /// What the arguments are made from.
    pub seed: u64,
    /// How many pages of fresh memory each process touches.
    pub pages: u32,
}

/// A storm that was.
#[derive(Debug)]
pub struct Past {
    /// How long it took, seconds.
    pub wall_s: f64,
    /// What happened.
    pub truth: Vec<Line>,
}

impl Past {
    /// What the arguments were made from.
    pub fn seed(&self) -> u64 {
        self.truth.iter().find_map(|line| if let Line::Run(run) = line { Some(run.seed) } else { None }).unwrap_or(0)
    }

    /// The processes of the storm, without the spawners.
    pub fn lives(&self) -> Vec<&Life> {
        let lives = self.truth.iter().filter_map(|line| match line {
            Line::Life(life) if life.case == "storm" => Some(&**life),
            _ => None,
        });
        lives.collect()
    }
}

impl Storm {
    /// The command that makes it.
    ///
    /// # Errors
    /// Where this program's own file is gone.
    pub fn command(self, truth: &Path, compact: bool) -> anyhow::Result<Command> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args([WORD, "storm", "--count", &self.count.to_string(), "--spawners", &self.spawners.to_string()]);
        command.args(["--seed", &self.seed.to_string(), "--pages", &self.pages.to_string(), "--truth"]).arg(truth);
        if compact {
            command.arg("--compact");
        }
        command.stdin(Stdio::null()).stdout(Stdio::null());
        Ok(command)
    }

    /// Makes it.
    ///
    /// # Errors
    /// Where the generator goes wrong.
    pub fn run(self, compact: bool) -> anyhow::Result<Past> {
        let file = tempfile::NamedTempFile::new()?;
        let status = self.command(file.path(), compact)?.status()?;
        ensure!(status.success(), "the generator: {status}");
        past(file.path())
    }
}

/// Reads what a storm left.
///
/// # Errors
/// Where there is nothing of the kind.
pub fn past(path: &Path) -> anyhow::Result<Past> {
    let truth = truth::read(BufReader::new(File::open(path)?))?;
    let wall_s = truth.iter().find_map(|line| if let Line::Run(run) = line { Some(run.wall_s) } else { None });
    Ok(Past { wall_s: wall_s.context("the truth has no head")?, truth })
}

//! Runs the generator in a process of its own, which is this same program again.

use std::fs::File;
use std::io::BufReader;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context as _, ensure};
use procscope_tests::truth::{self, Life, Line};

/// The word that makes any of these programs the generator.
const WORD: &str = "generate";

/// Call this first in `main`: it takes over if this process is to be the generator.
pub fn generate() -> Option<ExitCode> {
    let mut args = std::env::args_os();
    let program = args.next()?;
    (args.next()?.to_str() == Some(WORD)).then(|| procscope_tests::workload::main(std::iter::once(program).chain(args)))
}

/// The settings of a storm.
#[derive(Clone, Copy, Debug)]
pub struct Storm {
    /// How many processes.
    pub count: u32,
    /// The number of spawners.
    pub spawners: u32,
    /// The seed of the arguments.
    pub seed: u64,
    /// How many pages of fresh memory each process touches.
    pub pages: u32,
}

/// The result of a storm.
#[derive(Debug)]
pub struct Past {
    /// Its duration, seconds.
    pub wall_s: f64,
    /// The truth.
    pub truth: Vec<Line>,
}

impl Past {
    /// The seed of the arguments.
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
    /// If this program's own file is gone.
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
    /// If the generator fails.
    pub fn run(self, compact: bool) -> anyhow::Result<Past> {
        let file = tempfile::NamedTempFile::new()?;
        let status = self.command(file.path(), compact)?.status()?;
        ensure!(status.success(), "the generator: {status}");
        past(file.path())
    }
}

/// Reads a storm's result.
///
/// # Errors
/// If there is none.
pub fn past(path: &Path) -> anyhow::Result<Past> {
    let truth = truth::read(BufReader::new(File::open(path)?))?;
    let wall_s = truth.iter().find_map(|line| if let Line::Run(run) = line { Some(run.wall_s) } else { None });
    Ok(Past { wall_s: wall_s.context("the truth has no head")?, truth })
}

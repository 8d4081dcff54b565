//! The program `ps-workload`.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, BufWriter, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use crate::storm::Storm;
use crate::truth::{self, Line};
use crate::{act, cases};

/// Makes processes and writes the truth to a file.
#[derive(Parser)]
#[command(name = "ps-workload")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Many short-lived processes at full speed.
    Storm {
        /// How many.
        #[arg(long, default_value_t = 20_000)]
        count: u32,
        /// The number of spawners.
        #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..))]
        spawners: u32,
        /// How many pages of fresh memory each process touches, as a larger program does when it starts.
        #[arg(long, default_value_t = 0)]
        pages: u32,
        /// The seed of the arguments.
        #[arg(long, default_value_t = 1)]
        seed: u64,
        /// Leaves the arguments out of the truth; they can be made again from the seed.
        #[arg(long)]
        compact: bool,
        #[command(flatten)]
        output: Output,
    },
    /// The odd cases.
    Odd {
        /// Its name, or all.
        #[arg(default_value = "all")]
        case: String,
        #[command(flatten)]
        output: Output,
    },
    /// Lists the odd cases.
    Cases,
    /// A part of an odd case.
    #[command(hide = true)]
    Act {
        /// Its identity.
        act: String,
    },
}

#[derive(Args)]
struct Output {
    /// The file for the truth.
    #[arg(long)]
    truth: Option<PathBuf>,
    /// Prints `{"ready":PID}` and begins only when standard input has a line or ends.
    #[arg(long)]
    gate: bool,
}

impl Output {
    fn wait(&self) -> io::Result<()> {
        if self.gate {
            println!("{{\"ready\":{}}}", std::process::id());
            io::stdout().flush()?;
            io::stdin().read_line(&mut String::new())?;
        }
        Ok(())
    }
}

/// Runs the program with these arguments.
pub fn main(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    match run(Arguments::parse_from(args).command) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> io::Result<ExitCode> {
    match command {
        Command::Storm { count, spawners, seed, compact, pages, output } => {
            output.wait()?;
            let lines = Storm { count, spawners, seed, compact, pages }.run()?;
            if let Some(Line::Run(run)) = lines.first() {
                let rate = f64::from(count) / run.wall_s;
                println!(r#"{{"count":{count},"spawners":{spawners},"wall_s":{:.6},"per_s":{rate:.0}}}"#, run.wall_s);
            }
            write_truth(output.truth.as_deref(), lines)?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Odd { case, output } => {
            output.wait()?;
            let lines = cases::run(&case)?;
            let lives = lines.iter().filter(|line| matches!(line, Line::Life(_))).count();
            let faults = lines.iter().filter(|line| matches!(line, Line::Skipped { fault: true, .. })).count();
            let skipped = lines.iter().filter(|line| matches!(line, Line::Skipped { fault: false, .. })).count();
            println!(r#"{{"lives":{lives},"not_made_here":{skipped},"faults":{faults}}}"#);
            write_truth(output.truth.as_deref(), lines)?;
            Ok(if faults == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
        }
        Command::Cases => {
            cases::all().for_each(|(name, _)| println!("{name}"));
            Ok(ExitCode::SUCCESS)
        }
        Command::Act { act } => act::run(&act).map(|()| ExitCode::SUCCESS),
    }
}

fn write_truth(path: Option<&Path>, lines: Vec<Line>) -> io::Result<()> {
    match path {
        Some(path) => truth::write(&mut BufWriter::new(File::create(path)?), lines),
        None => Ok(()),
    }
}

//! Compares procscope's JSON lines with a truth file.

use std::fs::File;
use std::io::BufReader;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use procscope_tests::compare::Comparison;
use procscope_tests::truth;

/// Compares procscope's JSON lines with a truth file; ends with 1 if anything differs.
#[derive(Parser)]
struct Args {
    /// The output of procscope with `--format json -o FILE`.
    events: PathBuf,
    /// The output of ps-workload with `--truth FILE`.
    truth: PathBuf,
    /// The kinds of event requested from procscope.
    #[arg(short, long, value_delimiter = ',')]
    events_wanted: Vec<String>,
    /// The source reads names after the event.
    #[arg(long)]
    late: bool,
}

fn main() -> anyhow::Result<ExitCode> {
    let args = Args::parse();
    let mut comparison = Comparison::new(truth::read(BufReader::new(File::open(args.truth)?))?);
    let kinds: Vec<&str> = args.events_wanted.iter().map(|kind| &**kind).collect();
    if !kinds.is_empty() && kinds != ["all"] {
        comparison = comparison.only(&kinds);
    }
    if args.late {
        comparison = comparison.late();
    }
    comparison.feed_all(BufReader::new(File::open(args.events)?))?;
    let report = comparison.finish();
    print!("{report}");
    Ok(if report.is_exact() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

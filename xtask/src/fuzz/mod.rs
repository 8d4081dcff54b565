//! Fuzzing: each target by turns, those of changed decoders, and the tally.

mod changed;
mod tally;
mod targets;

use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Instant;

use anyhow::{Context, Result, bail};

use crate::process::{cargo, run, shown};
use crate::{packages, tools, workspace};
use tally::Tally;
use targets::TARGETS;

/// The packages that it needs.
pub(crate) const NEEDS: &[&[packages::Package]] = &[packages::BUILD, packages::FUZZ];

/// `./x test` fuzzes the target of a changed decoder this long.
const CHANGED_SECONDS: u64 = 60;
/// Each target is fuzzed this long if the changes are unknown.
const UNKNOWN_SECONDS: u64 = 10;

/// The result of one run of a target.
struct Ran {
    inputs: u64,
    seconds: f64,
    /// It panicked, hung or used too much memory: the place of the input, or libFuzzer's message.
    fault: Option<String>,
}

/// Fuzzes the named target, or with `--all` each by turns; adds the result to docs/fuzzing.md.
pub(crate) fn fuzz(args: &[String]) -> Result<()> {
    let (mut target, mut all, mut seconds, mut sanitizer) = (None, false, 60, "none");
    let mut args = args.iter().map(String::as_str);
    while let Some(arg) = args.next() {
        match arg {
            "--all" => all = true,
            "--seconds" => {
                let value = args.next().context("--seconds needs a number")?;
                seconds = value.parse().with_context(|| format!("--seconds {value}"))?;
            }
            "--sanitizer" => sanitizer = args.next().context("--sanitizer needs none or address")?,
            _ if target.is_none() && !arg.starts_with('-') => target = Some(arg),
            _ => bail!("not understood: {arg}"),
        }
    }
    let names: Vec<&str> = TARGETS.iter().map(|target| target.name).collect();
    let chosen = match target {
        None if all => names,
        Some(target) if !all && names.contains(&target) => vec![target],
        Some(target) if !all => bail!("there is no target '{target}'; the targets are {}, or --all", names.join(", ")),
        _ => bail!("which target? {}, or --all", names.join(", ")),
    };
    packages::ensure(NEEDS)?;
    by_turns(&chosen, seconds, sanitizer, true)
}

/// Fuzzes the targets of the decoders that changed since the commit that this one is built upon.
pub(crate) fn changed() -> Result<()> {
    match changed::files() {
        Ok((base, files)) => {
            let chosen = targets::of(&files);
            if chosen.is_empty() {
                println!("no decoder that is fuzzed has changed since {base}");
                return Ok(());
            }
            println!("changed since {base}: what {} read", chosen.join(", "));
            by_turns(&chosen, CHANGED_SECONDS, "none", false)
        }
        Err(error) => {
            println!(
                "warning: git does not say what changed, so every target is fuzzed for {UNKNOWN_SECONDS} s: {error:#}"
            );
            let names: Vec<&str> = TARGETS.iter().map(|target| target.name).collect();
            by_turns(&names, UNKNOWN_SECONDS, "none", false)
        }
    }
}

/// Continues after a target that fails, so that one run reports all.
fn by_turns(names: &[&str], seconds: u64, sanitizer: &str, keeps: bool) -> Result<()> {
    let mut faults = Vec::new();
    for name in names {
        let ran = one(name, seconds, sanitizer)?;
        let rate = ran.inputs as f64 / ran.seconds.max(1.0);
        println!("{name}: {} inputs in {:.0} s, {rate:.0} a second", ran.inputs, ran.seconds);
        if keeps {
            Tally::read()?.add(name, &ran).write()?;
        }
        faults.extend(ran.fault.map(|fault| format!("{name}: {fault}")));
    }
    if faults.is_empty() {
        return Ok(());
    }
    bail!("{}\n  help: fix it, and put the input into fuzz/corpus/TARGET", faults.join("\n"))
}

/// Fuzzes one target from its corpus. cargo-fuzz's flags are unstable; the compiler need not be a
/// nightly one.
fn one(target: &str, seconds: u64, sanitizer: &str) -> Result<Ran> {
    // libFuzzer's findings go to the first of the two; useful ones are put into the other by hand.
    let found: PathBuf = workspace::target_dir()?.join("fuzz-corpus").join(target);
    std::fs::create_dir_all(&found)?;
    let mut cargo = tools::FUZZ.cargo()?;
    cargo.env("RUSTC_BOOTSTRAP", "1");
    cargo.args(["fuzz", "run", "--sanitizer", sanitizer, target]).arg(&found).arg(format!("fuzz/corpus/{target}"));
    cargo.args(["--", "-timeout=10", "-rss_limit_mb=2048", "-print_final_stats=1"]);
    cargo.arg(format!("-max_total_time={seconds}"));
    println!("$ {}", shown(&cargo));
    let mut child = cargo.stdin(Stdio::null()).stderr(Stdio::piped()).spawn().with_context(|| shown(&cargo))?;
    let mut said = Said::default();
    for line in BufReader::new(child.stderr.take().context("stderr is piped")?).split(b'\n') {
        let line = String::from_utf8_lossy(&line?).into_owned();
        eprintln!("{line}");
        said.take(&line);
    }
    let status = child.wait()?;
    said.ran(status.success()).with_context(|| format!("{status}: {}", shown(&cargo)))
}

/// libFuzzer's report on a run.
#[derive(Default)]
struct Said {
    begun: Option<Instant>,
    inputs: Option<u64>,
    fault: Option<String>,
}

impl Said {
    fn take(&mut self, line: &str) {
        if line.starts_with("INFO: seed corpus") || line.contains("\tINITED") {
            self.begun.get_or_insert_with(Instant::now);
        }
        if let Some(number) = line.strip_prefix("stat::number_of_executed_units:") {
            self.inputs = number.trim().parse().ok();
        }
        if let Some((_, path)) = line.split_once("Test unit written to ") {
            self.fault = Some(path.trim().to_owned());
        }
    }

    /// A run that failed without an input never was one.
    fn ran(self, well: bool) -> Option<Ran> {
        let fault = match self.fault {
            None if !well => return None,
            fault => fault,
        };
        let seconds = self.begun.map_or(0.0, |begun| begun.elapsed().as_secs_f64());
        Some(Ran { inputs: self.inputs?, seconds, fault })
    }
}

/// Runs every target over its committed corpus, without libFuzzer.
pub(crate) fn corpus() -> Result<()> {
    let mut cargo = cargo();
    cargo.current_dir(workspace::root()).args(["test", "--locked", "--manifest-path", "fuzz/Cargo.toml"]);
    // The workspace's own target directory, because its dependencies are already built there.
    cargo.arg("--no-default-features").arg("--target-dir").arg(workspace::target_dir()?);
    run(&mut cargo)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_libfuzzer_says_is_read() {
        let ran = |lines: &[&str], well| {
            let mut said = Said::default();
            lines.iter().for_each(|line| said.take(line));
            said.ran(well)
        };
        let counted = "stat::number_of_executed_units: 4711";
        let well = ran(&["#2\tINITED cov: 5", counted], true).unwrap();
        assert_eq!((well.inputs, well.fault), (4711, None));
        let written = "artifact_prefix='x/'; Test unit written to x/crash-ab";
        assert_eq!(ran(&[written, counted], false).unwrap().fault.as_deref(), Some("x/crash-ab"));
        assert!(ran(&["error: could not compile"], false).is_none());
        assert!(ran(&[], true).is_none());
    }
}

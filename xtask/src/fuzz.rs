use anyhow::{Context, Result, bail};

use crate::process::{cargo, run};
use crate::{packages, tools, workspace};

/// Fuzzes one target for a while, starting from its corpus. cargo-fuzz's flags are unstable, the compiler need not be
/// a nightly one.
pub(crate) fn fuzz(args: &[String]) -> Result<()> {
    let (mut target, mut seconds, mut sanitizer) = (None, 60, "none");
    let mut args = args.iter().map(String::as_str);
    while let Some(arg) = args.next() {
        match arg {
            "--seconds" => {
                let value = args.next().context("--seconds wants a number")?;
                seconds = value.parse().with_context(|| format!("--seconds {value}"))?;
            }
            "--sanitizer" => sanitizer = args.next().context("--sanitizer wants none or address")?,
            _ if target.is_none() && !arg.starts_with('-') => target = Some(arg),
            _ => bail!("not understood: {arg}"),
        }
    }
    let target = target.context("which target? `ls fuzz/fuzz_targets`")?;
    packages::ensure(&[packages::BUILD, packages::FUZZ])?;
    // What libFuzzer finds goes to the first of the two; what is worth keeping is put in the other by hand.
    let found = workspace::target_dir()?.join("fuzz-corpus").join(target);
    std::fs::create_dir_all(&found)?;
    let mut cargo = tools::FUZZ.cargo()?;
    cargo.env("RUSTC_BOOTSTRAP", "1");
    cargo.args(["fuzz", "run", "--sanitizer", sanitizer, target]).arg(&found).arg(format!("fuzz/corpus/{target}"));
    cargo.args(["--", "-timeout=10", "-rss_limit_mb=2048", "-print_final_stats=1"]);
    cargo.arg(format!("-max_total_time={seconds}"));
    run(&mut cargo)
}

/// Runs every target over its committed corpus, without libFuzzer.
pub(crate) fn corpus() -> Result<()> {
    let mut cargo = cargo();
    cargo.current_dir(workspace::root()).args(["test", "--locked", "--manifest-path", "fuzz/Cargo.toml"]);
    // The workspace's own target directory, for its dependencies are built there already.
    cargo.arg("--no-default-features").arg("--target-dir").arg(workspace::target_dir()?);
    run(&mut cargo)
}

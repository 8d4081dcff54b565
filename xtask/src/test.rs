use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use crate::packages::{self, Package};
use crate::process::{cargo, run};
use crate::{api, bpf, cross, deny, fuzz, kernels, msrv, wine, workspace};

struct Step {
    name: &'static str,
    what: &'static str,
    needs: &'static [&'static [Package]],
    /// Runs only if it is named.
    on_request: bool,
    run: fn() -> Result<()>,
}

const STEPS: &[Step] = &[
    Step { name: "fmt", what: "the layout is rustfmt's", needs: &[], on_request: false, run: fmt },
    Step {
        name: "msrv",
        what: "docs name the oldest Rust version, and it builds procscope here",
        needs: &[packages::BUILD],
        on_request: false,
        run: msrv::check,
    },
    Step {
        name: "house",
        what: "no arrow up between rooms, no circle, no long file, plain words",
        needs: &[],
        on_request: false,
        run: house,
    },
    Step { name: "clippy", what: "no warning", needs: &[packages::BUILD], on_request: false, run: clippy },
    Step {
        name: "doc",
        what: "the docs build, and every link works",
        needs: &[packages::BUILD],
        on_request: false,
        run: doc,
    },
    Step {
        name: "api",
        what: "docs/api.txt lists the public API",
        needs: &[packages::BUILD],
        on_request: false,
        run: api::check,
    },
    Step {
        name: "bpf",
        what: "bpf/gen is what bpf/ compiles to",
        needs: &[packages::BPF],
        on_request: false,
        run: bpf::check,
    },
    Step {
        name: "test",
        what: "cargo test of the workspace, on this kernel (root)",
        needs: &[packages::BUILD, packages::LIVE],
        on_request: false,
        run: test_workspace,
    },
    Step {
        name: "unit",
        what: "cargo test of everything except the live tests",
        needs: &[packages::BUILD],
        on_request: true,
        run: test_unit,
    },
    Step {
        name: "corpus",
        what: "the fuzz targets over their corpus",
        needs: &[packages::BUILD],
        on_request: false,
        run: fuzz::corpus,
    },
    Step {
        name: "fuzz",
        what: "the fuzz targets of changed decoders, a minute each",
        needs: fuzz::NEEDS,
        on_request: false,
        run: fuzz::changed,
    },
    Step {
        name: "cross",
        what: "a build for Windows, a type check for macOS",
        needs: cross::NEEDS,
        on_request: false,
        run: || cross::check(&cross::TARGETS),
    },
    Step {
        name: "wine",
        what: "the Windows program starts, under Wine",
        needs: wine::NEEDS,
        on_request: true,
        run: wine::check,
    },
    Step {
        name: "kernels",
        what: "every source on other kernels, in emulated guests",
        needs: kernels::NEEDS,
        on_request: false,
        run: || kernels::check(&[]),
    },
    Step {
        name: "deny",
        what: "licences and sources of the dependencies",
        needs: &[],
        on_request: false,
        run: deny::check,
    },
];

/// Runs the named steps, or all; continues after a failed one, so that one run reports all.
pub(crate) fn test(names: &[String]) -> Result<()> {
    if names.iter().any(|name| name == "--list") {
        STEPS.iter().for_each(|step| {
            let only = if step.on_request { " (on request)" } else { "" };
            println!("{:<8} {}{only}", step.name, step.what);
        });
        return Ok(());
    }
    if let Some(name) = names.iter().find(|name| STEPS.iter().all(|step| step.name != *name)) {
        bail!(
            "there is no step '{name}'; the steps are {}",
            STEPS.iter().map(|step| step.name).collect::<Vec<_>>().join(" ")
        );
    }
    let steps: Vec<_> = match names {
        [] => STEPS.iter().filter(|step| !step.on_request).collect(),
        _ => STEPS.iter().filter(|step| names.iter().any(|name| step.name == name)).collect(),
    };
    let began = Instant::now();
    ensure(&steps)?;
    println!("setup: {}", seconds(began.elapsed()));

    let mut results = Vec::new();
    for step in steps {
        println!("\n== {}: {}", step.name, step.what);
        let began = Instant::now();
        let result = (step.run)();
        if let Err(error) = &result {
            println!("error: {error:#}");
        }
        let verdict = if result.is_ok() { "ok" } else { "FAILED" };
        println!("== {}: {verdict} in {}", step.name, seconds(began.elapsed()));
        results.push((step.name, verdict, began.elapsed()));
    }

    println!();
    results.iter().for_each(|(name, verdict, took)| println!("{name:<8} {verdict:<6} {:>8}", seconds(*took)));
    println!("{:<8} {:<6} {:>8}", "in all", "", seconds(began.elapsed()));
    let failed: Vec<_> = results.iter().filter(|(_, verdict, _)| *verdict != "ok").map(|(name, ..)| *name).collect();
    if !failed.is_empty() {
        bail!("failed: {0}\n  help: ./x test {0}", failed.join(" "));
    }
    Ok(())
}

/// Installs, or lists, the packages of all steps.
pub(crate) fn setup() -> Result<()> {
    ensure(&STEPS.iter().filter(|step| !step.on_request).collect::<Vec<_>>())
}

fn ensure(steps: &[&Step]) -> Result<()> {
    packages::ensure(&steps.iter().flat_map(|step| step.needs).copied().collect::<Vec<_>>())
}

fn seconds(took: Duration) -> String {
    format!("{:.1} s", took.as_secs_f64())
}

fn fmt() -> Result<()> {
    run(cargo().current_dir(workspace::root()).args(["fmt", "--all", "--check"]))?;
    run(cargo().current_dir(workspace::root()).args(["fmt", "--check", "--manifest-path", "fuzz/Cargo.toml"]))
}

fn house() -> Result<()> {
    run(cargo().current_dir(workspace::root()).args(["test", "--locked", "--package", "xtask", "--test", "house"]))
}

fn clippy() -> Result<()> {
    let deny = ["--", "--deny", "warnings"];
    run(cargo()
        .current_dir(workspace::root())
        .args(["clippy", "--locked", "--workspace", "--all-targets"])
        .args(deny))?;
    run(cargo()
        .current_dir(workspace::root())
        .args(["clippy", "--locked", "--package", "procscope-benches", "--features", "hot-path", "--bin", "hot-path"])
        .args(deny))?;
    run(cargo()
        .current_dir(workspace::root())
        .args(["clippy", "--locked", "--package", "procscope", "--package", "procscope-cli", "--no-default-features"])
        .args(deny))?;
    let mut fuzz = cargo();
    fuzz.current_dir(workspace::root()).args(["clippy", "--locked", "--manifest-path", "fuzz/Cargo.toml"]);
    fuzz.args(["--no-default-features", "--all-targets", "--target-dir"]).arg(workspace::target_dir()?);
    run(fuzz.args(deny))
}

fn doc() -> Result<()> {
    let mut cargo = cargo();
    cargo.current_dir(workspace::root()).env("RUSTDOCFLAGS", "--deny warnings");
    // Only libraries: the program has the same name as the library, and its pages would overwrite
    // the library's.
    run(cargo.args(["doc", "--locked", "--workspace", "--no-deps", "--lib"]))
}

fn test_workspace() -> Result<()> {
    if !packages::is_root()? {
        bail!(
            "the live tests load BPF programs, which needs root\n  help: sudo env HOME=\"$HOME\" PATH=\"$PATH\" ./x test test, or ./x test unit"
        );
    }
    workspace::build_release()?;
    let mut cargo = cargo();
    cargo.current_dir(workspace::root()).env("PROCSCOPE_BIN", workspace::program()?);
    let mut path = std::env::var_os("PATH").unwrap_or_default();
    path.push(":/usr/sbin:/sbin");
    // A snapshot that is missing or differs fails; it is not written.
    cargo.env("PATH", path).env("INSTA_UPDATE", "no");
    run(cargo.args(["test", "--locked", "--workspace", "--no-fail-fast"]))
}

fn test_unit() -> Result<()> {
    let mut cargo = cargo();
    cargo.current_dir(workspace::root()).env("INSTA_UPDATE", "no");
    run(cargo.args(["test", "--locked", "--workspace", "--no-fail-fast", "--exclude", "procscope-tests"]))
}

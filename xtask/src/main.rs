//! The chores of procscope. `./x` at the top of the repository calls it where a C compiler may
//! still be missing; otherwise it is `cargo xtask`.

mod api;
mod bpf;
mod cross;
mod deny;
mod docs;
mod fuzz;
mod kernels;
mod msrv;
mod packages;
mod picture;
mod process;
mod run;
mod test;
mod tools;
mod wine;
mod workspace;

use std::process::ExitCode;

use anyhow::{Result, bail};

const USAGE: &str = "\
usage: cargo xtask COMMAND

  run [OPTIONS]             build procscope for release and start it with these options
  test [STEP...]            every check, or only these: fmt msrv house clippy doc api bpf test corpus fuzz cross
                            kernels deny (`test --list` describes each, and two more: unit wine)
  api                       write the public API of the libraries to docs/api.txt
  bpf [--check]             compile bpf/procscope.bpf.c into bpf/gen, or check that bpf/gen is what it compiles to
  cross [TARGET]            build the program for Windows, type-check it for macOS
  fuzz TARGET|--all [--seconds N] [--sanitizer none|address]
                            fuzz a target, or each by turns, with libFuzzer, and add to docs/fuzzing.md;
                            the defaults are 60 seconds and none
  kernels [NAME...|--all] [SOURCE...] [BEHAVIOUR...]
                            every source on Debian's kernels, in emulated guests; the default is those of `test`
  deny                      licences, sources, duplicates and advisories of the dependencies, with cargo-deny
  docs                      write what the table of fields says into docs/: the schema, fields, columns
  picture                   run procscope on a small build and draw its screen as docs/live.svg
  setup                     install the Debian packages that `test` needs (as root), or list them";

fn main() -> ExitCode {
    match dispatch(std::env::args().skip(1).collect()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn dispatch(args: Vec<String>) -> Result<()> {
    let Some((command, rest)) = args.split_first() else {
        bail!("no command\n{USAGE}");
    };
    match (command.as_str(), rest) {
        ("run", _) => run::run(rest),
        ("test", _) => test::test(rest),
        ("api", []) => api::generate(),
        ("bpf", []) => bpf::generate(),
        ("bpf", [flag]) if flag == "--check" => bpf::check(),
        ("cross", []) => cross::check(&cross::TARGETS),
        ("cross", [target]) => cross::check(&[target]),
        ("fuzz", _) => fuzz::fuzz(rest),
        ("kernels", _) => kernels::check(rest),
        ("deny", []) => deny::check_all(),
        ("docs", []) => docs::generate(),
        ("picture", []) => picture::draw(),
        ("setup", []) => test::setup(),
        ("help" | "--help" | "-h", _) => {
            println!("{USAGE}");
            Ok(())
        }
        _ => bail!("not understood: {}\n{USAGE}", args.join(" ")),
    }
}

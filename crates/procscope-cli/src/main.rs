//! procscope: prints every process that starts and every process that ends.

mod args;
mod commands;
mod failure;
mod output;
mod render;
#[cfg(unix)]
mod signals;
mod summary;
mod writer;

use std::process::ExitCode;

use crate::args::Command;

fn main() -> ExitCode {
    let ran = match args::parse() {
        Command::Watch(watch) => commands::watch::run(&watch.options),
        Command::Run(run) => commands::run::run(&run),
        Command::Completions(completions) => commands::completions::run(&completions),
        Command::Man(man) => commands::man::run(&man),
    };
    ran.unwrap_or_else(|failure| {
        failure.print();
        ExitCode::from(1)
    })
}

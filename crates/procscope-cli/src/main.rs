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

fn main() -> ExitCode {
    let watch = args::parse();
    commands::watch::run(watch).unwrap_or_else(|failure| {
        failure.print();
        ExitCode::from(1)
    })
}

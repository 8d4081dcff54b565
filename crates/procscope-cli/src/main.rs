//! procscope: prints every process that starts and every process that ends.

mod args;
mod commands;
mod failure;
mod json;
#[cfg(all(target_os = "linux", target_env = "gnu"))]
mod memory;
mod output;
mod personas;
mod program;
mod recording;
mod render;
#[cfg(target_os = "linux")]
mod rights;
#[cfg(unix)]
mod signals;
#[cfg(target_os = "linux")]
mod standard;
mod summary;
mod telling;
mod values;
mod verify;
mod writer;

use std::process::ExitCode;

use crate::args::Command;

fn main() -> ExitCode {
    #[cfg(target_os = "linux")]
    if let Some(status) = commands::doctor::probe::answer(std::env::args_os()) {
        return status;
    }
    #[cfg(unix)]
    signals::outlive_file_limit();
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    memory::give_back_at_once();
    if let Some(call) = personas::called(std::env::args_os()) {
        return call.run();
    }
    let command = match args::parse() {
        Ok(command) => command,
        Err(status) => return status,
    };
    let ran = match command {
        Command::Watch(watch) => commands::watch::run(&watch.options),
        Command::Run(run) => commands::run::run(&run),
        Command::Replay(replay) => commands::replay::run(&replay),
        Command::Sources(sources) => commands::sources::run(&sources),
        Command::Doctor(doctor) => commands::doctor::run(&doctor),
        Command::Personas(personas) => commands::personas::run(&personas),
        Command::Completions(completions) => commands::completions::run(&completions),
        Command::Man(man) => commands::man::run(&man),
    };
    ran.unwrap_or_else(|failure| {
        failure.print();
        ExitCode::from(1)
    })
}

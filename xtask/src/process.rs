use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

/// The cargo that runs this program; otherwise the one on the PATH.
pub(crate) fn cargo() -> Command {
    Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}

/// Prints a command, runs it without input, and treats any status except 0 as an error.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    println!("$ {}", shown(command));
    let status = command.stdin(Stdio::null()).status().with_context(|| shown(command))?;
    if !status.success() {
        bail!("{status}: {}", shown(command));
    }
    Ok(())
}

/// The stdout of a command; its stderr is passed on.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let output = command.stdin(Stdio::null()).stderr(Stdio::inherit()).output().with_context(|| shown(command))?;
    if !output.status.success() {
        bail!("{}: {}", output.status, shown(command));
    }
    String::from_utf8(output.stdout).with_context(|| shown(command))
}

/// A command in a form to type, for reading: the program by its name, and its own environment
/// variables.
pub(crate) fn shown(command: &Command) -> String {
    let quoted = |text: &std::ffi::OsStr| {
        let text = text.to_string_lossy();
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:,@+".contains(c);
        if !text.is_empty() && text.chars().all(plain) { text.into_owned() } else { format!("'{text}'") }
    };
    let env = command.get_envs().filter_map(|(name, value)| Some((name, value?)));
    let env = env.filter(|(name, _)| *name != "PATH");
    let mut words: Vec<_> = env.map(|(name, value)| format!("{}={}", name.display(), quoted(value))).collect();
    let program = std::path::Path::new(command.get_program());
    words.push(match program.file_name() {
        Some(name) if name == "cargo" && !program.starts_with("/usr") => "cargo".to_owned(),
        _ => quoted(program.as_os_str()),
    });
    words.extend(command.get_args().map(quoted));
    words.join(" ")
}

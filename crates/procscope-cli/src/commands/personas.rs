use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use crate::args::Personas;
use crate::failure::{Failure, describe};
use crate::output;
use crate::personas::ALL;
use crate::render::wrap::wrap;
use procscope_format::{escape, quote};

/// Lists the tools that procscope can stand in for, or makes links.
pub(crate) fn run(personas: &Personas) -> Result<ExitCode, Failure> {
    let text = match &personas.install {
        None => list(),
        Some(dir) => install(dir, personas.force)?,
    };
    output::print(text.as_bytes())?;
    Ok(ExitCode::SUCCESS)
}

fn list() -> String {
    let width = ALL.iter().map(|persona| persona.name.len()).max().unwrap_or(0);
    let mut text = String::new();
    for persona in ALL {
        text += &wrap(&format!("{:<width$}  ", persona.name), width + 2, &persona.about());
        let names = names_of(persona.links);
        if !names.is_empty() {
            text += &wrap(&format!("{:<width$}  as: ", ""), width + 6, &names.join(" "));
        }
    }
    text
}

fn names_of(links: &[(&'static str, &[&str])]) -> Vec<&'static str> {
    links.iter().map(|(name, _)| *name).collect()
}

/// Makes all links, or none if one would replace a file that is not ours.
fn install(dir: &Path, force: bool) -> Result<String, Failure> {
    let program =
        std::env::current_exe().map_err(|error| failure("find out where procscope is", &error, "see ls -l /proc"))?;
    let help = "name a directory that you may write: procscope personas --install DIR";
    let names: Vec<_> = ALL.iter().flat_map(|persona| names_of(persona.links)).collect();
    let made = format!("make links in {}", dir.display());
    fs::create_dir_all(dir).map_err(|error| failure(&made, &error, help))?;
    if let Some(taken) = names.iter().map(|name| dir.join(name)).find(|path| !force && is_anothers(path, &program)) {
        return Err(Failure {
            what: format!("cannot {made}"),
            cause: format!("{} is there already, and is no link to procscope", taken.display()),
            help: "name another directory, or replace it: procscope personas --install DIR --force".to_owned(),
        });
    }
    for name in &names {
        link(&program, &dir.join(name)).map_err(|error| failure(&made, &error, help))?;
    }
    let mut text = String::new();
    for name in &names {
        text += &format!("{}\n", dir.join(name).display());
    }
    let mut shown = Vec::new();
    quote::text(dir.as_os_str().as_encoded_bytes(), &mut shown);
    let dir = String::from_utf8_lossy(&shown).into_owned();
    Ok(escape_lines(&text) + &format!("to remove them: cd {dir} && rm {}\n", names.join(" ")))
}

fn escape_lines(text: &str) -> String {
    text.lines().map(|line| format!("{}\n", escape::visible(line))).collect()
}

fn failure(what: &str, error: &io::Error, help: &str) -> Failure {
    Failure { what: format!("cannot {what}"), cause: describe(error), help: help.to_owned() }
}

/// True if a file is there that is not a link to procscope, wherever that is.
fn is_anothers(path: &Path, program: &Path) -> bool {
    match fs::symlink_metadata(path) {
        Err(_) => false,
        Ok(found) if !found.is_symlink() => true,
        Ok(_) => {
            let target = fs::read_link(path).unwrap_or_default();
            target != program && target.file_name() != program.file_name()
        }
    }
}

/// Makes a link in one step, replacing any file.
fn link(program: &Path, at: &Path) -> io::Result<()> {
    let mut beside = at.as_os_str().to_owned();
    beside.push(format!(".{}.new", std::process::id()));
    let beside = PathBuf::from(beside);
    symlink(program, &beside)?;
    fs::rename(&beside, at).inspect_err(|_| {
        let _ = fs::remove_file(&beside);
    })
}

#[cfg(unix)]
fn symlink(program: &Path, at: &Path) -> io::Result<()> {
    std::os::unix::fs::symlink(program, at)
}

#[cfg(windows)]
fn symlink(program: &Path, at: &Path) -> io::Result<()> {
    std::os::windows::fs::symlink_file(program, at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_fits_a_screen() {
        let text = list();
        assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
        insta::assert_snapshot!(text);
    }

    #[test]
    #[cfg(unix)]
    fn links_replace_links_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let program = std::env::current_exe().unwrap();
        for _ in 0..2 {
            let text = install(dir.path(), false).unwrap();
            assert!(text.contains("to remove them: cd "), "{text}");
            assert_eq!(fs::read_link(dir.path().join("forkstat")).unwrap(), program);
        }
        let count = || fs::read_dir(dir.path()).unwrap().count();
        let all = count();
        fs::remove_file(dir.path().join("execsnoop.bt")).unwrap();
        fs::write(dir.path().join("execsnoop.bt"), "another's").unwrap();
        fs::remove_file(dir.path().join("forkstat")).unwrap();
        let refused = install(dir.path(), false).unwrap_err();
        assert!(refused.cause.contains("execsnoop.bt") && refused.help.contains("--force"), "{refused}");
        assert_eq!(count(), all - 1);
        install(dir.path(), true).unwrap();
        assert_eq!(fs::read_link(dir.path().join("execsnoop.bt")).unwrap(), program);
        assert_eq!(count(), all);
        install(&dir.path().join("new/dir"), false).unwrap();
        assert!(install(&dir.path().join("execsnoop.bt/x"), false).is_err());
    }
}

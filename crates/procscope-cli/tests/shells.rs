//! Completions and manual pages, by the programs that read them.

#![cfg(unix)]

use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

fn procscope(args: &[&str]) -> Vec<u8> {
    let output = Command::new(env!("CARGO_BIN_EXE_procscope")).args(args).output().unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    output.stdout
}

/// Runs a program on a text; `None` where it is not installed.
fn feed(program: &str, args: &[&str], text: &[u8]) -> Option<Output> {
    let mut command = Command::new(program);
    let command = command.args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = match command.spawn() {
        Ok(child) => child,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return None,
        Err(error) => panic!("{program}: {error}"),
    };
    child.stdin.take().unwrap().write_all(text).unwrap();
    Some(child.wait_with_output().unwrap())
}

/// What bash offers for the last of these words.
fn bash_offers(dir: &Path, words: &[&str]) -> Vec<String> {
    std::fs::write(dir.join("completions"), procscope(&["completions", "bash"])).unwrap();
    // As bash does at a TAB: it finds the function by the command's name, and calls it with the words.
    let script = r#"
        source ./completions
        spec=$(complete -p "$1")
        [[ $spec =~ -F\ ([^ ]+) ]]
        COMP_WORDS=("$@") COMP_CWORD=$(($# - 1)) COMP_LINE="$*" COMP_POINT=${#COMP_LINE}
        "${BASH_REMATCH[1]}" "$1" "${!#}" "${@: -2:1}"
        printf '%s\n' "${COMPREPLY[@]}"
    "#;
    let output =
        Command::new("bash").args(["--norc", "-c", script, "bash"]).args(words).current_dir(dir).output().unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    String::from_utf8(output.stdout).unwrap().split_whitespace().map(str::to_owned).collect()
}

#[test]
fn bash_completes() {
    let dir = tempfile::tempdir().unwrap();
    for (words, offered) in [
        (&["procscope", "--fo"][..], &["--format"][..]),
        (&["procscope", "watch", "--du"], &["--duration"]),
        (&["procscope", "--format", "j"], &["json"]),
        (&["procscope", "comp"], &["completions"]),
        (&["procscope", "completions", "f"], &["fish"]),
    ] {
        assert_eq!(bash_offers(dir.path(), words), offered, "{words:?}");
    }
    let all = bash_offers(dir.path(), &["procscope", "-"]);
    assert!(all.len() > 20 && all.iter().any(|word| word == "--ring-size"), "{all:?}");
}

#[test]
fn scripts_are_valid_where_their_shell_can_say() {
    for (shell, program) in [("bash", "bash"), ("zsh", "zsh"), ("fish", "fish"), ("elvish", ""), ("powershell", "")] {
        let script = procscope(&["completions", shell]);
        let text = String::from_utf8(script.clone()).unwrap();
        for word in ["ring-size", "no-header", "completions", "watch", "man"] {
            assert!(text.contains(word), "{shell} does not know {word}");
        }
        let checked = if program.is_empty() { None } else { feed(program, &["-n"], &script) };
        if let Some(output) = checked {
            assert!(output.status.success() && output.stderr.is_empty(), "{shell}: {output:?}");
        }
    }
}

#[test]
fn manual_pages_format_without_a_warning() {
    let dir = tempfile::tempdir().unwrap();
    procscope(&["man", dir.path().to_str().unwrap()]);
    let mut pages: Vec<_> = std::fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
    pages.sort();
    assert!(pages.len() >= 4, "{pages:?}");
    for page in &pages {
        let text = std::fs::read(page).unwrap();
        for macros in ["-man", "-mandoc"] {
            let Some(output) = feed("groff", &["-ww", "-K", "utf8", "-T", "utf8", macros], &text) else { continue };
            assert!(output.status.success() && output.stderr.is_empty(), "{}: {output:?}", page.display());
            let shown = String::from_utf8(output.stdout).unwrap();
            assert!(shown.contains("procscope") && shown.lines().count() > 10, "{shown}");
        }
    }
    assert_eq!(std::fs::read(dir.path().join("procscope.1")).unwrap(), procscope(&["man"]));
}

/// A reader that has seen enough, such as `head`, is no error.
#[test]
fn a_closed_pipe_is_no_error() {
    for args in [&["man"][..], &["completions", "bash"]] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_procscope"));
        let mut child = command.args(args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    }
}

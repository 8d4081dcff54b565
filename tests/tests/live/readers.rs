//! Completions and manual pages, in the programs that read them.

use std::fs;
use std::io::{ErrorKind, Write as _};
use std::process::{Command, Output, Stdio};

use crate::turn;
use crate::watch::program;

fn procscope(args: &[&str]) -> Vec<u8> {
    let output = Command::new(program()).args(args).output().expect("procscope can be run");
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    output.stdout
}

/// Runs a program on a text; `None` if it is not installed.
fn feed(program: &str, args: &[&str], text: &[u8]) -> Option<Output> {
    let mut command = Command::new(program);
    let command = command.args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = match command.spawn() {
        Ok(child) => child,
        Err(error) if error.kind() == ErrorKind::NotFound => return None,
        Err(error) => panic!("{program}: {error}"),
    };
    child.stdin.take().expect("it is piped").write_all(text).expect("it reads");
    Some(child.wait_with_output().expect("our own child"))
}

#[test]
fn completions_are_valid() {
    let _turn = turn::take();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = procscope(&["completions", shell]);
        let text = String::from_utf8_lossy(&script);
        for word in ["ring-size", "no-header", "completions", "watch", "man"] {
            assert!(text.contains(word), "{shell} does not know {word}");
        }
        let is_required = match shell {
            "bash" | "zsh" => true,
            // It would bring Python along, so only its place is asked.
            "fish" => false,
            // Debian does not have it.
            _ => continue,
        };
        match feed(shell, &["-n"], &script) {
            Some(output) => assert!(output.status.success() && output.stderr.is_empty(), "{shell}: {output:?}"),
            None => assert!(!is_required, "{shell} is not installed; type: cargo xtask setup"),
        }
    }
}

#[test]
fn zsh_completes() {
    let _turn = turn::take();
    let dir = tempfile::tempdir().expect("a directory can be made");
    fs::write(dir.path().join("_procscope"), procscope(&["completions", "zsh"])).expect("it is ours");
    // compinit finds the function by its file's first line, and zsh loads it at the first TAB.
    let script = "fpath=($PWD $fpath); autoload -U compinit; compinit -D -u; print -r -- $_comps[procscope]; \
                  autoload +X _procscope && print loaded";
    let output = Command::new("zsh").args(["-f", "-c", script]).current_dir(dir.path()).output();
    let output = output.expect("zsh is installed; type: cargo xtask setup");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "_procscope\nloaded\n", "{output:?}");
}

#[test]
fn manual_pages_format_without_a_warning() {
    let _turn = turn::take();
    let dir = tempfile::tempdir().expect("a directory can be made");
    procscope(&["man", dir.path().to_str().expect("it is text")]);
    let mut pages: Vec<_> =
        fs::read_dir(dir.path()).expect("it is ours").map(|entry| entry.expect("it is ours").path()).collect();
    pages.sort();
    assert!(pages.len() >= 4, "{pages:?}");
    for page in &pages {
        let text = fs::read(page).expect("it is ours");
        let output = feed("groff", &["-ww", "-K", "utf8", "-T", "utf8", "-man"], &text);
        let output = output.expect("groff is installed; type: cargo xtask setup");
        assert!(output.status.success() && output.stderr.is_empty(), "{}: {output:?}", page.display());
        let shown = String::from_utf8_lossy(&output.stdout);
        assert!(shown.contains("procscope") && shown.lines().count() > 10, "{shown}");
    }
    assert_eq!(fs::read(dir.path().join("procscope.1")).expect("it is there"), procscope(&["man"]));
}

//! The commands in help and documentation, typed.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use crate::turn;
use crate::watch::program;

/// Takes the place of the program, and ends in time what would continue until Ctrl-C.
const SHORT_LIVED: &str = r#"#!/bin/sh
case " COMMANDS " in
    *" ${1:-watch} "*) exec PROGRAM "$@" ;;
esac
exec PROGRAM "$@" --duration 300ms
"#;

fn help(command: &[&str]) -> String {
    let output = Command::new(program()).args(command).arg("--help").output().expect("procscope can be run");
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).expect("help is text")
}

/// The first words of the lines under a heading, up to an empty line.
fn under<'a>(text: &'a str, heading: &str) -> impl Iterator<Item = &'a str> {
    let lines = text.lines().skip_while(move |line| *line != heading).skip(1);
    lines.take_while(|line| !line.is_empty())
}

/// The commands, as `procscope --help` lists them.
fn commands(top: &str) -> Vec<&str> {
    // A wrapped description is indented further.
    let lines = under(top, "Commands:").filter(|line| !line.starts_with("   "));
    lines.filter_map(|line| line.split_whitespace().next()).collect()
}

/// A line of an example without its explanation.
fn typed(line: &str) -> &str {
    let line = line.trim();
    line.find("   ").map_or(line, |end| &line[..end])
}

/// Types lines in a directory of their own, where `procscope` is the program under test.
fn run_all(lines: &BTreeSet<String>, commands: &[&str]) {
    let dir = tempfile::tempdir().expect("a directory can be made");
    let bin = dir.path().join("bin");
    fs::create_dir(&bin).expect("it is ours");
    let others = commands.iter().filter(|name| **name != "watch").chain(&["--help", "--version"]);
    let others = others.copied().collect::<Vec<_>>().join(" ");
    let script = SHORT_LIVED.replace("COMMANDS", &others).replace("PROGRAM", &program().display().to_string());
    fs::write(bin.join("procscope"), script).expect("it is ours");
    fs::set_permissions(bin.join("procscope"), fs::Permissions::from_mode(0o755)).expect("it is ours");
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap_or_default());
    fs::write(dir.path().join("Makefile"), "all:\n\ttrue\n").expect("it is ours");
    // What examples replay.
    run("procscope --format json -o events.jsonl", dir.path(), &path);
    for line in lines {
        run(line, dir.path(), &path);
    }
}

fn run(line: &str, dir: &Path, path: &str) {
    // The examples' own pid may be any process's.
    let line = line.replace("1234", &std::process::id().to_string());
    let mut bash = Command::new("bash");
    bash.args(["--norc", "-euo", "pipefail", "-c", &line]).current_dir(dir).env("PATH", path).env("HOME", dir);
    let output = bash.output().expect("bash can be run");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{line}: {} {stderr}", output.status);
    assert!(!stderr.contains("error") && !stderr.contains("cause:"), "{line}: {stderr}");
}

#[test]
fn the_examples_of_help_work() {
    let _turn = turn::take();
    let top = help(&[]);
    let commands = commands(&top);
    assert!(commands.contains(&"watch") && commands.contains(&"man"), "{top}");
    let mut lines = BTreeSet::new();
    for screen in std::iter::once(top.clone()).chain(commands.iter().map(|name| help(&[name]))) {
        let before = lines.len();
        lines.extend(under(&screen, "Examples:").map(|line| typed(line).to_owned()));
        assert!(lines.len() > before, "no examples in {screen}");
    }
    run_all(&lines, &commands);
}

/// Lines that begin with the program's name, except patterns such as `procscope [watch]`.
#[test]
fn the_examples_of_the_documentation_work() {
    let _turn = turn::take();
    let pages = [include_str!("../../../README.md"), include_str!("../../../docs/cli.md")];
    let mut fenced = false;
    let mut lines = BTreeSet::new();
    for line in pages.iter().flat_map(|page| page.lines()) {
        fenced ^= line.starts_with("```");
        let code = fenced.then_some(line).or_else(|| line.strip_prefix("    "));
        let code = code.filter(|code| code.starts_with("procscope ") || code.starts_with("source <(procscope "));
        lines.extend(code.filter(|code| !code.contains('[')).map(|code| typed(code).to_owned()));
    }
    assert!(lines.len() > 3, "{lines:?}");
    let top = help(&[]);
    run_all(&lines, &commands(&top));
}

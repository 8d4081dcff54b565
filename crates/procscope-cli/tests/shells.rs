//! Completions in bash, and the effect of a closed pipe.

#![cfg(unix)]

use std::path::Path;
use std::process::{Command, Stdio};

fn procscope(args: &[&str]) -> Vec<u8> {
    let output = Command::new(env!("CARGO_BIN_EXE_procscope")).args(args).output().unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    output.stdout
}

/// What bash offers for the last of these words.
fn bash_offers(dir: &Path, words: &[&str]) -> Vec<String> {
    std::fs::write(dir.join("completions"), procscope(&["completions", "bash"])).unwrap();
    // As bash does at a TAB: it finds the function by the command's name, and calls it with the
    // words.
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
        (&["procscope", "forkstat", "--st"], &["--status"]),
        (&["procscope", "execsnoop", "--max"], &["--max-args"]),
        (&["procscope", "completions", "f"], &["fish"]),
        (&["procscope", "--columns", "thread"], &["thread_name"]),
        (&["procscope", "run", "--columns", "pid,sys"], &["pid,system_ns", "pid,system-time"]),
        (&["procscope", "watch", "exe_d"], &["exe_deleted"]),
        (&["procscope", "run", "--filter", "max_rss"], &["max_rss", "max_rss_bytes"]),
    ] {
        let mut offers = bash_offers(dir.path(), words);
        let mut offered = offered.to_vec();
        offers.sort();
        offered.sort();
        assert_eq!(offers, offered, "{words:?}");
    }
    let all = bash_offers(dir.path(), &["procscope", "-"]);
    assert!(all.len() > 20 && all.iter().any(|word| word == "--ring-size"), "{all:?}");
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

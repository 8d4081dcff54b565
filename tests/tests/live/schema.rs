//! Every line that a test reads keeps to docs/event.schema.json.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::LazyLock;

use jsonschema::Validator;
use serde_json::Value;

use crate::run::run;
use crate::turn;
use crate::watch::{Watch, program};
use crate::workload::Workload;

static SCHEMA: LazyLock<Validator> = LazyLock::new(|| {
    let schema = include_str!("../../../docs/event.schema.json");
    let schema: Value = serde_json::from_str(schema).expect("the schema is JSON");
    jsonschema::draft202012::new(&schema).expect("it is a schema")
});

/// Panics if a line of JSON breaks the schema.
pub(crate) fn check(line: &[u8]) {
    let text = || String::from_utf8_lossy(line);
    let value: Value = serde_json::from_slice(line).unwrap_or_else(|error| panic!("{error}: {}", text()));
    if !SCHEMA.is_valid(&value) {
        let faults: Vec<String> =
            SCHEMA.iter_errors(&value).map(|error| format!("{}: {error}", error.instance_path())).collect();
        panic!("against docs/event.schema.json: {faults:#?}\n{}", text());
    }
}

/// The whole lines of a file. A last one may be unfinished.
pub(crate) fn whole_lines(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    let whole = bytes.iter().rposition(|&b| b == b'\n').map_or(0, |end| end + 1);
    bytes[..whole].split(|&b| b == b'\n').filter(|line| !line.is_empty())
}

/// The same for each line of a file of events.
pub(crate) fn check_file(path: &Path) {
    let bytes = fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    whole_lines(&bytes).for_each(check);
}

/// The kinds that `procscope sources` lists for each source.
fn kinds_of_sources() -> Vec<(String, BTreeSet<String>)> {
    let output = Command::new(program()).args(["sources", "--format", "json"]).output().expect("procscope can be run");
    let sources: Value = serde_json::from_slice(&output.stdout).expect("it writes JSON");
    let list = sources["sources"].as_array().expect("a list");
    let text = |value: &Value| value.as_str().expect("text").to_owned();
    let kinds = |source: &Value| source["events"].as_array().expect("a list").iter().map(text).collect();
    list.iter().map(|source| (text(&source["id"]), kinds(source))).collect()
}

/// A process that is renamed and changes its session and ids, and each time waits to be seen, by a
/// poller too.
fn change_slowly(watch: &Watch, kinds: &BTreeSet<String>) {
    // The ids without an exec after them, which is all that a poller would see.
    let script = r#"use POSIX; <STDIN>; $0 = "slowly-renamed"; <STDIN>; setsid();
                    $( = 65534; $) = "65534 65534"; ($<, $>) = (65534, 65534); sleep 600"#;
    let mut perl = Command::new("perl");
    let mut child = perl.args(["-e", script]).stdin(Stdio::piped()).spawn().expect("perl can be run");
    let mut stdin = child.stdin.take().expect("it is piped");
    watch.wait_for(&format!(r#""pid":{},"#, child.id()));
    for changes in [&["comm"][..], &["sid", "uid", "gid"]] {
        stdin.write_all(b"\n").expect("it reads");
        for kind in changes.iter().filter(|kind| kinds.contains(**kind)) {
            watch.wait_for(&format!(r#""event":"{kind}""#));
        }
    }
    child.kill().expect("our own child");
    child.wait().expect("our own child");
}

/// Each source shows each kind that it lists, and each line of it matches the schema.
#[test]
fn each_sources_every_kind_keeps_to_the_schema() {
    let _turn = turn::take();
    for (source, kinds) in kinds_of_sources() {
        let events = if source == "ptrace" {
            let dir = tempfile::tempdir().expect("a directory can be made");
            let truth = dir.path().join("truth");
            let words = [env!("CARGO_BIN_EXE_ps-workload"), "odd", "--truth", truth.to_str().expect("text")];
            run(&source, &["-e", "all", "--env"], &words).events
        } else {
            let watch = Watch::start(["--source", &source, "-e", "all", "--env"]);
            Workload::new(&["odd"]).run();
            change_slowly(&watch, &kinds);
            watch.stop().events()
        };
        let seen: BTreeSet<String> = events.into_iter().map(|seen| seen.event).collect();
        assert!(seen.is_superset(&kinds), "{source} lists {kinds:?} and shows {seen:?}");
    }
}

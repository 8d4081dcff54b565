//! No source file is longer than a reader can hold, except with a reason.

use std::collections::BTreeSet;
use std::path::PathBuf;

const MOST_LINES: usize = 500;

/// Longer files, each with its reason. A file that is short again leaves the list.
const LONGER: &[(&str, &str)] = &[];

fn findings(files: &[(PathBuf, usize)], longer: &[(&str, &str)]) -> Vec<String> {
    let long: Vec<_> = files.iter().filter(|(_, lines)| *lines > MOST_LINES).collect();
    let excused: BTreeSet<_> = longer.iter().map(|(path, _)| PathBuf::from(path)).collect();
    let mut findings: Vec<_> = long
        .iter()
        .filter(|(path, _)| !excused.contains(path))
        .map(|(path, lines)| format!("{}: {lines} lines, {MOST_LINES} at the most", path.display()))
        .collect();
    let short = excused.iter().filter(|path| long.iter().all(|(long, _)| long != *path));
    findings.extend(short.map(|path| format!("{}: is not longer any more: take it off LONGER", path.display())));
    findings
}

#[test]
fn no_source_file_is_long_without_a_reason() {
    let is_source = |path: &PathBuf| {
        path.extension().is_some_and(|extension| ["rs", "c", "h", "sh"].iter().any(|source| extension == *source))
    };
    let files: Vec<_> = crate::files()
        .into_iter()
        .filter(is_source)
        .map(|path| (path.clone(), crate::read(&path).lines().count()))
        .collect();
    crate::assert_none(&findings(&files, LONGER), "take it apart by what it is");
}

#[test]
fn a_long_file_is_found_and_a_short_one_leaves_the_list() {
    let files = [(PathBuf::from("a.rs"), MOST_LINES), (PathBuf::from("b.rs"), MOST_LINES + 1)];
    assert_eq!(findings(&files, &[]), ["b.rs: 501 lines, 500 at the most"]);
    assert!(findings(&files, &[("b.rs", "a table")]).is_empty());
    let short = findings(&files, &[("b.rs", "a table"), ("a.rs", "a table")]);
    assert_eq!(short, ["a.rs: is not longer any more: take it off LONGER"]);
}

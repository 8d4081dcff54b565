//! Phrases that no page, help text or message may contain, each with its replacement.

use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use regex::Regex;

/// A phrase, correct words around it, and its replacement.
const BANNED: &[(&str, Option<&str>, &str)] = &[
    (
        r"(?i)\b(tell|tells|told|telling)\b",
        Some(r"(?i)\b(tell|tells|told|telling)( \w+){0,3} (apart|from)\b"),
        "report, show or say",
    ),
    (r"(?:^|[.:;|] )(?:Who|What|Whoever|Whatever|Whom)\b[^?]*$", None, "name the process, user, file or kernel"),
    (r"(?i)\bwhoever\b", None, "name the process, user, file or kernel"),
    (r"(?:^|[.:] )Of\b", Some(r"Of course"), "put the subject first"),
    (
        r"(?:^|[.:] )(?:[A-Z][a-z]+ed|Left out|Given|Shown|Known|Seen|Kept|Meant|Held|Left|Read|Written|Made|Built|Sent) (?:is|are|was|were)\b",
        Some(r"\b(?:Feed|Need|Seed|Speed) (?:is|was)"),
        "put the subject first",
    ),
    (r"(?i)\btakes (?:root|CAP_|rights|no rights)", None, "needs"),
    (r"(?i)\bit takes is\b|\bwhat it takes\b", None, "needs"),
    (
        r"(?i)\b(?:stands|stood)\b|\bstand (?:in|at|on|before|behind|between|beside|there|here)\b",
        Some(r"(?i)\b(?:stand|stands|stood) in for\b"),
        "is",
    ),
    (r"(?i)\bbut for\b", None, "except"),
    (r"(?i)\bfor want of\b", None, "without"),
    (r"(?i)\b(?:that is|is|are|was) no UTF-8\b|\bno UTF-8\b", None, "not valid UTF-8"),
    (r"(?i)\bthat is no\b", None, "that is not"),
    (r"(?i)\bby the time that\b", None, "before"),
    (r"(?i)\bso that also\b", None, "so even"),
    (r"(?i)\bnobody is held\b|\bheld against\b", None, "it is not compared"),
    (r"(?i)\bhangs on\b", None, "depends on"),
    (r"(?i)\bis asked for by\b", None, "is requested by"),
    (r"(?i)\band else\b", None, "otherwise"),
];

/// Pages that still hold some. None may be added; a page that holds none leaves the list.
const KNOWN: &[&str] = &[];

/// The prose of a page, without code and quoted code.
fn prose(page: &str) -> Vec<(usize, String)> {
    let span = Regex::new("`[^`]*`").expect("a fixed expression");
    let mut is_code = false;
    let mut lines = Vec::new();
    for (number, line) in page.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            is_code = !is_code;
        } else if !is_code && !line.starts_with("    ") {
            lines.push((number + 1, span.replace_all(line, "``").into_owned()));
        }
    }
    lines
}

fn banned(lines: &[(usize, String)]) -> Vec<(usize, String, &'static str)> {
    static PATTERNS: LazyLock<Vec<(Regex, Option<Regex>)>> = LazyLock::new(|| {
        let regex = |pattern: &str| Regex::new(pattern).expect("a fixed expression");
        BANNED.iter().map(|(pattern, unless, _)| (regex(pattern), unless.map(regex))).collect()
    });
    let mut found = Vec::new();
    for ((pattern, unless), (.., instead)) in PATTERNS.iter().zip(BANNED) {
        for (number, line) in lines {
            let line = unless.as_ref().map_or(line.into(), |unless| unless.replace_all(line, ""));
            if let Some(hit) = pattern.find(&line) {
                let words = hit.as_str().split_whitespace().filter(|word| ![".", ":"].contains(word)).take(4);
                found.push((*number, words.collect::<Vec<_>>().join(" "), *instead));
            }
        }
    }
    found.sort();
    found
}

/// Markdown at the top and in `docs/`; the program's output for people.
fn pages() -> Vec<PathBuf> {
    let is_page = |path: &PathBuf| {
        let name = path.to_string_lossy();
        let markdown = name.ends_with(".md") && (!name.contains('/') || name.starts_with("docs/"));
        let printed = name.starts_with("crates/procscope-cli/src/") && name.ends_with(".snap");
        markdown || (printed && !name.contains("/personas/"))
    };
    crate::files().into_iter().filter(is_page).collect()
}

fn lines_of(path: &Path) -> Vec<(usize, String)> {
    let page = crate::read(path);
    match path.extension().is_some_and(|extension| extension == "md") {
        true => prose(&page),
        false => page
            .lines()
            .enumerate()
            .skip_while(|(_, line)| *line != "---")
            .map(|(number, line)| (number + 1, line.to_owned()))
            .collect(),
    }
}

#[test]
fn no_page_holds_a_banned_phrase() {
    let mut findings = Vec::new();
    for path in pages() {
        let found = banned(&lines_of(&path));
        match (KNOWN.iter().any(|known| Path::new(known) == path), found.is_empty()) {
            (true, true) => findings.push(format!("{}: holds none any more: take it off KNOWN", path.display())),
            (true, false) => {}
            (false, _) => findings.extend(found.iter().map(|(number, phrase, instead)| {
                format!("{}:{number}: \"{phrase}\": write: {instead}", path.display())
            })),
        }
    }
    crate::assert_none(&findings, "the subject first, then the verb; plain words");
}

#[test]
fn each_phrase_is_found_in_prose_alone() {
    let bad = [
        "Who killed a process is told.",
        "It ends. What helps against a loss is there.",
        "Of one message, all is read.",
        "Compared are three fields.",
        "It takes root.",
        "A name stands behind it.",
        "All but for exits.",
        "It is left out for want of room.",
        "A name that is no UTF-8.",
        "Whoever closes it ends it.",
        "Read by the time that it starts.",
        "It hangs on the kernel.",
        "so that also the shortest is seen",
        "an exit is held against nobody",
        "As root it installs them, and else lists them.",
    ];
    for line in bad {
        assert!(!banned(&prose(line)).is_empty(), "{line}");
    }
    let good = "Who killed it? The two cannot be told apart.\n`told` is a word.\n    told\n```\ntold\n```\nIt reports what it saw.\nIt is needed.";
    assert_eq!(banned(&prose(good)), []);
    assert_eq!(banned(&prose("one\nIt tells of a fork")), [(2, "tells".to_owned(), "report, show or say")]);
}

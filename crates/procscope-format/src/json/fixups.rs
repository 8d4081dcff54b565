//! Changes in lines of version 1, so that those of an older procscope are read with their old
//! meaning.

use serde_json::{Map, Value, json};

/// One change of the format, and how an older line is fixed.
struct Fixup {
    /// Whether a line was written before the change. No present line is.
    is_older: fn(&Map<String, Value>) -> bool,
    mend: fn(&mut Map<String, Value>),
}

/// In the order of the changes.
const FIXUPS: &[Fixup] = &[
    // The end of a cut path once began with `/`, as if it were whole.
    Fixup { is_older: |line| cut_paths(line).next().is_some(), mend: show_gaps },
    // A core dump of an unknown signal and a comm without its old name once had no flaw.
    Fixup {
        is_older: |line| is(line, "core") && !line.contains_key("signo") && !is_flawed(line, "status"),
        mend: |line| mark(line, "status"),
    },
    Fixup {
        is_older: |line| is(line, "comm") && !line.contains_key("old_name") && !is_flawed(line, "old_name"),
        mend: |line| mark(line, "old_name"),
    },
];

/// Fixes lines of an older procscope; leaves every other line unchanged.
pub(super) fn apply(line: &mut Map<String, Value>) {
    for fixup in FIXUPS {
        if (fixup.is_older)(line) {
            (fixup.mend)(line);
        }
    }
}

/// Whether the beginning of a path is missing.
const GAP: &str = "…";

fn flaw<'a>(line: &'a Map<String, Value>, field: &str) -> Option<&'a str> {
    line.get("flaws")?.get(field)?.as_str()
}

fn is_flawed(line: &Map<String, Value>, field: &str) -> bool {
    flaw(line, field).is_some()
}

fn is(line: &Map<String, Value>, kind: &str) -> bool {
    line.get("event").and_then(Value::as_str) == Some(kind)
}

fn cut_paths(line: &Map<String, Value>) -> impl Iterator<Item = &'static str> {
    let is_cut = |field: &&str| {
        flaw(line, field) == Some("truncated")
            && line.get(*field).and_then(Value::as_str).is_some_and(|path| path.starts_with('/'))
    };
    ["exe", "cwd", "cgroup"].into_iter().filter(is_cut)
}

fn show_gaps(line: &mut Map<String, Value>) {
    let cut: Vec<_> = cut_paths(line).collect();
    for field in cut {
        if let Some(Value::String(path)) = line.get_mut(field) {
            path.insert_str(0, GAP);
        }
        let exact = format!("{field}_b64");
        if let Some(Value::String(path)) = line.get_mut(&exact) {
            *path = with_gap(path).unwrap_or_default();
        }
    }
}

/// The same for a path in base64.
fn with_gap(path: &str) -> Option<String> {
    use base64::Engine as _;
    use base64::prelude::BASE64_STANDARD;
    let path = BASE64_STANDARD.decode(path).ok()?;
    Some(BASE64_STANDARD.encode([GAP.as_bytes(), &path].concat()))
}

fn mark(line: &mut Map<String, Value>, field: &str) {
    if let Value::Object(flaws) = line.entry("flaws").or_insert_with(|| json!({})) {
        flaws.insert(field.to_owned(), json!("not-observed"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mended(line: Value) -> Value {
        let Value::Object(mut line) = line else { unreachable!() };
        apply(&mut line);
        Value::Object(line)
    }

    #[test]
    fn a_cut_path_shows_its_gap() {
        let old = json!({"event": "exec", "exe": "/b/c", "cwd": "/whole", "cgroup": "/x", "exe_b64": "L2I=",
            "flaws": {"exe": "truncated", "cgroup": "truncated"}});
        let new = json!({"event": "exec", "exe": "…/b/c", "cwd": "/whole", "cgroup": "…/x", "exe_b64": "4oCmL2I=",
            "flaws": {"exe": "truncated", "cgroup": "truncated"}});
        assert_eq!(mended(old), new);
        assert_eq!(mended(new.clone()), new);
    }

    #[test]
    fn what_is_unknown_has_a_flaw() {
        assert_eq!(mended(json!({"event": "core"}))["flaws"], json!({"status": "not-observed"}));
        let comm = mended(json!({"event": "comm", "flaws": {"name": "read-late"}}));
        assert_eq!(comm["flaws"], json!({"name": "read-late", "old_name": "not-observed"}));
        for whole in [json!({"event": "core", "signo": 6}), json!({"event": "comm", "old_name": "a"})] {
            assert_eq!(mended(whole.clone()), whole);
        }
    }

    #[test]
    fn whatever_the_values_are_nothing_panics() {
        for flaws in [json!(1), json!({"exe": 1}), json!(null)] {
            mended(json!({"event": "core", "exe": 1, "flaws": flaws}));
        }
    }
}

//! The files that each target tries.

/// A target of fuzz/, and the code that decides over its input: files, and directories with a slash
/// at the end.
pub(super) struct Target {
    pub(super) name: &'static str,
    pub(super) files: &'static [&'static str],
}

/// Each target.
pub(super) const TARGETS: &[Target] = &[
    Target { name: "cgroup", files: &["crates/procscope/src/pipeline/cgroup.rs"] },
    Target {
        name: "decode_ebpf",
        files: &[
            "crates/procscope/src/source/ebpf/decode.rs",
            "crates/procscope/src/source/ebpf/wire.rs",
            "crates/procscope/src/pipeline/",
        ],
    },
    Target {
        name: "decode_json",
        files: &[
            "crates/procscope-format/src/json/",
            "crates/procscope-format/src/escape.rs",
            "crates/procscope-model/src/fields/",
        ],
    },
    Target {
        name: "decode_proc_poll",
        files: &[
            "crates/procscope/src/proc/pids.rs",
            "crates/procscope/src/source/proc_poll/tracker.rs",
            "crates/procscope/src/source/proc_poll/tracker/",
            "crates/procscope/src/proc/pid.rs",
        ],
    },
    Target {
        name: "decode_process_connector",
        files: &[
            "crates/procscope/src/source/process_connector/decode.rs",
            "crates/procscope/src/source/process_connector/merge.rs",
            "crates/procscope/src/source/tracker/",
        ],
    },
    Target {
        name: "decode_tracefs",
        files: &[
            "crates/procscope/src/source/tracefs/assemble.rs",
            "crates/procscope/src/source/tracefs/decode/",
            "crates/procscope/src/source/settling.rs",
        ],
    },
    Target { name: "event_set", files: &["crates/procscope-model/src/event.rs"] },
    Target { name: "filter", files: &["crates/procscope-model/src/filter/", "crates/procscope-model/src/fields/"] },
    Target {
        name: "recording",
        files: &["crates/procscope-format/src/compressed.rs", "crates/procscope-format/src/json/"],
    },
];

/// The common parts of all targets.
const ALL: &[&str] = &["fuzz/src/", "crates/procscope/src/fuzzing.rs"];

fn is_among(file: &str, of: &[&str]) -> bool {
    of.iter().any(|it| if it.ends_with('/') { file.starts_with(it) } else { file == *it })
}

/// The targets that try one of these files, or whose own program or corpus is one.
pub(super) fn of(files: &[String]) -> Vec<&'static str> {
    let tries = |target: &&Target| {
        let own = [format!("fuzz/fuzz_targets/{}.rs", target.name), format!("fuzz/corpus/{}/", target.name)];
        files.iter().any(|file| {
            is_among(file, ALL) || is_among(file, target.files) || is_among(file, &own.each_ref().map(String::as_str))
        })
    };
    TARGETS.iter().filter(tries).map(|target| target.name).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::workspace;

    #[test]
    fn every_target_stands_there_with_files_that_exist() {
        let programs = std::fs::read_dir(workspace::root().join("fuzz/fuzz_targets")).unwrap();
        let programs: BTreeSet<String> =
            programs.map(|file| file.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned()).collect();
        assert_eq!(programs, TARGETS.iter().map(|target| target.name.to_owned()).collect());
        for file in TARGETS.iter().flat_map(|target| target.files).chain(ALL) {
            assert!(workspace::root().join(file).exists(), "{file}");
        }
    }

    #[test]
    fn changed_files_have_their_targets() {
        let of = |files: &[&str]| of(&files.iter().map(|file| (*file).to_owned()).collect::<Vec<_>>());
        assert_eq!(of(&["crates/procscope-model/src/filter/lex.rs", "README.md"]), ["filter"]);
        assert_eq!(
            of(&["fuzz/corpus/cgroup/a", "crates/procscope/src/source/tracefs/decode/page.rs"]),
            ["cgroup", "decode_tracefs"]
        );
        assert_eq!(of(&["fuzz/src/lib.rs"]).len(), TARGETS.len());
        assert!(of(&["crates/procscope/src/monitor.rs"]).is_empty());
    }
}

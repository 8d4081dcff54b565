//! Every target over its corpus, and over each file of it cut short, the commonest damage.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use procscope_fuzz::TARGETS;

/// How many cuts a file gets at most, evenly spread.
const CUTS: usize = 512;

fn names(dir: &str, of: impl Fn(&Path) -> Option<String>) -> BTreeSet<String> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join(dir);
    let entries = fs::read_dir(&dir).unwrap_or_else(|error| panic!("{}: {error}", dir.display()));
    entries.filter_map(|entry| of(&entry.unwrap().path())).collect()
}

#[test]
fn no_target_is_without_program_or_corpus() {
    let text = |name: &std::ffi::OsStr| name.to_str().unwrap().to_owned();
    let targets: BTreeSet<_> = TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(names("fuzz_targets", |path| path.file_stem().map(text)), targets);
    assert_eq!(names("corpus", |path| path.file_name().map(text)), targets);
}

#[test]
fn corpus_passes() {
    for (name, target) in TARGETS {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(name);
        let files: Vec<PathBuf> = fs::read_dir(&dir).unwrap().map(|entry| entry.unwrap().path()).collect();
        assert!(!files.is_empty(), "{name} has no corpus");
        for file in files {
            let data = fs::read(&file).unwrap();
            // Captured unless it panics: the file to look at.
            println!("{}", file.display());
            target(&data);
            (0..data.len()).step_by(data.len().div_ceil(CUTS).max(1)).for_each(|len| target(&data[..len]));
        }
    }
}

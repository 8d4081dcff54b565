//! What the documentation shows and promises of the API.

use procscope::{Error, Event, Events, Monitor, MonitorBuilder, StopHandle};

/// The ten lines that README.md and the crate's own page show are those of the example, which a test runs.
#[test]
fn the_sketch_is_the_same_everywhere() {
    let example = include_str!("../examples/sketch.rs");
    let (_, code) = example.split_once("\n\n").expect("a comment opens it");
    assert!(include_str!("../../../README.md").contains(&format!("```rust\n{code}```")));
    let comment: String = code.lines().map(|line| format!("//! {line}").trim_end().to_owned() + "\n").collect();
    assert!(include_str!("../src/lib.rs").contains(&format!("//! ```no_run\n{comment}//! ```")));
}

#[test]
fn what_goes_to_other_threads_can() {
    fn can_go<T: Send + 'static>() {}
    fn can_be_shared<T: Send + Sync + 'static>() {}
    can_go::<Monitor>();
    can_go::<Events>();
    can_be_shared::<MonitorBuilder>();
    can_be_shared::<StopHandle>();
    can_be_shared::<Event>();
    can_be_shared::<Error>();
    #[cfg(feature = "stream")]
    {
        fn can_move<T: Unpin>() {}
        can_go::<procscope::EventStream>();
        can_move::<procscope::EventStream>();
    }
}

/// A library does not know what its callers name their program.
#[test]
fn no_error_names_the_program() {
    use procscope::{Cause, Lack, Note, Obstacle, Remedy, SourceId};
    let roots = [SourceId::Ebpf, SourceId::Ptrace, SourceId::Tracefs];
    let remedies = [
        Remedy::Root,
        Remedy::RootUnconfined,
        Remedy::Unconfined,
        Remedy::AnySource,
        Remedy::Try,
        Remedy::NameCommand,
        Remedy::NameCgroup,
        Remedy::OpenFiles,
        Remedy::SystemFiles,
        Remedy::Limits,
        Remedy::Memory,
        Remedy::OtherSource { id: None },
    ];
    let mut texts = Vec::new();
    for (source_id, remedy) in roots.iter().flat_map(|&id| remedies.iter().map(move |remedy| (id, remedy.clone()))) {
        let obstacle = Obstacle::new(Lack::NoCommand { of: source_id }, Cause::NotConfigured, remedy);
        texts.push(Note::from(obstacle.clone()).to_string());
        texts.push(Error::Unavailable { source_id, obstacle: obstacle.clone() }.to_string());
        let failures = vec![Error::Unavailable { source_id, obstacle }];
        texts.push(Error::NoSourceWorks { failures }.to_string());
    }
    texts.push(Error::NoMechanism { os: "plan9", planned: "none" }.to_string());
    // Here too, whatever this system has.
    for info in procscope::sources() {
        texts.push(format!("{:?} {:?}", info.capabilities, info.verdict));
        texts.extend(
            Monitor::builder().source(info.id).command(["/no/such/program"]).build().err().map(|e| e.to_string()),
        );
    }
    for text in texts {
        assert!(!text.contains("procscope"), "{text}");
    }
}

/// The same of every string in the sources of the libraries, as far as users come to read it.
#[test]
fn no_string_names_the_program() {
    // The instance in tracefs, the committed object, and the name of the format.
    let meant = ["\"procscope\"", "procscope.bpfel.o", "An event of procscope"];
    for library in ["procscope", "procscope-model", "procscope-format"] {
        let mut folders = vec![format!("{}/../{library}/src", env!("CARGO_MANIFEST_DIR")).into()];
        while let Some(folder) = folders.pop() as Option<std::path::PathBuf> {
            for entry in std::fs::read_dir(&folder).unwrap().flatten() {
                let path = entry.path();
                if path.is_dir() {
                    folders.push(path);
                    continue;
                }
                let text = std::fs::read_to_string(&path).unwrap();
                let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
                let is_test = path.components().any(|part| part.as_os_str().to_string_lossy().starts_with("tests"));
                let lines = code.lines().filter(|line| !line.trim_start().starts_with("//") && !is_test);
                let names = |line: &&str| line.split('"').skip(1).step_by(2).any(|it| it.contains("procscope"));
                let mut strings = lines.filter(names).filter(|line| !meant.iter().any(|meant| line.contains(meant)));
                assert_eq!(strings.next(), None, "{}", path.display());
            }
        }
    }
}

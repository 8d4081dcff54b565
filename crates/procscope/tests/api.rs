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

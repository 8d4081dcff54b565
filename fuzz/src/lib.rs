//! The bodies of the fuzz targets: each takes any bytes, and panics where procscope is wrong. libFuzzer runs them
//! through `fuzz_targets/`, and `cargo test` over the committed corpus.

use std::str;

use procscope::EventSet;

/// A target's body.
pub type Target = fn(&[u8]);

/// Every target, by the name of its file in `fuzz_targets/` and of its directory in `corpus/`.
pub const TARGETS: &[(&str, Target)] = &[("cgroup", cgroup), ("decode_ebpf", decode_ebpf), ("event_set", event_set)];

/// A cgroup's path, which whoever may make cgroups chooses: the container and the unit are parts of it.
pub fn cgroup(data: &[u8]) {
    let Ok(path) = str::from_utf8(data) else { return };
    let (container, unit) = procscope::fuzzing::cgroup_identity(path);
    if let Some(id) = container {
        assert!(id.len() == 64 && id.bytes().all(|byte| byte.is_ascii_hexdigit()), "{id} is no container's id");
        assert!(path.contains(id));
    }
    if let Some(unit) = unit {
        assert!(unit.ends_with(".service") || unit.ends_with(".scope"), "{unit} is no unit");
        assert!(path.split('/').any(|name| name == unit));
    }
}

/// A record of the kernel's ring, of any kind and length.
pub fn decode_ebpf(data: &[u8]) {
    procscope::fuzzing::decode_ebpf(data);
}

/// The words of `--events`: what is read is written back as the same set.
pub fn event_set(data: &[u8]) {
    let Ok(list) = str::from_utf8(data) else { return };
    match list.parse::<EventSet>() {
        Ok(set) => {
            let words: Vec<_> = set.iter().map(|kind| kind.name()).collect();
            assert_eq!(words.join(",").parse(), Ok(set));
        }
        Err(error) => assert!(!error.to_string().contains(char::is_control), "an error that is unfit for a terminal"),
    }
}

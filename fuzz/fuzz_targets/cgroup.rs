//! See `procscope_fuzz::cgroup`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| procscope_fuzz::cgroup(data));

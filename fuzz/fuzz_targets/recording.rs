//! See `procscope_fuzz::recording`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| procscope_fuzz::recording(data));

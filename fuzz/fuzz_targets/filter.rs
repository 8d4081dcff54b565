//! See `procscope_fuzz::filter`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| procscope_fuzz::filter(data));

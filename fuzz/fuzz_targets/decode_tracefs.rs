//! See `procscope_fuzz::decode_tracefs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| procscope_fuzz::decode_tracefs(data));

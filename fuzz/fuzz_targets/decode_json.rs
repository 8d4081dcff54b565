//! See `procscope_fuzz::decode_json`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| procscope_fuzz::decode_json(data));

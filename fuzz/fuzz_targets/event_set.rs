//! See `procscope_fuzz::event_set`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| procscope_fuzz::event_set(data));

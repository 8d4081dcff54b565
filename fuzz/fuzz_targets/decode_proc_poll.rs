//! See `procscope_fuzz::decode_proc_poll`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| procscope_fuzz::decode_proc_poll(data));

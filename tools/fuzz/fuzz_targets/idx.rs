#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| ffwd_fuzz::targets::idx(data));

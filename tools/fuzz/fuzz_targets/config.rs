//! Fuzzes what reads configurations: `tools/fuzz/run 100000 config`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| ffwd_fuzz::targets::config(data));

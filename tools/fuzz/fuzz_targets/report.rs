//! Fuzzes what reads benchmark reports: `tools/fuzz/run 100000 report`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| ffwd_fuzz::targets::report(data));

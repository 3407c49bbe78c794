//! Fuzzes what reads files of images and labels: `tools/fuzz/run 100000 idx`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| ffwd_fuzz::targets::idx(data));

//! Fuzzes what reads packed files: `tools/fuzz/run 100000 gzip`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| ffwd_fuzz::targets::gzip(data));

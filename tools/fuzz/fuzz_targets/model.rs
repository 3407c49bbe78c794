//! Fuzzes what reads models: `tools/fuzz/run 100000 model`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| ffwd_fuzz::targets::model(data));

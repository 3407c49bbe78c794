//! Fuzzes what reads checkpoints: `tools/fuzz/run 100000 state`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| ffwd_fuzz::targets::state(data));

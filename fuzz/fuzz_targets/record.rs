//! Hands `bezant_fuzz`'s target `record` to libFuzzer.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| (bezant_fuzz::target("record").take)(bytes));

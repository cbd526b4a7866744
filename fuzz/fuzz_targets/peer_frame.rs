//! Hands `bezant_fuzz`'s target `peer-frame` to libFuzzer.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| (bezant_fuzz::target("peer-frame").take)(bytes));

//! Hands `bezant_fuzz`'s target `genesis` to libFuzzer.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| (bezant_fuzz::target("genesis").take)(bytes));

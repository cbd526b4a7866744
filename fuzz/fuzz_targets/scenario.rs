//! Hands `bezant_fuzz`'s target `scenario` to libFuzzer.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| (bezant_fuzz::target("scenario").take)(bytes));

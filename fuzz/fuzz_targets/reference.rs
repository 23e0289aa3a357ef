//! Arbitrary input for the law `reference`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| turnlock_fuzz::reference(input));

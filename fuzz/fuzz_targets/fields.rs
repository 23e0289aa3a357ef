//! Arbitrary input for the law `fields`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| turnlock_fuzz::fields(input));

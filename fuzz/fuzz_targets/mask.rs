//! Arbitrary input for the law `mask`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| turnlock_fuzz::mask(input));

//! Arbitrary input for the law `snapshot`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| turnlock_fuzz::snapshot(input));

//! Arbitrary input for the law `token`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| turnlock_fuzz::token(input));

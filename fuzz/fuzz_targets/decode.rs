//! Arbitrary input for the law `decode`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| turnlock_fuzz::decode(input));

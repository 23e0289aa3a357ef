//! Arbitrary input for the law `archive`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| turnlock_fuzz::archive(input));

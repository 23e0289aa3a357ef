//! Arbitrary input for the law `path`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| turnlock_fuzz::path(input));

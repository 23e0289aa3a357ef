//! Arbitrary input for the law `scan`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| turnlock_fuzz::scan(input));

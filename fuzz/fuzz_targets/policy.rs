//! Arbitrary input for the law `policy`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| turnlock_fuzz::policy(input));

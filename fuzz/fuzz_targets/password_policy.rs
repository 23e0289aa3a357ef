//! Arbitrary input for the law `password_policy`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| turnlock_fuzz::password_policy(input));

//! Arbitrary input for the law `webhook`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| turnlock_fuzz::webhook(input));

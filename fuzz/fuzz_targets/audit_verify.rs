//! Arbitrary input for the law `audit_verify`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| turnlock_fuzz::audit_verify(input));

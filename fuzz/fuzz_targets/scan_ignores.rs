//! Arbitrary input for the law `scan_ignores`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| turnlock_fuzz::scan_ignores(input));

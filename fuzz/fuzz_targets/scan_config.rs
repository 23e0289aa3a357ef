//! Arbitrary input for the law `scan_config`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| turnlock_fuzz::scan_config(input));

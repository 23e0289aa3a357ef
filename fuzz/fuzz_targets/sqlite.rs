//! Arbitrary input for the law `sqlite`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| turnlock_fuzz::sqlite(input));

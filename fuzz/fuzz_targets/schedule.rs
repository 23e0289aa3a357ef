//! Arbitrary input for the law `schedule`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| turnlock_fuzz::schedule(input));

//! Arbitrary input for the law `objects`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| turnlock_fuzz::objects(input));

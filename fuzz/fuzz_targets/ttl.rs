//! Arbitrary input for the law `ttl`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| turnlock_fuzz::ttl(input));

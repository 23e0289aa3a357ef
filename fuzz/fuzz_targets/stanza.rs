//! Arbitrary input for the law `stanza`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| turnlock_fuzz::stanza(input));

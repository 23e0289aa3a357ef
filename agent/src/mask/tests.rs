#![allow(clippy::unwrap_used, clippy::expect_used)]

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use proptest::prelude::*;
use turnlock_core::Protected;

use super::{MASK, Masker, Patterns, forms};

fn patterns(values: &[&[u8]]) -> std::sync::Arc<Patterns> {
    let values: Vec<_> = values.iter().map(|value| Protected::copy_of(value)).collect();
    Patterns::new(&values).unwrap()
}

fn masked(values: &[&[u8]], writes: &[&[u8]]) -> Vec<u8> {
    let mut masker = Masker::new(&patterns(values));
    let mut output = Vec::new();
    for write in writes {
        masker.write(write, &mut output);
    }
    masker.finish(&mut output);
    output
}

/// What masking means, said without an automaton.
fn masked_plainly(values: &[&[u8]], text: &[u8]) -> Vec<u8> {
    let mut covered = vec![false; text.len()];
    for form in values.iter().filter(|value| value.len() >= 4).flat_map(|value| forms::of(value)) {
        for start in 0..text.len() {
            if text[start..].starts_with(&form) {
                covered[start..start + form.len()].fill(true);
            }
        }
    }
    let mut output = Vec::new();
    for (index, byte) in text.iter().enumerate() {
        if !covered[index] {
            output.push(*byte);
        } else if index == 0 || !covered[index - 1] {
            output.extend_from_slice(MASK);
        }
    }
    output
}

const CANARY: &[u8] = b"tlk_canary_mask /?\"\\";

#[test]
fn every_common_form_is_masked() {
    let text = std::str::from_utf8(CANARY).unwrap();
    for form in [
        text.to_owned(),
        STANDARD.encode(CANARY),
        hex::encode(CANARY),
        hex::encode_upper(CANARY),
        "tlk_canary_mask%20%2F%3F%22%5C".to_owned(),
        "tlk_canary_mask+%2f%3f%22%5c".to_owned(),
        r#"tlk_canary_mask /?\"\\"#.to_owned(),
        r#"tlk_canary_mask \/?\"\\"#.to_owned(),
    ] {
        let line = format!("before {form} after\n");
        assert_eq!(masked(&[CANARY], &[line.as_bytes()]), b"before *** after\n", "{form}");
    }
}

#[test]
fn base64_is_masked_at_every_alignment() {
    for before in ["", "a", "ab", "abc", "user:"] {
        let mut text = before.as_bytes().to_vec();
        text.extend_from_slice(b"tlk_canary_aligned");
        let output = masked(&[b"tlk_canary_aligned"], &[STANDARD.encode(&text).as_bytes()]);
        assert!(output.ends_with(MASK) && output.len() <= before.len() * 8 / 6 + 2 + MASK.len(), "{before}");
    }
}

#[test]
fn each_line_of_a_value_is_masked_alone() {
    let value = b"-----BEGIN-----\ntlk_canary_line_one\ntlk_canary_line_two\n";
    assert_eq!(masked(&[value], &[b"x tlk_canary_line_two y"]), b"x *** y");
}

#[test]
fn a_prompt_that_begins_a_secret_appears_after_a_pause_and_the_secret_still_does_not() {
    let mut masker = Masker::new(&patterns(&[b": tlk_canary_prompt"]));
    let mut output = Vec::new();
    masker.write(b"password: ", &mut output);
    assert_eq!(output, b"password");
    masker.idle(&mut output);
    assert_eq!(output, b"password: ");
    for byte in b"tlk_canary_prompt" {
        masker.write(&[*byte], &mut output);
        masker.idle(&mut output);
    }
    masker.finish(&mut output);
    assert_eq!(output, b"password: t***");
}

#[test]
fn a_complete_secret_is_shown_as_masked_at_once() {
    let mut masker = Masker::new(&patterns(&[b"tlk_canary_end"]));
    let mut output = Vec::new();
    masker.write(b"tlk_canary_end", &mut output);
    assert_eq!(output, MASK);
}

#[test]
fn short_values_are_counted_and_left_alone() {
    assert_eq!(patterns(&[b"abc"]).unmasked(), 1);
    assert_eq!(masked(&[b"abc"], &[b"xabcx"]), b"xabcx");
}

proptest! {
    #[test]
    fn masking_depends_on_the_text_and_not_on_the_writes(
        secrets in prop::collection::vec("[ab]{4,7}", 1..3),
        text in "[abc]{0,80}",
        cuts in prop::collection::vec(0usize..80, 0..12),
        single in any::<bool>(),
    ) {
        let values: Vec<_> = secrets.iter().map(|secret| secret.as_bytes()).collect();
        let expected = masked_plainly(&values, text.as_bytes());
        let mut cuts = if single { (0..text.len()).collect() } else { cuts };
        cuts.retain(|cut| *cut <= text.len());
        cuts.extend([0, text.len()]);
        cuts.sort_unstable();
        let writes: Vec<_> = cuts.windows(2).map(|cut| &text.as_bytes()[cut[0]..cut[1]]).collect();
        let output = masked(&values, &writes);
        prop_assert_eq!(&output, &expected);
        for form in values.iter().flat_map(|value| forms::of(value)) {
            prop_assert!(!output.windows(form.len()).any(|window| window == form.as_slice()));
        }
    }

    #[test]
    fn encoded_secrets_do_not_survive_between_random_bytes(
        secret in prop::collection::vec(any::<u8>(), 12..80),
        before in prop::collection::vec(any::<u8>(), 0..5),
        after in prop::collection::vec(any::<u8>(), 0..5),
    ) {
        let whole = [before.as_slice(), &secret, &after].concat();
        let encoded = STANDARD.encode(&whole);
        let output = masked(&[&secret], &[encoded.as_bytes()]);
        // At most the characters that depend on neighbours are left at each end.
        prop_assert!(output.len() <= (before.len() + after.len()).div_ceil(3) * 4 + 8 + MASK.len());
        prop_assert!(output.windows(3).any(|window| window == MASK));
    }

    #[test]
    fn text_without_secrets_passes_unchanged(text in prop::collection::vec(any::<u8>(), 0..300)) {
        prop_assert_eq!(masked(&[b"tlk_canary_absent_from_random_bytes"], &[&text]), text);
    }
}

//! What the matcher finds and what it passes over.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]
use proptest::prelude::*;

use super::{Hit, Matcher};
use crate::catalogue::{Catalogue, Written};
use crate::rule;

fn matcher() -> &'static Matcher {
    static MATCHER: std::sync::OnceLock<Matcher> = std::sync::OnceLock::new();
    MATCHER.get_or_init(|| Matcher::new(rule::built_in()))
}

/// The rules as they are written, with their samples.
fn written() -> Vec<Written> {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/rules");
    let files = std::fs::read_dir(folder).unwrap().map(|file| std::fs::read_to_string(file.unwrap().path()).unwrap());
    files.flat_map(|text| toml::from_str::<Catalogue>(&text).unwrap().rules().collect::<Vec<_>>()).collect()
}

/// The samples that must be found, each with the id of its rule.
fn samples() -> Vec<(String, String)> {
    let joined =
        |rule: &Written| rule.positive.iter().map(|parts| (rule.id.to_string(), parts.concat())).collect::<Vec<_>>();
    written().iter().flat_map(joined).collect()
}

fn ids(hits: &[Hit]) -> Vec<&str> {
    hits.iter().map(|hit| matcher().rules()[hit.rule].id.as_ref()).collect()
}

#[test]
fn every_rule_compiles_and_has_samples_of_both_kinds() {
    let mut seen = std::collections::BTreeSet::new();
    for rule in written() {
        assert!(!rule.positive.is_empty() && !rule.negative.is_empty(), "{} lacks samples", rule.id);
    }
    assert_eq!(matcher().rules().len(), written().len());
    for rule in matcher().rules() {
        rule.verify().unwrap();
        assert!(seen.insert(&rule.id), "{} occurs twice", rule.id);
        assert!(
            rule.keywords.iter().all(|keyword| *keyword == keyword.to_ascii_lowercase()),
            "{}: keywords in lower case",
            rule.id
        );
        assert!((0.0..1.0).contains(&rule.certainty), "{}: only the store is certain", rule.id);
    }
}

#[test]
fn words_that_do_not_exist_are_refused_when_a_catalogue_is_read() {
    let with = |line: &str| {
        let rule = "id = \"a\"\ndescription = \"a\"\nkeywords = [\"a\"]\npattern = \"a\"\ncertainty = 0.5\n";
        rule::parse(&format!("[[rule]]\n{rule}{line}\n"))
    };
    assert!(with("check = \"jwt\"").is_ok() && with("setting = \"password\"").is_ok());
    for wrong in ["check = \"no-such-check\"", "setting = \"no-such-kind\"", "chekc = \"jwt\""] {
        assert!(with(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn every_rule_finds_its_positive_samples() {
    let missed: Vec<_> = samples()
        .into_iter()
        .map(|(id, text)| (ids(&matcher().hits(text.as_bytes())).join(" "), id, text))
        .filter(|(hits, id, _)| !hits.split(' ').any(|hit| hit == id))
        .collect();
    assert!(missed.is_empty(), "(found instead, rule, text): {missed:#?}");
}

#[test]
fn no_rule_finds_its_negative_samples() {
    let mut wrong = Vec::new();
    for rule in written() {
        for text in rule.negative.iter().map(|parts| parts.concat()) {
            if ids(&matcher().hits(text.as_bytes())).contains(&rule.id.as_ref()) {
                wrong.push((rule.id.clone(), text));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn a_specific_rule_beats_a_generic_one_on_the_same_place() {
    let (_, token) = samples().into_iter().find(|(id, _)| id == "digitalocean-token").unwrap();
    let hits = matcher().hits(format!("api_key = \"{token}\"").as_bytes());
    assert_eq!(ids(&hits), ["digitalocean-token"]);
}

#[test]
fn a_wrong_checksum_is_doubted_and_a_right_one_is_proof() {
    let texts: Vec<String> =
        samples().into_iter().filter(|(id, _)| id == "github-token").map(|(_, text)| text).collect();
    let verdicts: Vec<_> = texts.iter().map(|text| matcher().hits(text.as_bytes())[0].tag).collect();
    assert_eq!(verdicts, [Some("checksum:passed"), Some("checksum:passed"), Some("checksum:failed")]);
}

#[test]
fn words_are_a_password_only_where_they_surely_are_data() {
    for text in ["APP_AUTH_PASSWORD=whiteduke\n", "if creds.secret != \"open-sesame\" {", "password === 'opensesame'"] {
        assert_eq!(matcher().hits(text.as_bytes()).len(), 1, "{text}");
    }
    for text in ["password: whiteduke\n", "creds.secret = \"open-sesame\"", "auth_password = whiteduke()\n"] {
        assert_eq!(matcher().hits(text.as_bytes()), [], "{text}");
    }
}

#[test]
fn what_was_typed_is_doubted_and_behind_a_known_prefix_an_example() {
    let typed = ["a1b2c3d4e5", "f6g7h8i9j0k1l2m3n4"].concat();
    let hits = matcher().hits(format!("api_key = \"{typed}\"").as_bytes());
    assert_eq!((hits.len(), hits[0].tag), (1, Some("example")));
    assert_eq!(matcher().hits(format!("api_key = \"sk_{typed}\"").as_bytes()), []);
}

#[test]
fn a_token_in_a_line_of_a_megabyte_is_found() {
    // Each takes a scan of a megabyte: some of many.
    for (id, token) in samples().into_iter().step_by(31) {
        if token.contains('\n') || id.starts_with("generic") || id == "pgpass-password" {
            continue;
        }
        let text = format!("{} {token} {}", "var a=1;".repeat(60_000), "function(b){}".repeat(40_000));
        assert!(ids(&matcher().hits(text.as_bytes())).contains(&id.as_str()), "{id}");
    }
}

#[test]
fn two_secrets_in_one_line_are_two_findings() {
    let tokens: Vec<String> =
        samples().into_iter().filter(|(id, _)| id == "gitlab-token").map(|(_, text)| text).collect();
    assert_eq!(matcher().hits(tokens.join(" ").as_bytes()).len(), tokens.len());
}

/// Lines of noise, code and samples, whole or cut.
fn texts() -> impl Strategy<Value = Vec<u8>> {
    let samples: Vec<Vec<u8>> = samples().into_iter().map(|(_, text)| text.into_bytes()).collect();
    let names: Vec<_> = matcher().rules().iter().flat_map(|rule| rule.keywords.iter().cloned()).collect();
    let named = (proptest::sample::select(names), "[ -~]{0,50}", "([0-9a-f]{32}|[0-9A-Za-z]{40})[ '\"/=.]?")
        .prop_map(|(name, gap, value)| [name.as_ref(), gap.as_str(), value.as_str()].concat().into_bytes());
    let line = prop_oneof![
        1 => named,
        4 => proptest::sample::select(samples.clone()),
        2 => (proptest::sample::select(samples), any::<proptest::sample::Index>()).prop_map(|(text, at)| text[..at.index(text.len() + 1)].to_vec()),
        1 => "[ -~]{0,80}".prop_map(String::into_bytes),
        1 => "(password|api_key|token|secret|key)[ ]?[=:][ ]?[\"']?[A-Za-z0-9!$]{4,40}[\"']?".prop_map(String::into_bytes),
        1 => proptest::collection::vec(any::<u8>(), 0..60),
    ];
    let gap = prop_oneof![Just(&b"\n"[..]), Just(&b" "[..]), Just(&b"\r\n"[..]), Just(&b""[..])];
    proptest::collection::vec((line, gap), 0..12)
        .prop_map(|pieces| pieces.into_iter().flat_map(|(line, gap)| [line, gap.to_vec()].concat()).collect())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 192, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_prefilter_loses_and_adds_nothing(text in texts()) {
        let (with, without) = (matcher().hits(&text), matcher().hits_by_brute_force(&text));
        prop_assert!(with == without, "{:?}\n{with:?}\n{without:?}", String::from_utf8_lossy(&text));
    }

    #[test]
    fn any_bytes_have_an_answer_within_bounds(text in proptest::collection::vec(any::<u8>(), 0..2000)) {
        for hit in matcher().hits(&text) {
            prop_assert!(hit.span.end <= text.len() && hit.span.start <= hit.secret.start && hit.secret.end <= hit.span.end);
        }
    }
}

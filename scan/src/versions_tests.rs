//! Whether a version of which only the new lines are matched shows the same as one that is matched whole.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use proptest::prelude::*;

use super::{Spot, Trace, Versions};
use crate::coverage::Coverage;
use crate::delta::Copied;
use crate::forest::Descent;
use crate::scanner::{Options, Scanner};
use crate::seen::Seen;

/// Lines with credentials, names that speak for the next line, openings of blocks, and plain ones.
fn line() -> impl Strategy<Value = String> {
    let hex = "[0-9a-f]{64}";
    prop_oneof![
        3 => Just(String::new()),
        4 => "[a-z ]{0,30}",
        2 => hex.prop_map(|hex| format!("{}{}{hex}", "dop_", "v1_")),
        2 => "[A-Za-z0-9]{30}".prop_map(|value| format!("api_key = \"{value}\"")),
        1 => Just("adafruit key:".to_owned()),
        1 => "[0-9a-f]{32}".prop_map(|hex| format!("  \"{hex}\"")),
        1 => Just("kind: Secret".to_owned()),
        1 => "[A-Za-z0-9]{16}".prop_map(|value| format!("  password: {value}")),
        1 => Just(format!("-----BEGIN RSA {} KEY-----", "PRIVATE")),
        1 => Just("<add key=\"Token\"".to_owned()),
        1 => "[A-Za-z0-9]{24}".prop_map(|value| format!("     value=\"{value}\"")),
        1 => Just("<password>".to_owned()),
        1 => "[A-Za-z0-9]{14}".prop_map(|value| format!("  {value}")),
        1 => Just("</password>".to_owned()),
        1 => Just("set_secret(\"token\",".to_owned()),
        1 => "(Key|Nonce|Tag|PT) = [0-9a-f]{64}",
        1 => Just("variable \"db_password\" {".to_owned()),
        1 => "[A-Za-z0-9]{14}".prop_map(|value| format!("  default = \"{value}\"")),
        1 => Just("user: joe".to_owned()),
        1 => "[a-z]{8}".prop_map(|value| format!("password: {value}")),
        3 => "[a-z ]{400,700}",
        1 => (2048usize..4096).prop_map(|bytes| format!("# {}", "a comment ".repeat(bytes / 10))),
        1 => "[a-z]{12}".prop_map(|word| format!("token: {word} # gitleaks:allow")),
    ]
}

fn lines() -> impl Strategy<Value = String> {
    prop::collection::vec(line(), 0..24).prop_map(|lines| lines.join("\n"))
}

#[derive(Debug, Clone)]
enum Piece {
    /// A part of the base, in thousandths of its length.
    Copy(usize, usize),
    Insert(String),
}

fn piece() -> impl Strategy<Value = Piece> {
    prop_oneof![
        3 => (0usize..=1000, 0usize..=1000).prop_map(|(a, b)| Piece::Copy(a.min(b), a.max(b))),
        1 => (line(), any::<bool>(), any::<bool>()).prop_map(|(line, before, after)| {
            Piece::Insert(format!("{}{line}{}", if before { "\n" } else { "" }, if after { "\n" } else { "" }))
        }),
    ]
}

fn version(base: &str, pieces: &[Piece]) -> (String, Vec<Copied>) {
    let (mut text, mut copied) = (String::new(), Vec::new());
    for piece in pieces {
        match piece {
            Piece::Copy(from, to) => {
                let (from, to) = (base.len() * from / 1000, base.len() * to / 1000);
                copied.push(Copied { base: from, version: text.len(), length: to - from });
                text.push_str(&base[from..to]);
            }
            Piece::Insert(line) => text.push_str(line),
        }
    }
    (text, copied)
}

fn sorted(mut spots: Vec<Spot>) -> Vec<(usize, usize, u32)> {
    spots.sort_unstable_by_key(|spot| (spot.start, spot.end, spot.mark));
    spots.into_iter().map(|spot| (spot.start, spot.end, spot.mark)).collect()
}

/// As many as the environment asks for.
fn cases() -> u32 {
    std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(512)
}

#[test]
fn what_speaks_against_a_value_is_seen_behind_a_long_line() {
    let scanner = Scanner::new(Options::usual()).unwrap();
    let seen = Seen::default();
    let versions = Versions::new(&scanner, &seen, 0);
    let id = gix::ObjectId::null(gix::hash::Kind::Sha1);
    let look = |text: &str, from: Option<Descent<'_, Trace>>| {
        versions.look(&id, text.as_bytes(), from, &mut Coverage::default())
    };
    let plain = format!("{}\n", "plain words ".repeat(6)).repeat(5);
    let hex = |part: &str| part.repeat(8);
    let key = format!("{plain}Key = {}\n", ["9f3c1a7e", "5b2d8064", "c1e97f3a", "20d4b86e"].concat());
    assert_eq!(look(&key, None).0.len(), 1, "by itself it is a key");
    let vector = format!("# {}\nNonce = {}\nTag = {}\n", "a comment ".repeat(210), hex("8b9cadbe"), hex("cfdaebfc"));
    let base = format!("{key}{vector}{plain}{plain}");
    let (spots, lines) = look(&base, None);
    assert!(spots.is_empty() && lines);
    let text = format!("new\n{base}");
    let copied = [Copied { base: 0, version: 4, length: base.len() }];
    let trace = Trace::Lines(spots);
    let descent = Descent { trace: &trace, base: base.as_bytes(), copied: &copied };
    assert_eq!(look(&text, Some(descent)), look(&text, None));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(cases()))]
    #[test]
    fn what_new_lines_show_is_what_the_whole_version_shows(
        base in lines(),
        edits in prop::collection::vec(prop::collection::vec(piece(), 0..6), 1..4),
    ) {
        thread_local! {
            static SCANNER: Scanner = Scanner::new(Options::usual()).unwrap();
        }
        SCANNER.with(|scanner| {
            let seen = Seen::default();
            let versions = Versions::new(scanner, &seen, 0);
            let id = gix::ObjectId::null(gix::hash::Kind::Sha1);
            let look = |text: &[u8], from: Option<Descent<'_, Trace>>| {
                versions.look(&id, text, from, &mut Coverage::default())
            };
            let mut base = base;
            let (spots, lines) = look(base.as_bytes(), None);
            let mut trace = if lines { Trace::Lines(spots) } else { Trace::Whole };
            for pieces in edits {
                let (text, copied) = version(&base, &pieces);
                let descent = Descent { trace: &trace, base: base.as_bytes(), copied: &copied };
                let (spots, lines) = look(text.as_bytes(), Some(descent));
                let (whole, whole_lines) = look(text.as_bytes(), None);
                prop_assert_eq!(sorted(spots.clone()), sorted(whole), "{:?} of {:?}", text, base);
                prop_assert_eq!(lines, whole_lines);
                trace = if lines { Trace::Lines(spots) } else { Trace::Whole };
                base = text;
            }
            Ok(())
        })?;
    }
}

//! What a scan prints, in each format.

use proptest::prelude::*;
use turnlock_scan::baseline::Baseline;
use turnlock_scan::report::{Redaction, write_json, write_summary, write_text};
use turnlock_scan::{Options, Outcome, Report, Scanner};

use crate::{Repository, scanner, token};

fn json(report: &Report, redaction: Redaction) -> String {
    let mut bytes = Vec::new();
    write_json(report, redaction, &mut bytes).unwrap();
    String::from_utf8(bytes).unwrap()
}

fn text(report: &Report) -> String {
    let mut bytes = Vec::new();
    write_text(report, Redaction::FULL, false, &mut bytes).unwrap();
    write_summary(report, &mut bytes).unwrap();
    String::from_utf8(bytes).unwrap()
}

#[test]
fn json_has_the_fields_order_and_columns_of_the_contract() {
    let report = scanner().scan_bytes("a<b", format!("first\n{}\n", token(1)).as_bytes());
    let text = json(&report, Redaction::percent(0));
    let expected = [
        "[\n {\n  \"RuleID\": \"digitalocean-token\",",
        "\n  \"StartLine\": 2,\n  \"EndLine\": 2,\n  \"StartColumn\": 2,\n  \"EndColumn\": 72,",
        &format!("\n  \"Match\": \"{0}\",\n  \"Secret\": \"{0}\",", token(1)),
        "\n  \"File\": \"a\\u003cb\",\n  \"SymlinkFile\": \"\",\n  \"Commit\": \"\",\n  \"Entropy\": ",
        ",\n  \"Author\": \"\",\n  \"Email\": \"\",\n  \"Date\": \"\",\n  \"Message\": \"\",\n  \"Tags\": [],\n  \"Fingerprint\": \"a\\u003cb:digitalocean-token:2\"",
        "\n }\n]\n",
    ];
    let mut rest = text.as_str();
    for part in expected {
        let at = rest.find(part).unwrap_or_else(|| panic!("{part} is not next in {rest}"));
        rest = &rest[at + part.len()..];
    }
    assert!(rest.is_empty());
    assert_eq!(json(&Report::default(), Redaction::FULL), "[]\n");
}

#[test]
fn credentials_are_redacted_in_every_field_unless_told() {
    let repository = Repository::new();
    repository.write("file", &format!("TOKEN={}\n", token(2)));
    repository.commit(&format!("use {}", token(2)), "2026-03-02T10:00:00Z");
    let report = scanner().scan_history(repository.path()).unwrap();
    let hidden = json(&report, Redaction::FULL);
    assert!(
        !hidden.contains(&token(2)) && hidden.contains("\"Message\": \"(withheld: it holds a credential)\""),
        "{hidden}"
    );
    assert!(!text(&report).contains(&token(2)));
    assert!(json(&report, Redaction::percent(0)).contains(&token(2)));
    let half = json(&report, Redaction::percent(50));
    assert!(half.contains(&format!("\"Secret\": \"{}...\"", &token(2)[..36])), "{half}");
}

#[test]
fn hostile_names_reach_no_terminal() {
    let repository = Repository::new();
    repository.write("a\u{1b}]0;x\u{7}\nb\u{202e}\u{9b}", &token(3));
    repository.commit("x", "2026-03-02T10:00:00Z");
    let report = scanner().scan_all(repository.path()).unwrap();
    for output in [json(&report, Redaction::FULL), text(&report)] {
        assert!(output.chars().all(|char| char == '\n' || !(char.is_control() || char == '\u{202e}')), "{output:?}");
    }
    let back: serde_json::Value = serde_json::from_str(&json(&report, Redaction::FULL)).unwrap();
    assert_eq!(back[0]["File"], "a\u{1b}]0;x\u{7}\nb\u{202e}\u{9b}");
}

#[test]
fn an_old_report_is_a_baseline_redacted_or_not() {
    let old = scanner().scan_bytes("f", format!("{}\n", token(4)).as_bytes());
    for redaction in [Redaction::FULL, Redaction::percent(0), Redaction::percent(40)] {
        let mut options = Options::usual();
        options.baseline = Baseline::parse(json(&old, redaction).as_bytes()).unwrap();
        let scanner = Scanner::new(options).unwrap();
        assert_eq!(scanner.scan_bytes("f", format!("{}\n", token(4)).as_bytes()).outcome(), Outcome::Clean);
        assert_eq!(scanner.scan_bytes("f", format!("{}\n{}\n", token(4), token(5)).as_bytes()).findings.len(), 1);
        assert_eq!(scanner.scan_bytes("g", format!("{}\n", token(4)).as_bytes()).findings.len(), 1);
    }
    assert!(Baseline::parse(b"{}").is_err());
}

#[test]
fn an_earlier_report_in_the_tree_is_left_out_when_named() {
    let folder = tempfile::tempdir().unwrap();
    let old = folder.path().join("report.json");
    std::fs::write(&old, token(6)).unwrap();
    assert_eq!(scanner().scan_tree(folder.path()).unwrap().findings.len(), 1);
    let mut options = Options::usual();
    options.leave_out = vec![old];
    assert_eq!(Scanner::new(options).unwrap().scan_tree(folder.path()).unwrap().outcome(), Outcome::Clean);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_under_any_name_make_a_readable_report(
        bytes in proptest::collection::vec(any::<u8>(), 0..600),
        name in any::<String>(),
        at in any::<proptest::sample::Index>(),
        percent in any::<u8>(),
    ) {
        let mut bytes = bytes;
        let at = at.index(bytes.len() + 1);
        bytes.splice(at..at, format!(" {} ", token(7)).into_bytes());
        let report = scanner().scan_bytes(&name, &bytes);
        let rows: serde_json::Value = serde_json::from_str(&json(&report, Redaction::percent(percent))).unwrap();
        prop_assert_eq!(rows.as_array().map(Vec::len), Some(report.findings.len()));
        prop_assert!(text(&report).chars().all(|char| char == '\n' || !char.is_control()));
    }
}

#[test]
fn two_scans_give_the_same_report() {
    let repository = Repository::new();
    for number in 0..30 {
        repository.write(
            &format!("folder{}/file{number}", number % 4),
            &format!("{}\nx={}\n", token(number), token(number / 2)),
        );
    }
    repository.commit("many", "2026-03-02T10:00:00Z");
    let first = json(&scanner().scan_all(repository.path()).unwrap(), Redaction::FULL);
    for _ in 0..3 {
        assert_eq!(json(&scanner().scan_all(repository.path()).unwrap(), Redaction::FULL), first);
    }
}

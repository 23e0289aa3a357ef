//! The forms of a report beside gitleaks' JSON: each is read back by what reads such files.

use proptest::prelude::*;
use serde_json::Value;
use turnlock_scan::report::{self, Redaction};
use turnlock_scan::{Options, Report, Scanner};

use crate::{Repository, scanner, token};

type Write = fn(&Report, Redaction, &mut Vec<u8>) -> std::io::Result<()>;

const FORMATS: [(&str, Write); 6] = [
    ("json", report::write_json),
    ("full", report::write_full_json),
    ("csv", report::write_csv),
    ("junit", report::write_junit),
    ("sarif", report::write_sarif),
    ("html", report::write_html),
];

fn written(report: &Report, redaction: Redaction, format: &str) -> String {
    let write = FORMATS.iter().find(|(name, _)| *name == format).unwrap().1;
    let mut bytes = Vec::new();
    write(report, redaction, &mut bytes).unwrap();
    String::from_utf8(bytes).unwrap()
}

/// A repository with one credential in two files and commits, and another.
fn repository() -> (Repository, String) {
    let repository = Repository::new();
    repository.write("a b/first.env", &format!("A=1\nTOKEN={}\n", token(1)));
    let first = repository.commit("Add \"it\", <b>\n\nwith a body", "2026-03-02T10:00:00Z");
    repository.write("second.env", &format!("TOKEN={}\nOTHER={}\n", token(1), token(2)));
    repository.commit("=cmd()", "2026-03-03T10:00:00Z");
    (repository, first)
}

#[test]
fn values_separated_by_commas_have_the_columns_of_the_contract() {
    let (repository, first) = repository();
    let report = scanner().scan_history(repository.path()).unwrap();
    let csv = written(&report, Redaction::FULL, "csv");
    assert_eq!(
        csv.lines().next().unwrap(),
        "RuleID,Commit,File,SymlinkFile,Secret,Match,StartLine,EndLine,StartColumn,EndColumn,Author,Message,Date,Email,Fingerprint,Tags"
    );
    let mut reader = csv::Reader::from_reader(csv.as_bytes());
    let rows: Vec<csv::StringRecord> = reader.records().map(Result::unwrap).collect();
    assert_eq!(rows.len(), 3);
    let row: Vec<&str> = rows[0].iter().collect();
    assert_eq!(
        row,
        [
            "digitalocean-token",
            &first,
            "a b/first.env",
            "",
            "REDACTED",
            "REDACTED",
            "2",
            "2",
            "8",
            "78",
            "Ada",
            "Add \"it\", <b>\n\nwith a body",
            "2026-03-02T10:00:00Z",
            "ada@host.test",
            &format!("{first}:a b/first.env:digitalocean-token:2"),
            ""
        ]
    );
    assert_eq!(&rows[1][11], "'=cmd()", "a spreadsheet must not compute a message");
    assert_eq!(written(&Report::default(), Redaction::FULL, "csv"), "");
}

#[test]
fn junit_has_a_failed_test_for_each_finding() {
    let (repository, first) = repository();
    let report = scanner().scan_history(repository.path()).unwrap();
    let junit = written(&report, Redaction::FULL, "junit");
    assert!(junit.starts_with("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites>\n\t<testsuite failures=\"3\" name=\"turnlock\" tests=\"3\" time=\"\">"), "{junit}");
    let name = format!("digitalocean-token has detected a secret in file a b/first.env, line 2, at commit {first}.");
    assert!(junit.contains(&format!("file=\"a b/first.env\" name=\"{name}\" time=\"\">")), "{junit}");
    assert!(junit.contains("&quot;RuleID&quot;: &quot;digitalocean-token&quot;"), "{junit}");
    let none = written(&Report::default(), Redaction::FULL, "junit");
    assert!(none.contains("failures=\"0\""), "{none}");
}

#[test]
fn sarif_has_the_structure_of_the_standard() {
    let (repository, first) = repository();
    let scanner = scanner();
    let report = scanner.scan_history(repository.path()).unwrap();
    let text = written(&report, Redaction::FULL, "sarif");
    let sarif: Value = serde_json::from_str(&text).unwrap();
    check_sarif(&sarif);
    let run = &sarif["runs"][0];
    assert_eq!(run["tool"]["driver"]["rules"].as_array().unwrap().len(), scanner.rules().len());
    assert_eq!(run["results"].as_array().unwrap().len(), 3);
    let result = &run["results"][0];
    assert_eq!(result["ruleId"], "digitalocean-token");
    assert_eq!(result["partialFingerprints"]["commitSha"], first.as_str());
    let location = &result["locations"][0]["physicalLocation"];
    assert_eq!(location["artifactLocation"]["uri"], "a%20b/first.env");
    let mut short = report;
    short.name_only_rules_that_found();
    let short: Value = serde_json::from_str(&written(&short, Redaction::FULL, "sarif")).unwrap();
    check_sarif(&short);
    assert_eq!(short["runs"][0]["tool"]["driver"]["rules"].as_array().unwrap().len(), 1);
    // The token stands in columns 7 to 77 of line 2; the end is excluded.
    assert_eq!(
        location["region"],
        serde_json::json!({"startLine": 2, "startColumn": 7, "endLine": 2, "endColumn": 78, "snippet": {"text": "REDACTED"}})
    );
}

/// What the standard asks of the parts that are written (SARIF 2.1.0, §3.13 to §3.30).
fn check_sarif(sarif: &Value) {
    assert_eq!(
        (&sarif["version"], &sarif["$schema"]),
        (&"2.1.0".into(), &"https://json.schemastore.org/sarif-2.1.0.json".into())
    );
    let runs = sarif["runs"].as_array().unwrap();
    assert_eq!(runs.len(), 1);
    let driver = &runs[0]["tool"]["driver"];
    assert_eq!(driver["name"], "turnlock");
    let rules: Vec<&str> =
        driver["rules"].as_array().unwrap().iter().map(|rule| rule["id"].as_str().unwrap()).collect();
    assert!(
        driver["rules"]
            .as_array()
            .unwrap()
            .iter()
            .all(|rule| !rule["shortDescription"]["text"].as_str().unwrap().is_empty())
    );
    assert!(runs[0]["invocations"][0]["executionSuccessful"].is_boolean());
    for notification in runs[0]["invocations"][0]["toolExecutionNotifications"].as_array().unwrap() {
        assert!(notification["message"]["text"].is_string() && notification["level"] == "warning");
    }
    for result in runs[0]["results"].as_array().unwrap() {
        assert!(!result["message"]["text"].as_str().unwrap().is_empty());
        assert!(rules.contains(&result["ruleId"].as_str().unwrap()));
        assert!(["error", "warning"].contains(&result["level"].as_str().unwrap()));
        assert!(result["partialFingerprints"].as_object().unwrap().values().all(Value::is_string));
        let location = &result["locations"][0]["physicalLocation"];
        let uri = location["artifactLocation"]["uri"].as_str().unwrap();
        assert!(uri.bytes().all(|byte| byte.is_ascii_graphic() && !b"\"<>\\^`{|}[]#?".contains(&byte)), "{uri}");
        if let Some(region) = location.get("region") {
            let number = |name: &str| region[name].as_u64().unwrap();
            let (start, end) = ((number("startLine"), number("startColumn")), (number("endLine"), number("endColumn")));
            assert!(start.0 >= 1 && start.1 >= 1 && start < end, "{region}");
        }
    }
}

#[test]
fn the_full_report_has_each_credential_once_with_its_places() {
    let (repository, first) = repository();
    let mut options = Options::usual();
    options.max_bytes = 200;
    std::fs::write(repository.path().join("large"), "x".repeat(300)).unwrap();
    let report = Scanner::new(options).unwrap().scan_all(repository.path()).unwrap();
    let full: Value = serde_json::from_str(&written(&report, Redaction::FULL, "full")).unwrap();
    let findings = full["findings"].as_array().unwrap();
    assert_eq!(findings.len(), 2);
    let places = findings[0]["places"].as_array().unwrap();
    assert_eq!(places.len(), 2);
    assert_eq!((&places[0]["file"], &places[1]["file"]), (&"a b/first.env".into(), &"second.env".into()));
    assert_eq!(places[0]["commit"]["id"], first.as_str());
    assert_eq!(findings[0]["secret"], "REDACTED");
    assert_eq!(full["coverage"]["partial"], true);
    assert_eq!(full["coverage"]["omissions"][0]["what"], "large");
    assert_eq!(full["coverage"]["omissions"][0]["why"], "larger than 200 bytes");
}

#[test]
fn no_form_shows_a_credential_unless_told() {
    let (repository, _) = repository();
    let report = scanner().scan_history(repository.path()).unwrap();
    for (name, _) in FORMATS {
        assert!(!written(&report, Redaction::FULL, name).contains(&token(1)), "{name}");
        assert!(written(&report, Redaction::percent(0), name).contains(&token(1)), "{name}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_name_makes_well_formed_reports(name in any::<String>(), around in any::<String>()) {
        let report = scanner().scan_bytes(&name, format!("{around} {} {around}", token(3)).as_bytes());
        prop_assert!(!report.findings.is_empty());
        check_sarif(&serde_json::from_str(&written(&report, Redaction::FULL, "sarif")).unwrap());
        let full: Value = serde_json::from_str(&written(&report, Redaction::FULL, "full")).unwrap();
        prop_assert!(full["findings"].is_array());
        let csv = written(&report, Redaction::FULL, "csv");
        let mut rows = csv::Reader::from_reader(csv.as_bytes());
        prop_assert_eq!(rows.records().filter(Result::is_ok).count(), report.findings.len());
        let junit = written(&report, Redaction::FULL, "junit");
        let mut xml = quick_xml::Reader::from_str(&junit);
        loop {
            match xml.read_event() {
                Ok(quick_xml::events::Event::Eof) => break,
                Ok(_) => {}
                Err(error) => prop_assert!(false, "{error}: {junit}"),
            }
        }
        let html = written(&report, Redaction::FULL, "html");
        prop_assert!(html.chars().all(|char| char == '\n' || !char.is_control()));
        prop_assert!(!html.to_lowercase().contains("<script"));
    }
}

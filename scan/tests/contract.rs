//! What gitleaks 8.30.1 answered, recorded case by case in `contract.json`: a configuration, the files that were scanned,
//! and the report. This scanner must give the same.

use proptest::prelude::*;
use serde::Deserialize;
use serde_json::Value;
use turnlock_scan::config::{Config, source};
use turnlock_scan::report::{Redaction, write_json};
use turnlock_scan::{Options, Outcome, Scanner};

#[derive(Deserialize)]
struct Case {
    name: String,
    config: String,
    files: std::collections::BTreeMap<String, String>,
    args: Vec<String>,
    /// Rule, description, lines, columns, match, secret, file, entropy, tags, name.
    #[serde(default)]
    findings: Vec<Vec<Value>>,
    #[serde(default)]
    refused: bool,
    exit: i32,
}

const KEYS: [&str; 12] = [
    "RuleID",
    "Description",
    "StartLine",
    "EndLine",
    "StartColumn",
    "EndColumn",
    "Match",
    "Secret",
    "File",
    "Entropy",
    "Tags",
    "Fingerprint",
];

/// The findings, or why the configuration was refused.
fn run(case: &Case) -> Result<Vec<Vec<Value>>, String> {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        path
    };
    let config = write("config.toml", &case.config);
    for (name, text) in &case.files {
        write(&format!("tree/{name}"), text);
        // Files that are extended lie beside the one that names them.
        if name.ends_with(".toml") {
            write(name, text);
        }
    }
    let mut options = Options::usual();
    options.config = source::of_file(&config).map_err(|error| error.to_string())?;
    let mut redaction = Redaction::percent(0);
    let mut args = case.args.iter().map(String::as_str);
    while let Some(arg) = args.next() {
        match arg {
            "--ignore-gitleaks-allow" => options.honour_comments = false,
            "--enable-rule" => options.only_rules.push(args.next().unwrap().to_owned()),
            "--redact" => redaction = Redaction::FULL,
            "--redact=50" => redaction = Redaction::percent(50),
            other => panic!("{other} is not known to this test"),
        }
    }
    let scanner = Scanner::new(options).map_err(|error| error.to_string())?;
    let tree = folder.path().join("tree");
    let report = scanner.scan_tree_as(&tree, std::path::Path::new("")).unwrap();
    assert_eq!(report.outcome() == Outcome::Leaks, case.exit == 1 && !case.refused, "{}", case.name);
    let mut json = Vec::new();
    write_json(&report, redaction, &mut json).unwrap();
    let rows: Vec<Value> = serde_json::from_slice(&json).unwrap();
    let row = |row: &Value| KEYS.iter().map(|key| row[*key].clone()).collect::<Vec<_>>();
    Ok(rows.iter().map(row).filter(|row| !row[8].as_str().unwrap().ends_with(".toml")).collect())
}

/// Rows in an order of their own, with numbers rounded to what all programs agree on.
fn comparable(mut rows: Vec<Vec<Value>>) -> Vec<String> {
    for row in &mut rows {
        row[9] = Value::from((row[9].as_f64().unwrap() * 1e4).round());
    }
    let mut lines: Vec<String> = rows.into_iter().map(|row| Value::from(row).to_string()).collect();
    lines.sort();
    lines
}

#[test]
fn findings_are_those_that_gitleaks_recorded() {
    let cases: Vec<Case> = serde_json::from_str(include_str!("contract.json")).unwrap();
    assert!(cases.len() > 40);
    let mut faults = Vec::new();
    for case in &cases {
        match run(case) {
            Ok(_) if case.refused => faults.push(format!("{}: accepted", case.name)),
            Err(why) if !case.refused => faults.push(format!("{}: refused: {why}", case.name)),
            Err(why) => assert!(!why.contains('\n'), "{why}"),
            Ok(rows) => {
                let (have, want) = (comparable(rows), comparable(case.findings.clone()));
                if have != want {
                    faults.push(format!("{}:\n  have {have:#?}\n  want {want:#?}", case.name));
                }
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_damaged_configuration_is_refused_in_one_line_or_scans(
        which in any::<proptest::sample::Index>(),
        cut in any::<proptest::sample::Index>(),
        length in 0usize..12,
        insert in r#"[\[\]{}()"'=\\.a-c0-9*+?|^$,\n-]{0,6}"#,
    ) {
        let cases: Vec<Case> = serde_json::from_str(include_str!("contract.json")).unwrap();
        let mut text: Vec<char> = which.get(&cases).config.chars().collect();
        let from = cut.index(text.len());
        text.splice(from..(from + length).min(text.len()), insert.chars());
        let text: String = text.into_iter().collect();
        let nothing = |_: &str| Err(std::io::Error::from(std::io::ErrorKind::NotFound));
        let made = Config::parse(&text, "c", &nothing).map_err(|error| error.to_string()).and_then(|config| {
            let mut options = Options::usual();
            options.rules.clear();
            options.config = config;
            Scanner::new(options).map_err(|error| error.to_string())
        });
        match made {
            Err(error) => prop_assert!(!error.contains('\n'), "{error:?}"),
            Ok(scanner) => {
                let report = scanner.scan_bytes("a.txt", b"first TOK_abc\nkey=preabcpost\n\nPART_a PRI_a\n");
                for finding in &report.findings {
                    prop_assert!(finding.place.start_line <= finding.place.end_line && finding.place.end_line <= 5);
                }
            }
        }
    }
}

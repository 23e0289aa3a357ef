//! Credentials in all notations of configuration, and texts that merely look like them: `notations.toml`.

use serde::Deserialize;

use crate::scanner;

#[derive(Deserialize)]
struct Table {
    leak: Vec<Leak>,
    harmless: Vec<Harmless>,
}

/// A file with one credential, the parts of which are `value`.
#[derive(Deserialize)]
struct Leak {
    file: String,
    text: String,
    value: Vec<String>,
}

/// A file without any.
#[derive(Deserialize)]
struct Harmless {
    file: String,
    text: String,
}

fn table() -> Table {
    toml::from_str(include_str!("notations.toml")).unwrap()
}

/// The credentials that a scan finds in `text`.
fn found(file: &str, text: &str) -> Vec<String> {
    let report = scanner().scan_reader(file, &mut text.as_bytes()).unwrap();
    report.findings.iter().map(|finding| String::from_utf8_lossy(finding.secret.expose()).into_owned()).collect()
}

#[test]
fn the_credential_of_each_notation_is_found_whole_and_nothing_beside_it() {
    let mut wrong = Vec::new();
    for Leak { file, text, value } in table().leak {
        let value = value.concat();
        let text = text.replacen("@@", &value, 1);
        let found = found(&file, &text);
        // What a format writes before the value may be a part of it.
        if !matches!(found.as_slice(), [one] if one.ends_with(&value)) {
            wrong.push((file, text, found));
        }
    }
    assert!(wrong.is_empty(), "(file, text, found): {wrong:#?}");
}

#[test]
fn what_merely_looks_like_a_credential_is_passed_over() {
    let mut wrong = Vec::new();
    for Harmless { file, text } in table().harmless {
        let found = found(&file, &text);
        if !found.is_empty() {
            wrong.push((file, text, found));
        }
    }
    assert!(wrong.is_empty(), "(file, text, found): {wrong:#?}");
}

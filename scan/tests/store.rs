//! Values of a store, recognised by their fingerprints.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use turnlock_core::Protected;
use turnlock_core::finding::{Filter, Fingerprint, FingerprintKey, LIVE_SECRET_RULE, LiveSecret, recognisable};
use turnlock_scan::{Options, Outcome, Scanner, StoreLookup, Why};

use crate::{Repository, places, token};

type Asked = Arc<Mutex<Vec<Fingerprint>>>;

/// A scanner that knows a store with `values`, and the fingerprints that it asks about.
fn scanner(values: &[&str]) -> (Scanner, Asked) {
    let key = FingerprintKey::new("7", Protected::copy_of(&[9; 32]));
    let secrets: HashMap<Fingerprint, LiveSecret> = values
        .iter()
        .enumerate()
        .map(|(number, value)| {
            let fingerprint = key.fingerprint(recognisable(value.as_bytes()).unwrap());
            let labels = vec!["current".to_owned()];
            (
                fingerprint,
                LiveSecret { path: format!("secret/app/{number}"), field: "password".to_owned(), version: 3, labels },
            )
        })
        .collect();
    let fingerprints: Vec<Fingerprint> = secrets.keys().copied().collect();
    let filter = Filter::open(&Filter::reply(&key, &fingerprints)).unwrap();
    let asked = Asked::default();
    let seen = Arc::clone(&asked);
    let confirm = move |batch: &[Fingerprint]| {
        seen.lock().unwrap().extend_from_slice(batch);
        Ok(batch.iter().filter_map(|fingerprint| Some((*fingerprint, secrets.get(fingerprint)?.clone()))).collect())
    };
    let mut options = Options::usual();
    options.lookup = Some(StoreLookup::new(filter, Box::new(confirm)));
    (Scanner::new(options).unwrap(), asked)
}

#[test]
fn a_value_of_the_store_is_named_though_no_rule_could_know_it() {
    let (scanner, _) = scanner(&["correct horse battery", "tlk_canary_plain"]);
    let repository = Repository::new();
    repository.write("notes.md", "we use\n`tlk_canary_plain` there\n");
    let commit = repository.commit("notes", "2026-03-02T10:00:00Z");
    repository.write("new.yaml", "a:\n  word: correct horse battery\n");
    let report = scanner.scan_all(repository.path()).unwrap();
    assert_eq!(
        places(&report),
        [(LIVE_SECRET_RULE, "new.yaml", 2, ""), (LIVE_SECRET_RULE, "notes.md", 2, commit.as_str())]
    );
    let live = report.findings[0].live.as_ref().unwrap();
    assert_eq!((live.path.as_str(), live.field.as_str(), live.version), ("secret/app/0", "password", 3));
    assert_eq!(report.findings[0].certainty, 1.0);
    assert_eq!(report.findings[1].secret.expose(), b"tlk_canary_plain");
}

#[test]
fn the_store_knows_better_than_a_rule() {
    let token = token(1);
    let (scanner, _) = scanner(&[&token]);
    let report = scanner.scan_bytes("f", format!("token = \"{token}\"\n").as_bytes());
    assert_eq!(places(&report), [(LIVE_SECRET_RULE, "f", 1, "")]);
}

#[test]
fn planted_values_are_all_found_and_nothing_else() {
    let values: Vec<String> = (0..200).map(|number| format!("pa:ss={number}&w0rd!{}", number * 7919)).collect();
    let borrowed: Vec<&str> = values.iter().map(String::as_str).collect();
    let (scanner, asked) = scanner(&borrowed);
    let folder = tempfile::tempdir().unwrap();
    for number in 0..1000 {
        let mut text: String = (0..40)
            .map(|line| format!("let name_{line} = compute(value_{number}, \"text of line {line}\");\n"))
            .collect();
        if let Some(value) = values.get(number / 5).filter(|_| number % 5 == 0) {
            text.push_str(
                &["setting = \"@\"\n", "setting: @\n", "PASSWORD=@\n", "mysql://root:@@host/db\n"][number / 5 % 4]
                    .replacen('@', value, 1),
            );
        }
        std::fs::write(folder.path().join(format!("file{number:04}")), text).unwrap();
    }
    let report = scanner.scan_tree(folder.path()).unwrap();
    let found = report.findings.iter().filter(|finding| finding.rule == LIVE_SECRET_RULE).count();
    assert_eq!(found, 200);
    let asked = asked.lock().unwrap();
    let mut distinct = asked.clone();
    distinct.sort_unstable();
    distinct.dedup();
    assert_eq!(distinct.len(), asked.len(), "nothing is asked twice");
}

#[test]
fn a_store_that_cannot_be_asked_makes_the_answer_partial() {
    let key = FingerprintKey::new("7", Protected::copy_of(&[9; 32]));
    let filter = Filter::open(&Filter::reply(&key, &[key.fingerprint(b"tlk_canary_down")])).unwrap();
    let mut options = Options::usual();
    options.lookup = Some(StoreLookup::new(filter, Box::new(|_| Err("sealed".to_owned()))));
    let report = Scanner::new(options).unwrap().scan_bytes("f", b"tlk_canary_down\n");
    assert_eq!(report.outcome(), Outcome::Partial);
    assert_eq!(report.coverage.omissions[0].why, Why::Unconfirmed("sealed".to_owned()));
}

//! What is not reported: names in ignore files, old reports, and what allowlists excuse.

use chrono::NaiveDate;
use turnlock_scan::baseline::Baseline;
use turnlock_scan::config::Config;
use turnlock_scan::ignore_list::IgnoreList;
use turnlock_scan::{Options, Report, Scanner};

use crate::{RULE, Repository, places, token};

const KEY: &str = "key 0b9d3c5e7f11223344556677889900aabbccddeeff00112233445566778899ab\n";

fn scan_with(ignores: &[(&str, &str)], text: &str) -> Report {
    let mut options = Options::usual();
    options.ignore = IgnoreList::on(NaiveDate::from_ymd_opt(2026, 6, 15).unwrap());
    for (name, entries) in ignores {
        options.ignore.add(name, entries);
    }
    Scanner::new(options).unwrap().scan_bytes("f", text.as_bytes())
}

#[test]
fn an_entry_has_a_reason_and_a_last_day() {
    let text = format!("{}\n{}\n{}\n{}\n", token(1), token(2), token(3), token(4));
    let entries = format!(
        "# comment\n\nf:{RULE}:1   # test account\nf:{RULE}:2  # until 2026-06-15: still today\n\
         f:{RULE}:3  # until 2026-06-14\nf:{RULE}:4  # until soon\nf:{RULE}:9\n"
    );
    let report = scan_with(&[(".turnlockignore", &entries)], &text);
    assert_eq!(places(&report), [(RULE, "f", 3, ""), (RULE, "f", 4, "")]);
    assert_eq!(report.unused_ignores, [format!(".turnlockignore:7: f:{RULE}:9")]);
    assert_eq!(
        report.void_ignores,
        [
            format!(".turnlockignore:5: f:{RULE}:3: its last day is over"),
            format!(".turnlockignore:6: f:{RULE}:4: no date such as 2027-01-31 follows until"),
        ]
    );
}

#[test]
fn a_credential_is_ignored_wherever_it_stands_and_only_with_the_key_of_the_file() {
    let text = format!("{}\n", token(5));
    assert_eq!(scan_with(&[], &text).findings[0].secret_name, None);
    let named = scan_with(&[(".turnlockignore", KEY)], &text);
    let name = named.findings[0].secret_name.clone().unwrap();
    assert!(name.starts_with("secret:") && name.len() == 39);
    let ignoring = format!("{KEY}{name}  # everywhere\n");
    let moved = format!("other\n\n{}\n{}\n", token(5), token(6));
    let report = scan_with(&[(".turnlockignore", &ignoring)], &moved);
    assert_eq!(places(&report), [(RULE, "f", 4, "")]);
    let other_key = ignoring.replace("key 0b9d", "key 0b9e");
    assert_eq!(scan_with(&[(".turnlockignore", &other_key)], &moved).findings.len(), 2);
}

#[test]
fn places_that_another_scanner_named_count_whatever_it_calls_the_rule() {
    let text = format!("{}\n{}\n", token(1), token(2));
    let entries = "f:some-rule-of-theirs:1\nf:generic-api-key:2\n";
    // Its own rule of that id could mean something else: then the name must fit.
    assert_eq!(places(&scan_with(&[(".gitleaksignore", entries)], &text)), [(RULE, "f", 2, "")]);
    assert_eq!(scan_with(&[(".turnlockignore", entries)], &text).findings.len(), 2);
}

#[test]
fn names_hold_for_one_commit_or_for_all() {
    let repository = Repository::new();
    repository.write("f", &token(1));
    let first = repository.commit("first", "2026-03-02T10:00:00Z");
    repository.write("g", &token(2));
    repository.commit("second", "2026-03-03T10:00:00Z");
    repository.write(".gitleaksignore", &format!("{first}:f:{RULE}:1\ng:{RULE}:1\n0123:g:{RULE}:1\n"));
    let report = crate::scanner().scan_history(repository.path()).unwrap();
    assert_eq!(places(&report), []);
    assert_eq!(report.unused_ignores.len(), 1);
}

#[test]
fn the_baseline_of_detect_secrets_is_one() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("f"), format!("{}\n{}\n{}\n", token(7), token(8), token(9))).unwrap();
    let digest = |number| {
        let mut hasher = gix::hash::hasher(gix::hash::Kind::Sha1);
        hasher.update(token(number).as_bytes());
        hasher.try_finalize().unwrap().to_string()
    };
    let baseline = format!(
        r#"{{"version": "1.5.0", "results": {{"f": [
            {{"type": "x", "filename": "f", "hashed_secret": "{}", "line_number": 1}},
            {{"type": "x", "filename": "f", "hashed_secret": "{}", "is_secret": true}}]}}}}"#,
        digest(7),
        digest(8)
    );
    let mut options = Options::usual();
    options.baseline = Baseline::parse(baseline.as_bytes()).unwrap();
    let report = Scanner::new(options).unwrap().scan_tree_as(folder.path(), "".as_ref()).unwrap();
    assert_eq!(places(&report), [(RULE, "f", 2, ""), (RULE, "f", 3, "")]);
}

fn with_config(config: &str) -> Result<Scanner, String> {
    let nothing = |_: &str| Err(std::io::Error::from(std::io::ErrorKind::NotFound));
    let mut options = Options::usual();
    options.config = Config::parse(config, "c.toml", &nothing).map_err(|error| error.to_string())?;
    Scanner::new(options).map_err(|error| error.to_string())
}

#[test]
fn a_configuration_changes_rules_of_the_catalogue_by_their_ids() {
    let text = format!("{}\n{} harmless\n", token(1), token(2));
    let scan = |config: &str| with_config(config).unwrap().scan_bytes("dir/f", text.as_bytes());
    let extend = "[extend]\nuseDefault = true\n";
    assert_eq!(scan("").findings.len(), 0, "without useDefault there are no rules");
    assert_eq!(scan(extend).findings.len(), 2);
    assert_eq!(scan(&format!("{extend}disabledRules = [\"{RULE}\"]\n")).findings.len(), 0);
    let line = "[[rules.allowlists]]\nregexTarget = \"line\"\nregexes = [\"harmless\"]\n";
    let changed = scan(&format!("{extend}[[rules]]\nid = \"{RULE}\"\ndescription = \"Ours\"\ntags = [\"x\"]\n{line}"));
    assert_eq!(places(&changed), [(RULE, "dir/f", 1, "")]);
    assert_eq!(
        (changed.findings[0].description.as_str(), changed.findings[0].tags.as_slice()),
        ("Ours", &["x".to_owned()][..])
    );
    assert_eq!(scan(&format!("{extend}[[rules]]\nid = \"{RULE}\"\npath = \"^src/\"\n")).findings.len(), 0);
    let replaced = scan(&format!("{extend}[[rules]]\nid = \"{RULE}\"\nregex = \"harmless\"\n"));
    assert_eq!(replaced.findings.len(), 1);
    assert_eq!(replaced.findings[0].matched.expose(), b"harmless");
    // The one generic rule that others have is all of ours; a rule that only they have is all of its provider's.
    let foreign = format!("{extend}[[rules]]\nid = \"digitalocean-nope\"\n{line}");
    assert_eq!(places(&scan(&foreign)), [(RULE, "dir/f", 1, "")]);
    assert_eq!(with_config(&foreign).unwrap().warnings().len(), 1);
    let generic = "password = \"Zq7!24KSHZrX2k\"\n";
    let scan_generic = |config: &str| with_config(config).unwrap().scan_bytes("f", generic.as_bytes()).findings.len();
    assert_eq!(scan_generic(extend), 1);
    assert_eq!(scan_generic(&format!("{extend}disabledRules = [\"generic-api-key\"]\n")), 0);
    let unknown = with_config(&format!("{extend}disabledRules = [\"nope\"]\n")).unwrap();
    assert_eq!(unknown.warnings(), ["configuration: rule nope is disabled, which the catalogue does not have"]);
}

#[test]
fn a_rule_of_the_user_names_what_the_catalogue_finds_too() {
    let config = "[extend]\nuseDefault = true\n[[rules]]\nid = \"ours\"\nregex = '''dop_v1_[0-9a-f]+'''\n";
    let report = with_config(config).unwrap().scan_bytes("f", format!("x {}\n", token(1)).as_bytes());
    assert_eq!(places(&report), [("ours", "f", 1, "")]);
}

#[test]
fn names_of_files_are_findings_in_trees_and_histories() {
    let repository = Repository::new();
    repository.write("keys/id_rsa", "x");
    let first = repository.commit("first", "2026-03-02T10:00:00Z");
    repository.write("keys/id_rsa", "y");
    repository.commit("second", "2026-03-03T10:00:00Z");
    let scanner = with_config("[[rules]]\nid = \"by-name\"\npath = '''(^|/)id_rsa$'''\n").unwrap();
    let report = scanner.scan_history(repository.path()).unwrap();
    assert_eq!(places(&report), [("by-name", "keys/id_rsa", 0, first.as_str())]);
    let tree = scanner.scan_tree_as(repository.path(), "".as_ref()).unwrap();
    assert_eq!(places(&tree), [("by-name", "keys/id_rsa", 0, "")]);
}

#[test]
fn commits_that_an_allowlist_names_are_not_reported() {
    let repository = Repository::new();
    repository.write("f", &token(1));
    let first = repository.commit("first", "2026-03-02T10:00:00Z");
    repository.write("g", &token(2));
    let second = repository.commit("second", "2026-03-03T10:00:00Z");
    let config = format!("[extend]\nuseDefault = true\n[[allowlists]]\ncommits = [\"{}\"]\n", first.to_uppercase());
    let report = with_config(&config).unwrap().scan_history(repository.path()).unwrap();
    assert_eq!(places(&report), [(RULE, "g", 1, second.as_str())]);
}

#[test]
fn files_that_the_configuration_allows_are_not_read_and_counted() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("vendor")).unwrap();
    std::fs::write(folder.path().join("vendor/f"), token(1)).unwrap();
    std::fs::write(folder.path().join("g"), token(2)).unwrap();
    let scanner = with_config("[extend]\nuseDefault = true\n[[allowlists]]\npaths = ['''^vendor/''']\n").unwrap();
    let report = scanner.scan_tree_as(folder.path(), "".as_ref()).unwrap();
    assert_eq!(places(&report), [(RULE, "g", 1, "")]);
    assert_eq!((report.coverage.files, report.coverage.allowed), (1, 1));
}

#[test]
fn a_refusal_names_file_and_rule_and_says_what_is_wrong() {
    for (config, says) in [
        ("[[rules]]\nid = \"a\"\nregex = \"(\"\n", "c.toml: rule a has a bad regex: unclosed group"),
        ("[[rules]]\nid = \"a\"\nregex = \"((a{1000}){1000}){1000}\"\n", "use smaller counts"),
        ("[[rules]]\nregex = \"a\"\ndescription = \"d\"\n", "c.toml: a rule has no id (described as \"d\")"),
        ("x = = 1\n", "c.toml: is no TOML: line 1: "),
        ("[[rules]]\nid = \"a\"\nregex = \"b\"\nentropy = \"high\"\n", "c.toml: rule a: "),
        ("[[rules]]\nid = \"a\"\n", "c.toml: rule a has neither a regex nor a path"),
        ("[[allowlists]]\ndescription = \"x\"\n", "an allowlist of the file: is empty"),
        ("[extend]\npath = \"gone\"\n", "c.toml: extends gone, which cannot be read"),
    ] {
        let error = with_config(config).map(|_| ()).unwrap_err();
        assert!(error.contains(says) && !error.contains('\n'), "{config}: {error}");
    }
}

#[test]
fn an_organisation_is_extended_and_deeper_files_are_not_read() {
    let read = |path: &str| {
        Ok(match path {
            "1" => "[extend]\npath = \"2\"\n[[rules]]\nid = \"one\"\nregex = \"ONE\"\n",
            "2" => "[extend]\npath = \"3\"\n[[rules]]\nid = \"two\"\nregex = \"TWO\"\n",
            _ => "[[rules]]\nid = \"three\"\nregex = \"THREE\"\n",
        }
        .to_owned())
    };
    let own = Config::parse("[extend]\npath = \"1\"\ndisabledRules = [\"gone\"]\n", "c", &read).unwrap();
    assert_eq!(own.warnings(), ["2: extends 3, one file too deep: it was not read"]);
    let organisation = Config::parse(
        "[extend]\nuseDefault = true\n[[rules]]\nid = \"org\"\nregex = \"ORG\"\n[[rules]]\nid = \"gone\"\nregex = \"GO-NE\"\n",
        "o",
        &read,
    )
    .unwrap();
    let mut options = Options::usual();
    options.config = own.over(organisation);
    let text = format!("ONE TWO THREE ORG GO-NE {}\n", token(1));
    let report = Scanner::new(options).unwrap().scan_bytes("f", text.as_bytes());
    let mut rules: Vec<_> = report.findings.iter().map(|finding| finding.rule.as_str()).collect();
    rules.sort_unstable();
    assert_eq!(rules, [RULE, "one", "org", "two"]);
}

#[test]
fn a_folder_allows_and_disables_for_the_files_below_it() {
    let repository = Repository::new();
    for file in ["f", "sub/f", "sub/deep/f", "other/f"] {
        repository.write(file, &token(1));
    }
    let allow = format!("[[rules]]\nid = \"{RULE}\"\n[[rules.allowlists]]\npaths = ['^sub/deep/']\n");
    repository.write("sub/.gitleaks.toml", &allow);
    repository.write("other/.turnlock-scan.toml", &format!("[extend]\ndisabledRules = [\"{RULE}\"]\n"));
    let commit = repository.commit("all", "2026-03-02T10:00:00Z");
    let scanner = crate::scanner();
    let expected = |commit| [(RULE, "f", 1, commit), (RULE, "sub/f", 1, commit)];
    let history = scanner.scan_history(repository.path()).unwrap();
    assert_eq!(places(&history), expected(commit.as_str()));
    assert_eq!(places(&scanner.scan_tree_as(repository.path(), "".as_ref()).unwrap()), expected(""));
    let shown = scanner.scan_tree_as(repository.path(), "as/shown".as_ref()).unwrap();
    // The paths of an allowlist are those of the report.
    assert_eq!(shown.findings.len(), 3);

    repository.write("sub/.gitleaks.toml", "[[rules]]\nid = \"new\"\nregex = \"x\"\n");
    let report = scanner.scan_tree_as(repository.path(), "".as_ref()).unwrap();
    assert!(report.findings.len() == 3 && report.warnings[0].contains("only its allowlists"), "{:?}", report.warnings);
    repository.write("sub/.gitleaks.toml", "x = = 1");
    let report = scanner.scan_tree_as(repository.path(), "".as_ref()).unwrap();
    assert!(report.findings.len() == 3 && report.coverage.is_partial());
}

#[test]
fn names_that_go_over_lines_reach_no_terminal_raw() {
    let nothing = |_: &str| Err(std::io::ErrorKind::NotFound.into());
    let error = Config::parse("[[rules]]\nid = \"one\\ntwo\\u001b[2J\"\n", "c.toml", &nothing).unwrap_err().to_string();
    assert!(!error.contains(char::is_control), "{error:?}");
    assert!(error.contains("one") && error.contains("neither a regex nor a path"), "{error:?}");
}

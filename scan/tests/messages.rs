//! Credentials in the messages of commits and of annotated tags.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use turnlock_scan::report::{Redaction, write_csv, write_full_json, write_json, write_junit, write_sarif, write_text};
use turnlock_scan::{Options, Quarantine, Range, Report, Scanner};

use crate::{MONDAY, RULE, Repository, TUESDAY, WEDNESDAY, places, scanner, token};

/// A commit that says a token, one that is clean, and a tag that says another.
fn talkative() -> (Repository, String, String) {
    let repository = Repository::new();
    repository.write("file", "clean\n");
    let guilty = repository.commit(&format!("Use the new key\n\nit is {}", token(1)), MONDAY);
    repository.write("file", "clean still\n");
    repository.commit("innocent", TUESDAY);
    repository.git(&["tag", "-a", "-m", &format!("released with {}", token(2)), "v1.0"]);
    let tag = repository.git(&["rev-parse", "refs/tags/v1.0"]);
    (repository, guilty, tag)
}

fn json(report: &Report, percent: u8) -> String {
    let mut text = Vec::new();
    write_json(report, Redaction::percent(percent), &mut text).unwrap();
    String::from_utf8(text).unwrap()
}

#[test]
fn messages_of_commits_and_tags_are_scanned_and_named() {
    let (repository, guilty, tag) = talkative();
    let report = scanner().scan_history(repository.path()).unwrap();
    let (commit, tagged) =
        ((RULE, "(commit message)", 3, guilty.as_str()), (RULE, "(message of tag v1.0)", 1, tag.as_str()));
    assert_eq!(places(&report), [commit, tagged]);
    assert_eq!(report.findings[0].ignore_name(), format!("{guilty}:(commit message):{RULE}:3"));
    let mark = report.findings[1].commit.as_ref().unwrap();
    assert_eq!((mark.author.as_str(), mark.email.as_str()), ("Ada", "ada@host.test"));
    repository.git(&["gc", "-q", "--prune=now"]);
    assert_eq!(places(&scanner().scan_history(repository.path()).unwrap()), [commit, tagged]);
}

#[test]
fn a_message_that_was_written_again_is_one_finding_of_the_commit_that_counts() {
    let repository = Repository::new();
    repository.write("file", "clean\n");
    repository.commit(&format!("with {}", token(1)), MONDAY);
    repository.git_at(&["commit", "-q", "--amend", "-m", &format!("with {} too", token(1))], TUESDAY);
    let second = repository.git(&["rev-parse", "HEAD"]);
    let report = scanner().scan_history(repository.path()).unwrap();
    assert_eq!(places(&report), [(RULE, "(commit message)", 1, second.as_str())]);
}

#[test]
fn a_range_and_a_push_show_what_their_commits_and_tags_say() {
    let (repository, guilty, tag) = talkative();
    let whole = Range { revisions: vec!["HEAD".to_owned()], ..Range::default() };
    let report = scanner().scan_range(repository.path(), &whole).unwrap();
    assert_eq!(places(&report), [(RULE, "(commit message)", 3, guilty.as_str())]);
    let later = Range { revisions: vec!["HEAD~1..HEAD".to_owned()], ..Range::default() };
    assert!(scanner().scan_range(repository.path(), &later).unwrap().findings.is_empty());
    let head = repository.git(&["rev-parse", "HEAD"]);
    let pushed = format!("refs/tags/v1.0 {tag} refs/tags/v1.0 {}\n", "0".repeat(40));
    let report = scanner().scan_sent(repository.path(), "origin", &mut pushed.as_bytes()).unwrap();
    assert_eq!(places(&report).len(), 2);
    // The commits are there already, the tag is not.
    let received = format!("{} {tag} refs/tags/v1.0\n", "0".repeat(40));
    let received =
        scanner().scan_received(repository.path(), &Quarantine::default(), &mut received.as_bytes()).unwrap();
    assert_eq!(places(&received), [(RULE, "(message of tag v1.0)", 1, tag.as_str())], "{head}");
}

#[test]
fn what_a_message_says_is_hidden_where_it_is_quoted() {
    let repository = Repository::new();
    repository.write("file", &token(1));
    repository.commit(&format!("{} and {}", token(2), token(3)), WEDNESDAY);
    let report = scanner().scan_history(repository.path()).unwrap();
    assert_eq!(report.findings.len(), 3);
    let hidden = json(&report, 100);
    assert!((1..=3).all(|number| !hidden.contains(&token(number))), "{hidden}");
    assert!(json(&report, 0).contains(&token(2)));
}

/// The report in every form, redacted to `percent`.
fn forms(report: &Report, percent: u8) -> Vec<String> {
    let redaction = Redaction::percent(percent);
    let mut forms = vec![Vec::new(); 6];
    write_json(report, redaction, &mut forms[0]).unwrap();
    write_csv(report, redaction, &mut forms[1]).unwrap();
    write_sarif(report, redaction, &mut forms[2]).unwrap();
    write_junit(report, redaction, &mut forms[3]).unwrap();
    write_full_json(report, redaction, &mut forms[4]).unwrap();
    write_text(report, redaction, false, &mut forms[5]).unwrap();
    forms.into_iter().map(|form| String::from_utf8(form).unwrap()).collect()
}

#[test]
fn a_message_that_says_a_credential_again_is_withheld() {
    let repository = Repository::new();
    repository.write("file", "clean\n");
    repository.commit(&format!("use key {}", token(1)), MONDAY);
    repository.write("file", &token(2));
    let again = repository.commit(&format!("drop key {} again", token(1)), TUESDAY);
    repository.write("other", &token(3));
    repository.commit("innocent", WEDNESDAY);
    let whole = scanner().scan_history(repository.path()).unwrap();
    let last = Range { revisions: vec!["HEAD~2..HEAD".to_owned()], ..Range::default() };
    let part = scanner().scan_range(repository.path(), &last).unwrap();
    assert_eq!(places(&whole)[1], (RULE, "file", 1, again.as_str()));
    for report in [&whole, &part] {
        assert_eq!(report.findings.len(), 3);
        for percent in [100, 40] {
            for form in forms(report, percent) {
                assert!((1..=3).all(|number| !form.contains(&token(number))), "{form}");
            }
        }
        let hidden = json(report, 100);
        assert!(hidden.contains("(withheld: it holds a credential)") && hidden.contains("innocent"), "{hidden}");
        assert!(!hidden.contains("drop key"), "{hidden}");
        assert!(json(report, 0).contains(&format!("drop key {} again", token(1))));
    }
}

#[test]
fn a_message_that_says_a_credential_in_base64_is_withheld() {
    let repository = Repository::new();
    repository.write("file", &token(2));
    let encoded = STANDARD.encode(format!("the key: {}", token(1)));
    repository.commit(&format!("use {encoded}"), MONDAY);
    let report = scanner().scan_history(repository.path()).unwrap();
    assert_eq!(report.findings.len(), 2);
    for form in forms(&report, 100) {
        assert!(!form.contains(&encoded), "{form}");
    }
    assert!(json(&report, 0).contains(&encoded));
}

#[test]
fn a_message_that_is_ignored_by_its_place_hides_no_other() {
    let repository = Repository::new();
    repository.write("file", "clean\n");
    let first = repository.commit(&format!("use key {}", token(1)), MONDAY);
    repository.write("file", &token(2));
    let again = repository.commit(&format!("drop key {} again", token(1)), TUESDAY);
    let mut options = Options::usual();
    options.ignore.add(".turnlockignore", &format!("{first}:(commit message):{RULE}:1\n"));
    let report = Scanner::new(options).unwrap().scan_history(repository.path()).unwrap();
    let (said, held) = ((RULE, "(commit message)", 1, again.as_str()), (RULE, "file", 1, again.as_str()));
    assert_eq!(places(&report), [said, held]);
    // When that is ignored as well, its message is withheld nevertheless.
    let mut options = Options::usual();
    let both = [&first, &again].map(|commit| format!("{commit}:(commit message):{RULE}:1\n"));
    options.ignore.add(".turnlockignore", &both.concat());
    let report = Scanner::new(options).unwrap().scan_history(repository.path()).unwrap();
    assert_eq!(places(&report), [held]);
    assert!(forms(&report, 100).iter().all(|form| !form.contains(&token(1))));
}

#[test]
fn a_name_that_would_let_every_later_message_pass_ignores_nothing() {
    let (repository, guilty, tag) = talkative();
    let entries = format!("(commit message):{RULE}:3\n(message of tag v1.0):{RULE}:1  # ours\n");
    for file in [".turnlockignore", ".gitleaksignore"] {
        let mut options = Options::usual();
        options.ignore.add(file, &entries);
        let scanner = Scanner::new(options).unwrap();
        let report = scanner.scan_history(repository.path()).unwrap();
        let tagged = (RULE, "(message of tag v1.0)", 1, tag.as_str());
        assert_eq!(places(&report), [(RULE, "(commit message)", 3, guilty.as_str()), tagged]);
        assert_eq!(report.void_ignores.len(), 2, "{:?}", report.void_ignores);
        assert!(report.void_ignores[0].ends_with(": every later message would pass as well"));
        let next = scanner.scan_message(repository.path(), format!("a\n\n{}\n", token(3)).as_bytes()).unwrap();
        assert_eq!(places(&next), [(RULE, "(commit message)", 3, "")]);
    }
    // Nor is such a name offered.
    let next = scanner().scan_message(repository.path(), token(3).as_bytes()).unwrap();
    let (forms, name) = (forms(&next, 100), format!("(commit message):{RULE}"));
    assert!(next.findings.len() == 1 && [2, 4, 5].iter().all(|form| !forms[*form].contains(&name)));
}

#[test]
fn what_a_baseline_holds_of_a_message_is_not_reported_in_the_next_one() {
    let repository = Repository::new();
    repository.commit(&format!("use key {}", token(1)), MONDAY);
    repository.commit(&format!("drop key {} again", token(1)), TUESDAY);
    let before = scanner().scan_history(repository.path()).unwrap();
    assert_eq!(before.findings.len(), 1);
    let mut options = Options::usual();
    options.baseline.add(json(&before, 100).as_bytes()).unwrap();
    assert!(Scanner::new(options).unwrap().scan_history(repository.path()).unwrap().findings.is_empty());
}

#[test]
fn a_message_that_quotes_a_password_of_a_file_is_withheld_beside_every_finding() {
    let repository = Repository::new();
    let password = ["Zr4!Lk0", "Pw2Vx7"].concat();
    repository.write("app.env", &format!("DB_PASSWORD={password}\n"));
    repository.write("file", &token(2));
    repository.commit(&format!("as told: {password}"), MONDAY);
    let report = scanner().scan_history(repository.path()).unwrap();
    assert_eq!(report.findings.len(), 2);
    assert!(forms(&report, 100).iter().all(|form| !form.contains(&password)));
}

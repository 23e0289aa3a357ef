//! Credentials in the messages of commits and of annotated tags.

use turnlock_scan::report::{Redaction, write_json};
use turnlock_scan::{Quarantine, Range, Report};

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

//! Some commits, what is staged, and what a push brings.

use std::io::Write as _;
use std::process::{Command, Stdio};

use turnlock_scan::report::{Redaction, write_text};
use turnlock_scan::{Outcome, Quarantine, Range, ScanError};

use crate::{MONDAY, RULE, Repository, TUESDAY, WEDNESDAY, places, scanner, token};

fn range(revision: &str) -> Range {
    Range { revisions: vec![revision.to_owned()], ..Range::default() }
}

/// Three commits with a token each, all in one file; returns their ids.
fn three() -> (Repository, [String; 3]) {
    let repository = Repository::new();
    let mut text = String::new();
    let commits = [(1, MONDAY), (2, TUESDAY), (3, WEDNESDAY)].map(|(number, date)| {
        text.push_str(&token(number));
        text.push('\n');
        repository.write("folder/file", &text);
        repository.commit("more", date)
    });
    (repository, commits)
}

#[test]
fn a_range_shows_what_its_commits_brought_and_nothing_older() {
    let (repository, [first, second, third]) = three();
    let found = |revision: &str| {
        let report = scanner().scan_range(repository.path(), &range(revision)).unwrap();
        places(&report).into_iter().map(|(_, _, line, commit)| (line, commit.to_owned())).collect::<Vec<_>>()
    };
    assert_eq!(found("HEAD~1..HEAD"), [(3, third.clone())]);
    assert_eq!(found(&format!("{first}..{second}")), [(2, second.clone())]);
    assert_eq!(found("HEAD"), [(1, first), (2, second), (3, third)]);
    assert_eq!(found("HEAD..HEAD"), []);
}

#[test]
fn a_date_leaves_out_what_was_committed_earlier() {
    let (repository, [_, second, third]) = three();
    let tuesday = 1_772_496_000; // 2026-03-03T00:00:00Z
    let since = Range { since: Some(tuesday), ..Range::default() };
    let report = scanner().scan_range(repository.path(), &since).unwrap();
    assert_eq!(places(&report), [(RULE, "folder/file", 2, second.as_str()), (RULE, "folder/file", 3, third.as_str())]);
    let latest = Range { most: Some(1), ..Range::default() };
    let report = scanner().scan_range(repository.path(), &latest).unwrap();
    assert_eq!(places(&report), [(RULE, "folder/file", 3, third.as_str())]);
}

#[test]
fn what_a_merge_in_the_range_brought_by_itself_is_found_in_it() {
    let repository = Repository::in_a_merge();
    repository.write("a", &token(4));
    let merge = repository.commit("merge", WEDNESDAY);
    let report = scanner().scan_range(repository.path(), &range("HEAD~1..HEAD")).unwrap();
    assert_eq!(places(&report), [(RULE, "a", 1, merge.as_str())]);
}

#[test]
fn an_unknown_revision_is_an_error() {
    let (repository, _) = three();
    let unknown = scanner().scan_range(repository.path(), &range("no-such-branch"));
    assert!(matches!(unknown, Err(ScanError::Revision { .. })), "{unknown:?}");
}

#[test]
fn only_what_is_staged_and_not_committed_is_found() {
    let repository = Repository::new();
    repository.write("committed/file", &format!("{}\n", token(5)));
    repository.write("other/file", "nothing\n");
    repository.commit("one", MONDAY);
    assert_eq!(scanner().scan_staged(repository.path()).unwrap().outcome(), Outcome::Clean);
    repository.write("committed/file", &format!("{}\n{}\n", token(5), token(6)));
    repository.write("new/deep/file", &token(7));
    repository.git(&["add", "-A"]);
    repository.write("other/file", &token(8));
    let report = scanner().scan_staged(repository.path()).unwrap();
    assert_eq!(places(&report), [(RULE, "committed/file", 2, ""), (RULE, "new/deep/file", 1, "")]);
    assert_eq!(report.coverage.blobs, 2, "nothing else is read");
}

#[test]
fn what_is_staged_before_the_first_commit_is_found() {
    let repository = Repository::new();
    repository.write("file", &token(9));
    repository.git(&["add", "-A"]);
    assert_eq!(places(&scanner().scan_staged(repository.path()).unwrap()), [(RULE, "file", 1, "")]);
}

#[test]
fn a_file_that_is_only_announced_and_a_submodule_hold_nothing() {
    let (inner, _) = three();
    let repository = Repository::new();
    repository.write("announced", &token(10));
    repository.git(&["add", "-N", "announced"]);
    let url = inner.path().to_str().unwrap();
    repository.git(&["-c", "protocol.file.allow=always", "submodule", "add", "-q", url, "inner"]);
    let report = scanner().scan_staged(repository.path()).unwrap();
    assert_eq!(report.outcome(), Outcome::Clean, "{report:?}");
}

/// A server's repository whose hook keeps what git tells it and where the objects lie, and refuses the push.
#[test]
fn a_push_is_scanned_before_it_is_accepted() {
    let (repository, [first, ..]) = three();
    let server = tempfile::tempdir().unwrap();
    let path = server.path().to_str().unwrap();
    repository.git(&["init", "-q", "--bare", path]);
    repository.git(&["push", "-q", path, &format!("{first}:refs/heads/main")]);
    let hook = server.path().join("hooks/pre-receive");
    let keep = format!(
        "#!/bin/sh\ncat > '{path}/input'\ncp -r \"$GIT_OBJECT_DIRECTORY\" '{path}/aside'\necho refused >&2\nexit 1\n"
    );
    let mut file = std::fs::File::create(&hook).unwrap();
    file.write_all(keep.as_bytes()).unwrap();
    drop(file);
    std::fs::set_permissions(&hook, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let push = Command::new("git")
        .args(["push", "-q", path, "main", "HEAD~1:refs/heads/second"])
        .current_dir(repository.path())
        .stderr(Stdio::null())
        .status()
        .unwrap();
    assert!(!push.success());

    let quarantine = Quarantine { objects: Some(server.path().join("aside")), others: Vec::new() };
    let input = std::fs::read(server.path().join("input")).unwrap();
    let report = scanner().scan_received(server.path(), &quarantine, &mut input.as_slice()).unwrap();
    let lines: Vec<u32> = places(&report).into_iter().map(|(_, _, line, _)| line).collect();
    assert_eq!(lines, [2, 3], "the first commit is there already");
    let without = scanner().scan_received(server.path(), &Quarantine::default(), &mut input.as_slice());
    assert!(without.is_err(), "objects that cannot be found are no clean push");
    let malformed = scanner().scan_received(server.path(), &quarantine, &mut &b"not what git writes\n"[..]);
    assert!(matches!(malformed, Err(ScanError::HookInput)));
}

#[test]
fn files_and_folders_that_only_tags_name_are_scanned_when_they_are_pushed() {
    let repository = Repository::new();
    let nothing = "0".repeat(40);
    std::fs::write(repository.path().join("loose"), token(7)).unwrap();
    let object = |arguments: &[&str]| repository.git(arguments).trim().to_owned();
    let blob = object(&["hash-object", "-w", "loose"]);
    repository.git(&["add", "loose"]);
    let tree = object(&["write-tree"]);
    repository.git(&["tag", "-a", "-m", "a file", "annotated", &blob]);
    let annotated = object(&["rev-parse", "refs/tags/annotated"]);
    for (id, file) in [(&blob, format!("unreferenced/{blob}")), (&tree, "loose".to_owned())] {
        let received = format!("{nothing} {id} refs/tags/t\n");
        let report =
            scanner().scan_received(repository.path(), &Quarantine::default(), &mut received.as_bytes()).unwrap();
        assert_eq!(report.findings.iter().map(|found| &found.place.file).collect::<Vec<_>>(), [&file]);
        let mut text = Vec::new();
        write_text(&report, Redaction::FULL, false, &mut text).unwrap();
        let text = String::from_utf8(text).unwrap();
        assert_eq!(
            text.contains(&format!("in no commit: staged and forgotten, or dropped since; see git show {id}\n")),
            file != "loose",
            "{text}"
        );
    }
    let sent = format!("refs/tags/annotated {annotated} refs/tags/annotated {nothing}\n");
    let report = scanner().scan_sent(repository.path(), "origin", &mut sent.as_bytes()).unwrap();
    assert_eq!(report.findings.len(), 1, "{report:?}");
}

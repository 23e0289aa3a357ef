//! Second scans: what is remembered changes how long they take, never what they say.

use std::path::Path;

use turnlock_scan::{Options, Outcome, Report, Scanner};

use crate::{MONDAY, Repository, TUESDAY, WEDNESDAY, places, token};

fn remembering(folder: &Path) -> Scanner {
    let mut options = Options::usual();
    options.cache = Some(folder.to_owned());
    Scanner::new(options).unwrap()
}

fn forgetful() -> Scanner {
    Scanner::new(Options::usual()).unwrap()
}

/// Scans with and without memory; both must say the same.
fn scan(repository: &Repository, memory: &Path) -> Report {
    let whole = forgetful().scan_history(repository.path()).unwrap();
    let again = remembering(memory).scan_history(repository.path()).unwrap();
    assert_eq!(places(&again), places(&whole));
    let secrets = |report: &Report| -> Vec<Vec<u8>> {
        report.findings.iter().map(|finding| finding.secret.expose().to_vec()).collect()
    };
    assert_eq!(secrets(&again), secrets(&whole));
    assert_eq!(again.coverage, whole.coverage);
    again
}

fn start() -> (Repository, tempfile::TempDir) {
    let repository = Repository::new();
    repository.write("a", &format!("{}\n", token(1)));
    repository.write("clean", "nothing\n");
    repository.commit("one", MONDAY);
    repository.write("a", &format!("{}\nmore\n{}\n", token(1), token(2)));
    repository.commit("two", TUESDAY);
    let memory = tempfile::tempdir().unwrap();
    assert_eq!(scan(&repository, memory.path()).findings.len(), 2);
    (repository, memory)
}

#[test]
fn nothing_new_says_the_same() {
    let (repository, memory) = start();
    scan(&repository, memory.path());
    repository.git(&["gc", "-q"]);
    scan(&repository, memory.path());
}

#[test]
fn new_commits_add_what_they_brought() {
    let (repository, memory) = start();
    repository.write("b", &token(3));
    repository.write("a", &format!("{}\nmore\n{}\n{}\n", token(1), token(2), token(4)));
    repository.commit("three", WEDNESDAY);
    assert_eq!(scan(&repository, memory.path()).findings.len(), 4);
    repository.git(&["gc", "-q"]);
    repository.write("c", &token(5));
    repository.commit("four", WEDNESDAY);
    assert_eq!(scan(&repository, memory.path()).findings.len(), 5);
}

#[test]
fn what_messages_say_is_said_again() {
    let (repository, memory) = start();
    repository.write("b", "clean\n");
    repository.commit(&format!("with {}", token(3)), WEDNESDAY);
    assert_eq!(scan(&repository, memory.path()).findings.len(), 3);
    scan(&repository, memory.path());
    repository.git(&["tag", "-a", "-m", &token(4), "v1"]);
    repository.git(&["commit", "-q", "--amend", "-m", "without"]);
    repository.write("c", "clean\n");
    repository.commit(&format!("again with {}", token(3)), WEDNESDAY);
    assert_eq!(scan(&repository, memory.path()).findings.len(), 4);
    scan(&repository, memory.path());
}

#[test]
fn renames_copies_merges_and_removals_say_the_same() {
    let (repository, memory) = start();
    repository.git(&["mv", "a", "renamed"]);
    repository.commit("rename", WEDNESDAY);
    scan(&repository, memory.path());
    repository.write("copy", &format!("{}\nmore\n{}\n", token(1), token(2)));
    repository.commit("copy", WEDNESDAY);
    scan(&repository, memory.path());
    repository.git(&["checkout", "-q", "-b", "side", "HEAD~1"]);
    repository.write("side", &token(6));
    repository.commit("side", WEDNESDAY);
    repository.git(&["checkout", "-q", "main"]);
    repository.git(&["merge", "-q", "--no-commit", "side"]);
    repository.write("only-in-merge", &token(7));
    repository.commit("merge", WEDNESDAY);
    scan(&repository, memory.path());
    repository.git(&["rm", "-q", "renamed"]);
    repository.commit("gone", WEDNESDAY);
    scan(&repository, memory.path());
}

#[test]
fn history_that_is_rewritten_says_the_same() {
    let (repository, memory) = start();
    repository.write("a", "clean now\n");
    repository.git(&["add", "-A"]);
    repository.git_at(&["commit", "-q", "--amend", "-m", "amended"], WEDNESDAY);
    scan(&repository, memory.path());
    // What nothing led to is led to again.
    repository.git(&["branch", "again", "HEAD@{1}"]);
    scan(&repository, memory.path());
    repository.git(&["branch", "-q", "-D", "again"]);
    scan(&repository, memory.path());
    // Older than all that is known, with content that is known.
    repository.git(&["checkout", "-q", "--orphan", "old"]);
    repository.write("a", &format!("{}\nmore\n{}\n", token(1), token(2)));
    repository.git(&["add", "-A"]);
    repository.git_at(&["commit", "-q", "-m", "old"], "2020-01-01T00:00:00Z");
    scan(&repository, memory.path());
    repository.git(&["reflog", "expire", "--expire=now", "--all"]);
    repository.git(&["gc", "-q", "--prune=now"]);
    scan(&repository, memory.path());
}

#[test]
fn a_blob_in_no_commit_and_the_commit_that_takes_it_say_the_same() {
    let (repository, memory) = start();
    repository.write("later", &token(8));
    repository.git(&["add", "later"]);
    scan(&repository, memory.path());
    repository.commit("with it", WEDNESDAY);
    scan(&repository, memory.path());
}

#[test]
fn a_damaged_memory_is_none() {
    let (repository, memory) = start();
    let file = std::fs::read_dir(memory.path()).unwrap().next().unwrap().unwrap().path();
    let whole = std::fs::read(&file).unwrap();
    for at in (0..whole.len()).step_by(whole.len() / 5) {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x55;
        std::fs::write(&file, &bytes).unwrap();
        scan(&repository, memory.path());
        std::fs::write(&file, &bytes[..at]).unwrap();
        scan(&repository, memory.path());
    }
    assert_eq!(std::fs::read_dir(memory.path()).unwrap().count(), 1, "nothing else stays behind");
}

#[test]
fn the_memory_holds_no_value_and_belongs_to_its_owner() {
    use std::os::unix::fs::PermissionsExt as _;
    let (_repository, memory) = start();
    let file = std::fs::read_dir(memory.path()).unwrap().next().unwrap().unwrap().path();
    let bytes = std::fs::read(&file).unwrap();
    for number in [1, 2] {
        assert!(memchr::memmem::find(&bytes, token(number).as_bytes()).is_none());
    }
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn other_rules_do_not_believe_it() {
    let (repository, memory) = start();
    let mut options = Options::usual();
    options.rules.retain(|rule| rule.id != "digitalocean-token");
    options.cache = Some(memory.path().to_owned());
    let without = Scanner::new(options).unwrap().scan_history(repository.path()).unwrap();
    assert_eq!(without.outcome(), Outcome::Clean);
    assert_eq!(scan(&repository, memory.path()).findings.len(), 2);
}

#[test]
fn what_is_too_large_is_said_every_time() {
    let (repository, memory) = start();
    repository.write("large", &"line\n".repeat(1000));
    repository.commit("large", WEDNESDAY);
    for _ in 0..2 {
        let mut options = Options::usual();
        options.cache = Some(memory.path().to_owned());
        options.max_bytes = 1000;
        let report = Scanner::new(options).unwrap().scan_history(repository.path()).unwrap();
        assert_eq!((report.coverage.omitted, report.findings.len()), (1, 2));
    }
}

//! Whole histories of repositories that git made.

use std::os::unix::fs::PermissionsExt as _;

use turnlock_scan::{Options, Outcome, Scanner, Why};

use crate::{MONDAY, RULE, Repository, TUESDAY, WEDNESDAY, places, scanner, token};

#[test]
fn a_deleted_file_is_found_in_the_commit_that_brought_it() {
    let repository = Repository::new();
    repository.write("readme", "nothing here\n");
    repository.commit("first", MONDAY);
    repository.write("config/app.env", &format!("A=1\nTOKEN={}\n", token(1)));
    let guilty = repository.commit("Add the settings\n\nwith a body", TUESDAY);
    repository.git(&["rm", "-q", "config/app.env"]);
    repository.commit("oops", WEDNESDAY);

    let report = scanner().scan_history(repository.path()).unwrap();
    assert_eq!(places(&report), [(RULE, "config/app.env", 2, guilty.as_str())]);
    let commit = report.findings[0].commit.as_ref().unwrap();
    assert_eq!(
        (commit.author.as_str(), commit.email.as_str(), commit.date.as_str()),
        ("Ada", "ada@host.test", "2026-03-03T10:00:00Z")
    );
    assert_eq!(commit.message, "Add the settings\n\nwith a body");
    assert_eq!(report.outcome(), Outcome::Leaks);
    assert_eq!(report.findings[0].ignore_name(), format!("{guilty}:config/app.env:{RULE}:2"));
}

#[test]
fn what_only_a_merge_brought_is_found_in_the_merge() {
    let repository = Repository::in_a_merge();
    repository.write("evil", &token(2));
    let merge = repository.commit("merge", WEDNESDAY);

    let report = scanner().scan_history(repository.path()).unwrap();
    assert_eq!(places(&report), [(RULE, "evil", 1, merge.as_str())]);
}

#[test]
fn what_was_amended_away_is_found_in_the_commit_that_nothing_leads_to() {
    let repository = Repository::new();
    repository.write("file", &token(3));
    let first = repository.commit("with the token", MONDAY);
    repository.write("file", "clean\n");
    repository.git(&["add", "-A"]);
    repository.git(&["commit", "-q", "--amend", "-m", "clean"]);
    let report = scanner().scan_history(repository.path()).unwrap();
    assert_eq!(places(&report), [(RULE, "file", 1, first.as_str())]);
}

#[test]
fn a_commit_that_something_leads_to_is_named_before_one_that_nothing_leads_to() {
    let repository = Repository::new();
    repository.write("file", &token(3));
    repository.commit("first words", MONDAY);
    repository.git_at(&["commit", "-q", "--amend", "-m", "better words"], TUESDAY);
    let second = repository.git(&["rev-parse", "HEAD"]);
    let report = scanner().scan_history(repository.path()).unwrap();
    assert_eq!(places(&report), [(RULE, "file", 1, second.as_str())]);
}

#[test]
fn a_blob_in_no_commit_is_found_by_its_id() {
    let repository = Repository::new();
    repository.commit("empty", MONDAY);
    repository.write("file", &token(4));
    let blob = repository.git(&["hash-object", "-w", "file"]);
    let report = scanner().scan_history(repository.path()).unwrap();
    assert_eq!(places(&report), [(RULE, format!("unreferenced/{blob}").as_str(), 1, "")]);
}

#[test]
fn the_same_content_is_read_once_and_reported_once_for_each_file_of_its_commit() {
    let repository = Repository::new();
    repository.write("one", &token(5));
    repository.write("two/three", &token(5));
    let first = repository.commit("twice", MONDAY);
    repository.git(&["mv", "one", "renamed"]);
    repository.commit("rename", TUESDAY);
    let report = scanner().scan_history(repository.path()).unwrap();
    assert_eq!(report.coverage.blobs, 1);
    assert_eq!(places(&report), [(RULE, "one", 1, first.as_str()), (RULE, "two/three", 1, first.as_str())]);
}

#[test]
fn a_secret_that_stays_through_many_versions_is_one_finding_of_the_first() {
    let repository = Repository::new();
    repository.write("file", &format!("{}\n", token(6)));
    let first = repository.commit("0", MONDAY);
    for version in 1..6 {
        repository.write("file", &format!("line {version}\n{}\n", token(6)));
        repository.commit("more", &format!("2026-04-0{version}T10:00:00Z"));
    }
    let report = scanner().scan_history(repository.path()).unwrap();
    assert_eq!(places(&report), [(RULE, "file", 1, first.as_str())]);
    assert_eq!((report.coverage.blobs, report.coverage.commits), (6, 6));
}

#[test]
fn other_branches_tags_and_stashes_count() {
    let repository = Repository::new();
    repository.write("file", "clean\n");
    repository.commit("base", MONDAY);
    repository.git(&["checkout", "-q", "-b", "other"]);
    repository.write("branch", &token(7));
    repository.commit("branch", TUESDAY);
    repository.git(&["checkout", "-q", "main"]);
    repository.write("file", &token(8));
    repository.git(&["stash", "-q"]);
    let report = scanner().scan_history(repository.path()).unwrap();
    let files: Vec<_> = report.findings.iter().map(|finding| finding.place.file.as_str()).collect();
    assert_eq!(files, ["branch", "file"]);
}

#[test]
fn packed_repositories_give_the_same_answer() {
    let repository = Repository::new();
    for version in 0..20 {
        repository.write(
            "file",
            &format!("{}\n{}\n", "filler\n".repeat(200 + version), token(u8::try_from(version).unwrap())),
        );
        repository.commit("more", MONDAY);
    }
    let loose = scanner().scan_history(repository.path()).unwrap();
    repository.git(&["gc", "-q", "--aggressive", "--prune=now"]);
    let packed = scanner().scan_history(repository.path()).unwrap();
    assert_eq!(places(&loose).len(), 20);
    assert_eq!(places(&loose), places(&packed));
}

#[test]
fn tree_and_history_together_name_a_secret_once() {
    let repository = Repository::new();
    repository.write("committed", &token(9));
    let commit = repository.commit("token", MONDAY);
    repository.write("new", &token(10));
    let report = scanner().scan_all(repository.path()).unwrap();
    assert_eq!(places(&report), [(RULE, "committed", 1, commit.as_str()), (RULE, "new", 1, "")]);
    let below = repository.path().join("sub");
    std::fs::create_dir(&below).unwrap();
    std::fs::write(below.join("deep"), token(11)).unwrap();
    let report = scanner().scan_all(&below).unwrap();
    assert_eq!(places(&report), [(RULE, "committed", 1, commit.as_str()), (RULE, "sub/deep", 1, "")]);
}

#[test]
fn ignore_files_name_findings_of_one_commit_or_of_all() {
    let repository = Repository::new();
    repository.write("one", &token(12));
    repository.write("two", &token(13));
    let commit = repository.commit("tokens", MONDAY);
    repository.write(".gitleaksignore", &format!("# known\n\n{commit}:one:{RULE}:1\n"));
    repository.write(".turnlockignore", &format!("two:{RULE}:1\n"));
    assert_eq!(scanner().scan_history(repository.path()).unwrap().outcome(), Outcome::Clean);
    repository.write(".turnlockignore", &format!("two:{RULE}:2\nother:{RULE}:1\n"));
    assert_eq!(places(&scanner().scan_history(repository.path()).unwrap()), [(RULE, "two", 1, commit.as_str())]);
}

#[test]
fn a_damaged_object_makes_the_answer_partial_and_nothing_else() {
    let repository = Repository::new();
    repository.write("good", &token(14));
    repository.write("bad", "soon damaged\n");
    repository.commit("both", MONDAY);
    let blob = repository.git(&["rev-parse", "HEAD:bad"]);
    let object = repository.path().join(".git/objects").join(&blob[..2]).join(&blob[2..]);
    std::fs::set_permissions(&object, std::fs::Permissions::from_mode(0o644)).unwrap();
    std::fs::write(&object, b"this is not zlib").unwrap();
    let report = scanner().scan_history(repository.path()).unwrap();
    assert_eq!(report.findings.len(), 1);
    assert!(
        report.coverage.omissions.iter().any(|omission| omission.what.contains(&blob) && omission.why == Why::Damaged)
    );
    assert!(report.coverage.is_partial());
}

#[test]
fn a_damaged_pack_or_index_is_an_answer() {
    let repository = Repository::new();
    for version in 0..30 {
        repository.write("file", &format!("{}\n{version}\n{}\n", "filler\n".repeat(200), token(17)));
        repository.commit("more", MONDAY);
    }
    repository.git(&["gc", "-q", "--prune=now"]);
    let scanner = scanner();
    for extension in ["pack", "idx"] {
        let folder = std::fs::read_dir(repository.path().join(".git/objects/pack")).unwrap();
        let mut files = folder.map(|entry| entry.unwrap().path());
        let file = files.find(|path| path.extension().is_some_and(|known| known == extension)).unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
        let whole = std::fs::read(&file).unwrap();
        for at in (0..whole.len()).step_by(whole.len() / 24) {
            for flip in [0x55, 0x80] {
                let mut bytes = whole.clone();
                bytes[at] ^= flip;
                std::fs::write(&file, &bytes).unwrap();
                // Whatever the damage: no panic, no hang. A report without findings must not call itself complete.
                if let Ok(report) = scanner.scan_history(repository.path()) {
                    assert_ne!(report.outcome(), Outcome::Clean, "{extension} at {at}");
                }
            }
        }
        std::fs::write(&file, &whole[..whole.len() / 2]).unwrap();
        if let Ok(report) = scanner.scan_history(repository.path()) {
            assert!(report.coverage.is_partial());
        }
        std::fs::write(&file, &whole).unwrap();
    }
}

#[test]
fn a_shallow_clone_says_that_it_is_cut_off() {
    let repository = Repository::new();
    for version in 0..3 {
        repository.write("file", &format!("{version}\n"));
        repository.commit("more", MONDAY);
    }
    let clone = Repository::new();
    let url = format!("file://{}", repository.path().display());
    clone.git(&["clone", "-q", "--depth", "1", &url, "clone"]);
    let report = scanner().scan_history(&clone.path().join("clone")).unwrap();
    assert!(report.coverage.omissions.iter().any(|omission| omission.why == Why::CutOff));
    assert_eq!(report.outcome(), Outcome::Partial);
}

#[test]
fn blobs_beyond_the_limit_are_named_and_not_read() {
    let repository = Repository::new();
    repository.write("big", &format!("{}{}", "x\n".repeat(2000), token(15)));
    repository.commit("big", MONDAY);
    let mut options = Options::usual();
    options.max_bytes = 1000;
    let report = Scanner::new(options).unwrap().scan_history(repository.path()).unwrap();
    assert_eq!(report.outcome(), Outcome::Partial);
    assert_eq!(report.coverage.blobs, 0);
}

#[test]
fn a_sha_256_repository_is_read() {
    let repository = Repository(tempfile::tempdir().unwrap());
    repository.git(&["init", "-q", "-b", "main", "--object-format=sha256"]);
    repository.write("file", &token(16));
    let commit = repository.commit("token", MONDAY);
    assert_eq!(places(&scanner().scan_history(repository.path()).unwrap()), [(RULE, "file", 1, commit.as_str())]);
}

#[test]
fn a_folder_without_a_repository_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    assert!(scanner().scan_history(folder.path()).is_err());
    assert!(scanner().scan_all(folder.path()).is_ok());
}

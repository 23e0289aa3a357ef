//! Repositories in all the shapes that git makes, and some that it does not.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use turnlock_scan::{Outcome, Range, Report, Why};

use crate::{MONDAY, Repository, TUESDAY, places, scanner, token};

/// Two commits; the second takes away what the first brought, and brings something itself.
fn two() -> Repository {
    let repository = Repository::new();
    repository.write("one", &token(1));
    repository.commit("one", MONDAY);
    fs::remove_file(repository.path().join("one")).unwrap();
    repository.write("two", &token(2));
    repository.commit("two", TUESDAY);
    repository
}

fn files(report: &Report) -> Vec<&str> {
    places(report).into_iter().map(|(_, file, ..)| file).collect()
}

fn omissions(report: &Report) -> Vec<String> {
    report.coverage.omissions.iter().map(|omission| format!("{}: {}", omission.what, omission.why)).collect()
}

/// A clone of `repository` below a folder of its own.
fn clone(repository: &Repository, options: &[&str]) -> (Repository, PathBuf) {
    let around = Repository(tempfile::tempdir().unwrap());
    let url = format!("file://{}", repository.path().display());
    repository.git(&["config", "uploadpack.allowFilter", "true"]);
    repository.git(&["config", "uploadpack.allowAnySHA1InWant", "true"]);
    around.git(&[&["clone", "-q"], options, &[&url, "clone"]].concat());
    let path = around.path().join("clone");
    (around, path)
}

fn packed(repository: &Repository, extension: &str) -> Vec<PathBuf> {
    let folder = fs::read_dir(repository.path().join(".git/objects/pack")).unwrap();
    let files = folder.map(|file| file.unwrap().path());
    files.filter(|path| path.extension().is_some_and(|known| known == extension)).collect()
}

#[test]
fn objects_that_are_borrowed_count_and_a_lender_that_is_gone_is_said() {
    let lender = two();
    let around = Repository(tempfile::tempdir().unwrap());
    around.git(&["clone", "-q", "--shared", lender.path().to_str().unwrap(), "clone"]);
    let path = around.path().join("clone");
    let report = scanner().scan_history(&path).unwrap();
    assert_eq!((files(&report), report.coverage.omitted), (vec!["one", "two"], 0));
    drop(lender);
    let report = scanner().scan_history(&path).unwrap();
    assert_eq!(report.outcome(), Outcome::Partial);
    let said = omissions(&report);
    assert!(
        said.iter().any(|said| said.ends_with("/objects: cannot be read: the repository borrows from it")),
        "{said:?}"
    );
}

#[test]
fn a_linked_worktree_has_the_history_of_all_and_files_of_its_own() {
    let repository = two();
    let around = tempfile::tempdir().unwrap();
    let linked = around.path().join("linked");
    repository.git(&["worktree", "add", "-q", "-b", "other", linked.to_str().unwrap()]);
    fs::write(linked.join("three"), token(3)).unwrap();
    repository.write("four", &token(4));
    assert_eq!(files(&scanner().scan_all(&linked).unwrap()), ["one", "three", "two"]);
    assert_eq!(files(&scanner().scan_all(repository.path()).unwrap()), ["four", "one", "two"]);
}

#[test]
fn a_bare_repository_is_all_history() {
    let repository = two();
    let (_around, bare) = clone(&repository, &["--bare"]);
    for report in [scanner().scan_history(&bare), scanner().scan_all(&bare)] {
        let report = report.unwrap();
        assert_eq!((files(&report), report.coverage.omitted), (vec!["one", "two"], 0));
    }
}

#[test]
fn what_a_partial_clone_left_out_is_counted_and_not_fetched() {
    let repository = two();
    let (around, path) = clone(&repository, &["--filter=blob:none"]);
    let missing = || {
        let at = path.to_str().unwrap();
        let all = around.git(&["-C", at, "rev-list", "--objects", "--all", "--missing=print"]);
        all.lines().filter(|line| line.starts_with('?')).count()
    };
    assert_eq!(missing(), 1);
    let report = scanner().scan_history(&path).unwrap();
    assert_eq!(files(&report), ["two"]);
    assert_eq!(omissions(&report), ["an object that a partial clone left out: the history is cut off here"]);
    let old = Range { revisions: vec!["HEAD~1".to_owned()], ..Range::default() };
    assert_eq!(scanner().scan_range(&path, &old).unwrap().outcome(), Outcome::Partial);
    assert_eq!(missing(), 1);
    // One that has all by now is as good as another.
    around.git(&["-C", path.to_str().unwrap(), "cat-file", "blob", "HEAD~1:one"]);
    let report = scanner().scan_history(&path).unwrap();
    assert_eq!((files(&report), report.coverage.omitted), (vec!["one", "two"], 0));

    let (_around, path) = clone(&repository, &["--filter=tree:0", "--no-checkout"]);
    let report = scanner().scan_history(&path).unwrap();
    assert_eq!(report.outcome(), Outcome::Partial);
    assert_eq!(omissions(&report), ["2 objects that a partial clone left out: the history is cut off here"]);
}

#[test]
fn a_history_that_lost_a_pack_is_not_clean() {
    let repository = Repository::new();
    repository.write("old", "one\n");
    repository.commit("old", MONDAY);
    repository.git(&["repack", "-adq"]);
    repository.write("new", "two\n");
    let tip = repository.commit("new", TUESDAY);
    assert_eq!(scanner().scan_history(repository.path()).unwrap().outcome(), Outcome::Clean);
    for file in [packed(&repository, "pack"), packed(&repository, "idx")].concat() {
        fs::remove_file(file).unwrap();
    }
    // The reference still leads to a commit that is there; what that was made from is gone.
    let report = scanner().scan_history(repository.path()).unwrap();
    assert_eq!((report.outcome(), report.coverage.commits), (Outcome::Partial, 1), "{tip}");
    assert!(report.coverage.omissions.iter().all(|omission| omission.why == Why::Damaged), "{report:?}");
}

#[test]
fn a_submodule_is_files_in_the_tree_and_no_history() {
    let inner = two();
    let repository = Repository::new();
    let url = inner.path().to_str().unwrap();
    repository.git(&["-c", "protocol.file.allow=always", "submodule", "add", "-q", url, "inner"]);
    repository.commit("a submodule", MONDAY);
    let report = scanner().scan_history(repository.path()).unwrap();
    assert_eq!((report.outcome(), report.coverage.omitted), (Outcome::Clean, 0));
    assert_eq!(files(&scanner().scan_all(repository.path()).unwrap()), ["inner/two"]);
    assert_eq!(files(&scanner().scan_all(&repository.path().join("inner")).unwrap()), ["one", "two"]);
}

#[test]
fn an_index_over_many_packs_stands_for_theirs() {
    for format in ["sha1", "sha256"] {
        let repository = Repository(tempfile::tempdir().unwrap());
        repository.git(&["init", "-q", "-b", "main", &format!("--object-format={format}")]);
        for number in [1, 2] {
            repository.write("file", &token(number));
            repository.commit("more", MONDAY);
            repository.git(&["repack", "-q"]);
        }
        repository.git(&["multi-pack-index", "write"]);
        for index in packed(&repository, "idx") {
            fs::remove_file(index).unwrap();
        }
        let report = scanner().scan_history(repository.path()).unwrap();
        assert_eq!((report.findings.len(), omissions(&report)), (2, Vec::new()), "{format}");
        let last = Range { revisions: vec!["HEAD~1..HEAD".to_owned()], ..Range::default() };
        assert_eq!(scanner().scan_range(repository.path(), &last).unwrap().findings.len(), 1, "{format}");
        repository.write("file", &token(3));
        repository.git(&["add", "file"]);
        assert_eq!(scanner().scan_staged(repository.path()).unwrap().findings.len(), 1, "{format}");

        let path = repository.path().join(".git/objects/pack/multi-pack-index");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        let whole = fs::read(&path).unwrap();
        for length in [whole.len() - 30, whole.len() / 2, 9, 0] {
            fs::write(&path, &whole[..length]).unwrap();
            let report = scanner().scan_history(repository.path()).unwrap();
            let said = omissions(&report);
            assert!(said.iter().any(|said| said.starts_with("multi-pack-index: ")), "{format} {length}: {said:?}");
        }
    }
}

/// Only root can give a folder away; whoever else runs this scans a repository of his own.
#[test]
fn a_repository_of_another_user_is_read_as_any_other() {
    fn give_away(path: &Path) {
        if rustix::process::geteuid().is_root() {
            std::os::unix::fs::lchown(path, Some(65534), Some(65534)).unwrap();
            for entry in fs::read_dir(path).into_iter().flatten() {
                let entry = entry.unwrap();
                if entry.file_type().unwrap().is_dir() {
                    give_away(&entry.path())
                } else {
                    std::os::unix::fs::lchown(entry.path(), Some(65534), Some(65534)).unwrap();
                }
            }
        }
    }
    let repository = two();
    // What such a repository tells to run is not run.
    let ran = repository.path().join("ran");
    repository.git(&["config", "core.fsmonitor", &format!("touch {}", ran.display())]);
    repository.git(&["config", "core.hooksPath", "."]);
    repository.write("three", &token(3));
    give_away(repository.path());
    let report = scanner().scan_all(repository.path()).unwrap();
    assert_eq!((files(&report), report.coverage.omitted), (vec!["one", "three", "two"], 0));
    assert_eq!(places(&scanner().scan_staged(repository.path()).unwrap()), []);
    assert!(!ran.exists());
}

#[test]
fn a_history_that_cannot_be_opened_is_no_clean_history() {
    type Damage = fn(&Path);
    let damage: [(&str, Damage); 4] = [
        ("a damaged configuration", |git| fs::write(git.join("config"), "[core\nbad").unwrap()),
        ("a format of the future", |git| {
            fs::write(git.join("config"), "[core]\nrepositoryformatversion = 99\n").unwrap();
        }),
        ("no objects", |git| fs::remove_dir_all(git.join("objects")).unwrap()),
        ("a link to nowhere", |git| {
            fs::remove_dir_all(git).unwrap();
            fs::write(git, "gitdir: /nowhere\n").unwrap();
        }),
    ];
    for (what, damage) in damage {
        let repository = two();
        fs::remove_file(repository.path().join("two")).unwrap();
        damage(&repository.path().join(".git"));
        let report = scanner().scan_all(repository.path()).unwrap();
        assert_eq!(report.outcome(), Outcome::Partial, "{what}");
        let [omission] = report.coverage.omissions.as_slice() else { panic!("{what}: {report:?}") };
        assert!(omission.what.ends_with("/.git") && matches!(omission.why, Why::Unreadable(_)), "{what}: {omission:?}");
    }
    // Where nothing is, nothing is missing.
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join(".git")).unwrap();
    assert_eq!(scanner().scan_all(folder.path()).unwrap().outcome(), Outcome::Clean);
}

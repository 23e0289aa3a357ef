//! Scans of real repositories and trees, made by git and the operating system.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod again;
mod archive;
mod bomb;
mod commits;
mod contract;
mod databases;
mod encoded;
mod excluded;
mod formats;
mod history;
mod ignores;
mod keystores;
mod messages;
mod notations;
mod report;
mod repositories;
mod store;
mod tree;
mod verify;

use std::path::Path;
use std::process::Command;

use tempfile::TempDir;
use turnlock_scan::{Options, Report, Scanner};

/// The rule that finds [`token`].
const RULE: &str = "digitalocean-token";

/// Three days in a row.
const MONDAY: &str = "2026-03-02T10:00:00Z";
const TUESDAY: &str = "2026-03-03T10:00:00Z";
const WEDNESDAY: &str = "2026-03-04T10:00:00Z";

/// A made-up token of DigitalOcean: its format is plain and no value of it occurs by chance.
fn token(number: u8) -> String {
    format!("dop_{}{}{number:02x}", "v1_", "4f81c9e07ab25d36".repeat(4).get(..62).unwrap())
}

fn scanner() -> Scanner {
    Scanner::new(Options::usual()).unwrap()
}

/// A repository in a temporary folder, driven by the real git with no configuration of the machine's.
struct Repository(TempDir);

impl Repository {
    fn new() -> Self {
        let repository = Self(tempfile::tempdir().unwrap());
        repository.git(&["init", "-q", "-b", "main"]);
        repository
    }

    /// One in which two branches, `main` and `side`, are about to be merged: the next commit is the merge.
    fn in_a_merge() -> Self {
        let repository = Self::new();
        repository.write("a", "base\n");
        repository.commit("base", MONDAY);
        repository.git(&["checkout", "-q", "-b", "side"]);
        repository.write("b", "side\n");
        repository.commit("side", TUESDAY);
        repository.git(&["checkout", "-q", "main"]);
        repository.write("c", "main\n");
        repository.commit("main", TUESDAY);
        repository.git(&["merge", "-q", "--no-commit", "side"]);
        repository
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn git(&self, arguments: &[&str]) -> String {
        self.git_at(arguments, "2026-01-02T03:04:05+01:00")
    }

    fn git_at(&self, arguments: &[&str], date: &str) -> String {
        let output = Command::new("git")
            .args(arguments)
            .current_dir(self.path())
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap())
            .env("HOME", self.path())
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .envs([("GIT_AUTHOR_NAME", "Ada"), ("GIT_AUTHOR_EMAIL", "ada@host.test"), ("GIT_AUTHOR_DATE", date)])
            .envs([
                ("GIT_COMMITTER_NAME", "Ada"),
                ("GIT_COMMITTER_EMAIL", "ada@host.test"),
                ("GIT_COMMITTER_DATE", date),
            ])
            .output()
            .unwrap();
        assert!(output.status.success(), "git {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    fn write(&self, file: &str, text: &str) {
        let path = self.path().join(file);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    /// Commits everything and returns the commit's id.
    fn commit(&self, message: &str, date: &str) -> String {
        self.git(&["add", "-A"]);
        self.git_at(&["commit", "-q", "--allow-empty", "-m", message], date);
        self.git(&["rev-parse", "HEAD"])
    }
}

/// Rule, file, line and commit of each finding.
fn places(report: &Report) -> Vec<(&str, &str, u32, &str)> {
    report
        .findings
        .iter()
        .map(|finding| {
            let commit = finding.commit.as_ref().map_or("", |commit| commit.id.as_str());
            (finding.rule.as_str(), finding.place.file.as_str(), finding.place.start_line, commit)
        })
        .collect()
}

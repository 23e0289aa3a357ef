//! The programs of `examples/` do what their first lines say.

use std::path::Path;
use std::process::{Command, Output};

use crate::harness::{BINARY, top};

#[test]
fn the_hook_stops_a_commit_with_a_credential_and_lets_others_pass() {
    let dir = tempfile::tempdir().unwrap();
    assert!(git(dir.path(), &["init", "-q"]).status.success());
    std::fs::create_dir_all(dir.path().join(".git/hooks")).unwrap();
    std::os::unix::fs::symlink(top().join("examples/pre-commit.sh"), dir.path().join(".git/hooks/pre-commit")).unwrap();
    std::fs::write(dir.path().join("plain.txt"), "nothing to see\n").unwrap();
    assert!(commit(dir.path()).status.success());
    // Put together here, so that a scan of these sources does not find it.
    let key = ["AKIA", "Q3EGRZ7M5XWT2JLB"].concat();
    std::fs::write(dir.path().join("config.py"), format!("aws_access_key_id = \"{key}\"\n")).unwrap();
    let refused = commit(dir.path());
    assert!(!refused.status.success(), "{}", String::from_utf8_lossy(&refused.stdout));
    assert!(!String::from_utf8_lossy(&refused.stdout).contains(&key));
}

fn commit(folder: &Path) -> Output {
    assert!(git(folder, &["add", "."]).status.success());
    git(folder, &["commit", "-q", "-m", "A change"])
}

fn git(folder: &Path, arguments: &[&str]) -> Output {
    let tools = Path::new(BINARY).parent().unwrap();
    let path = std::env::join_paths(
        std::iter::once(tools.to_owned()).chain(std::env::split_paths(&std::env::var_os("PATH").unwrap())),
    );
    Command::new("git")
        .args(["-c", "user.name=a", "-c", "user.email=a@test"])
        .args(arguments)
        .env("PATH", path.unwrap())
        .current_dir(folder)
        .output()
        .unwrap()
}

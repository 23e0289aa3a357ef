//! Hooks of git that `turnlock scan install-hook` writes, run by git.

use std::process::Command;

use serde_json::Value;

use crate::harness::top;
use crate::scan_command::{Folder, err, key, out};

/// A folder that holds a credential, and a repository with hooks.
fn guarded() -> Folder {
    let folder = Folder::new();
    assert!(folder.git(&["init", "-q", "-b", "main"]).status.success());
    let installed = folder.scan(&["install-hook"]);
    assert!(installed.status.success(), "{}", err(&installed));
    folder
}

fn leak() -> String {
    format!("aws_access_key_id = \"{}\"\n", key())
}

/// Whether git does this.
fn passes(folder: &Folder, arguments: &[&str]) -> bool {
    folder.git(arguments).status.success()
}

#[test]
fn hooks_refuse_commits_keep_the_hooks_that_were_there_and_are_written_once() {
    let folder = Folder::new();
    assert!(folder.git(&["init", "-q", "-b", "main"]).status.success());
    let hooks = folder.path().join(".git/hooks");
    std::fs::create_dir_all(&hooks).unwrap();
    std::fs::write(hooks.join("pre-commit"), "#!/bin/sh\necho ran-before >> before.log\n").unwrap();
    assert!(Command::new("chmod").arg("+x").arg(hooks.join("pre-commit")).status().unwrap().success());
    let first = folder.scan(&["install-hook"]);
    assert!(out(&first).contains("the hook that was there runs first"), "{}{}", out(&first), err(&first));
    let second = folder.scan(&["install-hook"]);
    assert_eq!(out(&second).matches("is already installed").count(), 3, "{}", out(&second));

    folder.git(&["add", "config.py"]);
    let refused = folder.git(&["commit", "-qm", "leak"]);
    assert!(!refused.status.success());
    // Git sends to standard error what a hook says.
    let said = out(&refused) + &err(&refused);
    assert!(!said.contains(&key()) && said.contains("config.py"), "{said}");
    assert_eq!(folder.read("before.log"), "ran-before\n");
    // What was changed after `git add` does not count.
    folder.write("config.py", "nothing\n");
    assert!(!folder.git(&["commit", "-qm", "leak"]).status.success());
    folder.git(&["add", "config.py"]);
    let passed = folder.git(&["commit", "-qm", "clean"]);
    assert!(passed.status.success(), "{}{}", out(&passed), err(&passed));
}

#[test]
fn a_credential_in_the_message_of_a_commit_is_refused() {
    let folder = guarded();
    folder.write("a", "clean\n");
    folder.git(&["add", "a"]);
    let refused = folder.git(&["commit", "-qm", &format!("Use {}", leak())]);
    let said = out(&refused) + &err(&refused);
    assert!(!refused.status.success() && said.contains("(commit message):1") && !said.contains(&key()), "{said}");
    // Below the scissors of git stands what changes, which is another hook's; below others, the message goes on.
    let scissors = format!("Say\n# {0} >8 {0}\n", "-".repeat(24));
    folder.write("message", &format!("{scissors}{}", leak()));
    assert!(!folder.git(&["commit", "-q", "-F", "message"]).status.success());
    folder.write("message", &format!("{scissors}# Do not modify or remove the line above.\n-{}", leak()));
    let passed = folder.git(&["commit", "-q", "-F", "message", "--cleanup=scissors"]);
    assert!(passed.status.success(), "{}", err(&passed));
    // Its place is no name: the next message may hold another one there. The credential gets one with the key.
    assert!(!said.contains("to ignore: ") && said.contains("scan again: turnlock scan ignore\n"), "{said}");
    let vague = folder.scan(&["ignore", "(commit message):aws-access-token:1"]);
    assert_eq!(vague.status.code(), Some(2));
    assert!(err(&vague).contains("every later message") && err(&vague).contains("secret:"), "{}", err(&vague));
    assert!(folder.scan(&["ignore"]).status.success());
    let again = folder.git(&["commit", "-qm", &format!("Use {}", leak()), "--allow-empty"]);
    let said = out(&again) + &err(&again);
    let name = said.split("wherever it stands: ").nth(1).and_then(|rest| rest.lines().next()).unwrap().to_owned();
    assert!(folder.scan(&["ignore", &name]).status.success(), "{name}");
    assert!(passes(&folder, &["commit", "-qm", &format!("Use {}", leak()), "--allow-empty"]));
    let other = leak().replace("Q3EG", "Q3EH");
    assert!(!passes(&folder, &["commit", "-qm", &format!("Use {other}"), "--allow-empty"]));
    let missing = folder.scan(&["commit-msg", "no-such-file"]);
    assert_eq!(missing.status.code(), Some(2));
    assert!(err(&missing).contains("no-such-file cannot be read"), "{}", err(&missing));
}

#[test]
fn a_hook_says_little_when_all_is_well_and_how_to_go_on_when_not() {
    let folder = guarded();
    folder.write("a", "clean\n");
    folder.git(&["add", "a"]);
    let passed = folder.git(&["commit", "-qm", "clean"]);
    let said = out(&passed) + &err(&passed);
    assert_eq!(said, "no leaks found in what is staged\nno leaks found in the message\n");
    folder.git(&["add", "config.py"]);
    let refused = folder.git(&["commit", "-qm", "leak"]);
    let said = out(&refused) + &err(&refused);
    for words in ["to go on: take it out, `git add` the file", "scan ignore NAME", "--no-verify"] {
        assert!(said.contains(words), "{words:?} is not in: {said}");
    }
    folder.git(&["rm", "-q", "--cached", "config.py"]);
    let refused = folder.git(&["commit", "-qm", &format!("Use {}", leak()), "--allow-empty"]);
    let said = out(&refused) + &err(&refused);
    assert!(said.contains("git commit -eF .git/COMMIT_EDITMSG"), "{said}");
    // Nobody is refused by a scan of files.
    assert!(!err(&folder.scan(&["dir", "."])).contains("to go on"));
}

#[test]
fn a_push_with_a_credential_is_refused() {
    let folder = Folder::new();
    let far = tempfile::tempdir().unwrap();
    let far = far.path().to_str().unwrap();
    folder.git(&["init", "-q", "-b", "main"]);
    folder.git(&["init", "-q", "--bare", far]);
    folder.git(&["remote", "add", "origin", far]);
    assert!(folder.scan(&["install-hook", "--only", "pre-push"]).status.success());
    folder.write("a", "clean\n");
    folder.git(&["add", "a"]);
    folder.git(&["commit", "-qm", "clean"]);
    let passed = folder.git(&["push", "-q", "origin", "main"]);
    assert!(passed.status.success(), "{}{}", out(&passed), err(&passed));
    folder.git(&["add", "config.py"]);
    folder.git(&["commit", "-qm", "leak"]);
    let refused = folder.git(&["push", "-q", "origin", "main"]);
    assert!(!refused.status.success(), "{}", err(&refused));
    // A branch that the other side has not seen at all, and one that is deleted.
    assert!(!folder.git(&["push", "-q", "origin", "main:other"]).status.success());
    folder.git(&["push", "-q", "--no-verify", "origin", "main:other"]);
    assert!(folder.git(&["push", "-q", "origin", ":other"]).status.success());
}

#[test]
fn only_what_the_commit_takes_counts() {
    let folder = guarded();
    folder.write("a", "clean\n");
    folder.write("b", "clean\n");
    assert!(passes(&folder, &["add", "a", "b"]) && passes(&folder, &["commit", "-qm", "clean"]));
    // Staged clean, changed since.
    folder.write("a", "still clean\n");
    folder.git(&["add", "a"]);
    folder.write("a", &leak());
    assert!(passes(&folder, &["commit", "-qm", "staged only"]));
    // Git makes another index for what it takes beyond or instead of what is staged.
    assert!(!passes(&folder, &["commit", "-qam", "all"]));
    assert!(!passes(&folder, &["commit", "-qm", "one file", "a"]));
    folder.git(&["add", "a"]);
    folder.write("b", "still clean\n");
    assert!(passes(&folder, &["commit", "-qm", "another file", "b"]));
    assert!(!passes(&folder, &["commit", "-qm", "what is staged"]));
}

#[test]
fn what_a_merged_branch_has_is_not_new_and_what_the_merge_adds_is() {
    let folder = guarded();
    folder.write("a", "clean\n");
    folder.git(&["add", "a"]);
    assert!(passes(&folder, &["commit", "-qm", "clean"]));
    folder.git(&["checkout", "-qb", "side"]);
    folder.git(&["add", "config.py"]);
    assert!(passes(&folder, &["commit", "-qm", "known", "--no-verify"]));
    folder.git(&["checkout", "-q", "main"]);
    folder.write("b", "clean\n");
    folder.git(&["add", "b"]);
    assert!(passes(&folder, &["commit", "-qm", "clean"]));
    assert!(passes(&folder, &["merge", "-q", "--no-commit", "side"]));
    folder.write("b", &leak());
    folder.git(&["add", "b"]);
    let refused = folder.git(&["commit", "-qm", "merge"]);
    let said = out(&refused) + &err(&refused);
    assert!(!refused.status.success() && said.contains("b:1") && !said.contains("config.py"), "{said}");
    folder.write("b", "clean\n");
    folder.git(&["add", "b"]);
    let merged = folder.git(&["commit", "-qm", "merge"]);
    assert!(merged.status.success(), "{}{}", out(&merged), err(&merged));
}

#[test]
fn linked_worktrees_and_repositories_elsewhere_are_guarded_too() {
    let folder = guarded();
    folder.write("a", "clean\n");
    folder.git(&["add", "a"]);
    assert!(passes(&folder, &["commit", "-qm", "clean"]));
    assert!(passes(&folder, &["worktree", "add", "-q", "linked"]));
    folder.write("linked/b", &leak());
    assert!(passes(&folder, &["-C", "linked", "add", "b"]));
    assert!(!passes(&folder, &["-C", "linked", "commit", "-qm", "leak"]));
    assert!(passes(&folder, &["-C", "linked", "commit", "-qm", "leak", "--no-verify"]));
    std::fs::rename(folder.path().join(".git"), folder.path().join("away.git")).unwrap();
    let elsewhere = ["--git-dir=away.git", "--work-tree=."];
    assert!(passes(&folder, &[&elsewhere[..], &["add", "config.py"]].concat()));
    assert!(!passes(&folder, &[&elsewhere[..], &["commit", "-qm", "leak"]].concat()));
}

#[test]
fn a_remote_is_not_excused_by_what_another_remote_has() {
    let folder = guarded();
    let far = tempfile::tempdir().unwrap();
    let far_at = |name: &str| far.path().join(name).to_str().unwrap().to_owned();
    for name in ["private", "public"] {
        folder.git(&["init", "-q", "--bare", &far_at(name)]);
        folder.git(&["remote", "add", name, &far_at(name)]);
    }
    folder.git(&["add", "config.py"]);
    folder.git(&["commit", "-qm", "leak", "--no-verify"]);
    assert!(passes(&folder, &["push", "-q", "--no-verify", "private", "main"]));
    assert!(!passes(&folder, &["push", "-q", "public", "main"]));
    // By its address there are no references of it here, only what it answers.
    assert!(!passes(&folder, &["push", "-q", &far_at("public"), "main"]));
    folder.write("a", "clean\n");
    folder.git(&["add", "a"]);
    assert!(passes(&folder, &["commit", "-qm", "clean"]));
    assert!(passes(&folder, &["push", "-q", &far_at("private"), "main"]));
    assert!(passes(&folder, &["push", "-q", "private", "main:other"]));
}

#[test]
fn hooks_are_passed_by_under_the_names_that_people_know() {
    let folder = guarded();
    folder.git(&["add", "config.py"]);
    assert!(!passes(&folder, &["commit", "-qm", "leak"]));
    let skipped = folder.run("sh", &["-c", "SKIP=other,gitleaks git -c user.name=a -c user.email=a@t commit -qm leak"]);
    assert!(skipped.status.success(), "{}", err(&skipped));
}

#[test]
fn the_hooks_for_the_pre_commit_framework_stop_what_is_staged() {
    let folder = Folder::new();
    folder.git(&["init", "-q"]);
    let text = std::fs::read_to_string(top().join(".pre-commit-hooks.yaml")).unwrap();
    let mut hooks: Vec<Value> = serde_norway::from_str(&text).unwrap();
    let names: Vec<_> = hooks.iter().map(|hook| hook["id"].as_str().unwrap().to_owned()).collect();
    assert_eq!(names, ["turnlock", "gitleaks", "turnlock-message"]);
    // Of the message the file is given behind the entry.
    let message = hooks.pop().unwrap();
    assert_eq!(message["stages"], serde_json::json!(["commit-msg"]));
    let entry = format!("{} config.py", message["entry"].as_str().unwrap());
    assert_eq!(folder.run("sh", &["-c", &entry]).status.code(), Some(1));
    for hook in hooks {
        assert_eq!((hook["language"].as_str(), hook["pass_filenames"].as_bool()), (Some("system"), Some(false)));
        let run = || folder.run("sh", &["-c", hook["entry"].as_str().unwrap()]).status.code();
        assert_eq!(run(), Some(0), "nothing is staged");
        folder.git(&["add", "config.py"]);
        assert_eq!(run(), Some(1));
        folder.git(&["rm", "-q", "--cached", "config.py"]);
    }
}

//! What `turnlock scan` is given to read: pipes without an end, files that it may not open, names made to deceive.

use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::harness::BINARY;
use crate::scan_command::{Folder, err, key, out};

#[test]
fn a_pipe_without_an_end_is_read_up_to_the_limit_and_what_was_found_is_said() {
    let folder = Folder::new();
    let scan = |end: bool, limit: &str| {
        let mut command = Command::new(BINARY);
        command.args(["scan", "stdin", "--max-target-megabytes", limit]).env_clear().current_dir(folder.path());
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut to = child.stdin.take().unwrap();
        std::thread::scope(|scope| {
            scope.spawn(move || {
                let line = "a line of a log that says nothing\n".repeat(1000);
                let _ = writeln!(to, "aws_access_key_id = \"{}\"", key());
                for _ in 0..100 {
                    if to.write_all(line.as_bytes()).is_err() {
                        return;
                    }
                }
                while !end && to.write_all(line.as_bytes()).is_ok() {}
            });
            child.wait_with_output().unwrap()
        })
    };
    let cut = scan(false, "2");
    assert_eq!(cut.status.code(), Some(1), "{}", err(&cut));
    assert!(err(&cut).contains("not covered: the rest of standard input: larger than 2000000 bytes"), "{}", err(&cut));
    let whole = scan(true, "4");
    assert_eq!(whole.status.code(), Some(1));
    assert!(!err(&whole).contains("not covered"), "{}", err(&whole));
}

#[test]
fn files_and_folders_that_may_not_be_opened_are_named_once() {
    let folder = Folder::new();
    let at = folder.path();
    std::fs::remove_file(at.join("config.py")).unwrap();
    std::fs::create_dir_all(at.join("tree/closed")).unwrap();
    folder.write("tree/secret", "x\n");
    folder.write("tree/open", "x\n");
    let mode = |path: &str, mode| {
        std::fs::set_permissions(at.join(path), std::fs::Permissions::from_mode(mode)).unwrap();
    };
    // Root may open everything: whoever it is, the scan is somebody's who may not.
    std::fs::copy(BINARY, at.join("turnlock")).unwrap();
    mode(".", 0o755);
    mode("turnlock", 0o755);
    mode("tree/secret", 0o000);
    mode("tree/closed", 0o000);
    let mut command = Command::new(at.join("turnlock"));
    command.args(["scan", "dir", "tree"]).env_clear().current_dir(at);
    if rustix::process::geteuid().is_root() {
        command.uid(65534).gid(65534);
    }
    let output = command.output().unwrap();
    mode("tree/closed", 0o755);
    assert_eq!(output.status.code(), Some(3), "{}", err(&output));
    let said = err(&output);
    let gaps: Vec<&str> = said.lines().filter(|line| line.starts_with("not covered")).collect();
    let gap = |name: &str| format!("not covered: tree/{name}: cannot be read: permission denied");
    assert_eq!(gaps, [gap("closed"), gap("secret")]);
}

#[test]
fn names_made_to_deceive_reach_a_terminal_as_numbers_and_programs_as_they_are() {
    let folder = Folder::new();
    let evil = "evil\n\u{1b}[2Jno leaks found\u{202e}.py";
    std::fs::rename(folder.path().join("config.py"), folder.path().join(evil)).unwrap();
    let text = folder.scan(&["dir", "."]);
    assert!(out(&text).contains(r"evil\u{a}\u{1b}[2Jno leaks found\u{202e}.py:1"), "{}", out(&text));
    let all = out(&text) + &err(&text);
    assert!(!all.chars().any(|char| char == '\u{1b}' || char == '\u{202e}'), "{all}");
    let rows: Value = serde_json::from_str(&out(&folder.scan(&["dir", ".", "-f", "json"]))).unwrap();
    assert_eq!(rows[0]["File"], evil);
}

#[test]
fn links_are_followed_as_gitleaks_follows_them() {
    let folder = Folder::new();
    std::fs::create_dir(folder.path().join("tree")).unwrap();
    std::os::unix::fs::symlink("../config.py", folder.path().join("tree/link")).unwrap();
    let rows = |arguments: &[&str]| -> Value {
        let output = folder.scan(&[&["dir", "tree", "-f", "json"], arguments].concat());
        serde_json::from_str(&out(&output)).unwrap()
    };
    assert_eq!(rows(&[]), Value::Array(Vec::new()));
    let followed = rows(&["--follow-symlinks"]);
    assert_eq!(followed[0]["SymlinkFile"], "tree/link");
    assert!(followed[0]["File"].as_str().unwrap().ends_with("/config.py"), "{followed}");
    let text = out(&folder.scan(&["dir", "tree", "--follow-symlinks"]));
    assert!(text.contains("by the link tree/link"), "{text}");
}

#[test]
fn what_holds_no_content_is_passed_over_and_a_folder_by_a_link_is_a_folder() {
    let folder = Folder::new();
    let at = folder.path();
    std::fs::create_dir(at.join("tree")).unwrap();
    folder.write("tree/one", "x\n");
    std::os::unix::fs::symlink("tree", at.join("link")).unwrap();
    let linked = folder.scan(&["dir", "link"]);
    assert_eq!(linked.status.code(), Some(0));
    assert_eq!(err(&linked), "no leaks found; read 1 file, 0 blobs of 0 commits, 0.0 MB\n");
    rustix::fs::mknodat(rustix::fs::CWD, at.join("tree/pipe"), rustix::fs::FileType::Fifo, rustix::fs::Mode::RUSR, 0)
        .unwrap();
    let within = folder.scan(&["dir", "tree"]);
    assert_eq!(within.status.code(), Some(0));
    assert!(err(&within).ends_with("passed over: tree/pipe: not a regular file\n"), "{}", err(&within));
    let named = folder.scan(&["dir", "tree/pipe"]);
    assert_eq!(named.status.code(), Some(2));
    assert!(err(&named).contains("tree/pipe is no file and no folder"), "{}", err(&named));
}

#[test]
fn wrong_usage_of_a_scan_is_no_finding() {
    let folder = Folder::new();
    assert_eq!(folder.scan(&["--nope"]).status.code(), Some(2));
    assert_eq!(folder.run(BINARY, &["status", "--nope"]).status.code(), Some(1));
    let pipe = folder.run("sh", &["-c", "turnlock scan dir /dev/stdin < /dev/zero"]);
    assert_eq!(pipe.status.code(), Some(2));
    assert!(err(&pipe).contains("give what comes out of a pipe on standard input"), "{}", err(&pipe));
}

#[test]
fn standard_input_is_a_place_by_that_name_and_its_credentials_are_ignored_by_theirs() {
    let folder = Folder::new();
    let piped = |more: &str| folder.run("sh", &["-c", &format!("turnlock scan stdin {more} < config.py")]);
    let first = piped("");
    assert_eq!(first.status.code(), Some(1));
    let text = out(&first);
    assert!(text.contains("\n    stdin:1\n") && text.contains("scan again: turnlock scan ignore\n"), "{text}");
    assert!(!text.contains("to ignore: "), "{text}");
    let rows: Value = serde_json::from_str(&out(&piped("-f json"))).unwrap();
    assert_eq!(rows[0]["File"], "");
    assert!(folder.scan(&["ignore"]).status.success());
    let text = out(&piped(""));
    let name = text.split("wherever it stands: ").nth(1).and_then(|rest| rest.lines().next()).unwrap();
    assert!(folder.scan(&["ignore", name]).status.success(), "{text}");
    assert_eq!(piped("").status.code(), Some(0));
}

#[test]
fn options_of_a_scan_are_refused_where_nothing_is_scanned() {
    let folder = Folder::new();
    folder.git(&["init", "-q"]);
    for (call, named) in [
        (&["install-hook", "--config", "x", "--exit-code", "9", "--store"][..], "--exit-code, --config, --store have"),
        (&["--config", "x", "install-hook"], "--config has"),
        (&["ignore", "--verify", "--store", "a:b:1"], "--store, --verify have"),
        (&["ignore", "-i", "x"], "--ignore-path has"),
    ] {
        let refused = folder.scan(call);
        assert_eq!(refused.status.code(), Some(2), "{call:?}");
        assert!(err(&refused).contains(&format!("error: {named} no effect here")), "{}", err(&refused));
    }
    assert!(!folder.path().join(".git/hooks/pre-commit").exists() && !folder.path().join(".turnlockignore").exists());
    for word in ["install-hook", "ignore"] {
        let help = out(&folder.scan(&[word, "--help"]));
        assert!(!help.contains("--exit-code") && !help.contains("--verify") && help.contains("--no-color"), "{help}");
    }
    assert!(folder.scan(&["install-hook", "--no-color"]).status.success());
}

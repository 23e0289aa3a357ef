//! `turnlock scan` as people and machines call it: under its own name and that of gitleaks, and from
//! continuous integration.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;

use crate::harness::{BINARY, top};

/// Put together here, so that a scan of these sources does not find it.
pub(crate) fn key() -> String {
    ["AKIA", "Q3EGRZ7M5XWT2JLB"].concat()
}

const RULE: &str = "[[rules]]\nid = \"tok\"\nregex = '''TOK_([a-z]+)'''\n";

pub(crate) struct Folder(TempDir);

impl Folder {
    /// With a file that holds a credential.
    pub(crate) fn new() -> Self {
        let folder = Self(tempfile::tempdir().unwrap());
        folder.write("config.py", &format!("aws_access_key_id = \"{}\"\n", key()));
        folder
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path().join(name), text).unwrap();
    }

    pub(crate) fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path().join(name)).unwrap()
    }

    pub(crate) fn run(&self, program: impl AsRef<Path>, arguments: &[&str]) -> Output {
        let tools = Path::new(BINARY).parent().unwrap();
        let path = std::env::split_paths(&std::env::var_os("PATH").unwrap()).collect::<Vec<_>>();
        Command::new(program.as_ref())
            .args(arguments)
            .current_dir(self.path())
            .env_clear()
            .env("PATH", std::env::join_paths([tools.to_owned()].into_iter().chain(path)).unwrap())
            .env("HOME", self.path())
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .stdin(Stdio::null())
            .output()
            .unwrap()
    }

    pub(crate) fn scan(&self, arguments: &[&str]) -> Output {
        self.run(BINARY, &[&["scan"], arguments].concat())
    }

    pub(crate) fn git(&self, arguments: &[&str]) -> Output {
        self.run("git", &[&["-c", "user.name=a", "-c", "user.email=a@test"], arguments].concat())
    }

    /// The program under the name of gitleaks.
    fn gitleaks(&self) -> PathBuf {
        let link = self.path().join("gitleaks");
        std::os::unix::fs::symlink(BINARY, &link).unwrap();
        link
    }
}

pub(crate) fn out(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

pub(crate) fn err(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn leaks_errors_and_partial_scans_have_exit_codes_of_their_own() {
    let folder = Folder::new();
    let codes = |arguments: &[&str]| folder.scan(arguments).status.code().unwrap();
    assert_eq!(codes(&["dir", "."]), 1);
    assert_eq!(codes(&["dir", ".", "--exit-code", "9"]), 9);
    assert_eq!(codes(&["dir", "missing"]), 2);
    assert_eq!(codes(&["git", "."]), 2);
    assert_eq!(codes(&["dir", ".", "-c", "missing.toml"]), 2);
    folder.write("config.py", "nothing\n");
    assert_eq!(codes(&["dir", "."]), 0);
    folder.write("large", &"x\n".repeat(600_000));
    let partial = folder.scan(&["dir", ".", "--max-target-megabytes", "1"]);
    assert_eq!(partial.status.code().unwrap(), 3);
    assert!(err(&partial).contains("not covered: large: larger than 1000000 bytes"), "{}", err(&partial));
}

#[test]
fn a_credential_is_shown_nowhere_unless_asked_for() {
    let folder = Folder::new();
    for format in ["text", "json", "turnlock-json", "csv", "junit", "sarif", "html"] {
        let report = folder.scan(&["dir", ".", "-f", format]);
        assert_eq!(report.status.code(), Some(1), "{format}: {}", err(&report));
        assert!(!out(&report).contains(&key()) && !err(&report).contains(&key()), "{format}");
        assert!(out(&report).contains("config.py"), "{format}");
        assert!(out(&folder.scan(&["dir", ".", "-f", format, "--redact=0"])).contains(&key()), "{format}");
    }
}

#[test]
fn the_extension_of_the_report_tells_its_form_and_nobody_else_may_read_it() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = Folder::new();
    for (name, start) in
        [("r.json", "[\n"), ("r.csv", "RuleID,"), ("r.sarif", "{\n"), ("r.html", "<!doctype html>"), ("r.xml", "<?xml")]
    {
        let output = folder.scan(&["dir", "config.py", "-r", name]);
        assert_eq!((output.status.code(), out(&output)), (Some(1), String::new()));
        assert!(folder.read(name).starts_with(start), "{name}");
        let mode = std::fs::metadata(folder.path().join(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
    let template = folder.scan(&["dir", ".", "--report-template", "x.tmpl"]);
    assert_eq!(template.status.code(), Some(2));
    assert!(err(&template).contains("reports by a Go template are not written"), "{}", err(&template));
}

#[test]
fn configurations_take_precedence_in_the_order_of_the_contract() {
    let folder = Folder::new();
    let rule = |id: &str| format!("[[rules]]\nid = \"{id}\"\nregex = \"TOK_[a-z]+\"\n");
    folder.write("tok", "TOK_abc\n");
    folder.write("flag.toml", &rule("by-flag"));
    folder.write("path.toml", &rule("by-path"));
    folder.write(".gitleaks.toml", &rule("by-target"));
    let scan = |environment: &[(&str, &str)], arguments: &[&str]| {
        let mut command = Command::new(BINARY);
        command.args(["scan", "dir", ".", "-f", "json"]).args(arguments).current_dir(folder.path());
        command.env_clear().env("PATH", std::env::var_os("PATH").unwrap()).envs(environment.iter().copied());
        let rows: Value = serde_json::from_slice(&command.output().unwrap().stdout).unwrap();
        rows[0]["RuleID"].as_str().unwrap_or_default().to_owned()
    };
    let text = rule("by-text");
    let both = [("GITLEAKS_CONFIG", "path.toml"), ("GITLEAKS_CONFIG_TOML", text.as_str())];
    assert_eq!(scan(&both, &["-c", "flag.toml"]), "by-flag");
    assert_eq!(scan(&both, &[]), "by-path");
    assert_eq!(scan(&both[1..], &[]), "by-text");
    assert_eq!(scan(&[], &[]), "by-target");
    assert_eq!(scan(&[("TURNLOCK_SCAN_CONFIG", "path.toml")], &[]), "by-path");
    assert_eq!(scan(&[("TURNLOCK_SCAN_CONFIG_TOML", &text)], &[]), "by-text");
    folder.write(".turnlock-scan.toml", &rule("ours"));
    assert_eq!(scan(&[], &[]), "ours");
}

#[test]
fn under_the_name_of_gitleaks_its_defaults_hold() {
    let folder = Folder::new();
    let gitleaks = folder.gitleaks();
    folder.write("rules.toml", RULE);
    folder.write("a.txt", "x\nTOK_abc\n");
    folder.write(".gitignore", "a.txt\n");
    let run = |arguments: &[&str]| folder.run(&gitleaks, arguments);
    let plain = run(&["dir", ".", "-c", "rules.toml", "--no-banner"]);
    assert_eq!((plain.status.code(), out(&plain)), (Some(1), String::new()), "{}", err(&plain));
    let report = run(&["dir", ".", "-c", "rules.toml", "-r", "-", "-f", "json"]);
    let rows: Value = serde_json::from_str(&out(&report)).unwrap();
    assert_eq!((&rows[0]["Secret"], &rows[0]["Fingerprint"]), (&"abc".into(), &"a.txt:tok:2".into()));
    let redacted = run(&["dir", ".", "-c", "rules.toml", "-v", "--redact"]);
    assert!(out(&redacted).contains("REDACTED") && !out(&redacted).contains("TOK_abc"), "{}", out(&redacted));
    assert_eq!(run(&["dir", ".", "-c", "rules.toml", "--exit-code", "7"]).status.code(), Some(7));
    assert_eq!(run(&["dir", ".", "-c", "rules.toml", "--nope"]).status.code(), Some(126));
    assert_eq!(run(&["dir", ".", "-c", "missing.toml"]).status.code(), Some(1));
    assert_eq!(run(&["dir", ".", "-c", "rules.toml", "-r", "x.unknown"]).status.code(), Some(1));
    assert_eq!(run(&["detect", "--no-git", "-s", ".", "-c", "rules.toml"]).status.code(), Some(1));
    assert_eq!(run(&["detect", "--pipe", "-c", "rules.toml"]).status.code(), Some(0));
    assert!(out(&run(&["version"])).contains("turnlock"));
}

#[test]
fn a_finding_is_ignored_by_a_command_with_a_reason_and_a_last_day() {
    let folder = Folder::new();
    let report =
        || -> Value { serde_json::from_str(&out(&folder.scan(&["dir", ".", "-f", "turnlock-json"]))).unwrap() };
    assert_eq!(report()["findings"][0].get("ignore_name"), None);
    assert!(folder.scan(&["ignore"]).status.success());
    let name = report()["findings"][0]["ignore_name"].as_str().unwrap().to_owned();
    assert!(!folder.scan(&["ignore", "no name"]).status.success());
    let added = folder.scan(&["ignore", &name, "--reason", "test\naccount", "--until", "2999-12-31"]);
    assert!(out(&added).ends_with(".turnlockignore: 1 added, 0 known\n"), "{}", out(&added));
    assert!(folder.read(".turnlockignore").ends_with(&format!("{name}  # until 2999-12-31: test account\n")));
    let before = folder.read(".turnlockignore");
    assert!(out(&folder.scan(&["ignore", &name])).ends_with("0 added, 1 known\n"));
    let past = folder.scan(&["ignore", &name, "--until", "2001-01-01"]);
    assert_eq!((past.status.code(), err(&past).contains("2001-01-01 is over")), (Some(2), true), "{}", err(&past));
    assert_eq!(folder.read(".turnlockignore"), before);
    let changed = folder.scan(&["ignore", &name, "a.py:rule:1", "--reason", "another"]);
    assert!(out(&changed).ends_with("1 added, 1 known, 1 of them changed\n"), "{}", out(&changed));
    let text = before.replace("  # until 2999-12-31: test account", "  # another") + "a.py:rule:1  # another\n";
    assert_eq!(folder.read(".turnlockignore"), text);
    // An entry whose last day is over is made to count again.
    folder.write(".turnlockignore", &before.replace("2999-12-31", "2001-01-01"));
    assert_eq!(folder.scan(&["dir", "."]).status.code(), Some(1));
    assert!(out(&folder.scan(&["ignore", &name])).ends_with("0 added, 1 known, 1 of them changed\n"));
    assert_eq!(folder.scan(&["dir", "."]).status.code(), Some(0));
    folder.write("config.py", "nothing\n");
    let unused = folder.scan(&["dir", ".", "--report-unused-ignores"]);
    assert!(
        err(&unused).contains(&format!("ignore entry names nothing: ./.turnlockignore:3: {name}")),
        "{}",
        err(&unused)
    );
}

#[test]
fn an_ignore_file_stays_a_link_and_keeps_the_ends_of_its_lines() {
    let folder = Folder::new();
    folder.write("shared", "# ours\r\nkey 0f\r\na.py:rule:1  # old\r\n");
    std::os::unix::fs::symlink("shared", folder.path().join(".turnlockignore")).unwrap();
    assert!(folder.scan(&["ignore", "a.py:rule:1", "--reason", "new"]).status.success());
    assert!(folder.scan(&["ignore", "b.py:rule:2"]).status.success());
    assert!(folder.path().join(".turnlockignore").is_symlink());
    assert_eq!(folder.read("shared"), "# ours\r\nkey 0f\r\na.py:rule:1  # new\r\nb.py:rule:2\r\n");
}

#[test]
fn what_gitignore_excludes_is_told_once() {
    let folder = Folder::new();
    folder.git(&["init", "-q"]);
    folder.write(".gitignore", "config.py\n");
    let told = folder.scan(&["dir", "."]);
    assert_eq!(told.status.code(), Some(0));
    assert!(err(&told).contains("passed over what .gitignore excludes (--no-ignore reads it)\n"), "{}", err(&told));
    let all = folder.scan(&["dir", ".", "--no-ignore"]);
    assert_eq!((all.status.code(), err(&all).contains("gitignore")), (Some(1), false), "{}", err(&all));
}

#[test]
fn a_report_of_sarif_names_the_rules_that_found_something_and_under_the_name_of_gitleaks_all() {
    let folder = Folder::new();
    let rules = |report: &Output| -> usize {
        let sarif: Value = serde_json::from_str(&out(report)).unwrap();
        sarif["runs"][0]["tool"]["driver"]["rules"].as_array().unwrap().len()
    };
    assert_eq!(rules(&folder.scan(&["dir", ".", "-f", "sarif"])), 1);
    assert!(rules(&folder.run(folder.gitleaks(), &["dir", ".", "-f", "sarif", "-r", "-"])) > 100);
}

#[test]
fn a_report_that_cannot_be_written_is_named() {
    let folder = Folder::new();
    let failed = folder.scan(&["dir", ".", "-r", "no/such/folder.json"]);
    assert_eq!(failed.status.code(), Some(2));
    assert!(err(&failed).contains("the report no/such/folder.json cannot be written"), "{}", err(&failed));
}

#[test]
fn what_is_staged_is_asked_for_behind_git() {
    let folder = Folder::new();
    let staged = folder.scan(&["--staged"]);
    assert_eq!(staged.status.code(), Some(2));
    assert!(err(&staged).contains("turnlock scan git --staged"), "{}", err(&staged));
}

#[test]
fn the_example_of_a_configuration_finds_and_allows_what_it_says() {
    let folder = Folder::new();
    let copied = std::fs::copy(top().join("examples/turnlock-scan.toml"), folder.path().join(".turnlock-scan.toml"));
    copied.unwrap();
    // Cut, as no source shall hold what a scanner takes for a leak.
    let key = |middle: &str| format!("acme_{}_{middle}7h2k9q4x8w1m5z3c6v0", "eu");
    folder.write("deploy.sh", &format!("A={}\nB={}\n", key("abcde"), key("testa")));
    folder.write("guide.md", &format!("{}\n", key("abcde").replace("7h2k9q4", "example")));
    let report = folder.scan(&["dir", ".", "-f", "json"]);
    assert_eq!(err(&report).matches("warning").count(), 0, "{}", err(&report));
    let rows: Vec<Value> = serde_json::from_str(&out(&report)).unwrap();
    let names: Vec<&str> = rows.iter().map(|row| row["Fingerprint"].as_str().unwrap()).collect();
    assert_eq!(names.len(), 2, "{names:?}");
    assert!(names.contains(&"deploy.sh:acme-deploy-key:1") && names.iter().any(|name| name.starts_with("config.py:")));
}

#[test]
fn what_the_snippets_for_continuous_integration_run_does_what_they_say() {
    for (file, report) in [("github-actions.yml", "turnlock.sarif"), ("gitlab-ci.yml", "turnlock.xml")] {
        let folder = Folder::new();
        folder.git(&["init", "-q"]);
        folder.git(&["add", "."]);
        folder.git(&["commit", "-qm", "leak"]);
        let text = std::fs::read_to_string(top().join("examples").join(file)).unwrap();
        let snippet: Value = serde_norway::from_str(&text).unwrap();
        let steps = snippet["jobs"]["scan"]["steps"].as_array();
        let runs = steps.into_iter().flatten().filter_map(|step| step["run"].as_str());
        let scripts =
            snippet["leaked-credentials"]["script"].as_array().into_iter().flatten().filter_map(Value::as_str);
        let commands: Vec<&str> = runs.chain(scripts).collect();
        assert_eq!(commands.len(), 1, "{file}");
        let output = folder.run("sh", &["-c", commands[0]]);
        assert_eq!(output.status.code(), Some(1), "{file}: {}", err(&output));
        assert!(folder.read(report).contains("config.py"), "{file}");
        assert!(text.contains(&format!(": {report}")), "{file} does not hand {report} on");
    }
}

#[test]
fn these_sources_hold_no_credentials() {
    let output = Command::new(BINARY).args(["scan", "dir", "."]).current_dir(top()).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", out(&output));
}

#[test]
fn a_bare_repository_is_recognised_however_it_is_named_and_missed_when_it_cannot_be_opened() {
    let folder = Folder::new();
    folder.git(&["init", "-q", "work"]);
    std::fs::rename(folder.path().join("config.py"), folder.path().join("work/config.py")).unwrap();
    folder.git(&["-C", "work", "add", "-A"]);
    folder.git(&["-C", "work", "commit", "-qm", "one"]);
    folder.git(&["clone", "-q", "--bare", "work", "kept.git"]);
    let inside = |arguments: &[&str]| {
        let mut command = Command::new(BINARY);
        command.arg("scan").args(arguments).env("HOME", folder.path()).current_dir(folder.path().join("work"));
        command.output().unwrap()
    };
    for name in ["../kept.git", "./../kept.git", "../kept.git/objects"] {
        assert_eq!(inside(&[name]).status.code(), Some(1), "{name}");
        assert_eq!(inside(&["git", name]).status.code(), Some(1), "{name}");
    }
    std::fs::write(folder.path().join("kept.git/config"), "[core\n").unwrap();
    let broken = inside(&["../kept.git"]);
    assert_eq!(broken.status.code(), Some(3), "{}", err(&broken));
    assert!(err(&broken).contains("not covered"), "{}", err(&broken));
}

#[test]
fn calls_of_gitleaks_as_it_was_before_git_and_dir_keep_working() {
    let folder = Folder::new();
    let gitleaks = folder.gitleaks();
    folder.git(&["init", "-q"]);
    assert_eq!(folder.run(&gitleaks, &["protect", "--staged"]).status.code(), Some(0));
    folder.git(&["add", "config.py"]);
    assert_eq!(folder.run(&gitleaks, &["protect", "--staged", "-v"]).status.code(), Some(1));
    folder.git(&["commit", "-qm", "one"]);
    folder.git(&["commit", "-qm", "two", "--allow-empty"]);
    for (options, code) in [("--log-opts=--all", 1), ("--log-opts=HEAD~1..HEAD", 0), ("--log-opts=-n 1", 0)] {
        assert_eq!(folder.run(&gitleaks, &["detect", options]).status.code(), Some(code), "{options}");
    }
}

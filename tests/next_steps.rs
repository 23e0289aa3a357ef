//! Whoever is new to a server is told the next step: by its log, and by the hint of each command that comes to nothing.

use crate::harness::Instance;

/// What a command says on standard error, and its exit code.
fn said(instance: &Instance, token: &str, words: &[&str]) -> (String, Option<i32>) {
    let output = instance.command(token).env("HOME", instance.dir.path()).args(words).output().unwrap();
    (String::from_utf8_lossy(&output.stderr).into_owned(), output.status.code())
}

#[tokio::test(flavor = "multi_thread")]
async fn from_a_new_store_to_the_first_secret_each_refusal_names_the_next_command() {
    let mut instance = Instance::prepare("");
    instance.spawn().await;
    assert!(instance.log().contains("turnlock operator init"), "{}", instance.log());
    let (text, code) = said(&instance, "", &["kv", "get", "secret/a"]);
    assert!(text.contains("turnlock operator init") && code == Some(2), "{text}");

    // One share needs no word about the threshold.
    let made = instance.command("").args(["operator", "init", "-key-shares=1", "-format=json"]).output().unwrap();
    let made: serde_json::Value = serde_json::from_slice(&made.stdout).unwrap();
    assert_eq!(made["unseal_threshold"], 1);
    instance.key = made["unseal_keys_b64"][0].as_str().unwrap().to_owned();
    instance.root = made["root_token"].as_str().unwrap().to_owned();
    instance.unseal().await;

    let (text, code) = said(&instance, "", &["kv", "get", "secret/a"]);
    assert!(text.contains("no token was sent") && text.contains("turnlock login") && code == Some(2), "{text}");
    let root = instance.root.clone();
    let (text, _) = said(&instance, &root, &["kv", "get", "secret/a"]);
    assert!(
        text.contains("turnlock secrets list") && text.contains("secrets enable -path=secret -version=2 kv"),
        "{text}"
    );
    said(&instance, &root, &["secrets", "enable", "-path=secret", "kv-v2"]);
    said(&instance, &root, &["kv", "put", "secret/a", "key=value"]);
    let (text, _) = said(&instance, &root, &["kv", "get", "-version=7", "secret/a"]);
    assert!(text.contains("no version 7 of secret/a"), "{text}");
    let (text, _) = said(&instance, &root, &["policy", "read", "nobody"]);
    assert!(text.contains("no policy nobody") && text.contains("turnlock policy list"), "{text}");
    for (words, told, code) in [
        (&["kv", "rollback", "-version=1", "secret/none"][..], "there is no secret at secret/none", 2),
        (&["kv", "rollback", "-version=7", "secret/a"], "there is no version 7 of secret/a", 2),
        (&["kv", "patch", "secret/none", "key=value"], "there is no secret at secret/none", 2),
        (&["kv", "destroy", "-versions=one", "secret/a"], "versions are numbers", 1),
        (&["rotate", "set", "secret/a"], "hint: -field=NAME", 2),
        (
            &["operator", "snapshot", "save", "/missing/snapshot"],
            "/missing/snapshot: No such file or directory (os error 2)\n",
            1,
        ),
    ] {
        let (text, ended) = said(&instance, &root, words);
        assert!(text.contains(told) && ended == Some(code), "{text}");
    }
    let none = instance.command(&root).args(["rotate", "list"]).output().unwrap();
    assert!(none.stdout.starts_with(b"There is no rotation") && none.status.success(), "{none:?}");
    let (text, code) = said(&instance, &root, &["rotate", "delete", "secret/a"]);
    assert!(text.contains("no rotation is defined for secret/a") && code == Some(2), "{text}");
    let (text, code) = said(&instance, &root, &["token", "capabilities", &root, "secret/a"]);
    assert!(text.contains("a token is not taken from an argument") && code == Some(1), "{text}");
    assert!(!text.contains(&root), "{text}");
    let audit = instance.audit_path().display().to_string();
    let readers = instance.command("").args(["audit", "readers", "secret/a", &audit]).output().unwrap();
    assert!(readers.status.success() && readers.stdout == b"Nobody has read it, by these files\n", "{readers:?}");
    let config = instance.dir.path().join("turnlock.hcl").display().to_string();
    for (words, told) in [
        (
            ["readers", "secret/b", &audit],
            "no record of these files is about secret/b\nturnlock: hint: they know secret/a",
        ),
        (["readers", "quite/another", &audit], "hint: write the path as for `turnlock kv get`"),
        (["readers", "secret/a", &config], "turnlock.hcl, line 1: not an audit record"),
        (["readers", "secret/a", "/etc/passwd"], "/etc/passwd: there is no audit record in it"),
        (["verify", &audit, &config], "turnlock.hcl, line 1: this is no audit file"),
    ] {
        let (text, code) = said(&instance, "", &["audit", "-format=json", words[0], words[1], words[2]]);
        assert!(text.contains(told) && code == Some(1), "{text}");
    }
    let (text, _) = said(&instance, &root, &["login", "-method=oidc", "-no-store"]);
    assert!(text.contains("-method"), "{text}");
    let health = instance.command("").args(["read", "sys/health"]).output().unwrap();
    assert!(String::from_utf8_lossy(&health.stdout).contains("initialized"), "{health:?}");
}

/// The server counts a share once and does not say so.
#[tokio::test(flavor = "multi_thread")]
async fn a_share_that_is_given_twice_is_told() {
    let mut instance = Instance::prepare("");
    instance.spawn().await;
    let body = serde_json::json!({"secret_shares": 3, "secret_threshold": 3});
    let (status, made) = instance.api("").put("sys/init", body).await;
    assert_eq!(status, 200, "{made}");
    let give = |share: usize| {
        let file = instance.dir.path().join("share");
        std::fs::write(&file, made["keys_base64"][share].as_str().unwrap()).unwrap();
        let mut command = instance.command("");
        command.args(["operator", "unseal", "-"]).stdin(std::fs::File::open(file).unwrap());
        let output = command.output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stderr).unwrap()
    };
    for (share, told) in [(0, false), (0, true), (1, false), (0, true), (1, true), (2, false)] {
        let text = give(share);
        assert_eq!(text.contains("this share was given already"), told, "{share}: {text}");
    }
    let (_, status) = instance.api("").get("sys/seal-status").await;
    assert_eq!(status["sealed"], false);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_path_or_a_field_that_is_nearly_right_is_told_from_what_was_meant() {
    let instance = Instance::start().await;
    let root = instance.root.clone();
    said(&instance, &root, &["secrets", "enable", "-path=secret", "kv-v2"]);
    said(&instance, &root, &["kv", "put", "secret/app/db", "key=value"]);
    let policy = instance.dir.path().join("app.hcl").display().to_string();
    std::fs::write(&policy, "path \"secret/data/app/*\" {\n  capabilties = [\"read\"]\n}\n").unwrap();
    for (words, told) in [
        (["kv", "get", "secret"], "secret is a mount, and which secret in it is not said"),
        (["kv", "get", "secret/"], "hint: write it behind the mount, as in secret/app/db"),
        (["kv", "get", ""], "the path is empty"),
        (["kv", "get", "/"], "hint: write the mount and what is in it, as in secret/app/db"),
        (["kv", "delete", "secret"], "which secret in it is not said"),
        (["kv", "list", ""], "the path is empty"),
    ] {
        let (text, code) = said(&instance, &root, &words);
        assert!(text.contains(told) && code == Some(1), "{words:?}: {text}");
    }
    let (text, code) = said(&instance, &root, &["read", "secret/app/db"]);
    assert!(text.contains("has versions: `turnlock kv get secret/app/db`") && code == Some(2), "{text}");
    let (text, _) = said(&instance, &root, &["read", "secret/data/app/none"]);
    assert!(!text.contains("has versions"), "{text}");
    let (text, code) = said(&instance, &root, &["policy", "write", "app", &policy]);
    assert!(text.contains("line 2: unknown field, perhaps capabilities; known are") && code == Some(2), "{text}");
    assert!(text.contains("hint: the field is written capabilties"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restored_server_says_that_it_is_sealed() {
    let instance = Instance::start().await;
    let file = instance.dir.path().join("snapshot");
    let file = file.to_str().unwrap();
    let (text, code) = said(&instance, &instance.root, &["operator", "snapshot", "save", file]);
    assert_eq!(code, Some(0), "{text}");
    let (text, code) = said(&instance, &instance.root, &["operator", "snapshot", "restore", file]);
    assert!(text.contains("turnlock operator unseal") && code == Some(0), "{text}");
    let logged = |level: &str, event: &str| {
        let log = instance.log();
        assert!(log.lines().any(|line| line.contains(level) && line.ends_with(event)), "{event}: {log}");
    };
    logged("INFO", "the server is unsealed by shares of its key");
    logged("WARN", "everything that was stored is replaced by a snapshot, and the server is sealed");
    instance.unseal().await;
    said(&instance, &instance.root, &["operator", "seal"]);
    logged("WARN", "the server is sealed, as it was asked to");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_is_not_lost_by_a_second_and_a_store_not_by_a_slip() {
    let instance = Instance::start().await;
    let file = instance.dir.path().join("snapshot");
    let name = file.to_str().unwrap();
    std::fs::write(&file, "the only backup").unwrap();
    let (text, code) = said(&instance, &instance.root, &["operator", "snapshot", "save", name]);
    assert!(text.contains("exists") && text.contains("-overwrite") && code == Some(1), "{text}");
    assert_eq!(std::fs::read(&file).unwrap(), b"the only backup");
    let (text, code) = said(&instance, &instance.root, &["operator", "snapshot", "save", "-overwrite", name]);
    assert_eq!(code, Some(0), "{text}");

    let restore = |more: &[&str]| {
        let (terminal, slave) = pty_process::open().unwrap();
        let command = pty_process::Command::new(crate::harness::BINARY).args(["operator", "snapshot", "restore"]);
        let command = command.args(more).arg(name).env("VAULT_ADDR", &instance.address);
        (terminal, command.env("VAULT_TOKEN", &instance.root).spawn(slave).unwrap())
    };
    let ended = async |child: &mut tokio::process::Child| child.wait().await.unwrap().code();
    let (mut terminal, mut child) = restore(&[]);
    let mut seen = String::new();
    crate::run::expect(&mut terminal, &mut seen, "Restore? [y/N] ").await;
    tokio::io::AsyncWriteExt::write_all(&mut terminal, b"\n").await.unwrap();
    crate::run::expect(&mut terminal, &mut seen, "nothing was restored").await;
    assert_eq!(ended(&mut child).await, Some(1));
    assert_eq!(instance.api("").get("sys/seal-status").await.1["sealed"], false, "{seen}");
    let (mut terminal, mut child) = restore(&["-yes"]);
    let mut seen = String::new();
    crate::run::expect(&mut terminal, &mut seen, "the server is sealed now").await;
    assert!(!seen.contains("[y/N]") && ended(&mut child).await == Some(0), "{seen}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_of_the_machine_that_does_not_open_the_store_is_named_at_start() {
    let mut instance = Instance::start().await;
    instance.stop();
    let config = instance.dir.path().join("turnlock.hcl");
    let text = std::fs::read_to_string(&config).unwrap();
    std::fs::write(&config, text + "seal \"static\" { current_key = \"env://SEAL_KEY\" }\n").unwrap();
    instance.environment("SEAL_KEY", &"5a".repeat(32));
    instance.spawn().await;
    assert!(instance.log().contains("initialized with shares"), "{}", instance.log());
}

/// A mount that nobody may see and a token that nobody knows are refused alike by the server.
#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_is_not_valid_is_told_from_a_right_that_is_missing() {
    let instance = Instance::start().await;
    let root = instance.root.clone();
    said(&instance, &root, &["secrets", "enable", "-path=secret", "kv-v2"]);
    let created = |words: &[&str]| {
        let words: Vec<_> = ["token", "create", "-field=token"].iter().chain(words).collect();
        let output = instance.command(&root).args(words).output().unwrap();
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    };
    let (narrow, revoked) = (created(&["-policy=default"]), created(&["-policy=root"]));
    let (status, _) = instance.as_root().put("auth/token/revoke", serde_json::json!({"token": revoked})).await;
    assert_eq!(status, 204);
    let commands: [&[&str]; 8] = [
        &["kv", "get", "secret/a"],
        &["kv", "put", "secret/a", "key=value"],
        &["read", "secret/data/a"],
        &["run", "--env", "A=secret/a#key", "--", "true"],
        &["rotate", "list"],
        &["scan", "--store", "."],
        &["policy", "list"],
        &["operator", "seal"],
    ];
    for words in commands {
        for token in [revoked.as_str(), "made-up"] {
            let (text, code) = said(&instance, token, words);
            assert!(text.contains("error: the token is not valid here"), "{words:?}: {text}");
            assert!(text.contains("hint: it comes from VAULT_TOKEN"), "{words:?}: {text}");
            assert_eq!(code, Some(2), "{words:?}: {text}");
        }
        let (text, _) = said(&instance, &narrow, words);
        assert!(!text.contains("not valid"), "{words:?}: {text}");
        assert!(text.contains("denied") || text.contains("no right"), "{words:?}: {text}");
    }
    let logged_in = |variables: &[&str], more: &[&str]| {
        let mut command = instance.command("");
        command.env_remove("VAULT_TOKEN").args(["login", "-"]).args(more).stdin(std::process::Stdio::piped());
        command.envs(variables.iter().map(|name| (name, "made-up"))).stderr(std::process::Stdio::piped());
        let mut child = command.stdout(std::process::Stdio::piped()).spawn().unwrap();
        std::io::Write::write_all(&mut child.stdin.take().unwrap(), narrow.as_bytes()).unwrap();
        child.wait_with_output().unwrap()
    };
    let login = |variables: &[&str]| String::from_utf8(logged_in(variables, &[]).stderr).unwrap();
    assert!(!login(&[]).contains("warning"));
    let warned = login(&["TURNLOCK_TOKEN", "VAULT_TOKEN"]);
    assert!(warned.contains("no effect") && warned.contains("unset TURNLOCK_TOKEN VAULT_TOKEN\n"), "{warned}");
    // The token that was typed unseen is not shown, but to who asks for it, and where it is kept nowhere.
    let shown = |more: &[&str]| String::from_utf8(logged_in(&[], more).stdout).unwrap();
    let summary = shown(&[]);
    assert!(summary.contains("token_policies") && summary.contains("[default]"), "{summary}");
    assert!(!summary.contains(&narrow) && login(&[]).contains("is kept in"), "{summary}");
    for more in ["-field=id", "-format=json", "-token-only", "-no-store"] {
        assert!(shown(&[more]).contains(&narrow), "{more}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn where_the_configuration_is_wrong_is_told_at_start() {
    let instance = Instance::prepare("");
    let config = instance.dir.path().join("turnlock.hcl");
    let text = std::fs::read_to_string(&config).unwrap();
    let line = text.lines().count() + 2;
    std::fs::write(&config, text + "ui = true\nlog_levle = \"warn\"\n").unwrap();
    let (text, code) = said(&instance, "", &["server", "-config", config.to_str().unwrap()]);
    let told =
        format!("turnlock: error: {}:{line}: log_levle is not supported: is log_level meant?\n", config.display());
    assert_eq!((text, code), (told, Some(1)));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_versions_of_program_and_protocol_are_told_apart() {
    let instance = Instance::start().await;
    let shown = |words: &[&str]| {
        let output = instance.command("").args(words).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    let program = shown(&["version"]);
    assert_eq!(program, format!("turnlock {}\n", env!("CARGO_PKG_VERSION")), "one line for programs");
    let (mut terminal, slave) = pty_process::open().unwrap();
    let _child = pty_process::Command::new(crate::harness::BINARY).arg("version").spawn(slave).unwrap();
    let mut seen = String::new();
    crate::run::expect(&mut terminal, &mut seen, "+turnlock: that of the protocol").await;
    // In a pipe too, the table is for people.
    let status = shown(&["status", "-format=table"]);
    assert!(status.contains("+turnlock (of the protocol; the program has its own"), "{status}");
    let version =
        serde_json::from_str::<serde_json::Value>(&shown(&["status", "-format=json"])).unwrap()["version"].clone();
    assert!(version.as_str().unwrap().ends_with("+turnlock"), "programs get the version alone: {version}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_operators_read_says_what_it_means() {
    let instance = Instance::start().await;
    let shown = |words: &[&str]| {
        let output = instance.command(&instance.root).args(words).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    assert!(shown(&["operator", "key-status"]).contains("\nEncryptions, at most"));
    let status: serde_json::Value = serde_json::from_str(&shown(&["operator", "key-status", "-format=json"])).unwrap();
    assert!(status["encryptions"].is_u64(), "{status}");
    for words in [["audit", "hash", "-"].as_slice(), &["audit", "hash", "-", "-"]] {
        let (text, _) = said(&instance, &instance.root, words);
        assert!(text.contains("device is missing") && text.contains("turnlock audit list"), "{text}");
    }
    let mut hash = instance.command(&instance.root);
    hash.args(["audit", "hash", "other"]).stdin(std::fs::File::open(instance.log_path()).unwrap());
    let text = String::from_utf8(hash.output().unwrap().stderr).unwrap();
    assert!(text.contains("unknown audit device") && text.contains("turnlock audit list"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_key_of_the_audit_is_listed_and_its_absence_told() {
    let instance = Instance::start().await;
    let shown = |words: &[&str]| {
        let output = instance.command(&instance.root).arg("audit").args(words).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let list = shown(&["list"]);
    let key = list.lines().find_map(|line| line.trim().split_once("public_key: ")).unwrap().1;
    assert!(list.contains(&format!("file_path: {}", instance.audit_path().display())), "{list}");
    let audit = instance.audit_path().display().to_string();
    let unsigned = shown(&["verify", &audit]);
    assert!(
        unsigned.starts_with("The chain is sound") && unsigned.ends_with("; signatures not checked.\n"),
        "{unsigned}"
    );
    let signed = shown(&["verify", &format!("-public-key={key}"), &audit]);
    assert!(signed.starts_with("The chain is sound") && signed.ends_with(" verified.\n"), "{signed}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_names_the_server_or_the_path_that_it_is_about() {
    let mut instance = Instance::start().await;
    let (text, _) = said(&instance, "", &["read", "sys/policy"]);
    assert!(text.contains("error: permission denied at sys/policy\n") && text.contains("no token was sent"), "{text}");
    let root = instance.root.clone();
    said(&instance, &root, &["secrets", "enable", "-path=secret", "kv-v2"]);
    let policy = serde_json::json!({"policy": "path \"secret/data/app\" { capabilities = [\"read\"] }"});
    assert_eq!(instance.as_root().put("sys/policies/acl/narrow", policy).await.0, 204);
    let made = instance.command(&root).args(["token", "create", "-policy=narrow", "-field=token"]).output().unwrap();
    let (text, _) = said(&instance, std::str::from_utf8(&made.stdout).unwrap().trim(), &["kv", "get", "secret/other"]);
    assert!(text.contains("error: permission denied at secret/other\n"), "{text}");
    instance.stop();
    let (text, code) = said(&instance, "", &["read", "sys/policy"]);
    assert!(text.contains(&format!("server cannot be reached at {}: ", instance.address)), "{text}");
    assert_eq!(code, Some(2), "{text}");
    let (text, _) = said(&instance, "", &["read", "-address=unix:///missing.sock", "sys/policy"]);
    assert!(text.contains("server cannot be reached at unix:///missing.sock: "), "{text}");
}

/// As wide as the terminal, and no wider than is good to read.
#[test]
fn help_is_wrapped_by_the_width_of_the_terminal() {
    for words in
        [[].as_slice(), &["server"], &["scan"], &["operator", "rekey"], &["audit", "verify"], &["rotate", "set"]]
    {
        for (columns, widest) in [("300", 100), ("100", 100), ("70", 70)] {
            let mut command = std::process::Command::new(crate::harness::BINARY);
            let output = command.args(words).arg("--help").env("COLUMNS", columns).output().unwrap();
            for line in String::from_utf8(output.stdout).unwrap().lines() {
                assert!(line.chars().count() <= widest, "{words:?} at {columns}: {line}");
            }
        }
    }
}

//! `turnlock audit verify` over files that somebody edited names the first record concerned, and ends with 1; `audit readers` tells who read.

use std::process::{Command, Output};

use serde_json::{Value, json};

use crate::harness::{BINARY, Instance, text};

fn verify(lines: &[String], key: &str) -> Output {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("audit.log");
    std::fs::write(&file, lines.concat()).unwrap();
    let key = format!("-public-key={key}");
    Command::new(BINARY).args(["audit", "verify", "-format=json", &key]).arg(file).output().unwrap()
}

#[tokio::test]
async fn what_was_done_to_an_audit_file_is_named_offline() {
    let mut instance = Instance::start().await;
    for number in 0..5 {
        instance.as_root().put(&format!("cubbyhole/{number}"), json!({"value": "1"})).await;
    }
    let (_, devices) = instance.as_root().get("sys/audit").await;
    let key = text(&devices["data"]["file/"]["options"]["public_key"]);
    assert!(instance.stop().success());
    let whole = std::fs::read_to_string(instance.audit_path()).unwrap();
    let lines: Vec<String> = whole.split_inclusive('\n').map(str::to_owned).collect();

    let sound = verify(&lines, &key);
    assert!(sound.status.success(), "{}", String::from_utf8_lossy(&sound.stderr));
    let proof: Value = serde_json::from_slice(&sound.stdout).unwrap();
    assert_eq!(proof["records"], lines.len());
    assert!(proof["checkpoints"].as_u64().unwrap() > 0);

    let edited = |edit: &dyn Fn(&mut Vec<String>)| {
        let mut lines = lines.clone();
        edit(&mut lines);
        lines
    };
    let other_key = "00".repeat(32);
    for (what, lines, key, expected) in [
        (
            "changed",
            edited(&|lines| lines[4] = lines[4].replace("\"time\":\"2", "\"time\":\"1")),
            &key,
            "record 5 was changed",
        ),
        ("removed", edited(&|lines| drop(lines.remove(4))), &key, "record 5 was removed"),
        ("added", edited(&|lines| lines.insert(4, lines[2].clone())), &key, "added behind record 4"),
        ("moved", edited(&|lines| lines.swap(4, 7)), &key, "record 5 was moved"),
        ("emptied", Vec::new(), &key, "no audit record"),
        ("signed by another", lines.clone(), &other_key, "does not hold"),
    ] {
        let output = verify(&lines, key);
        let error = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{what}: {error}");
        assert!(error.contains(expected), "{what}: {error}");
    }
}

/// The role that logged in, whatever metadata says that others chose.
#[tokio::test]
async fn readers_are_told_apart_by_the_role_that_logged_in() {
    let mut instance = Instance::start().await;
    let root = instance.as_root();
    let policy = json!({"policy": "path \"secret/data/app\" { capabilities = [\"read\"] }"});
    for (path, body) in [
        ("sys/mounts/secret", json!({"type": "kv", "options": {"version": "2"}})),
        ("sys/auth/approle", json!({"type": "approle"})),
        ("sys/policies/acl/app", policy),
        ("secret/data/app", json!({"data": {"key": "value"}})),
    ] {
        let (status, answer) = root.put(path, body).await;
        assert!(status < 300, "{path}: {answer}");
    }
    let mut tokens = Vec::new();
    for (role, kind) in [("billing", "service"), ("billing", "service"), ("reports", "batch")] {
        let at = format!("auth/approle/role/{role}");
        root.put(&at, json!({"token_policies": ["app"], "token_type": kind})).await;
        let role_id = root.get(&format!("{at}/role-id")).await.1["data"]["role_id"].clone();
        let noted = json!({"metadata": "{\"role_name\":\"forged\",\"note\":\"tlk_canary_note\"}"});
        let secret_id = root.put(&format!("{at}/secret-id"), noted).await.1["data"]["secret_id"].clone();
        let login = json!({"role_id": role_id, "secret_id": secret_id});
        tokens.push(text(&root.put("auth/approle/login", login).await.1["auth"]["client_token"]));
    }
    let meta = json!({"policies": ["app"], "meta": {"role_name": "billing", "username": "tlk_canary_note"}});
    tokens.push(text(&root.put("auth/token/create", meta).await.1["auth"]["client_token"]));
    for token in &tokens {
        assert_eq!(instance.api(token).get("secret/data/app").await.0, 200);
    }
    assert!(instance.stop().success());
    let read = Command::new(BINARY)
        .args(["audit", "readers", "-format=json", "secret/app"])
        .arg(instance.audit_path())
        .output()
        .unwrap();
    let readers: Value = serde_json::from_slice(&read.stdout).unwrap();
    let rows: Vec<_> =
        readers.as_array().unwrap().iter().map(|row| (text(&row["name"]), row["reads"].as_u64().unwrap())).collect();
    let expected = [("approle/billing", 2), ("approle/reports", 1), ("token", 1)];
    assert_eq!(rows, expected.map(|(name, reads)| (name.to_owned(), reads)), "{readers}");
    assert_eq!(readers[0]["accessors"].as_array().unwrap().len(), 2, "{readers}");
    let audit = std::fs::read_to_string(instance.audit_path()).unwrap();
    assert!(!audit.contains("tlk_canary_note") && !audit.contains("forged"));
}

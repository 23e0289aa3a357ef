//! `turnlock audit verify` over files that somebody edited: names the first record concerned, and ends with 1.

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

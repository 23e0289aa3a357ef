//! What stands in the way of a target: found before anything changes where that can be, and named.

use serde_json::{Value, json};

use super::{SECRET, attempt, define, run, serving, turnlock, versions};
use crate::harness::{Instance, text, wait_for};

/// Cause: targets were looked at only after the new version was in force. Loss: consumers of a target that could not be
/// written stood there with the old value. Fix: what cannot be handed out is not made.
#[tokio::test(flavor = "multi_thread")]
async fn a_target_out_of_reach_stops_an_attempt_before_anything_changes_and_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let instance = serving(folder.path()).await;
    let (good, late) = (folder.path().join("good"), folder.path().join("late/key"));
    define(
        &instance,
        json!([
            {"name": "good", "type": "file", "path": good},
            {"name": "late", "type": "file", "path": late},
            {"name": "hook", "type": "webhook", "url": "http://127.0.0.1:1/", "signing_key": "tlk_canary_signing"},
        ]),
    )
    .await;
    run(&instance).await;
    let row = attempt(&instance, "a second try", |row| row["tries"].as_u64() >= Some(2)).await;
    assert_eq!((&row["state"], &row["step"], &row["version"]), (&json!("running"), &json!("create"), &Value::Null));
    let found = row["obstacles"].as_array().unwrap();
    let named: Vec<_> = found.iter().map(|one| (text(&one["target"]), text(&one["reason"]))).collect();
    assert_eq!(named[0], ("late".to_owned(), "its folder does not exist".to_owned()));
    assert_eq!(named[1], ("hook".to_owned(), "no connection, or no answer in time".to_owned()));
    assert!(named.len() == 2 && found[0]["times"].as_u64() >= Some(2), "{row}");
    assert_eq!(versions(&instance).await, 1);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "something was written");

    let (table, notes, code) = turnlock(&instance, &["rotate", "history", SECRET]);
    let line =
        table.lines().find(|line| line.contains("its folder does not exist")).unwrap_or_else(|| panic!("{table}"));
    assert!(line.contains("late") && line.contains("create") && line.starts_with("20"), "{table}");
    assert!(notes.contains("tried again at") && code == 0, "{notes}");
    let (table, ..) = turnlock(&instance, &["rotate", "list"]);
    let line = table.lines().find(|line| line.starts_with(SECRET)).unwrap_or_else(|| panic!("{table}"));
    assert!(line.contains("hindered") && line.contains("late: its folder does not exist (and 1 more)"), "{table}");
    let (json, ..) = turnlock(&instance, &["rotate", "list", "-format=json"]);
    assert_eq!(serde_json::from_str::<Value>(&json).unwrap(), json!([SECRET]));
    let (json, ..) = turnlock(&instance, &["rotate", "list", "-detailed", "-format=json"]);
    let detailed: Value = serde_json::from_str(&json).unwrap();
    assert!(detailed["key_info"][SECRET]["tries"].as_u64() >= Some(2), "{json}");

    // The log of an agent tells which of many rotations it was.
    let log = instance.log();
    for said in ["a target is in the way of a rotation", "a rotation's step failed"] {
        let line = log.lines().find(|line| line.contains(said)).unwrap_or_else(|| panic!("{log}"));
        assert!(line.contains("WARN") && line.contains(SECRET), "{line}");
    }

    // What was in the way goes away, and the attempt goes on by itself.
    std::fs::create_dir(folder.path().join("late")).unwrap();
    define(
        &instance,
        json!([{"name": "good", "type": "file", "path": good}, {"name": "late", "type": "file", "path": late}]),
    )
    .await;
    attempt(&instance, "success", |row| row["state"] == "succeeded").await;
    let value = std::fs::read_to_string(&late).unwrap();
    assert_eq!(std::fs::read_to_string(&good).unwrap(), value);
    let (table, ..) = turnlock(&instance, &["rotate", "history", SECRET]);
    assert!(table.contains("succeeded") && !table.contains(&value), "{table}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_attempt_that_failed_without_effect_makes_way_for_the_next_run() {
    let (folder, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let instance = serving(folder.path()).await;
    define(&instance, json!([{"name": "app", "type": "file", "path": elsewhere.path().join("key")}])).await;
    run(&instance).await;
    let row = attempt(&instance, "failure", |row| row["state"] == "failed").await;
    assert_eq!((&row["failure"], versions(&instance).await), (&json!("misconfigured"), 1), "{row}");
    let (table, notes, _) = turnlock(&instance, &["rotate", "history", SECRET]);
    assert!(table.contains("-target-dir") && notes.contains("nothing was changed"), "{table}{notes}");
    let log = instance.log();
    assert!(log.lines().any(|line| line.contains("ERROR") && line.contains("no other try mends")), "{log}");
    let warned = wait_for("a warning", async || {
        let (_, notes, code) = turnlock(&instance, &["status"]);
        (code == 0 && notes.contains("rotations: ")).then_some(notes)
    });
    assert!(warned.await.contains("turnlock rotate list"));
    // The schedule does not stand still for it.
    let path = folder.path().join("key");
    let target = json!([{"name": "app", "type": "file", "path": path}]);
    let definition = json!({"field": "key", "targets": target, "schedule": "* * * * * *"});
    let (status, answer) = instance.as_root().put(&format!("rotation/definitions/{SECRET}"), definition).await;
    assert!(status < 300, "{answer}");
    let row = attempt(&instance, "the next run", |row| row["state"] == "succeeded").await;
    assert_eq!(row["cause"], "schedule");
    let (_, history) = instance.as_root().get(&format!("rotation/history/{SECRET}")).await;
    let states: Vec<_> =
        history["data"]["attempts"].as_array().unwrap().iter().map(|row| text(&row["state"])).collect();
    assert!(states.last().is_some_and(|state| state == "failed") && states.len() >= 2, "{states:?}");
    wait_for("no warning", async || (!turnlock(&instance, &["status"]).1.contains("rotations")).then_some(())).await;
}

/// A service that answers `status` to a POST, with words that are nobody's business, and 405 to anything else.
fn service(status: std::sync::Arc<std::sync::atomic::AtomicU16>) -> String {
    use std::io::{BufRead as _, BufReader, Read as _, Write as _};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/new-key", listener.local_addr().unwrap());
    // It ends with the process of the tests.
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let mut reader = BufReader::new(stream);
            let mut head = String::new();
            while !head.ends_with("\r\n\r\n") && reader.read_line(&mut head).is_ok_and(|length| length > 0) {}
            let head = head.to_lowercase();
            let length = head.split("content-length: ").nth(1).and_then(|rest| rest.lines().next()?.parse().ok());
            reader.by_ref().take(length.unwrap_or(0)).read_to_end(&mut Vec::new()).unwrap();
            let status = match head.starts_with("post ") {
                true => status.load(std::sync::atomic::Ordering::SeqCst),
                false => 405,
            };
            let body = "tlk_canary_answer";
            let answer =
                format!("HTTP/1.1 {status} X\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}", body.len());
            let _ = reader.into_inner().write_all(answer.as_bytes());
        }
    });
    url
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_refuses_the_new_value_is_named_with_its_status_and_nothing_that_it_said() {
    use std::sync::atomic::{AtomicU16, Ordering};
    let folder = tempfile::tempdir().unwrap();
    let instance = serving(folder.path()).await;
    let status = std::sync::Arc::new(AtomicU16::new(422));
    let target = json!({
        "name": "hook", "type": "webhook", "url": service(status.clone()), "signing_key": "tlk_canary_signing",
    });
    let file = json!({"name": "file", "type": "file", "path": folder.path().join("key")});
    define(&instance, json!([target, file])).await;
    run(&instance).await;
    let row = attempt(&instance, "a second try", |row| row["tries"].as_u64() >= Some(2)).await;
    assert_eq!(
        (&row["step"], &row["failure"], &row["acknowledged"]),
        (&json!("push"), &json!("refused"), &json!(["file"]))
    );
    let (table, ..) = turnlock(&instance, &["rotate", "history", SECRET]);
    let line = table.lines().find(|line| line.contains("it answered with status 422")).unwrap();
    assert!(line.contains("hook") && line.contains("push"), "{table}");
    let (json, ..) = turnlock(&instance, &["rotate", "history", "-format=json", SECRET]);
    for text in [&table, &json, &instance.log()] {
        assert!(!text.contains("canary"), "{text}");
    }
    let (said, _, code) = turnlock(&instance, &["rotate", "abort", SECRET]);
    assert!(said.contains("version 2 stays in force. Acknowledged by: file") && code == 0, "{said}");
    status.store(204, Ordering::SeqCst);
    run(&instance).await;
    attempt(&instance, "success", |row| row["state"] == "succeeded").await;
}

/// Cause: a file outside the folders of the only agent was taken as if it could be written, and its rotation then waited
/// for ever. Fix: who defines it is told, and at start who left a folder out that is not there.
#[tokio::test(flavor = "multi_thread")]
async fn a_file_out_of_the_agents_folders_is_told_when_it_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let (given, missing) = (folder.path().join("given"), folder.path().join("missing"));
    std::fs::create_dir(&given).unwrap();
    let config = format!("agent {{ target_dirs = [\"{}\", \"{}\"] }}", given.display(), missing.display());
    let instance = Instance::start_with(&config).await;
    let log = instance.log();
    assert!(log.contains(&format!("{} of target_dirs is no folder", missing.display())), "{log}");
    assert!(!log.contains(&format!("{} of target_dirs", given.display())), "{log}");
    let root = instance.as_root();
    root.put("sys/mounts/secret", json!({"type": "kv", "options": {"version": "2"}})).await;
    root.put("secret/data/app/key", json!({"data": {"key": "tlk_canary_first"}})).await;
    let set = |target: std::path::PathBuf, pool: &str| {
        let target = format!("-targets={}", json!([{"name": "app", "type": "file", "path": target}]));
        let pool = format!("-pool={pool}");
        turnlock(&instance, &["rotate", "set", SECRET, "-field=key", &target, &pool])
    };
    let (_, notes, code) = set(given.join("key"), "");
    assert!(!notes.contains("target_dirs") && code == 0, "{notes}");
    let (_, notes, code) = set(folder.path().join("given-too/key"), "");
    assert!(notes.contains("targets[0].path lies in no folder of target_dirs") && code == 0, "{notes}");
    let (_, notes, code) = set(folder.path().join("given-too/key"), "elsewhere");
    assert!(!notes.contains("target_dirs") && code == 0, "{notes}");
}

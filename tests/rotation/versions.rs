//! The secret changes beside its rotation: nothing that somebody wrote is lost, and nothing hangs.

use serde_json::{Value, json};

use super::{SECRET, attempt, run, serving, turnlock};
use crate::harness::{Instance, text};

/// An attempt at the step `promote`, whose version carries a value that this test made: it is the agent here.
async fn at_promote(instance: &Instance) -> Value {
    let definition = json!({"field": "key", "pool": "by-hand"});
    let root = instance.as_root();
    let (status, answer) = root.put(&format!("rotation/definitions/{SECRET}"), definition).await;
    assert!(status < 300, "{answer}");
    run(instance).await;
    let (_, work) = root.put("rotation/claim", json!({"agent": "test", "pool": "by-hand"})).await;
    report(instance, &work, json!({"value": "tlk_canary_second"})).await
}

/// Reports the step of `work` as done; answers what is next.
async fn report(instance: &Instance, work: &Value, more: Value) -> Value {
    let attempt = &work["data"]["attempt"];
    let mut body = json!({
        "attempt": attempt["id"], "epoch": attempt["epoch"], "step": attempt["step"], "outcome": "done",
    });
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let (status, answer) = instance.as_root().put(&format!("rotation/report/{SECRET}"), body).await;
    assert_eq!(status, 200, "{answer}");
    answer
}

/// Cause: the version that was made moved to `current` as it was, however much later. Loss: what somebody wrote in between.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_written_while_an_attempt_was_open_is_not_lost_by_it() {
    let instance = serving(std::path::Path::new("/nowhere")).await;
    let work = at_promote(&instance).await;
    assert_eq!((&work["data"]["attempt"]["step"], &work["data"]["attempt"]["version"]), (&json!("promote"), &json!(2)));
    let root = instance.as_root();
    root.put("secret/data/app/key", json!({"data": {"key": "tlk_canary_first", "user": "new"}})).await;
    let work = report(&instance, &work, json!({})).await;
    assert_eq!((&work["data"]["attempt"]["step"], &work["data"]["attempt"]["version"]), (&json!("promote"), &json!(4)));
    let work = report(&instance, &work, json!({})).await;
    assert_eq!(work["data"]["attempt"]["step"], "push");
    let (_, now) = root.get("secret/data/app/key").await;
    assert_eq!(now["data"]["data"], json!({"key": "tlk_canary_second", "user": "new"}));
    assert_eq!(now["data"]["metadata"]["version"], 4);
}

/// Cause: a report that could not be carried out changed nothing. Loss: the agent claimed the attempt again every 30 seconds,
/// for ever, and nobody was told why.
#[tokio::test(flavor = "multi_thread")]
async fn a_version_that_went_ends_the_attempt_with_the_reason() {
    let instance = serving(std::path::Path::new("/nowhere")).await;
    let work = at_promote(&instance).await;
    let root = instance.as_root();
    root.put("secret/destroy/app/key", json!({"versions": [2]})).await;
    report(&instance, &work, json!({})).await;
    let row = attempt(&instance, "the end", |row| row["state"] == "failed").await;
    assert_eq!((&row["obstacles"][0]["target"], &row["failure"]), (&json!(SECRET), &json!("misconfigured")), "{row}");
    assert!(text(&row["obstacles"][0]["reason"]).contains("is gone"), "{row}");
    turnlock(&instance, &["rotate", "abort", SECRET]);
    // The same when it goes later: claims of an agent do not fail for it.
    let work = at_promote(&instance).await;
    let work = report(&instance, &work, json!({})).await;
    let version = &work["data"]["attempt"]["version"];
    root.put("secret/destroy/app/key", json!({"versions": [version]})).await;
    let mut answer = report(&instance, &work, json!({"outcome": "waiting"})).await;
    while answer["data"]["rotation"].is_null() {
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        let (status, again) = root.put("rotation/claim", json!({"agent": "test", "pool": "by-hand"})).await;
        assert_eq!(status, 200, "{again}");
        answer = again;
    }
    report(&instance, &answer, json!({"outcome": "failed", "failure": "misconfigured"})).await;
    let (table, ..) = turnlock(&instance, &["rotate", "history", SECRET]);
    assert!(table.contains("is gone") && table.contains("push"), "{table}");
}

/// Cause: a version was made over nothing when there was no secret any more. Loss: what somebody had deleted came back, without
/// its other fields.
#[tokio::test(flavor = "multi_thread")]
async fn a_secret_that_somebody_deleted_stays_deleted_and_the_attempt_says_so() {
    let instance = serving(std::path::Path::new("/nowhere")).await;
    let root = instance.as_root();
    let fields = json!({"key": "tlk_canary_first", "user": "kept"});
    root.put("secret/data/app/key", json!({"data": fields})).await;
    root.put(&format!("rotation/definitions/{SECRET}"), json!({"field": "key"})).await;
    let fails = async || {
        run(&instance).await;
        let row = attempt(&instance, "failure", |row| row["state"] != "running").await;
        assert_eq!((&row["state"], &row["failure"]), (&json!("failed"), &json!("misconfigured")), "{row}");
        assert_eq!((&row["version"], row["obstacles"].as_array().map(Vec::len)), (&Value::Null, Some(1)), "{row}");
        let said = text(&row["obstacles"][0]["reason"]);
        assert!(said.starts_with("the secret is gone") && said.contains("rotate delete"), "{said}");
    };
    root.delete("secret/data/app/key").await;
    fails().await;
    assert_eq!(root.get("secret/data/app/key").await.0, 404);
    // Restored it is rotated with all that is in it, and a field that it does not have yet is made.
    root.put("secret/undelete/app/key", json!({"versions": [2]})).await;
    root.put(&format!("rotation/definitions/{SECRET}"), json!({"field": "new"})).await;
    run(&instance).await;
    attempt(&instance, "success", |row| row["state"] == "succeeded").await;
    let (_, now) = root.get("secret/data/app/key").await;
    let now = &now["data"]["data"];
    assert_eq!((&now["key"], &now["user"]), (&fields["key"], &fields["user"]));
    assert!(!text(&now["new"]).is_empty());
    root.delete("secret/metadata/app/key").await;
    fails().await;
    assert_eq!(root.get("secret/metadata/app/key").await.0, 404, "the path was made anew");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_that_is_deleted_during_an_attempt_is_not_brought_back_by_it() {
    let instance = serving(std::path::Path::new("/nowhere")).await;
    let root = instance.as_root();
    let work = at_promote(&instance).await;
    root.delete("secret/data/app/key").await;
    report(&instance, &work, json!({})).await;
    let row = attempt(&instance, "the end", |row| row["state"] == "failed").await;
    assert!(text(&row["obstacles"][0]["reason"]).starts_with("the secret is gone"), "{row}");
    assert_eq!(root.get("secret/data/app/key").await.0, 404);
    // A person decides, and restores it.
    root.put("secret/undelete/app/key", json!({"versions": [1]})).await;
    turnlock(&instance, &["rotate", "resume", SECRET]);
    let (_, work) = root.put("rotation/claim", json!({"agent": "test", "pool": "by-hand"})).await;
    assert_eq!(report(&instance, &work, json!({})).await["data"]["attempt"]["step"], "push");
}

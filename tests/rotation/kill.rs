//! A server that is killed in the middle of an attempt: it goes on where it stood, at once, and nothing is done twice.

use std::time::{Duration, Instant};

use serde_json::json;

use super::{SECRET, attempt, define, run, serving};
use crate::harness::{rounds, text};

#[tokio::test(flavor = "multi_thread")]
async fn an_attempt_survives_kill_9_at_any_step_and_makes_one_version() {
    let folder = tempfile::tempdir().unwrap();
    let mut instance = serving(folder.path()).await;
    let path = folder.path().join("key");
    define(&instance, json!([{"name": "app", "type": "file", "path": path}])).await;
    let rounds = rounds(60, 6);
    for round in 1..=rounds {
        run(&instance).await;
        // From before the first step to after the last.
        tokio::time::sleep(Duration::from_millis((round as u64 * 7) % 25)).await;
        instance.kill();
        instance.spawn().await;
        instance.unseal().await;
        let begun = Instant::now();
        attempt(&instance, "success", |row| row["state"] == "succeeded").await;
        assert!(begun.elapsed() < Duration::from_secs(20), "a claim of the killed server was waited for");
        let (_, now) = instance.as_root().get("secret/data/app/key").await;
        assert_eq!(std::fs::read_to_string(&path).unwrap(), text(&now["data"]["data"]["key"]));
        assert_eq!(now["data"]["metadata"]["version"], 1 + round, "{SECRET}");
    }
    let left = std::fs::read_dir(folder.path()).unwrap().count();
    assert_eq!(left, 2, "the file, its mark, and nothing of what was killed");
}

#[tokio::test(flavor = "multi_thread")]
async fn rotations_go_on_once_a_sealed_server_is_open_again() {
    let instance = serving(std::path::Path::new("/nowhere")).await;
    define(&instance, json!([])).await;
    for _ in 0..2 {
        run(&instance).await;
        attempt(&instance, "success", |row| row["state"] == "succeeded").await;
        assert_eq!(instance.as_root().put("sys/seal", json!({})).await.0, 204);
        instance.unseal().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_else_goes_by_the_name_of_the_agent_in_the_server() {
    let instance = serving(std::path::Path::new("/nowhere")).await;
    let (status, answer) = instance.as_root().put("rotation/claim", json!({"agent": "embedded"})).await;
    assert_eq!(status, 400, "{answer}");
}

//! The token of an agent elsewhere: it outlives its first life, or it is told that it does not.

use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use super::{SECRET, attempt, serving};
use crate::harness::{Instance, Running, text, wait_for};

/// A server with a rotation that only agents elsewhere work on, and the policy that they need.
async fn with_agents_elsewhere() -> Instance {
    let instance = serving(Path::new("/nowhere")).await;
    let root = instance.as_root();
    let rules = r#"path "rotation/claim" { capabilities = ["update"] }
                   path "rotation/report/*" { capabilities = ["update"] }"#;
    root.put("sys/policies/acl/agent", json!({"policy": rules})).await;
    // An agent elsewhere knows when a run by schedule is due; of one by hand it learns half a minute later.
    let definition = json!({"field": "key", "pool": "dmz", "schedule": "*/2 * * * * *"});
    root.put(&format!("rotation/definitions/{SECRET}"), definition).await;
    instance
}

/// A token of an agent.
async fn token(instance: &Instance, more: Value) -> String {
    let mut body = json!({"policies": ["agent"]});
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let (_, made) = instance.as_root().put("auth/token/create", body).await;
    text(&made["auth"]["client_token"])
}

/// An agent, and its log.
fn agent(instance: &Instance, mut command: Command, words: &[&str]) -> (Running, std::path::PathBuf) {
    let log = instance.dir.path().join("agent.log");
    let command = command.args(["agent", "-pool=dmz"]).args(words).stdout(Stdio::null());
    (Running(command.stderr(std::fs::File::create(&log).unwrap()).spawn().unwrap()), log)
}

/// Another run of the rotation, from here on.
async fn succeeds(instance: &Instance) {
    let now = chrono::Utc::now();
    let is_later = |row: &Value| text(&row["started"]).parse::<chrono::DateTime<chrono::Utc>>().unwrap() > now;
    attempt(instance, "success", |row| row["state"] == "succeeded" && is_later(row)).await;
}

/// Cause: the token of an agent was used as it was given. Loss: it ended after its first life, a month by default, and with it all
/// rotations of its pool. Fix: it is renewed when half of its life is gone.
#[tokio::test(flavor = "multi_thread")]
async fn a_token_outlives_its_first_life() {
    let instance = with_agents_elsewhere().await;
    let token = token(&instance, json!({"ttl": "8s"})).await;
    let _agent = agent(&instance, instance.command(&token), &[]);
    let root = instance.as_root();
    wait_for("the end of its first life", async || {
        let (status, found) = root.put("auth/token/lookup", json!({"token": token})).await;
        assert_eq!(status, 200, "it has ended: {found}");
        let age = chrono::Utc::now().timestamp() - found["data"]["creation_time"].as_i64()?;
        (age > 9).then_some(())
    })
    .await;
    succeeds(&instance).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_can_log_in_does_so_again_when_the_token_has_reached_its_longest_life() {
    let instance = with_agents_elsewhere().await;
    let root = instance.as_root();
    root.put("sys/auth/approle", json!({"type": "approle"})).await;
    let role = json!({"token_policies": "agent", "token_ttl": "2s", "token_max_ttl": "3s"});
    root.put("auth/approle/role/agent", role).await;
    let role_id = text(&root.get("auth/approle/role/agent/role-id").await.1["data"]["role_id"]);
    let secret_id = instance.dir.path().join("secret-id");
    let words = [&format!("-role-id={role_id}"), &format!("-secret-id-file={}", secret_id.display())];
    let words = words.map(String::as_str);
    // What is wrong at the start is told at the start.
    std::fs::write(&secret_id, "tlk_canary_no_secret_id").unwrap();
    let output = instance.command("").args(["agent"]).args(words).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("hint: check -role-id") && output.status.code() == Some(2), "{said}");
    let (_, made) = root.put("auth/approle/role/agent/secret-id", json!({})).await;
    std::fs::write(&secret_id, text(&made["data"]["secret_id"]) + "\n").unwrap();
    let (_agent, log) = agent(&instance, instance.command(""), &words);
    wait_for("a third login", async || {
        let said = std::fs::read_to_string(&log).unwrap();
        (said.matches("goes on with another token").count() >= 2).then_some(())
    })
    .await;
    succeeds(&instance).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_cannot_log_in_says_until_when_and_takes_what_is_put_in_the_file() {
    let instance = with_agents_elsewhere().await;
    let file = instance.dir.path().join("token");
    let brief = token(&instance, json!({"ttl": "10s", "explicit_max_ttl": "10s"})).await;
    std::fs::write(&file, &brief).unwrap();
    let (_agent, log) = agent(&instance, instance.command(""), &["-token-file", file.to_str().unwrap()]);
    let said = wait_for("the warning", async || {
        let said = std::fs::read_to_string(&log).unwrap();
        said.contains("does not live on").then_some(said)
    })
    .await;
    assert!(said.contains("ERROR") && said.contains("reached its longest life, and ends in"), "{said}");
    assert!(said.contains("-secret-id-file") && !said.contains(&brief), "{said}");
    std::fs::write(&file, token(&instance, json!({})).await).unwrap();
    wait_for("the other token", async || {
        std::fs::read_to_string(&log).unwrap().contains("goes on with another token").then_some(())
    })
    .await;
    succeeds(&instance).await;
    let nothing = instance.command("").args(["agent"]).output().unwrap();
    let said = String::from_utf8(nothing.stderr).unwrap();
    assert!(said.contains("the agent has no token") && nothing.status.code() == Some(1), "{said}");
}

//! A secret id belongs to its role, and lives no longer and no oftener than it was given.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{done, enable_auth, post, with_mounts};
use crate::harness::{Instance, text, wait_for};

async fn with_role(name: &str, fields: Value) -> (Instance, String) {
    let instance = with_mounts().await;
    enable_auth(&instance, "approle", "approle").await;
    let role_id = add_role(&instance, "approle", name, fields).await;
    (instance, role_id)
}

async fn add_role(instance: &Instance, mount: &str, name: &str, fields: Value) -> String {
    done(post(&instance.as_root(), &format!("auth/{mount}/role/{name}"), fields).await);
    text(&instance.as_root().get(&format!("auth/{mount}/role/{name}/role-id")).await.1["data"]["role_id"])
}

/// Secret id and its accessor.
async fn secret_id(instance: &Instance, role: &str) -> (String, String) {
    let (status, answer) = post(&instance.as_root(), &format!("auth/approle/role/{role}/secret-id"), json!({})).await;
    assert_eq!(status, 200, "{answer}");
    (text(&answer["data"]["secret_id"]), text(&answer["data"]["secret_id_accessor"]))
}

async fn login(instance: &Instance, role_id: &str, secret_id: &str) -> (u16, Value) {
    post(&instance.api(""), "auth/approle/login", json!({"role_id": role_id, "secret_id": secret_id})).await
}

#[tokio::test]
async fn a_role_reaches_no_secret_id_of_another() {
    let (instance, web) = with_role("web", json!({"token_policies": ["default"]})).await;
    let other = add_role(&instance, "approle", "other", json!({"token_policies": ["default"]})).await;
    let root = instance.as_root();
    let (secret, accessor) = secret_id(&instance, "web").await;
    let by_accessor = json!({"secret_id_accessor": accessor});
    for verb in ["lookup", "destroy"] {
        let (status, answer) =
            post(&root, &format!("auth/approle/role/other/secret-id-accessor/{verb}"), by_accessor.clone()).await;
        assert!((400..500).contains(&status), "{verb}: {status} {answer}");
        let (status, answer) =
            post(&root, &format!("auth/approle/role/other/secret-id/{verb}"), json!({"secret_id": secret})).await;
        assert!(status < 500 && answer["data"]["secret_id_accessor"].is_null(), "{verb}: {status} {answer}");
    }
    assert_eq!(login(&instance, &other, &secret).await.0, 400);
    assert_eq!(login(&instance, &web, &secret).await.0, 200, "another role destroyed it");
}

#[tokio::test]
async fn a_mount_reaches_no_role_of_another() {
    let (instance, web) = with_role("web", json!({"token_policies": ["default"]})).await;
    enable_auth(&instance, "second", "approle").await;
    let (secret, _) = secret_id(&instance, "web").await;
    let fields = json!({"role_id": web, "secret_id": secret});
    assert_eq!(post(&instance.api(""), "auth/second/login", fields).await.0, 400);
    assert_eq!(instance.as_root().get("auth/second/role/web").await.0, 404);
}

#[tokio::test]
async fn a_secret_id_ends_at_its_ttl_without_a_sweep() {
    let (instance, role_id) = with_role("web", json!({"secret_id_ttl": "1s", "secret_id_num_uses": 0})).await;
    let start = Instant::now();
    let (secret, _) = secret_id(&instance, "web").await;
    assert_eq!(login(&instance, &role_id, &secret).await.0, 200);
    wait_for("the end of the secret id", async || (login(&instance, &role_id, &secret).await.0 == 400).then_some(()))
        .await;
    // Sweeps are minutes apart: the login itself looked at the time.
    assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
}

#[tokio::test]
async fn a_secret_id_of_one_use_logs_in_once_in_a_race() {
    let (instance, role_id) = with_role("web", json!({"secret_id_num_uses": 1})).await;
    let (secret, _) = secret_id(&instance, "web").await;
    let body = json!({"role_id": role_id, "secret_id": secret});
    let calls: Vec<_> = (0..16)
        .map(|_| {
            let (api, body) = (instance.api(""), body.clone());
            tokio::spawn(async move { post(&api, "auth/approle/login", body).await.0 })
        })
        .collect();
    let mut statuses = Vec::new();
    for call in calls {
        statuses.push(call.await.unwrap());
    }
    assert_eq!(statuses.iter().filter(|status| **status == 200).count(), 1, "{statuses:?}");
    assert!(statuses.iter().all(|status| matches!(status, 200 | 400)), "{statuses:?}");
}

#[tokio::test]
async fn a_secret_id_works_only_from_its_networks() {
    let (instance, role_id) = with_role("web", json!({"secret_id_bound_cidrs": ["192.0.2.0/24"]})).await;
    let (secret, _) = secret_id(&instance, "web").await;
    let (status, answer) = login(&instance, &role_id, &secret).await;
    assert!(matches!(status, 400 | 403), "{answer}");
}

#[tokio::test]
async fn a_deleted_role_takes_its_secret_ids_along() {
    let (instance, role_id) = with_role("web", json!({})).await;
    let (secret, _) = secret_id(&instance, "web").await;
    done(instance.as_root().delete("auth/approle/role/web").await);
    assert_eq!(login(&instance, &role_id, &secret).await.0, 400);
    // A role of the same name and id is another role.
    done(post(&instance.as_root(), "auth/approle/role/web", json!({"role_id": role_id})).await);
    let _ = post(&instance.as_root(), "auth/approle/role/web/role-id", json!({"role_id": role_id})).await;
    assert_eq!(login(&instance, &role_id, &secret).await.0, 400);
}

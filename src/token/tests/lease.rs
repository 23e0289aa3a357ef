//! Leases by id and by prefix.

use serde_json::json;

use super::{World, refusal};
use crate::request::Operation::{List, Update};

async fn lease_of(world: &World, at: usize) -> String {
    let path = "sys/leases/lookup/auth/token/create";
    let keys = world.root_ask(List, path, json!(null)).await.unwrap()["data"]["keys"].clone();
    format!("auth/token/create/{}", keys[at].as_str().unwrap())
}

#[tokio::test]
async fn a_lease_is_shown_renewed_and_revoked_by_its_id() {
    let world = World::new().await;
    let token = world.token(&world.root, json!({"policies": ["app"], "ttl": "60s"})).await;
    let id = lease_of(&world, 0).await;
    let shown = world.root_ask(Update, "sys/leases/lookup", json!({"lease_id": id})).await.unwrap();
    assert_eq!((&shown["data"]["ttl"], &shown["data"]["id"]), (&json!(60), &json!(id)));
    let body = json!({"lease_id": id, "increment": "300s"});
    let renewed = world.as_token(&token, Update, "sys/leases/renew", body).await.unwrap();
    assert_eq!((&renewed["lease_duration"], &renewed["renewable"]), (&json!(300), &json!(true)));
    world.root_ask(Update, &format!("sys/revoke/{id}"), json!({})).await.unwrap();
    assert!(!world.is_alive(&token).await);
    let gone = world.root_ask(Update, "sys/leases/lookup", json!({"lease_id": id})).await;
    assert_eq!(refusal(gone), (400, "invalid lease".to_owned()));
}

#[tokio::test]
async fn a_leaked_lease_id_is_of_no_use_to_others() {
    let world = World::new().await;
    world.token(&world.root, json!({"policies": ["app"]})).await;
    let id = lease_of(&world, 0).await;
    let other = world.token(&world.root, json!({"policies": ["app"]})).await;
    for path in ["sys/leases/lookup", "sys/leases/renew", "sys/renew", "sys/leases/revoke"] {
        let answer = world.as_token(&other, Update, path, json!({"lease_id": id})).await;
        assert_eq!(refusal(answer).0, 403, "{path}");
    }
    world.policy("app", r#"path "sys/leases/lookup/auth/token/*" { capabilities = ["update"] }"#).await;
    assert!(world.as_token(&other, Update, "sys/leases/lookup", json!({"lease_id": id})).await.is_ok());
}

#[tokio::test]
async fn a_revoked_prefix_ends_what_is_there_and_not_what_comes() {
    let world = World::new().await;
    let token = world.token(&world.root, json!({"policies": ["app"], "ttl": "1h"})).await;
    world.root_ask(Update, "auth/token/roles/ci", json!({"orphan": true})).await.unwrap();
    let answer = world.root_ask(Update, "auth/token/create/ci", json!({"policies": ["app"]})).await.unwrap();
    let by_role = answer["auth"]["client_token"].as_str().unwrap();
    world.root_ask(Update, "sys/leases/revoke-prefix/auth/token/create/c", json!({})).await.unwrap();
    assert!(world.is_alive(by_role).await, "a prefix ends at a slash");
    world.root_ask(Update, "sys/leases/revoke-prefix/auth/token/create/ci", json!({})).await.unwrap();
    assert!(!world.is_alive(by_role).await && world.is_alive(&token).await);
    assert!(!world.restarted().await.is_alive(by_role).await);
    world.pass(1);
    let answer = world.root_ask(Update, "auth/token/create/ci", json!({"policies": ["app"]})).await.unwrap();
    let later = answer["auth"]["client_token"].as_str().unwrap();
    assert!(world.is_alive(later).await);
    world.sweep().await;
    assert!(world.is_alive(later).await && world.is_alive(&token).await && !world.is_alive(by_role).await);
    assert!(world.is_alive(&world.root).await);
}

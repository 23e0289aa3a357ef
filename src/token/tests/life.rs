//! How long tokens live, and for how many uses.

use serde_json::json;

use super::{Ask, World, refusal};
use crate::error::Error;
use crate::request::Operation::{Read, Update};

#[tokio::test]
async fn a_token_ends_at_its_time_whether_swept_or_not() {
    let world = World::new().await;
    let token = world.token(&world.root, json!({"ttl": "60s"})).await;
    world.pass(59);
    assert!(world.is_alive(&token).await);
    world.pass(1);
    assert!(!world.is_alive(&token).await);
    let before = world.rows().await;
    world.sweep().await;
    assert!(world.rows().await < before);
}

#[tokio::test]
async fn a_clock_that_steps_back_prolongs_nothing() {
    let world = World::new().await;
    let token = world.token(&world.root, json!({"ttl": "60s", "explicit_max_ttl": "90s"})).await;
    world.pass(80);
    assert!(!world.is_alive(&token).await);
    world.pass(-70);
    assert!(!world.is_alive(&token).await);
    let token = world.token(&world.root, json!({"ttl": "60s", "explicit_max_ttl": "90s"})).await;
    world.pass(140);
    let _ = world.look(&token).await;
    world.pass(-139);
    let answer = world.as_token(&token, Update, "auth/token/renew-self", json!({"increment": "1h"})).await;
    assert_eq!(refusal(answer).0, 403);
}

#[tokio::test]
async fn renewals_stop_at_the_maximum_with_a_client_error() {
    let world = World::new().await;
    let token = world.token(&world.root, json!({"ttl": "60s", "explicit_max_ttl": "100s"})).await;
    world.pass(50);
    let answer = world.as_token(&token, Update, "auth/token/renew-self", json!({"increment": "1h"})).await.unwrap();
    assert_eq!(answer["auth"]["lease_duration"], 50);
    assert!(answer["warnings"].is_array());
    world.pass(50);
    assert!(!world.is_alive(&token).await);
    let fixed = world.token(&world.root, json!({"ttl": "60s", "renewable": false})).await;
    let answer = world.as_token(&fixed, Update, "auth/token/renew-self", json!({})).await;
    assert_eq!(refusal(answer), (400, "lease is not renewable".to_owned()));
    let periodic = world.token(&world.root, json!({"period": "60s"})).await;
    for _ in 0..5 {
        world.pass(59);
        let answer = world.as_token(&periodic, Update, "auth/token/renew-self", json!({"increment": "9h"})).await;
        assert_eq!(answer.unwrap()["auth"]["lease_duration"], 60);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_limited_token_is_good_for_exactly_its_uses() {
    let world = std::sync::Arc::new(World::new().await);
    let token = world.token(&world.root, json!({"num_uses": 10, "ttl": "1h"})).await;
    let tries = (0..40).map(|_| {
        let (world, token) = (world.clone(), token.clone());
        tokio::spawn(async move { world.look(&token).await })
    });
    let outcomes = futures_util::future::join_all(tries).await;
    let served = outcomes.iter().filter(|outcome| outcome.as_ref().unwrap().is_ok()).count();
    let denied = outcomes.iter().filter(|outcome| matches!(outcome.as_ref().unwrap(), Err(Error::Denied))).count();
    assert_eq!((served, denied), (10, 30));
    assert!(!world.restarted().await.is_alive(&token).await);
    world.sweep().await;
    assert!(!world.is_alive(&token).await);
}

#[tokio::test]
async fn a_limited_token_makes_no_children() {
    let world = World::new().await;
    let token = world.token(&world.root, json!({"policies": ["root"], "num_uses": 5})).await;
    let answer = world.as_token(&token, Update, "auth/token/create", json!({})).await;
    assert_eq!(refusal(answer).0, 400);
}

#[tokio::test]
async fn a_bound_token_is_refused_from_elsewhere() {
    let world = World::new().await;
    let role = json!({"token_bound_cidrs": ["192.0.2.0/24", "2001:db8::/32"]});
    world.root_ask(Update, "auth/token/roles/net", role).await.unwrap();
    let answer = world.root_ask(Update, "auth/token/create/net", json!({"policies": ["app"]})).await.unwrap();
    let token = answer["auth"]["client_token"].as_str().unwrap();
    for (from, allowed) in
        [("192.0.2.9", true), ("::ffff:192.0.2.9", true), ("2001:db8::1", true), ("198.51.100.1", false)]
    {
        let ask = Ask { operation: Read, path: "auth/token/lookup-self", token: Some(token), from, ..Ask::default() };
        assert_eq!(world.ask(ask).await.is_ok(), allowed, "{from}");
    }
}

#[tokio::test]
async fn a_changed_policy_holds_from_the_next_request_on() {
    let world = World::new().await;
    let token = world.token(&world.root, json!({"policies": ["app"]})).await;
    assert!(world.as_token(&token, Read, "sys/mounts", json!(null)).await.is_err());
    world.policy("app", r#"path "sys/mounts" { capabilities = ["read"] }"#).await;
    assert!(world.as_token(&token, Read, "sys/mounts", json!(null)).await.is_ok());
    world.policy("app", r#"path "sys/mounts" { capabilities = ["deny"] }"#).await;
    assert!(world.as_token(&token, Read, "sys/mounts", json!(null)).await.is_err());
}

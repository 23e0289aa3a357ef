//! Wrapped answers.

use serde_json::json;

use super::{Ask, World, refusal};
use crate::request::Operation::Update;

const GONE: &str = "wrapping token is not valid or does not exist";

async fn wrapped(world: &World, seconds: u64) -> String {
    let ask = Ask {
        path: "sys/wrapping/wrap",
        token: Some(&world.root),
        body: json!({"zip": "tlk_canary_wrapped"}),
        wrap_seconds: Some(seconds),
        ..Ask::default()
    };
    let answer = world.ask(ask).await.unwrap();
    assert!(!answer.to_string().contains("canary"));
    answer["wrap_info"]["token"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_wrapped_answer_is_opened_once() {
    let world = World::new().await;
    let token = wrapped(&world, 60).await;
    for _ in 0..3 {
        let shown = world.open_ask("sys/wrapping/lookup", json!({"token": token})).await.unwrap();
        assert_eq!(shown["data"]["creation_path"], "sys/wrapping/wrap");
        assert_eq!(shown["data"]["creation_ttl"], 60);
    }
    let opened = world.as_token(&token, Update, "sys/wrapping/unwrap", json!({})).await.unwrap();
    assert_eq!(opened["data"], json!({"zip": "tlk_canary_wrapped"}));
    let again = world.as_token(&token, Update, "sys/wrapping/unwrap", json!({})).await;
    assert_eq!(refusal(again), (400, GONE.to_owned()));
    assert_eq!(refusal(world.open_ask("sys/wrapping/lookup", json!({"token": token})).await).1, GONE);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_many_that_open_at_once_one_succeeds() {
    let world = std::sync::Arc::new(World::new().await);
    let token = wrapped(&world, 60).await;
    let tries = (0..16).map(|_| {
        let (world, token) = (world.clone(), token.clone());
        tokio::spawn(async move { world.open_ask("sys/wrapping/unwrap", json!({"token": token})).await })
    });
    let outcomes = futures_util::future::join_all(tries).await;
    assert_eq!(outcomes.iter().filter(|outcome| outcome.as_ref().unwrap().is_ok()).count(), 1);
}

#[tokio::test]
async fn a_wrapping_token_ends_at_its_time_and_opens_nothing_else() {
    let world = World::new().await;
    let token = wrapped(&world, 60).await;
    assert!(!world.is_alive(&token).await);
    world.pass(60);
    let late = world.as_token(&token, Update, "sys/wrapping/unwrap", json!({})).await;
    assert_eq!(refusal(late), (400, GONE.to_owned()));
    let before = world.rows().await;
    world.pass(1200);
    world.sweep().await;
    assert!(world.rows().await < before, "what was never opened is swept");
}

#[tokio::test]
async fn rewrapping_moves_the_answer_to_a_fresh_token() {
    let world = World::new().await;
    let old = wrapped(&world, 300).await;
    let answer = world.root_ask(Update, "sys/wrapping/rewrap", json!({"token": old})).await.unwrap();
    assert_eq!(answer["wrap_info"]["creation_path"], "sys/wrapping/wrap");
    assert_eq!(answer["wrap_info"]["ttl"], 300);
    let fresh = answer["wrap_info"]["token"].as_str().unwrap();
    assert!(world.open_ask("sys/wrapping/unwrap", json!({"token": old})).await.is_err());
    let opened = world.root_ask(Update, "sys/wrapping/unwrap", json!({"token": fresh})).await.unwrap();
    assert_eq!(opened["data"]["zip"], "tlk_canary_wrapped");
}

#[tokio::test]
async fn a_wrapped_token_is_named_by_its_accessor() {
    let world = World::new().await;
    let ask = Ask {
        path: "auth/token/create",
        token: Some(&world.root),
        body: json!({"policies": ["app"]}),
        wrap_seconds: Some(60),
        ..Ask::default()
    };
    let info = world.ask(ask).await.unwrap()["wrap_info"].clone();
    assert!(info["wrapped_accessor"].as_str().is_some_and(|accessor| !accessor.is_empty()));
    let body = json!({"accessor": info["accessor"]});
    world.root_ask(Update, "auth/token/revoke-accessor", body).await.unwrap();
    let opened = world.open_ask("sys/wrapping/unwrap", json!({"token": info["token"]})).await;
    assert_eq!(refusal(opened).1, GONE);
}

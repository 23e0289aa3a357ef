//! Revocation of whole trees, of one, by accessor; and what is left afterwards.

use serde_json::json;

use super::{World, refusal};
use crate::request::Operation::{List, Update};

#[tokio::test]
async fn a_revoked_token_takes_its_whole_tree_with_it_at_once() {
    let world = World::new().await;
    let empty = world.rows().await;
    let top = world.token(&world.root, json!({"policies": ["root"], "ttl": "1h"})).await;
    let middle = world.token(&top, json!({"policies": ["root"], "ttl": "1h"})).await;
    let leaf = world.token(&middle, json!({"policies": ["app"]})).await;
    assert!(world.is_alive(&leaf).await);
    world.root_ask(Update, "auth/token/revoke", json!({"token": top})).await.unwrap();
    for token in [&top, &middle, &leaf] {
        assert!(!world.is_alive(token).await);
        assert!(!world.restarted().await.is_alive(token).await, "a restart brings nothing back");
    }
    world.sweep().await;
    world.sweep().await;
    // What stays are the markers of folders of leases, and the calendar's hand.
    assert!(world.rows().await <= empty + 4, "{} rows, {empty} before", world.rows().await);
    for token in [&top, &middle, &leaf] {
        assert!(!world.is_alive(token).await);
    }
}

#[tokio::test]
async fn children_of_a_token_that_is_revoked_as_orphan_live_on() {
    let world = World::new().await;
    let top = world.token(&world.root, json!({"policies": ["root"], "ttl": "1h"})).await;
    let child = world.token(&top, json!({"policies": ["root"], "ttl": "1h"})).await;
    let leaf = world.token(&child, json!({"policies": ["app"]})).await;
    world.root_ask(Update, "auth/token/revoke-orphan", json!({"token": top})).await.unwrap();
    assert!(!world.is_alive(&top).await);
    assert!(world.is_alive(&child).await && world.is_alive(&leaf).await);
    world.sweep().await;
    assert!(world.is_alive(&child).await && world.is_alive(&leaf).await);
    assert_eq!(world.look(&child).await.unwrap()["orphan"], true);
    assert!(world.restarted().await.is_alive(&leaf).await);
    world.root_ask(Update, "auth/token/revoke", json!({"token": child})).await.unwrap();
    assert!(!world.is_alive(&leaf).await);
}

#[tokio::test]
async fn children_end_when_their_parent_expires() {
    let world = World::new().await;
    let parent = world.token(&world.root, json!({"policies": ["root"], "ttl": "60s"})).await;
    let child = world.token(&parent, json!({"policies": ["app"], "ttl": "1h"})).await;
    world.pass(60);
    assert!(!world.is_alive(&child).await);
    world.sweep().await;
    assert!(!world.is_alive(&child).await);
}

#[tokio::test]
async fn no_child_is_born_to_a_revoked_token() {
    let world = World::new().await;
    let parts = world.parts();
    let parent = world.token(&world.root, json!({"policies": ["root"], "ttl": "60s"})).await;
    let text = turnlock_core::Protected::copy_of(parent.as_bytes());
    let peer = crate::request::Peer::Local;
    let caller = parts.tokens.identify(&parts, &text, peer).await.unwrap();
    // The request passed the door; then the token was revoked.
    parts.tokens.revoke(&caller.hash, crate::token::Children::Die).await.unwrap();
    let order = crate::token::Order { parent: Some(&caller), path: "auth/token/create".into(), ..Default::default() };
    let mount = parts.mounts.table().at("auth/token").unwrap().clone();
    let issued = parts.tokens.issue(&parts, &mount.entry, order, crate::barrier::Changes::new()).await;
    assert!(matches!(issued, Err(crate::error::Error::Denied)));
}

#[tokio::test]
async fn thousands_of_children_are_refused_within_a_second() {
    let world = World::new().await;
    let parts = world.parts();
    let parent = world.token(&world.root, json!({"policies": ["root"], "ttl": "1h"})).await;
    let mut children = Vec::new();
    for _ in 0..2000 {
        children.push(world.token(&parent, json!({"policies": ["app"]})).await);
    }
    let started = std::time::Instant::now();
    world.root_ask(Update, "auth/token/revoke", json!({"token": parent})).await.unwrap();
    assert!(started.elapsed().as_millis() < 200, "one commit, whatever hangs below: {:?}", started.elapsed());
    for child in &children {
        let text = turnlock_core::Protected::copy_of(child.as_bytes());
        assert!(parts.tokens.identify(&parts, &text, crate::request::Peer::Local).await.is_err());
    }
    world.sweep().await;
    let accessors = world.root_ask(List, "auth/token/accessors", json!(null)).await.unwrap();
    assert_eq!(accessors["data"]["keys"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn an_accessor_shows_and_ends_but_never_tells_the_token() {
    let world = World::new().await;
    let token = world.token(&world.root, json!({"policies": ["app"], "ttl": "1h"})).await;
    let accessor = world.look(&token).await.unwrap()["accessor"].as_str().unwrap().to_owned();
    let body = json!({"accessor": accessor});
    let shown = world.root_ask(Update, "auth/token/lookup-accessor", body.clone()).await.unwrap();
    assert_eq!(shown["data"]["id"], "");
    assert!(!shown.to_string().contains(&token));
    let renewed = world.root_ask(Update, "auth/token/renew-accessor", body.clone()).await.unwrap();
    assert_eq!(renewed["auth"]["client_token"], "");
    world.root_ask(Update, "auth/token/revoke-accessor", body.clone()).await.unwrap();
    assert!(!world.is_alive(&token).await);
    assert_eq!(refusal(world.root_ask(Update, "auth/token/lookup-accessor", body).await).0, 403);
}

#[tokio::test]
async fn tokens_of_a_mount_die_with_it() {
    let world = World::new().await;
    world.enable("userpass").await;
    world.root_ask(Update, "auth/userpass/users/alice", json!({"password": "tlk_canary_pw"})).await.unwrap();
    let login = world.open_ask("auth/userpass/login/alice", json!({"password": "tlk_canary_pw"})).await.unwrap();
    let token = login["auth"]["client_token"].as_str().unwrap();
    assert!(world.is_alive(token).await);
    world.root_ask(crate::request::Operation::Delete, "sys/auth/userpass", json!(null)).await.unwrap();
    assert!(!world.is_alive(token).await);
}

//! Logins by user name and password.

use serde_json::{Value, json};

use super::{World, refusal};
use crate::request::Operation::{Delete, List, Read, Update};

const PASSWORD: &str = "tlk_canary_correct_horse";

async fn world() -> World {
    let world = World::new().await;
    world.enable("userpass").await;
    let body = json!({"password": PASSWORD, "token_policies": "app"});
    world.root_ask(Update, "auth/userpass/users/Alice", body).await.unwrap();
    world
}

async fn login(world: &World, name: &str, password: &str) -> Result<Value, crate::error::Error> {
    world.open_ask(&format!("auth/userpass/login/{name}"), json!({"password": password})).await
}

#[tokio::test]
async fn every_spelling_of_the_name_logs_in_as_one_user() {
    let world = world().await;
    for name in ["alice", "ALICE", " Alice"] {
        let auth = login(&world, name, PASSWORD).await.unwrap()["auth"].clone();
        assert_eq!(auth["metadata"], json!({"username": "alice"}));
        assert_eq!(auth["policies"], json!(["app", "default"]));
        assert_eq!(world.look(auth["client_token"].as_str().unwrap()).await.unwrap()["display_name"], "userpass-alice");
    }
    let shown = world.root_ask(Read, "auth/userpass/users/alice", Value::Null).await.unwrap();
    assert!(!shown.to_string().contains("password"));
    let keys = world.root_ask(List, "auth/userpass/users", Value::Null).await.unwrap();
    assert_eq!(keys["data"]["keys"], json!(["alice"]));
}

#[tokio::test]
async fn known_and_unknown_names_are_refused_and_locked_alike() {
    let world = world().await;
    for name in ["alice", "nobody"] {
        for spelling in [name.to_owned(), name.to_uppercase(), format!(" {name}"), format!("{name} "), name.to_owned()]
        {
            let answer = refusal(login(&world, &spelling, "wrong").await);
            assert_eq!(answer, (400, "invalid username or password".to_owned()), "{spelling}");
        }
        let locked = refusal(login(&world, &name.to_uppercase(), PASSWORD).await);
        assert_eq!(locked, (403, "permission denied".to_owned()), "no spelling is counted apart");
    }
    world.pass(900);
    assert!(login(&world, "alice", PASSWORD).await.is_ok());
}

#[tokio::test]
async fn a_new_password_replaces_the_old_and_a_removed_user_is_gone() {
    let world = world().await;
    let body = json!({"password": "battery staple"});
    world.root_ask(Update, "auth/userpass/users/alice/password", body).await.unwrap();
    assert!(login(&world, "alice", PASSWORD).await.is_err());
    assert!(login(&world, "alice", "battery staple").await.is_ok());
    let body = json!({"token_policies": "other"});
    world.root_ask(Update, "auth/userpass/users/alice/policies", body).await.unwrap();
    let auth = login(&world, "alice", "battery staple").await.unwrap()["auth"].clone();
    assert_eq!(auth["policies"], json!(["default", "other"]));
    world.root_ask(Delete, "auth/userpass/users/alice", Value::Null).await.unwrap();
    assert!(login(&world, "alice", "battery staple").await.is_err());
}

#[tokio::test]
async fn missing_and_malformed_fields_are_the_clients_mistake() {
    let world = world().await;
    for body in [json!({}), json!({"password": ""}), json!({"password": ["x"]}), json!({"password": "x".repeat(5000)})]
    {
        assert_eq!(refusal(world.open_ask("auth/userpass/login/alice", body).await).0, 400);
    }
    assert_eq!(refusal(world.root_ask(Update, "auth/userpass/users/bob", json!({})).await).0, 400);
    let body = json!({"password": "x", "token_policies": "Root "});
    assert_eq!(refusal(world.root_ask(Update, "auth/userpass/users/bob", body).await).0, 400);
}

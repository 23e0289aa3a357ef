//! Logins by AppRole.

use serde_json::{Value, json};

use super::{Ask, World, refusal};
use crate::request::Operation::{Create, Delete, List, Read, Update};

const REFUSED: (u16, &str) = (400, "invalid role or secret ID");

async fn role(world: &World, name: &str, body: Value) -> String {
    world.root_ask(Update, &format!("auth/approle/role/{name}"), body).await.unwrap();
    let answer = world.root_ask(Read, &format!("auth/approle/role/{name}/role-id"), Value::Null).await.unwrap();
    answer["data"]["role_id"].as_str().unwrap().to_owned()
}

async fn secret_id(world: &World, name: &str, body: Value) -> (String, String) {
    let data =
        world.root_ask(Update, &format!("auth/approle/role/{name}/secret-id"), body).await.unwrap()["data"].clone();
    (data["secret_id"].as_str().unwrap().to_owned(), data["secret_id_accessor"].as_str().unwrap().to_owned())
}

async fn login(world: &World, role_id: &str, secret_id: &str) -> Result<Value, crate::error::Error> {
    world.open_ask("auth/approle/login", json!({"role_id": role_id, "secret_id": secret_id})).await
}

fn refused(answer: Result<Value, crate::error::Error>) -> bool {
    let (status, text) = refusal(answer);
    (status, text.as_str()) == REFUSED
}

async fn world() -> World {
    let world = World::new().await;
    world.enable("approle").await;
    world
}

#[tokio::test]
async fn a_login_gives_what_the_role_says() {
    let world = world().await;
    let body = json!({"token_policies": ["app"], "token_ttl": "20m", "token_max_ttl": "1h", "secret_id_num_uses": 3});
    let role_id = role(&world, "Web", body).await;
    let (secret, _) = secret_id(&world, "web", json!({"metadata": "{\"env\":\"ci\"}"})).await;
    let auth = login(&world, &role_id, &secret).await.unwrap()["auth"].clone();
    assert_eq!(auth["policies"], json!(["app", "default"]));
    assert_eq!(auth["metadata"], json!({"env": "ci", "role_name": "web"}));
    assert_eq!((&auth["lease_duration"], &auth["orphan"]), (&json!(1200), &json!(true)));
    let token = auth["client_token"].as_str().unwrap();
    world.pass(1100);
    let renewed = world.as_token(token, Update, "auth/token/renew-self", json!({"increment": "9h"})).await.unwrap();
    assert_eq!(renewed["auth"]["lease_duration"], 2500, "no renewal exceeds token_max_ttl");
}

#[tokio::test]
async fn secret_ids_end_by_time_and_use_without_a_tidy() {
    let world = world().await;
    let role_id = role(&world, "web", json!({"secret_id_ttl": "10m", "secret_id_num_uses": 2})).await;
    let (secret, _) = secret_id(&world, "web", json!({})).await;
    assert!(login(&world, &role_id, &secret).await.is_ok());
    assert!(login(&world, &role_id, &secret).await.is_ok());
    assert!(refused(login(&world, &role_id, &secret).await));
    let (secret, _) = secret_id(&world, "web", json!({})).await;
    world.pass(600);
    let before = world.rows().await;
    assert!(refused(login(&world, &role_id, &secret).await));
    assert_eq!(world.rows().await, before, "a refused login leaves nothing");
    world.root_ask(Update, "auth/approle/tidy/secret-id", json!({})).await.unwrap();
    assert!(world.root_ask(List, "auth/approle/role/web/secret-id", Value::Null).await.is_err());
    for body in [json!({"ttl": "1h"}), json!({"num_uses": 0}), json!({"cidr_list": "x"})] {
        assert!(world.root_ask(Update, "auth/approle/role/web/secret-id", body).await.is_err());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_secret_id_is_good_for_exactly_its_uses() {
    let world = std::sync::Arc::new(world().await);
    let role_id = role(&world, "web", json!({"secret_id_num_uses": 5})).await;
    let (secret, _) = secret_id(&world, "web", json!({})).await;
    let tries = (0..20).map(|_| {
        let (world, role_id, secret) = (world.clone(), role_id.clone(), secret.clone());
        tokio::spawn(async move { login(&world, &role_id, &secret).await.is_ok() })
    });
    let outcomes = futures_util::future::join_all(tries).await;
    assert_eq!(outcomes.into_iter().filter(|outcome| *outcome.as_ref().unwrap()).count(), 5);
}

#[tokio::test]
async fn unknown_role_wrong_secret_and_foreign_secret_are_one_refusal() {
    let world = world().await;
    let web = role(&world, "web", json!({})).await;
    let other = role(&world, "other", json!({})).await;
    let (secret, accessor) = secret_id(&world, "web", json!({})).await;
    assert!(refused(login(&world, "none", &secret).await));
    assert!(refused(login(&world, &web, "wrong").await));
    assert!(refused(login(&world, &web, "").await));
    assert!(refused(login(&world, &other, &secret).await));
    assert_eq!(refusal(world.open_ask("auth/approle/login", json!({})).await).0, 400);
    let path = "auth/approle/role/other/secret-id-accessor/destroy";
    let foreign = world.root_ask(Update, path, json!({"secret_id_accessor": accessor})).await;
    assert_eq!(refusal(foreign).0, 404, "an accessor belongs to the role in the path");
    assert!(login(&world, &web, &secret).await.is_ok());
}

#[tokio::test]
async fn secret_ids_are_shown_listed_and_destroyed() {
    let world = world().await;
    let role_id = role(&world, "web", json!({})).await;
    let (secret, accessor) = secret_id(&world, "web", json!({})).await;
    let base = "auth/approle/role/web";
    let shown =
        world.root_ask(Update, &format!("{base}/secret-id/lookup"), json!({"secret_id": secret})).await.unwrap();
    assert_eq!(shown["data"]["secret_id_accessor"], accessor.as_str());
    assert!(!shown.to_string().contains(&secret));
    let keys = world.root_ask(List, &format!("{base}/secret-id"), Value::Null).await.unwrap();
    assert_eq!(keys["data"]["keys"], json!([accessor]));
    let custom = json!({"secret_id": "my-own-secret-id"});
    world.root_ask(Update, &format!("{base}/custom-secret-id"), custom.clone()).await.unwrap();
    assert!(login(&world, &role_id, "my-own-secret-id").await.is_ok());
    world.root_ask(Update, &format!("{base}/secret-id/destroy"), custom).await.unwrap();
    assert!(refused(login(&world, &role_id, "my-own-secret-id").await));
    let unknown = world.root_ask(Update, &format!("{base}/secret-id/lookup"), json!({"secret_id": "x"})).await.unwrap();
    assert_eq!(unknown, Value::Null);
    world.root_ask(Delete, base, Value::Null).await.unwrap();
    role(&world, "web", json!({"role_id": role_id})).await;
    assert!(refused(login(&world, &role_id, &secret).await), "a new role of the same name inherits no secret ids");
}

#[tokio::test]
async fn each_field_has_a_path() {
    let world = world().await;
    role(&world, "web", json!({"token_policies": ["app"]})).await;
    for (path, body, shown) in [
        ("policies", json!({"token_policies": ["a", "b"]}), json!({"token_policies": ["a", "b"]})),
        ("token-ttl", json!({"token_ttl": "5m"}), json!({"token_ttl": 300})),
        ("token-max-ttl", json!({"token_max_ttl": 600}), json!({"token_max_ttl": 600})),
        ("secret-id-num-uses", json!({"secret_id_num_uses": "7"}), json!({"secret_id_num_uses": 7})),
        ("secret-id-ttl", json!({"secret_id_ttl": "1h"}), json!({"secret_id_ttl": 3600})),
        (
            "bound-cidr-list",
            json!({"bound_cidr_list": "192.0.2.0/24"}),
            json!({"secret_id_bound_cidrs": ["192.0.2.0/24"]}),
        ),
        ("bind-secret-id", json!({"bind_secret_id": false}), json!({"bind_secret_id": false})),
        ("period", json!({"period": "1h"}), json!({"token_period": 3600})),
    ] {
        let path = format!("auth/approle/role/web/{path}");
        world.root_ask(Update, &path, body).await.unwrap();
        assert_eq!(world.root_ask(Read, &path, Value::Null).await.unwrap()["data"], shown, "{path}");
    }
    world.root_ask(Delete, "auth/approle/role/web/token-ttl", Value::Null).await.unwrap();
    assert_eq!(world.root_ask(Read, "auth/approle/role/web", Value::Null).await.unwrap()["data"]["token_ttl"], 0);
    assert_eq!(refusal(world.root_ask(Read, "auth/approle/role/web/uuid", Value::Null).await).0, 404);
    let root = world.root_ask(Create, "auth/approle/role/x", json!({"token_policies": [" ROOT"]})).await;
    assert!(root.is_err(), "a login cannot give root");
}

#[tokio::test]
async fn networks_and_bind_secret_id_are_held() {
    let world = world().await;
    assert!(world.root_ask(Update, "auth/approle/role/open", json!({"bind_secret_id": false})).await.is_err());
    let body =
        json!({"bind_secret_id": false, "secret_id_bound_cidrs": "192.0.2.0/24", "token_bound_cidrs": "192.0.2.1"});
    let role_id = role(&world, "net", body).await;
    for (from, allowed) in [("192.0.2.1", true), ("192.0.2.2", false), ("198.51.100.1", false)] {
        let ask = Ask { path: "auth/approle/login", body: json!({"role_id": role_id}), from, ..Ask::default() };
        assert_eq!(world.ask(ask).await.is_ok(), allowed, "{from}");
    }
}

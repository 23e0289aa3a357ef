//! What tokens may be made by whom.

use serde_json::json;

use super::{World, refusal};
use crate::request::Operation::{List, Read, Update};

#[tokio::test]
async fn a_token_shows_what_it_was_made_with() {
    let world = World::new().await;
    let token = world
        .token(&world.root, json!({"policies": ["app"], "ttl": "1h", "display_name": "ci", "meta": {"team": "a"}}))
        .await;
    let data = world.look(&token).await.unwrap();
    assert_eq!(data["policies"], json!(["app", "default"]));
    assert_eq!((data["ttl"].as_u64(), data["creation_ttl"].as_u64()), (Some(3600), Some(3600)));
    assert_eq!(data["display_name"], "token-ci");
    assert_eq!(data["meta"], json!({"team": "a"}));
    assert_eq!((&data["orphan"], &data["type"]), (&json!(false), &json!("service")));
    assert_eq!(data["path"], "auth/token/create");
    assert_eq!(data["id"], token.as_str());
}

#[tokio::test]
async fn no_spelling_of_root_gives_root() {
    let world = World::new().await;
    let sudo = r#"path "auth/token/*" { capabilities = ["create", "update", "sudo"] }"#;
    world.policy("minter", sudo).await;
    let minter = world.token(&world.root, json!({"policies": ["minter"]})).await;
    for name in ["root", "Root", " root", "ROOT\t"] {
        let answer = world.as_token(&minter, Update, "auth/token/create", json!({"policies": [name]})).await;
        assert_eq!(refusal(answer).0, 400, "{name:?}");
    }
}

#[tokio::test]
async fn children_have_a_subset_of_their_parents_policies() {
    let world = World::new().await;
    world.policy("maker", r#"path "auth/token/create" { capabilities = ["update"] }"#).await;
    let parent = world.token(&world.root, json!({"policies": ["maker"]})).await;
    let child = world.token(&parent, json!({})).await;
    assert_eq!(world.look(&child).await.unwrap()["policies"], json!(["default", "maker"]));
    let answer = world.as_token(&parent, Update, "auth/token/create", json!({"policies": ["app"]})).await;
    assert_eq!(refusal(answer), (400, "child policies must be subset of parent".to_owned()));
    for body in [json!({"no_parent": true}), json!({"period": "1h"}), json!({"id": "my-own"})] {
        assert_eq!(refusal(world.as_token(&parent, Update, "auth/token/create", body).await).0, 400);
    }
    let bare = world.token(&world.root, json!({"policies": ["maker"], "no_default_policy": true})).await;
    let answer = world.as_token(&bare, Update, "auth/token/create", json!({"policies": ["maker", "default"]})).await;
    assert_eq!(answer.unwrap()["auth"]["policies"], json!(["maker"]), "who lacks default must not gain it");
}

#[tokio::test]
async fn roles_bound_what_is_given() {
    let world = World::new().await;
    let role = json!({
        "allowed_policies": "app", "disallowed_policies_glob": "admin*", "orphan": true, "token_period": "1h",
        "path_suffix": "ci/x", "token_bound_cidrs": "192.0.2.0/24",
    });
    world.root_ask(Update, "auth/token/roles/ci", role).await.unwrap();
    let auth = world.root_ask(Update, "auth/token/create/ci", json!({})).await.unwrap()["auth"].clone();
    assert_eq!((&auth["orphan"], &auth["policies"]), (&json!(true), &json!(["app", "default"])));
    let data = world.look(auth["client_token"].as_str().unwrap()).await.unwrap();
    assert_eq!(data["path"], "auth/token/create/ci/ci/x");
    assert_eq!((&data["period"], &data["role"]), (&json!(3600), &json!("ci")));
    assert_eq!(data["bound_cidrs"], json!(["192.0.2.0/24"]));
    for names in ["admin-x", "other"] {
        assert!(world.root_ask(Update, "auth/token/create/ci", json!({"policies": names})).await.is_err(), "{names}");
    }
    let keys = world.root_ask(List, "auth/token/roles", json!(null)).await.unwrap();
    assert_eq!(keys["data"]["keys"], json!(["ci"]));
    assert_eq!(world.root_ask(Read, "auth/token/roles/ci", json!(null)).await.unwrap()["data"]["token_period"], 3600);
}

#[tokio::test]
async fn a_batch_token_is_not_stored_and_ends_with_its_parent() {
    let world = World::new().await;
    let parent = world.token(&world.root, json!({"policies": ["app"]})).await;
    world.policy("app", r#"path "auth/token/create" { capabilities = ["update"] }"#).await;
    let before = world.rows().await;
    let batch = world.token(&parent, json!({"type": "batch", "ttl": "10m"})).await;
    assert_eq!(world.rows().await, before);
    let data = world.look(&batch).await.unwrap();
    assert_eq!((&data["type"], &data["accessor"], &data["renewable"]), (&json!("batch"), &json!(""), &json!(false)));
    let answer = world.as_token(&batch, Update, "auth/token/renew-self", json!({})).await;
    assert_eq!(refusal(answer), (400, "batch tokens cannot be renewed".to_owned()));
    let mut forged = batch.clone();
    forged.replace_range(60..61, if &batch[60..61] == "A" { "B" } else { "A" });
    assert!(!world.is_alive(&forged).await);
    world.root_ask(Update, "auth/token/revoke-orphan", json!({"token": parent})).await.unwrap();
    assert!(!world.is_alive(&batch).await);
    let orphan =
        world.token(&world.root, json!({"policies": ["app"], "type": "batch", "ttl": "10m", "no_parent": true})).await;
    assert!(world.restarted().await.is_alive(&orphan).await);
    world.pass(600);
    assert!(!world.is_alive(&orphan).await);
}

#[tokio::test]
async fn what_is_not_a_token_is_refused_like_an_unknown_one() {
    let world = World::new().await;
    let long = "x".repeat(8192);
    let unknown = format!("tlk_b_{long}");
    for token in ["", "hvs.not-a-token", "tlk_s_", "tlk_b_AAAA", "é\u{0}", &long, &unknown] {
        assert_eq!(refusal(world.look(token).await), (403, "permission denied".to_owned()), "{token:.10}");
    }
}

#[tokio::test]
async fn a_chosen_id_is_taken_once() {
    let world = World::new().await;
    assert_eq!(world.token(&world.root, json!({"id": "dev-root"})).await, "dev-root");
    assert!(world.is_alive("dev-root").await);
    let again = world.root_ask(Update, "auth/token/create", json!({"id": "dev-root"})).await;
    assert_eq!(refusal(again).0, 400);
}

#[tokio::test]
async fn malformed_fields_are_refused_and_leave_nothing() {
    let world = World::new().await;
    let before = world.rows().await;
    for body in [
        json!({"ttl": "yesterday"}),
        json!({"policies": [1]}),
        json!({"policies": ["a/b"]}),
        json!({"type": "huge"}),
        json!({"num_uses": -1}),
        json!({"meta": "text"}),
        json!({"type": "batch", "num_uses": 3}),
    ] {
        let (status, text) = refusal(world.root_ask(Update, "auth/token/create", body.clone()).await);
        assert_eq!(status, 400, "{body}");
        assert!(!text.contains("yesterday") && !text.contains("huge"));
    }
    assert_eq!(world.rows().await, before);
}

#[tokio::test]
async fn a_policy_that_does_not_exist_is_granted_with_a_warning() {
    let world = World::new().await;
    let make = async |policies| {
        let body = json!({ "policies": policies });
        world.root_ask(Update, "auth/token/create", body).await.unwrap()["warnings"].clone()
    };
    assert_eq!(make(json!(["nope", "app"])).await, json!(["Policy \"nope\" does not exist"]));
    for known in [json!(["app"]), json!(["root"]), json!([])] {
        assert!(make(known.clone()).await.is_null(), "{known}");
    }
}

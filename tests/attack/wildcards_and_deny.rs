//! A deny wins over every grant, for every verb and every way to ask for a listing.

use serde_json::json;

use super::{denied, done, holder_of, with_mounts};
use crate::harness::{Api, Instance};
use crate::raw;

async fn filled() -> Instance {
    let instance = with_mounts().await;
    let root = instance.as_root();
    for path in ["vault/one", "vault/two", "open/one", "open/deep/two"] {
        done(root.put(&format!("secret/data/{path}"), json!({"data": {"value": 1}})).await);
        done(root.put(&format!("plain/{path}"), json!({"value": 1})).await);
    }
    instance
}

/// Every way to ask for the names in a folder.
fn listings(folder: &str) -> Vec<(&'static str, String)> {
    let queries = [
        "",
        "?limit=0",
        "?limit=-1",
        "?limit=99999999999999999999",
        "?after=",
        "?after=a&limit=1",
        "?list=true",
        "?scan=true",
        "?list=1&limit=0",
    ];
    let mut all = Vec::new();
    for query in queries {
        for slash in ["", "/", "%2f"] {
            for method in ["LIST", "SCAN", "GET"] {
                if method != "GET" || query.contains("list=") || query.contains("scan=") {
                    all.push((method, format!("/v1/{folder}{slash}{query}")));
                }
            }
        }
    }
    all
}

async fn no_listing(instance: &Instance, holder: &Api, folder: &str) {
    for (method, target) in listings(folder) {
        let answer = raw::call(instance, method, &target, holder.token(), "").await;
        assert!(answer.refused(), "{method} {target}: {answer:?}");
        assert!(!answer.body.contains("two"), "{method} {target}: {answer:?}");
    }
}

#[tokio::test]
async fn deny_wins_over_a_more_specific_allow() {
    let instance = filled().await;
    let holder = holder_of(
        &instance,
        "deny-above",
        r#"
        path "secret/*" { capabilities = ["deny"] }
        path "secret/data/vault/one" { capabilities = ["read", "update", "delete", "sudo"] }
        path "secret/metadata/vault/" { capabilities = ["list", "scan"] }
        path "secret/metadata/vault/*" { capabilities = ["list", "scan"] }
        path "plain/+/one" { capabilities = ["deny"] }
        path "plain/vault/one" { capabilities = ["read"] }
        path "plain/vault/*" { capabilities = ["read", "list"] }
        "#,
    )
    .await;
    denied(holder.get("secret/data/vault/one").await);
    denied(holder.delete("secret/data/vault/one").await);
    denied(holder.get("plain/vault/one").await);
    assert_eq!(holder.get("plain/vault/two").await.0, 200);
    no_listing(&instance, &holder, "secret/metadata/vault").await;
}

#[tokio::test]
async fn a_listing_is_denied_however_it_is_asked_for() {
    let instance = filled().await;
    for (name, rule) in [
        ("deny-exact", r#"path "secret/metadata/vault" { capabilities = ["deny"] }"#),
        ("deny-folder", r#"path "secret/metadata/vault/" { capabilities = ["deny"] }"#),
        ("deny-below", r#"path "secret/metadata/vault/*" { capabilities = ["deny"] }"#),
        ("deny-plus", r#"path "secret/+/vault/*" { capabilities = ["deny"] }"#),
        ("deny-prefix", r#"path "secret/metadata/va*" { capabilities = ["deny"] }"#),
    ] {
        let grant = r#"path "secret/metadata/*" { capabilities = ["list", "scan", "read"] }
            path "secret/metadata/vault/+" { capabilities = ["list", "scan", "read"] }"#;
        let holder = holder_of(&instance, name, &format!("{grant}\n{rule}")).await;
        no_listing(&instance, &holder, "secret/metadata/vault").await;
    }
}

#[tokio::test]
async fn deny_in_one_policy_wins_over_grants_in_others() {
    let instance = filled().await;
    super::write_policy(&instance, "grants", r#"path "plain/*" { capabilities = ["read", "list", "sudo"] }"#).await;
    super::write_policy(&instance, "denies", r#"path "plain/vault/*" { capabilities = ["deny"] }"#).await;
    for order in [["grants", "denies"], ["denies", "grants"]] {
        let auth = super::token_with(&instance, json!({"policies": order})).await;
        let holder = instance.api(auth["client_token"].as_str().unwrap());
        denied(holder.get("plain/vault/one").await);
        denied(holder.list("plain/vault").await);
        assert_eq!(holder.get("plain/open/one").await.0, 200);
    }
}

#[tokio::test]
async fn zero_and_negative_limits_show_no_more_than_a_plain_listing() {
    let instance = filled().await;
    let root = instance.as_root();
    let (_, plain) = root.list("secret/metadata/open").await;
    let all = plain["data"]["keys"].as_array().unwrap().clone();
    for query in [
        "limit=0",
        "limit=-1",
        "limit=1",
        "limit=abc",
        "limit=",
        "limit=18446744073709551616",
        "after=zzz",
        "after=%00",
    ] {
        let answer =
            raw::call(&instance, "LIST", &format!("/v1/secret/metadata/open?{query}"), &instance.root, "").await;
        assert!(matches!(answer.status, 200 | 400 | 404), "{query}: {answer:?}");
        if let Some(keys) = answer.json()["data"]["keys"].as_array() {
            assert!(keys.iter().all(|key| all.contains(key)), "{query}: {answer:?}");
        }
    }
}

#[tokio::test]
async fn a_scan_leaves_out_what_is_denied_below() {
    let instance = filled().await;
    let holder = holder_of(
        &instance,
        "scanner",
        r#"
        path "secret/metadata/" { capabilities = ["list", "scan"] }
        path "secret/metadata/*" { capabilities = ["list", "scan", "read"] }
        path "secret/metadata/vault/*" { capabilities = ["deny"] }
        "#,
    )
    .await;
    for (method, target) in [("SCAN", "/v1/secret/metadata/"), ("GET", "/v1/secret/metadata?scan=true")] {
        let answer = raw::call(&instance, method, target, holder.token(), "").await;
        if answer.status == 200 {
            assert!(answer.body.contains("open/one"), "{answer:?}");
            assert!(!answer.body.contains("vault/one"), "a scan shows what is denied: {answer:?}");
        } else {
            assert_eq!(answer.status, 403, "{answer:?}");
        }
    }
}

#[tokio::test]
async fn listing_alone_reads_nothing_and_reading_alone_lists_nothing() {
    let instance = filled().await;
    let lister = holder_of(&instance, "lister", r#"path "plain/*" { capabilities = ["list"] }"#).await;
    assert_eq!(lister.list("plain/vault").await.0, 200);
    denied(lister.get("plain/vault/one").await);
    let answer = raw::call(&instance, "SCAN", "/v1/plain/", lister.token(), "").await;
    assert!(answer.refused(), "{answer:?}");
    let reader = holder_of(&instance, "reader", r#"path "plain/*" { capabilities = ["read"] }"#).await;
    assert_eq!(reader.get("plain/vault/one").await.0, 200);
    no_listing(&instance, &reader, "plain/vault").await;
}

#[tokio::test]
async fn a_scan_of_rotations_leaves_out_what_is_denied_below() {
    let instance = filled().await;
    let root = instance.as_root();
    for path in ["vault/one", "open/one", "open/deep/two"] {
        done(root.put(&format!("rotation/definitions/secret/{path}"), json!({"field": "value"})).await);
    }
    let holder = holder_of(
        &instance,
        "rotation-scanner",
        r#"
        path "rotation/definitions/*" { capabilities = ["list", "scan", "read"] }
        path "rotation/definitions/secret/vault/*" { capabilities = ["deny"] }
        "#,
    )
    .await;
    for (method, target) in [
        ("SCAN", "/v1/rotation/definitions/"),
        ("GET", "/v1/rotation/definitions?scan=true"),
        ("SCAN", "/v1/rotation/definitions/secret"),
    ] {
        let answer = raw::call(&instance, method, target, holder.token(), "").await;
        assert_eq!(answer.status, 200, "{answer:?}");
        assert!(answer.body.contains("open/deep/two"), "{answer:?}");
        assert!(!answer.body.contains("vault/one"), "a scan shows what is denied: {answer:?}");
    }
}

#[tokio::test]
async fn a_denied_value_is_denied_in_every_form_that_the_api_takes() {
    let instance = filled().await;
    let rules = r#"
        path "auth/token/create" { capabilities = ["create", "update", "sudo"]
            denied_parameters = { "policies" = ["mighty"] "num_uses" = [0] } }
    "#;
    let holder = holder_of(&instance, "all-but-mighty", rules).await;
    for policies in [
        json!("mighty"),
        json!(["mighty"]),
        json!("MIGHTY"),
        json!(" mighty "),
        json!(["Mighty "]),
        json!("default,mighty"),
        json!("default, mighty ,x"),
        json!(["default", "MIGHTY"]),
        json!("\u{a0}mighty"),
    ] {
        denied(super::post(&holder, "auth/token/create", json!({"policies": policies})).await);
    }
    for uses in [json!(0), json!("0"), json!(" 0"), json!("00"), json!("+0"), json!(0.0), json!("-0")] {
        denied(super::post(&holder, "auth/token/create", json!({"policies": "default", "num_uses": uses})).await);
    }
    assert_eq!(super::post(&holder, "auth/token/create", json!({"policies": "default", "num_uses": 1})).await.0, 200);
}

//! What was not granted is refused: an empty list allows nothing.

use serde_json::json;

use super::{denied, done, enable_auth, holder_of, post, token_with, with_mounts, write_policy};
use crate::harness::text;

#[tokio::test]
async fn a_token_without_policies_may_do_nothing() {
    let instance = with_mounts().await;
    done(instance.as_root().put("plain/a", json!({"a": 1})).await);
    for rules in ["", r#"path "plain/*" { capabilities = [] }"#, r#"path "plain/a" { }"#] {
        write_policy(&instance, "empty", rules).await;
        let auth = token_with(&instance, json!({"policies": ["empty", "missing"], "no_default_policy": true})).await;
        let holder = instance.api(&text(&auth["client_token"]));
        for path in ["plain/a", "secret/data/a", "sys/mounts", "auth/token/lookup-self", "cubbyhole/a"] {
            denied(holder.get(path).await);
        }
    }
}

#[tokio::test]
async fn a_role_that_asks_for_no_proof_is_refused() {
    let instance = with_mounts().await;
    enable_auth(&instance, "approle", "approle").await;
    let root = instance.as_root();
    let unbound = json!({"bind_secret_id": false});
    let (status, answer) = post(&root, "auth/approle/role/open", unbound.clone()).await;
    assert_eq!(status, 400, "{answer}");
    assert!(answer["errors"].to_string().contains("at least one constraint"), "{answer}");
    assert_eq!(root.get("auth/approle/role/open").await.0, 404, "a role was left behind");
    // Nor does one that asked for it stop asking.
    done(post(&root, "auth/approle/role/closed", json!({"token_policies": ["default"]})).await);
    for path in ["auth/approle/role/closed", "auth/approle/role/closed/bind-secret-id"] {
        assert_eq!(post(&root, path, unbound.clone()).await.0, 400, "{path}");
    }
    let role_id = root.get("auth/approle/role/closed/role-id").await.1["data"]["role_id"].clone();
    let (status, answer) = post(&instance.api(""), "auth/approle/login", json!({"role_id": role_id})).await;
    assert_eq!(status, 400, "a role id alone logs in: {answer}");
}

#[tokio::test]
async fn an_empty_list_of_parameters_and_values_is_not_everything() {
    let instance = with_mounts().await;
    let rules = r#"path "plain/*" { capabilities = ["create", "update"] allowed_parameters = { "kind" = ["a"] } }"#;
    let holder = holder_of(&instance, "bounded", rules).await;
    denied(post(&holder, "plain/x", json!({"kind": "b"})).await);
    denied(post(&holder, "plain/x", json!({"other": "a"})).await);
    done(post(&holder, "plain/x", json!({"kind": "a"})).await);
}

#[tokio::test]
async fn paths_of_the_root_need_sudo_besides_the_capability() {
    let instance = with_mounts().await;
    let all = r#"["create", "read", "update", "delete", "list"]"#;
    let plain = holder_of(&instance, "plainly", &format!(r#"path "*" {{ capabilities = {all} }}"#)).await;
    for path in [
        "sys/seal",
        "sys/rotate",
        "auth/token/create-orphan",
        "auth/token/revoke-orphan",
        "sys/leases/revoke-force/auth",
    ] {
        denied(post(&plain, path, json!({"token": "x"})).await);
    }
    denied(plain.list("auth/token/accessors").await);
    let (_, answer) = instance.as_root().get("sys/seal-status").await;
    assert_eq!(answer["sealed"], json!(false));
}

#[tokio::test]
async fn a_user_without_policies_has_default_only() {
    let instance = with_mounts().await;
    enable_auth(&instance, "userpass", "userpass").await;
    write_policy(&instance, "other", r#"path "plain/*" { capabilities = ["read"] }"#).await;
    done(post(&instance.as_root(), "auth/userpass/users/anna", json!({"password": "tlk_canary_plain"})).await);
    let login = post(&instance.api(""), "auth/userpass/login/anna", json!({"password": "tlk_canary_plain"})).await;
    assert_eq!(login.1["auth"]["policies"], json!(["default"]), "{login:?}");
}

#[tokio::test]
async fn a_bound_that_was_misspelled_is_named_and_not_passed_over() {
    let instance = with_mounts().await;
    enable_auth(&instance, "approle", "approle").await;
    let root = instance.as_root();
    for (path, body, named) in [
        ("auth/token/create", json!({"policies": ["default"], "bound_cidr": "10.0.0.0/8"}), "bound_cidr"),
        ("auth/token/roles/ci", json!({"token_bound_cidr": "10.0.0.0/8"}), "token_bound_cidr"),
        ("auth/approle/role/web", json!({"secret_id_num_use": 1}), "secret_id_num_use"),
        ("sys/mounts/secret/tune", json!({"max_lease_tll": "1h"}), "max_lease_tll"),
        ("secret/metadata/a", json!({"cas_require": true}), "cas_require"),
        ("secret/data/a", json!({"data": {"a": 1}, "option": {"cas": 0}}), "option"),
    ] {
        let (status, answer) = post(&root, path, body).await;
        assert_eq!(status, 200, "{path}: {answer}");
        let note = json!([format!("without effect, because not known here: {named}")]);
        assert_eq!(answer["warnings"], note, "{path}: {answer}");
    }
    // What clients send for what they leave as it is says nothing.
    let idle =
        json!({"type": "kv", "local": false, "seal_wrap": false, "plugin_name": "", "config": {}, "options": null});
    assert_eq!(post(&root, "sys/mounts/idle", idle).await.0, 204);
    // Whatever stands in a secret of version 1 is the secret.
    assert_eq!(post(&root, "plain/a", json!({"any": "name"})).await.0, 204);
}

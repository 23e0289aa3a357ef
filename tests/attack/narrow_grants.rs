//! Who may set one thing sets that thing and no other.

use serde_json::json;

use super::{denied, done, enable_auth, holder_of, mount, post, with_mounts};
use crate::harness::{Api, text};

/// What `path` shows, without what changes from one request to the next.
async fn shown(root: &Api, path: &str) -> serde_json::Value {
    let (status, answer) = root.get(path).await;
    assert_eq!(status, 200, "{path}: {answer}");
    answer["data"].clone()
}

#[tokio::test]
async fn a_field_of_a_role_takes_no_other_field_by_its_older_name() {
    let instance = with_mounts().await;
    enable_auth(&instance, "approle", "approle").await;
    let root = instance.as_root();
    let role = json!({"token_policies": ["default"], "secret_id_bound_cidrs": ["127.0.0.0/8"], "token_period": 60,
        "token_bound_cidrs": ["127.0.0.0/8"]});
    done(post(&root, "auth/approle/role/web", role).await);
    let rules = r#"path "auth/approle/role/web/secret-id-ttl" { capabilities = ["create", "update"] }"#;
    let holder = holder_of(&instance, "only-the-ttl", rules).await;
    let mut wanted = shown(&root, "auth/approle/role/web").await;
    let climb = json!({"secret_id_ttl": 77, "policies": ["mighty"], "token_policies": ["mighty"], "period": 999,
        "bound_cidr_list": "0.0.0.0/0", "bound_cidrs": "0.0.0.0/0", "token_bound_cidrs": "0.0.0.0/0"});
    done(post(&holder, "auth/approle/role/web/secret-id-ttl", climb).await);
    wanted["secret_id_ttl"] = json!(77);
    assert_eq!(shown(&root, "auth/approle/role/web").await, wanted);
    // The older names still work where they belong.
    for (field, body, member, value) in [
        ("policies", json!({"policies": ["a"]}), "token_policies", json!(["a"])),
        ("period", json!({"period": 61}), "token_period", json!(61)),
        ("bound-cidr-list", json!({"bound_cidr_list": "10.0.0.0/8"}), "secret_id_bound_cidrs", json!(["10.0.0.0/8"])),
    ] {
        done(post(&root, &format!("auth/approle/role/web/{field}"), body).await);
        wanted[member] = value;
        assert_eq!(shown(&root, "auth/approle/role/web").await, wanted, "{field}");
    }
}

#[tokio::test]
async fn the_policies_of_a_user_are_not_its_networks() {
    let instance = with_mounts().await;
    enable_auth(&instance, "userpass", "userpass").await;
    let root = instance.as_root();
    let user = json!({"password": "tlk_canary_anna", "token_bound_cidrs": ["192.0.2.0/24"], "token_num_uses": 3});
    done(post(&root, "auth/userpass/users/anna", user).await);
    let rules = r#"path "auth/userpass/users/anna/policies" { capabilities = ["create", "update"] }"#;
    let holder = holder_of(&instance, "only-policies", rules).await;
    let mut wanted = shown(&root, "auth/userpass/users/anna").await;
    let wide = json!({"token_policies": ["team"], "token_bound_cidrs": [], "bound_cidrs": "0.0.0.0/0",
        "token_num_uses": 0, "token_ttl": 99, "token_period": 99, "password": "tlk_canary_taken_over"});
    done(post(&holder, "auth/userpass/users/anna/policies", wide).await);
    wanted["token_policies"] = json!(["team"]);
    assert_eq!(shown(&root, "auth/userpass/users/anna").await, wanted);
}

#[tokio::test]
async fn secret_mounts_are_no_way_around_the_guard_of_auth_mounts() {
    let instance = with_mounts().await;
    enable_auth(&instance, "approle", "approle").await;
    let rules = r#"
        path "sys/mounts/*" { capabilities = ["create", "read", "update", "delete", "sudo"] }
        path "sys/auth/approle" { capabilities = ["deny"] }
        path "sys/auth/approle/*" { capabilities = ["deny"] }
    "#;
    let holder = holder_of(&instance, "mounts-only", rules).await;
    let before = shown(&instance.as_root(), "sys/auth/approle").await;
    for path in ["sys/mounts/auth/approle", "sys/mounts/auth/approle/", "sys/mounts/auth%2fapprole"] {
        for (status, answer) in [holder.delete(path).await, holder.get(path).await] {
            assert!(matches!(status, 400 | 403), "{path}: {status} {answer}");
        }
    }
    denied(post(&holder, "sys/mounts/auth/approle/tune", json!({"max_lease_ttl": "1s"})).await);
    denied(holder.get("sys/mounts/auth/approle/tune").await);
    for path in ["auth/evil", "auth/approle/evil", "auth"] {
        let (status, answer) = post(&holder, &format!("sys/mounts/{path}"), json!({"type": "kv"})).await;
        assert!(matches!(status, 400 | 403), "{path}: {status} {answer}");
    }
    assert_eq!(shown(&instance.as_root(), "sys/auth/approle").await, before);
    // Clients tune auth mounts below sys/mounts; where nothing denies it they may.
    let tuner =
        holder_of(&instance, "tuner", r#"path "sys/mounts/auth/approle/tune" { capabilities = ["read", "update"] }"#)
            .await;
    done(post(&tuner, "sys/mounts/auth/approle/tune", json!({"max_lease_ttl": "1h"})).await);
    assert_eq!(shown(&tuner, "sys/mounts/auth/approle/tune").await["max_lease_ttl"], json!(3600));
}

#[tokio::test]
async fn mounts_that_cannot_be_made_again_are_neither_removed_nor_moved() {
    let instance = with_mounts().await;
    let root = instance.as_root();
    for path in ["sys", "cubbyhole", "identity", "rotation"] {
        let (status, answer) = root.delete(&format!("sys/mounts/{path}")).await;
        assert_eq!(status, 400, "{path}: {answer}");
        let (status, answer) = post(&root, "sys/remount", json!({"from": path, "to": "elsewhere"})).await;
        assert_eq!(status, 400, "{path}: {answer}");
    }
    assert_eq!(root.delete("sys/auth/token").await.0, 400);
    for (status, answer) in [root.delete("sys/mounts").await, post(&root, "sys/mounts", json!({"type": "kv"})).await] {
        assert_eq!(status, 405, "{answer}");
    }
    mount(&instance, "elsewhere", json!({"type": "kv"})).await;
}

#[tokio::test]
async fn a_child_is_bound_to_the_networks_of_its_parent() {
    let instance = with_mounts().await;
    let root = instance.as_root();
    let rules = r#"path "auth/token/create" { capabilities = ["update"] }"#;
    super::write_policy(&instance, "parent", rules).await;
    let role = json!({"token_bound_cidrs": ["127.0.0.0/8"], "allowed_policies": ["parent"]});
    done(post(&root, "auth/token/roles/bound", role).await);
    let (_, answer) = post(&root, "auth/token/create/bound", json!({"policies": ["parent"]})).await;
    let parent = instance.api(&text(&answer["auth"]["client_token"]));
    for kind in ["service", "batch"] {
        let fields = json!({"policies": ["parent"], "type": kind});
        let (status, answer) = post(&parent, "auth/token/create", fields).await;
        assert_eq!(status, 200, "{answer}");
        let (_, shown) = post(&root, "auth/token/lookup", json!({"token": answer["auth"]["client_token"]})).await;
        assert_eq!(shown["data"]["bound_cidrs"], json!(["127.0.0.0/8"]), "{kind}: {shown}");
    }
}

/// User interfaces show by this what their user may do; it tells a token of its own policies only.
#[tokio::test]
async fn a_token_is_told_what_its_own_policies_come_to() {
    let instance = with_mounts().await;
    let rules = r#"
        path "sys/internal/ui/resultant-acl" { capabilities = ["read"] }
        path "secret/data/app" { capabilities = ["read", "update"] }
        path "secret/data/app/*" { capabilities = ["list", "read"] }
        path "secret/+/team" { capabilities = ["read"] }
        path "secret/data/app/no*" { capabilities = ["deny", "read"] }
    "#;
    let holder = holder_of(&instance, "shown", rules).await;
    assert_eq!(
        shown(&holder, "sys/internal/ui/resultant-acl").await,
        json!({
            "root": false,
            "exact_paths": {
                "secret/data/app": {"capabilities": ["read", "update"]},
                "sys/internal/ui/resultant-acl": {"capabilities": ["read"]},
            },
            "glob_paths": {
                "secret/+/team": {"capabilities": ["read"]},
                "secret/data/app/": {"capabilities": ["list", "read"]},
                "secret/data/app/no": {"capabilities": ["deny"]},
            },
        })
    );
    assert_eq!(shown(&instance.as_root(), "sys/internal/ui/resultant-acl").await, json!({"root": true}));
    denied(instance.api("").get("sys/internal/ui/resultant-acl").await);
    // The default policy grants it to everybody.
    let token = super::token_with(&instance, json!({"policies": ["default"]})).await;
    let default = shown(&instance.api(&text(&token["client_token"])), "sys/internal/ui/resultant-acl").await;
    assert_eq!(default["exact_paths"]["auth/token/lookup-self"]["capabilities"], json!(["read"]));
}

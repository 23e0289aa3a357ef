//! Names that mean the same thing in any case, and paths with an older name: a rule for one holds for all of them.

use serde_json::json;

use super::{denied, done, enable_auth, holder_of, post, with_mounts};
use crate::harness::Instance;

const ALL: &str = r#"["create", "read", "update", "delete", "list", "sudo"]"#;

async fn with_logins() -> Instance {
    let instance = with_mounts().await;
    enable_auth(&instance, "approle", "approle").await;
    enable_auth(&instance, "userpass", "userpass").await;
    let root = instance.as_root();
    for name in ["admin", "web"] {
        done(post(&root, &format!("auth/userpass/users/{name}"), json!({"password": "tlk_canary_before"})).await);
        done(post(&root, &format!("auth/approle/role/{name}"), json!({"token_policies": ["default"]})).await);
        done(post(&root, &format!("sys/policies/acl/{name}"), json!({"policy": ""})).await);
    }
    instance
}

/// Ways to write `admin` that its engine may take for it.
const SPELLINGS: [&str; 8] =
    ["admin", "ADMIN", "Admin", "admin%20", "%20admin", "%61dmin", "admin%c2%a0", "%e3%80%80aDmIn"];

#[tokio::test]
async fn a_deny_holds_for_every_spelling_of_a_name() {
    let instance = with_logins().await;
    for (kind, deny) in [("deny", r#"["deny"]"#), ("less", r#"["list"]"#)] {
        let rules = format!(
            r#"
            path "auth/*" {{ capabilities = {ALL} }}
            path "sys/policies/acl/*" {{ capabilities = {ALL} }}
            path "auth/userpass/users/admin" {{ capabilities = {deny} }}
            path "auth/userpass/users/admin/*" {{ capabilities = {deny} }}
            path "auth/approle/role/admin" {{ capabilities = {deny} }}
            path "auth/approle/role/admin/*" {{ capabilities = {deny} }}
            path "sys/policies/acl/admin" {{ capabilities = {deny} }}
            "#
        );
        let holder = holder_of(&instance, &format!("all-but-admin-{kind}"), &rules).await;
        for name in SPELLINGS {
            for (path, body) in [
                (format!("auth/userpass/users/{name}"), json!({"password": "tlk_canary_after"})),
                (format!("auth/userpass/users/{name}/password"), json!({"password": "tlk_canary_after"})),
                (format!("auth/userpass/users/{name}/policies"), json!({"policies": "mighty"})),
                (format!("auth/approle/role/{name}"), json!({"token_policies": "mighty"})),
                (format!("auth/approle/role/{name}/policies"), json!({"policies": "mighty"})),
                (format!("auth/approle/role/{name}/secret-id"), json!({})),
                (format!("sys/policies/acl/{name}"), json!({"policy": "path \"*\" { capabilities = [\"sudo\"] }"})),
            ] {
                // Blanks belong to the name of a role: such a role is another one.
                if path.contains("approle") && (name.contains("%20") || name.contains("%c2") || name.contains("%e3")) {
                    continue;
                }
                denied(post(&holder, &path, body).await);
                // Where nothing answers to the verb, that is said of every name alike.
                for (status, answer) in [holder.get(&path).await, holder.delete(&path).await] {
                    assert!(matches!(status, 403 | 405), "{path}: {status} {answer}");
                }
            }
        }
        // The name beside it is not denied in any spelling.
        for path in ["auth/userpass/users/WEB", "auth/approle/role/Web", "sys/policies/acl/wEb"] {
            assert_eq!(holder.get(path).await.0, 200, "{path}");
        }
    }
    let login = post(&instance.api(""), "auth/userpass/login/admin", json!({"password": "tlk_canary_before"})).await;
    assert_eq!(login.0, 200, "the password was changed: {}", login.1);
}

/// What is said of a path before it is asked for is what the door then decides.
#[tokio::test]
async fn the_capabilities_of_a_spelling_are_those_that_the_door_grants() {
    let instance = with_logins().await;
    let rules = format!(
        r#"
        path "auth/*" {{ capabilities = {ALL} }}
        path "sys/*" {{ capabilities = {ALL} }}
        path "auth/userpass/users/admin" {{ capabilities = ["deny"] }}
        path "auth/approle/role/admin" {{ capabilities = ["read"] }}
        path "sys/policies/acl/admin" {{ capabilities = ["deny"] }}
        "#
    );
    let holder = holder_of(&instance, "all-but-admin", &rules).await;
    let capabilities = async |path: &str| {
        let (status, answer) = post(&holder, "sys/capabilities-self", json!({"paths": [path]})).await;
        assert_eq!(status, 200, "{answer}");
        answer["capabilities"].clone()
    };
    for path in
        ["auth/userpass/users/ADMIN", "auth/userpass/users/ admin", "sys/policies/acl/Admin", "sys/policy/admin"]
    {
        assert_eq!(capabilities(path).await, json!(["deny"]), "{path}");
        denied(holder.get(&path.replace(' ', "%20")).await);
    }
    assert_eq!(capabilities("auth/approle/role/ADMIN").await, json!(["read"]));
    assert_eq!(holder.get("auth/approle/role/ADMIN").await.0, 200);
    denied(post(&holder, "auth/approle/role/ADMIN", json!({"token_ttl": 60})).await);
    let all = json!(["create", "delete", "list", "read", "sudo", "update"]);
    for path in ["auth/approle/role/Web", "auth/userpass/users/web", "sys/policy/web", "auth/nowhere/role/ADMIN"] {
        assert_eq!(capabilities(path).await, all, "{path}");
    }
}

#[tokio::test]
async fn a_grant_on_a_spelling_is_a_grant() {
    let instance = with_logins().await;
    let rules = r#"
        path "auth/approle/role/*" { capabilities = ["read"] }
        path "auth/approle/role/Web" { capabilities = ["read", "update"] }
    "#;
    let holder = holder_of(&instance, "by-spelling", rules).await;
    done(post(&holder, "auth/approle/role/Web", json!({"token_ttl": 60})).await);
    denied(post(&holder, "auth/approle/role/web", json!({"token_ttl": 60})).await);
}

#[tokio::test]
async fn a_deny_holds_for_the_older_name_of_a_path() {
    let instance = with_logins().await;
    let auth = super::token_with(&instance, json!({"policies": ["default"], "ttl": "1h"})).await;
    let (_, leases) = instance.as_root().list("sys/leases/lookup/auth/token/create").await;
    let lease = format!("auth/token/create/{}", leases["data"]["keys"][0].as_str().unwrap());
    let rules = format!(
        r#"
        path "sys/*" {{ capabilities = {ALL} }}
        path "sys/policies/acl/admin" {{ capabilities = ["deny"] }}
        path "sys/leases/renew/auth/token/*" {{ capabilities = ["deny"] }}
        path "sys/leases/revoke/auth/token/*" {{ capabilities = ["deny"] }}
        path "sys/leases/lookup/auth/token/*" {{ capabilities = ["deny"] }}
        path "sys/leases/revoke-prefix/auth/*" {{ capabilities = ["deny"] }}
        path "sys/leases/revoke-force/auth/*" {{ capabilities = ["deny"] }}
        "#
    );
    let holder = holder_of(&instance, "all-but-some", &rules).await;
    denied(holder.get("sys/policy/admin").await);
    denied(holder.get("sys/policy/ADMIN").await);
    denied(holder.delete("sys/policy/admin").await);
    denied(post(&holder, "sys/policy/admin", json!({"policy": ""})).await);
    for verb in ["renew", "revoke"] {
        for path in [format!("sys/{verb}/{lease}"), format!("sys/leases/{verb}/{lease}")] {
            denied(post(&holder, &path, json!({})).await);
        }
        // An id in the body is judged as if it stood in the path.
        for path in [format!("sys/{verb}"), format!("sys/leases/{verb}")] {
            denied(post(&holder, &path, json!({"lease_id": lease})).await);
        }
    }
    denied(post(&holder, "sys/leases/lookup", json!({"lease_id": lease})).await);
    denied(post(&holder, "sys/revoke-prefix/auth/token", json!({})).await);
    denied(post(&holder, "sys/revoke-force/auth/token", json!({})).await);
    let token = auth["client_token"].as_str().unwrap();
    assert_eq!(instance.api(token).get("auth/token/lookup-self").await.0, 200, "it was revoked all the same");
}

//! `root` in any case and with any blank is root, and no write surface gives it away.

use serde_json::{Value, json};

use super::{done, enable_auth, holder_of, post, with_mounts};
use crate::harness::{Api, Instance, text};

const SPELLINGS: [&str; 12] = [
    "root",
    "Root",
    "ROOT",
    " root",
    "root ",
    " Root ",
    "\troot",
    "root\n",
    "r\u{200b}oot",
    "root\u{a0}",
    "root,default",
    "\u{3000}ROOT",
];

/// May do everything to tokens and logins, but is not root.
const ADMINISTRATOR: &str = r#"
    path "auth/*" { capabilities = ["create", "read", "update", "patch", "delete", "list"] }
    path "sys/policies/*" { capabilities = ["create", "read", "update", "delete", "list"] }
    path "sys/policy/*" { capabilities = ["create", "read", "update", "delete", "list"] }
"#;

/// A token, if the answer holds one, is not root's.
async fn not_root(instance: &Instance, what: &str, (status, answer): (u16, Value)) {
    assert!(status < 500, "{what}: {status} {answer}");
    let Some(token) = answer["auth"]["client_token"].as_str() else { return };
    let names = answer["auth"]["policies"].to_string().to_lowercase();
    assert!(!names.contains("root"), "{what}: {answer}");
    assert_eq!(instance.api(token).get("sys/mounts").await.0, 403, "{what} is as mighty as root");
}

async fn administrator(instance: &Instance) -> Api {
    enable_auth(instance, "approle", "approle").await;
    enable_auth(instance, "userpass", "userpass").await;
    holder_of(instance, "administrator", ADMINISTRATOR).await
}

#[tokio::test]
async fn no_token_is_created_with_root_in_any_spelling() {
    let instance = with_mounts().await;
    let admin = administrator(&instance).await;
    for name in SPELLINGS {
        let fields = json!({"policies": [name]});
        not_root(&instance, name, post(&admin, "auth/token/create", fields.clone()).await).await;
        not_root(&instance, name, post(&admin, "auth/token/create-orphan", fields.clone()).await).await;
        let role = json!({"allowed_policies": [name, "default"], "orphan": true});
        let _ = post(&admin, "auth/token/roles/climber", role).await;
        not_root(&instance, name, post(&admin, "auth/token/create/climber", fields).await).await;
        not_root(&instance, name, post(&admin, "auth/token/create/climber", json!({})).await).await;
        let role = json!({"allowed_policies_glob": ["*", "r*"], "orphan": true});
        let _ = post(&admin, "auth/token/roles/globber", role).await;
        not_root(&instance, name, post(&admin, "auth/token/create/globber", json!({"policies": [name]})).await).await;
    }
}

#[tokio::test]
async fn no_login_gives_root_in_any_spelling() {
    let instance = with_mounts().await;
    let admin = administrator(&instance).await;
    for (number, name) in SPELLINGS.into_iter().enumerate() {
        for field in ["token_policies", "policies"] {
            for value in [json!([name]), json!(name)] {
                let user = format!("user{number}");
                let password = "tlk_canary_climber";
                let _ =
                    post(&admin, &format!("auth/userpass/users/{user}"), json!({"password": password, field: value}))
                        .await;
                let _ = post(&admin, &format!("auth/userpass/users/{user}/policies"), json!({field: value})).await;
                let stranger = instance.api("");
                let login =
                    post(&stranger, &format!("auth/userpass/login/{user}"), json!({"password": password})).await;
                not_root(&instance, name, login).await;

                let role = format!("auth/approle/role/role{number}");
                let _ = post(&admin, &role, json!({field: value})).await;
                let _ = post(&admin, &format!("{role}/policies"), json!({field: value})).await;
                let (status, answer) = admin.get(&format!("{role}/role-id")).await;
                if status != 200 {
                    continue;
                }
                let role_id = answer["data"]["role_id"].clone();
                let (_, answer) = post(&admin, &format!("{role}/secret-id"), json!({})).await;
                let fields = json!({"role_id": role_id, "secret_id": answer["data"]["secret_id"]});
                not_root(&instance, name, post(&instance.api(""), "auth/approle/login", fields).await).await;
            }
        }
    }
}

#[tokio::test]
async fn the_root_policy_cannot_be_written_or_removed_in_any_spelling() {
    let instance = with_mounts().await;
    let root = instance.as_root();
    for encoded in ["root", "Root", "ROOT", "%20root", "root%20", "%20Root%20"] {
        for path in ["sys/policies/acl", "sys/policy"] {
            let (status, answer) = root.put(&format!("{path}/{encoded}"), json!({"policy": ""})).await;
            assert_eq!(status, 400, "{encoded}: {answer}");
            let (status, answer) = root.delete(&format!("{path}/{encoded}")).await;
            assert_eq!(status, 400, "{encoded}: {answer}");
        }
    }
    assert_eq!(root.get("sys/mounts").await.0, 200);
}

#[tokio::test]
async fn a_policy_has_one_name_in_every_case() {
    let instance = with_mounts().await;
    let root = instance.as_root();
    done(root.put("sys/policies/acl/Team", json!({"policy": r#"path "plain/*" { capabilities = ["read"] }"#})).await);
    done(root.put("plain/a", json!({"a": 1})).await);
    let (_, answer) = post(&root, "auth/token/create", json!({"policies": ["TEAM"]})).await;
    assert_eq!(instance.api(&text(&answer["auth"]["client_token"])).get("plain/a").await.0, 200);
    done(root.put("sys/policies/acl/tEAM", json!({"policy": r#"path "plain/*" { capabilities = ["deny"] }"#})).await);
    assert_eq!(instance.api(&text(&answer["auth"]["client_token"])).get("plain/a").await.0, 403);
    let (_, answer) = root.list("sys/policies/acl").await;
    let names = answer["data"]["keys"].as_array().unwrap();
    assert_eq!(names.iter().filter(|name| name.as_str().unwrap().eq_ignore_ascii_case("team")).count(), 1, "{answer}");
}

//! A value that is put into a policy's path cannot widen it.

use serde_json::json;

use super::{denied, done, token_with, with_mounts, write_policy};
use crate::harness::text;

#[tokio::test]
async fn metacharacters_in_a_substituted_value_grant_nothing() {
    let instance = with_mounts().await;
    let root = instance.as_root();
    write_policy(
        &instance,
        "home",
        r#"
        path "plain/home/{{token.metadata.team}}/*" { capabilities = ["read", "list", "update", "create"] }
        path "plain/desk/{{token.metadata.team}}" { capabilities = ["read", "list", "update", "create"] }
        "#,
    )
    .await;
    for path in ["plain/home/a/key", "plain/home/b/key", "plain/desk/a", "plain/desk/b"] {
        done(root.put(path, json!({"value": path})).await);
    }
    let holder = async |team: &str| {
        let auth = token_with(&instance, json!({"policies": ["home"], "meta": {"team": team}})).await;
        instance.api(&text(&auth["client_token"]))
    };
    let own = holder("a").await;
    assert_eq!(own.get("plain/home/a/key").await.0, 200);
    assert_eq!(own.get("plain/desk/a").await.0, 200);
    denied(own.get("plain/home/b/key").await);
    for team in [
        "*",
        "+",
        "a*",
        "+/",
        "a/../b",
        "..",
        ".",
        "",
        "/",
        "a/",
        "{{token.metadata.team}}",
        "b/*",
        "%2a",
        "\u{200b}a",
        "a,b",
    ] {
        let (status, answer) = root
            .put("auth/token/create", json!({"policies": ["home"], "no_default_policy": true, "meta": {"team": team}}))
            .await;
        if status != 200 {
            assert_eq!(status, 400, "{team:?}: {answer}");
            continue;
        }
        let other = instance.api(&text(&answer["auth"]["client_token"]));
        for path in
            ["plain/home/a/key", "plain/home/b/key", "plain/desk/a", "plain/desk/b", "secret/data/a", "sys/mounts"]
        {
            denied(other.get(path).await);
        }
        denied(other.list("plain/home").await);
    }
    // Who has no such value at all is granted nothing either.
    let auth = token_with(&instance, json!({"policies": ["home"]})).await;
    denied(instance.api(&text(&auth["client_token"])).get("plain/home/a/key").await);
}

#[tokio::test]
async fn a_deny_with_a_hostile_value_denies_all_that_it_could_have_meant() {
    let instance = with_mounts().await;
    let root = instance.as_root();
    write_policy(
        &instance,
        "not-mine",
        r#"
        path "plain/*" { capabilities = ["read"] }
        path "plain/home/{{token.metadata.team}}/*" { capabilities = ["deny"] }
        "#,
    )
    .await;
    for path in ["plain/home/a/key", "plain/open"] {
        done(root.put(path, json!({"value": 1})).await);
    }
    for team in ["a", "*", "+", ""] {
        let fields = json!({"policies": ["not-mine"], "meta": {"team": team}});
        let (status, answer) = root.put("auth/token/create", fields).await;
        assert_eq!(status, 200, "{answer}");
        let holder = instance.api(&text(&answer["auth"]["client_token"]));
        denied(holder.get("plain/home/a/key").await);
        assert_eq!(holder.get("plain/open").await.0, 200);
    }
}

#[tokio::test]
async fn nobody_chooses_what_its_own_templates_stand_for() {
    let instance = with_mounts().await;
    let root = instance.as_root();
    write_policy(
        &instance,
        "team",
        r#"
        path "plain/team/{{token.metadata.team}}" { capabilities = ["read"] }
        path "plain/name/{{token.display_name}}" { capabilities = ["read"] }
        path "auth/token/create" { capabilities = ["create", "update"] }
        path "auth/token/create/free" { capabilities = ["create", "update"] }
        "#,
    )
    .await;
    done(root.put("auth/token/roles/free", json!({"orphan": true, "allowed_policies": "team"})).await);
    for path in ["plain/team/a", "plain/team/b", "plain/name/token-a", "plain/name/token-b"] {
        done(root.put(path, json!({"value": path})).await);
    }
    let made = token_with(&instance, json!({"policies": ["team"], "meta": {"team": "a"}, "display_name": "a"})).await;
    let parent = instance.api(&text(&made["client_token"]));
    assert_eq!(parent.get("plain/team/a").await.0, 200);
    for path in ["auth/token/create", "auth/token/create/free"] {
        for kind in ["service", "batch"] {
            for field in ["meta", "metadata"] {
                let fields = json!({"policies": ["team"], field: {"team": "b"}, "display_name": "b", "type": kind});
                let (status, answer) = parent.put(path, fields).await;
                assert_eq!(status, 200, "{answer}");
                let child = instance.api(&text(&answer["auth"]["client_token"]));
                denied(child.get("plain/team/b").await);
                denied(child.get("plain/name/token-b").await);
                // It stands where its parent stands, and its own children too.
                assert_eq!(child.get("plain/team/a").await.0, 200, "{path} {kind}");
                assert_eq!(child.get("plain/name/token-a").await.0, 200, "{path} {kind}");
                if kind == "service" {
                    let (_, answer) = child.put("auth/token/create", json!({"meta": {"team": "b"}})).await;
                    let grandchild = instance.api(&text(&answer["auth"]["client_token"]));
                    denied(grandchild.get("plain/team/b").await);
                    assert_eq!(grandchild.get("plain/team/a").await.0, 200);
                }
            }
        }
    }
}

//! Whoever knows an accessor, a lease or another's token can do with it only what its own policies allow.

use serde_json::json;

use super::{denied, done, holder_of, post, token_with, with_mounts};
use crate::harness::text;
use crate::raw;

#[tokio::test]
async fn operations_by_token_and_by_accessor_are_judged() {
    let instance = with_mounts().await;
    let victim = token_with(&instance, json!({"policies": ["default"], "ttl": "1h"})).await;
    let (token, accessor) = (text(&victim["client_token"]), text(&victim["accessor"]));
    let attacker = instance.api(&text(&token_with(&instance, json!({"policies": ["default"]})).await["client_token"]));
    for (path, body) in [
        ("auth/token/lookup", json!({"token": token})),
        ("auth/token/renew", json!({"token": token})),
        ("auth/token/revoke", json!({"token": token})),
        ("auth/token/revoke-orphan", json!({"token": token})),
        ("auth/token/lookup-accessor", json!({"accessor": accessor})),
        ("auth/token/renew-accessor", json!({"accessor": accessor})),
        ("auth/token/revoke-accessor", json!({"accessor": accessor})),
        ("sys/capabilities", json!({"token": token, "paths": ["secret/data/a"]})),
        ("sys/capabilities-accessor", json!({"accessor": accessor, "paths": ["secret/data/a"]})),
        ("sys/leases/revoke", json!({"lease_id": format!("auth/token/create/{accessor}")})),
        ("sys/leases/revoke-prefix/auth/token/create", json!({})),
        ("sys/leases/revoke-force/auth/token/create", json!({})),
        ("sys/revoke", json!({"lease_id": format!("auth/token/create/{accessor}")})),
        ("sys/revoke-prefix/auth", json!({})),
    ] {
        denied(post(&attacker, path, body).await);
    }
    denied(attacker.list("auth/token/accessors").await);
    denied(attacker.list("sys/leases/lookup/auth").await);
    // An id in the path or the query is judged like one in the body.
    for path in [format!("auth/token/lookup/{token}"), format!("auth/token/lookup?token={token}")] {
        assert_ne!(attacker.get(&path).await.0, 200, "{path}");
    }
    assert_eq!(instance.api(&token).get("auth/token/lookup-self").await.0, 200, "the victim was harmed");
}

#[tokio::test]
async fn self_operations_reach_oneself_only() {
    let instance = with_mounts().await;
    let victim = token_with(&instance, json!({"policies": ["default"], "ttl": "1h"})).await;
    let (token, accessor) = (text(&victim["client_token"]), text(&victim["accessor"]));
    let attacker = instance.api(&text(&token_with(&instance, json!({"policies": ["default"]})).await["client_token"]));
    for path in ["auth/token/lookup-self", "auth/token/renew-self", "auth/token/revoke-self"] {
        let _ = post(&attacker, path, json!({"token": token, "accessor": accessor, "id": token})).await;
    }
    assert_eq!(instance.api(&token).get("auth/token/lookup-self").await.0, 200);
    assert_eq!(attacker.get("auth/token/lookup-self").await.0, 403, "revoke-self ended another token");
}

#[tokio::test]
async fn a_cubbyhole_is_its_tokens_own() {
    let instance = with_mounts().await;
    let make =
        async || instance.api(&text(&token_with(&instance, json!({"policies": ["default"]})).await["client_token"]));
    let (one, two) = (make().await, make().await);
    done(post(&one, "cubbyhole/mine", json!({"value": "tlk_canary_cubbyhole"})).await);
    for other in [&two, &instance.as_root()] {
        assert_eq!(other.get("cubbyhole/mine").await.0, 404);
        assert_eq!(other.list("cubbyhole/").await.0, 404);
        let _ = other.delete("cubbyhole/mine").await;
    }
    assert_eq!(one.get("cubbyhole/mine").await.1["data"]["value"], json!("tlk_canary_cubbyhole"));
}

#[tokio::test]
async fn a_wrapping_token_opens_its_answer_and_nothing_else() {
    let instance = with_mounts().await;
    let (_, answer) = post(&instance.as_root(), "sys/tools/random/16", json!({})).await;
    assert!(answer["data"]["random_bytes"].is_string(), "{answer}");
    let body = r#"{"value":"tlk_canary_wrapped"}"#;
    let bytes = format!(
        "POST /v1/sys/wrapping/wrap HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nX-Vault-Token: {}\r\nX-Vault-Wrap-TTL: 60\r\nContent-Length: {}\r\n\r\n{body}",
        instance.root,
        body.len()
    );
    let wrapped = raw::send(&instance, bytes.as_bytes()).await.json();
    let wrapping = instance.api(&text(&wrapped["wrap_info"]["token"]));
    for path in ["sys/mounts", "cubbyhole/response", "secret/data/a", "auth/token/lookup-self"] {
        let (status, answer) = wrapping.get(path).await;
        assert!(status >= 400 && !answer.to_string().contains("canary"), "{path}: {status} {answer}");
    }
    denied(post(&wrapping, "auth/token/create", json!({})).await);
    let (first, second) = tokio::join!(
        post(&wrapping, "sys/wrapping/unwrap", json!({})),
        post(&wrapping, "sys/wrapping/unwrap", json!({}))
    );
    let opened = [&first, &second].iter().filter(|answer| answer.0 == 200).count();
    assert_eq!(opened, 1, "{first:?} {second:?}");
    assert!(first.0 < 500 && second.0 < 500);
}

#[tokio::test]
async fn the_end_of_a_parent_is_the_end_of_its_children() {
    let instance = with_mounts().await;
    let parent =
        holder_of(&instance, "parent", r#"path "auth/token/create" { capabilities = ["update", "create"] }"#).await;
    let (status, answer) = post(&parent, "auth/token/create", json!({"policies": ["parent"]})).await;
    assert_eq!(status, 200, "{answer}");
    let child = instance.api(&text(&answer["auth"]["client_token"]));
    let (_, answer) = post(&child, "auth/token/create", json!({"policies": ["parent"], "type": "batch"})).await;
    let grandchild = answer["auth"]["client_token"].as_str().map(|token| instance.api(token));
    done(post(&instance.as_root(), "auth/token/revoke", json!({"token": parent.token()})).await);
    denied(post(&child, "auth/token/create", json!({})).await);
    if let Some(grandchild) = grandchild {
        denied(post(&grandchild, "auth/token/create", json!({})).await);
    }
}

#[tokio::test]
async fn a_child_holds_no_policy_that_its_parent_lacks() {
    let instance = with_mounts().await;
    let parent = holder_of(&instance, "parent", r#"path "auth/token/*" { capabilities = ["update", "create"] }"#).await;
    super::write_policy(&instance, "mighty", r#"path "*" { capabilities = ["read", "sudo"] }"#).await;
    for fields in [
        json!({"policies": ["mighty"]}),
        json!({"policies": ["parent", "MIGHTY"]}),
        json!({"policies": " mighty "}),
        json!({"policies": ["parent"], "no_parent": true}),
        json!({"policies": ["parent"], "period": "1000h"}),
        json!({"policies": ["parent"], "id": "chosen-by-hand"}),
    ] {
        let (status, answer) = post(&parent, "auth/token/create", fields.clone()).await;
        assert!(matches!(status, 400 | 403), "{fields}: {status} {answer}");
    }
    denied(post(&parent, "auth/token/create-orphan", json!({"policies": ["mighty"]})).await);
}

#[tokio::test]
async fn races_on_a_limited_use_token_give_no_use_too_many() {
    let instance = with_mounts().await;
    done(instance.as_root().put("plain/limited", json!({"value": 1})).await);
    super::write_policy(&instance, "limited", r#"path "plain/limited" { capabilities = ["read"] }"#).await;
    let auth = token_with(&instance, json!({"policies": ["limited"], "num_uses": 5})).await;
    let client = instance.api(&text(&auth["client_token"]));
    let calls: Vec<_> = (0..24)
        .map(|_| {
            let client = client.clone();
            tokio::spawn(async move { client.get("plain/limited").await.0 })
        })
        .collect();
    let mut statuses = Vec::new();
    for call in calls {
        statuses.push(call.await.unwrap());
    }
    let served = statuses.iter().filter(|status| **status == 200).count();
    assert_eq!(served, 5, "{statuses:?}");
    assert!(statuses.iter().all(|status| matches!(status, 200 | 403)), "{statuses:?}");
}

#[tokio::test]
async fn a_chosen_id_does_not_bring_the_dead_back() {
    let instance = with_mounts().await;
    let root = instance.as_root();
    super::write_policy(&instance, "parent", r#"path "auth/token/create" { capabilities = ["update"] }"#).await;
    let fields = json!({"id": "chosen-by-hand", "policies": ["parent", "default"]});
    assert_eq!(post(&root, "auth/token/create", fields.clone()).await.0, 200);
    let parent = instance.api("chosen-by-hand");
    done(post(&parent, "cubbyhole/mine", json!({"value": "tlk_canary_of_the_dead"})).await);
    let (_, answer) = post(&parent, "auth/token/create", json!({})).await;
    let child = instance.api(&text(&answer["auth"]["client_token"]));
    assert_eq!(child.get("auth/token/lookup-self").await.0, 200);
    done(post(&root, "auth/token/revoke", json!({"token": "chosen-by-hand"})).await);
    denied(child.get("auth/token/lookup-self").await);
    // Either the id stays taken until all of the dead is swept, or nothing of it is left.
    let (status, answer) = post(&root, "auth/token/create", fields.clone()).await;
    assert!(matches!(status, 200 | 400), "{answer}");
    denied(child.get("auth/token/lookup-self").await);
    assert_ne!(parent.get("cubbyhole/mine").await.0, 200);
    done(post(&root, "auth/token/tidy", json!({})).await);
    let (status, answer) = post(&root, "auth/token/create", fields).await;
    assert!(status == 200 || answer["errors"].to_string().contains("exists"), "{status} {answer}");
    denied(child.get("auth/token/lookup-self").await);
    assert_eq!(parent.get("cubbyhole/mine").await.0, 404);
}

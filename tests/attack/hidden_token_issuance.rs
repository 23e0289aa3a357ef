//! Tokens come from logins and from token creation; what is refused leaves none behind.

use serde_json::{Value, json};

use super::{done, enable_auth, holder_of, post, with_mounts};
use crate::harness::Instance;
use crate::raw;

async fn accessors(instance: &Instance) -> Vec<Value> {
    let (_, answer) = instance.as_root().list("auth/token/accessors").await;
    let mut all = answer["data"]["keys"].as_array().unwrap().clone();
    all.sort_by_key(Value::to_string);
    all
}

#[tokio::test]
async fn what_is_refused_leaves_no_token() {
    let instance = with_mounts().await;
    enable_auth(&instance, "userpass", "userpass").await;
    enable_auth(&instance, "approle", "approle").await;
    done(post(&instance.as_root(), "auth/userpass/users/anna", json!({"password": "tlk_canary_right"})).await);
    let holder = holder_of(&instance, "little", r#"path "cubbyhole/*" { capabilities = ["read"] }"#).await;
    let before = accessors(&instance).await;
    let stranger = instance.api("");
    for (api, path, body) in [
        (&stranger, "auth/userpass/login/anna", json!({"password": "tlk_canary_wrong"})),
        (&stranger, "auth/userpass/login/nobody", json!({"password": "tlk_canary_wrong"})),
        (&stranger, "auth/approle/login", json!({"role_id": "x", "secret_id": "y"})),
        (&holder, "auth/token/create", json!({})),
        (&instance.as_root(), "auth/token/create", json!({"ttl": "never"})),
        (&instance.as_root(), "auth/token/create", json!({"policies": ["default"], "period": "x"})),
        (&instance.as_root(), "auth/token/create/missing", json!({})),
        (&instance.as_root(), "auth/token/create", json!({"type": "other"})),
    ] {
        let (status, answer) = post(api, path, body).await;
        assert!((400..500).contains(&status) && answer["auth"].is_null(), "{path}: {status} {answer}");
    }
    // Errors are not wrapped: a wrapping of them would be a token, too.
    for (target, token) in
        [("secret/data/missing", instance.root.as_str()), ("secret/data/x", holder.token()), ("sys/mounts", "")]
    {
        let bytes = format!(
            "GET /v1/{target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nX-Vault-Wrap-TTL: 60\r\nX-Vault-Token: {token}\r\n\r\n"
        );
        let answer = raw::send(&instance, bytes.as_bytes()).await;
        assert!(answer.refused() && answer.json()["wrap_info"].is_null(), "{target}: {answer:?}");
    }
    assert_eq!(accessors(&instance).await, before);
}

#[tokio::test]
async fn stored_data_that_looks_like_a_token_is_data() {
    let instance = with_mounts().await;
    let root = instance.as_root();
    let looks = json!({"auth": {"client_token": "tlk_canary_forged", "policies": ["root"]}, "wrap_info": {"token": "x"}, "lease_id": "x", "renewable": true});
    done(root.put("plain/forged", looks.clone()).await);
    done(root.put("cubbyhole/forged", looks.clone()).await);
    done(root.put("secret/data/forged", json!({"data": looks})).await);
    let before = accessors(&instance).await;
    for path in ["plain/forged", "cubbyhole/forged", "secret/data/forged"] {
        let (status, answer) = root.get(path).await;
        assert_eq!(status, 200);
        assert!(
            answer["auth"].is_null() && answer["wrap_info"].is_null() && answer["lease_id"] == json!(""),
            "{path}: {answer}"
        );
    }
    for path in [
        "sys/mounts",
        "sys/auth",
        "sys/policies/acl",
        "sys/key-status",
        "auth/token/lookup-self",
        "sys/internal/ui/mounts",
    ] {
        assert!(root.get(path).await.1["auth"].is_null(), "{path}");
    }
    assert_eq!(accessors(&instance).await, before);
}

//! Renewal never passes the maximum, and no number that a client sends makes a token live for ever.

use serde_json::json;

use super::{done, holder_of, post, token_with, with_mounts};
use crate::harness::{text, wait_for};

/// The longest life without a configuration that says otherwise, in seconds.
const MAX: u64 = 768 * 3600;

#[tokio::test]
async fn renewal_never_passes_the_explicit_maximum() {
    let instance = with_mounts().await;
    let auth = token_with(&instance, json!({"policies": ["default"], "ttl": "2s", "explicit_max_ttl": "3s"})).await;
    let client = instance.api(&text(&auth["client_token"]));
    for increment in [json!("100h"), json!(u64::MAX), json!("9223372036854775807"), json!(0), json!(-1), json!("-1h")] {
        let (status, answer) = post(&client, "auth/token/renew-self", json!({"increment": increment})).await;
        assert!(status < 500, "{increment}: {answer}");
        if status == 200 {
            assert!(answer["auth"]["lease_duration"].as_u64().unwrap() <= 3, "{increment}: {answer}");
        }
    }
    wait_for("the token's end", async || {
        let (status, answer) = post(&client, "auth/token/renew-self", json!({"increment": "1h"})).await;
        assert!(status < 500, "{answer}");
        (status == 403).then_some(())
    })
    .await;
}

#[tokio::test]
async fn no_number_makes_a_token_that_does_not_end() {
    let instance = with_mounts().await;
    let rules = r#"path "auth/token/create" { capabilities = ["create", "update"] }"#;
    let maker = holder_of(&instance, "maker", rules).await;
    for ttl in [
        json!(0),
        json!("0"),
        json!("0s"),
        json!(""),
        json!(null),
        json!(-1),
        json!("-1s"),
        json!(u64::MAX),
        json!(1e300),
        json!("999999999999h"),
        json!("9223372036854775807ns"),
        json!(18446744073709551615u64),
        json!("1e18"),
        json!("NaN"),
        json!(true),
        json!([]),
    ] {
        for field in ["ttl", "explicit_max_ttl", "period", "lease"] {
            let (status, answer) = post(&maker, "auth/token/create", json!({"policies": ["maker"], field: ttl})).await;
            assert!(matches!(status, 200 | 400 | 403), "{field} {ttl}: {status} {answer}");
            if status == 200 {
                let seconds = answer["auth"]["lease_duration"].as_u64().unwrap();
                assert!(0 < seconds && seconds <= MAX, "{field} {ttl}: {answer}");
                let (_, seen) =
                    instance.api(&text(&answer["auth"]["client_token"])).get("auth/token/lookup-self").await;
                assert!(seen["data"].is_null() || !seen["data"]["expire_time"].is_null(), "{seen}");
            }
        }
    }
}

#[tokio::test]
async fn a_token_that_is_not_renewable_is_not_renewed() {
    let instance = with_mounts().await;
    let auth = token_with(&instance, json!({"policies": ["default"], "ttl": "1h", "renewable": false})).await;
    let client = instance.api(&text(&auth["client_token"]));
    let (status, answer) = post(&client, "auth/token/renew-self", json!({"increment": "10h"})).await;
    assert_eq!(status, 400, "{answer}");
    let (_, answer) = client.get("auth/token/lookup-self").await;
    assert!(answer["data"]["ttl"].as_u64().unwrap() <= 3600, "{answer}");
}

#[tokio::test]
async fn a_lower_maximum_of_the_mount_bounds_what_is_issued_and_renewed() {
    let instance = with_mounts().await;
    super::enable_auth(&instance, "userpass", "userpass").await;
    let root = instance.as_root();
    done(post(&root, "sys/auth/userpass/tune", json!({"max_lease_ttl": "60s", "default_lease_ttl": "30s"})).await);
    let fields = json!({"password": "tlk_canary_bounded", "token_ttl": "100h", "token_max_ttl": "1000h"});
    done(post(&root, "auth/userpass/users/anna", fields).await);
    let login = json!({"password": "tlk_canary_bounded"});
    let (status, answer) = post(&instance.api(""), "auth/userpass/login/anna", login).await;
    assert_eq!(status, 200, "{answer}");
    assert!(answer["auth"]["lease_duration"].as_u64().unwrap() <= 60, "{answer}");
    let client = instance.api(&text(&answer["auth"]["client_token"]));
    let (_, answer) = post(&client, "auth/token/renew-self", json!({"increment": "100h"})).await;
    assert!(answer["auth"]["lease_duration"].as_u64().unwrap() <= 60, "{answer}");
}

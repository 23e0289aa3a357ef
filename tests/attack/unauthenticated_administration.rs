//! Without a token nothing of an initialized, open server changes.

use serde_json::{Value, json};

use super::crafted_requests::paths;
use super::{enable_auth, with_mounts};
use crate::harness::Instance;
use crate::raw;

async fn state(instance: &Instance) -> Vec<Value> {
    let root = instance.as_root();
    let mut all = Vec::new();
    for path in [
        "sys/seal-status",
        "sys/mounts",
        "sys/auth",
        "sys/policies/acl?list=true",
        "auth/token/accessors?list=true",
        "sys/audit",
        "sys/key-status",
        "sys/rekey/init",
    ] {
        let (status, mut answer) = root.get(path).await;
        if let Some(members) = answer.as_object_mut() {
            members.remove("request_id");
        }
        all.push(json!([path, status, answer]));
    }
    all
}

#[tokio::test]
async fn nobody_without_a_token_changes_anything() {
    let instance = with_mounts().await;
    let body =
        r#"{"secret_shares":1,"secret_threshold":1,"key":"00","nonce":"x","type":"kv","policy":"","reset":true}"#;
    // A rekey that an operator has begun must not be cancelled by others.
    let begun = raw::call(
        &instance,
        "PUT",
        "/v1/sys/rekey/init",
        &instance.root,
        r#"{"secret_shares":1,"secret_threshold":1}"#,
    )
    .await;
    assert!(begun.status < 500, "{begun:?}");
    let before = state(&instance).await;
    for token in ["", "tlk_s_0000000000000000000000000000000000000000000000", "root"] {
        for path in [
            "sys/init",
            "sys/seal",
            "sys/step-down",
            "sys/rotate",
            "sys/rotate/config",
            "sys/rekey/init",
            "sys/rekey/update",
            "sys/rekey/verify",
            "sys/rekey/backup",
            "sys/rekey-recovery-key/init",
            "sys/generate-root/attempt",
            "sys/generate-root/update",
            "sys/generate-recovery-token/attempt",
            "sys/decode-token",
            "sys/mounts/evil",
            "sys/auth/evil",
            "sys/audit/evil",
            "sys/policies/acl/evil",
            "sys/policies/password/evil",
            "sys/config/cors",
            "sys/config/auditing/request-headers/x",
            "sys/raw/core",
            "sys/remount",
            "sys/quotas/rate-limit/x",
            "sys/storage/raft/snapshot",
            "sys/storage/raft/snapshot-force",
            "sys/storage/raft/join",
            "sys/plugins/catalog/x",
            "sys/leases/tidy",
            "sys/leases/revoke",
            "sys/leases/revoke-force/auth",
            "sys/loggers",
            "sys/in-flight-req",
            "sys/pprof/goroutine",
            "sys/metrics",
            "sys/host-info",
            "sys/monitor",
            "sys/namespaces/x",
            "sys/replication/status",
            "auth/token/create",
            "auth/token/tidy",
            "auth/token/roles/x",
            "secret/config",
            "secret/data/x",
        ] {
            for (method, body) in [("PUT", body), ("POST", body), ("DELETE", ""), ("GET", ""), ("LIST", "")] {
                let answer = raw::call(&instance, method, &format!("/v1/{path}"), token, body).await;
                let init = path == "sys/init" && method == "GET";
                assert!(init || answer.refused(), "{method} {path}: {answer:?}");
            }
        }
    }
    assert_eq!(state(&instance).await, before);
}

#[tokio::test]
async fn an_open_server_is_not_initialized_again_nor_reset() {
    let instance = with_mounts().await;
    let again = raw::call(&instance, "PUT", "/v1/sys/init", "", r#"{"secret_shares":1,"secret_threshold":1}"#).await;
    assert_eq!(again.status, 400, "{again:?}");
    assert!(!again.body.contains("root_token"));
    for body in [r#"{"reset":true}"#, r#"{"key":"00"}"#, r#"{"migrate":true,"key":"00"}"#] {
        let answer = raw::call(&instance, "PUT", "/v1/sys/unseal", "", body).await;
        assert!(answer.status < 500, "{answer:?}");
    }
    let (_, status) = instance.api("").get("sys/seal-status").await;
    assert_eq!((&status["sealed"], &status["progress"]), (&json!(false), &json!(0)));
    assert_eq!(instance.as_root().get("sys/mounts").await.0, 200);
}

/// What is open to everybody: probes, the first start, logins, and what a wrapping token itself opens.
const OPEN: [&str; 11] = [
    "auth/approle/login",
    "auth/userpass/login/NAME",
    "sys/health",
    "sys/init",
    "sys/internal/ui/mounts",
    "sys/leader",
    "sys/seal-status",
    "sys/unseal",
    "sys/wrapping/lookup",
    "sys/wrapping/rewrap",
    "sys/wrapping/unwrap",
];

#[tokio::test]
async fn every_other_route_asks_for_a_token() {
    let instance = with_mounts().await;
    enable_auth(&instance, "approle", "approle").await;
    enable_auth(&instance, "userpass", "userpass").await;
    let mut paths = paths();
    assert!(OPEN.iter().all(|open| paths.iter().any(|path| path == open)), "an open route is gone");
    paths.retain(|path| !OPEN.contains(&path.as_str()));
    paths.extend(["sys/seal", "auth/token/revoke-self"].map(str::to_owned));
    for path in paths {
        let target = format!("/v1/{}", path.replace("NAME", "x"));
        for token in ["", "tlk_s_0000000000000000000000000000000000000000000000"] {
            for (method, body) in [("GET", ""), ("LIST", ""), ("SCAN", ""), ("PUT", "{}"), ("DELETE", "")] {
                let answer = raw::call(&instance, method, &target, token, body).await;
                assert_eq!(answer.status, 403, "{method} {path}: {answer:?}");
            }
        }
    }
}

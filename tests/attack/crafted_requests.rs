//! No request brings the server down or makes it call a client's mistake its own.

use serde_json::json;

use super::{done, enable_auth, post, with_mounts};
use crate::harness::text;
use crate::raw;

/// Paths of every engine, with what stands for a name left to the caller.
const PATHS: &[&str] = &[
    "auth/approle/login",
    "auth/approle/role",
    "auth/approle/role/NAME",
    "auth/approle/role/NAME/role-id",
    "auth/approle/role/NAME/secret-id",
    "auth/approle/role/NAME/secret-id/lookup",
    "auth/approle/role/NAME/secret-id/destroy",
    "auth/approle/role/NAME/secret-id-accessor/lookup",
    "auth/approle/role/NAME/secret-id-accessor/destroy",
    "auth/approle/role/NAME/custom-secret-id",
    "auth/approle/role/NAME/policies",
    "auth/approle/role/NAME/secret-id-num-uses",
    "auth/approle/tidy/secret-id",
    "auth/token/accessors",
    "auth/token/create",
    "auth/token/create-orphan",
    "auth/token/create/NAME",
    "auth/token/lookup",
    "auth/token/lookup-accessor",
    "auth/token/lookup-self",
    "auth/token/renew",
    "auth/token/renew-accessor",
    "auth/token/renew-self",
    "auth/token/revoke",
    "auth/token/revoke-accessor",
    "auth/token/revoke-orphan",
    "auth/token/roles",
    "auth/token/roles/NAME",
    "auth/token/tidy",
    "auth/userpass/login/NAME",
    "auth/userpass/users",
    "auth/userpass/users/NAME",
    "auth/userpass/users/NAME/password",
    "auth/userpass/users/NAME/policies",
    "cubbyhole/NAME",
    "plain/NAME",
    "plain/",
    "secret/config",
    "secret/data/NAME",
    "secret/metadata/NAME",
    "secret/metadata/",
    "secret/delete/NAME",
    "secret/undelete/NAME",
    "secret/destroy/NAME",
    "secret/subkeys/NAME",
    "secret/NAME",
    "sys/auth",
    "sys/auth/NAME",
    "sys/auth/NAME/tune",
    "sys/audit",
    "sys/audit/NAME",
    "sys/audit-hash/file",
    "sys/capabilities",
    "sys/capabilities-accessor",
    "sys/capabilities-self",
    "sys/health",
    "sys/init",
    "sys/internal/ui/mounts",
    "sys/internal/ui/mounts/NAME",
    "sys/internal/ui/resultant-acl",
    "sys/key-status",
    "sys/leader",
    "sys/leases/lookup",
    "sys/leases/lookup/NAME",
    "sys/leases/renew",
    "sys/leases/revoke",
    "sys/leases/revoke-prefix/NAME",
    "sys/mounts",
    "sys/mounts/NAME",
    "sys/mounts/NAME/tune",
    "sys/policies/acl",
    "sys/policies/acl/NAME",
    "sys/policies/password",
    "sys/policies/password/NAME",
    "sys/policies/password/NAME/generate",
    "sys/policy",
    "sys/policy/NAME",
    "sys/rekey/init",
    "sys/rekey/update",
    "sys/remount",
    "sys/renew",
    "sys/revoke",
    "sys/rotations",
    "sys/rotations/NAME",
    "sys/seal-status",
    "sys/tools/hash",
    "sys/tools/hash/NAME",
    "sys/tools/random",
    "sys/tools/random/NAME",
    "sys/unseal",
    "sys/wrapping/lookup",
    "sys/wrapping/rewrap",
    "sys/wrapping/unwrap",
    "sys/wrapping/wrap",
    "sys/NAME",
    "NAME/NAME",
];

const BODIES: &[&str] = &[
    "",
    "{}",
    "null",
    "[]",
    "\"x\"",
    "{\"",
    "\u{0}",
    "{\"data\":1}",
    "{\"data\":{\"a\":{\"b\":[1,null]}}}",
    r#"{"policy":1,"policies":{"a":1},"ttl":"x","token":[],"accessor":{},"lease_id":0,"type":[],"password":{},"role_id":[]}"#,
    r#"{"policy":"path","policies":"a,b,,","ttl":-1,"token":"x","accessor":"x","lease_id":"x","type":"kv","password":"","role_id":""}"#,
    r#"{"versions":["x",-1,1e9],"paths":[1],"path":"..","from":"x","to":"/","key":"zz","nonce":"x","num_uses":1e99,"period":"1y"}"#,
    r#"{"versions":[0,99999999999],"paths":"secret/../x","path":"\u0000","bytes":99999999999,"format":"x","input":"!","algorithm":"x"}"#,
    r#"{"metadata":"x","custom_metadata":{"a":1},"max_versions":-5,"cas_required":"maybe","delete_version_after":"x","options":{"cas":"x"},"data":{"a":1}}"#,
];

const NAMES: &[&str] = &["x", "%ff", "a%2fb", "..", "%00", "a b", "-1", "%F0%9F%94%91", "*", "+", "{{x}}"];

#[tokio::test]
async fn every_route_survives_malformed_requests_and_blames_no_one_else() {
    let instance = with_mounts().await;
    enable_auth(&instance, "approle", "approle").await;
    enable_auth(&instance, "userpass", "userpass").await;
    let mut count = 0;
    for (number, path) in PATHS.iter().enumerate() {
        for (index, body) in BODIES.iter().enumerate() {
            let name = NAMES[(number + index) % NAMES.len()];
            let target = format!("/v1/{}", path.replace("NAME", name));
            for method in ["GET", "POST", "PATCH", "LIST", "SCAN", "DELETE", "HEAD", "OPTIONS"] {
                // Read-only methods need only one body.
                if index > 0 && !matches!(method, "POST" | "PATCH") {
                    continue;
                }
                // What would end the test itself: deleting the mounts in use.
                let answer = raw::call(&instance, method, &target, &instance.root, body).await;
                let fine = answer.status < 500 || path.starts_with("sys/health");
                assert!(fine && answer.status >= 200, "{method} {target} {body}: {answer:?}\n{}", instance.log());
                count += 1;
            }
        }
    }
    assert!(count > 1000);
    let (status, answer) = instance.api("").get("sys/health").await;
    assert_eq!((status, &answer["sealed"]), (200, &json!(false)));
    assert!(!instance.log().contains("panicked"), "{}", instance.log());
}

#[tokio::test]
async fn client_mistakes_are_never_5xx() {
    let instance = with_mounts().await;
    enable_auth(&instance, "approle", "approle").await;
    enable_auth(&instance, "userpass", "userpass").await;
    let root = instance.as_root();
    done(post(&root, "auth/userpass/users/anna", json!({"password": "tlk_canary_right"})).await);
    for (method, target, body) in [
        ("POST", "auth/approle/login", "{}"),
        ("POST", "auth/approle/login", r#"{"secret_id":"x"}"#),
        ("POST", "auth/approle/login", r#"{"role_id":"x"}"#),
        ("POST", "auth/userpass/login/anna", "{}"),
        ("POST", "auth/userpass/login/anna", r#"{"password":""}"#),
        ("POST", "auth/userpass/login/anna", r#"{"password":null}"#),
        ("POST", "auth/userpass/users/bert", "{}"),
        ("GET", "secret/data/%ff%fe", ""),
        ("PUT", "secret/data/%c3%28", r#"{"data":{"a":1}}"#),
        ("PUT", "sys/policies/acl/a%2fb", r#"{"policy":""}"#),
        ("PUT", "sys/policies/acl/a/b", r#"{"policy":""}"#),
        ("GET", "sys/policy/a/b", ""),
        ("POST", "sys/wrapping/unwrap", r#"{"token":"x"}"#),
        ("POST", "sys/wrapping/lookup", "{}"),
        ("POST", "auth/token/renew", r#"{"token":"x"}"#),
        ("POST", "sys/leases/renew", r#"{"lease_id":"x"}"#),
        ("POST", "sys/unseal", r#"{"key":"x"}"#),
        ("POST", "sys/init", r#"{"secret_shares":0}"#),
    ] {
        let answer = raw::call(&instance, method, &format!("/v1/{target}"), &instance.root, body).await;
        assert!((200..500).contains(&answer.status), "{method} {target} {body}: {answer:?}");
    }
    // Renewal at the maximum.
    let auth =
        super::token_with(&instance, json!({"policies": ["default"], "ttl": "1h", "explicit_max_ttl": "1h"})).await;
    let client = instance.api(&text(&auth["client_token"]));
    for _ in 0..3 {
        let (status, answer) = post(&client, "auth/token/renew-self", json!({"increment": "9h"})).await;
        assert!(status < 500, "{answer}");
    }
}

#[tokio::test]
async fn bytes_that_are_no_http_end_the_connection_and_nothing_else() {
    let instance = with_mounts().await;
    for bytes in [
        &b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"[..],
        b"\x00\x00\x00\x00\r\n\r\n",
        b"GET\r\n\r\n",
        b"GET /v1/sys/health HTTP/9.9\r\n\r\n",
        b"GET /v1/sys/health\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\xff\xff\xff\xff\xff\xff\xff",
        b"\xff\xfe\xfd\xfc",
        b"GET /v1/\xff\xfe HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
    ] {
        // Half a TLS hello waits for more until its client goes away.
        let answer = tokio::time::timeout(std::time::Duration::from_millis(300), raw::send(&instance, bytes)).await;
        assert!(answer.is_err() || answer.is_ok_and(|answer| answer.status < 500), "{bytes:?}");
    }
    assert_eq!(instance.api("").get("sys/health").await.0, 200);
    assert!(!instance.log().contains("panicked"), "{}", instance.log());
}

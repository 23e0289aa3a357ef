//! Who a client says it is, in a header that only a proxy may set, counts for nothing.

use serde_json::json;

use super::{denied, done, with_mounts};
use crate::harness::text;
use crate::raw;

#[tokio::test]
async fn a_forwarded_address_of_anybody_is_not_believed() {
    let instance = with_mounts().await;
    let role = json!({"token_bound_cidrs": ["192.0.2.0/24"], "allowed_policies": ["default"]});
    done(instance.as_root().put("auth/token/roles/elsewhere", role).await);
    let (_, answer) = instance.as_root().put("auth/token/create/elsewhere", json!({"policies": ["default"]})).await;
    let bound = text(&answer["auth"]["client_token"]);
    denied(instance.api(&bound).get("auth/token/lookup-self").await);
    for header in [
        "X-Forwarded-For: 192.0.2.1",
        "X-Forwarded-For: 192.0.2.1, 192.0.2.1",
        "X-Real-IP: 192.0.2.1",
        "Forwarded: for=192.0.2.1",
        "X-Client-IP: 192.0.2.1",
        "True-Client-IP: 192.0.2.1",
        "X-Vault-Forward: 192.0.2.1",
        "X-Forwarded-Host: 192.0.2.1",
    ] {
        let bytes = format!(
            "GET /v1/auth/token/lookup-self HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nX-Vault-Token: {bound}\r\n{header}\r\n\r\n"
        );
        let answer = raw::send(&instance, bytes.as_bytes()).await;
        assert_eq!(answer.status, 403, "{header}: {answer:?}");
    }
    let audit = std::fs::read_to_string(instance.audit_path()).unwrap();
    assert!(!audit.contains("192.0.2.1\""), "the audit believes a header");
}

#[tokio::test]
async fn internal_headers_from_outside_open_nothing() {
    let instance = with_mounts().await;
    for header in [
        "X-Tls-Client-Cert: MIIB",
        "X-Processed-Tls-Client-Certificate: MIIB",
        "X-Vault-Policy-Override: true",
        "X-Vault-Token-Accessor: root",
        "X-Vault-Unauthenticated: true",
        "X-HTTP-Method-Override: GET",
        "X-Original-URL: /v1/sys/health",
        "X-Rewrite-URL: /v1/sys/health",
    ] {
        let bytes = format!("GET /v1/sys/mounts HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{header}\r\n\r\n");
        let answer = raw::send(&instance, bytes.as_bytes()).await;
        assert_eq!(answer.status, 403, "{header}: {answer:?}");
    }
}

//! A request whose end two servers could see in two places is refused: behind a proxy it would smuggle another one.

use super::with_mounts;
use crate::raw;

const SMUGGLED: &str = "GET /v1/sys/health HTTP/1.1\r\nHost: localhost\r\n\r\n";

#[tokio::test]
async fn nothing_behind_a_chunked_body_is_taken_for_a_request() {
    let instance = with_mounts().await;
    let body = r#"{"data":{"a":1}}"#;
    let bytes = format!(
        "PUT /v1/secret/data/chunked HTTP/1.1\r\nHost: localhost\r\nX-Vault-Token: {}\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n{body}\r\n0\r\n\r\n{SMUGGLED}",
        instance.root,
        body.len()
    );
    let answer = raw::send(&instance, bytes.as_bytes()).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert!(!answer.body.contains("server_time_utc"), "{answer:?}");
}

#[tokio::test]
async fn a_header_cannot_be_broken_into_two() {
    let instance = with_mounts().await;
    for (method, target) in [
        ("GET", "/v1/secret/data/a%0d%0aX-Injected:%20yes"),
        ("GET", "/v1/secret/data/a?x=%0d%0aX-Injected:%20yes"),
        ("LIST", "/v1/%0d%0aX-Injected:%20yes/"),
    ] {
        let answer = raw::call(&instance, method, target, &instance.root, "").await;
        assert!(!answer.head.contains("X-Injected"), "{target}: {answer:?}");
    }
    let bytes = format!(
        "GET /v1/secret/data/a HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nX-Vault-Token: {}\r\nX-Vault-Namespace: a%0d%0aX-Injected: yes\r\n\r\n",
        instance.root
    );
    let answer = raw::send(&instance, bytes.as_bytes()).await;
    assert!(answer.refused() && !answer.head.contains("\r\nX-Injected"), "{answer:?}");
}

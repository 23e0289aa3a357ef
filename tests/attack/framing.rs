//! A request whose end two servers could see in two places is refused: behind a proxy it would smuggle another one.

use super::with_mounts;
use crate::harness::Instance;
use crate::raw;

const SMUGGLED: &str = "GET /v1/sys/health HTTP/1.1\r\nHost: localhost\r\n\r\n";

/// Sends a write of `secret/data/framed` with `headers` and `body`; it must not be done.
async fn refused(instance: &Instance, what: &str, headers: &str, body: &str) {
    let head = format!(
        "PUT /v1/secret/data/framed HTTP/1.1\r\nHost: localhost\r\nX-Vault-Token: {}\r\n{headers}\r\n",
        instance.root
    );
    let answer = raw::send(instance, format!("{head}{body}").as_bytes()).await;
    assert!(answer.refused(), "{what}: {answer:?}");
    // What stands behind a badly framed request is not taken for another one.
    assert!(!answer.body.contains("HTTP/1.1 2") && !answer.body.contains("server_time_utc"), "{what}: {answer:?}");
    assert_eq!(instance.as_root().get("secret/data/framed").await.0, 404, "{what} was executed");
}

#[tokio::test]
async fn an_ambiguous_end_of_a_request_is_refused() {
    let instance = with_mounts().await;
    let body = r#"{"data":{"a":1}}"#;
    let chunks = format!("{:x}\r\n{body}\r\n0\r\n\r\n", body.len());
    for (what, headers) in [
        ("a folded encoding", "Transfer-Encoding:\r\n chunked\r\n"),
        ("an unknown encoding", "Transfer-Encoding: xchunked\r\n"),
        ("two encodings", "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n"),
        ("chunked not last", "Transfer-Encoding: chunked, identity\r\n"),
        ("a blank before the colon", "Transfer-Encoding : chunked\r\n"),
        ("chunked twice", "Transfer-Encoding: chunked, chunked\r\n"),
    ] {
        refused(&instance, what, headers, &format!("{chunks}{SMUGGLED}")).await;
    }
    let chunked = "Transfer-Encoding: chunked\r\n";
    let size = format!("{:x}", body.len());
    for (what, framed) in [
        ("a blank before the size", format!(" {size}\r\n{body}\r\n0\r\n\r\n")),
        ("a bare line feed behind the size", format!("{size}\n{body}\r\n0\r\n\r\n")),
        ("a bare line feed behind the data", format!("{size}\r\n{body}\n0\r\n\r\n")),
        ("a hexadecimal prefix", format!("0x{size}\r\n{body}\r\n0\r\n\r\n")),
        ("a sign", format!("+{size}\r\n{body}\r\n0\r\n\r\n")),
        ("a size that overflows", format!("1000000000000000{size}\r\n{body}\r\n0\r\n\r\n")),
        ("data longer than the size", format!("5\r\n{body}\r\n0\r\n\r\n")),
        ("a bare line feed in an extension", format!("{size};a\n\r\n{body}\r\n0\r\n\r\n")),
    ] {
        refused(&instance, what, chunked, &format!("{framed}{SMUGGLED}")).await;
    }
    let length = body.len();
    for (what, headers) in [
        ("two lengths", format!("Content-Length: {length}\r\nContent-Length: {}\r\n", length + 1)),
        ("a list of lengths", format!("Content-Length: {length}, {}\r\n", length + 1)),
        ("a signed length", format!("Content-Length: +{length}\r\n")),
        ("a hexadecimal length", format!("Content-Length: 0x{length:x}\r\n")),
        ("a negative length", "Content-Length: -1\r\n".to_owned()),
        ("a folded header", format!("X-Other: a\r\n b\r\nContent-Length: {length}\r\n")),
        ("a header without a name", format!(": a\r\nContent-Length: {length}\r\n")),
        ("a control in a header", format!("X-Other: a\u{0}b\r\nContent-Length: {length}\r\n")),
    ] {
        refused(&instance, what, &headers, &format!("{body}{SMUGGLED}")).await;
    }
}

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

#[tokio::test]
async fn a_header_that_decides_stands_once() {
    let instance = with_mounts().await;
    let root = &instance.root;
    for header in [
        "X-Vault-Token: other".to_owned(),
        format!("X-Vault-Token: {root}"),
        "X-Vault-Namespace: root\r\nX-Vault-Namespace: other".to_owned(),
        "X-Vault-Wrap-TTL: 60\r\nx-vault-wrap-ttl: 0".to_owned(),
        "Host: other".to_owned(),
        format!("Authorization: Bearer {root}\r\nAuthorization: Bearer other"),
        "Content-Type: application/json\r\nContent-Type: application/merge-patch+json".to_owned(),
    ] {
        for order in
            [format!("X-Vault-Token: {root}\r\n{header}\r\n"), format!("{header}\r\nX-Vault-Token: {root}\r\n")]
        {
            let bytes = format!("GET /v1/sys/mounts HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{order}\r\n");
            let answer = raw::send(&instance, bytes.as_bytes()).await;
            assert_eq!(answer.status, 400, "{header:?}: {answer:?}");
            assert!(!answer.body.contains(root.as_str()) && !answer.body.contains("other"), "{answer:?}");
        }
    }
}

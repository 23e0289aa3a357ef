#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::os::unix::fs::PermissionsExt as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::response::IntoResponse as _;
use http::{Request, StatusCode};
use turnlock_core::Protected;

use super::{Call, Client, ClientConfig, ClientError};
use crate::certified::Certified;

fn answering(status: u16, body: &'static str) -> Client {
    let status = StatusCode::from_u16(status).unwrap();
    Client::local(Router::new().fallback(move || async move { (status, body) }))
}

/// Echoes method, target and the headers that a client sets.
fn echo() -> Router {
    Router::new().fallback(|request: Request<axum::body::Body>| async move {
        let header = |name: &str| request.headers().get(name).map_or("", |value| value.to_str().unwrap()).to_owned();
        serde_json::json!({ "data": {
            "method": request.method().as_str(),
            "target": request.uri().path_and_query().unwrap().as_str(),
            "token": header("x-vault-token"),
            "namespace": header("x-vault-namespace"),
            "wrap": header("x-vault-wrap-ttl"),
        }})
        .to_string()
    })
}

/// Answers one request, so that nothing listens afterwards.
async fn serve_once(listener: tokio::net::TcpListener, router: Router) {
    let (stream, _) = listener.accept().await.unwrap();
    answer(stream, router).await;
}

async fn answer(mut stream: impl tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin, router: Router) {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let mut request = vec![0; 4096];
    let read = stream.read(&mut request).await.unwrap();
    let line = String::from_utf8_lossy(request.get(..read).unwrap()).lines().next().unwrap().to_owned();
    let uri = line.split(' ').nth(1).unwrap().to_owned();
    let response =
        tower::ServiceExt::oneshot(router, Request::get(uri).body(axum::body::Body::empty()).unwrap()).await.unwrap();
    let body = axum::body::to_bytes(response.into_body(), 65536).await.unwrap();
    let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len());
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(&body).await.unwrap();
    stream.shutdown().await.unwrap();
}

#[tokio::test]
async fn segments_are_encoded_and_headers_are_set() {
    let client = Client::local(echo()).with_token(Protected::copy_of(b"tlk_canary_token")).with_namespace("team");
    let reply = client.send(Call::list("secret/metadata/a b/ä?#%").wrap_ttl("60")).await.unwrap();
    let data: serde_json::Value = reply.data_as().unwrap();
    assert_eq!(data["target"], "/v1/secret/metadata/a%20b/%C3%A4%3F%23%25?list=true");
    assert_eq!((&data["method"], &data["token"]), (&"GET".into(), &"tlk_canary_token".into()));
    assert_eq!((&data["namespace"], &data["wrap"]), (&"team".into(), &"60".into()));
}

#[tokio::test]
async fn paths_that_a_url_parser_would_change_are_refused() {
    let client = Client::local(echo());
    for path in ["secret/../sys", "secret/./a", "secret//a", "..", "//secret"] {
        assert!(matches!(client.read(path).await, Err(ClientError::Path)), "{path}");
    }
    assert!(client.read("secret/folder/").await.is_ok());
}

#[tokio::test]
async fn statuses_become_errors_that_do_not_repeat_the_token() {
    let token = Protected::copy_of(b"tlk_canary_echoed");
    let client = answering(403, r#"{"errors":["bad token tlk_canary_echoed"]}"#).with_token(token);
    let error = client.read("secret/a").await.unwrap_err();
    assert!(matches!(&error, ClientError::Denied { .. }));
    assert!(!format!("{error} {error:?}").contains("canary"));
    assert!(matches!(answering(404, r#"{"errors":[]}"#).read("a").await, Err(ClientError::NotFound { .. })));
    let sealed = answering(503, r#"{"errors":["Vault is sealed"]}"#).read("a").await.unwrap_err();
    assert!(sealed.hint().unwrap().contains("unseal"));
    let anonymous = answering(403, r#"{"errors":["permission denied"]}"#).read("a").await.unwrap_err();
    assert!(anonymous.hint().unwrap().contains("turnlock login"));
    let opened = answering(400, r#"{"errors":["wrapping token is not valid or does not exist"]}"#).read("a").await;
    assert!(opened.unwrap_err().hint().unwrap().contains("once"));
    assert!(answering(404, r#"{"errors":[]}"#).list("a").await.unwrap().is_empty());
}

#[tokio::test]
async fn a_reply_that_does_not_end_is_cut_off() {
    let client = answering(200, "0123456789");
    let outcome = client.send(Call::get("a").limit_bytes(9)).await;
    assert!(matches!(outcome, Err(ClientError::TooLarge { limit_bytes: 9 })));
}

#[tokio::test]
async fn a_write_that_may_have_happened_is_not_repeated() {
    let calls = Arc::new(AtomicUsize::new(0));
    let counter = calls.clone();
    let router = Router::new().fallback(move |request: Request<axum::body::Body>| {
        let counter = counter.clone();
        async move {
            let before = counter.fetch_add(1, Ordering::SeqCst);
            let status = if before == 0 { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK };
            drop(request);
            (status, [("retry-after", "0")], "{}").into_response()
        }
    });
    let client = Client::local(router);
    assert!(client.write("a", &serde_json::json!({})).await.is_err());
    assert_eq!(calls.swap(0, Ordering::SeqCst), 1);
    assert!(client.read("a").await.is_ok());
    assert_eq!(calls.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn speaks_over_tcp_and_says_when_nobody_listens() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let server = tokio::spawn(serve_once(listener, echo()));
    let client = Client::new(ClientConfig::new(&address)).unwrap();
    let reply = client.read("secret/a b").await.unwrap();
    assert_eq!(reply.data_as::<serde_json::Value>().unwrap()["target"], "/v1/secret/a%20b");
    server.await.unwrap();
    assert!(matches!(client.read("secret/a").await, Err(ClientError::Unreachable { timeout: false, .. })));
}

/// Each of the two has a hint that names the other scheme.
#[tokio::test]
async fn the_wrong_scheme_for_a_port_is_told() {
    let service = Certified::listen().await;
    let mut config = ClientConfig::new(service.address.replace("https:", "http:"));
    let server = tokio::spawn(async move {
        assert!(service.accept().await.is_err());
        // And one that only closes, as others do.
        drop(service.connection().await);
        let mut clear = service.connection().await;
        tokio::io::AsyncWriteExt::write_all(&mut clear, b"HTTP/1.1 400 Bad Request\r\n\r\n").await.unwrap();
    });
    for _ in 0..2 {
        let client = Client::new(ClientConfig { retries: 0, ..ClientConfig::new(&config.address) }).unwrap();
        let error = client.read("secret/a").await.unwrap_err();
        assert!(matches!(error, ClientError::NoHttp), "{error:?}");
        assert!(error.hint().unwrap().contains("https://"));
    }
    config.retries = 0;
    config.address = config.address.replace("http:", "https:");
    let error = Client::new(config).unwrap().read("secret/a").await.unwrap_err();
    assert!(matches!(error, ClientError::Tls { .. }), "{error:?}");
    assert!(error.hint().unwrap().contains("http://"));
    server.await.unwrap();
}

#[tokio::test]
async fn speaks_over_a_unix_socket() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket");
    let listener = tokio::net::UnixListener::bind(&path).unwrap();
    let server = tokio::spawn(async move { answer(listener.accept().await.unwrap().0, echo()).await });
    let client = Client::new(ClientConfig::new(format!("unix://{}", path.display()))).unwrap();
    assert!(client.read("secret/a").await.is_ok());
    server.await.unwrap();
}

#[tokio::test]
async fn a_certificate_is_trusted_through_its_file_and_not_without() {
    let service = Certified::listen().await;
    let (mut config, pem) = (ClientConfig::new(&service.address), service.pem.clone());
    config.retries = 0;
    let server = tokio::spawn(async move {
        assert!(service.accept().await.is_err());
        answer(service.accept().await.unwrap(), echo()).await;
    });
    let folder = tempfile::tempdir().unwrap();
    let ca_file = folder.path().join("ca.pem");
    std::fs::write(&ca_file, pem).unwrap();
    let trusting = ClientConfig { ca_file: Some(ca_file), ..ClientConfig::new(&config.address) };
    let distrust = Client::new(config).unwrap().read("secret/a").await;
    assert!(matches!(distrust, Err(ClientError::Tls { .. })), "{distrust:?}");
    assert!(Client::new(trusting).unwrap().read("secret/a").await.is_ok());
    server.await.unwrap();
}

#[test]
fn a_timeout_is_a_duration_as_elsewhere_and_nothing_else_is_passed_over() {
    let timeout = |text: &'static str| {
        ClientConfig::from_env_like(|name| (name == "VAULT_CLIENT_TIMEOUT").then(|| text.to_owned()))
            .map(|config| config.timeout.as_secs())
    };
    for (text, seconds) in [("30", 30), ("90s", 90), ("1m30s", 90), ("", 60)] {
        assert_eq!(timeout(text).unwrap(), seconds, "{text}");
    }
    for text in ["soon", "0", "-1"] {
        assert!(matches!(timeout(text), Err(ClientError::Timeout)), "{text}");
    }
}

#[test]
fn own_variables_win_over_those_of_vault_and_empty_ones_do_not_count() {
    let config = ClientConfig::from_env_like(|name| match name {
        "VAULT_ADDR" => Some("http://127.0.0.1:1".to_owned()),
        "TURNLOCK_ADDR" => Some("unix:///run/turnlock.sock".to_owned()),
        "TURNLOCK_TOKEN" => Some(String::new()),
        "VAULT_TOKEN" => Some("tlk_canary_env".to_owned()),
        _ => None,
    })
    .unwrap();
    assert_eq!(config.address, "unix:///run/turnlock.sock");
    assert!(config.token.as_ref().unwrap().same_as(b"tlk_canary_env"));
    assert!(!format!("{config:?}").contains("canary"));
}

#[test]
fn a_token_file_that_others_can_read_is_refused() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join(".vault-token");
    std::fs::write(&file, "tlk_canary_file\n").unwrap();
    let load = || {
        let home = home.path().to_str().unwrap().to_owned();
        ClientConfig::from_env_like(move |name| (name == "HOME").then(|| home.clone()))
    };
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    assert!(load().unwrap().token.unwrap().same_as(b"tlk_canary_file"));
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o640)).unwrap();
    assert!(matches!(load(), Err(ClientError::TokenFile { .. })));
}

#[test]
fn addresses_of_other_schemes_or_with_credentials_are_refused() {
    for address in ["", "127.0.0.1:8200", "ftp://host", "https://", "unix://relative", "https://user:pw@host"] {
        assert!(matches!(Client::new(ClientConfig::new(address)), Err(ClientError::Address)), "{address}");
    }
}

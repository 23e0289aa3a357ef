//! Who listens on the network reads nothing, and who speaks an old or plain tongue is not answered.

use std::sync::{Arc, Mutex};

use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::{done, mount};
use crate::harness::{Api, Instance, PATIENCE};
use crate::raw;

/// A server over TLS, and its certificate.
async fn over_tls() -> (Instance, String) {
    let pair = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    let certificate = pair.cert.pem();
    (Instance::start_tls(&certificate, &pair.signing_key.serialize_pem()).await, certificate)
}

/// Passes connections on to `port` and keeps what went by in both directions.
async fn listen_in(port: u16) -> (u16, Arc<Mutex<Vec<u8>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let own = listener.local_addr().unwrap().port();
    let heard: Arc<Mutex<Vec<u8>>> = Arc::default();
    let keeps = heard.clone();
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let server = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
            let (from_client, to_client) = client.into_split();
            let (from_server, to_server) = server.into_split();
            for (mut from, mut to) in [(from_client, to_server), (from_server, to_client)] {
                let keeps = keeps.clone();
                tokio::spawn(async move {
                    let mut block = vec![0; 4096];
                    while let Ok(count @ 1..) = from.read(&mut block).await {
                        keeps.lock().unwrap().extend(&block[..count]);
                        if to.write_all(&block[..count]).await.is_err() {
                            break;
                        }
                    }
                });
            }
        }
    });
    (own, heard)
}

#[tokio::test]
async fn nothing_that_is_said_can_be_read_on_the_way() {
    let (instance, certificate) = over_tls().await;
    mount(&instance, "secret", json!({"type": "kv", "options": {"version": "2"}})).await;
    let (port, heard) = listen_in(instance.port).await;
    let api = Api::new(&format!("https://127.0.0.1:{port}"), &instance.root, Some(&certificate));
    done(api.put("secret/data/canary-name", json!({"data": {"value": "tlk_canary_on_the_wire"}})).await);
    assert_eq!(api.get("secret/data/canary-name").await.1["data"]["data"]["value"], json!("tlk_canary_on_the_wire"));
    let heard = heard.lock().unwrap();
    assert!(heard.len() > 1000, "the listener heard {} bytes", heard.len());
    for secret in ["tlk_canary_on_the_wire", "canary-name", instance.root.as_str(), "X-Vault-Token", "x-vault-token"] {
        assert!(memchr::memmem::find(&heard, secret.as_bytes()).is_none(), "{secret} crossed the wire in the clear");
    }
}

#[tokio::test]
async fn plain_http_and_old_versions_are_refused() {
    let (instance, _) = over_tls().await;
    let answer = raw::call(&instance, "GET", "/v1/sys/mounts", &instance.root, "").await;
    assert_eq!(answer.status, 0, "plain HTTP was answered: {answer:?}");
    // The hello of a client that speaks SSL 3, TLS 1.0 or TLS 1.1 at most.
    for minor in 0..=2 {
        let mut hello = vec![3, minor];
        hello.extend([7; 32]);
        // No session; two suites of that time; no compression.
        hello.extend([0, 0, 4, 0xc0, 0x13, 0x00, 0x2f, 1, 0]);
        let mut bytes = vec![0x16, 3, minor.min(1), 0, hello.len() as u8 + 4, 1, 0, 0, hello.len() as u8];
        bytes.extend(hello);
        let mut socket = TcpStream::connect(("127.0.0.1", instance.port)).await.unwrap();
        socket.write_all(&bytes).await.unwrap();
        let mut answer = Vec::new();
        let closed = tokio::time::timeout(PATIENCE, socket.read_to_end(&mut answer)).await;
        assert!(closed.is_ok(), "version 3.{minor} is not refused");
        // An alert, or nothing; never a hello.
        assert!(matches!(answer.first(), None | Some(0x15)), "version 3.{minor} is answered with {answer:?}");
    }
}

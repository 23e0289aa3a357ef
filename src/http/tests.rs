#![allow(clippy::unwrap_used)]

use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use super::Api;
use super::limits::Limits;
use super::listener::Listener;
use crate::audit::Audit;
use crate::barrier::Barrier;
use crate::clock::SystemClock;
use crate::server::{Server, Settings};
use crate::store::MemoryStore;

/// A server that is not initialized.
fn server() -> Arc<Server> {
    let clock = Arc::new(SystemClock);
    let barrier = Barrier::new(Arc::new(MemoryStore::new()), clock.clone());
    Server::new(barrier, Audit::dangerous_without_device(), clock, Settings::default())
}

/// Sends `raw` to a new server.
async fn exchange(limits: Limits, raw: &[u8]) -> String {
    exchange_with(server(), limits, raw).await
}

/// Sends `raw` on one connection and answers all that comes back until the server closes or falls silent.
pub(crate) async fn exchange_with(server: Arc<Server>, limits: Limits, raw: &[u8]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = watch::channel(false);
    let serving = tokio::spawn(Listener::Tcp(listener, None).run(
        Api::new(server, limits.clone()),
        limits,
        stopped,
        Duration::from_secs(1),
    ));
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(raw).await.unwrap();
    let mut answer = Vec::new();
    let _ = tokio::time::timeout(Duration::from_secs(2), stream.read_to_end(&mut answer)).await;
    drop(stream);
    stop.send(true).unwrap();
    serving.await.unwrap();
    String::from_utf8_lossy(&answer).into_owned()
}

async fn statuses(raw: &str) -> Vec<String> {
    let answer =
        exchange(Limits { head_timeout: Duration::from_millis(500), ..Limits::default() }, raw.as_bytes()).await;
    answer.split("HTTP/1.1 ").skip(1).map(|part| part.chars().take(3).collect()).collect()
}

#[tokio::test]
async fn a_health_check_is_answered_while_uninitialized() {
    let answer =
        exchange(Limits::default(), b"GET /v1/sys/health HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 501"), "{answer}");
    assert!(answer.contains("cache-control: no-store") && answer.contains("\"initialized\":false"), "{answer}");
}

#[tokio::test]
async fn nothing_behind_a_chunked_body_is_taken_for_a_request() {
    let smuggled = "GET /v1/sys/health HTTP/1.1\r\nhost: a\r\n\r\n";
    for head in ["transfer-encoding: chunked", "transfer-encoding: chunked\r\ncontent-length: 4"] {
        let raw = format!("POST /v1/sys/unseal HTTP/1.1\r\nhost: a\r\n{head}\r\n\r\n2\r\n{{}}\r\n0\r\n\r\n{smuggled}");
        assert_eq!(statuses(&raw).await.len(), 1, "{head}");
    }
    let raw = format!(
        "POST /v1/sys/unseal HTTP/1.1\r\nhost: a\r\ncontent-length: 4\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{{}}\r\n0\r\n\r\n{smuggled}"
    );
    assert_eq!(statuses(&raw).await.first().map(String::as_str), Some("400"));
}

#[tokio::test]
async fn lenient_framing_is_refused() {
    for raw in [
        "POST /v1/sys/unseal HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n2\n{}\r\n0\r\n\r\n",
        "POST /v1/sys/unseal HTTP/1.1\r\nhost: a\r\ntransfer-encoding:\r\n chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
        "POST /v1/sys/unseal HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\n{}",
        "POST /v1/sys/unseal HTTP/1.1\r\nhost: a\r\ncontent-length: +2\r\n\r\n{}",
    ] {
        assert!(statuses(raw).await.iter().all(|status| status == "400"), "{raw}");
    }
}

#[tokio::test]
async fn large_bodies_need_a_live_token_before_they_are_read() {
    for length in [17 << 10, 20 << 20] {
        let raw = format!("POST /v1/secret/x HTTP/1.1\r\nhost: a\r\ncontent-length: {length}\r\n\r\n");
        assert_eq!(statuses(&raw).await, ["403"]);
    }
    let raw = format!("POST /v1/secret/x HTTP/1.1\r\nhost: a\r\ncontent-length: {}\r\n\r\n", 40 << 20);
    assert_eq!(statuses(&raw).await, ["413"]);
}

#[tokio::test]
async fn bad_requests_are_refused_by_status() {
    let long = "a".repeat(40_000);
    for (line, status) in [
        ("GET /v1/a/../b", "400"),
        ("GET /v1/a//b", "400"),
        ("GET /v1/a?list=perhaps", "400"),
        ("GET /nowhere", "404"),
        ("BREW /v1/a", "405"),
        ("PATCH /v1/a", "415"),
        (&*format!("GET /v1/{}", "a".repeat(5000)), "400"),
        (&*format!("GET /v1/a HTTP/1.1\r\nx-long: {long}\r\nx:"), "431"),
    ] {
        assert_eq!(
            statuses(&format!("{line} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")).await,
            [status],
            "{line:.40}"
        );
    }
}

#[tokio::test]
async fn a_request_of_http_1_1_names_its_host() {
    assert_eq!(statuses("GET /v1/sys/leader HTTP/1.1\r\nconnection: close\r\n\r\n").await, ["400"]);
    assert_eq!(statuses("GET /v1/sys/leader HTTP/1.1\r\nhost:\r\nconnection: close\r\n\r\n").await, ["200"]);
    let before_hosts = exchange(Limits::default(), b"GET /v1/sys/leader HTTP/1.0\r\n\r\n").await;
    assert!(before_hosts.starts_with("HTTP/1.0 200"), "{before_hosts}");
}

#[tokio::test]
async fn a_head_that_never_ends_is_cut_off() {
    let started = tokio::time::Instant::now();
    statuses("GET /v1/sys/health HTTP/1.1\r\nx-slow: ").await;
    assert!(started.elapsed() < Duration::from_secs(2));
}

#[tokio::test]
async fn of_answers_that_a_client_does_not_take_few_lie_in_the_kernel() {
    let (stop, stopped) = watch::channel(false);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap().into_std().unwrap();
    let seen = listener.try_clone().unwrap();
    let limits = Limits::default();
    // Before it accepts; what it sets is inherited by connections.
    stop.send(true).unwrap();
    let listener = Listener::Tcp(TcpListener::from_std(listener).unwrap(), None);
    listener.run(Api::new(server(), limits.clone()), limits, stopped, Duration::ZERO).await;
    let unsent = socket2::SockRef::from(&seen).tcp_notsent_lowat().unwrap();
    assert!(unsent > 0 && unsent <= 64 << 10, "{unsent} bytes");
}

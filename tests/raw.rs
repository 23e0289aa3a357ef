//! HTTP as an attacker writes it: bytes on a socket, without a library that would put them right first.

use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::harness::{Instance, PATIENCE};

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    /// 0 when the connection ended without one.
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Answer {
    /// The body as JSON, or null.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or(Value::Null)
    }

    /// Whether the request was refused: by an answer that says so, or by the end of the connection.
    pub(crate) fn refused(&self) -> bool {
        self.status == 0 || (400..500).contains(&self.status)
    }
}

/// One request line for `target` exactly as written, with the headers of a well-behaved client and a body of `body`.
pub(crate) fn request(method: &str, target: &str, token: &str, body: &str) -> Vec<u8> {
    let mut text = format!("{method} {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n");
    if !token.is_empty() {
        text.push_str(&format!("X-Vault-Token: {token}\r\n"));
    }
    if !body.is_empty() {
        let kind = if method == "PATCH" { "application/merge-patch+json" } else { "application/json" };
        text.push_str(&format!("Content-Type: {kind}\r\nContent-Length: {}\r\n", body.len()));
    }
    text.push_str("\r\n");
    text.push_str(body);
    text.into_bytes()
}

/// Sends `bytes` and reads until the server closes the connection.
pub(crate) async fn send(instance: &Instance, bytes: &[u8]) -> Answer {
    let exchange = async {
        let mut socket = TcpStream::connect(("127.0.0.1", instance.port)).await.unwrap();
        // The server may answer and close before it has read everything; its answer counts all the same.
        let _ = socket.write_all(bytes).await;
        let mut answer = Vec::new();
        let _ = socket.read_to_end(&mut answer).await;
        answer
    };
    let answer = tokio::time::timeout(PATIENCE, exchange).await.expect("the server answers or closes in time");
    parse(&answer)
}

/// [`send`] of [`request`].
pub(crate) async fn call(instance: &Instance, method: &str, target: &str, token: &str, body: &str) -> Answer {
    send(instance, &request(method, target, token, body)).await
}

/// Waits until the server closes `socket`, reading what it says; `None` when it has not within `patience`.
pub(crate) async fn until_closed(socket: &mut TcpStream, patience: Duration) -> Option<Answer> {
    let mut answer = Vec::new();
    tokio::time::timeout(patience, socket.read_to_end(&mut answer)).await.ok().map(|_| parse(&answer))
}

/// Reads one answer of a connection that goes on; `None` when there is no whole one within `patience`.
pub(crate) async fn answer(socket: &mut TcpStream, patience: Duration) -> Option<Answer> {
    let read = async {
        let mut text = Vec::new();
        loop {
            let answer = parse(&text);
            let length = answer
                .head
                .lines()
                .find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok());
            if length.is_some_and(|length: usize| answer.body.len() >= length) {
                return Some(answer);
            }
            if socket.read_buf(&mut text).await.ok()? == 0 {
                return None;
            }
        }
    };
    tokio::time::timeout(patience, read).await.ok()?
}

fn parse(answer: &[u8]) -> Answer {
    let text = String::from_utf8_lossy(answer).into_owned();
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    let status = head.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or(0);
    let chunked = head.to_ascii_lowercase().contains("transfer-encoding: chunked");
    let body = if chunked { unchunk(body) } else { body.to_owned() };
    Answer { status, head: head.to_owned(), body }
}

fn unchunk(mut body: &str) -> String {
    let mut text = String::new();
    while let Some((size, rest)) = body.split_once("\r\n") {
        let Ok(size @ 1..) = usize::from_str_radix(size.trim(), 16) else { break };
        text.push_str(rest.get(..size).unwrap_or(rest));
        body = rest.get(size + 2..).unwrap_or_default();
    }
    text
}

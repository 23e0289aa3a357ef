//! A POST of JSON that the receiver can verify: `Turnlock-Signature: t=<unix seconds>,v1=<hex>`, where `v1` is the
//! HMAC-SHA-256 over the decimal timestamp, a full stop, and the body as it was sent.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use ring::hmac;
use serde::{Deserialize, Serialize};
use turnlock_core::consumer::address;
use zeroize::Zeroizing;

use super::authority::authorities;
use super::{Acknowledgement, Payload, PushError};
use crate::client::ClientError;

/// Name of the header.
pub const SIGNATURE_HEADER: &str = "Turnlock-Signature";

/// Most bytes of an answer that are read.
const ANSWER_LIMIT: usize = 64 * 1024;

/// For the whole exchange.
pub(super) const TIMEOUT: Duration = Duration::from_secs(10);

/// An endpoint.
pub(super) struct Webhook<'a> {
    pub(super) url: &'a str,
    pub(super) signing_key: &'a [u8],
    pub(super) ca_file: Option<&'a str>,
}

/// The body, in the order of its members.
#[derive(Serialize)]
struct Message<'a> {
    secret: &'a str,
    field: &'a str,
    value: &'a str,
    version: u64,
    attempt: &'a str,
}

/// What an endpoint may say beyond its status.
#[derive(Deserialize)]
struct Answer {
    acknowledged_version: u64,
}

/// Statuses that a proxy gives for an endpoint that is not there.
const ABSENT: [u16; 3] = [502, 503, 504];

impl Webhook<'_> {
    /// Whether somebody answers there, over TLS that proves who it is. Asks with OPTIONS, which changes nothing and carries
    /// nothing; whatever is answered to it, a POST may be understood.
    pub(super) async fn reach(&self) -> Result<(), PushError> {
        let (client, url) = self.client().await?;
        let response = client.request(reqwest::Method::OPTIONS, url).send().await.map_err(failed)?;
        match response.status().as_u16() {
            status if ABSENT.contains(&status) => Err(PushError::Refused { status }),
            _ => Ok(()),
        }
    }

    pub(super) async fn push(&self, payload: &Payload, now: i64) -> Result<Acknowledgement, PushError> {
        let (client, url) = self.client().await?;
        let message = Message {
            secret: &payload.secret,
            field: &payload.field,
            value: payload.value.expose_str().ok_or(PushError::Definition { member: "value" })?,
            version: payload.version,
            attempt: &payload.attempt,
        };
        let mut body = Zeroizing::new(Vec::with_capacity(payload.value.len() * 2 + 1024));
        serde_json::to_writer(&mut *body, &message).map_err(|_| PushError::Definition { member: "value" })?;
        let request = client
            .post(url)
            .header("content-type", "application/json")
            .header(SIGNATURE_HEADER, sign(self.signing_key, now, &body))
            .body(Bytes::from_owner(body));
        let mut response = request.send().await.map_err(failed)?;
        if !response.status().is_success() {
            return Err(PushError::Refused { status: response.status().as_u16() });
        }
        let mut answer = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(failed)? {
            if answer.len() + chunk.len() > ANSWER_LIMIT {
                return Err(PushError::Malformed);
            }
            answer.extend_from_slice(&chunk);
        }
        // A success is enough; but who names a version must name this one.
        match serde_json::from_slice::<Answer>(&answer) {
            Ok(answer) if answer.acknowledged_version != payload.version => Err(PushError::Malformed),
            _ => Ok(Acknowledgement { version: payload.version }),
        }
    }

    /// A client that connects to the addresses that were judged and to no others: asking for the name again could give some.
    async fn client(&self) -> Result<(reqwest::Client, reqwest::Url), PushError> {
        let url = address::webhook(self.url).map_err(|reason| PushError::Address { reason })?;
        let addresses = allowed_addresses(&url).await?;
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut builder = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .timeout(TIMEOUT)
            .resolve_to_addrs(url.host_str().unwrap_or_default(), &addresses);
        if let Some(ca_file) = self.ca_file {
            builder = builder.tls_certs_only(authorities(ca_file).await?);
        }
        Ok((builder.build().map_err(|_| PushError::Authority)?, url))
    }
}

/// What an exchange ended with instead of an answer.
fn failed(error: reqwest::Error) -> PushError {
    match ClientError::of_transport(error, "") {
        ClientError::Tls { reason, .. } => PushError::Certificate(reason),
        _ => PushError::Unreachable,
    }
}

/// The addresses of `url`'s host, if something may be sent to each of them.
async fn allowed_addresses(url: &reqwest::Url) -> Result<Vec<SocketAddr>, PushError> {
    // A resolver takes an address without brackets.
    let host = url.host_str().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
    let found = tokio::net::lookup_host((host, url.port_or_known_default().unwrap_or_default()));
    let found = tokio::time::timeout(TIMEOUT, found).await;
    let addresses: Vec<_> = found.map_err(|_| PushError::Unreachable)?.map_err(|_| PushError::Name)?.collect();
    for found in &addresses {
        address::allow(url, found.ip()).map_err(|reason| PushError::Address { reason })?;
    }
    if addresses.is_empty() { Err(PushError::Name) } else { Ok(addresses) }
}

/// The header's value for `body`, sent at `now` (seconds since 1970).
pub fn sign(key: &[u8], now: i64, body: &[u8]) -> String {
    let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, key));
    context.update(format!("{now}.").as_bytes());
    context.update(body);
    format!("t={now},v1={}", hex::encode(context.sign()))
}

/// Whether `header` is the signature of `body` by `key`, made at most `tolerance` from `now`: what a consumer does
/// before it believes a message. The time bound keeps an old message from being sent again by somebody else.
///
/// ```
/// use std::time::Duration;
/// use turnlock_agent::push::webhook::{sign, verify};
///
/// let (key, body, now) = (b"shared key", br#"{"version":7}"#, 1_700_000_000);
/// let header = sign(key, now, body);
/// assert!(verify(key, &header, body, now + 5, Duration::from_secs(300)));
/// assert!(!verify(key, &header, br#"{"version":8}"#, now + 5, Duration::from_secs(300)));
/// ```
pub fn verify(key: &[u8], header: &str, body: &[u8], now: i64, tolerance: Duration) -> bool {
    let (mut made, mut signature) = (None, None);
    for part in header.split(',') {
        match part.split_once('=') {
            Some(("t", text)) => made = text.parse::<i64>().ok(),
            Some(("v1", text)) => signature = hex::decode(text).ok(),
            _ => {}
        }
    }
    let (Some(made), Some(signature)) = (made, signature) else { return false };
    let key = hmac::Key::new(hmac::HMAC_SHA256, key);
    let mut signed = Zeroizing::new(format!("{made}.").into_bytes());
    signed.reserve_exact(body.len());
    signed.extend_from_slice(body);
    now.abs_diff(made) <= tolerance.as_secs() && hmac::verify(&key, &signed, &signature).is_ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::time::Duration;

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use turnlock_core::Protected;

    use super::super::{Payload, PushError};
    use super::{Webhook, allowed_addresses, sign, verify};
    use crate::certified::Certified;

    const KEY: &[u8] = b"tlk_canary_signing_key";

    /// Answers one request with `answer` and returns what was sent.
    async fn endpoint(answer: String) -> (String, tokio::task::JoinHandle<String>) {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/hook", listener.local_addr().unwrap());
        let serving = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = Vec::new();
            while !request.ends_with(b"}") {
                let mut buffer = [0; 4096];
                let length = stream.read(&mut buffer).await.unwrap();
                request.extend_from_slice(&buffer[..length]);
            }
            let _ = stream.write_all(answer.as_bytes()).await;
            String::from_utf8(request).unwrap()
        });
        (url, serving)
    }

    async fn pushed(answer: String) -> (Result<u64, PushError>, String) {
        let (url, serving) = endpoint(answer).await;
        let payload = Payload {
            secret: "secret/app".to_owned(),
            field: "key".to_owned(),
            value: Protected::copy_of(b"tlk_canary_pushed"),
            version: 4,
            attempt: "a1".to_owned(),
        };
        let hook = Webhook { url: &url, signing_key: KEY, ca_file: None };
        let outcome = hook.push(&payload, 1_000).await.map(|acknowledgement| acknowledgement.version);
        (outcome, serving.await.unwrap())
    }

    #[tokio::test]
    async fn the_message_verifies_and_a_success_acknowledges() {
        let (outcome, request) = pushed("HTTP/1.1 204 No Content\r\n\r\n".to_owned()).await;
        assert_eq!(outcome.unwrap(), 4);
        let (head, body) = request.split_once("\r\n\r\n").unwrap();
        let line = head.lines().find(|line| line.to_lowercase().starts_with("turnlock-signature:")).unwrap();
        let header = line.split_once(": ").unwrap().1;
        assert!(verify(KEY, header, body.as_bytes(), 1_010, Duration::from_secs(60)));
        assert!(body.contains("tlk_canary_pushed") && body.contains("\"version\":4"));
    }

    #[tokio::test]
    async fn an_endpoint_is_there_when_it_answers_whatever_that_is_except_that_it_is_not() {
        let reach = async |answer: &str| {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            let url = format!("http://{}/hook", listener.local_addr().unwrap());
            let answer = format!("HTTP/1.1 {answer} X\r\ncontent-length: 0\r\n\r\n");
            let serving = tokio::spawn(async move {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut request = [0; 4096];
                let length = stream.read(&mut request).await.unwrap();
                stream.write_all(answer.as_bytes()).await.unwrap();
                String::from_utf8_lossy(&request[..length]).into_owned()
            });
            let found = Webhook { url: &url, signing_key: KEY, ca_file: None }.reach().await;
            let request = serving.await.unwrap().to_lowercase();
            assert!(request.starts_with("options /hook ") && !request.contains("turnlock-signature"), "{request}");
            found
        };
        for answer in ["200", "204", "405", "501", "500", "401"] {
            reach(answer).await.unwrap();
        }
        assert!(matches!(reach("503").await, Err(PushError::Refused { status: 503 })));
        let gone = Webhook { url: "http://127.0.0.1:1/", signing_key: KEY, ca_file: None };
        assert!(matches!(gone.reach().await, Err(PushError::Unreachable)));
        let unsigned = Webhook { url: "https://127.0.0.1:1/", signing_key: KEY, ca_file: Some("/nowhere.pem") };
        assert!(matches!(unsigned.reach().await, Err(PushError::Authority)));
    }

    #[tokio::test]
    async fn a_service_that_cannot_prove_who_it_is_is_told_from_one_that_is_not_there() {
        let service = Certified::listen().await;
        let url = format!("{}/hook", service.address);
        let serving = tokio::spawn(async move { service.accept().await.is_err() });
        let found = Webhook { url: &url, signing_key: KEY, ca_file: None }.reach().await;
        assert!(matches!(found, Err(PushError::Certificate(_))), "{found:?}");
        assert!(serving.await.unwrap());
        // Too long a label for any resolver to ask about.
        let url = format!("https://{}.test/", "a".repeat(64));
        let nowhere = Webhook { url: &url, signing_key: KEY, ca_file: None };
        assert!(matches!(nowhere.reach().await, Err(PushError::Name)));
    }

    #[tokio::test]
    async fn redirects_other_versions_and_endless_answers_do_not_acknowledge() {
        let (outcome, _) =
            pushed("HTTP/1.1 307 X\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n".to_owned()).await;
        assert!(matches!(outcome, Err(PushError::Refused { status: 307 })));
        let answer = r#"{"acknowledged_version":3}"#;
        let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", answer.len());
        assert!(matches!(pushed(head + answer).await.0, Err(PushError::Malformed)));
        let endless = format!("HTTP/1.1 200 OK\r\n\r\n{}", "x".repeat(70_000));
        assert!(matches!(pushed(endless).await.0, Err(PushError::Malformed)));
    }

    #[tokio::test]
    async fn addresses_where_machines_keep_credentials_are_refused() {
        for url in [
            "https://169.254.169.254/",
            "https://[::ffff:169.254.169.254]/",
            "https://[fd00:ec2::254]/",
            "https://0.0.0.0/",
            "http://192.0.2.1/",
            "file:///etc/passwd",
            "https://user:password@127.0.0.1/",
        ] {
            let outcome = Webhook { url, signing_key: KEY, ca_file: None }.client().await;
            assert!(matches!(outcome, Err(PushError::Address { .. })), "{url}");
            // What a name turns out to have is judged as well, whatever the text was.
            let resolved = allowed_addresses(&url.parse().unwrap()).await;
            let of_the_text = url.starts_with("file:") || url.contains('@');
            assert!(of_the_text || matches!(resolved, Err(PushError::Address { .. })), "{url}");
        }
        assert!(allowed_addresses(&"http://127.0.0.1:1/".parse().unwrap()).await.is_ok());
    }

    #[test]
    fn a_signature_is_bound_to_key_time_and_body() {
        let header = sign(KEY, 1_000, b"body");
        let minute = Duration::from_secs(60);
        assert!(verify(KEY, &header, b"body", 1_060, minute));
        assert!(!verify(KEY, &header, b"body", 1_061, minute));
        assert!(!verify(KEY, &header, b"other", 1_000, minute));
        assert!(!verify(b"other", &header, b"body", 1_000, minute));
        assert!(!verify(KEY, &header.replace("t=1000", "t=1001"), b"body", 1_000, minute));
        assert!(!verify(KEY, "v1=,t=", b"body", 1_000, minute));
    }
}

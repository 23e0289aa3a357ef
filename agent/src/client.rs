//! The API client: one request, one reply, over TCP, TLS, a Unix socket or straight into a router of this process.
//! What is asked is [`call`], where address and token come from is [`config`]; what went wrong is [`error`], what came
//! back is [`reply`].

mod call;
mod config;
mod error;
mod handshake;
mod one_line;
mod reply;

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use http_body_util::BodyExt as _;
use serde::Serialize;
use tower::ServiceExt as _;
use turnlock_core::Protected;
use zeroize::Zeroizing;

pub use call::Call;
pub use config::ClientConfig;
pub use error::ClientError;
pub use one_line::one_line;
pub use reply::{Auth, Reply, WrapInfo};

/// Longest pause that a server may ask for before a repetition.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// How requests travel.
#[derive(Clone)]
enum Transport {
    Http { address: String, base: String, client: reqwest::Client },
    Local(axum::Router),
}

/// A client of one server, with one token. Cheap to clone; clones share connections.
#[derive(Clone)]
pub struct Client {
    transport: Transport,
    token: Option<Arc<Protected>>,
    namespace: Option<String>,
    timeout: Duration,
    retries: u32,
}

impl Client {
    /// A client as `config` describes it. Connects at the first request.
    ///
    /// Errors: [`ClientError::Address`]; [`ClientError::CaFile`].
    pub fn new(config: ClientConfig) -> Result<Self, ClientError> {
        // Refused only when a provider is installed already, and every part of turnlock installs this one.
        let _ = rustls::crypto::ring::default_provider().install_default();
        // Redirects are not followed: they would carry the token to wherever the answer points.
        let mut builder = reqwest::Client::builder()
            // A server closes what is idle after 30 s, and a caller that was busy for longer would not learn of it in time.
            .pool_idle_timeout(Duration::from_secs(10))
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .connect_timeout(config.timeout.min(Duration::from_secs(10)))
            .timeout(config.timeout);
        if let Some(ca_file) = &config.ca_file {
            let unusable = |source| ClientError::CaFile { path: ca_file.clone(), source };
            let pem = std::fs::read(ca_file).map_err(unusable)?;
            let roots = reqwest::Certificate::from_pem_bundle(&pem).map_err(|_| unusable(not_a_bundle()))?;
            if roots.is_empty() {
                return Err(unusable(not_a_bundle()));
            }
            builder = builder.tls_certs_only(roots);
        }
        let address = config.address.trim_end_matches('/');
        let base = match address.split_once("://") {
            Some(("unix", path)) if path.starts_with('/') => {
                builder = builder.unix_socket(std::path::PathBuf::from(path));
                "http://localhost".to_owned()
            }
            Some(("http" | "https", rest)) if !rest.is_empty() => address.to_owned(),
            _ => return Err(ClientError::Address),
        };
        let parsed = reqwest::Url::parse(&base).map_err(|_| ClientError::Address)?;
        if !parsed.username().is_empty() || parsed.password().is_some() || parsed.query().is_some() {
            return Err(ClientError::Address);
        }
        let client = builder.build().map_err(|_| ClientError::Address)?;
        Ok(Self {
            transport: Transport::Http { address: address.to_owned(), base, client },
            token: config.token.map(Arc::new),
            namespace: config.namespace,
            timeout: config.timeout,
            retries: config.retries,
        })
    }

    /// A client of `router`, in this process and without a socket. Goes through the same door as any other client.
    pub fn local(router: axum::Router) -> Self {
        Self {
            transport: Transport::Local(router),
            token: None,
            namespace: None,
            timeout: config::TIMEOUT,
            retries: config::RETRIES,
        }
    }

    /// The same client with another token.
    #[must_use]
    pub fn with_token(mut self, token: Protected) -> Self {
        self.token = Some(Arc::new(token));
        self
    }

    /// The same client without a token.
    #[must_use]
    pub fn without_token(mut self) -> Self {
        self.token = None;
        self
    }

    /// The same client in another namespace.
    #[must_use]
    pub fn with_namespace(mut self, namespace: impl Into<String>) -> Self {
        self.namespace = Some(namespace.into());
        self
    }

    /// Whether requests carry a token.
    pub fn has_token(&self) -> bool {
        self.token.is_some()
    }

    /// The token that requests carry.
    pub fn token(&self) -> Option<&Protected> {
        self.token.as_deref()
    }

    /// Reads `path`.
    pub async fn read(&self, path: &str) -> Result<Reply, ClientError> {
        self.send(Call::get(path)).await
    }

    /// Names below `path`; empty where there are none.
    pub async fn list(&self, path: &str) -> Result<Vec<String>, ClientError> {
        #[derive(serde::Deserialize)]
        struct Keys {
            keys: Vec<String>,
        }
        match self.send(Call::list(path)).await {
            Ok(reply) => Ok(reply.data_as::<Keys>()?.keys),
            Err(ClientError::NotFound { errors }) if errors.is_empty() => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }

    /// Writes `value` to `path`.
    pub async fn write(&self, path: &str, value: &impl Serialize) -> Result<Reply, ClientError> {
        self.send(Call::new(Method::POST, path).json(value)?).await
    }

    /// Merges `value` into what is at `path` (RFC 7386).
    pub async fn patch(&self, path: &str, value: &impl Serialize) -> Result<Reply, ClientError> {
        let call = Call::new(Method::PATCH, path).content_type("application/merge-patch+json");
        self.send(call.json(value)?).await
    }

    /// Deletes what is at `path`.
    pub async fn delete(&self, path: &str) -> Result<Reply, ClientError> {
        self.send(Call::new(Method::DELETE, path)).await
    }

    /// Sends `call` and demands success.
    pub async fn send(&self, call: Call) -> Result<Reply, ClientError> {
        let asked = call.path.clone();
        let reply = self.execute(call).await?;
        if reply.status().is_success() {
            return Ok(reply);
        }
        Err(self.failure_of(&reply, &asked))
    }

    /// The error that `reply` of [`Client::execute`] to a call of the path `asked` stands for.
    pub fn failure_of(&self, reply: &Reply, asked: &str) -> ClientError {
        ClientError::of(reply, asked, self.token.as_deref())
    }

    /// Sends `call` and returns whatever status came back: health and seal status speak by theirs, and a deleted
    /// version answers 404 with its metadata.
    ///
    /// Repeats a request that was certainly not carried out (412; 429 and, for reads, 503 with `Retry-After`) and
    /// reads that found no connection, a few times and with bounded pauses.
    pub async fn execute(&self, call: Call) -> Result<Reply, ClientError> {
        let target = call.target()?;
        let headers = self.headers(&call)?;
        let reading = matches!(call.method, Method::GET | Method::HEAD);
        // One owner that wipes the body when the last transport buffer lets go of it.
        let body = call.body.map(Bytes::from_owner).unwrap_or_default();
        let mut tries_left = self.retries;
        loop {
            let request = (call.method.clone(), target.as_str(), headers.clone(), body.clone());
            let outcome = self.exchange(request, call.limit_bytes).await;
            let pause = match &outcome {
                Ok((status, pause, _)) => match (*status, *pause) {
                    (StatusCode::PRECONDITION_FAILED, pause) => Some(pause.unwrap_or(Duration::from_millis(500))),
                    (StatusCode::TOO_MANY_REQUESTS, Some(pause)) => Some(pause),
                    (StatusCode::SERVICE_UNAVAILABLE, Some(pause)) if reading => Some(pause),
                    _ => None,
                },
                Err(ClientError::Unreachable { timeout: false, .. } | ClientError::NoHttp) if reading => {
                    Some(Duration::from_millis(100))
                }
                Err(_) => None,
            };
            match pause {
                Some(pause) if tries_left > 0 => {
                    tries_left -= 1;
                    tokio::time::sleep(pause.min(LONGEST_PAUSE)).await;
                }
                _ => return outcome.map(|(status, _, body)| Reply::new(status, body)),
            }
        }
    }

    fn headers(&self, call: &Call) -> Result<HeaderMap, ClientError> {
        let mut headers = HeaderMap::new();
        headers.insert(HeaderName::from_static("x-vault-request"), HeaderValue::from_static("true"));
        headers.insert(
            http::header::USER_AGENT,
            HeaderValue::from_static(concat!("turnlock/", env!("CARGO_PKG_VERSION"))),
        );
        if call.body.is_some() {
            headers.insert(http::header::CONTENT_TYPE, HeaderValue::from_static(call.content_type));
        }
        if let Some(token) = &self.token {
            let mut value = HeaderValue::from_bytes(token.expose()).map_err(|_| ClientError::TokenText)?;
            value.set_sensitive(true);
            headers.insert(HeaderName::from_static("x-vault-token"), value);
        }
        if let Some(namespace) = self.namespace.as_deref().filter(|namespace| !namespace.is_empty()) {
            let value = HeaderValue::from_str(namespace).map_err(|_| ClientError::Path)?;
            headers.insert(HeaderName::from_static("x-vault-namespace"), value);
        }
        if let Some(ttl) = &call.wrap_ttl {
            let value = HeaderValue::from_str(ttl).map_err(|_| ClientError::Malformed { what: "wrap TTL" })?;
            headers.insert(HeaderName::from_static("x-vault-wrap-ttl"), value);
        }
        Ok(headers)
    }

    async fn exchange(
        &self,
        (method, target, headers, body): (Method, &str, HeaderMap, Bytes),
        limit_bytes: usize,
    ) -> Result<(StatusCode, Option<Duration>, Zeroizing<Vec<u8>>), ClientError> {
        match &self.transport {
            Transport::Http { address, base, client } => {
                let request = client.request(method, format!("{base}{target}")).headers(headers).body(body);
                let mut response = request.send().await.map_err(|error| ClientError::of_transport(error, address))?;
                let (status, pause) = (response.status(), retry_after(response.headers()));
                let mut bytes = Gathered::new(limit_bytes);
                while let Some(chunk) =
                    response.chunk().await.map_err(|error| ClientError::of_transport(error, address))?
                {
                    bytes.push(&chunk)?;
                }
                Ok((status, pause, bytes.bytes))
            }
            Transport::Local(router) => {
                let mut request = http::Request::new(Body::from(body));
                *request.method_mut() = method;
                *request.uri_mut() = target.parse().map_err(|_| ClientError::Path)?;
                *request.headers_mut() = headers;
                let exchange = async {
                    let Ok(response) = router.clone().oneshot(request).await;
                    let (status, pause) = (response.status(), retry_after(response.headers()));
                    let mut body = response.into_body();
                    let mut bytes = Gathered::new(limit_bytes);
                    while let Some(frame) = body.frame().await {
                        let frame = frame.map_err(|_| ClientError::Malformed { what: "reply" })?;
                        bytes.push(frame.data_ref().map_or(&[], |data| data))?;
                    }
                    Ok((status, pause, bytes.bytes))
                };
                let timed_out = |_| ClientError::Unreachable {
                    address: Box::default(),
                    reason: "no answer in time".to_owned(),
                    timeout: true,
                };
                tokio::time::timeout(self.timeout, exchange).await.map_err(timed_out)?
            }
        }
    }
}

/// A reply as it comes in. Grows by copying into a new buffer and wiping the old one, which `Vec` alone would leave.
struct Gathered {
    bytes: Zeroizing<Vec<u8>>,
    limit_bytes: usize,
}

impl Gathered {
    fn new(limit_bytes: usize) -> Self {
        Self { bytes: Zeroizing::new(Vec::with_capacity(4096)), limit_bytes }
    }

    fn push(&mut self, chunk: &[u8]) -> Result<(), ClientError> {
        let total = self.bytes.len().saturating_add(chunk.len());
        if total > self.limit_bytes {
            return Err(ClientError::TooLarge { limit_bytes: self.limit_bytes });
        }
        if total > self.bytes.capacity() {
            let mut grown = Zeroizing::new(Vec::with_capacity(total.next_power_of_two()));
            grown.extend_from_slice(&self.bytes);
            self.bytes = grown;
        }
        self.bytes.extend_from_slice(chunk);
        Ok(())
    }
}

fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers.get(http::header::RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds))
}

fn not_a_bundle() -> std::io::Error {
    std::io::Error::new(std::io::ErrorKind::InvalidData, "no certificate in PEM form in it")
}

#[cfg(test)]
mod tests;

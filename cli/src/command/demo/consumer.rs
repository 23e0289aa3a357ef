//! A service that checks an API key, and a client of it that calls without pause; both learn of new keys by being pushed to.
//!
//! The service gets them by a signed webhook and accepts the newest two, as long as clients move. The client reads its key
//! from a file that is replaced. The webhook stands first in the list of targets, so that the service knows a key before
//! the client uses it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::{get, post};
use serde_json::json;
use tokio::task::JoinHandle;
use turnlock_agent::push::webhook;
use zeroize::Zeroizing;

use super::stage::{DemoError, random_key};

/// Pause between two requests of the client.
const PACE: Duration = Duration::from_millis(10);

/// How old a signature may be.
const TOLERANCE: Duration = Duration::from_secs(60);

/// The service and its client.
pub(crate) struct Consumer {
    state: Arc<Shared>,
    port: u16,
    key_file: PathBuf,
    signing_key: Zeroizing<String>,
    tasks: Vec<JoinHandle<()>>,
}

struct Shared {
    /// Newest last. Held only to look or push.
    keys: std::sync::Mutex<Vec<Zeroizing<String>>>,
    signing_key: Zeroizing<String>,
    rotations: AtomicU64,
    served: AtomicU64,
    refused: AtomicU64,
}

/// Answers of the service so far.
pub(crate) struct Counts {
    /// Requests with a key that was accepted.
    pub(crate) served: u64,
    /// Requests with a key that was not, or without an answer.
    pub(crate) refused: u64,
}

impl Consumer {
    /// Starts both with `key`.
    pub(crate) async fn start(key: &str, folder: &Path) -> Result<Self, DemoError> {
        let signing_key = random_key("").await?;
        let state = Arc::new(Shared {
            keys: std::sync::Mutex::new(vec![Zeroizing::new(key.to_owned())]),
            signing_key: signing_key.clone(),
            rotations: AtomicU64::new(0),
            served: AtomicU64::new(0),
            refused: AtomicU64::new(0),
        });
        let app =
            Router::new().route("/charge", get(charge)).route("/new-key", post(new_key)).with_state(state.clone());
        let listener =
            tokio::net::TcpListener::bind("127.0.0.1:0").await.map_err(DemoError::io("start the service"))?;
        let port = listener.local_addr().map_err(DemoError::io("start the service"))?.port();
        let service = tokio::spawn(async move {
            let _ = serve(listener, app).await;
        });
        let key_file = folder.join("payments.key");
        // Plain HTTP on the loopback address; the library wants a provider for TLS all the same.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder().no_proxy().tls_certs_only(std::iter::empty()).build();
        let http = http.map_err(|error| DemoError::Claim(format!("an HTTP client can be made: {error}")))?;
        let client = tokio::spawn(call_without_pause(http, state.clone(), port, key_file.clone(), key.to_owned()));
        Ok(Self { state, port, key_file, signing_key, tasks: vec![service, client] })
    }

    /// The targets of the rotation, as JSON.
    pub(crate) fn targets(&self) -> String {
        json!([
            {"name": "service", "type": "webhook", "url": format!("http://127.0.0.1:{}/new-key", self.port),
             "signing_key": self.signing_key.as_str()},
            {"name": "client", "type": "file", "path": self.key_file, "mode": "0600"},
        ])
        .to_string()
    }

    /// New keys that the service took so far.
    pub(crate) fn rotations(&self) -> u64 {
        self.state.rotations.load(Ordering::SeqCst)
    }

    /// Whether the service took that many new keys.
    pub(crate) fn at_least(&self, rotations: u64) -> Result<(), DemoError> {
        match self.rotations() >= rotations {
            true => Ok(()),
            false => Err(DemoError::Claim(format!("the service got {rotations} new keys"))),
        }
    }

    /// Waits until the service took that many new keys.
    pub(crate) async fn until_rotated(&self, rotations: u64, patience: Duration) -> Result<(), DemoError> {
        let start = Instant::now();
        while self.rotations() < rotations && start.elapsed() < patience {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        self.at_least(rotations)
    }

    /// Answers of the service so far.
    pub(crate) fn counts(&self) -> Counts {
        let read = |counter: &AtomicU64| counter.load(Ordering::SeqCst);
        Counts { served: read(&self.state.served), refused: read(&self.state.refused) }
    }

    /// Whether the service would take this key.
    pub(crate) async fn accepts(&self, key: &str) -> Result<bool, DemoError> {
        Ok(self.state.accepts(key))
    }
}

impl Drop for Consumer {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

impl Shared {
    fn accepts(&self, key: &str) -> bool {
        let keys = self.keys.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let known =
            |known: &Zeroizing<String>| turnlock_core::Protected::copy_of(known.as_bytes()).same_as(key.as_bytes());
        keys.iter().rev().take(2).any(known)
    }
}

async fn charge(State(state): State<Arc<Shared>>, headers: HeaderMap) -> StatusCode {
    let key = headers.get("X-Api-Key").and_then(|value| value.to_str().ok()).unwrap_or_default();
    let (counter, status) = match state.accepts(key) {
        true => (&state.served, StatusCode::OK),
        false => (&state.refused, StatusCode::UNAUTHORIZED),
    };
    counter.fetch_add(1, Ordering::SeqCst);
    status
}

async fn new_key(State(state): State<Arc<Shared>>, headers: HeaderMap, body: Bytes) -> StatusCode {
    #[derive(serde::Deserialize)]
    struct NewKey {
        value: Zeroizing<String>,
    }
    let signature = headers.get(webhook::SIGNATURE_HEADER).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let now = chrono::DateTime::<chrono::Utc>::from(std::time::SystemTime::now()).timestamp();
    if !webhook::verify(state.signing_key.as_bytes(), signature, &body, now, TOLERANCE) {
        return StatusCode::FORBIDDEN;
    }
    let Ok(new) = serde_json::from_slice::<NewKey>(&body) else { return StatusCode::BAD_REQUEST };
    let mut keys = state.keys.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    // The same key may be pushed twice; it counts once.
    if keys.last().is_none_or(|last| last.as_str() != new.value.as_str()) {
        keys.push(new.value);
        state.rotations.fetch_add(1, Ordering::SeqCst);
    }
    StatusCode::OK
}

async fn serve(listener: tokio::net::TcpListener, app: Router) -> std::io::Result<()> {
    loop {
        let (stream, _) = listener.accept().await?;
        let service = hyper_util::service::TowerToHyperService::new(app.clone());
        let io = hyper_util::rt::TokioIo::new(stream);
        tokio::spawn(async move {
            let executor = hyper_util::rt::TokioExecutor::new();
            let _ = hyper_util::server::conn::auto::Builder::new(executor).serve_connection(io, service).await;
        });
    }
}

/// Calls the service again and again, with the key in the file once there is one.
async fn call_without_pause(http: reqwest::Client, state: Arc<Shared>, port: u16, key_file: PathBuf, first: String) {
    let url = format!("http://127.0.0.1:{port}/charge");
    loop {
        let key = tokio::fs::read_to_string(&key_file).await.unwrap_or_else(|_| first.clone());
        // An answer was counted by the service; none at all is as bad as a refusal.
        if http.get(&url).header("X-Api-Key", key.trim()).send().await.is_err() {
            state.refused.fetch_add(1, Ordering::SeqCst);
        }
        tokio::time::sleep(PACE).await;
    }
}

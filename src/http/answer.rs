//! The bytes of an answer.

use axum::body::{Body, Bytes};
use http::header::{CACHE_CONTROL, CONNECTION, CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER};
use http::{Response as Wire, StatusCode};
use serde::Serialize;
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::error::Error;
use crate::response::Response;

#[derive(Serialize)]
struct Errors {
    errors: Vec<String>,
}

/// A buffer that is wiped when the last frame of it has gone out.
struct Wiped(Zeroizing<Vec<u8>>);

impl AsRef<[u8]> for Wiped {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

/// Writes the outcome. `head_only`: the status and headers without the body. `close`: the connection ends with it.
pub(super) fn write(id: Uuid, outcome: Result<Response, Error>, head_only: bool, close: bool) -> Wire<Body> {
    let encoded = outcome.and_then(|response| response.encode(id).map(|bytes| (response, bytes)));
    let mut wire = match encoded {
        Ok((response, bytes)) => {
            let status = StatusCode::from_u16(response.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            let mut wire =
                Wire::new(if head_only { Body::empty() } else { Body::from(Bytes::from_owner(Wiped(bytes))) });
            *wire.status_mut() = status;
            if let Some(content_type) = response.content_type() {
                wire.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
            }
            for (name, value) in &response.headers {
                if let Ok(value) = HeaderValue::from_str(value) {
                    wire.headers_mut().insert(HeaderName::from_static(name), value);
                }
            }
            wire
        }
        Err(error) => refusal(id, &error, head_only),
    };
    wire.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if close {
        wire.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    wire
}

fn refusal(id: Uuid, error: &Error, head_only: bool) -> Wire<Body> {
    let mut errors = error.public_texts();
    if let Error::Internal(cause) = error {
        log(id, cause.as_ref());
        errors = vec![format!("internal error, request {id}")];
    }
    let body = serde_json::to_vec(&Errors { errors }).unwrap_or_default();
    let mut wire = Wire::new(if head_only { Body::empty() } else { Body::from(body) });
    *wire.status_mut() = StatusCode::from_u16(error.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    wire.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if let Error::Busy(wait) | Error::Crowded(wait) = error {
        wire.headers_mut().insert(RETRY_AFTER, HeaderValue::from(wait.as_secs().max(1)));
    }
    wire
}

/// One line for one failure, with the chain of its causes.
fn log(id: Uuid, cause: &(dyn std::error::Error + Send + Sync)) {
    let mut text = cause.to_string();
    let mut source = cause.source();
    while let Some(deeper) = source {
        text.push_str(": ");
        text.push_str(&deeper.to_string());
        source = deeper.source();
    }
    tracing::error!(request.id = %id, cause = text, "a request ended with an internal error");
}

//! The one error of the request path and the only map from it to status codes and public texts.
//!
//! A public text never holds bytes of the request: clients, logs and audit see what was wrong, not what was sent.

use std::borrow::Cow;
use std::time::Duration;

/// Why a request was not served. Each variant names its HTTP status.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// 400: the request is malformed or asks for what cannot be. The text says what to change.
    #[error("{0}")]
    Invalid(Cow<'static, str>),
    /// 403: no token, a dead token, or a policy that does not allow it. One text for all, so that nobody can tell
    /// them apart.
    #[error("permission denied")]
    Denied,
    /// 404 with an empty list of errors: nothing lives at this path.
    #[error("nothing at this path")]
    NotFound,
    /// 404: no engine is mounted there, or the engine has no such route.
    // Clients match the words "no handler for route"; the path that they expect behind them is not repeated.
    #[error("no handler for route: nothing is mounted there, or the engine has no such path")]
    NoRoute,
    /// 405: the route exists and does not support the operation.
    #[error("unsupported operation")]
    Unsupported,
    /// 413: the body is larger than allowed; the limit in bytes.
    #[error("request body exceeds {0} bytes")]
    TooLarge(usize),
    /// 415: a PATCH without `application/merge-patch+json`.
    #[error("content type must be application/merge-patch+json")]
    MediaType,
    /// 429: too much at once; try again after the duration.
    #[error("too many requests, try again later")]
    Busy(Duration),
    /// 429: like [`Error::Busy`], where so many ask that the edge answers each of them after a pause.
    #[error("too many requests, try again later")]
    Crowded(Duration),
    /// 503: the barrier is closed. Clients and probes match the word "sealed".
    #[error("Vault is sealed")]
    Sealed,
    /// 503: something that the answer depends on does not work now (audit device, disk). Nothing was changed.
    #[error("{0}")]
    Unavailable(&'static str),
    /// 500: our fault. The cause goes to the log, never to the client.
    #[error("internal error")]
    Internal(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl Error {
    /// A 400 with a fixed or composed text; compose only from names of known fields, limits and counts.
    pub fn invalid(text: impl Into<Cow<'static, str>>) -> Self {
        Self::Invalid(text.into())
    }

    /// A 400 for a field that must be there.
    pub fn missing(field: &'static str) -> Self {
        Self::Invalid(Cow::Owned(format!("missing required field {field:?}")))
    }

    /// A 500 with its cause.
    pub fn internal(cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Internal(cause.into())
    }

    /// The HTTP status.
    pub fn status(&self) -> u16 {
        match self {
            Self::Invalid(_) => 400,
            Self::Denied => 403,
            Self::NotFound | Self::NoRoute => 404,
            Self::Unsupported => 405,
            Self::TooLarge(_) => 413,
            Self::MediaType => 415,
            Self::Busy(_) | Self::Crowded(_) => 429,
            Self::Sealed | Self::Unavailable(_) => 503,
            Self::Internal(_) => 500,
        }
    }

    /// The texts for `{"errors": […]}`; none where clients expect an empty list.
    pub fn public_texts(&self) -> Vec<String> {
        match self {
            Self::NotFound => Vec::new(),
            // Clients that know the protocol match these two shapes.
            Self::Denied => vec!["1 error occurred:\n\t* permission denied\n\n".to_owned()],
            Self::Unsupported => vec!["1 error occurred:\n\t* unsupported operation\n\n".to_owned()],
            other => vec![other.to_string()],
        }
    }
}

//! What goes wrong between client and server, with a hint for the person in front of it. No text holds a token or a
//! body; what the server says of an error is bounded and the token cut out of it.

use std::error::Error;
use std::path::PathBuf;

use http::StatusCode;
use turnlock_core::Protected;

use super::{Reply, handshake};

/// Most error lines that are kept of a reply, and most characters of each.
const LINES: usize = 16;
const LINE_CHARACTERS: usize = 1024;

/// Why there is no reply to work with.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// No connection, or none that lasted.
    #[error("server cannot be reached{}: {reason}", at(address))]
    Unreachable {
        /// The server's address; empty where there is none.
        address: Box<str>,
        /// What the system or the protocol says.
        reason: String,
        /// Whether time ran out; then the request may have been carried out.
        timeout: bool,
    },
    /// A connection without TLS that ended before there was an answer, which is how a port for TLS answers.
    #[error("server ended the connection without an answer in HTTP")]
    NoHttp,
    /// The server's certificate or the handshake was refused.
    #[error("no secure connection: {reason}")]
    Tls {
        /// Why.
        reason: String,
        /// What to do about it.
        hint: &'static str,
    },
    /// 403: no right to this, or a token that is not valid.
    #[error("permission denied{}", joined(errors))]
    Denied {
        /// The server's reasons.
        errors: Vec<String>,
        /// Whether the request had no token at all.
        anonymous: bool,
        /// What was asked for. Not in the text: a log may be read by who may not know the names.
        path: Box<str>,
    },
    /// 404.
    #[error("nothing found at this path{}", joined(errors))]
    NotFound {
        /// The server's reasons; empty where the path is valid and nothing is there.
        errors: Vec<String>,
    },
    /// Any other status that is no success.
    #[error("server answered {}{}", status.as_u16(), joined(errors))]
    Api {
        /// The status.
        status: StatusCode,
        /// The server's reasons.
        errors: Vec<String>,
    },
    /// Something does not have the form that it must have.
    #[error("malformed {what}")]
    Malformed {
        /// Which thing.
        what: &'static str,
    },
    /// The reply does not end where it must.
    #[error("reply has more than {limit_bytes} bytes")]
    TooLarge {
        /// The limit.
        limit_bytes: usize,
    },
    /// A path with `.`, `..` or empty segments, or a namespace that no header can carry.
    #[error("path is not canonical")]
    Path,
    /// The server's address is not one.
    #[error("server address is not https://…, http://… or unix:///…")]
    Address,
    /// The file with the certificate authorities.
    #[error("the certificate authority in {} cannot be used", path.display())]
    CaFile {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: std::io::Error,
    },
    /// A variable of the environment that says nothing.
    #[error("TURNLOCK_CLIENT_TIMEOUT or VAULT_CLIENT_TIMEOUT is no duration, as in 30 or 90s, of at least a second")]
    Timeout,
    /// A token with characters that no header can carry.
    #[error("token holds characters that no token has")]
    TokenText,
    /// A token file that must not be trusted.
    #[error("token file {} {reason}", path.display())]
    TokenFile {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        reason: &'static str,
    },
}

impl ClientError {
    /// What to try, where there is something.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Unreachable { timeout: true, .. } => {
                Some("it may have been carried out all the same: look before repeating a write")
            }
            Self::Unreachable { .. } => {
                Some("check that the server runs, and TURNLOCK_ADDR (scheme and port included)")
            }
            Self::NoHttp => {
                Some("if it is a port for TLS, write https:// in TURNLOCK_ADDR; else look at the server's log")
            }
            Self::Tls { hint, .. } => Some(hint),
            Self::Denied { anonymous: true, .. } => {
                Some("no token was sent: log in with `turnlock login`, or set TURNLOCK_TOKEN")
            }
            Self::Denied { .. } => Some(
                "`turnlock token lookup` shows whether the token is valid, `turnlock token capabilities PATH` what it may do",
            ),
            Self::NotFound { errors } if errors.is_empty() => Some("`turnlock kv list` shows what there is"),
            Self::NotFound { .. } => Some("`turnlock secrets list` shows the mounts"),
            Self::Api { status, errors } => match status.as_u16() {
                503 if errors.iter().any(|line| line.contains("sealed")) => {
                    Some("unseal it with `turnlock operator unseal`; a new server needs `turnlock operator init` first")
                }
                400 if errors.iter().any(|line| line.starts_with("namespaces are not supported")) => {
                    Some("unset TURNLOCK_NAMESPACE and VAULT_NAMESPACE, and leave -namespace out")
                }
                400 if errors.iter().any(|line| line.contains("is not initialized")) => {
                    Some("initialize it with `turnlock operator init`")
                }
                // Whoever wraps a value learns from this that somebody else may have read it.
                400 if errors.iter().any(|line| line.starts_with("wrapping token is not valid")) => Some(
                    "it opens once and for a limited time: if nobody of yours opened it, take the value for known and replace it",
                ),
                301..=399 => {
                    Some("the server sends clients elsewhere, and tokens do not follow: set TURNLOCK_ADDR to there")
                }
                429 => Some("a rate limit or quota is used up: wait and try again"),
                _ => None,
            },
            Self::Malformed { .. } => Some("check that TURNLOCK_ADDR names the server itself"),
            Self::Path => Some("write paths without a dot segment and without a doubled slash"),
            Self::Address => Some("set TURNLOCK_ADDR, for example to https://127.0.0.1:8200"),
            Self::CaFile { .. } => Some("TURNLOCK_CACERT names a PEM file with at least one certificate"),
            Self::TokenText => Some("set TURNLOCK_TOKEN again, without quotes and line breaks"),
            Self::TokenFile { .. } => Some("make it your own with mode 0600, or delete it and log in again"),
            Self::TooLarge { .. } | Self::Timeout => None,
        }
    }

    /// The error that `reply` to a question for `asked` stands for.
    pub(super) fn of(reply: &Reply, asked: &str, token: Option<&Protected>) -> Self {
        let secret = token.and_then(Protected::expose_str).filter(|text| !text.is_empty());
        let errors = reply
            .errors()
            .into_iter()
            .take(LINES)
            .map(|line| {
                let line = secret.map_or(line.clone(), |secret| line.replace(secret, "***"));
                line.chars().take(LINE_CHARACTERS).collect()
            })
            .collect();
        match reply.status() {
            StatusCode::FORBIDDEN => Self::Denied { errors, anonymous: token.is_none(), path: asked.into() },
            StatusCode::NOT_FOUND => Self::NotFound { errors },
            status => Self::Api { status, errors },
        }
    }

    pub(crate) fn of_transport(error: reqwest::Error, base: &str) -> Self {
        let address = base.into();
        if error.is_timeout() {
            return Self::Unreachable { address, reason: "no answer in time".to_owned(), timeout: true };
        }
        let mut reason = None;
        let mut cause: Option<&(dyn Error + 'static)> = error.source();
        while let Some(current) = cause {
            if let Some(tls) = tls_cause(current) {
                let handshake::Handshake { reason, hint } = handshake::explain(tls);
                return Self::Tls { reason, hint };
            }
            if let Some(io) = current.downcast_ref::<std::io::Error>() {
                reason = Some(io.to_string());
            }
            cause = current.source();
        }
        let plain = base.starts_with("http://") || base.starts_with("unix://");
        if reason.is_none() && !error.is_connect() && !error.is_body() && plain {
            return Self::NoHttp;
        }
        let reason = reason.unwrap_or_else(|| {
            if error.is_connect() { "no connection" } else { "connection ended before the answer" }.to_owned()
        });
        Self::Unreachable { address, reason, timeout: false }
    }
}

/// TLS errors come inside one or two of `io::Error`, whose `source` skips what it wraps.
fn tls_cause<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a rustls::Error> {
    if let Some(tls) = error.downcast_ref::<rustls::Error>() {
        return Some(tls);
    }
    let wrapped: &(dyn Error + 'static) = error.downcast_ref::<std::io::Error>()?.get_ref()?;
    tls_cause(wrapped)
}

fn at(address: &str) -> String {
    if address.is_empty() { String::new() } else { format!(" at {address}") }
}

fn joined(errors: &[String]) -> String {
    if errors.is_empty() { String::new() } else { format!(": {}", errors.join("; ")) }
}

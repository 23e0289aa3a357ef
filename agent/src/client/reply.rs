//! What a server answered: the status and the body, kept in one wiped buffer and parsed where it stands.

use std::fmt;

use http::StatusCode;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use turnlock_core::Protected;
use zeroize::Zeroizing;

use super::ClientError;

/// An answer. Its body may hold secrets: it is wiped when dropped and does not print.
pub struct Reply {
    status: StatusCode,
    body: Zeroizing<Vec<u8>>,
}

/// What a login or the creation of a token returns.
#[derive(Debug)]
pub struct Auth {
    /// The new token.
    pub token: Protected,
    /// Handle that cannot read.
    pub accessor: String,
    /// Names of all its policies.
    pub policies: Vec<String>,
    /// Seconds; 0 for never.
    pub lease_seconds: u64,
    /// Whether it can be renewed.
    pub renewable: bool,
    /// `service` or `batch`.
    pub kind: String,
}

/// Where the answer is when it was wrapped.
#[derive(Debug)]
pub struct WrapInfo {
    /// Opens the answer once.
    pub token: Protected,
    /// Handle of that token.
    pub accessor: String,
    /// Seconds.
    pub ttl_seconds: u64,
    /// Path of the request that was wrapped.
    pub creation_path: String,
    /// RFC 3339.
    pub creation_time: String,
}

#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow, default)]
    data: Option<&'a RawValue>,
    #[serde(borrow, default)]
    auth: Option<&'a RawValue>,
    #[serde(borrow, default)]
    wrap_info: Option<&'a RawValue>,
    #[serde(default)]
    warnings: Option<Vec<String>>,
    #[serde(default)]
    errors: Option<Vec<String>>,
}

impl Reply {
    pub(super) fn new(status: StatusCode, body: Zeroizing<Vec<u8>>) -> Self {
        Self { status, body }
    }

    /// The status.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// The body as it came.
    pub fn body(&self) -> &[u8] {
        &self.body
    }

    /// The body, still wiped when dropped.
    pub fn into_body(self) -> Zeroizing<Vec<u8>> {
        self.body
    }

    /// The whole body as `T`: for the answers that come without an envelope.
    pub fn body_as<T: DeserializeOwned>(&self) -> Result<T, ClientError> {
        serde_json::from_slice(&self.body).map_err(|_| malformed())
    }

    /// The envelope's data as it came; `None` where there is none.
    pub fn data(&self) -> Option<&RawValue> {
        self.envelope()?.data.filter(|data| data.get() != "null")
    }

    /// The envelope's data as `T`.
    ///
    /// Errors: [`ClientError::Malformed`] where there is none, or not of this form.
    pub fn data_as<'a, T: Deserialize<'a>>(&'a self) -> Result<T, ClientError> {
        serde_json::from_str(self.data().ok_or_else(malformed)?.get()).map_err(|_| malformed())
    }

    /// The `auth` block as it came.
    pub fn auth_raw(&self) -> Option<&RawValue> {
        self.envelope()?.auth.filter(|auth| auth.get() != "null")
    }

    /// The `auth` block.
    pub fn auth(&self) -> Result<Auth, ClientError> {
        #[derive(Deserialize)]
        struct Wire {
            client_token: Zeroizing<String>,
            #[serde(default)]
            accessor: String,
            #[serde(default)]
            policies: Option<Vec<String>>,
            #[serde(default)]
            lease_duration: u64,
            #[serde(default)]
            renewable: bool,
            #[serde(default)]
            token_type: String,
        }
        let raw = self.auth_raw().ok_or_else(malformed)?;
        let wire: Wire = serde_json::from_str(raw.get()).map_err(|_| malformed())?;
        Ok(Auth {
            token: Protected::copy_of(wire.client_token.as_bytes()),
            accessor: wire.accessor,
            policies: wire.policies.unwrap_or_default(),
            lease_seconds: wire.lease_duration,
            renewable: wire.renewable,
            kind: wire.token_type,
        })
    }

    /// The `wrap_info` block; `None` where the answer was not wrapped.
    pub fn wrap_info(&self) -> Result<Option<WrapInfo>, ClientError> {
        #[derive(Deserialize)]
        struct Wire {
            token: Zeroizing<String>,
            #[serde(default)]
            accessor: String,
            #[serde(default)]
            ttl: u64,
            #[serde(default)]
            creation_path: String,
            #[serde(default)]
            creation_time: String,
        }
        let raw = self.envelope().and_then(|envelope| envelope.wrap_info).filter(|raw| raw.get() != "null");
        let Some(raw) = raw else { return Ok(None) };
        let wire: Wire = serde_json::from_str(raw.get()).map_err(|_| malformed())?;
        Ok(Some(WrapInfo {
            token: Protected::copy_of(wire.token.as_bytes()),
            accessor: wire.accessor,
            ttl_seconds: wire.ttl,
            creation_path: wire.creation_path,
            creation_time: wire.creation_time,
        }))
    }

    /// What the server wants noticed.
    pub fn warnings(&self) -> Vec<String> {
        self.envelope().and_then(|envelope| envelope.warnings).unwrap_or_default()
    }

    pub(super) fn errors(&self) -> Vec<String> {
        self.envelope().and_then(|envelope| envelope.errors).unwrap_or_default()
    }

    fn envelope(&self) -> Option<Envelope<'_>> {
        serde_json::from_slice(&self.body).ok()
    }
}

impl fmt::Debug for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reply").field("status", &self.status).finish_non_exhaustive()
    }
}

fn malformed() -> ClientError {
    ClientError::Malformed { what: "reply" }
}

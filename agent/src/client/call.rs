//! One request to come, and the address that it goes to.

use http::Method;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Serialize;
use zeroize::Zeroizing;

use super::ClientError;

/// Everything but RFC 3986's unreserved characters.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Most bytes of a reply, unless the call says otherwise. Equal to the most that a request may have.
const REPLY_LIMIT: usize = 32 * 1024 * 1024;

/// One request to come.
#[derive(Clone)]
pub struct Call {
    pub(super) method: Method,
    pub(super) path: String,
    pub(super) query: Vec<(String, String)>,
    pub(super) body: Option<Zeroizing<Vec<u8>>>,
    pub(super) content_type: &'static str,
    pub(super) wrap_ttl: Option<String>,
    pub(super) limit_bytes: usize,
}

impl Call {
    /// A request without body. `path` is relative to `v1/` and not encoded.
    pub fn new(method: Method, path: impl Into<String>) -> Self {
        Self {
            method,
            path: path.into(),
            query: Vec::new(),
            body: None,
            content_type: "application/json",
            wrap_ttl: None,
            limit_bytes: REPLY_LIMIT,
        }
    }

    /// Reads `path`.
    pub fn get(path: impl Into<String>) -> Self {
        Self::new(Method::GET, path)
    }

    /// Lists what is below `path`: `GET` with `list=true`, which every proxy lets through.
    pub fn list(path: impl Into<String>) -> Self {
        Self::get(path).query("list", "true")
    }

    /// Adds a query parameter.
    #[must_use]
    pub fn query(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.query.push((name.into(), value.into()));
        self
    }

    /// Sets the body to bytes that are JSON already.
    #[must_use]
    pub fn body(mut self, json: Zeroizing<Vec<u8>>) -> Self {
        self.body = Some(json);
        self
    }

    /// Sets the body to `value` as JSON.
    pub fn json(self, value: &impl Serialize) -> Result<Self, ClientError> {
        let mut json = Zeroizing::new(Vec::with_capacity(512));
        serde_json::to_writer(&mut *json, value).map_err(|_| ClientError::Malformed { what: "request" })?;
        Ok(self.body(json))
    }

    /// Names the body's media type; JSON otherwise.
    #[must_use]
    pub fn content_type(mut self, media_type: &'static str) -> Self {
        self.content_type = media_type;
        self
    }

    /// Asks for the answer wrapped in a single-use token that lives for `ttl`.
    #[must_use]
    pub fn wrap_ttl(mut self, ttl: impl Into<String>) -> Self {
        self.wrap_ttl = Some(ttl.into());
        self
    }

    /// Replaces the limit on the reply's size, 32 MiB.
    #[must_use]
    pub fn limit_bytes(mut self, limit: usize) -> Self {
        self.limit_bytes = limit;
        self
    }

    /// `/v1/…` with every segment encoded. Segments that a URL parser would resolve or drop are refused, so that
    /// what is requested is what was written.
    pub(super) fn target(&self) -> Result<String, ClientError> {
        let path = self.path.strip_prefix('/').unwrap_or(&self.path);
        let mut target = String::from("/v1");
        let mut segments = path.split('/').peekable();
        while let Some(segment) = segments.next() {
            let trailing_slash = segment.is_empty() && segments.peek().is_none();
            if matches!(segment, "." | "..") || (segment.is_empty() && !trailing_slash) {
                return Err(ClientError::Path);
            }
            target.push('/');
            target.extend(utf8_percent_encode(segment, SEGMENT));
        }
        for (index, (name, value)) in self.query.iter().enumerate() {
            target.push(if index == 0 { '?' } else { '&' });
            target.extend(utf8_percent_encode(name, SEGMENT));
            target.push('=');
            target.extend(utf8_percent_encode(value, SEGMENT));
        }
        Ok(target)
    }
}

//! An answer before the edge: typed until it is written once, in the envelope that clients of the protocol expect.

use chrono::{DateTime, SecondsFormat, Utc};
use serde::Serialize;
use serde::ser::{SerializeMap as _, Serializer};
use serde_json::value::RawValue;
use std::collections::BTreeMap;
use turnlock_core::Protected;
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::error::Error;

/// What an engine answers.
#[derive(Debug)]
pub struct Response {
    /// HTTP status. [`Response::done`] is 204.
    pub status: u16,
    /// The body.
    pub content: Content,
    /// Notes for the client; they turn a 204 into a 200 with an envelope.
    pub warnings: Vec<String>,
    /// Extra headers of this answer.
    pub headers: Vec<(&'static str, String)>,
}

/// The body of an answer.
#[derive(Debug)]
// One for each request, moved and never kept: a box would be an allocation on the way of every read.
#[allow(clippy::large_enum_variant)]
pub enum Content {
    /// Nothing: 204.
    Empty,
    /// The envelope.
    Envelope(Envelope),
    /// JSON without an envelope (health, seal status, init, leader).
    Plain(Json),
    /// Bytes with a content type (snapshot).
    Raw(&'static str, Protected),
}

/// JSON text in a guarded buffer.
#[derive(Debug)]
pub struct Json(pub Protected);

/// The parts of the envelope that an engine fills.
#[derive(Debug, Default)]
pub struct Envelope {
    /// `data`.
    pub data: Option<Json>,
    /// Copies the members of `data` to the top level too, as older clients of `sys/mounts` and others read them.
    pub data_at_top: bool,
    /// `auth`, after a login or a token's creation.
    pub auth: Option<Auth>,
    /// `wrap_info`.
    pub wrap_info: Option<WrapInfo>,
    /// `lease_id`, `renewable`, `lease_duration`.
    pub lease: Lease,
}

/// The lease fields of the envelope.
#[derive(Debug, Default, Clone)]
pub struct Lease {
    /// Lease id; empty when there is none.
    pub id: String,
    /// Whether the lease can be renewed.
    pub renewable: bool,
    /// Seconds.
    pub duration_seconds: u64,
}

/// The `auth` block: a token that was just issued or renewed.
#[derive(Debug)]
pub struct Auth {
    /// The token itself.
    pub client_token: Protected,
    /// Its accessor; empty for batch tokens.
    pub accessor: String,
    /// Policies by name.
    pub policies: Vec<String>,
    /// Metadata.
    pub metadata: BTreeMap<String, String>,
    /// Seconds to live.
    pub lease_duration_seconds: u64,
    /// Whether it can be renewed.
    pub renewable: bool,
    /// `service` or `batch`.
    pub token_type: &'static str,
    /// Whether it has no parent.
    pub orphan: bool,
    /// Uses left, 0 for no limit.
    pub num_uses: u64,
}

/// The `wrap_info` block.
#[derive(Debug)]
pub struct WrapInfo {
    /// The wrapping token.
    pub token: Protected,
    /// Its accessor.
    pub accessor: String,
    /// Seconds to live.
    pub ttl_seconds: u64,
    /// When it was made.
    pub creation_time: DateTime<Utc>,
    /// The path whose answer it holds.
    pub creation_path: String,
    /// Accessor of the wrapped token, when the answer held one.
    pub wrapped_accessor: Option<String>,
}

impl Json {
    /// Serializes `value`.
    pub fn of(value: &impl Serialize) -> Result<Self, Error> {
        serde_json::to_vec(value).map(|bytes| Self(Protected::new(bytes))).map_err(Error::internal)
    }

    /// Takes over text that is JSON already.
    pub fn from_text(text: Vec<u8>) -> Self {
        Self(Protected::new(text))
    }
}

impl Response {
    /// 204, nothing to say.
    pub fn done() -> Self {
        Self { status: 204, content: Content::Empty, warnings: Vec::new(), headers: Vec::new() }
    }

    /// 200 with `data`.
    pub fn data(value: &impl Serialize) -> Result<Self, Error> {
        Ok(Self::json(Json::of(value)?))
    }

    /// 200 with `data` that is JSON already.
    pub fn json(data: Json) -> Self {
        Self::envelope(Envelope { data: Some(data), ..Envelope::default() })
    }

    /// 200 with `data`, whose members stand at the top level too.
    pub fn data_at_top(value: &impl Serialize) -> Result<Self, Error> {
        Ok(Self::envelope(Envelope { data: Some(Json::of(value)?), data_at_top: true, ..Envelope::default() }))
    }

    /// 200 with an `auth` block.
    pub fn auth(auth: Auth) -> Self {
        Self::envelope(Envelope { auth: Some(auth), ..Envelope::default() })
    }

    /// 200 with an envelope.
    pub fn envelope(envelope: Envelope) -> Self {
        Self { status: 200, content: Content::Envelope(envelope), warnings: Vec::new(), headers: Vec::new() }
    }

    /// JSON without an envelope.
    pub fn plain(status: u16, value: &impl Serialize) -> Result<Self, Error> {
        Ok(Self { status, content: Content::Plain(Json::of(value)?), warnings: Vec::new(), headers: Vec::new() })
    }

    /// The answer to a list: `{"keys": […]}`, or 404 for an empty one, as clients expect.
    pub fn keys(keys: &[String]) -> Result<Self, Error> {
        #[derive(Serialize)]
        struct Keys<'a> {
            keys: &'a [String],
        }
        if keys.is_empty() { Err(Error::NotFound) } else { Self::data(&Keys { keys }) }
    }

    /// The same answer with another status.
    pub fn with_status(mut self, status: u16) -> Self {
        self.status = status;
        self
    }

    /// The same answer with a note for the client.
    pub fn with_warning(mut self, text: impl Into<String>) -> Self {
        self.warnings.push(text.into());
        if matches!(self.content, Content::Empty) {
            self.status = 200;
            self.content = Content::Envelope(Envelope::default());
        }
        self
    }

    /// The status and body that go over the wire: written once, into a buffer that is wiped.
    pub fn encode(&self, request_id: Uuid) -> Result<Zeroizing<Vec<u8>>, Error> {
        match &self.content {
            Content::Empty => Ok(Zeroizing::new(Vec::new())),
            Content::Plain(json) => Ok(Zeroizing::new(json.0.expose().to_vec())),
            Content::Raw(_, bytes) => Ok(Zeroizing::new(bytes.expose().to_vec())),
            Content::Envelope(envelope) => envelope.encode(request_id, &self.warnings),
        }
    }

    /// The content type of the body, or `None` for an empty one.
    pub fn content_type(&self) -> Option<&'static str> {
        match &self.content {
            Content::Empty => None,
            Content::Plain(_) | Content::Envelope(_) => Some("application/json"),
            Content::Raw(content_type, _) => Some(content_type),
        }
    }
}

impl Envelope {
    /// By hand: `data` is JSON already, and a serializer would read it through once more to believe it.
    fn encode(&self, request_id: Uuid, warnings: &[String]) -> Result<Zeroizing<Vec<u8>>, Error> {
        let data = self.data.as_ref().map_or(b"null".as_slice(), |data| data.0.expose());
        let rare = self.auth.is_some() || self.wrap_info.is_some() || !warnings.is_empty();
        let payload = if self.data_at_top { 2 } else { 1 } * data.len() + self.lease.id.len();
        // Reserved once: growing would leave copies of secrets behind in freed memory. Not more than is needed, because
        // all of it is wiped.
        let mut out = Zeroizing::new(Vec::with_capacity(payload + if rare { 4096 } else { 256 }));
        out.extend(b"{\"request_id\":\"");
        out.extend(request_id.hyphenated().encode_lower(&mut Uuid::encode_buffer()).as_bytes());
        out.extend(b"\"");
        member(&mut out, "lease_id", &self.lease.id)?;
        member(&mut out, "renewable", &self.lease.renewable)?;
        member(&mut out, "lease_duration", &self.lease.duration_seconds)?;
        out.extend(b",\"data\":");
        out.extend(data);
        member(&mut out, "wrap_info", &self.wrap_info)?;
        member(&mut out, "warnings", &(!warnings.is_empty()).then_some(warnings))?;
        member(&mut out, "auth", &self.auth)?;
        if self.data_at_top {
            const OWN: [&str; 8] =
                ["request_id", "lease_id", "renewable", "lease_duration", "data", "wrap_info", "warnings", "auth"];
            let members: BTreeMap<String, &RawValue> = serde_json::from_slice(data).map_err(Error::internal)?;
            for (name, value) in members.iter().filter(|(name, _)| !OWN.contains(&name.as_str())) {
                member(&mut out, name, value)?;
            }
        }
        out.push(b'}');
        Ok(out)
    }
}

/// `,"NAME":VALUE`.
fn member(out: &mut Vec<u8>, name: &str, value: &impl Serialize) -> Result<(), Error> {
    out.push(b',');
    serde_json::to_writer(&mut *out, name).map_err(Error::internal)?;
    out.push(b':');
    serde_json::to_writer(out, value).map_err(Error::internal)
}

impl Serialize for Auth {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("client_token", self.client_token.expose_str().unwrap_or_default())?;
        map.serialize_entry("accessor", &self.accessor)?;
        map.serialize_entry("policies", &self.policies)?;
        map.serialize_entry("token_policies", &self.policies)?;
        map.serialize_entry("metadata", &(!self.metadata.is_empty()).then_some(&self.metadata))?;
        map.serialize_entry("lease_duration", &self.lease_duration_seconds)?;
        map.serialize_entry("renewable", &self.renewable)?;
        map.serialize_entry("entity_id", "")?;
        map.serialize_entry("token_type", self.token_type)?;
        map.serialize_entry("orphan", &self.orphan)?;
        map.serialize_entry("mfa_requirement", &())?;
        map.serialize_entry("num_uses", &self.num_uses)?;
        map.end()
    }
}

impl Serialize for WrapInfo {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("token", self.token.expose_str().unwrap_or_default())?;
        map.serialize_entry("accessor", &self.accessor)?;
        map.serialize_entry("ttl", &self.ttl_seconds)?;
        map.serialize_entry("creation_time", &rfc3339(self.creation_time))?;
        map.serialize_entry("creation_path", &self.creation_path)?;
        if let Some(accessor) = &self.wrapped_accessor {
            map.serialize_entry("wrapped_accessor", accessor)?;
        }
        map.end()
    }
}

/// RFC 3339 with nanoseconds and `Z`, as the protocol's clients parse it.
pub fn rfc3339(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Nanos, true)
}

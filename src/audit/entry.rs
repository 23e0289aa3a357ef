//! One record in the making: gathers what is known of a request, hashes what could be secret at once.

use std::borrow::Cow;
use std::net::IpAddr;
use std::sync::{Arc, Weak};

use arc_swap::ArcSwapOption;
use chrono::{DateTime, SecondsFormat, Utc};
use turnlock_core::audit::{AuditRecord, Digest};
use turnlock_core::token::TokenKind;
use turnlock_core::{Path, Protected};
use uuid::Uuid;
use zeroize::Zeroizing;

use super::{Audit, Keys};
use crate::error::Error;
use crate::mount::Mount;
use crate::request::{Operation, Peer, Request};
use crate::response::{Content, Response};
use crate::token::{Caller, TokenEntry};

/// Most fields that are hashed one by one; more are counted.
const MAX_FIELDS: usize = 64;

/// What is known of one request so far.
pub struct Entry {
    keys: Option<Arc<Keys>>,
    id: Uuid,
    received: DateTime<Utc>,
    operation: Option<Operation>,
    path: Option<String>,
    peer: Peer,
    token: Option<Protected>,
    fields: Vec<(String, Digest)>,
    fields_omitted: usize,
    query: Vec<(String, Digest)>,
    wrap_ttl: Option<u64>,
    caller: Option<(Arc<TokenEntry>, Option<Shown>)>,
    mount: Option<Arc<Mount>>,
    status: Option<u16>,
    error: Option<String>,
    data: Option<Digest>,
    issued: Option<(Digest, Digest)>,
    wrapping: Option<(Digest, Digest)>,
}

/// The hashes under which a token and its accessor appear in records.
#[derive(Clone, Copy)]
struct Shown {
    token: Digest,
    accessor: Option<Digest>,
}

/// The hashes of a token as they were made last, kept with the token: every request needs them. They hold for the keys
/// that made them.
#[derive(Default)]
pub struct Known(ArcSwapOption<(Weak<Keys>, Shown)>);

impl Known {
    fn shown(&self, keys: &Arc<Keys>, token: &Protected, accessor: &str) -> Shown {
        if let Some(known) = &*self.0.load()
            && std::ptr::eq(known.0.as_ptr(), Arc::as_ptr(keys))
        {
            return known.1;
        }
        let accessor = (!accessor.is_empty()).then(|| keys.digest(accessor.as_bytes()));
        let shown = Shown { token: keys.digest(token.expose()), accessor };
        self.0.store(Some(Arc::new((Arc::downgrade(keys), shown))));
        shown
    }
}

impl std::fmt::Debug for Known {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Known(..)")
    }
}

impl Audit {
    /// The record of a request of which nothing is parsed yet. While the server is sealed it gets no hashes: their key
    /// is behind the barrier.
    pub fn entry(&self, id: Uuid, received: DateTime<Utc>, peer: Peer) -> Entry {
        Entry {
            keys: self.keys.load_full(),
            id,
            received,
            operation: None,
            path: None,
            peer,
            token: None,
            fields: Vec::new(),
            fields_omitted: 0,
            query: Vec::new(),
            wrap_ttl: None,
            caller: None,
            mount: None,
            status: None,
            error: None,
            data: None,
            issued: None,
            wrapping: None,
        }
    }
}

impl Entry {
    /// Adds what a request asks for, once it is parsed whole.
    pub fn request(&mut self, request: &Request) {
        self.wrap_ttl = request.wrap_ttl.map(|ttl| ttl.as_secs());
        let Some(keys) = &self.keys else { return };
        let fields = request.fields.iter().take(MAX_FIELDS);
        self.fields = fields.map(|(name, json)| (short(name).to_owned(), keys.digest(&value_of(json)))).collect();
        self.fields_omitted = request.fields.iter().skip(MAX_FIELDS).count();
        let query = request.query.0.iter().take(MAX_FIELDS);
        self.query = query.map(|(name, value)| (short(name).to_owned(), keys.digest(value.as_bytes()))).collect();
    }

    /// Adds who asks: with the token that was added before.
    pub fn caller(&mut self, caller: &Caller) {
        let shown = self.keys.as_ref().zip(self.token.take());
        let shown = shown.map(|(keys, token)| caller.known.shown(keys, &token, &caller.entry.accessor));
        self.caller = Some((caller.entry.clone(), shown));
    }

    /// Adds where the request goes.
    pub fn mount(&mut self, mount: &Arc<Mount>) {
        self.mount = Some(mount.clone());
    }

    /// Adds the operation; again, once it is known that an update creates.
    pub fn operation(&mut self, operation: Operation) {
        self.operation = Some(operation);
    }

    /// Adds the path.
    pub fn path(&mut self, path: &Path) {
        self.path = Some(masked(path));
    }

    /// Adds the token that was sent.
    pub fn token(&mut self, token: &Protected) {
        self.token = Some(token.duplicate());
    }

    /// Adds what is answered.
    pub fn outcome(&mut self, outcome: &Result<Response, Error>) -> &Self {
        let response = match outcome {
            Ok(response) => response,
            Err(error) => return self.refusal(error),
        };
        self.status = Some(response.status);
        // The keys may have come with this very request: an unseal.
        let Some(keys) = &self.keys else { return self };
        match &response.content {
            Content::Empty => {}
            Content::Plain(json) => self.data = Some(keys.digest(json.0.expose())),
            Content::Raw(_, bytes) => self.data = Some(keys.digest(bytes.expose())),
            Content::Envelope(envelope) => {
                self.data = envelope.data.as_ref().map(|json| keys.digest(json.0.expose()));
                self.issued = envelope
                    .auth
                    .as_ref()
                    .map(|auth| (keys.digest(auth.client_token.expose()), keys.digest(auth.accessor.as_bytes())));
                self.wrapping = envelope
                    .wrap_info
                    .as_ref()
                    .map(|wrap| (keys.digest(wrap.token.expose()), keys.digest(wrap.accessor.as_bytes())));
            }
        }
        self
    }

    /// Adds why the request is refused.
    pub fn refusal(&mut self, error: &Error) -> &Self {
        self.status = Some(error.status());
        // Public texts never hold bytes of the request, so they may stand here.
        self.error = Some(error.to_string());
        self
    }

    /// The record of the answer need not repeat what the request's record holds.
    pub(super) fn fields_are_recorded(&mut self) {
        self.fields = Vec::new();
        self.fields_omitted = 0;
        self.query = Vec::new();
    }

    /// The record as a JSON object.
    pub(super) fn members(&self) -> Result<Vec<u8>, Error> {
        let address;
        let mut id = Uuid::encode_buffer();
        let peer = match self.peer {
            Peer::Ip(ip) => {
                address = text_of(ip);
                address.as_str()
            }
            Peer::Unix => "unix",
            Peer::Local => "local",
        };
        let caller = self.caller.as_ref();
        let shown = caller.and_then(|(_, shown)| *shown);
        // Of nobody who is known.
        let unknown = self.keys.as_ref().zip(self.token.as_ref()).map(|(keys, token)| keys.digest(token.expose()));
        let record = AuditRecord {
            time: &self.received.to_rfc3339_opts(SecondsFormat::Micros, true),
            id: self.id.hyphenated().encode_lower(&mut id),
            operation: self.operation.map(Operation::as_str),
            path: self.path.as_deref(),
            mount: self.mount.as_ref().map(|mount| mount.entry.path.as_str()),
            mount_accessor: self.mount.as_ref().map(|mount| mount.entry.accessor.as_str()),
            peer: Some(peer),
            token: shown.map(|shown| shown.token).or(unknown),
            accessor: shown.and_then(|shown| shown.accessor),
            display_name: caller.map(|(entry, _)| entry.display_name.as_str()),
            metadata: caller.and_then(|(entry, _)| entry.login()).map(|(key, name)| (key, short(name))),
            policies: caller.map_or(&[], |(entry, _)| entry.policies.as_slice()),
            fields: &self.fields,
            fields_omitted: self.fields_omitted,
            query: &self.query,
            wrap_ttl: self.wrap_ttl,
            status: self.status,
            error: self.error.as_deref(),
            data: self.data,
            issued: self.issued.map(|(token, _)| token),
            issued_accessor: self.issued.map(|(_, accessor)| accessor),
            wrapping: self.wrapping.map(|(token, _)| token),
            wrapping_accessor: self.wrapping.map(|(_, accessor)| accessor),
        };
        let mut members = Vec::with_capacity(1024);
        serde_json::to_writer(&mut members, &record).map_err(Error::internal)?;
        Ok(members)
    }
}

fn text_of(ip: IpAddr) -> String {
    ip.to_canonical().to_string()
}

/// A name of a field, a role or a user, cut to what a name needs: it is written in the clear, unless it looks like a
/// token.
fn short(name: &str) -> &str {
    if is_token_like(name) {
        return "(token)";
    }
    let end = name.char_indices().nth(128).map_or(name.len(), |(index, _)| index);
    name.get(..end).unwrap_or_default()
}

/// The bytes that `sys/audit-hash` would be asked for: the content of a text, the JSON of anything else.
fn value_of(json: &str) -> Cow<'_, [u8]> {
    match json.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) {
        Some(plain) if !plain.contains('\\') => Cow::Borrowed(plain.as_bytes()),
        Some(_) => serde_json::from_str::<Zeroizing<String>>(json)
            .map_or(Cow::Borrowed(json.as_bytes()), |text| Cow::Owned(text.as_bytes().to_vec())),
        None => Cow::Borrowed(json.as_bytes()),
    }
}

/// The path with every segment replaced that looks like a token: some clients put theirs into the URL.
fn masked(path: &Path) -> String {
    let text = path.as_str();
    if !text.split('/').any(is_token_like) {
        return text.to_owned();
    }
    let segments: Vec<&str> =
        path.segments().map(|segment| if is_token_like(segment) { "(token)" } else { segment }).collect();
    segments.join("/")
}

fn is_token_like(segment: &str) -> bool {
    let foreign = ["hvs.", "hvb.", "hvr.", "s.", "b.", "r."];
    // Anywhere in it, as in `token=…`.
    TokenKind::ALL.into_iter().any(|kind| segment.contains(kind.prefix()))
        || (segment.len() >= 24 && foreign.into_iter().any(|prefix| segment.starts_with(prefix)))
}

#[cfg(test)]
mod tests {
    use turnlock_core::Path;

    use super::{masked, value_of};

    #[test]
    fn a_token_in_the_path_is_not_written() {
        for (path, written) in [
            ("auth/token/lookup/tlk_s_abc", "auth/token/lookup/(token)"),
            ("auth/token/lookup/hvs.CAESIJ0123456789abcdefghij", "auth/token/lookup/(token)"),
            ("secret/data/s.short", "secret/data/s.short"),
            ("secret/data/token=tlk_b_abc", "secret/data/(token)"),
        ] {
            assert_eq!(Path::parse(path).map(|path| masked(&path)).as_deref(), Ok(written));
        }
    }

    #[test]
    fn texts_are_hashed_by_their_content() {
        assert_eq!(&*value_of(r#""plain""#), b"plain");
        assert_eq!(&*value_of(r#""a\nb""#), b"a\nb");
        assert_eq!(&*value_of("[1]"), b"[1]");
    }
}

//! The head of a request and the forms of its body, parsed once.

use std::net::IpAddr;
use std::time::Duration;

use http::header::{AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, HOST, TRANSFER_ENCODING};
use http::request::Parts as Head;
use percent_encoding::percent_decode;
use serde_json::{Map, Value};
use turnlock_core::{Path, Protected, ttl};

use super::limits::Limits;
use crate::audit::Entry;
use crate::error::Error;
use crate::request::{Fields, Operation, Peer, Query};

/// Longest token in bytes.
const MAX_TOKEN_BYTES: usize = 8 << 10;
/// Longest query in bytes.
const MAX_QUERY_BYTES: usize = 8 << 10;
/// Most query parameters, and most pairs of a form.
const MAX_PAIRS: usize = 128;

/// What the head of a request says.
#[derive(Debug)]
pub(super) struct Parsed {
    pub(super) operation: Operation,
    pub(super) path: Path,
    pub(super) query: Query,
    pub(super) token: Option<Protected>,
    pub(super) wrap_ttl: Option<Duration>,
}

/// Parses the head. What is known of it by the time something is wrong is in `entry`.
pub(super) fn head(path: &str, head: &Head, peer: Peer, entry: &mut Entry) -> Result<Parsed, Error> {
    let path = Path::from_encoded(path).map_err(|reason| Error::invalid(reason.to_string()))?;
    entry.path(&path);
    let token = token(head)?;
    if let Some(token) = &token {
        entry.token(token);
    }
    host(head, peer)?;
    once(head)?;
    framing(head)?;
    let query = query(head.uri.query().unwrap_or_default())?;
    let operation = operation(head, &query)?;
    entry.operation(operation);
    namespace(head)?;
    if operation == Operation::Patch && content_type(head) != Some("application/merge-patch+json") {
        return Err(Error::MediaType);
    }
    Ok(Parsed { operation, path, query, token, wrap_ttl: wrap_ttl(head)? })
}

/// HTTP/1.1 without a host is no request (RFC 9112 §3.2). Callers in this process have no connection and no host.
fn host(head: &Head, peer: Peer) -> Result<(), Error> {
    let missing = head.version == http::Version::HTTP_11 && !head.headers.contains_key(HOST);
    match missing && peer != Peer::Local {
        true => Err(Error::invalid("header Host is missing")),
        false => Ok(()),
    }
}

/// Of two headers that decide, a proxy in front may have judged the one that is not taken here.
fn once(head: &Head) -> Result<(), Error> {
    if head.headers.len() == head.headers.keys_len() {
        return Ok(());
    }
    for name in ["host", "authorization", "content-type", "x-vault-token", "x-vault-namespace", "x-vault-wrap-ttl"] {
        if head.headers.get_all(name).iter().nth(1).is_some() {
            return Err(Error::invalid(format!("header {name} stands twice")));
        }
    }
    Ok(())
}

/// A length beside a chunked body, or an encoding other than `chunked` alone, is how requests are smuggled past a proxy.
fn framing(head: &Head) -> Result<(), Error> {
    let mut encodings = head.headers.get_all(TRANSFER_ENCODING).iter();
    let Some(encoding) = encodings.next() else { return Ok(()) };
    if encodings.next().is_some() || !encoding.as_bytes().eq_ignore_ascii_case(b"chunked") {
        return Err(Error::invalid("Transfer-Encoding must be chunked"));
    }
    if head.headers.contains_key(CONTENT_LENGTH) {
        return Err(Error::invalid("Content-Length and Transfer-Encoding exclude each other"));
    }
    Ok(())
}

/// The announced length of the body.
pub(super) fn content_length(head: &Head) -> Result<Option<usize>, Error> {
    let Some(value) = head.headers.get(CONTENT_LENGTH) else { return Ok(None) };
    let length = value.to_str().ok().and_then(|text| text.parse().ok());
    length.map(Some).ok_or_else(|| Error::invalid("Content-Length is not a length"))
}

fn operation(head: &Head, query: &Query) -> Result<Operation, Error> {
    Ok(match head.method.as_str() {
        "GET" | "HEAD" => {
            if query.flag("list")? {
                Operation::List
            } else if query.flag("scan")? {
                Operation::Scan
            } else {
                Operation::Read
            }
        }
        "POST" | "PUT" => Operation::Update,
        "PATCH" => Operation::Patch,
        "DELETE" => Operation::Delete,
        "LIST" => Operation::List,
        "SCAN" => Operation::Scan,
        _ => return Err(Error::Unsupported),
    })
}

/// Decodes a query or a form: pairs with `&`, a plus for a blank.
fn pairs(text: &[u8]) -> Result<Vec<(String, String)>, Error> {
    let decode = |raw: &[u8]| {
        let blanks: Vec<u8> = raw.iter().map(|byte| if *byte == b'+' { b' ' } else { *byte }).collect();
        let decoded = percent_decode(&blanks).decode_utf8().map(std::borrow::Cow::into_owned);
        decoded.map_err(|_| Error::invalid("query or form is not valid UTF-8"))
    };
    let mut pairs = Vec::new();
    for pair in text.split(|byte| *byte == b'&').filter(|pair| !pair.is_empty()) {
        if pairs.len() == MAX_PAIRS {
            return Err(Error::invalid(format!("more than {MAX_PAIRS} parameters")));
        }
        let mut halves = pair.splitn(2, |byte| *byte == b'=');
        let (name, value) = (halves.next().unwrap_or_default(), halves.next().unwrap_or_default());
        pairs.push((decode(name)?, decode(value)?));
    }
    Ok(pairs)
}

pub(super) fn query(raw: &str) -> Result<Query, Error> {
    if raw.len() > MAX_QUERY_BYTES {
        return Err(Error::invalid("query is too long"));
    }
    Ok(Query(pairs(raw.as_bytes())?))
}

/// The token: its own header, else a bearer's. Other schemes of `Authorization` are not ours to judge.
fn token(head: &Head) -> Result<Option<Protected>, Error> {
    let own = head.headers.get("x-vault-token").map(|value| value.as_bytes());
    let bearer = head.headers.get(AUTHORIZATION).and_then(|value| value.as_bytes().strip_prefix(b"Bearer "));
    let Some(bytes) = own.or(bearer).map(<[u8]>::trim_ascii).filter(|bytes| !bytes.is_empty()) else { return Ok(None) };
    if bytes.len() > MAX_TOKEN_BYTES {
        return Err(Error::Denied);
    }
    Ok(Some(Protected::copy_of(bytes)))
}

fn wrap_ttl(head: &Head) -> Result<Option<Duration>, Error> {
    let Some(value) = head.headers.get("x-vault-wrap-ttl") else { return Ok(None) };
    let parsed = value.to_str().ok().and_then(|text| ttl::parse(text).ok());
    match parsed {
        Some(ttl) if ttl.is_zero() => Ok(None),
        Some(ttl) => Ok(Some(ttl)),
        None => Err(Error::invalid("X-Vault-Wrap-TTL is not a duration")),
    }
}

/// Only the root namespace exists; clients that do not use any may name it.
fn namespace(head: &Head) -> Result<(), Error> {
    let Some(value) = head.headers.get("x-vault-namespace") else { return Ok(()) };
    match value.as_bytes().trim_ascii() {
        b"" | b"/" | b"root" | b"root/" | b"/root" | b"/root/" => Ok(()),
        _ => {
            Err(Error::invalid("namespaces are not supported: leave X-Vault-Namespace out, or name the root namespace"))
        }
    }
}

fn content_type(head: &Head) -> Option<&str> {
    let value = head.headers.get(CONTENT_TYPE)?.to_str().ok()?;
    Some(value.split(';').next().unwrap_or_default().trim())
}

/// The body's fields. Bodies are JSON unless they say that they are a form and do not look like JSON.
pub(super) fn fields(head: &Head, operation: Operation, path: &Path, text: Protected) -> Result<Fields, Error> {
    if !operation.is_write() {
        // Bodies of reads mean nothing; they were read to keep the connection in step.
        return Ok(Fields::empty());
    }
    if matches!(path.as_str(), "sys/storage/raft/snapshot" | "sys/storage/raft/snapshot-force") {
        return Ok(Fields::opaque(text));
    }
    let form = content_type(head) == Some("application/x-www-form-urlencoded");
    if !form || matches!(text.expose().trim_ascii_start().first(), Some(b'{' | b'[') | None) {
        return super::body_fields(text);
    }
    let mut object = Map::new();
    for (name, value) in pairs(text.expose())? {
        if object.insert(name, Value::String(value)).is_some() {
            return Err(Error::invalid("a form field stands twice"));
        }
    }
    Fields::of(&object)
}

/// Who asks: the connection's other end, or the last hop before a trusted proxy.
pub(super) fn peer(head: &Head, connected: Peer, limits: &Limits) -> Peer {
    let Peer::Ip(address) = connected else { return connected };
    if !limits.trusted_proxies.iter().any(|network| network.contains(&address.to_canonical())) {
        return connected;
    }
    // Right-most: what stands further left was written by whoever sent the request to the proxy.
    let forwarded = head.headers.get_all("x-forwarded-for").iter().next_back();
    let hop = forwarded.and_then(|value| value.to_str().ok()).and_then(|text| text.rsplit(',').next());
    hop.and_then(|hop| hop.trim().parse::<IpAddr>().ok()).map_or(connected, Peer::Ip)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;

    use super::{Limits, Peer, namespace, peer, query, token, wrap_ttl};

    fn head(headers: &[(&str, &str)]) -> http::request::Parts {
        let mut request = http::Request::builder().uri("/v1/sys/mounts");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap().into_parts().0
    }

    #[test]
    fn the_token_stands_in_its_header_or_behind_bearer() {
        let text = |headers: &[(&str, &str)]| {
            token(&head(headers)).unwrap().map(|token| token.expose_str().unwrap().to_owned())
        };
        assert_eq!(text(&[("x-vault-token", "a")]).as_deref(), Some("a"));
        assert_eq!(text(&[("authorization", "Bearer b")]).as_deref(), Some("b"));
        assert_eq!(text(&[("authorization", "bearer b")]), None);
        assert_eq!(text(&[("authorization", "Basic b")]), None);
        assert!(token(&head(&[("x-vault-token", &"a".repeat(8193))])).is_err());
    }

    #[test]
    fn forwarded_addresses_are_believed_of_trusted_proxies_only() {
        let forwarded = head(&[("x-forwarded-for", "6.6.6.6, 192.0.2.7")]);
        let (mut limits, proxy) = (Limits::default(), Peer::Ip([10, 0, 0, 1].into()));
        assert_eq!(peer(&forwarded, proxy, &limits), proxy);
        limits.trusted_proxies.push("10.0.0.0/8".parse().unwrap());
        assert_eq!(peer(&forwarded, proxy, &limits), Peer::Ip([192, 0, 2, 7].into()));
    }

    #[test]
    fn only_the_root_namespace_exists() {
        assert!(["", "root", "root/"].iter().all(|name| namespace(&head(&[("x-vault-namespace", name)])).is_ok()));
        assert!(namespace(&head(&[("x-vault-namespace", "team")])).is_err());
    }

    #[test]
    fn a_bad_wrap_ttl_is_refused_without_repeating_it() {
        let error = wrap_ttl(&head(&[("x-vault-wrap-ttl", "tlk_canary_ttl")])).unwrap_err();
        assert!(!error.to_string().contains("canary"));
    }

    proptest! {
        #[test]
        fn any_query_is_answered_without_a_panic(raw in "\\PC{0,60}") {
            let _ = query(&raw);
        }
    }
}

//! The edge: bytes of a connection to a [`Request`], and a [`Response`] to bytes. Everything here runs before anybody is
//! known, so every step is bounded and grows with the length of the input at most.

mod answer;
mod io;
pub mod limits;
pub mod listener;
mod parse;
#[cfg(test)]
pub(crate) mod tests;
pub mod tls;

use std::sync::Arc;

use ::http::request::Parts as Head;
use axum::Router;
use axum::body::Body;
use bytes::Bytes;
use http_body_util::BodyExt as _;
use turnlock_core::Protected;
use uuid::Uuid;

use crate::audit::Entry;
use crate::door;
use crate::error::Error;
use crate::request::{Fields, Operation, Peer, Request};
use crate::response::Response;
use crate::server::Server;
use limits::{Budget, Limits};

/// What a request takes of its connection's turn, which has 128: a client that sends many at once, without waiting for
/// answers, gets four of them before it is the others' turn.
const TURN: usize = 32;

/// What every request of the edge needs.
struct Edge {
    server: Arc<Server>,
    limits: Limits,
    budget: Budget,
}

/// The API over a server, for listeners and for callers in the same process. Cheap to clone.
#[derive(Clone)]
pub struct Api(Arc<Edge>);

impl Api {
    /// The API within `limits`, which all that this one is cloned for share.
    pub fn new(server: Arc<Server>, limits: Limits) -> Self {
        let budget = Budget::new(&limits);
        Self(Arc::new(Edge { server, limits, budget }))
    }

    /// As a service for callers in the same process.
    pub fn router(self) -> Router {
        Router::new().fallback(move |request| async move { self.serve(Peer::Local, request).await })
    }

    /// Answers a request that came over a connection with `peer`.
    async fn serve<B>(&self, peer: Peer, request: http::Request<B>) -> http::Response<Body>
    where
        B: hyper::body::Body<Data = Bytes> + Unpin,
    {
        for _ in 0..TURN {
            tokio::task::coop::consume_budget().await;
        }
        let edge = &self.0;
        let id = Uuid::new_v4();
        let (head, body) = request.into_parts();
        let head_only = head.method == http::Method::HEAD;
        // What follows on a connection after a chunked body was framed by whoever sent it. A proxy in front may have
        // framed it otherwise, so nothing that follows is taken for a request.
        let close = head.version < http::Version::HTTP_2 && head.headers.contains_key(http::header::TRANSFER_ENCODING);
        let outcome = match head.uri.path().strip_prefix("/v1/") {
            Some(path) => answer_v1(edge, id, path, parse::peer(&head, peer, &edge.limits), &head, body).await,
            None => Err(Error::NoRoute),
        };
        answer::write(id, outcome, head_only, close)
    }
}

async fn answer_v1<B>(edge: &Edge, id: Uuid, path: &str, peer: Peer, head: &Head, body: B) -> Result<Response, Error>
where
    B: hyper::body::Body<Data = Bytes> + Unpin,
{
    let server = &edge.server;
    let received = server.clock.now();
    let mut entry = server.audit.entry(id, received, peer);
    let parsed = door::caught(async {
        let parsed = parse::head(path, head, peer, &mut entry)?;
        let body = read_body(edge, head, parsed.token.as_ref(), body).await?;
        // The bytes of the body count until the request is answered.
        let (text, held) = body;
        let _turn = edge.budget.turn(text.len()).await;
        let fields = parse::fields(head, parsed.operation, &parsed.path, text)?;
        Ok((parsed, fields, held))
    });
    let (parsed, fields, held) = match parsed.await {
        Ok(parsed) => parsed,
        Err(error) => {
            door::refuse(server, entry, &error).await?;
            return Err(error);
        }
    };
    let request = Request {
        id,
        operation: parsed.operation,
        path: parsed.path,
        query: parsed.query,
        fields,
        token: parsed.token,
        wrap_ttl: parsed.wrap_ttl,
        peer,
        received,
    };
    enter(server.clone(), request, entry, held).await
}

/// Through the door. A write runs in a task of its own, so that a client that goes away cannot cut it in half.
async fn enter(server: Arc<Server>, request: Request, entry: Entry, held: limits::Held) -> Result<Response, Error> {
    let write = request.operation != Operation::Read && request.operation.is_write();
    let work = async move {
        let outcome = door::enter(&server, request, entry).await;
        drop(held);
        outcome
    };
    match write {
        true => tokio::spawn(work).await.unwrap_or_else(|error| Err(Error::internal(error))),
        // The door catches what a request's own work does; this is for the audit itself.
        false => door::caught(work).await,
    }
}

/// The whole body within its limits: small ones of anybody, larger ones only of live tokens.
async fn read_body<B>(
    edge: &Edge,
    head: &Head,
    token: Option<&Protected>,
    mut body: B,
) -> Result<(Protected, limits::Held), Error>
where
    B: hyper::body::Body<Data = Bytes> + Unpin,
{
    let limits = &edge.limits;
    let announced = parse::content_length(head)?;
    if announced.is_some_and(|length| length > limits.max_request_bytes) {
        return Err(Error::TooLarge(limits.max_request_bytes));
    }
    let mut held = limits::Held::default();
    if announced == Some(0) || body.is_end_stream() {
        return Ok((Protected::new(Vec::new()), held));
    }
    let mut known = false;
    let mut text = zeroize::Zeroizing::new(Vec::new());
    if let Some(length) = announced {
        known = admit(edge, token, length, known).await?;
        edge.budget.hold(&mut held, length, known)?;
        text.reserve_exact(length);
    }
    let deadline = tokio::time::Instant::now() + limits.body_timeout;
    loop {
        let step = limits.stall_timeout;
        let until = deadline.min(tokio::time::Instant::now() + step);
        let frame = tokio::time::timeout_at(until, body.frame());
        let Some(frame) = frame.await.map_err(|_| Error::invalid("request body came too slowly"))? else { break };
        let frame = frame.map_err(|_| Error::invalid("request body could not be read"))?;
        let Ok(bytes) = frame.into_data() else { continue };
        let length = text.len() + bytes.len();
        if length > limits.max_request_bytes {
            return Err(Error::TooLarge(limits.max_request_bytes));
        }
        if length > text.capacity() {
            known = admit(edge, token, length, known).await?;
            grow(&mut text, length, &edge.budget, &mut held, known)?;
        }
        text.extend_from_slice(&bytes);
    }
    Ok((Protected::new(std::mem::take(&mut *text)), held))
}

/// A larger buffer; the old one is wiped, which growing in place would not do.
fn grow(
    text: &mut zeroize::Zeroizing<Vec<u8>>,
    length: usize,
    budget: &Budget,
    held: &mut limits::Held,
    known: bool,
) -> Result<(), Error> {
    let capacity = length.next_power_of_two().max(4096);
    budget.hold(held, capacity - text.capacity(), known)?;
    let mut larger = zeroize::Zeroizing::new(Vec::with_capacity(capacity));
    larger.extend_from_slice(text);
    *text = larger;
    Ok(())
}

/// Whether a body of `length` bytes may be read; answers whether the sender is known to hold a live token.
async fn admit(edge: &Edge, token: Option<&Protected>, length: usize, known: bool) -> Result<bool, Error> {
    if known || length <= edge.limits.max_anonymous_bytes {
        return Ok(known);
    }
    let token = token.ok_or(Error::Denied)?;
    let parts = edge.server.parts()?;
    match parts.tokens.find_text(&parts, token).await? {
        Some(_) => Ok(true),
        None => Err(Error::Denied),
    }
}

/// Fields of a body in one of the accepted forms.
fn body_fields(text: Protected) -> Result<Fields, Error> {
    Fields::parse(text)
}

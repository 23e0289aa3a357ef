//! The edge: bytes of a connection to a [`Request`], and a [`Response`] to bytes. Everything here runs before anybody is
//! known, so every step is bounded and grows with the length of the input at most.

mod answer;
mod body;
mod gate;
mod io;
pub mod limits;
pub mod listener;
mod parse;
mod shares;
#[cfg(test)]
pub(crate) mod tests;
pub mod tls;
mod turns;

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use ::http::request::Parts as Head;
use axum::Router;
use axum::body::Body;
use bytes::Bytes;
use turnlock_core::Protected;
use uuid::Uuid;

use crate::audit::Entry;
use crate::door;
use crate::error::Error;
use crate::request::{Fields, Operation, Peer, Request};
use crate::response::Response;
use crate::server::Server;
use limits::{Budget, Limits};
use turns::Turns;

/// Longest body that is parsed without waiting for a turn.
const SMALL_BODY_BYTES: usize = 4096;

/// How long a client waits for [`Error::Crowded`]. One that asks again at once, as attackers do, is slowed down by it.
const PAUSE: Duration = Duration::from_millis(500);

/// What every request of the edge needs.
struct Edge {
    server: Arc<Server>,
    limits: Limits,
    budget: Arc<Budget>,
}

/// The API over a server, for listeners and for callers in the same process. Cheap to clone.
#[derive(Clone)]
pub struct Api(Arc<Edge>);

impl Api {
    /// The API within `limits`, which all that this one is cloned for share.
    pub fn new(server: Arc<Server>, limits: Limits) -> Self {
        let budget = Arc::new(Budget::new(&limits));
        Self(Arc::new(Edge { server, limits, budget }))
    }

    /// The same API for another listener with `limits` of its own. Memory and turns for bodies are those of this one:
    /// there is one machine, however many listeners there are.
    pub fn within(&self, limits: Limits) -> Self {
        Self(Arc::new(Edge { server: self.0.server.clone(), limits, budget: self.0.budget.clone() }))
    }

    /// Turns at what clients can cause faster than it is done.
    fn turns(&self) -> &Turns {
        &self.0.budget.turns
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
        // The bytes of the body count until the request is answered.
        let (text, held) = body::read(edge, head, parsed.token.as_ref(), peer, body).await?;
        let is_large = text.len() > SMALL_BODY_BYTES;
        let fields = pin!(async { parse::fields(head, parsed.operation, &parsed.path, text) });
        let fields = edge.budget.turns.requests.take(is_large, fields).await?;
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
async fn enter(
    server: Arc<Server>,
    request: Request,
    entry: Entry,
    held: Option<limits::Held>,
) -> Result<Response, Error> {
    let write = request.operation != Operation::Read && request.operation.is_write();
    let work = async move {
        let outcome = door::enter(&server, request, entry).await;
        drop(held);
        outcome
    };
    let outcome = match write {
        true => tokio::spawn(work).await.unwrap_or_else(|error| Err(Error::internal(error))),
        // The door catches what a request's own work does; this is for the audit itself.
        false => door::caught(work).await,
    };
    if matches!(outcome, Err(Error::Crowded(_))) {
        // Nothing of the request is in memory any more: many who wait here cost no more than their connections.
        tokio::time::sleep(PAUSE).await;
    }
    outcome
}

/// Fields of a body in one of the accepted forms.
fn body_fields(text: Protected) -> Result<Fields, Error> {
    Fields::parse(text)
}

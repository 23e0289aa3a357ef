//! The one way in. Every request passes here in a straight line: mount, route, token, policy, audit, handler, audit.

#[cfg(test)]
mod tests;

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures_util::FutureExt as _;
use turnlock_core::policy::Question;

use crate::audit::{Entry, Written};
use crate::engine::{self, Access, Call, Found, Route, Seen, sys};
use crate::error::Error;
use crate::request::{Operation, Request};
use crate::response::{Content, Response};
use crate::server::Server;

/// Serves one request, whose record is `entry`. Whatever the outcome, the record is written before this returns; when it
/// cannot be, the answer is [`Error::Unavailable`].
pub async fn enter(server: &Arc<Server>, request: Request, mut entry: Entry) -> Result<Response, Error> {
    if let Some(answer) = sys::probe(server, &request).await {
        return answer;
    }
    entry.request(&request);
    let mut written = Written::default();
    let outcome = caught(serve(server, request, &mut entry, &mut written)).await;
    // The effect and its record became durable side by side; the answer waits for both.
    server.audit.answer(entry.outcome(&outcome), &written).await?;
    outcome
}

/// A panic in `work` as the error that it is: it ends one request, which is recorded and answered like any other.
pub fn caught<T>(work: impl Future<Output = Result<T, Error>>) -> impl Future<Output = Result<T, Error>> {
    // What a panic leaves halfway is dropped with the future. What outlives it holds: the record's members are set whole,
    // the store changes by whole commits, and no lock here is poisoned by who dropped it; they guard counts and copies
    // of what is stored.
    let outcome = AssertUnwindSafe(work).catch_unwind();
    outcome.map(|outcome| outcome.unwrap_or_else(|_| Err(Error::internal("a panic ended the request"))))
}

/// Records a request that was refused before it could be parsed into a [`Request`].
pub async fn refuse(server: &Arc<Server>, mut entry: Entry, error: &Error) -> Result<(), Error> {
    server.audit.answer(entry.refusal(error), &Written::default()).await
}

async fn serve(
    server: &Arc<Server>,
    request: Request,
    entry: &mut Entry,
    written: &mut Written,
) -> Result<Response, Error> {
    if let Some(route) = sys::without_token(server, &request) {
        if request.operation.is_write() {
            *written = server.audit.intent(entry).await?;
        }
        return route(server, &request).await;
    }
    let parts = server.parts()?;
    let resolved = parts.mounts.table().resolve(&request.path);
    let found = resolved.as_ref().map_or(Found::Nothing, |(mount, start)| {
        engine::find(mount.entry.kind.routes(), request.operation, request.path.as_str(), *start)
    });
    let open = matches!(&found, Found::Route(route, _) if route.access == Access::Open);
    let caller = match (open, &request.token) {
        (true, _) => None,
        (false, None) => return Err(Error::Denied),
        (false, Some(token)) => Some(parts.tokens.identify(&parts, token, request.peer).await?),
    };
    if let Some(caller) = &caller {
        entry.caller(caller);
    }
    // Only to those who may do something there: to others it would tell which mounts exist.
    if request.operation == Operation::Read
        && request.query.value("help").is_some()
        && let Some(caller) = &caller
        && !caller.acl.capabilities(&request.path, None).contains(&"deny")
        && let Some((mount, start)) = &resolved
        && let Some(help) = engine::help(mount.entry.kind.routes(), request.path.as_str(), *start)
    {
        return Response::plain(200, &serde_json::json!({ "help": help, "see_also": null, "openapi": null }));
    }
    let (mount, route, parameters) = match (resolved, found) {
        (Some((mount, _)), Found::Route(route, parameters)) => (mount, route, parameters),
        (_, found) => return Err(unroutable(&request, caller.as_ref(), &found)),
    };
    entry.mount(&mount);
    let wrap_ttl = request.wrap_ttl;
    let mut call = Call {
        server: server.clone(),
        parts: parts.clone(),
        mount: mount.clone(),
        request,
        caller,
        parameters,
        seen: Seen::default(),
    };
    if call.request.operation == Operation::Update
        && let Some(exists) = route.exists
        && !exists(&call).await?
    {
        call.request.operation = Operation::Create;
        entry.operation(Operation::Create);
    }
    judge(&call, route)?;
    if call.request.operation.is_write() {
        *written = server.audit.intent(entry).await?;
    }
    let response = (route.handler)(&call).await?;
    match (wrap_ttl, &response.content) {
        (Some(ttl), Content::Envelope(_)) if response.status < 300 && !ttl.is_zero() => {
            parts.tokens.wrap(&parts, response, ttl, &call.request).await
        }
        _ => Ok(with_note(response, &call.request)),
    }
}

/// Most names in the note on fields without effect, and most characters of each.
const NAMED: (usize, usize) = (8, 64);

/// A bound that was misspelled is no bound, so whoever sent it is told.
fn with_note(response: Response, request: &Request) -> Response {
    let names = request.fields.without_effect();
    if names.is_empty() || !matches!(response.content, Content::Empty | Content::Envelope(_)) {
        return response;
    }
    let shown: Vec<String> = names.iter().take(NAMED.0).map(|name| name.chars().take(NAMED.1).collect()).collect();
    let more = if names.len() > shown.len() { " and others" } else { "" };
    response.with_warning(format!("without effect, because not known here: {}{more}", shown.join(", ")))
}

/// The one policy decision, over the path that the handler gets and over what the engine takes that path for.
fn judge(call: &Call, route: &Route) -> Result<(), Error> {
    let Some(caller) = &call.caller else { return Ok(()) };
    let parameters: Vec<_> = call.request.fields.iter().collect();
    let question = Question {
        path: &call.request.path,
        operation: call.request.operation.into(),
        parameters: &parameters,
        wrap_ttl: call.request.wrap_ttl,
    };
    let verdict = match call.mount.one_form(&call.request.path)? {
        Some(other) => caller.acl.evaluate_with(&question, &other),
        None => caller.acl.evaluate(&question),
    };
    let allowed = verdict.allowed && (route.access != Access::Sudo || verdict.sudo);
    if allowed { Ok(()) } else { Err(Error::Denied) }
}

/// What a caller learns of a path where nothing answers: the same refusal as for a forbidden one, unless its policies
/// allow the path.
fn unroutable(request: &Request, caller: Option<&crate::token::Caller>, found: &Found) -> Error {
    let question =
        Question { path: &request.path, operation: request.operation.into(), parameters: &[], wrap_ttl: None };
    match caller {
        Some(caller) if caller.acl.evaluate(&question).allowed => match found {
            Found::WrongOperation => Error::Unsupported,
            _ => Error::NoRoute,
        },
        _ => Error::Denied,
    }
}

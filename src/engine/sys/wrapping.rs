//! `sys/wrapping`: answers that are kept for one reader.
//!
//! Who holds a wrapping token may open it, so looking it up and opening it ask for no other token. When both are sent,
//! the other one must be alive and allowed.

use turnlock_core::Protected;
use turnlock_core::policy::{Capability, Question};

use crate::engine::Access::{Open, Token};
use crate::engine::auth::route;
use crate::engine::{Call, Route};
use crate::error::Error;
use crate::request::Operation::{Read, Update};
use crate::response::{Content, Json, Response, rfc3339};

/// What this part of the engine answers.
pub(super) const ROUTES: &[Route] = &[
    route(&[Update], "wrapping/wrap", Token, |call| Box::pin(wrap(call)), "Wraps the fields that are sent."),
    route(&[Update], "wrapping/unwrap", Open, |call| Box::pin(unwrap(call)), "Opens a wrapped answer, once."),
    route(&[Update], "wrapping/rewrap", Open, |call| Box::pin(rewrap(call)), "Moves a wrapped answer to a new token."),
    route(&[Update, Read], "wrapping/lookup", Open, |call| Box::pin(lookup(call)), "Shows what is wrapped, closed."),
];

async fn wrap(call: &Call) -> Result<Response, Error> {
    if call.request.wrap_ttl.is_none_or(|ttl| ttl.is_zero()) {
        return Err(Error::invalid("endpoint requires response wrapping to be used"));
    }
    let body = call.request.fields.body();
    let text = if call.request.fields.is_empty() { b"{}" } else { body.expose() };
    // The door wraps it, as it wraps every answer.
    Ok(Response::json(Json::from_text(text.to_vec())))
}

async fn unwrap(call: &Call) -> Result<Response, Error> {
    let token = wrapping_token(call).await?;
    let body = call.parts.tokens.unwrap(&token).await?.ok_or_else(unknown)?;
    let (content, warnings, headers) = (Content::Plain(Json(body)), Vec::new(), Vec::new());
    Ok(Response { status: 200, content, warnings, headers })
}

async fn rewrap(call: &Call) -> Result<Response, Error> {
    let token = wrapping_token(call).await?;
    call.parts.tokens.rewrap(&token).await?.ok_or_else(unknown)
}

async fn lookup(call: &Call) -> Result<Response, Error> {
    let token = sent(call)?;
    let wrapping = call.parts.tokens.wrapping(&token).await?.ok_or_else(unknown)?;
    Response::data(&serde_json::json!({
        "creation_path": wrapping.creation_path,
        "creation_time": rfc3339(wrapping.created),
        "creation_ttl": wrapping.ttl,
    }))
}

/// The wrapping token, after judging the other one if there is one.
async fn wrapping_token(call: &Call) -> Result<Protected, Error> {
    let token = sent(call)?;
    let other = call.request.token.as_ref().filter(|other| !other.same_as(token.expose()));
    if let Some(other) = other {
        let caller = call.parts.tokens.identify(&call.parts, other, call.request.peer).await?;
        let path = &call.request.path;
        let question = Question { path, operation: Capability::Update, parameters: &[], wrap_ttl: None };
        if !caller.acl.evaluate(&question).allowed {
            return Err(Error::Denied);
        }
    }
    Ok(token)
}

/// The token in the body, else the one in the header.
fn sent(call: &Call) -> Result<Protected, Error> {
    if let Some(token) = call.request.fields.protected("token")?.filter(|token| !token.is_empty()) {
        return Ok(token);
    }
    call.request.token.as_ref().map(Protected::duplicate).ok_or_else(|| Error::missing("token"))
}

fn unknown() -> Error {
    Error::invalid("wrapping token is not valid or does not exist")
}

//! The cubbyhole: values that one token keeps for itself. Nobody else can name them, and they die with the token.

use crate::barrier::View;
use crate::engine::Access::Token;
use crate::engine::auth::route;
use crate::engine::{Call, Route, kv1};
use crate::error::Error;
use crate::request::Operation::{Create, Delete, List, Read, Update};
use crate::response::{Json, Response};

/// What the engine answers.
pub const ROUTES: &[Route] = &[
    route(&[Read], "{path*}", Token, |call| Box::pin(read(call)), "Reads a value of the caller's own."),
    route(&[List], "{path*}", Token, |call| Box::pin(list(call)), "Lists the caller's own names below a folder."),
    route(
        &[Create, Update],
        "{path*}",
        Token,
        |call| Box::pin(write(call)),
        "Stores or replaces a value of the caller's own.",
    )
    .with_exists(|call| Box::pin(exists(call))),
    route(&[Delete], "{path*}", Token, |call| Box::pin(delete(call)), "Removes a value of the caller's own."),
];

async fn exists(call: &Call) -> Result<bool, Error> {
    Ok(own(call)?.get(kv1::path(call)?).await?.is_some())
}

async fn read(call: &Call) -> Result<Response, Error> {
    let (_, data) = kv1::fetch(&own(call)?, kv1::path(call)?).await?;
    Ok(Response::json(Json(data)))
}

async fn write(call: &Call) -> Result<Response, Error> {
    kv1::store(&call.parts.barrier, &own(call)?, kv1::path(call)?, &call.request.fields, 0).await
}

async fn delete(call: &Call) -> Result<Response, Error> {
    kv1::remove(&call.parts.barrier, &own(call)?, kv1::path(call)?).await
}

async fn list(call: &Call) -> Result<Response, Error> {
    kv1::names(&own(call)?, call.parameter("path")).await
}

/// The caller's own space. A batch token is not stored, so nothing could be removed with it.
fn own(call: &Call) -> Result<View, Error> {
    let caller = call.caller()?;
    match caller.entry.batch {
        true => Err(Error::invalid("a batch token has no cubbyhole")),
        false => Ok(call.parts.tokens.cubbyhole(&caller.hash)),
    }
}

//! Key and value, version 1: one value for each path, as it was sent.

use std::time::Duration;

use turnlock_core::Protected;

use crate::barrier::{BarrierError, Changes, View};
use crate::engine::Access::Token;
use crate::engine::auth::route;
use crate::engine::{Call, Route};
use crate::error::Error;
use crate::request::Fields;
use crate::request::Operation::{Create, Delete, List, Read, Update};
use crate::response::{Envelope, Json, Lease, Response};

/// Largest value in bytes.
const MAX_BYTES: usize = 1 << 20;

/// How often a removal is tried again when a folder changes meanwhile.
const TRIES: usize = 64;

/// What the engine answers.
pub const ROUTES: &[Route] = &[
    route(&[Read], "{path*}", Token, |call| Box::pin(read(call)), "Reads a value."),
    route(&[List], "{path*}", Token, |call| Box::pin(list(call)), "Lists the names directly below a folder."),
    route(&[Create, Update], "{path*}", Token, |call| Box::pin(write(call)), "Stores or replaces a value.")
        .with_exists(|call| Box::pin(exists(call))),
    route(&[Delete], "{path*}", Token, |call| Box::pin(delete(call)), "Removes a value."),
];

async fn exists(call: &Call) -> Result<bool, Error> {
    Ok(call.mount.view.get(path(call)?).await?.is_some())
}

async fn read(call: &Call) -> Result<Response, Error> {
    let (seconds, data) = fetch(&call.mount.view, path(call)?).await?;
    // Clients read again after this long. There is no lease behind it.
    let tuned = call.mount.entry.config.default_lease_ttl;
    let standard = call.parts.tokens.lifetimes().default.as_secs();
    let duration_seconds = [seconds, tuned].into_iter().find(|seconds| *seconds > 0).unwrap_or(standard);
    let lease = Lease { duration_seconds, ..Lease::default() };
    Ok(Response::envelope(Envelope { data: Some(Json(data)), lease, ..Envelope::default() }))
}

async fn write(call: &Call) -> Result<Response, Error> {
    let seconds = asked_lease(&call.request.fields);
    store(&call.parts.barrier, &call.mount.view, path(call)?, &call.request.fields, seconds).await
}

async fn delete(call: &Call) -> Result<Response, Error> {
    remove(&call.parts.barrier, &call.mount.view, path(call)?).await
}

async fn list(call: &Call) -> Result<Response, Error> {
    names(&call.mount.view, call.parameter("path")).await
}

/// The value's path, which must name one.
pub(super) fn path(call: &Call) -> Result<&str, Error> {
    match call.parameter("path") {
        "" => Err(Error::Unsupported),
        path => Ok(path),
    }
}

/// The lease seconds that were asked for, and the JSON as it was sent.
pub(in crate::engine) async fn fetch(view: &View, path: &str) -> Result<(u64, Protected), Error> {
    let record = view.get(path).await?.ok_or(Error::NotFound)?;
    let damaged = || Error::internal("a stored value is damaged");
    let (seconds, data) = record.value.expose().split_first_chunk::<8>().ok_or_else(damaged)?;
    Ok((u64::from_be_bytes(*seconds), Protected::copy_of(data)))
}

/// Stores the whole body.
pub(super) async fn store(
    barrier: &crate::barrier::Barrier,
    view: &View,
    path: &str,
    fields: &Fields,
    lease_seconds: u64,
) -> Result<Response, Error> {
    if fields.is_empty() {
        return Err(Error::invalid("missing data fields"));
    }
    let body = fields.body();
    if body.len() > MAX_BYTES {
        return Err(Error::TooLarge(MAX_BYTES));
    }
    let mut value = zeroize::Zeroizing::new(Vec::with_capacity(8 + body.len()));
    value.extend(lease_seconds.to_be_bytes());
    value.extend(body.expose());
    let mut changes = Changes::new();
    changes.put(view, path, &value);
    changes.list_folders(view, path);
    barrier.commit(changes).await?;
    Ok(Response::done())
}

/// Removes a value; a missing one is no error.
pub(super) async fn remove(barrier: &crate::barrier::Barrier, view: &View, path: &str) -> Result<Response, Error> {
    for _ in 0..TRIES {
        if view.get(path).await?.is_none() {
            return Ok(Response::done());
        }
        let mut changes = Changes::new();
        view.delete_with_folders(path, &mut changes).await?;
        match barrier.commit(changes).await {
            Ok(_) => return Ok(Response::done()),
            Err(BarrierError::Conflict { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(Error::Unavailable("the folder changes too often, try again"))
}

/// Names directly below a folder.
pub(super) async fn names(view: &View, folder: &str) -> Result<Response, Error> {
    let folder = if folder.is_empty() { String::new() } else { format!("{folder}/") };
    Response::keys(&view.list(&folder).await?)
}

/// `ttl` or `lease` among the data, as far as it is a duration; it is data all the same, so nothing is refused for it.
fn asked_lease(fields: &Fields) -> u64 {
    let read = |name| fields.duration(name).ok().flatten();
    read("ttl").or_else(|| read("lease")).as_ref().map_or(0, Duration::as_secs)
}

//! `sys/internal/ui`: what command lines and browsers ask before anything else.

use serde_json::{Map, Value, json};
use turnlock_core::Path;

use super::mount::shown;
use crate::engine::Access::{Open, Token};
use crate::engine::auth::route;
use crate::engine::{Call, Route};
use crate::error::Error;
use crate::mount::Mount;
use crate::request::Operation::Read;
use crate::response::Response;

/// What this part of the engine answers.
pub(super) const ROUTES: &[Route] = &[
    route(
        &[Read],
        "internal/ui/mounts",
        Open,
        |call| Box::pin(mounts(call)),
        "The mounts that are listed to everybody, or to the caller.",
    ),
    route(
        &[Read],
        "internal/ui/mounts/{path*}",
        Open,
        |call| Box::pin(preflight(call)),
        "The mount that serves a path.",
    ),
    route(
        &[Read],
        "internal/ui/resultant-acl",
        Token,
        |call| Box::pin(async { resultant_acl(call) }),
        "What the caller's policies come to.",
    ),
];

/// Without a token, the mounts tuned to be visible to all; with one, those below which it may do something.
async fn mounts(call: &Call) -> Result<Response, Error> {
    let caller = match &call.request.token {
        Some(token) => call.parts.tokens.identify(&call.parts, token, call.request.peer).await.ok(),
        None => None,
    };
    let (mut secret, mut auth) = (Map::new(), Map::new());
    for mount in call.parts.mounts.table().iter() {
        let public = mount.entry.config.listing_visibility.as_deref() == Some("unauth");
        let reached = caller.as_ref().is_some_and(|caller| reaches(&caller.acl, mount));
        if !public && !reached {
            continue;
        }
        match mount.entry.path.strip_prefix("auth/") {
            Some(path) => auth.insert(format!("{path}/"), brief(mount)),
            None => secret.insert(format!("{}/", mount.entry.path), brief(mount)),
        };
    }
    Response::data(&json!({"secret": secret, "auth": auth}))
}

/// The same refusal for a mount that is not there and for one that the caller may do nothing below.
async fn preflight(call: &Call) -> Result<Response, Error> {
    let token = call.request.token.as_ref().ok_or(Error::Denied)?;
    let caller = call.parts.tokens.identify(&call.parts, token, call.request.peer).await?;
    let path = Path::parse(call.parameter("path")).map_err(|_| Error::Denied)?;
    let table = call.parts.mounts.table();
    let (mount, _) = table.resolve(&path).ok_or(Error::Denied)?;
    if !reaches(&caller.acl, &mount) {
        return Err(Error::Denied);
    }
    let mut data = shown(&mount.entry);
    if let Some(data) = data.as_object_mut() {
        data.insert("path".to_owned(), json!(format!("{}/", mount.entry.path)));
    }
    Response::data(&data)
}

/// The caller's rules as they are merged: those for one path, and those for many, without the star at their end.
fn resultant_acl(call: &Call) -> Result<Response, Error> {
    let acl = &call.caller()?.acl;
    if acl.is_root() {
        return Response::data(&json!({"root": true}));
    }
    let (mut exact_paths, mut glob_paths) = (Map::new(), Map::new());
    for (pattern, exact, capabilities) in acl.rules() {
        let granted = json!({"capabilities": capabilities});
        match exact {
            true => exact_paths.insert(pattern.to_owned(), granted),
            false => glob_paths.insert(pattern.strip_suffix('*').unwrap_or(pattern).to_owned(), granted),
        };
    }
    Response::data(&json!({"root": false, "exact_paths": exact_paths, "glob_paths": glob_paths}))
}

fn reaches(acl: &turnlock_core::policy::Acl, mount: &Mount) -> bool {
    Path::parse(&mount.entry.path).is_ok_and(|path| acl.reaches(&path))
}

fn brief(mount: &Mount) -> Value {
    json!({"type": mount.entry.kind.as_str(), "description": mount.entry.description, "options": mount.entry.options})
}

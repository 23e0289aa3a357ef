//! `sys/capabilities`: what a token may do on which path.

use std::collections::BTreeMap;

use turnlock_core::Path;
use turnlock_core::policy::Acl;

use crate::engine::Access::Token;
use crate::engine::auth::route;
use crate::engine::{Call, Route};
use crate::error::Error;
use crate::request::Operation::Update;
use crate::response::Response;

/// What this part of the engine answers.
pub(super) const ROUTES: &[Route] = &[
    route(&[Update], "capabilities-self", Token, |call| Box::pin(of_self(call)), "What the caller may do on paths."),
    route(&[Update], "capabilities", Token, |call| Box::pin(of_token(call)), "What a token may do on paths."),
    route(
        &[Update],
        "capabilities-accessor",
        Token,
        |call| Box::pin(of_accessor(call)),
        "What the token of an accessor may do on paths.",
    ),
];

async fn of_self(call: &Call) -> Result<Response, Error> {
    shown(call, &call.caller()?.acl)
}

async fn of_token(call: &Call) -> Result<Response, Error> {
    let token = call.request.fields.protected("token")?.filter(|token| !token.is_empty());
    let token = token.ok_or_else(|| Error::missing("token"))?;
    let tokens = &call.parts.tokens;
    let live = tokens.find_text(&call.parts, &token).await?.ok_or_else(|| Error::invalid("invalid token"))?;
    shown(call, &tokens.acl(&call.parts, &live))
}

async fn of_accessor(call: &Call) -> Result<Response, Error> {
    let accessor = call.request.fields.required_string("accessor")?;
    let tokens = &call.parts.tokens;
    let live = tokens.find_accessor(&call.parts, &accessor).await?;
    let live = live.ok_or_else(|| Error::invalid("invalid accessor"))?;
    shown(call, &tokens.acl(&call.parts, &live))
}

/// One list for each path; under `capabilities` too when there is one path, as older clients read it.
fn shown(call: &Call, acl: &Acl) -> Result<Response, Error> {
    let fields = &call.request.fields;
    let paths = match fields.list("paths")? {
        Some(paths) => paths,
        None => fields.list("path")?.unwrap_or_default(),
    };
    if paths.is_empty() {
        return Err(Error::missing("paths"));
    }
    let table = call.parts.mounts.table();
    let mut shown = BTreeMap::new();
    for text in &paths {
        let path =
            Path::parse(text.strip_prefix('/').unwrap_or(text)).map_err(|reason| Error::invalid(reason.to_string()))?;
        // As the door does: a rule for a name holds for every spelling of it.
        let other = table.resolve(&path).map(|(mount, _)| mount.one_form(&path)).transpose()?.flatten();
        shown.insert(text.as_str(), acl.capabilities(&path, other.as_ref()));
    }
    if let ([_], Some(only)) = (paths.as_slice(), shown.values().next().cloned()) {
        shown.insert("capabilities", only);
    }
    Response::data_at_top(&shown)
}

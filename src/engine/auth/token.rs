//! `auth/token`: tokens that tokens make, and what holders and operators do with them.

mod create;
mod roles;

use std::time::Duration;

use turnlock_core::Protected;

use super::route;
use crate::engine::Access::{Sudo, Token};
use crate::engine::{Call, Route};
use crate::error::Error;
use crate::request::Operation::{Delete, List, Read, Update};
use crate::response::Response;
use crate::token::{Children, Live, Lookup};

/// What the engine answers.
pub const ROUTES: &[Route] = &[
    route(&[Update], "create", Token, |call| Box::pin(create::child(call)), "Creates a token."),
    route(&[Update], "create-orphan", Sudo, |call| Box::pin(create::orphan(call)), "Creates a token without a parent."),
    route(&[Update], "create/{role}", Token, |call| Box::pin(create::by_role(call)), "Creates a token as a role says."),
    route(&[Read, Update], "lookup-self", Token, |call| Box::pin(lookup_self(call)), "Shows the caller's token."),
    route(&[Update, Read], "lookup", Token, |call| Box::pin(lookup(call)), "Shows a token."),
    route(
        &[Update],
        "lookup-accessor",
        Token,
        |call| Box::pin(lookup_accessor(call)),
        "Shows the token of an accessor.",
    ),
    route(&[Update], "renew-self", Token, |call| Box::pin(renew_self(call)), "Prolongs the caller's token."),
    route(&[Update], "renew", Token, |call| Box::pin(renew(call)), "Prolongs a token."),
    route(
        &[Update],
        "renew-accessor",
        Token,
        |call| Box::pin(renew_accessor(call)),
        "Prolongs the token of an accessor.",
    ),
    route(
        &[Update],
        "revoke-self",
        Token,
        |call| Box::pin(revoke_self(call)),
        "Ends the caller's token and all below.",
    ),
    route(&[Update], "revoke", Token, |call| Box::pin(revoke(call)), "Ends a token and all below."),
    route(
        &[Update],
        "revoke-accessor",
        Token,
        |call| Box::pin(revoke_accessor(call)),
        "Ends the token of an accessor and all below.",
    ),
    route(
        &[Update],
        "revoke-orphan",
        Sudo,
        |call| Box::pin(revoke_orphan(call)),
        "Ends a token; those below live on as orphans.",
    ),
    route(&[List], "accessors", Sudo, |call| Box::pin(accessors(call)), "Lists all accessors."),
    route(&[List], "roles", Token, |call| Box::pin(roles::list(call)), "Lists the roles."),
    route(&[Read], "roles/{role}", Token, |call| Box::pin(roles::read(call)), "Shows a role."),
    route(
        &[Update, crate::request::Operation::Create],
        "roles/{role}",
        Token,
        |call| Box::pin(roles::write(call)),
        "Writes a role.",
    )
    .with_exists(|call| Box::pin(roles::exists(call))),
    route(&[Delete], "roles/{role}", Token, |call| Box::pin(roles::delete(call)), "Removes a role."),
    route(&[Update], "tidy", Sudo, |call| Box::pin(tidy(call)), "Sweeps rows that no longer mean anything."),
];

async fn lookup_self(call: &Call) -> Result<Response, Error> {
    let caller = call.caller()?;
    Lookup::response(&caller.entry, call.request.token.as_ref(), call.parts.tokens.now())
}

async fn lookup(call: &Call) -> Result<Response, Error> {
    match sent_token(call)? {
        None => lookup_self(call).await,
        Some(token) => {
            let live = call.parts.tokens.find_text(&call.parts, &token).await?.ok_or(Error::Denied)?;
            live.lookup_with(&token, call.parts.tokens.now())
        }
    }
}

async fn lookup_accessor(call: &Call) -> Result<Response, Error> {
    by_accessor(call).await?.lookup(call.parts.tokens.now())
}

async fn renew_self(call: &Call) -> Result<Response, Error> {
    let caller = call.caller()?;
    let live = Live { hash: caller.hash.clone(), entry: caller.entry.clone() };
    let token = call.request.token.as_ref().ok_or(Error::Denied)?;
    renewed(call, &live, token.duplicate()).await
}

async fn renew(call: &Call) -> Result<Response, Error> {
    let Some(token) = sent_token(call)? else { return renew_self(call).await };
    let live = call.parts.tokens.find_text(&call.parts, &token).await?.ok_or(Error::Denied)?;
    renewed(call, &live, token).await
}

async fn renew_accessor(call: &Call) -> Result<Response, Error> {
    let live = by_accessor(call).await?;
    renewed(call, &live, Protected::new(Vec::new())).await
}

async fn renewed(call: &Call, live: &Live, token: Protected) -> Result<Response, Error> {
    if live.entry.batch {
        return Err(Error::invalid("batch tokens cannot be renewed"));
    }
    let increment = call.request.fields.duration("increment")?.unwrap_or(Duration::ZERO);
    Ok(call.parts.tokens.renew(&call.parts, &live.hash, increment).await?.response(token))
}

async fn revoke_self(call: &Call) -> Result<Response, Error> {
    let caller = call.caller()?;
    if caller.entry.batch {
        return Err(Error::invalid("batch tokens cannot be revoked"));
    }
    call.parts.tokens.revoke(&caller.hash, Children::Die).await?;
    Ok(Response::done())
}

async fn revoke(call: &Call) -> Result<Response, Error> {
    revoke_sent(call, Children::Die).await
}

async fn revoke_orphan(call: &Call) -> Result<Response, Error> {
    revoke_sent(call, Children::BecomeOrphans).await
}

/// Ends the token in the body. One that is dead already is no error: a client that repeats itself gets what it wants.
async fn revoke_sent(call: &Call, children: Children) -> Result<Response, Error> {
    let token = sent_token(call)?.ok_or_else(|| Error::missing("token"))?;
    let tokens = &call.parts.tokens;
    match tokens.find_text(&call.parts, &token).await? {
        Some(live) if live.entry.batch => return Err(Error::invalid("batch tokens cannot be revoked")),
        _ => tokens.revoke(&tokens.hash(&token), children).await?,
    };
    Ok(Response::done())
}

async fn revoke_accessor(call: &Call) -> Result<Response, Error> {
    let accessor = call.request.fields.required_string("accessor")?;
    match call.parts.tokens.revoke_accessor(&accessor).await? {
        true => Ok(Response::done()),
        false => Err(Error::invalid("invalid accessor")),
    }
}

async fn accessors(call: &Call) -> Result<Response, Error> {
    Response::keys(&call.parts.tokens.accessors().await?)
}

async fn tidy(call: &Call) -> Result<Response, Error> {
    let more = call.parts.tokens.sweep().await?;
    let text = if more { "one round of the sweep is done; more is left" } else { "all is swept" };
    Ok(Response::done().with_warning(text))
}

/// The token in the body.
fn sent_token(call: &Call) -> Result<Option<Protected>, Error> {
    Ok(call.request.fields.protected("token")?.filter(|token| !token.is_empty()))
}

async fn by_accessor(call: &Call) -> Result<Live, Error> {
    let accessor = call.request.fields.required_string("accessor")?;
    call.parts.tokens.find_accessor(&call.parts, &accessor).await?.ok_or(Error::Denied)
}

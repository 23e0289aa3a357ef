//! `sys/leases`: what is granted for a time, by its id or by the start of it.
//!
//! The policy `default` lets every token look up and renew by an id in the body. So such a request reaches only leases
//! of the caller and of tokens below it, unless a policy allows the same with the id in the path: an id that leaked
//! is of no use to others.

use std::collections::BTreeMap;
use std::time::Duration;

use turnlock_core::Path;
use turnlock_core::policy::{Capability, Question, Reason};

use crate::engine::Access::{Sudo, Token};
use crate::engine::auth::route;
use crate::engine::{Call, Route};
use crate::error::Error;
use crate::request::Operation::{List, Read, Update};
use crate::response::{Envelope, Lease, Response};
use crate::token::{Children, Live};

/// What this part of the engine answers.
pub(super) const ROUTES: &[Route] = &[
    route(&[List], "leases/lookup/{prefix*}", Sudo, |call| Box::pin(list(call)), "Lists leases below a prefix."),
    route(&[Update], "leases/lookup/{id*}", Token, |call| Box::pin(lookup(call)), "Shows a lease."),
    route(&[Update], "leases/renew/{id*}", Token, |call| Box::pin(renew(call)), "Prolongs a lease."),
    route(&[Update], "leases/revoke/{id*}", Token, |call| Box::pin(revoke(call)), "Ends a lease."),
    route(
        &[Update],
        "leases/revoke-prefix/{prefix*}",
        Sudo,
        |call| Box::pin(revoke_prefix(call)),
        "Ends all leases below a prefix.",
    ),
    route(
        &[Update],
        "leases/revoke-force/{prefix*}",
        Sudo,
        |call| Box::pin(revoke_prefix(call)),
        "Ends all leases below a prefix, whatever their engines say.",
    ),
    route(&[Update], "leases/tidy", Sudo, |call| Box::pin(tidy(call)), "Sweeps leases that are over."),
    route(&[Read], "leases/count", Sudo, |call| Box::pin(count(call)), "Counts the leases."),
    route(&[Update], "renew/{id*}", Token, |call| Box::pin(renew(call)), "Prolongs a lease."),
    route(&[Update], "revoke/{id*}", Token, |call| Box::pin(revoke(call)), "Ends a lease."),
    route(
        &[Update],
        "revoke-prefix/{prefix*}",
        Sudo,
        |call| Box::pin(revoke_prefix(call)),
        "Ends leases below a prefix.",
    ),
    route(
        &[Update],
        "revoke-force/{prefix*}",
        Sudo,
        |call| Box::pin(revoke_prefix(call)),
        "Ends leases below a prefix.",
    ),
];

async fn list(call: &Call) -> Result<Response, Error> {
    Response::keys(&call.parts.tokens.leases_below(call.parameter("prefix")).await?)
}

async fn lookup(call: &Call) -> Result<Response, Error> {
    let id = lease_id(call)?;
    let live = own(call, &id).await?;
    live.lease_lookup(&id, call.parts.tokens.now())
}

async fn renew(call: &Call) -> Result<Response, Error> {
    let id = lease_id(call)?;
    let live = own(call, &id).await?;
    let increment = call.request.fields.duration("increment")?.unwrap_or(Duration::ZERO);
    let renewed = call.parts.tokens.renew(&call.parts, &live.hash, increment).await?;
    let lease = Lease { id, renewable: renewed.entry.renewable, duration_seconds: renewed.entry.ttl };
    Ok(Response::envelope(Envelope { lease, ..Envelope::default() }))
}

async fn revoke(call: &Call) -> Result<Response, Error> {
    let id = lease_id(call)?;
    waited_for(call)?;
    // No policy grants this unasked, so the grant on the path is enough.
    granted_in_path(call, &id)?;
    if let Some(live) = call.parts.tokens.find_lease(&call.parts, &id).await? {
        call.parts.tokens.revoke(&live.hash, Children::Die).await?;
    }
    Ok(Response::done())
}

async fn revoke_prefix(call: &Call) -> Result<Response, Error> {
    let prefix = call.parameter("prefix");
    if prefix.is_empty() {
        return Err(Error::invalid("a prefix is required"));
    }
    waited_for(call)?;
    call.parts.tokens.revoke_prefix(prefix).await?;
    Ok(Response::done())
}

async fn tidy(call: &Call) -> Result<Response, Error> {
    let more = call.parts.tokens.sweep().await?;
    let text = if more { "one round of the sweep is done; more is left" } else { "all is swept" };
    Ok(Response::done().with_warning(text).with_status(202))
}

async fn count(call: &Call) -> Result<Response, Error> {
    let mut counts = BTreeMap::new();
    for mount in call.parts.mounts.table().iter().map(|mount| mount.entry.path.clone()).collect::<Vec<_>>() {
        let count = call.parts.tokens.count_leases_below(&mount).await?;
        if count > 0 {
            counts.insert(format!("{mount}/"), count);
        }
    }
    let lease_count: u64 = counts.values().sum();
    Response::data(&serde_json::json!({ "counts": counts, "lease_count": lease_count }))
}

/// Takes note of `sync`: the end of a lease is always waited for.
fn waited_for(call: &Call) -> Result<(), Error> {
    call.request.fields.flag("sync").map(drop)
}

/// The id in the path, else in the body.
fn lease_id(call: &Call) -> Result<String, Error> {
    let id = match call.parameter("id") {
        "" => call.request.fields.required_string("lease_id")?,
        id => id.to_owned(),
    };
    let path = Path::parse(id.trim_matches('/')).map_err(|_| Error::invalid("invalid lease"))?;
    Ok(path.as_str().to_owned())
}

/// The lease, if the caller may reach it.
async fn own(call: &Call, id: &str) -> Result<Live, Error> {
    let tokens = &call.parts.tokens;
    let granted = granted_in_path(call, id)?;
    let live = tokens.find_lease(&call.parts, id).await?.ok_or_else(|| Error::invalid("invalid lease"))?;
    let own = granted || tokens.is_at_or_below(&live, &call.caller()?.hash).await?;
    if own { Ok(live) } else { Err(Error::Denied) }
}

/// Whether the policies allow the path with the id in it; an error when one denies it. An id in the body is judged as if
/// it stood in the path, where the door has judged it already.
fn granted_in_path(call: &Call, id: &str) -> Result<bool, Error> {
    if !call.parameter("id").is_empty() {
        return Ok(true);
    }
    let sent = call.request.path.as_str();
    let with_id = |path: &str| Path::parse(&format!("{path}/{id}")).map_err(|_| Error::Denied);
    let (path, newer) = (with_id(sent)?, with_id(&sent.replacen("sys/re", "sys/leases/re", 1))?);
    let question = |path| Question { path, operation: Capability::Update, parameters: &[], wrap_ttl: None };
    let acl = &call.caller()?.acl;
    let verdicts = [acl.evaluate(&question(&path)), acl.evaluate(&question(&newer))];
    if verdicts.iter().any(|verdict| matches!(verdict.reason, Reason::Denied(_))) {
        return Err(Error::Denied);
    }
    Ok(verdicts.iter().all(|verdict| verdict.allowed))
}

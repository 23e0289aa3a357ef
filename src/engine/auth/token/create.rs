//! The making of tokens by tokens: what the parent, the request and a role say, judged together.

use std::time::Duration;

use turnlock_core::policy::PolicyName;

use super::roles::{self, Role};
use crate::barrier::Changes;
use crate::engine::Call;
use crate::engine::auth::settings::policies;
use crate::error::Error;
use crate::request::Fields;
use crate::response::{Content, Envelope, Response};
use crate::token::{Caller, Issued, Order, has_sudo};

/// How often a creation is tried again when the parent changed meanwhile.
const TRIES: usize = 16;
/// Longest text, and most entries, of metadata that a token carries.
const META_LIMIT: usize = 64;

/// `create`.
pub(super) async fn child(call: &Call) -> Result<Response, Error> {
    create(call, None, false).await
}

/// `create-orphan`.
pub(super) async fn orphan(call: &Call) -> Result<Response, Error> {
    create(call, None, true).await
}

/// `create/{role}`.
pub(super) async fn by_role(call: &Call) -> Result<Response, Error> {
    let name = call.parameter("role");
    let role = roles::find(call, name).await?.ok_or_else(|| Error::invalid("unknown role"))?;
    create(call, Some((name, &role)), false).await
}

async fn create(call: &Call, role: Option<(&str, &Role)>, orphan: bool) -> Result<Response, Error> {
    let parent = call.caller()?;
    if parent.entry.batch {
        return Err(Error::invalid("batch tokens cannot create more tokens"));
    }
    if parent.entry.num_uses > 0 {
        return Err(Error::invalid("restricted use token cannot generate child tokens"));
    }
    for _ in 0..TRIES {
        let order = order(call, parent, role, orphan)?;
        let mount = &call.mount.entry;
        match call.parts.tokens.issue(&call.parts, mount, order, Changes::new()).await? {
            Issued::Done(response) => return Ok(with_missing_policies(call, *response)),
            Issued::Conflict if call.request.fields.has("id") => {
                return Err(Error::invalid(
                    "a token with this id exists or is still being removed, or the parent changed",
                ));
            }
            Issued::Conflict => {}
        }
    }
    Err(Error::Busy(Duration::from_secs(1)))
}

/// A policy that is not there grants nothing now, and whatever somebody writes under its name later.
fn with_missing_policies(call: &Call, mut response: Response) -> Response {
    let Content::Envelope(Envelope { auth: Some(auth), .. }) = &response.content else { return response };
    let missing = |name: &String| {
        let stored = PolicyName::parse(name).ok().and_then(|name| call.parts.policies.read(&name));
        name != "root" && stored.is_none()
    };
    let names: Vec<_> = auth.policies.iter().filter(|name| missing(name)).cloned().collect();
    response.warnings.extend(names.into_iter().map(|name| format!("Policy {name:?} does not exist")));
    response
}

fn order<'a>(call: &Call, parent: &'a Caller, role: Option<(&str, &Role)>, orphan: bool) -> Result<Order<'a>, Error> {
    let fields = &call.request.fields;
    let sudo = has_sudo(&parent.acl, &call.request.path);
    let batch = is_batch(fields, role)?;
    let period = fields.duration("period")?.unwrap_or_default();
    if !period.is_zero() && role.is_none() && !sudo {
        return Err(Error::invalid("root or sudo privileges required to create periodic token"));
    }
    let no_parent = fields.flag("no_parent")?.unwrap_or(false);
    if no_parent && role.is_none() && !sudo {
        return Err(Error::invalid("root or sudo privileges required to create orphan token"));
    }
    let id = fields.protected("id")?.filter(|id| !id.is_empty());
    if id.is_some() && (!sudo || role.is_some()) {
        return Err(Error::invalid("root or sudo privileges required to specify token id"));
    }
    if id.as_ref().is_some_and(|id| batch || id.len() > 512 || id.expose().starts_with(b"tlk_")) {
        return Err(Error::invalid("a token id must not start with \"tlk_\", exceed 512 bytes or name a batch token"));
    }
    let names = granted_policies(fields, parent, role.map(|(_, role)| role), sudo)?;
    let ttl = match fields.duration("ttl")? {
        Some(ttl) => ttl,
        // The older name of the same field.
        None => fields.duration("lease")?.unwrap_or_default(),
    };
    let root = names.iter().any(|name| name == "root");
    if root && batch {
        return Err(Error::invalid("batch tokens cannot be root tokens"));
    }
    let explicit_max_ttl = fields.duration("explicit_max_ttl")?.unwrap_or_default();
    let role_max = role.map_or(0, |(_, role)| role.token_explicit_max_ttl);
    let explicit_max_ttl = shorter(explicit_max_ttl, Duration::from_secs(role_max));
    let period = match role {
        Some((_, role)) if role.token_period > 0 => Duration::from_secs(role.token_period),
        Some(_) => Duration::ZERO,
        None => period,
    };
    let unending = root && ttl.is_zero() && period.is_zero() && explicit_max_ttl.is_zero();
    if unending && parent.entry.expires.is_some() {
        return Err(Error::invalid("expiring root tokens cannot create non-expiring root tokens"));
    }
    let num_uses = fields.number("num_uses")?.unwrap_or(0);
    let num_uses = match role.map_or(0, |(_, role)| role.token_num_uses) {
        0 => num_uses,
        limit if num_uses == 0 => limit,
        limit => num_uses.min(limit),
    };
    if batch && (num_uses > 0 || !period.is_zero() || !explicit_max_ttl.is_zero()) {
        return Err(Error::invalid("batch tokens cannot be periodic, limited in uses or have an explicit max TTL"));
    }
    let metadata = match fields.map("meta")? {
        Some(meta) => meta,
        None => fields.map("metadata")?.unwrap_or_default(),
    };
    if metadata.len() > META_LIMIT || metadata.iter().any(|(key, value)| key.len() > 128 || value.len() > 512) {
        return Err(Error::invalid("metadata holds at most 64 entries of keys up to 128 and values up to 512 bytes"));
    }
    let orphan = orphan || role.map_or(no_parent, |(_, role)| role.orphan);
    let mut path = call.request.path.as_str().to_owned();
    if let Some((_, role)) = role.filter(|(_, role)| !role.path_suffix.is_empty()) {
        path = format!("{path}/{}", role.path_suffix);
    }
    Ok(Order {
        policies: names,
        display_name: display_name(fields)?,
        metadata,
        path,
        role: role.map(|(name, _)| name.to_owned()),
        parent: (!orphan).then_some(parent),
        ttl,
        explicit_max_ttl,
        period,
        renewable: fields.flag("renewable")?.unwrap_or(true) && role.is_none_or(|(_, role)| role.renewable),
        num_uses,
        // A token that is bound to networks cannot shake them off; a role may say others.
        bound_cidrs: role
            .map(|(_, role)| role.token_bound_cidrs.clone())
            .filter(|networks| !networks.is_empty())
            .unwrap_or_else(|| parent.entry.bound_cidrs.clone()),
        named: (!sudo).then(|| parent.entry.named()),
        batch,
        unending,
        id,
        ..Order::default()
    })
}

/// Which policies the token gets. A request reaches at most what its parent or role may give.
fn granted_policies(fields: &Fields, parent: &Caller, role: Option<&Role>, sudo: bool) -> Result<Vec<String>, Error> {
    let mut asked = policies(&fields.list("policies")?.unwrap_or_default())?;
    let no_default = fields.flag("no_default_policy")?.unwrap_or(false);
    let own = &parent.entry.policies;
    let may_default;
    match role.filter(|role| role.restricts()) {
        Some(role) => {
            if asked.is_empty() {
                asked = if role.token_allows_by_name() { role.allowed_policies.clone() } else { own.clone() };
            }
            role.check(&asked)?;
            may_default = !role.disallows("default");
        }
        None => {
            if asked.is_empty() {
                asked.clone_from(own);
            } else if !sudo
                && asked.iter().any(|name| name != "default" && !own.contains(name))
                && !parent.entry.is_root()
            {
                return Err(Error::invalid("child policies must be subset of parent"));
            }
            // Who lacks `default` must not gain it by a child.
            may_default = sudo || parent.entry.is_root() || own.iter().any(|name| name == "default");
            if !may_default {
                asked.retain(|name| name != "default");
            }
        }
    }
    if asked.iter().any(|name| name == "root") {
        return match parent.entry.is_root() {
            true => Ok(vec!["root".to_owned()]),
            false => Err(Error::invalid("root tokens may not be created without parent token being root")),
        };
    }
    let no_default = no_default || role.is_some_and(|role| role.token_no_default_policy);
    if may_default && !no_default && !asked.iter().any(|name| name == "default") {
        asked.push("default".to_owned());
    }
    Ok(asked)
}

fn is_batch(fields: &Fields, role: Option<(&str, &Role)>) -> Result<bool, Error> {
    use crate::engine::auth::settings::TokenType::{Batch, DefaultBatch, Service};
    let asked = fields.string("type")?;
    let asked = match asked.as_deref() {
        None | Some("") => None,
        Some("service") => Some(false),
        Some("batch") => Some(true),
        Some(_) => return Err(Error::invalid("field \"type\" must be service or batch")),
    };
    Ok(match role.map(|(_, role)| role.token_type) {
        Some(Batch) => true,
        Some(Service) => false,
        Some(DefaultBatch) => asked.unwrap_or(true),
        _ => asked.unwrap_or(false),
    })
}

/// `token`, or `token-` and what was asked, without what could mislead a reader of logs.
fn display_name(fields: &Fields) -> Result<String, Error> {
    let asked = fields.string("display_name")?.unwrap_or_default();
    let clean: String =
        asked.chars().take(128).map(|c| if c.is_alphanumeric() || "-_.".contains(c) { c } else { '-' }).collect();
    let clean = clean.trim_matches('-');
    Ok(if clean.is_empty() { "token".to_owned() } else { format!("token-{clean}") })
}

/// The shorter of two times, of which zero is none.
fn shorter(a: Duration, b: Duration) -> Duration {
    if a.is_zero() || b.is_zero() { a.max(b) } else { a.min(b) }
}

//! The login: the same work, text and status for an unknown role, a wrong secret id and one that is over.

use std::time::Duration;

use ipnet::IpNet;
use tokio::time::MissedTickBehavior;

use super::MAX_ID_BYTES;
use super::role::{self, Role};
use super::secret::{self, SecretId};
use crate::barrier::Changes;
use crate::engine::Call;
use crate::error::Error;
use crate::response::Response;
use crate::store::Revision;
use crate::token::Issued;

/// How often a login is tried again when another one took a use of the same secret id meanwhile.
const TRIES: usize = 64;

/// A refused login is answered a whole number of these steps after it began, so that how far it got cannot be measured,
/// also on a machine that is too busy to judge it within the first one.
const REFUSAL: Duration = Duration::from_millis(10);

pub(super) async fn login(call: &Call) -> Result<Response, Error> {
    let mut steps = tokio::time::interval(REFUSAL);
    steps.set_missed_tick_behavior(MissedTickBehavior::Skip);
    // The first tick is now.
    steps.tick().await;
    let answer = exchange(call).await;
    if answer.is_err() {
        steps.tick().await;
    }
    answer
}

async fn exchange(call: &Call) -> Result<Response, Error> {
    let fields = &call.request.fields;
    let role_id = fields.protected("role_id")?.filter(|id| !id.is_empty()).ok_or_else(|| Error::missing("role_id"))?;
    let secret_id = fields.protected("secret_id")?;
    let secret_id = secret_id.as_ref().map(|id| id.expose()).unwrap_or_default();
    if role_id.len() > MAX_ID_BYTES || secret_id.len() > MAX_ID_BYTES {
        return Err(refused());
    }
    for _ in 0..TRIES {
        let known = role::by_role_id(call, role_id.expose()).await?;
        let uuid = known.as_ref().map_or("none", |(_, role, _)| role.uuid.as_str());
        let (hash, found) = secret::find(call, uuid, secret_id).await?;
        let Some((name, role, revision)) = known else { return Err(refused()) };
        let mut changes = Changes::new();
        // A role that was removed or changed meanwhile gives no token.
        changes.require(&call.mount.view, &format!("role/{name}"), revision);
        let secret = match role.bind_secret_id {
            true => Some(take_use(call, &mut changes, &role, &hash, found)?),
            false => None,
        };
        if !from_within(call, &role.secret_id_bound_cidrs) || !from_within(call, &role.token.token_bound_cidrs) {
            return Err(refused());
        }
        let mut order = role.token.order(call.mount.entry.config.token_type.as_deref());
        order.display_name = call.mount.entry.path.strip_prefix("auth/").unwrap_or_default().replace('/', "-");
        order.path = call.request.path.as_str().to_owned();
        if let Some(secret) = secret {
            if !secret.token_bound_cidrs.is_empty() {
                order.bound_cidrs = secret.token_bound_cidrs;
            }
            order.metadata = secret.metadata;
        }
        order.metadata.insert("role_name".to_owned(), name.clone());
        order.role = Some(name);
        if !order.bound_cidrs.is_empty() && !from_within(call, &order.bound_cidrs) {
            return Err(refused());
        }
        match call.parts.tokens.issue(&call.parts, &call.mount.entry, order, changes).await? {
            Issued::Done(response) => return Ok(*response),
            Issued::Conflict => {}
        }
    }
    Err(Error::Busy(Duration::from_secs(1)))
}

/// Judges the secret id and puts the taking of one use into the same commit as the token.
fn take_use(
    call: &Call,
    changes: &mut Changes,
    role: &Role,
    hash: &str,
    found: Option<(SecretId, Revision)>,
) -> Result<SecretId, Error> {
    let (mut secret, revision) = found.ok_or_else(refused)?;
    let now = call.parts.tokens.now();
    if secret.is_over(now) || !from_within(call, &secret.cidr_list) {
        return Err(refused());
    }
    let (view, row) = (&call.mount.view, secret::row(&role.uuid, hash));
    // Also without a limit: a secret id that is destroyed meanwhile gives no token.
    changes.require(view, &row, revision);
    match secret.uses_left {
        0 => {}
        1 => secret::remove(call, changes, &role.uuid, hash, &secret),
        _ => {
            secret.uses_left -= 1;
            secret.updated = now;
            changes.put(view, &row, &serde_json::to_vec(&secret).map_err(Error::internal)?);
        }
    }
    Ok(secret)
}

fn from_within(call: &Call, networks: &[IpNet]) -> bool {
    let address = call.request.peer.ip().to_canonical();
    networks.is_empty() || networks.iter().any(|network| network.contains(&address))
}

fn refused() -> Error {
    Error::invalid("invalid role or secret ID")
}

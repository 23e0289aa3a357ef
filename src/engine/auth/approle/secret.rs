//! Secret ids. Their text is answered once, when they are made; stored is a keyed hash.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use turnlock_core::Protected;
use uuid::Uuid;

use super::role::{self, Role};
use super::{MAX_ID_BYTES, keyed_hash};
use crate::barrier::{BarrierError, Changes};
use crate::engine::Call;
use crate::engine::auth::settings::networks;
use crate::error::Error;
use crate::response::{Response, rfc3339};
use crate::store::Revision;
use crate::token::life;

/// Secret ids that one commit removes.
const BATCH: usize = 128;

/// A secret id as it is stored.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct SecretId {
    pub(super) accessor: String,
    pub(super) cidr_list: Vec<IpNet>,
    pub(super) token_bound_cidrs: Vec<IpNet>,
    pub(super) created: DateTime<Utc>,
    pub(super) updated: DateTime<Utc>,
    pub(super) expires: Option<DateTime<Utc>>,
    pub(super) ttl: u64,
    pub(super) metadata: BTreeMap<String, String>,
    /// 0 for no limit; the record goes with the last use.
    pub(super) uses_left: u64,
}

impl SecretId {
    pub(super) fn is_over(&self, now: DateTime<Utc>) -> bool {
        self.expires.is_some_and(|end| end <= now)
    }

    fn shown(&self) -> Result<Response, Error> {
        Response::data(&serde_json::json!({
            "cidr_list": self.cidr_list,
            "creation_time": rfc3339(self.created),
            "expiration_time": self.expires.map_or_else(|| "0001-01-01T00:00:00Z".to_owned(), rfc3339),
            "last_updated_time": rfc3339(self.updated),
            "metadata": self.metadata,
            "secret_id_accessor": self.accessor,
            "secret_id_num_uses": self.uses_left,
            "secret_id_ttl": self.ttl,
            "token_bound_cidrs": self.token_bound_cidrs,
        }))
    }
}

/// Where a secret id with that hash lies.
pub(super) fn row(role_uuid: &str, hash: &str) -> String {
    format!("secret/{role_uuid}/{hash}")
}

fn accessor_row(role_uuid: &str, accessor: &str) -> String {
    format!("accessor/{role_uuid}/{accessor}")
}

/// The secret id with that text, over or not.
pub(super) async fn find(
    call: &Call,
    role_uuid: &str,
    text: &[u8],
) -> Result<(String, Option<(SecretId, Revision)>), Error> {
    let hash = keyed_hash(call, text)?;
    let found = at(call, role_uuid, &hash).await?;
    Ok((hash, found))
}

async fn at(call: &Call, role_uuid: &str, hash: &str) -> Result<Option<(SecretId, Revision)>, Error> {
    let Some(record) = call.mount.view.get(&row(role_uuid, hash)).await? else { return Ok(None) };
    let secret = serde_json::from_slice(record.value.expose()).map_err(Error::internal)?;
    Ok(Some((secret, record.revision)))
}

pub(super) async fn draw(call: &Call) -> Result<Response, Error> {
    create(call, Protected::from(Uuid::new_v4().to_string())).await
}

pub(super) async fn custom(call: &Call) -> Result<Response, Error> {
    let text = sent(call)?;
    create(call, text).await
}

async fn create(call: &Call, text: Protected) -> Result<Response, Error> {
    let (role, revision) = role::of(call).await?;
    if !role.bind_secret_id {
        return Err(Error::invalid("bind_secret_id is not set on the role"));
    }
    let secret = ordered(call, &role)?;
    let view = &call.mount.view;
    let hash = keyed_hash(call, text.expose())?;
    let mut changes = Changes::new();
    // A role that is removed meanwhile must not get another secret id.
    changes.require(view, &format!("role/{}", call.parameter("role").to_lowercase()), revision);
    changes.require_absent(view, &row(&role.uuid, &hash));
    changes.put(view, &row(&role.uuid, &hash), &serde_json::to_vec(&secret).map_err(Error::internal)?);
    changes.put(view, &accessor_row(&role.uuid, &secret.accessor), hash.as_bytes());
    match call.parts.barrier.commit(changes).await {
        Ok(_) => {}
        Err(BarrierError::Conflict { index: 1 }) => return Err(Error::invalid("the secret id is in use already")),
        Err(BarrierError::Conflict { .. }) => return Err(Error::Busy(std::time::Duration::from_secs(1))),
        Err(error) => return Err(error.into()),
    }
    Response::data(&serde_json::json!({
        "secret_id": text.expose_str().unwrap_or_default(),
        "secret_id_accessor": secret.accessor,
        "secret_id_num_uses": secret.uses_left,
        "secret_id_ttl": secret.ttl,
    }))
}

/// What the request asks for, within what the role allows.
fn ordered(call: &Call, role: &Role) -> Result<SecretId, Error> {
    let fields = &call.request.fields;
    let within = |asked: Option<u64>, limit: u64, text: &'static str| match asked {
        None => Ok(limit),
        Some(asked) if limit > 0 && (asked == 0 || asked > limit) => Err(Error::invalid(text)),
        Some(asked) => Ok(asked),
    };
    let ttl = within(
        fields.duration("ttl")?.map(|ttl| ttl.as_secs()),
        role.secret_id_ttl,
        "ttl exceeds the role's secret_id_ttl",
    )?;
    let uses =
        within(fields.number("num_uses")?, role.secret_id_num_uses, "num_uses exceeds the role's secret_id_num_uses")?;
    let cidr_list = networks("cidr_list", &fields.list("cidr_list")?.unwrap_or_default())?;
    let token_bound_cidrs = networks("token_bound_cidrs", &fields.list("token_bound_cidrs")?.unwrap_or_default())?;
    let subset = |inner: &[IpNet], outer: &[IpNet]| {
        outer.is_empty() || inner.iter().all(|inner| outer.iter().any(|outer| outer.contains(inner)))
    };
    if !subset(&cidr_list, &role.secret_id_bound_cidrs) || !subset(&token_bound_cidrs, &role.token.token_bound_cidrs) {
        return Err(Error::invalid("the CIDR blocks must lie within those of the role"));
    }
    let metadata = fields.map("metadata")?.unwrap_or_default();
    if metadata.len() > 64 || metadata.iter().any(|(key, value)| key.len() > 128 || value.len() > 512) {
        return Err(Error::invalid("metadata holds at most 64 entries of keys up to 128 and values up to 512 bytes"));
    }
    let now = call.parts.tokens.now();
    Ok(SecretId {
        accessor: Uuid::new_v4().to_string(),
        cidr_list,
        token_bound_cidrs,
        created: now,
        updated: now,
        expires: (ttl > 0).then(|| life::after(now, ttl)),
        ttl,
        metadata,
        uses_left: uses,
    })
}

pub(super) async fn list(call: &Call) -> Result<Response, Error> {
    let (role, _) = role::of(call).await?;
    Response::keys(&call.mount.view.list(&accessor_row(&role.uuid, "")).await?)
}

pub(super) async fn lookup(call: &Call) -> Result<Response, Error> {
    let (role, _) = role::of(call).await?;
    let text = sent(call)?;
    match find(call, &role.uuid, text.expose()).await?.1 {
        Some((secret, _)) if !secret.is_over(call.parts.tokens.now()) => secret.shown(),
        // Clients take an empty answer for an unknown secret id.
        _ => Ok(Response::done()),
    }
}

pub(super) async fn destroy(call: &Call) -> Result<Response, Error> {
    let (role, _) = role::of(call).await?;
    let text = sent(call)?;
    let (hash, found) = find(call, &role.uuid, text.expose()).await?;
    if let Some((secret, _)) = found {
        let mut changes = Changes::new();
        remove(call, &mut changes, &role.uuid, &hash, &secret);
        call.parts.barrier.commit(changes).await?;
    }
    Ok(Response::done())
}

pub(super) async fn lookup_accessor(call: &Call) -> Result<Response, Error> {
    let (_, _, secret) = by_accessor(call).await?;
    if secret.is_over(call.parts.tokens.now()) { Err(Error::NotFound) } else { secret.shown() }
}

pub(super) async fn destroy_accessor(call: &Call) -> Result<Response, Error> {
    let (role_uuid, hash, secret) = by_accessor(call).await?;
    let mut changes = Changes::new();
    remove(call, &mut changes, &role_uuid, &hash, &secret);
    call.parts.barrier.commit(changes).await?;
    Ok(Response::done())
}

/// The role's uuid, the hash and the secret id of the accessor in the body, which must belong to the role in the path.
async fn by_accessor(call: &Call) -> Result<(String, String, SecretId), Error> {
    let (role, _) = role::of(call).await?;
    let accessor = call.request.fields.required_string("secret_id_accessor")?;
    if accessor.contains('/') {
        return Err(Error::NotFound);
    }
    let pointer = call.mount.view.get(&accessor_row(&role.uuid, &accessor)).await?.ok_or(Error::NotFound)?;
    let hash = pointer.value.expose_str().unwrap_or_default().to_owned();
    let (secret, _) = at(call, &role.uuid, &hash).await?.ok_or(Error::NotFound)?;
    Ok((role.uuid, hash, secret))
}

/// Removes both rows of a secret id.
pub(super) fn remove(call: &Call, changes: &mut Changes, role_uuid: &str, hash: &str, secret: &SecretId) {
    changes.delete(&call.mount.view, &row(role_uuid, hash));
    changes.delete(&call.mount.view, &accessor_row(role_uuid, &secret.accessor));
}

/// Removes what is left of a removed role.
pub(super) async fn remove_all(call: &Call, role_uuid: &str) -> Result<(), Error> {
    remove_where(call, role_uuid, |_| true).await?;
    let mut changes = Changes::new();
    changes.delete(&call.mount.view, &format!("dead/{role_uuid}"));
    call.parts.barrier.commit(changes).await?;
    Ok(())
}

async fn remove_where(call: &Call, role_uuid: &str, over: impl Fn(&SecretId) -> bool) -> Result<(), Error> {
    let mut gone = Vec::new();
    for (hash, record) in call.mount.view.list_values(&row(role_uuid, "")).await? {
        let secret: SecretId = serde_json::from_slice(record.value.expose()).map_err(Error::internal)?;
        if over(&secret) {
            gone.push((hash, secret));
        }
    }
    for batch in gone.chunks(BATCH) {
        let mut changes = Changes::new();
        for (hash, secret) in batch {
            remove(call, &mut changes, role_uuid, hash, secret);
        }
        call.parts.barrier.commit(changes).await?;
    }
    Ok(())
}

pub(super) async fn tidy(call: &Call) -> Result<Response, Error> {
    let now = call.parts.tokens.now();
    for uuid in call.mount.view.list("dead/").await? {
        remove_all(call, &uuid).await?;
    }
    for (_, record) in call.mount.view.list_values("role/").await? {
        let role: Role = serde_json::from_slice(record.value.expose()).map_err(Error::internal)?;
        remove_where(call, &role.uuid, |secret| secret.is_over(now)).await?;
    }
    Ok(Response::done().with_warning("secret ids that are over have been removed").with_status(202))
}

/// The secret id in the body.
fn sent(call: &Call) -> Result<Protected, Error> {
    let text = call.request.fields.protected("secret_id")?.filter(|text| !text.is_empty());
    let text = text.ok_or_else(|| Error::missing("secret_id"))?;
    if text.len() > MAX_ID_BYTES {
        return Err(Error::invalid("a secret id has at most 4096 bytes"));
    }
    Ok(text)
}

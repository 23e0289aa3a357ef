//! What a look-up tells of a token.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use ipnet::IpNet;
use serde::Serialize;
use turnlock_core::Protected;

use super::row::{self, AccessorRow};
use super::{Live, TokenEntry, Tokens};
use crate::error::Error;
use crate::lease::LeaseRow;
use crate::response::{Response, rfc3339};
use crate::server::Parts;

/// `data` of `auth/token/lookup` and its like.
#[derive(Serialize)]
pub struct Lookup<'a> {
    accessor: &'a str,
    #[serde(skip_serializing_if = "<[IpNet]>::is_empty")]
    bound_cidrs: &'a [IpNet],
    creation_time: i64,
    creation_ttl: u64,
    display_name: &'a str,
    entity_id: &'static str,
    expire_time: Option<String>,
    explicit_max_ttl: u64,
    id: &'a str,
    issue_time: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_renewal: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_renewal_time: Option<i64>,
    meta: Option<&'a BTreeMap<String, String>>,
    num_uses: u64,
    orphan: bool,
    path: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    period: Option<u64>,
    policies: &'a [String],
    renewable: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<&'a str>,
    ttl: u64,
    r#type: &'static str,
}

impl<'a> Lookup<'a> {
    /// What `entry` shows at `now`. `id`: the token's text if the client knows it already, else empty.
    pub fn response(entry: &'a TokenEntry, id: Option<&'a Protected>, now: DateTime<Utc>) -> Result<Response, Error> {
        let from_role = entry.path.starts_with("auth/token/create/");
        Response::data(&Self {
            accessor: &entry.accessor,
            bound_cidrs: &entry.bound_cidrs,
            creation_time: entry.created.timestamp(),
            creation_ttl: entry.creation_ttl,
            display_name: &entry.display_name,
            entity_id: "",
            expire_time: entry.expires.map(rfc3339),
            explicit_max_ttl: entry.explicit_max_ttl,
            id: id.and_then(Protected::expose_str).unwrap_or_default(),
            issue_time: rfc3339(entry.created),
            last_renewal: entry.renewed.map(rfc3339),
            last_renewal_time: entry.renewed.map(|time| time.timestamp()),
            meta: (!entry.metadata.is_empty()).then_some(&entry.metadata),
            num_uses: entry.uses_left,
            orphan: entry.parent.is_none(),
            path: &entry.path,
            period: (entry.period > 0).then_some(entry.period),
            policies: &entry.policies,
            renewable: entry.renewable,
            role: entry.role.as_deref().filter(|_| from_role),
            ttl: entry.seconds_left(now),
            r#type: entry.type_name(),
        })
    }
}

impl Tokens {
    /// All accessors, in order.
    pub async fn accessors(&self) -> Result<Vec<String>, Error> {
        Ok(self.view.list("accessor/").await?)
    }

    /// The token that `accessor` belongs to, alive or not, or the wrapped answer.
    pub(super) async fn accessor_row(&self, accessor: &str) -> Result<Option<AccessorRow>, Error> {
        if accessor.is_empty() || accessor.contains('/') {
            return Ok(None);
        }
        let record = self.view.get(&row::accessor(accessor)).await?;
        record.map(|record| serde_json::from_slice(record.value.expose()).map_err(Error::internal)).transpose()
    }

    /// The live token that `accessor` belongs to.
    pub async fn find_accessor(&self, parts: &Parts, accessor: &str) -> Result<Option<Live>, Error> {
        match self.accessor_row(accessor).await? {
            Some(row) if !row.wrapping => self.find(parts, &row.hash).await,
            _ => Ok(None),
        }
    }

    /// Ends the token or the wrapped answer that `accessor` belongs to. Answers whether there was one.
    pub async fn revoke_accessor(&self, accessor: &str) -> Result<bool, Error> {
        match self.accessor_row(accessor).await? {
            Some(row) if row.wrapping => self.forget_wrapped(&row.hash).await,
            Some(row) => self.revoke(&row.hash, super::Children::Die).await,
            None => Ok(false),
        }
    }

    /// The live token whose lease has that id.
    pub async fn find_lease(&self, parts: &Parts, id: &str) -> Result<Option<Live>, Error> {
        let id = id.trim_matches('/');
        if id.is_empty() {
            return Ok(None);
        }
        let Some(record) = self.leases.get(id).await? else { return Ok(None) };
        let LeaseRow::Token { hash } = serde_json::from_slice(record.value.expose()).map_err(Error::internal)?;
        self.find(parts, &hash).await
    }

    /// Names directly below a prefix of leases; those of folders end with a slash.
    pub async fn leases_below(&self, prefix: &str) -> Result<Vec<String>, Error> {
        Ok(self.leases.list(&folder(prefix)).await?)
    }

    /// How many leases lie below a prefix.
    pub async fn count_leases_below(&self, prefix: &str) -> Result<u64, Error> {
        let (mut folders, mut count) = (vec![folder(prefix)], 0);
        while let Some(folder) = folders.pop() {
            for name in self.leases.list(&folder).await? {
                match name.ends_with('/') {
                    true => folders.push(format!("{folder}{name}")),
                    false => count += 1,
                }
            }
            tokio::task::yield_now().await;
        }
        Ok(count)
    }
}

impl Live {
    /// What a look-up of this token shows at `now`, without the token's text.
    pub fn lookup(&self, now: DateTime<Utc>) -> Result<Response, Error> {
        Lookup::response(&self.entry, None, now)
    }

    /// The same with the text that the client sent.
    pub fn lookup_with(&self, token: &Protected, now: DateTime<Utc>) -> Result<Response, Error> {
        Lookup::response(&self.entry, Some(token), now)
    }

    /// What a look-up of its lease shows at `now`.
    pub fn lease_lookup(&self, id: &str, now: DateTime<Utc>) -> Result<Response, Error> {
        let entry = &self.entry;
        Response::data(&LeaseLookup {
            expire_time: entry.expires.map(rfc3339),
            id,
            issue_time: rfc3339(entry.created),
            last_renewal: entry.renewed.map(rfc3339),
            renewable: entry.renewable,
            ttl: entry.seconds_left(now),
        })
    }
}

/// `data` for a lease look-up.
#[derive(Serialize)]
struct LeaseLookup<'a> {
    expire_time: Option<String>,
    id: &'a str,
    issue_time: String,
    last_renewal: Option<String>,
    renewable: bool,
    ttl: u64,
}

/// A prefix as the name of a folder.
fn folder(prefix: &str) -> String {
    match prefix.trim_matches('/') {
        "" => String::new(),
        prefix => format!("{prefix}/"),
    }
}

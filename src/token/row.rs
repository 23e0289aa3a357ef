//! The rows of tokens in the barrier. Changes to one token's rows are made here, together.
//!
//! | name | value |
//! |---|---|
//! | `id/HASH` | the entry |
//! | `accessor/ACCESSOR` | which token it belongs to |
//! | `child/PARENT/HASH` | empty |
//! | `expiry/BUCKET/HASH` | empty; BUCKET is the end in units of ten minutes |
//! | `grave/HASH` | what is left to sweep of a revoked token |
//! | `prefix/ID` | a revoked prefix of leases |
//! | `wrap/HASH` | a wrapped answer |
//! | `swept` | the first bucket that is not swept yet |
//!
//! The lease of a token lies in a space of its own, under its lease id.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::{Held, TokenEntry, TokenHash, Tokens};
use crate::barrier::Changes;
use crate::error::Error;
use crate::lease::LeaseRow;

/// Seconds of one bucket.
pub(super) const BUCKET_SECONDS: i64 = 600;

/// Value of `accessor/ACCESSOR`.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct AccessorRow {
    pub(super) hash: TokenHash,
    /// Whether it belongs to a wrapped answer instead of a token.
    #[serde(default)]
    pub(super) wrapping: bool,
}

/// Value of `grave/HASH`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Grave {
    /// The children died with it.
    Tree,
    /// The children live on without a parent.
    Orphans,
    /// Its last use is taken; it is still to be revoked.
    Spent,
}

/// Value of `prefix/ID`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct RevokedPrefix {
    /// Lease ids that start with this are revoked,
    pub(super) prefix: String,
    /// if they were made until then.
    pub(super) until: DateTime<Utc>,
}

impl RevokedPrefix {
    pub(super) fn covers(&self, entry: &TokenEntry, hash: &TokenHash) -> bool {
        entry.created <= self.until && lease_id(entry, hash).starts_with(&self.prefix)
    }
}

/// The lease id of a service token: its path and a part of its hash, which opens nothing.
pub(super) fn lease_id(entry: &TokenEntry, hash: &TokenHash) -> String {
    format!("{}/h{}", entry.path, hash.0.get(..40).unwrap_or_default())
}

pub(super) fn id(hash: &TokenHash) -> String {
    format!("id/{}", hash.0)
}

pub(super) fn accessor(accessor: &str) -> String {
    format!("accessor/{accessor}")
}

pub(super) fn children(parent: &TokenHash) -> String {
    format!("child/{}/", parent.0)
}

pub(super) fn child(parent: &TokenHash, hash: &TokenHash) -> String {
    format!("child/{}/{}", parent.0, hash.0)
}

pub(super) fn grave(hash: &TokenHash) -> String {
    format!("grave/{}", hash.0)
}

pub(super) fn bucket(end: DateTime<Utc>) -> i64 {
    end.timestamp().div_euclid(BUCKET_SECONDS)
}

pub(super) fn expiry(end: DateTime<Utc>, name: &str) -> String {
    format!("expiry/{}/{name}", bucket(end))
}

pub(super) fn json(value: &impl Serialize) -> Result<Vec<u8>, Error> {
    serde_json::to_vec(value).map_err(Error::internal)
}

impl Tokens {
    /// The rows of a new service token.
    pub(super) fn put_rows(&self, changes: &mut Changes, hash: &TokenHash, entry: &TokenEntry) -> Result<(), Error> {
        changes.require_absent(&self.view, &id(hash));
        changes.put(&self.view, &id(hash), &json(entry)?);
        let row = AccessorRow { hash: hash.clone(), wrapping: false };
        changes.put(&self.view, &accessor(&entry.accessor), &json(&row)?);
        if let Some(parent) = &entry.parent {
            changes.put(&self.view, &child(parent, hash), &[]);
        }
        if let Some(end) = entry.expires {
            changes.put(&self.view, &expiry(end, &hash.0), &[]);
        }
        changes.create(&self.leases, &lease_id(entry, hash), &json(&LeaseRow::Token { hash: hash.clone() })?);
        Ok(())
    }

    /// Replaces the entry of a token that is still as it was read.
    pub(super) fn replace_entry(
        &self,
        changes: &mut Changes,
        hash: &TokenHash,
        old: &Held,
        new: &TokenEntry,
    ) -> Result<(), Error> {
        let revision = old.revision.ok_or_else(|| Error::internal("a batch token has no row to replace"))?;
        changes.require(&self.view, &id(hash), revision);
        changes.put(&self.view, &id(hash), &json(new)?);
        if old.entry.expires.map(bucket) != new.expires.map(bucket) {
            if let Some(end) = old.entry.expires {
                changes.delete(&self.view, &expiry(end, &hash.0));
            }
            if let Some(end) = new.expires {
                changes.put(&self.view, &expiry(end, &hash.0), &[]);
            }
        }
        Ok(())
    }

    /// Removes all rows of a token that is still as it was read, and leaves its grave.
    pub(super) fn remove_rows(
        &self,
        changes: &mut Changes,
        hash: &TokenHash,
        held: &Held,
        left: Grave,
    ) -> Result<(), Error> {
        let entry = &held.entry;
        if let Some(revision) = held.revision {
            changes.require(&self.view, &id(hash), revision);
        }
        changes.delete(&self.view, &id(hash));
        changes.delete(&self.view, &accessor(&entry.accessor));
        if let Some(parent) = &entry.parent {
            changes.delete(&self.view, &child(parent, hash));
        }
        if let Some(end) = entry.expires {
            changes.delete(&self.view, &expiry(end, &hash.0));
        }
        changes.delete(&self.leases, &lease_id(entry, hash));
        changes.put(&self.view, &grave(hash), &json(&left)?);
        Ok(())
    }
}

//! The sweeping of rows that no longer mean anything. Nothing depends on it for safety: every life is judged at use.

use chrono::{DateTime, Utc};

use super::row::{self, BUCKET_SECONDS, Grave};
use super::{Held, TokenEntry, TokenHash, Tokens};
use crate::barrier::{BarrierError, Changes};
use crate::error::Error;
use crate::lease::LeaseRow;
use crate::store::Revision;

/// The row with the first bucket that is not swept yet.
const SWEPT: &str = "swept";
/// Tokens that one commit removes.
const BATCH: usize = 64;
/// Tokens that one round removes.
const ROUND: usize = 4096;
/// Buckets of the calendar that one round looks into.
const BUCKETS: i64 = 2048;

impl Tokens {
    /// One bounded round: graves, revoked prefixes, what has expired. Answers whether more is left to do, so that the
    /// caller can go on at once instead of waiting for its next turn.
    pub async fn sweep(&self) -> Result<bool, Error> {
        let mut budget = ROUND;
        self.sweep_graves(&mut budget).await?;
        self.sweep_prefixes(&mut budget).await?;
        self.sweep_expired(&mut budget).await?;
        Ok(budget == 0)
    }

    async fn sweep_graves(&self, budget: &mut usize) -> Result<(), Error> {
        for (name, record) in self.view.list_values("grave/").await? {
            if *budget == 0 {
                return Ok(());
            }
            let hash = TokenHash(name);
            match serde_json::from_slice(record.value.expose()).map_err(Error::internal)? {
                Grave::Spent => {
                    *budget -= 1;
                    if !self.revoke(&hash, super::Children::Die).await? {
                        self.close_grave(&hash, record.revision).await?;
                    }
                }
                grave if self.sweep_grave(&hash, grave, budget).await? => {
                    self.close_grave(&hash, record.revision).await?;
                }
                _ => return Ok(()),
            }
        }
        Ok(())
    }

    /// The children first, then what the token kept for itself. Answers whether nothing is left: only then the grave may
    /// be closed, so that a crash in between leaves it.
    async fn sweep_grave(&self, hash: &TokenHash, grave: Grave, budget: &mut usize) -> Result<bool, Error> {
        let children = self.view.list(&row::children(hash)).await?;
        let taken = children.len().min(*budget);
        for batch in children.get(..taken).unwrap_or_default().chunks(BATCH) {
            let batch: Vec<_> = batch.iter().map(|name| TokenHash(name.clone())).collect();
            match grave {
                Grave::Orphans => self.orphan(hash, &batch).await?,
                _ => self.remove(Some(hash), &batch).await?,
            }
            tokio::task::yield_now().await;
        }
        *budget -= taken;
        // A batch that met with a change is still there.
        if !self.view.list(&row::children(hash)).await?.is_empty() {
            return Ok(false);
        }
        while self.cubbyhole(hash).purge(BATCH).await? > 0 {
            tokio::task::yield_now().await;
        }
        Ok(true)
    }

    /// Removes a grave that is still the one that was swept.
    async fn close_grave(&self, hash: &TokenHash, revision: Revision) -> Result<(), Error> {
        let mut changes = Changes::new();
        changes.require(&self.view, &row::grave(hash), revision);
        changes.delete(&self.view, &row::grave(hash));
        self.commit_sweep(changes).await
    }

    /// Removes all rows of tokens, as one commit, each leaving its own grave. Children of a dead `parent` that have no
    /// entry any more leave its list.
    async fn remove(&self, parent: Option<&TokenHash>, hashes: &[TokenHash]) -> Result<(), Error> {
        let (mut changes, mut gone) = (Changes::new(), Vec::new());
        for hash in hashes {
            match self.view.get(&row::id(hash)).await? {
                Some(record) => {
                    self.remove_rows(&mut changes, hash, &*Held::read(&record)?, Grave::Tree)?;
                    gone.push(hash);
                }
                None => parent.iter().for_each(|parent| changes.delete(&self.view, &row::child(parent, hash))),
            }
        }
        self.commit_sweep(changes).await?;
        gone.into_iter().for_each(|hash| self.cache.forget(hash));
        Ok(())
    }

    /// Takes the dead parent out of its children's entries, as one commit.
    async fn orphan(&self, parent: &TokenHash, hashes: &[TokenHash]) -> Result<(), Error> {
        let mut changes = Changes::new();
        for hash in hashes {
            if let Some(record) = self.view.get(&row::id(hash)).await? {
                let held = Held::read(&record)?;
                let entry = TokenEntry { parent: None, ..TokenEntry::clone(&held.entry) };
                self.replace_entry(&mut changes, hash, &held, &entry)?;
            }
            changes.delete(&self.view, &row::child(parent, hash));
        }
        self.commit_sweep(changes).await?;
        hashes.iter().for_each(|hash| self.cache.forget(hash));
        Ok(())
    }

    /// A row that changed meanwhile is left for the next round.
    async fn commit_sweep(&self, changes: Changes) -> Result<(), Error> {
        if changes.is_empty() {
            return Ok(());
        }
        match self.barrier.commit(changes).await {
            Ok(_) | Err(BarrierError::Conflict { .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    async fn sweep_prefixes(&self, budget: &mut usize) -> Result<(), Error> {
        let revoked = self.revoked_prefixes.load_full();
        for (name, revoked) in revoked.iter() {
            let mut folders = vec![revoked.prefix.clone()];
            let mut left = false;
            while let Some(folder) = folders.pop() {
                for (lease, record) in self.leases.list_values(&folder).await? {
                    if lease.ends_with('/') {
                        folders.push(format!("{folder}{lease}"));
                        continue;
                    }
                    let LeaseRow::Token { hash } =
                        serde_json::from_slice(record.value.expose()).map_err(Error::internal)?;
                    let covered = match self.read(&hash).await? {
                        Some(held) => revoked.covers(&held.entry, &hash),
                        None => false,
                    };
                    if covered && *budget == 0 {
                        left = true;
                    } else if covered {
                        *budget -= 1;
                        self.revoke(&hash, super::Children::Die).await?;
                    }
                }
                tokio::task::yield_now().await;
            }
            if !left {
                let mut changes = Changes::new();
                changes.delete(&self.view, &format!("prefix/{name}"));
                self.barrier.commit(changes).await?;
                self.revoked_prefixes
                    .rcu(|old| old.iter().filter(|(other, _)| other != name).cloned().collect::<Vec<_>>());
            }
        }
        Ok(())
    }

    /// Notes where the sweep of the calendar begins, before the first token of a store is made.
    pub(super) async fn begin_calendar(&self) -> Result<(), Error> {
        if self.view.get(SWEPT).await?.is_none() {
            let mut changes = Changes::new();
            changes.require_absent(&self.view, SWEPT);
            changes.put(&self.view, SWEPT, &row::json(&row::bucket(self.now()))?);
            self.commit_sweep(changes).await?;
        }
        Ok(())
    }

    async fn sweep_expired(&self, budget: &mut usize) -> Result<(), Error> {
        let now = self.now();
        let current = row::bucket(now);
        let start = match self.view.get(SWEPT).await? {
            Some(record) => serde_json::from_slice(record.value.expose()).map_err(Error::internal)?,
            None => current,
        };
        let end = current.min(start.saturating_add(BUCKETS));
        let mut next = start;
        for bucket in start..=end {
            if *budget == 0 {
                break;
            }
            let names = self.view.list(&format!("expiry/{bucket}/")).await?;
            for name in &names {
                if *budget == 0 {
                    break;
                }
                *budget -= usize::from(self.sweep_one(bucket, name, now).await?);
            }
            // The bucket of now is looked into again: not all in it have ended.
            if *budget > 0 && bucket < current {
                next = bucket + 1;
            }
        }
        if next != start {
            let mut changes = Changes::new();
            changes.put(&self.view, SWEPT, &row::json(&next)?);
            self.barrier.commit(changes).await?;
        }
        Ok(())
    }

    /// Removes what one row of the calendar points to, if its time has come. Answers whether something was removed.
    async fn sweep_one(&self, bucket: i64, name: &str, now: DateTime<Utc>) -> Result<bool, Error> {
        let bucket_is_over = (bucket + 1).saturating_mul(BUCKET_SECONDS) <= now.timestamp();
        let removed = match name.strip_prefix('w') {
            Some(_) if !bucket_is_over => return Ok(false),
            Some(hash) => self.forget_wrapped(&TokenHash(hash.to_owned())).await?,
            None => {
                let hash = TokenHash(name.to_owned());
                match self.read(&hash).await? {
                    Some(held) if held.entry.expires.is_some_and(|end| end <= now) => {
                        self.revoke(&hash, super::Children::Die).await?
                    }
                    Some(held) if held.entry.expires.map(row::bucket) == Some(bucket) => return Ok(false),
                    _ => false,
                }
            }
        };
        if !removed {
            // Points to nothing: left over by a change that came between.
            let mut changes = Changes::new();
            changes.delete(&self.view, &format!("expiry/{bucket}/{name}"));
            self.barrier.commit(changes).await?;
        }
        Ok(true)
    }
}

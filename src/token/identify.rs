//! Who a token is: the way that every request takes.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use turnlock_core::Protected;
use turnlock_core::policy::{Acl, TemplateValues};
use turnlock_core::token::TokenKind;

use super::row::{self, Grave};
use super::{Caller, Held, Live, MAX_DEPTH, TokenEntry, TokenHash, Tokens};
use crate::barrier::{BarrierError, Changes};
use crate::error::Error;
use crate::request::Peer;
use crate::server::Parts;

impl Tokens {
    /// The caller behind `text`, which may be anything at all; takes one of its uses if they are limited.
    ///
    /// Errors: [`Error::Denied`] for a token that is unknown, malformed, expired, used up, revoked by itself or with an
    /// ancestor, of a mount that is gone, or used from outside its networks. All of them take one hash and one look-up.
    pub async fn identify(&self, parts: &Parts, text: &Protected, peer: Peer) -> Result<Caller, Error> {
        let hash = self.hash(text);
        let now = self.now();
        let held = match self.cache.get(&hash) {
            Some(held) => held,
            None => self.read_presented(&hash, text).await?.ok_or(Error::Denied)?,
        };
        if !self.is_alive(parts, &hash, &held, now).await? || !held.entry.admits(peer.ip()) {
            return Err(Error::Denied);
        }
        let held = if held.entry.num_uses == 0 { held } else { self.spend(&hash, now).await? };
        let acl = acl_of(self, parts, &held);
        Ok(Caller { hash, entry: held.entry.clone(), acl, known: held.known.clone() })
    }

    /// The token with that hash, if it is alive. Batch tokens have no row and are never found.
    pub async fn find(&self, parts: &Parts, hash: &TokenHash) -> Result<Option<Live>, Error> {
        let Some(held) = self.read(hash).await? else { return Ok(None) };
        let alive = self.is_alive(parts, hash, &held, self.now()).await?;
        Ok(alive.then(|| Live { hash: hash.clone(), entry: held.entry.clone() }))
    }

    /// The token of that text, batch tokens too, if it is alive. Takes no use.
    pub async fn find_text(&self, parts: &Parts, text: &Protected) -> Result<Option<Live>, Error> {
        let hash = self.hash(text);
        let Some(held) = self.read_presented(&hash, text).await? else { return Ok(None) };
        let alive = self.is_alive(parts, &hash, &held, self.now()).await?;
        Ok(alive.then(|| Live { hash, entry: held.entry.clone() }))
    }

    /// What a live token's policies allow.
    pub fn acl(&self, parts: &Parts, live: &Live) -> Arc<Acl> {
        merged_rules(self, parts, &live.entry, parts.policies.state())
    }

    /// Whether `hash` is `ancestor` or hangs somewhere below it.
    pub async fn is_at_or_below(&self, live: &Live, ancestor: &TokenHash) -> Result<bool, Error> {
        let (mut hash, mut entry) = (live.hash.clone(), live.entry.clone());
        for _ in 0..=MAX_DEPTH {
            if hash == *ancestor {
                return Ok(true);
            }
            let Some(parent) = entry.parent.clone() else { return Ok(false) };
            let Some(held) = self.read(&parent).await? else { return Ok(false) };
            (hash, entry) = (parent, held.entry.clone());
        }
        Ok(false)
    }

    /// The first of the caller's line of ancestors below a root token, as far as they are there; the caller itself when it
    /// has none.
    pub async fn first_of_line(&self, caller: &Caller) -> Result<Live, Error> {
        let mut first = Live { hash: caller.hash.clone(), entry: caller.entry.clone() };
        for _ in 0..=MAX_DEPTH {
            let Some(parent) = first.entry.parent.clone() else { break };
            let Some(held) = self.read(&parent).await?.filter(|held| !held.entry.is_root()) else { break };
            first = Live { hash: parent, entry: held.entry.clone() };
        }
        Ok(first)
    }

    /// The entry of a token that a client sent.
    async fn read_presented(&self, hash: &TokenHash, text: &Protected) -> Result<Option<Arc<Held>>, Error> {
        let before = self.cache.before();
        if let Some(held) = self.read(hash).await? {
            return Ok(Some(held));
        }
        let text = text.expose_str().unwrap_or_default();
        let Some(entry) = turnlock_core::token::body(TokenKind::Batch, text).and_then(|body| self.open_batch(body))
        else {
            return Ok(None);
        };
        let held = Held::new(entry, None);
        self.cache.keep(before, hash, &held);
        Ok(Some(held))
    }

    /// The entry with that hash, whether alive or not.
    pub(super) async fn read(&self, hash: &TokenHash) -> Result<Option<Arc<Held>>, Error> {
        if let Some(held) = self.cache.get(hash) {
            return Ok(Some(held));
        }
        let before = self.cache.before();
        let Some(record) = self.view.get(&row::id(hash)).await? else { return Ok(None) };
        let held = Held::read(&record)?;
        // The uses of a limited token are counted on disk.
        if held.entry.num_uses == 0 {
            self.cache.keep(before, hash, &held);
        }
        Ok(Some(held))
    }

    /// Whether the token and the whole line of its ancestors live.
    pub(super) async fn is_alive(
        &self,
        parts: &Parts,
        hash: &TokenHash,
        held: &Arc<Held>,
        now: DateTime<Utc>,
    ) -> Result<bool, Error> {
        if !self.lives_by_itself(parts, hash, &held.entry, now) {
            return Ok(false);
        }
        let mut below = held.clone();
        for _ in 0..MAX_DEPTH {
            let Some(parent) = &below.entry.parent else { return Ok(true) };
            let Some(above) = self.read(parent).await? else {
                // A batch token cannot be made an orphan: it says for ever which parent it has.
                return Ok(!below.entry.batch && self.grave(parent).await? == Some(Grave::Orphans));
            };
            if !self.lives_by_itself(parts, parent, &above.entry, now) {
                return Ok(false);
            }
            below = above;
        }
        Ok(below.entry.parent.is_none())
    }

    fn lives_by_itself(&self, parts: &Parts, hash: &TokenHash, entry: &TokenEntry, now: DateTime<Utc>) -> bool {
        entry.expires.is_none_or(|end| now < end)
            && (entry.num_uses == 0 || entry.uses_left > 0)
            && parts.mounts.table().by_uuid(&entry.mount_uuid).is_some()
            && !self.revoked_prefixes.load().iter().any(|(_, revoked)| revoked.covers(entry, hash))
    }

    pub(super) async fn grave(&self, hash: &TokenHash) -> Result<Option<Grave>, Error> {
        let record = self.view.get(&row::grave(hash)).await?;
        record.map(|record| serde_json::from_slice(record.value.expose()).map_err(Error::internal)).transpose()
    }

    /// Takes one use, durably, before the request runs. Of two that race for the last one, one is refused.
    async fn spend(&self, hash: &TokenHash, now: DateTime<Utc>) -> Result<Arc<Held>, Error> {
        loop {
            let Some(record) = self.view.get(&row::id(hash)).await? else { return Err(Error::Denied) };
            let held = Held::read(&record)?;
            if held.entry.uses_left == 0 || held.entry.expires.is_some_and(|end| end <= now) {
                return Err(Error::Denied);
            }
            let mut entry = TokenEntry::clone(&held.entry);
            entry.uses_left -= 1;
            let mut changes = Changes::new();
            self.replace_entry(&mut changes, hash, &held, &entry)?;
            if entry.uses_left == 0 {
                changes.put(&self.view, &row::grave(hash), &row::json(&Grave::Spent)?);
            }
            match self.barrier.commit(changes).await {
                Ok(revision) => return Ok(Held::new(entry, Some(revision))),
                // Someone else took a use or renewed; each round brings one of them forward.
                Err(BarrierError::Conflict { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

/// The merged rules, kept with the token until a policy changes.
fn acl_of(tokens: &Tokens, parts: &Parts, held: &Held) -> Arc<Acl> {
    // Read before the policies: a change in between makes the rules count as old, never as new.
    let state = parts.policies.state();
    if let Some(kept) = held.acl.load().as_deref()
        && kept.0 == state
    {
        return kept.1.clone();
    }
    let acl = merged_rules(tokens, parts, &held.entry, state);
    held.acl.store(Some(Arc::new((state, acl.clone()))));
    acl
}

fn merged_rules(tokens: &Tokens, parts: &Parts, entry: &TokenEntry, state: u64) -> Arc<Acl> {
    if parts.policies.any_templated(&entry.policies) {
        return Arc::new(parts.policies.acl(&entry.policies, &template_values(entry)));
    }
    let make = || parts.policies.acl(&entry.policies, &TemplateValues::default());
    tokens.cache.shared_acl(&entry.policies, state, make)
}

/// What templates in policies stand for.
fn template_values(entry: &TokenEntry) -> TemplateValues {
    let mut values = TemplateValues::default();
    let named = entry.named();
    values.set("token.display_name", named.display_name);
    for (key, value) in named.metadata {
        values.set(format!("token.metadata.{key}"), value);
    }
    values
}

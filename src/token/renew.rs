//! How tokens are prolonged.

use std::time::Duration;

use turnlock_core::Protected;

use super::life::{self, Bounds};
use super::{Held, TokenEntry, TokenHash, Tokens, row};
use crate::barrier::{BarrierError, Changes};
use crate::error::Error;
use crate::response::{Auth, Response};
use crate::server::Parts;

use super::issue::auth_block;

/// A renewal as it was granted.
pub struct Renewed {
    /// The entry as it is now.
    pub entry: TokenEntry,
    /// Whether less was granted than was asked.
    pub capped: bool,
}

impl Tokens {
    /// Prolongs a live token by `increment` (zero for what it had last), never beyond its maximum.
    ///
    /// Errors: 400 when it cannot be renewed or has reached its maximum; [`Error::Denied`] when it is not alive.
    pub async fn renew(&self, parts: &Parts, hash: &TokenHash, increment: Duration) -> Result<Renewed, Error> {
        loop {
            let Some(record) = self.view.get(&row::id(hash)).await? else { return Err(Error::Denied) };
            let held = Held::read(&record)?;
            let now = self.now();
            if !self.is_alive(parts, hash, &held, now).await? {
                return Err(Error::Denied);
            }
            if !held.entry.renewable {
                return Err(Error::invalid("lease is not renewable"));
            }
            let table = parts.mounts.table();
            let mount = table.by_uuid(&held.entry.mount_uuid).ok_or(Error::Denied)?.clone();
            let mut entry = TokenEntry::clone(&held.entry);
            let bounds = Bounds {
                default: entry.ttl,
                max: self.mount_lifetimes(&mount.entry).1,
                role_max: entry.max_ttl,
                explicit_max: entry.explicit_max_ttl,
                period: entry.period,
            };
            let asked = increment.as_secs().max(u64::from(increment > Duration::ZERO));
            let grant = bounds
                .grant(entry.created, now, asked)
                .ok_or_else(|| Error::invalid("the token has reached its maximum time to live, cannot renew"))?;
            entry.ttl = grant.seconds;
            entry.expires = Some(life::after(now, grant.seconds));
            entry.renewed = Some(now);
            let mut changes = Changes::new();
            self.replace_entry(&mut changes, hash, &held, &entry)?;
            match self.barrier.commit(changes).await {
                Ok(_) => {
                    self.cache.forget(hash);
                    return Ok(Renewed { entry, capped: grant.capped });
                }
                Err(BarrierError::Conflict { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

impl Renewed {
    /// The answer to a renewal of the token with the text `token`; empty when it was renewed by its accessor.
    pub fn response(&self, token: Protected) -> Response {
        let auth: Auth = auth_block(token, &self.entry);
        let response = Response::auth(auth);
        if self.capped {
            response
                .with_warning(format!("the requested time to live exceeds the maximum; {} s granted", self.entry.ttl))
        } else {
            response
        }
    }
}

//! How tokens end before their time. Each revocation is one commit; see the module's text in [`super`].

use ring::rand::SecureRandom as _;

use super::row::{self, Grave, RevokedPrefix};
use super::{Held, TokenHash, Tokens};
use crate::barrier::{BarrierError, Changes};
use crate::error::Error;

/// What becomes of the tokens below a revoked one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Children {
    /// They are refused from the same moment on.
    Die,
    /// They live on without a parent. Batch tokens die anyhow: they say for ever whose children they are.
    BecomeOrphans,
}

impl Tokens {
    /// Ends a token, as one commit. Answers whether there was one.
    pub async fn revoke(&self, hash: &TokenHash, children: Children) -> Result<bool, Error> {
        let left = match children {
            Children::Die => Grave::Tree,
            Children::BecomeOrphans => Grave::Orphans,
        };
        loop {
            let Some(record) = self.view.get(&row::id(hash)).await? else { return Ok(false) };
            let held = Held::read(&record)?;
            let mut changes = Changes::new();
            self.remove_rows(&mut changes, hash, &held, left)?;
            match self.barrier.commit(changes).await {
                Ok(_) => {
                    self.cache.forget(hash);
                    return Ok(true);
                }
                Err(BarrierError::Conflict { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Ends all tokens whose lease id starts with `prefix` and that exist now, as one commit. `auth/a` does not reach
    /// `auth/ab/…`: a prefix ends at a slash.
    pub async fn revoke_prefix(&self, prefix: &str) -> Result<(), Error> {
        let prefix = format!("{}/", prefix.trim_matches('/'));
        let revoked = RevokedPrefix { prefix, until: self.now() };
        let mut name = [0; 16];
        self.random.fill(&mut name).map_err(|_| Error::Unavailable("the system gives no random bytes"))?;
        let name = hex::encode(name);
        let mut changes = Changes::new();
        changes.put(&self.view, &format!("prefix/{name}"), &row::json(&revoked)?);
        self.barrier.commit(changes).await?;
        self.revoked_prefixes.rcu(|old| {
            let mut all = Vec::clone(old);
            all.push((name.clone(), revoked.clone()));
            all
        });
        Ok(())
    }

    /// Reads the revoked prefixes behind an open barrier.
    pub(super) async fn load_revoked_prefixes(&self) -> Result<(), Error> {
        let mut all = Vec::new();
        for (name, record) in self.view.list_values("prefix/").await? {
            all.push((name, serde_json::from_slice(record.value.expose()).map_err(Error::internal)?));
        }
        self.revoked_prefixes.store(all.into());
        Ok(())
    }
}

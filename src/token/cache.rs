//! Tokens in memory, bounded, for the way that every request takes.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::{Mutex, RwLock};
use turnlock_core::policy::Acl;

use super::{Held, TokenHash};

const SHARDS: usize = 16;
/// Tokens in one shard.
const SHARD_TOKENS: usize = 512;
/// Sets of policies whose merged rules are shared between tokens.
const SHARED_ACLS: usize = 128;

/// Policies by name, the state of the policies, and their merged rules.
type SharedAcls = HashMap<Vec<String>, (u64, Arc<Acl>)>;

/// The cache. Locks are held for one look or one change of a map, never across a read of the store.
#[derive(Default)]
pub(super) struct Cache {
    shards: [RwLock<HashMap<TokenHash, Arc<Held>>>; SHARDS],
    hasher: RandomState,
    /// Counts what was forgotten, so that a read from before a change is not kept after it.
    forgotten: AtomicU64,
    acls: Mutex<SharedAcls>,
}

/// The state of the cache before the store was read.
#[derive(Clone, Copy)]
pub(super) struct Before(u64);

impl Cache {
    pub(super) fn get(&self, hash: &TokenHash) -> Option<Arc<Held>> {
        self.shard(hash).read().get(hash).cloned()
    }

    /// To be taken before the store is read.
    pub(super) fn before(&self) -> Before {
        Before(self.forgotten.load(Ordering::SeqCst))
    }

    /// Keeps what was read, unless anything was forgotten since.
    pub(super) fn keep(&self, before: Before, hash: &TokenHash, held: &Arc<Held>) {
        let mut shard = self.shard(hash).write();
        if self.forgotten.load(Ordering::SeqCst) != before.0 {
            return;
        }
        if shard.len() >= SHARD_TOKENS {
            // Which one goes makes no difference to correctness, and any order would cost on every hit.
            let victims: Vec<_> = shard.keys().take(SHARD_TOKENS / 8).cloned().collect();
            victims.iter().for_each(|victim| drop(shard.remove(victim)));
        }
        shard.insert(hash.clone(), held.clone());
    }

    /// Forgets a token whose entry was changed or removed. To be called after the commit and before its answer.
    pub(super) fn forget(&self, hash: &TokenHash) {
        self.forgotten.fetch_add(1, Ordering::SeqCst);
        self.shard(hash).write().remove(hash);
    }

    /// The rules for a set of policies that do not depend on who asks.
    pub(super) fn shared_acl(&self, policies: &[String], state: u64, make: impl FnOnce() -> Acl) -> Arc<Acl> {
        if let Some((of, acl)) = self.acls.lock().get(policies)
            && *of == state
        {
            return acl.clone();
        }
        let acl = Arc::new(make());
        let mut acls = self.acls.lock();
        if acls.len() >= SHARED_ACLS {
            acls.clear();
        }
        acls.insert(policies.to_vec(), (state, acl.clone()));
        acl
    }

    fn shard(&self, hash: &TokenHash) -> &RwLock<HashMap<TokenHash, Arc<Held>>> {
        let [first, ..] = &self.shards;
        self.shards.get(self.hasher.hash_one(hash) as usize % SHARDS).unwrap_or(first)
    }
}

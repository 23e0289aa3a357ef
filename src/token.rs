//! Tokens: what is stored of them, who the door lets in, and how they come to be and end.
//!
//! A token is stored under its keyed hash only. Its rows (entry, accessor, lease, place below its parent, place in the
//! calendar of expiries) are written and removed by one commit each. Whether a token lives is judged at use, over its
//! whole line of ancestors: so a revocation is one commit however many tokens hang below, and the rows of those are
//! swept later.

mod batch;
mod cache;
mod identify;
mod issue;
pub mod life;
mod lookup;
mod renew;
mod revoke;
mod row;
mod sweep;
#[cfg(test)]
pub(crate) mod tests;

mod wrapping;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use arc_swap::ArcSwap;
use chrono::{DateTime, Utc};
use ipnet::IpNet;
use ring::hmac;
use ring::rand::{SecureRandom as _, SystemRandom};
use serde::{Deserialize, Serialize};
use turnlock_core::policy::Acl;
use turnlock_core::token::{TokenKind, mint};
use turnlock_core::{Path, Protected};
use zeroize::Zeroizing;

use crate::audit::Known;
use crate::barrier::{Barrier, Record, View};
use crate::clock::SharedClock;
use crate::error::Error;
use crate::store::Revision;
use cache::Cache;
pub use issue::{Issued, Order};
pub use life::Lifetimes;
pub use lookup::Lookup;
pub use revoke::Children;
use row::RevokedPrefix;
pub use wrapping::Wrapping;

/// Longest line of ancestors. Each request of a token walks it.
pub const MAX_DEPTH: u32 = 64;

/// Where tokens of the agent inside the server come from. No request leads there.
pub const AGENT_PATH: &str = "auth/token/agent";

/// Keyed hash of a token, the only form in which it is stored: 64 hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct TokenHash(pub String);

/// What is stored of a token.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct TokenEntry {
    /// Handle that can look up and revoke, never read. Empty for batch tokens.
    pub accessor: String,
    /// Stored and revocable, or self-contained.
    pub batch: bool,
    /// Policies by name, sorted.
    pub policies: Vec<String>,
    /// For people.
    pub display_name: String,
    /// Metadata given at creation.
    pub metadata: BTreeMap<String, String>,
    /// Path of the request that made it, as in `auth/approle/login`.
    pub path: String,
    /// Data id of the auth mount that made it: the token dies with the mount.
    pub mount_uuid: String,
    /// Role or user name that made it.
    pub role: Option<String>,
    /// The token it dies with; `None` for an orphan.
    pub parent: Option<TokenHash>,
    /// How many ancestors it had when it was made.
    pub depth: u32,
    /// When it was made.
    pub created: DateTime<Utc>,
    /// When it ends unless renewed; `None` never ends (root).
    pub expires: Option<DateTime<Utc>>,
    /// When it was renewed last.
    pub renewed: Option<DateTime<Utc>>,
    /// Seconds it was made for.
    pub creation_ttl: u64,
    /// Seconds it was made or renewed for last.
    pub ttl: u64,
    /// Seconds from creation that no renewal exceeds, whatever the mount allows; 0 for none.
    pub explicit_max_ttl: u64,
    /// Seconds from creation by the role that made it; 0 for the mount's maximum.
    pub max_ttl: u64,
    /// Seconds of each renewal of a periodic token; 0 for others.
    pub period: u64,
    /// Whether it can be renewed.
    pub renewable: bool,
    /// Uses it was made for; 0 for no limit.
    pub num_uses: u64,
    /// Uses left when `num_uses` is not 0.
    pub uses_left: u64,
    /// Networks it may be used from; empty for all.
    pub bound_cidrs: Vec<IpNet>,
    /// What templates in its policies stand for, when that is not its own name and metadata.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub named: Option<Named>,
}

/// What templates in policies stand for. A token that a token makes takes over its maker's: whoever could choose it could
/// choose whose paths the templates open.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Named {
    /// `token.display_name`.
    pub display_name: String,
    /// `token.metadata.KEY`.
    pub metadata: BTreeMap<String, String>,
}

impl TokenEntry {
    /// Seconds left at `now`; 0 for a token that never ends.
    pub fn seconds_left(&self, now: DateTime<Utc>) -> u64 {
        self.expires.map_or(0, |expires| life::seconds_between(now, expires))
    }

    /// Whether it holds the policy that allows everything.
    pub fn is_root(&self) -> bool {
        self.policies.iter().any(|name| name == "root")
    }

    /// What templates in its policies stand for.
    pub fn named(&self) -> Named {
        let own = || Named { display_name: self.display_name.clone(), metadata: self.metadata.clone() };
        self.named.clone().unwrap_or_else(own)
    }

    /// Who logged in to get it: the member of its metadata that its auth method filled, `role_name` or `username`, and the
    /// name. None of a token that another token made: its metadata and role say nothing of whose it is.
    pub fn login(&self) -> Option<(&'static str, &str)> {
        let name = self.role.as_deref().filter(|_| !self.path.starts_with("auth/token/"))?;
        let holds = |key: &&str| self.metadata.get(*key).is_some_and(|value| value == name);
        ["role_name", "username"].into_iter().find(holds).map(|key| (key, name))
    }

    /// `service` or `batch`.
    pub fn type_name(&self) -> &'static str {
        if self.batch { "batch" } else { "service" }
    }

    /// Whether the token may be used from `address`.
    pub(crate) fn admits(&self, address: std::net::IpAddr) -> bool {
        let address = address.to_canonical();
        self.bound_cidrs.is_empty() || self.bound_cidrs.iter().any(|network| network.contains(&address))
    }
}

/// Who asks: a live token and what its policies allow.
#[derive(Clone)]
pub struct Caller {
    /// The token's keyed hash.
    pub hash: TokenHash,
    /// What is stored of it.
    pub entry: Arc<TokenEntry>,
    /// What it may do.
    pub acl: Arc<Acl>,
    /// How it appears in the audit.
    pub known: Arc<Known>,
}

/// A token that is alive.
#[derive(Debug, Clone)]
pub struct Live {
    /// Its keyed hash.
    pub hash: TokenHash,
    /// What is stored of it.
    pub entry: Arc<TokenEntry>,
}

/// All tokens.
pub struct Tokens {
    barrier: Barrier,
    view: View,
    leases: View,
    hash_key: hmac::Key,
    batch_key: hmac::Key,
    random: SystemRandom,
    clock: SharedClock,
    /// The latest time seen, in microseconds: a clock that steps back must not prolong a life.
    latest: AtomicI64,
    lifetimes: Lifetimes,
    cache: Cache,
    /// Lease prefixes that are revoked and not yet swept, with the names of their rows; nearly always empty.
    revoked_prefixes: ArcSwap<Vec<(String, RevokedPrefix)>>,
}

impl Tokens {
    /// The tokens behind an open barrier.
    pub async fn open(barrier: &Barrier, clock: SharedClock, lifetimes: Lifetimes) -> Result<Self, Error> {
        let tokens = Self {
            view: barrier.view("token"),
            leases: barrier.view("lease"),
            hash_key: barrier.hmac_key("token/hash")?,
            batch_key: barrier.hmac_key("token/batch")?,
            barrier: barrier.clone(),
            random: SystemRandom::new(),
            clock,
            latest: AtomicI64::new(i64::MIN),
            lifetimes,
            cache: Cache::default(),
            revoked_prefixes: ArcSwap::default(),
        };
        tokens.load_revoked_prefixes().await?;
        tokens.begin_calendar().await?;
        Ok(tokens)
    }

    /// Now, and never earlier than what an earlier call answered.
    pub fn now(&self) -> DateTime<Utc> {
        let now = self.clock.now().timestamp_micros();
        let latest = self.latest.fetch_max(now, Ordering::Relaxed).max(now);
        DateTime::from_timestamp_micros(latest).unwrap_or_default()
    }

    /// The lifetimes that hold where mount and role say nothing.
    pub fn lifetimes(&self) -> Lifetimes {
        self.lifetimes
    }

    /// The keyed hash of whatever a client sent as its token. Any text has one.
    pub fn hash(&self, text: &Protected) -> TokenHash {
        TokenHash(hex::encode(hmac::sign(&self.hash_key, text.expose())))
    }

    /// Where the token's cubbyhole lies; purged when the token is swept.
    pub fn cubbyhole(&self, hash: &TokenHash) -> View {
        self.barrier.view(&format!("cubbyhole/{}", hash.0))
    }

    /// A fresh token text.
    fn draw(&self, kind: TokenKind) -> Result<Protected, Error> {
        loop {
            if let Some(token) = mint(kind, &*self.random_bytes::<128>()?) {
                return Ok(token);
            }
        }
    }

    /// A fresh accessor: 24 characters of base62.
    fn draw_accessor(&self) -> Result<String, Error> {
        loop {
            if let Some(text) = turnlock_core::token::base62_of(&*self.random_bytes::<64>()?, 24) {
                return Ok(text.as_str().to_owned());
            }
        }
    }

    fn random_bytes<const N: usize>(&self) -> Result<Zeroizing<[u8; N]>, Error> {
        let mut bytes = Zeroizing::new([0; N]);
        self.random.fill(&mut *bytes).map_err(|_| Error::Unavailable("the system gives no random bytes"))?;
        Ok(bytes)
    }
}

/// What the cache keeps of a token.
#[derive(Debug)]
struct Held {
    entry: Arc<TokenEntry>,
    /// The commit that wrote the entry; `None` for a batch token, which has no row.
    revision: Option<Revision>,
    /// What its policies allow, and the state of the policies that it was made from.
    acl: arc_swap::ArcSwapOption<(u64, Arc<Acl>)>,
    /// How it appears in the audit.
    known: Arc<Known>,
}

impl Held {
    fn new(entry: TokenEntry, revision: Option<Revision>) -> Arc<Self> {
        let acl = arc_swap::ArcSwapOption::empty();
        Arc::new(Self { entry: Arc::new(entry), revision, acl, known: Arc::default() })
    }

    fn read(record: &Record) -> Result<Arc<Self>, Error> {
        let entry = serde_json::from_slice(record.value.expose()).map_err(Error::internal)?;
        Ok(Self::new(entry, Some(record.revision)))
    }
}

/// Whether a caller's policies allow `sudo` on `path` together with a write.
pub fn has_sudo(acl: &Acl, path: &Path) -> bool {
    acl.is_root() || acl.capabilities(path, None).iter().any(|name| matches!(*name, "sudo" | "root"))
}

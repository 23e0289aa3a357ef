//! Tokens: what is stored of them, and who the door lets in.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use turnlock_core::policy::Acl;

/// Keyed hash of a token, the only form in which it is stored.
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
    /// When it was made.
    pub created: DateTime<Utc>,
    /// When it ends unless renewed; `None` never ends (root).
    pub expires: Option<DateTime<Utc>>,
    /// When it was renewed last.
    pub renewed: Option<DateTime<Utc>>,
    /// Seconds it was made for.
    pub creation_ttl: u64,
    /// Seconds from creation that no renewal exceeds; 0 for the mount's maximum.
    pub explicit_max_ttl: u64,
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
}

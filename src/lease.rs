//! Leases: what is granted for a time, by an id that begins with the path of the request that made it.
//!
//! So far every lease is that of a service token. Engines that hand out credentials of other systems add a variant to
//! [`LeaseRow`].

use serde::{Deserialize, Serialize};

use crate::token::TokenHash;

/// What is stored under a lease id.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum LeaseRow {
    /// The life of a token.
    Token {
        /// Which one.
        hash: TokenHash,
    },
}

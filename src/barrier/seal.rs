//! What opens the barrier: shares that people hold, or a static key that the machine holds.

use ring::rand::{SecureRandom as _, SystemRandom};
use serde::{Deserialize, Serialize};
use turnlock_core::Protected;
use zeroize::Zeroizing;

use super::BarrierError;
use super::keyring::{SecretKey, random_key};
use super::shamir::{self, ShareError};

/// Bytes of a share: those of the key, and the place at which they were taken.
pub const SHARE_BYTES: usize = 33;

/// How a store is sealed. Stored in the clear: it must be readable before the barrier is open.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SealConfig {
    /// Random identity of the store; part of every record's associated data.
    pub store_id: [u8; 16],
    /// What the unseal key comes from.
    pub kind: SealKind,
    /// Shares that were handed out.
    pub shares: u8,
    /// Shares that unseal.
    pub threshold: u8,
}

/// Where the unseal key comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SealKind {
    /// People submit shares.
    Shamir,
    /// A key of 32 bytes from a file, the environment or a systemd credential.
    Static,
}

impl SealKind {
    /// The `type` in `seal-status`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Shamir => "shamir",
            Self::Static => "static",
        }
    }
}

impl SealConfig {
    /// A configuration for a new store.
    pub fn fresh(kind: SealKind, shares: u8, threshold: u8) -> Result<Self, BarrierError> {
        let mut store_id = [0; 16];
        SystemRandom::new().fill(&mut store_id).map_err(|_| BarrierError::Random)?;
        Ok(Self { store_id, kind, shares, threshold })
    }
}

/// A new unseal key and its shares.
pub fn new_shares(shares: u8, threshold: u8) -> Result<(SecretKey, Vec<Protected>), ShareError> {
    let key = random_key().map_err(|_| ShareError::Random)?;
    let parts = shamir::split(&*key, shares, threshold)?;
    Ok((key, parts))
}

/// Shares that were submitted so far. Belongs to one process; a restart begins anew.
#[derive(Debug, Default)]
pub struct Progress {
    nonce: String,
    shares: Vec<Protected>,
}

/// What became of a submitted share.
#[derive(Debug)]
pub enum Submitted {
    /// More shares are needed.
    Pending,
    /// The shares made this key.
    Complete(Protected),
}

impl Progress {
    /// Shares submitted so far.
    pub fn count(&self) -> usize {
        self.shares.len()
    }

    /// Names this round of submissions; empty before the first share.
    pub fn nonce(&self) -> &str {
        &self.nonce
    }

    /// Forgets all shares.
    pub fn reset(&mut self) {
        *self = Self::default();
    }

    /// Takes a share. A share that was submitted already counts once.
    pub fn submit(&mut self, share: Protected, threshold: u8, nonce: String) -> Result<Submitted, ShareError> {
        if self.shares.is_empty() {
            self.nonce = nonce;
        }
        if !self.shares.iter().any(|known| known.same_as(share.expose())) {
            self.shares.push(share);
        }
        if self.shares.len() < usize::from(threshold) {
            return Ok(Submitted::Pending);
        }
        let shares = std::mem::take(self).shares;
        shamir::combine(&shares).map(Submitted::Complete)
    }
}

/// Decodes a share or key as people paste it: hex or base64.
pub fn decode_share(text: &str) -> Option<Protected> {
    use base64::Engine as _;
    let text = text.trim();
    if text.len() > 1024 {
        return None;
    }
    let decoded = hex::decode(text).or_else(|_| base64::engine::general_purpose::STANDARD.decode(text));
    decoded.ok().map(Protected::new)
}

/// The key of 32 bytes in `text`: raw bytes, hex or base64.
pub fn static_key(text: &[u8]) -> Option<Zeroizing<[u8; 32]>> {
    if let Ok(key) = <[u8; 32]>::try_from(text) {
        return Some(Zeroizing::new(key));
    }
    let decoded = decode_share(std::str::from_utf8(text).ok()?)?;
    <[u8; 32]>::try_from(decoded.expose()).ok().map(Zeroizing::new)
}

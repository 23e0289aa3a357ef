//! Batch tokens: the entry itself, sealed, is the token. Nothing is stored.
//!
//! | part | bytes | content |
//! |---|---|---|
//! | salt | 32 | random; the key of this one token is HMAC-SHA-256(batch key, salt) |
//! | sealed | rest | AES-256-GCM of the entry in JSON under that key, with a zero nonce, which occurs once per key |
//!
//! A key of its own for each token: random 96-bit nonces under one key would bound how many tokens may be made.

use aes_gcm::aead::{Aead as _, Payload};
use aes_gcm::{Aes256Gcm, KeyInit as _};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::hmac;
use turnlock_core::Protected;
use turnlock_core::token::{TokenKind, assemble};
use zeroize::Zeroizing;

use super::{TokenEntry, Tokens};
use crate::error::Error;

const SALT_BYTES: usize = 32;
/// Binds a sealed entry to what it is.
const CONTEXT: &[u8] = b"turnlock batch token 1";
/// Longest batch token in bytes, so that it fits into a header that every client and proxy passes on.
const MAX_BYTES: usize = 6 * 1024;

impl Tokens {
    /// The text of a batch token.
    pub(super) fn seal_batch(&self, entry: &TokenEntry) -> Result<Protected, Error> {
        let salt = self.random_bytes::<SALT_BYTES>()?;
        let plain = Zeroizing::new(serde_json::to_vec(entry).map_err(Error::internal)?);
        let sealed = self
            .batch_cipher(&*salt)
            .encrypt(&Default::default(), Payload { msg: &plain, aad: CONTEXT })
            .map_err(|_| Error::internal("a batch token could not be sealed"))?;
        let body = Zeroizing::new(URL_SAFE_NO_PAD.encode([salt.as_slice(), &sealed].concat()));
        if body.len() > MAX_BYTES {
            return Err(Error::invalid("metadata and policies are too long for a batch token"));
        }
        Ok(assemble(TokenKind::Batch, &body))
    }

    /// The entry in the body of a batch token, or `None` when it was not sealed here.
    pub(super) fn open_batch(&self, body: &str) -> Option<TokenEntry> {
        let bytes = URL_SAFE_NO_PAD.decode(body.get(..body.len().min(MAX_BYTES))?).ok()?;
        let (salt, sealed) = bytes.split_at_checked(SALT_BYTES)?;
        let plain = self.batch_cipher(salt).decrypt(&Default::default(), Payload { msg: sealed, aad: CONTEXT }).ok()?;
        let plain = Zeroizing::new(plain);
        serde_json::from_slice::<TokenEntry>(&plain).ok().filter(|entry| entry.batch)
    }

    fn batch_cipher(&self, salt: &[u8]) -> Aes256Gcm {
        let tag = hmac::sign(&self.batch_key, salt);
        let mut key = Zeroizing::new([0; 32]);
        key.copy_from_slice(tag.as_ref());
        Aes256Gcm::new((&*key).into())
    }
}

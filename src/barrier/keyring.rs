//! The keys of the barrier by generation, and the sealed form of one record.
//!
//! | sealed record | bytes |
//! |---|---|
//! | format, 1 | 1 |
//! | term | 4 |
//! | nonce, random | 12 |
//! | AES-256-GCM ciphertext and tag | length + 16 |
//!
//! The associated data is store id, storage key, format and term: a record that is moved, swapped or taken from another
//! store does not open. A random nonce is safe for 2³² encryptions under one key (NIST SP 800-38D §8.3); the barrier starts
//! a new term before.

use std::collections::BTreeMap;

use aes_gcm::aead::{AeadInOut as _, KeyInit as _};
use aes_gcm::{Aes256Gcm, Nonce, Tag};
use chrono::{DateTime, Utc};
use ring::rand::{SecureRandom as _, SystemRandom};
use serde::{Deserialize, Serialize};
use turnlock_core::Protected;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use super::BarrierError;

/// A 256-bit key.
pub(super) type SecretKey = Zeroizing<[u8; 32]>;

/// Number of a key's generation; starts at 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Term(pub u32);

const FORMAT: u8 = 1;
/// Bytes in front of the ciphertext.
const HEAD: usize = 17;
const TAG: usize = 16;

/// The stored form of the keyring; itself sealed under the root key.
#[derive(Serialize, Deserialize, Zeroize, ZeroizeOnDrop)]
pub(super) struct Keyring {
    /// Keys by term, the last one in force.
    pub(super) terms: Vec<TermKey>,
    /// Key of the hashes that stand for names.
    pub(super) names: [u8; 32],
    /// What [`super::Barrier::derive`] derives from.
    pub(super) derivation: [u8; 32],
}

/// One generation.
#[derive(Serialize, Deserialize, Zeroize)]
pub(super) struct TermKey {
    #[zeroize(skip)]
    pub(super) term: Term,
    pub(super) key: [u8; 32],
    #[zeroize(skip)]
    pub(super) installed: DateTime<Utc>,
    /// Encryptions that may have happened under it: raised by a block before the block is used, so that a crash errs
    /// on the safe side.
    pub(super) reserved: u64,
}

impl Keyring {
    /// A first keyring with random keys.
    pub(super) fn fresh(now: DateTime<Utc>) -> Result<Self, BarrierError> {
        let mut keyring = Self { terms: Vec::new(), names: *random_key()?, derivation: *random_key()? };
        keyring.add_term(now)?;
        Ok(keyring)
    }

    /// Puts a new key in force; records of older terms stay readable.
    pub(super) fn add_term(&mut self, now: DateTime<Utc>) -> Result<Term, BarrierError> {
        let term = Term(self.terms.last().map_or(1, |last| last.term.0 + 1));
        self.terms.push(TermKey { term, key: *random_key()?, installed: now, reserved: 0 });
        Ok(term)
    }

    /// Opens what [`Keyring::seal`] made.
    pub(super) fn open(cipher: &Cipher, sealed: &[u8]) -> Result<Self, BarrierError> {
        let text = cipher.open(b"keyring", sealed)?;
        serde_json::from_slice(text.expose()).map_err(|_| BarrierError::Damaged)
    }

    /// Seals under the root key.
    pub(super) fn seal(&self, cipher: &Cipher) -> Result<Vec<u8>, BarrierError> {
        // Room enough, so that the text never grows and leaves a copy of keys behind.
        let mut text = Zeroizing::new(Vec::with_capacity(1024 + 512 * self.terms.len()));
        serde_json::to_writer(&mut *text, self).map_err(|_| BarrierError::Damaged)?;
        cipher.seal(b"keyring", &text)
    }

    /// Prepared ciphers of all terms.
    pub(super) fn ciphers(&self, store_id: [u8; 16]) -> BTreeMap<Term, Cipher> {
        self.terms.iter().map(|term| (term.term, Cipher::new(&term.key, term.term, store_id))).collect()
    }
}

/// One key, prepared once.
pub(super) struct Cipher {
    cipher: Aes256Gcm,
    term: Term,
    store_id: [u8; 16],
}

impl Cipher {
    pub(super) fn new(key: &[u8; 32], term: Term, store_id: [u8; 16]) -> Self {
        Self { cipher: Aes256Gcm::new(key.into()), term, store_id }
    }

    /// A second prepared copy.
    pub(super) fn duplicate(&self) -> Self {
        Self { cipher: self.cipher.clone(), ..*self }
    }

    /// Seals `plain` for the place `key`.
    pub(super) fn seal(&self, key: &[u8], plain: &[u8]) -> Result<Vec<u8>, BarrierError> {
        let mut nonce = [0; 12];
        SystemRandom::new().fill(&mut nonce).map_err(|_| BarrierError::Random)?;
        let mut sealed = Vec::with_capacity(HEAD + plain.len() + TAG);
        sealed.push(FORMAT);
        sealed.extend(self.term.0.to_be_bytes());
        sealed.extend(nonce);
        sealed.extend(plain);
        let body = sealed.get_mut(HEAD..).unwrap_or_default();
        let tag = self
            .cipher
            .encrypt_inout_detached(&Nonce::from(nonce), &self.associated(key), body.into())
            .map_err(|_| BarrierError::Damaged)?;
        sealed.extend(tag);
        Ok(sealed)
    }

    /// Opens what [`Cipher::seal`] made for the same place.
    pub(super) fn open(&self, key: &[u8], sealed: &[u8]) -> Result<Protected, BarrierError> {
        let (head, body) = sealed.split_at_checked(HEAD).ok_or(BarrierError::Damaged)?;
        if term_of(head)? != self.term {
            return Err(BarrierError::Damaged);
        }
        let (body, tag) = body.split_at_checked(body.len().wrapping_sub(TAG)).ok_or(BarrierError::Damaged)?;
        let nonce: [u8; 12] = head.get(5..).and_then(|nonce| nonce.try_into().ok()).ok_or(BarrierError::Damaged)?;
        let tag: [u8; TAG] = tag.try_into().map_err(|_| BarrierError::Damaged)?;
        let mut plain = Zeroizing::new(body.to_vec());
        self.cipher
            .decrypt_inout_detached(
                &Nonce::from(nonce),
                &self.associated(key),
                plain.as_mut_slice().into(),
                &Tag::from(tag),
            )
            .map_err(|_| BarrierError::Damaged)?;
        Ok(Protected::new(std::mem::take(&mut *plain)))
    }

    fn associated(&self, key: &[u8]) -> Vec<u8> {
        let mut associated = Vec::with_capacity(21 + key.len());
        associated.extend(self.store_id);
        associated.push(FORMAT);
        associated.extend(self.term.0.to_be_bytes());
        associated.extend(key);
        associated
    }
}

/// The term that a sealed record names.
pub(super) fn term_of(sealed: &[u8]) -> Result<Term, BarrierError> {
    match sealed {
        [FORMAT, a, b, c, d, ..] => Ok(Term(u32::from_be_bytes([*a, *b, *c, *d]))),
        _ => Err(BarrierError::Damaged),
    }
}

/// A random key.
pub(super) fn random_key() -> Result<SecretKey, BarrierError> {
    let mut key = Zeroizing::new([0; 32]);
    SystemRandom::new().fill(&mut *key).map_err(|_| BarrierError::Random)?;
    Ok(key)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::{Cipher, Term};

    #[test]
    fn a_record_opens_only_whole_and_in_its_place() {
        let cipher = Cipher::new(&[7; 32], Term(3), [1; 16]);
        let sealed = cipher.seal(b"place", b"tlk_canary_record").unwrap();
        assert!(cipher.open(b"place", &sealed).unwrap().same_as(b"tlk_canary_record"));
        assert!(cipher.open(b"other", &sealed).is_err());
        assert!(Cipher::new(&[7; 32], Term(3), [2; 16]).open(b"place", &sealed).is_err());
        assert!(Cipher::new(&[7; 32], Term(4), [1; 16]).open(b"place", &sealed).is_err());
        for cut in 0..sealed.len() {
            assert!(cipher.open(b"place", &sealed[..cut]).is_err(), "cut at {cut}");
        }
        for place in 0..sealed.len() {
            let mut flipped = sealed.clone();
            flipped[place] ^= 1;
            assert!(cipher.open(b"place", &flipped).is_err(), "bit flipped at {place}");
        }
    }
}

//! What a scan finds, and the keyed fingerprints by which a finding is recognised as a value of the store.
//!
//! The store hands out a [`Filter`]: short prefixes of the fingerprints of its values, and the key of the fingerprints.
//! The scanner keeps the strings whose prefix occurs in it and asks the server about their full fingerprints. Neither
//! side learns the other's values: the scanner never holds a value of the store that it did not read in the code, the
//! server never receives a string in the clear.

use std::collections::BTreeMap;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::hmac;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::Protected;
pub use crate::recognisable::{MAX_VALUE_BYTES, MIN_VALUE_BYTES, is_looked_for, recognisable};

/// The rule id of a finding that is a value of the live store.
pub const LIVE_SECRET_RULE: &str = "turnlock-live-secret";

/// A credential that lies where it should not.
#[derive(Debug)]
pub struct Finding {
    /// Id of the rule that hit, or [`LIVE_SECRET_RULE`].
    pub rule: String,
    /// What the rule looks for, for people.
    pub description: String,
    /// How sure it is that this is a credential: 0.0 to 1.0, the last only for a confirmed value of the store.
    pub certainty: f32,
    /// Why it is taken for a credential, for people.
    pub reason: String,
    /// Where it lies.
    pub place: Place,
    /// The symbolic link by which the file was reached; empty when by its own name.
    pub symlink: String,
    /// The text that the rule matched.
    pub matched: Protected,
    /// The credential within it.
    pub secret: Protected,
    /// The lines that the match touches, as far as they are kept.
    pub lines: Protected,
    /// Shannon entropy of the credential in bits per byte.
    pub entropy: f32,
    /// The commit that introduced it; `None` outside a history.
    pub commit: Option<CommitMark>,
    /// Facts about the hit, such as `checksum:failed`.
    pub tags: Vec<String>,
    /// The secret of the store that it is, when the server confirmed it.
    pub live: Option<LiveSecret>,
    /// The name under which the credential can be ignored wherever it stands, when an ignore file has a key for it.
    pub secret_name: Option<String>,
    /// What its provider said of it, when that was asked.
    pub verdict: Option<Verdict>,
}

/// What a provider said of a credential.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It is taken.
    Live,
    /// It is refused.
    Dead,
    /// Neither can be told, and why; without the credential.
    Unknown(String),
}

impl Verdict {
    /// `live`, `dead` or `unknown`.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Dead => "dead",
            Self::Unknown(_) => "unknown",
        }
    }
}

impl Finding {
    /// The positional name under which the finding can be ignored: `commit:file:rule:line`, without the commit outside
    /// a history. NEVER CHANGE the shape: ignore files hold it.
    pub fn ignore_name(&self) -> String {
        let global = self.global_ignore_name();
        self.commit.as_ref().map_or(global.clone(), |commit| format!("{}:{global}", commit.id))
    }

    /// The same for every commit: `file:rule:line`.
    pub fn global_ignore_name(&self) -> String {
        format!("{}:{}:{}", self.place.file, self.rule, self.place.start_line)
    }
}

/// Position of a finding. Lines count from 1.
///
/// Columns count bytes, from 1 in the first line and from 2 in later ones, because there the newline counts too: the
/// report format in common use has it so.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// Name of the file, as given or walked; the path in the tree within a history. May hold control characters.
    pub file: String,
    /// Line of the first byte.
    pub start_line: u32,
    /// Column of the first byte.
    pub start_column: u32,
    /// Line of the last byte.
    pub end_line: u32,
    /// Column of the last byte.
    pub end_column: u32,
}

/// The commit that brought a finding in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommitMark {
    /// Object id in hex.
    pub id: String,
    /// Name of the author.
    pub author: String,
    /// Mail address of the author.
    pub email: String,
    /// When it was authored: RFC 3339, UTC, whole seconds.
    pub date: String,
    /// The message, without the newline at its end.
    pub message: String,
    /// Whether the message itself holds a credential, be it one that is ignored or reported elsewhere.
    pub tells: bool,
}

/// The secret of the store that a string in the clear turned out to be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LiveSecret {
    /// Path of the secret, with its mount.
    pub path: String,
    /// The field of the secret that holds the value; empty when the secret has no fields.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub field: String,
    /// Number of the version that holds the value; 0 where the engine keeps no versions.
    pub version: u64,
    /// Labels of that version, such as `current` or `previous`.
    #[serde(default)]
    pub labels: Vec<String>,
}

/// The key of the fingerprints, of no other use.
#[derive(Debug)]
pub struct FingerprintKey {
    /// Names the generation: fingerprints of different keys say nothing about each other.
    pub id: String,
    key: Protected,
    prepared: Prepared,
}

struct Prepared(hmac::Key);

impl fmt::Debug for Prepared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Prepared(..)")
    }
}

impl FingerprintKey {
    /// `key`: 32 random bytes, used for nothing else.
    pub fn new(id: impl Into<String>, key: Protected) -> Self {
        let prepared = Prepared(hmac::Key::new(hmac::HMAC_SHA256, key.expose()));
        Self { id: id.into(), key, prepared }
    }

    /// The fingerprint of `value` under this key.
    pub fn fingerprint(&self, value: &[u8]) -> Fingerprint {
        let tag = hmac::sign(&self.prepared.0, value);
        let mut bytes = [0; 32];
        for (place, byte) in bytes.iter_mut().zip(tag.as_ref()) {
            *place = *byte;
        }
        Fingerprint(bytes)
    }
}

/// HMAC-SHA-256 of a value under a [`FingerprintKey`]. Links two appearances of a value without holding it. On the wire
/// 64 hex digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fingerprint([u8; 32]);

impl Fingerprint {
    /// The first `bits` bits (0 to 32) as a number.
    pub fn prefix(&self, bits: u8) -> u32 {
        let [a, b, c, d, ..] = self.0;
        u32::from_be_bytes([a, b, c, d]).checked_shr(32 - u32::from(bits.min(32))).unwrap_or(0)
    }

    /// Reads 64 hex digits; `None` for anything else.
    pub fn from_hex(text: &str) -> Option<Self> {
        let mut bytes = [0; 32];
        hex::decode_to_slice(text, &mut bytes).ok()?;
        Some(Self(bytes))
    }

    /// 64 hex digits.
    pub fn to_hex(&self) -> String {
        hex::encode(self.0)
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fingerprint({}..)", hex::encode(self.0.get(..4).unwrap_or_default()))
    }
}

/// Short prefixes of the fingerprints of all values of a store.
///
/// The prefix has only so many bits that about one string in 64 shares a prefix with some value: whoever steals filter
/// and key and tries a list of passwords is left with one in 64 of it besides the right ones, for as long as the server
/// does not confirm. The scanner pays with one confirmation for 64 strings.
#[derive(Debug)]
pub struct Filter {
    key: FingerprintKey,
    bits: u8,
    /// One bit for each possible prefix.
    set: Vec<u64>,
}

/// Bits by which the space of prefixes exceeds the number of values: one string in 2⁶ passes by chance.
const SPARE_BITS: u32 = 6;

/// Longest prefix: 2²⁴ bits of memory are 2 MiB. From 262,144 values on the filter gets denser instead of longer.
const MAX_BITS: u32 = 24;

impl Filter {
    /// The length of the prefix for a store with `values` different values: 6 to 24 bits.
    pub fn bits_for(values: usize) -> u8 {
        let needed = usize::BITS - values.saturating_sub(1).leading_zeros();
        u8::try_from((needed + SPARE_BITS).min(MAX_BITS)).unwrap_or(24)
    }

    /// The answer of the server: the filter over `fingerprints`, which were made with `key`.
    pub fn reply(key: &FingerprintKey, fingerprints: &[Fingerprint]) -> FilterReply {
        let bits = Self::bits_for(fingerprints.len());
        let mut prefixes: Vec<u32> = fingerprints.iter().map(|fingerprint| fingerprint.prefix(bits)).collect();
        prefixes.sort_unstable();
        prefixes.dedup();
        let bytes: Vec<u8> = prefixes.iter().flat_map(|prefix| prefix.to_be_bytes()).collect();
        FilterReply {
            key_id: key.id.clone(),
            key: Zeroizing::new(STANDARD.encode(key.key.expose())),
            bits,
            prefixes: STANDARD.encode(bytes),
        }
    }

    /// The scanner's side of [`Filter::reply`]. Errors: [`BadFilter`] when the parts do not fit together.
    pub fn open(reply: &FilterReply) -> Result<Self, BadFilter> {
        if u32::from(reply.bits) > MAX_BITS {
            return Err(BadFilter::Bits);
        }
        let key = Protected::new(STANDARD.decode(&*reply.key).map_err(|_| BadFilter::Key)?);
        if key.len() < 16 {
            return Err(BadFilter::Key);
        }
        let prefixes = STANDARD.decode(&reply.prefixes).map_err(|_| BadFilter::Prefixes)?;
        let mut set = vec![0u64; (1usize << reply.bits).div_ceil(64)];
        let (numbers, rest) = prefixes.as_chunks::<4>();
        if !rest.is_empty() {
            return Err(BadFilter::Prefixes);
        }
        for number in numbers {
            let prefix = u32::from_be_bytes(*number) as usize;
            if prefix >> reply.bits != 0 {
                return Err(BadFilter::Prefixes);
            }
            *set.get_mut(prefix / 64).ok_or(BadFilter::Prefixes)? |= 1 << (prefix % 64);
        }
        Ok(Self { key: FingerprintKey::new(reply.key_id.clone(), key), bits: reply.bits, set })
    }

    /// The id of the key, to be sent along with a question for confirmation.
    pub fn key_id(&self) -> &str {
        &self.key.id
    }

    /// The fingerprint of `value` when the store may hold it; `None` when it certainly does not.
    pub fn candidate(&self, value: &[u8]) -> Option<Fingerprint> {
        let fingerprint = self.key.fingerprint(value);
        self.may_hold(&fingerprint).then_some(fingerprint)
    }

    /// The fingerprint of `value`, whether or not the store may hold it.
    pub fn fingerprint(&self, value: &[u8]) -> Fingerprint {
        self.key.fingerprint(value)
    }

    fn may_hold(&self, fingerprint: &Fingerprint) -> bool {
        let prefix = fingerprint.prefix(self.bits) as usize;
        self.set.get(prefix / 64).is_some_and(|word| word >> (prefix % 64) & 1 == 1)
    }
}

/// Why a filter was not understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadFilter {
    /// The key is not base64 or too short.
    #[error("the key of the filter is not base64 of at least 16 bytes")]
    Key,
    /// The prefixes are longer than any server makes them.
    #[error("the filter names more than 24 bits")]
    Bits,
    /// The prefixes are not base64 of four-byte numbers within range.
    #[error("the prefixes of the filter are malformed")]
    Prefixes,
}

/// The filter as the API gives it out.
#[derive(Clone, Serialize, Deserialize)]
pub struct FilterReply {
    /// Id of the fingerprint key.
    pub key_id: String,
    /// The fingerprint key, base64.
    pub key: Zeroizing<String>,
    /// Length of the prefixes in bits, 6 to 24.
    pub bits: u8,
    /// The prefixes, ascending, four bytes each (big-endian), base64 of all.
    pub prefixes: String,
}

impl fmt::Debug for FilterReply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FilterReply").field("key_id", &self.key_id).field("bits", &self.bits).finish_non_exhaustive()
    }
}

/// Most fingerprints in one question for confirmation.
pub const MAX_QUESTIONS: usize = 16_384;

/// The question for confirmation: are these fingerprints of values of the store?
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ConfirmRequest {
    /// Id of the key that made them; another than the server's own is refused.
    pub key_id: String,
    /// Full fingerprints, 64 hex digits each.
    pub fingerprints: Vec<String>,
}

/// The answer: the fingerprints that are, with what they are. The others are absent.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct ConfirmReply {
    /// Full fingerprint in hex to the secret.
    pub matches: BTreeMap<String, LiveSecret>,
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn key() -> FingerprintKey {
        FingerprintKey::new("1", Protected::copy_of(&[7; 32]))
    }

    #[test]
    fn a_filter_passes_every_value_that_it_was_made_of() {
        let key = key();
        let values: Vec<String> = (0..300).map(|number| format!("tlk_canary_{number}")).collect();
        let fingerprints: Vec<_> = values.iter().map(|value| key.fingerprint(value.as_bytes())).collect();
        let filter = Filter::open(&Filter::reply(&key, &fingerprints)).unwrap();
        for (value, fingerprint) in values.iter().zip(&fingerprints) {
            assert_eq!(filter.candidate(value.as_bytes()), Some(*fingerprint));
        }
    }

    #[test]
    fn the_filter_alone_confirms_no_guess() {
        let key = key();
        for size in [1, 50, 1000] {
            let fingerprints: Vec<_> =
                (0..size).map(|number| key.fingerprint(format!("value {number}").as_bytes())).collect();
            let filter = Filter::open(&Filter::reply(&key, &fingerprints)).unwrap();
            let passed =
                (0..20_000).filter(|guess| filter.candidate(format!("guess {guess}").as_bytes()).is_some()).count();
            assert!(passed > 20_000 / 200, "{size} values: only {passed} wrong guesses of 20,000 pass");
            assert!(passed < 20_000 / 30, "{size} values: {passed} of 20,000 strings would have to be confirmed");
        }
    }

    #[test]
    fn an_empty_store_passes_nothing() {
        let filter = Filter::open(&Filter::reply(&key(), &[])).unwrap();
        assert_eq!(filter.candidate(b"anything at all"), None);
    }

    #[test]
    fn a_malformed_filter_is_refused() {
        let good = Filter::reply(&key(), &[key().fingerprint(b"value 1")]);
        assert_eq!(Filter::open(&FilterReply { bits: 33, ..good.clone() }).unwrap_err(), BadFilter::Bits);
        assert_eq!(
            Filter::open(&FilterReply { key: "?".to_owned().into(), ..good.clone() }).unwrap_err(),
            BadFilter::Key
        );
        assert_eq!(
            Filter::open(&FilterReply { key: String::new().into(), ..good.clone() }).unwrap_err(),
            BadFilter::Key
        );
        assert_eq!(
            Filter::open(&FilterReply { prefixes: "AAA=".to_owned(), ..good.clone() }).unwrap_err(),
            BadFilter::Prefixes
        );
        assert_eq!(
            Filter::open(&FilterReply { prefixes: "/////w==".to_owned(), ..good }).unwrap_err(),
            BadFilter::Prefixes
        );
    }

    #[test]
    fn a_fingerprint_survives_its_text_form() {
        let fingerprint = key().fingerprint(b"tlk_canary_text");
        assert_eq!(Fingerprint::from_hex(&fingerprint.to_hex()), Some(fingerprint));
        assert_eq!(Fingerprint::from_hex("abcd"), None);
        assert_eq!(fingerprint.prefix(0), 0);
        assert_eq!(fingerprint.prefix(32) >> 8, fingerprint.prefix(24));
    }
}

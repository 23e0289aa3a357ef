//! The text form of tokens.
//!
//! | part | length | content |
//! |---|---|---|
//! | prefix | 6 | `tlk_s_` service, `tlk_b_` batch, `tlk_w_` wrapping |
//! | body | 40, or any for batch | base62 (base64url for batch) |
//! | checksum | 6 | CRC-32 of prefix and body, base62, zero-padded |
//!
//! The prefix and the checksum let a scanner find a leaked token without a false alarm. They give no secrecy: the body
//! of a service token holds 238 random bits.

use zeroize::Zeroizing;

use crate::Protected;

const BASE62: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// Characters of a random token body.
pub const BODY_CHARS: usize = 40;

/// Characters of a service token with all its parts.
pub const TEXT_CHARS: usize = 6 + BODY_CHARS + 6;

/// What a token is for. NEVER CHANGE the prefixes: tokens in use and scanners know them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TokenKind {
    /// Stored, revocable, renewable.
    Service,
    /// Self-contained and encrypted; not stored.
    Batch,
    /// Opens one wrapped response, once.
    Wrapping,
}

impl TokenKind {
    /// All kinds.
    pub const ALL: [Self; 3] = [Self::Service, Self::Batch, Self::Wrapping];

    /// The prefix of the text form.
    pub fn prefix(self) -> &'static str {
        match self {
            Self::Service => "tlk_s_",
            Self::Batch => "tlk_b_",
            Self::Wrapping => "tlk_w_",
        }
    }

    /// The kind that `text` claims to be by its prefix.
    pub fn of(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| text.starts_with(kind.prefix()))
    }
}

/// A token of `kind` with a body drawn from `random`.
///
/// `random`: at least 64 bytes from a cryptographic generator; rejection sampling keeps the alphabet uniform. Returns
/// `None` when they did not suffice (chance under 2⁻²⁰⁰ for 128 bytes): draw again.
pub fn mint(kind: TokenKind, random: &[u8]) -> Option<Protected> {
    let body = base62_of(random, BODY_CHARS)?;
    Some(assemble(kind, &body))
}

/// Joins prefix, `body` and checksum.
pub fn assemble(kind: TokenKind, body: &str) -> Protected {
    let mut text = String::with_capacity(kind.prefix().len() + body.len() + 6);
    text.push_str(kind.prefix());
    text.push_str(body);
    let checksum = checksum(text.as_bytes());
    text.push_str(&checksum);
    Protected::from(text)
}

/// The body of a token of `kind` whose checksum holds. Anything else is not one of ours.
pub fn body(kind: TokenKind, text: &str) -> Option<&str> {
    let split = text.len().checked_sub(6)?;
    let (signed, sum) = (text.get(..split)?, text.get(split..)?);
    let body = signed.strip_prefix(kind.prefix())?;
    (checksum(signed.as_bytes()) == sum).then_some(body)
}

/// `chars` characters of base62 drawn uniformly from `random` by rejection, or `None` when the bytes ran out.
pub fn base62_of(random: &[u8], chars: usize) -> Option<Zeroizing<String>> {
    let mut text = Zeroizing::new(String::with_capacity(chars));
    for byte in random {
        if text.len() == chars {
            break;
        }
        // 248 is the largest multiple of 62 that fits a byte; the rest would favour the first letters.
        if *byte < 248 {
            text.push(char::from(*BASE62.get(usize::from(byte % 62))?));
        }
    }
    (text.len() == chars).then_some(text)
}

fn checksum(signed: &[u8]) -> String {
    let mut value = crc32fast::hash(signed);
    let mut text = [b'0'; 6];
    for place in text.iter_mut().rev() {
        *place = BASE62[(value % 62) as usize];
        value /= 62;
    }
    text.iter().map(|byte| char::from(*byte)).collect()
}

#[cfg(test)]
mod tests {
    use super::{TokenKind, body, mint};

    #[test]
    fn a_minted_token_has_its_prefix_and_checks() {
        let random: Vec<u8> = (0..128).collect();
        let token = mint(TokenKind::Service, &random).unwrap_or_else(|| panic!("128 bytes suffice"));
        let text = token.expose_str().unwrap_or_default();
        assert_eq!(text.len(), super::TEXT_CHARS);
        assert_eq!(body(TokenKind::Service, text).map(str::len), Some(40));
        assert_eq!(body(TokenKind::Batch, text), None);
        assert_eq!(TokenKind::of(text), Some(TokenKind::Service));
    }

    #[test]
    fn one_changed_character_breaks_the_checksum() {
        let random: Vec<u8> = (0..128).rev().collect();
        let token = mint(TokenKind::Wrapping, &random).unwrap_or_else(|| panic!("128 bytes suffice"));
        let mut text = token.expose_str().unwrap_or_default().to_owned();
        let last = text.pop();
        text.push(if last == Some('A') { 'B' } else { 'A' });
        assert_eq!(body(TokenKind::Wrapping, &text), None);
        assert_eq!(body(TokenKind::Service, "tlk_s_ééé"), None);
        assert_eq!(body(TokenKind::Service, ""), None);
    }

    #[test]
    fn too_little_randomness_is_an_answer_not_a_weak_token() {
        assert!(mint(TokenKind::Service, &[1; 10]).is_none());
        assert!(mint(TokenKind::Service, &[255; 100]).is_none());
    }
}

//! What can be computed over a match without asking anybody: checksums, structure, plausibility.

use std::ops::Range;

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use turnlock_core::token::{self, TokenKind};

use crate::bech32;
pub use crate::catalogue::Check;
use crate::keystore;
use crate::plausible;
use crate::setting::Form;
use crate::shape;

/// A shorter value that holds a run is an example.
const LONG_BYTES: usize = 16;

/// The tag of a value that a person seems to have typed for an example.
pub(crate) const TYPED: &str = "example";

/// The tag of a value whose checksum does not hold.
const CHECKSUM_FAILED: &str = "checksum:failed";

/// What a check found out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// No credential.
    Drop,
    /// As certain as the rule says.
    Keep,
    /// The checksum holds: nearly certain.
    Proven,
    /// Probably made up, damaged, or of an unknown variant: the checksum does not hold, or the value looks typed. With the tag that says so.
    Doubtful(&'static str),
    /// The match holds several credentials, at these places of the text.
    Several(Vec<Range<usize>>),
}

impl Check {
    /// Judges the credential at `secret` in the match at `span` of `text`.
    pub fn judge(self, text: &[u8], span: &Range<usize>, secret: &Range<usize>) -> Verdict {
        let value = text.get(secret.clone()).unwrap_or_default();
        let keep = |good: bool| if good { Verdict::Keep } else { Verdict::Drop };
        match self {
            Self::ToldPassword if plausible::is_account(value) => Verdict::Doubtful(TYPED),
            Self::Example if shape::is_words(value) => Verdict::Drop,
            Self::Plausible | Self::Example | Self::Crc32Base62 | Self::Random | Self::ToldPassword
                if plausible::names_none(value) =>
            {
                if shape::is_overwritten(value) {
                    Verdict::Doubtful(TYPED)
                } else {
                    Verdict::Drop
                }
            }
            // A long value of a credential's form that holds a run, as examples do, may still be one.
            Self::Plausible | Self::ToldPassword if plausible::stands_in(value) && value.len() < LONG_BYTES => {
                Verdict::Drop
            }
            Self::Plausible | Self::ToldPassword | Self::Example if plausible::stands_in(value) => {
                Verdict::Doubtful(TYPED)
            }
            Self::Plausible | Self::ToldPassword | Self::Example => Verdict::Keep,
            Self::Crc32Base62 => {
                if crc32_base62_holds(value) {
                    Verdict::Proven
                } else {
                    Verdict::Doubtful(CHECKSUM_FAILED)
                }
            }
            Self::Turnlock => {
                let holds =
                    std::str::from_utf8(value).ok().and_then(|text| token::body(TokenKind::of(text)?, text)).is_some();
                if holds { Verdict::Proven } else { Verdict::Drop }
            }
            Self::Bech32 if bech32::holds(value) => Verdict::Proven,
            Self::Bech32 => Verdict::Doubtful(CHECKSUM_FAILED),
            Self::Jwt => judge_jwt(value),
            Self::Pem => judge_pem(value),
            Self::Base64Of64 => {
                keep(decode(value).is_some_and(|bytes| bytes.len() == 64) && !plausible::stands_in(value))
            }
            Self::Random if !shape::is_random(value) => Verdict::Drop,
            Self::Random if plausible::stands_in(value) => Verdict::Doubtful(TYPED),
            Self::Random => Verdict::Keep,
            // Some do choose it.
            Self::Password | Self::ConnectionPassword if value == b"secret" => {
                // `-u user:secret` is what manuals write.
                let of_pair = secret.start.checked_sub(1).and_then(|at| text.get(at)) == Some(&b':');
                if of_pair { Verdict::Drop } else { Verdict::Doubtful(TYPED) }
            }
            Self::Password | Self::ConnectionPassword if shape::is_password(value, Form::Quoted) => Verdict::Keep,
            Self::Password => Verdict::Drop,
            Self::ConnectionPassword if speaks_of_password(value) || plausible::stands_in(value) => Verdict::Drop,
            Self::ConnectionPassword => Verdict::Doubtful(TYPED),
            Self::HostPassword
                if value.len() < 3 || names_itself(text.get(span.clone()).unwrap_or_default(), value) =>
            {
                Verdict::Drop
            }
            Self::HostPassword if value == b"secret" => Verdict::Doubtful(TYPED),
            Self::HostPassword if plausible::names_none(value) => Verdict::Drop,
            Self::HostPassword if plausible::stands_in(value) => Verdict::Doubtful(TYPED),
            Self::HostPassword => Verdict::Keep,
            Self::Said => keep(span.start.checked_sub(1).and_then(|at| text.get(at)) == Some(&0)),
            // Keys of the tests of Go say so in this place.
            Self::KeyInBase64
                if text.get(..secret.start).unwrap_or_default().trim_ascii_end().ends_with(b"TESTING KEY-----") =>
            {
                Verdict::Drop
            }
            Self::KeyInBase64 => keystore::own_part(value).map_or(Verdict::Drop, |bytes| {
                Verdict::Several(std::iter::once(secret.start..secret.start + bytes).collect())
            }),
            Self::KubernetesSecret => {
                let values = kubernetes_values(text, &document_of(text, span));
                if values.is_empty() { Verdict::Drop } else { Verdict::Several(values) }
            }
        }
    }
}

/// Decodes base64 of either alphabet, padded or not.
fn decode(value: &[u8]) -> Option<Vec<u8>> {
    let lenient = GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true);
    let url = value.iter().any(|byte| matches!(byte, b'-' | b'_'));
    GeneralPurpose::new(if url { &alphabet::URL_SAFE } else { &alphabet::STANDARD }, lenient).decode(value).ok()
}

fn crc32_base62_holds(token: &[u8]) -> bool {
    const BASE62: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    let body = token.iter().position(|byte| *byte == b'_').and_then(|at| token.get(at + 1..)).unwrap_or_default();
    let Some((random, sum)) = body.len().checked_sub(6).and_then(|at| body.split_at_checked(at)) else { return false };
    let mut value = crc32fast::hash(random);
    let mut expected = [b'0'; 6];
    for place in expected.iter_mut().rev() {
        *place = BASE62.get((value % 62) as usize).copied().unwrap_or(b'0');
        value /= 62;
    }
    expected == sum
}

/// The header of a JWT must name an algorithm; without one its payload must at least claim what others do.
fn judge_jwt(value: &[u8]) -> Verdict {
    const CLAIMS: [&str; 7] = ["iss", "sub", "aud", "exp", "nbf", "iat", "jti"];
    let mut parts = value.split(|byte| *byte == b'.');
    let mut object = || {
        parts
            .next()
            .and_then(decode)
            .and_then(|bytes| serde_json::from_slice::<serde_json::Map<String, serde_json::Value>>(&bytes).ok())
    };
    let (Some(header), Some(payload)) = (object(), object()) else { return Verdict::Drop };
    if header.contains_key("alg") && !payload.is_empty() {
        Verdict::Keep
    } else if CLAIMS.iter().any(|claim| payload.contains_key(*claim)) {
        Verdict::Doubtful("algorithm:missing")
    } else {
        Verdict::Drop
    }
}

/// `mypassword`, `dbpwd`: says what it stands for, as templates do.
fn speaks_of_password(value: &[u8]) -> bool {
    let lower = value.to_ascii_lowercase();
    value.len() < 4 || [&b"pass"[..], b"pwd"].iter().any(|word| memchr::memmem::find(&lower, word).is_some())
}

/// `value`: from `-----BEGIN` to `-----END …-----`; newlines may be written as `\n`, and each line may be a literal of code.
fn judge_pem(value: &[u8]) -> Verdict {
    let Some(start) = memchr::memmem::find(value, b"KEY-----")
        .or_else(|| memchr::memmem::find(value, b"BLOCK-----").map(|at| at + 2))
    else {
        return Verdict::Drop;
    };
    let Some(end) = memchr::memmem::rfind(value, b"-----END") else { return Verdict::Drop };
    let Some(body) = value.get(start + 8..end) else { return Verdict::Drop };
    let mut encoded = Vec::with_capacity(body.len());
    let mut encrypted = false;
    for line in body.split(|byte| *byte == b'\n').flat_map(split_escaped_newlines) {
        let line = without_literal(line);
        if line.contains(&b':') {
            // Headers of the old encrypted form, or of armour.
            encrypted |= line.starts_with(b"Proc-Type");
            continue;
        }
        // The checksum of armour starts with `=`.
        if line.starts_with(b"=") {
            continue;
        }
        encoded.extend(line.iter().filter(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/')));
    }
    let Some(bytes) = decode(&encoded).filter(|bytes| bytes.len() >= 32) else { return Verdict::Drop };
    let armour =
        memchr::memmem::find(value, b"PGP PRIVATE").is_some() && bytes.first().is_some_and(|byte| byte & 0x80 != 0);
    if encrypted || armour || bytes.starts_with(b"openssh-key-v1\0") || is_der_sequence(&bytes) {
        Verdict::Keep
    } else if matches!(bytes.as_slice(), [0x30, 0x82, _, _, 2, 1, 0, ..]) {
        // Length and version are those of a key, but not all of it is there.
        Verdict::Doubtful("cut")
    } else {
        Verdict::Drop
    }
}

/// A line without the quotes, the operator and the escaped end of line that it has as a literal of a program.
fn without_literal(line: &[u8]) -> &[u8] {
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let is_part = |part: &&[u8]| part.iter().any(u8::is_ascii_alphanumeric);
    let literals = line.split(|byte| matches!(byte, b'"' | b'\''));
    let content = literals.filter(is_part).max_by_key(|part| part.len()).unwrap_or_default().trim_ascii();
    content.strip_suffix(b"\\r").unwrap_or(content)
}

fn split_escaped_newlines(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(line);
    std::iter::from_fn(move || {
        let current = rest?;
        match memchr::memmem::find(current, b"\\n").and_then(|at| Some((current.get(..at)?, current.get(at + 2..)?))) {
            Some((piece, after)) => {
                rest = Some(after);
                Some(piece)
            }
            None => rest.take(),
        }
    })
}

/// A SEQUENCE whose length agrees with what follows, give or take cut padding.
fn is_der_sequence(bytes: &[u8]) -> bool {
    let &[0x30, first, ref rest @ ..] = bytes else { return false };
    let (length, header) = match first {
        0..=0x7f => (usize::from(first), 0),
        0x81 => (rest.first().map_or(0, |byte| usize::from(*byte)), 1),
        0x82 => (rest.iter().take(2).fold(0, |length, byte| length << 8 | usize::from(*byte)), 2),
        _ => return false,
    };
    (rest.len().saturating_sub(header)).abs_diff(length) <= 3
}

/// Whether user and password of a URL are the same well-known pair, the host is one of documentation or a single letter and
/// the password one for it, the password is the word for one, or what stands there is a root of CVS, which has a method and a user at these places.
fn names_itself(entry: &[u8], password: &[u8]) -> bool {
    let after = |mark: &[u8]| memchr::memmem::find(entry, mark).and_then(|at| entry.get(at + mark.len()..));
    let user = after(b"://").and_then(|rest| rest.split(|byte| *byte == b':').next());
    let machine = entry.trim_ascii_start().strip_prefix(b"machine");
    let host = machine.or_else(|| after(b"@")).unwrap_or_default().trim_ascii_start();
    let host = host.split(u8::is_ascii_whitespace).next().unwrap_or_default();
    let of_documentation = host.len() == 1 || is_of_documentation(host);
    let plain = shape::without_escapes(password);
    let plain = plain.as_deref().unwrap_or(password);
    let letters: Vec<u8> = plain.iter().filter(|byte| byte.is_ascii_alphabetic()).map(u8::to_ascii_lowercase).collect();
    let is_word = letters == b"pass" && !plain.iter().any(u8::is_ascii_digit);
    // The pair of RFC 7617.
    let is_of_standard = user == Some(b"Aladdin") && letters == b"opensesame";
    user.is_some_and(|user| user.eq_ignore_ascii_case(password))
        || is_of_standard
        || is_word
        || (of_documentation && !shape::is_strong(plain))
        || password.starts_with(b"pserver:")
}

/// Whether `host`, with its port and what follows, is one that standards keep for documentation: `example`, or `example` and an end.
fn is_of_documentation(host: &[u8]) -> bool {
    let name =
        host.split(|byte| !byte.is_ascii_alphanumeric() && !matches!(byte, b'-' | b'.')).next().unwrap_or_default();
    let labels: Vec<&[u8]> = name.split(|byte| *byte == b'.').collect();
    matches!(labels.as_slice(), [.., b"example"] | [.., b"example", _] | [.., b"example", b"co" | b"com" | b"org", _])
}

/// The YAML document around `span`, as far as one can reasonably be.
fn document_of(text: &[u8], span: &Range<usize>) -> Range<usize> {
    const REACH_BYTES: usize = 64 << 10;
    let from = span.start.saturating_sub(REACH_BYTES);
    let to = text.len().min(span.end.saturating_add(REACH_BYTES));
    let start = text
        .get(from..span.start)
        .and_then(|before| memchr::memmem::rfind(before, b"\n---"))
        .map_or(from, |at| from + at + 1);
    let end = text
        .get(span.end..to)
        .and_then(|after| memchr::memmem::find(after, b"\n---"))
        .map_or(to, |at| span.end + at + 1);
    start..end
}

/// The values under `data:` (base64 of text) and `stringData:` of a manifest.
fn kubernetes_values(text: &[u8], span: &Range<usize>) -> Vec<Range<usize>> {
    let mut values = Vec::new();
    let mut at = span.start;
    let mut encoded = None;
    for line in text.get(span.clone()).unwrap_or_default().split_inclusive(|byte| *byte == b'\n') {
        let start = at;
        at += line.len();
        let body = line.trim_ascii_end();
        let indented = body.first().is_some_and(|byte| *byte == b' ' || *byte == b'\t');
        if !indented {
            encoded = match body {
                b"data:" => Some(true),
                b"stringData:" => Some(false),
                [] => encoded,
                _ => None,
            };
            continue;
        }
        let Some(encoded) = encoded else { continue };
        let Some(colon) = memchr::memmem::find(body, b": ") else { continue };
        let name = body.get(..colon).unwrap_or_default().to_ascii_lowercase();
        let value = body.get(colon + 2..).unwrap_or_default().trim_ascii_start();
        let offset = start + body.len() - value.len();
        let quotes: &[u8] = b"\"'";
        let inner = if value.len() >= 2
            && value.first() == value.last()
            && value.first().is_some_and(|byte| quotes.contains(byte))
        {
            1
        } else {
            0
        };
        let inside = value.get(inner..value.len() - inner).unwrap_or_default();
        let secretive = ["pass", "secret", "token", "key", "credential", "pwd", "auth", "url", "dsn", "conn"]
            .iter()
            .any(|word| memchr::memmem::find(&name, word.as_bytes()).is_some());
        let good = if encoded {
            let plain = decode(inside).unwrap_or_default();
            let text =
                !plain.is_empty() && plain.iter().all(|byte| byte.is_ascii_graphic() || byte.is_ascii_whitespace());
            let plain = plain.trim_ascii();
            text && plain.len() >= 6
                && !plausible::stands_in(plain)
                && (secretive || shape::is_random(plain) || shape::is_password(plain, Form::Quoted))
        } else {
            shape::is_random(inside) || (secretive && shape::is_password(inside, Form::Quoted))
        };
        if good {
            values.push(offset + inner..offset + inner + inside.len());
        }
    }
    values
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]
    use super::*;

    #[test]
    fn der_lengths_must_agree() {
        assert!(is_der_sequence(&[0x30, 3, 2, 1, 0]));
        assert!(!is_der_sequence(&[0x30, 60, 2, 1, 0]));
        assert!(!is_der_sequence(&[0x04, 3, 2, 1, 0]));
        assert!(!is_der_sequence(&[]));
    }

    /// A body of `bytes` that begins as a key of so many bytes does.
    fn key(length: u16, bytes: usize) -> String {
        let [high, low] = length.to_be_bytes();
        let mut der = vec![0x30, 0x82, high, low, 2, 1, 0];
        der.resize(bytes, 0x5a);
        base64::engine::general_purpose::STANDARD.encode(der)
    }

    #[test]
    fn a_private_key_may_be_written_in_lines_of_a_program_and_may_be_cut() {
        let (whole, cut) = (key(116, 120), key(1190, 120));
        let (first, rest) = whole.split_at(64);
        let [begin, end] = ["BEGIN", "END"].map(|word| format!("-----{word} PRIVATE KEY-----"));
        for text in [
            format!("{begin}\n{first}\n{rest}\n{end}"),
            format!("{begin}\" +\n  \"{first}\" +\n  \"{rest}\" +\n  \"{end}"),
            format!("{begin}\\r\\n{first}\\r\\n{rest}\\r\\n{end}"),
            format!("{begin}\\n\",\n'{first}\\n',\n'{rest}\\n',\n'{end}"),
        ] {
            assert_eq!(judge_pem(text.as_bytes()), Verdict::Keep, "{text}");
        }
        assert_eq!(judge_pem(format!("{begin}\n{cut}\n{end}").as_bytes()), Verdict::Doubtful("cut"));
        assert_eq!(judge_pem(format!("{begin}\n{}\n{end}", &cut[20..]).as_bytes()), Verdict::Drop);
    }

    #[test]
    fn hosts_of_documentation_are_told_from_those_that_have_its_word_in_their_name() {
        for host in ["example.com", "db.example.org:5432/shop", "api.example", "www.example.co.uk", "example"] {
            assert!(is_of_documentation(host.as_bytes()), "{host}");
        }
        for host in ["example.corp.internal", "my-example.com", "examples.com", "db.internal/example.com", ""] {
            assert!(!is_of_documentation(host.as_bytes()), "{host}");
        }
    }

    #[test]
    fn every_value_of_a_manifest_is_judged_by_itself() {
        let manifest = b"data:\n  password: aHVudGVyMjJ4eXo=\n  mode: bm9uZQ==\nkind: Secret\nstringData:\n  api_token: \"q8Zr4Lk0Pw2V\"\n";
        let values: Vec<_> =
            kubernetes_values(manifest, &(0..manifest.len())).into_iter().map(|span| &manifest[span]).collect();
        assert_eq!(values, [&b"aHVudGVyMjJ4eXo="[..], &b"q8Zr4Lk0Pw2V"[..]]);
    }
}

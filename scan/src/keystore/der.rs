//! Private keys in DER: PKCS#8 (RFC 5958), PKCS#1 (RFC 8017, A.1.2), SEC 1 (RFC 5915) and the form of OpenSSL for DSA.

/// Its tag, and what it holds.
type Element<'b> = (u8, &'b [u8]);

const INTEGER: u8 = 0x02;
const OCTETS: u8 = 0x04;
const IDENTIFIER: u8 = 0x06;
pub(super) const SEQUENCE: u8 = 0x30;
/// What a key of SEC 1 has behind its number: the curve, and the public key.
const CURVE: u8 = 0xa0;
const PUBLIC_KEY: u8 = 0xa1;

/// Numbers in a key: the version, then those of RSA or of DSA.
const RSA_NUMBERS: usize = 9;
const DSA_NUMBERS: usize = 6;

/// Most elements in one that is read: more than any key has.
const MAX_ELEMENTS: usize = 16;

/// Shortest modulus that somebody can have used.
const MIN_MODULUS_BYTES: usize = 64;

/// Shortest number and longest number of an elliptic curve.
const CURVE_BYTES: std::ops::RangeInclusive<usize> = 20..=66;

/// Shortest key within PKCS#8: that of a curve.
const MIN_KEY_BYTES: usize = 20;

/// Starts of the identifiers of schemes that encrypt under a password: PKCS#5 (RFC 8018) and PKCS#12 (RFC 7292, B).
const PASSWORD_SCHEMES: [&[u8]; 2] = [b"\x2a\x86\x48\x86\xf7\x0d\x01\x05", b"\x2a\x86\x48\x86\xf7\x0d\x01\x0c\x01"];

/// Whether `bytes` are one private key and nothing else.
pub(super) fn is_private_key(bytes: &[u8]) -> bool {
    let Some(parts) = sequence(bytes) else { return false };
    match parts.as_slice() {
        [(INTEGER, [0 | 1]), (SEQUENCE, algorithm), (OCTETS, key), ..] => {
            matches!(all(algorithm).as_deref(), Some([(IDENTIFIER, [_, ..]), ..])) && key.len() >= MIN_KEY_BYTES
        }
        [(INTEGER, [1]), (OCTETS, key), (CURVE | PUBLIC_KEY, _), ..] => CURVE_BYTES.contains(&key.len()),
        [(INTEGER, [0 | 1]), (INTEGER, modulus), ..] => {
            matches!(parts.len(), RSA_NUMBERS | DSA_NUMBERS)
                && modulus.len() >= MIN_MODULUS_BYTES
                && parts.iter().all(|(tag, number)| *tag == INTEGER && !number.is_empty())
        }
        _ => false,
    }
}

/// Whether `bytes` are one private key of PKCS#8 that is encrypted under a password, and nothing else.
pub(super) fn is_encrypted_private_key(bytes: &[u8]) -> bool {
    let Some(parts) = sequence(bytes) else { return false };
    let [(SEQUENCE, scheme), (OCTETS, key)] = parts.as_slice() else { return false };
    let is_scheme = |(tag, identifier): &Element<'_>| {
        *tag == IDENTIFIER && PASSWORD_SCHEMES.iter().any(|start| identifier.starts_with(start))
    };
    key.len() >= MIN_KEY_BYTES && all(scheme).is_some_and(|parts| parts.first().is_some_and(is_scheme))
}

/// How many bytes the element takes that starts with `head`; `None` if that is not said.
pub(super) fn length(head: &[u8]) -> Option<usize> {
    let (header, length) = header(head)?;
    header.checked_add(length?)
}

/// All strings of bytes in `bytes`, one behind the other, whatever they are within. Also reads BER, where lengths may be left
/// open and strings be cut into several.
pub(super) fn octets(bytes: &[u8]) -> Vec<u8> {
    /// The bit of a tag that says that there are elements within.
    const CONSTRUCTED: u8 = 0x20;
    let mut octets = Vec::new();
    let mut rest = bytes;
    while let Some((header, length)) = header(rest) {
        let tag = rest.first().copied().unwrap_or_default();
        let content = rest.get(header..).unwrap_or_default();
        rest = content;
        if tag & CONSTRUCTED == 0 {
            let length = length.unwrap_or_default().min(content.len());
            let (own, after) = content.split_at(length);
            rest = after;
            if tag == OCTETS {
                octets.extend_from_slice(own);
            }
        }
    }
    octets
}

/// The parts of the sequence that `bytes` are, and nothing else.
fn sequence(bytes: &[u8]) -> Option<Vec<Element<'_>>> {
    match element(bytes)? {
        ((SEQUENCE, content), []) => all(content),
        _ => None,
    }
}

/// The elements that `bytes` are, by tag and content; `None` also of more than a key has.
fn all(bytes: &[u8]) -> Option<Vec<Element<'_>>> {
    let mut elements = Vec::new();
    let mut rest = bytes;
    while !rest.is_empty() {
        if elements.len() == MAX_ELEMENTS {
            return None;
        }
        let (element, after) = element(rest)?;
        elements.push(element);
        rest = after;
    }
    Some(elements)
}

/// The element at the start of `bytes`, and what follows.
fn element(bytes: &[u8]) -> Option<(Element<'_>, &[u8])> {
    let (header, length) = header(bytes)?;
    let (content, rest) = bytes.get(header..)?.split_at_checked(length?)?;
    Some(((*bytes.first()?, content), rest))
}

/// Bytes of tag and length at the start of `bytes`, and the length if it is not left open.
fn header(bytes: &[u8]) -> Option<(usize, Option<usize>)> {
    match bytes.get(1)? {
        short @ ..0x80 => Some((2, Some(usize::from(*short)))),
        0x80 => Some((2, None)),
        long => {
            let count = usize::from(long & 0x7f);
            let digits = bytes.get(2..2 + count).filter(|digits| digits.len() <= 4)?;
            let length = digits.iter().fold(0u64, |length, digit| length << 8 | u64::from(*digit));
            Some((2 + count, Some(usize::try_from(length).ok()?)))
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::{MAX_ELEMENTS, all, is_encrypted_private_key, is_private_key, length, octets};
    use proptest::prelude::*;

    /// An element of up to 65,535 bytes.
    fn der(tag: u8, content: &[u8]) -> Vec<u8> {
        let [high, low] = u16::try_from(content.len()).unwrap().to_be_bytes();
        [&[tag, 0x82, high, low], content].concat()
    }

    fn sequence(parts: &[&[u8]]) -> Vec<u8> {
        der(0x30, &parts.concat())
    }

    #[test]
    fn private_keys_of_all_forms_are_told_from_what_is_near_them() {
        let number = der(2, &[0x5a; 128]);
        let rsa = der(0x30, &[&b"\x02\x01\x00"[..], &number.repeat(8)].concat());
        let algorithm = sequence(&[b"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01", b"\x05\x00"]);
        let public = der(3, &[0; 66]);
        assert!(is_private_key(&rsa));
        assert!(is_private_key(&sequence(&[b"\x02\x01\x00", &algorithm, &der(4, &rsa)])));
        assert!(is_private_key(&sequence(&[b"\x02\x01\x01", &der(4, &[7; 32]), &der(0xa1, &public)])));
        assert!(!is_private_key(&[&rsa[..], b"\n"].concat()), "something behind it");
        assert!(!is_private_key(&rsa[..rsa.len() - 1]), "the end is missing");
        assert!(!is_private_key(&sequence(&[&algorithm, &public])), "a public key");
        assert!(!is_private_key(&sequence(&[&number, b"\x02\x03\x01\x00\x01"])), "a public key of PKCS#1");
        assert!(!is_private_key(&sequence(&[b"\x02\x01\x01", &der(4, &[7; 32])])), "a number and some bytes");
    }

    #[test]
    fn a_key_that_is_encrypted_is_told_by_its_scheme() {
        let with = |scheme: &[u8]| sequence(&[&sequence(&[&der(6, scheme), &sequence(&[])]), &der(4, &[7; 64])]);
        assert!(is_encrypted_private_key(&with(b"\x2a\x86\x48\x86\xf7\x0d\x01\x05\x0d")));
        assert!(is_encrypted_private_key(&with(b"\x2a\x86\x48\x86\xf7\x0d\x01\x0c\x01\x03")));
        assert!(!is_encrypted_private_key(&with(b"\x60\x86\x48\x01\x65\x03\x04\x02\x01")), "a digest");
    }

    #[test]
    fn a_sequence_of_more_elements_than_a_key_has_is_none() {
        let nulls = |count| b"\x05\x00".repeat(count);
        assert_eq!(all(&nulls(MAX_ELEMENTS)).map(|elements| elements.len()), Some(MAX_ELEMENTS));
        assert_eq!(all(&nulls(MAX_ELEMENTS + 1)), None);
    }

    #[test]
    fn strings_of_bytes_are_put_together() {
        assert_eq!(octets(b"\x30\x80\x24\x80\x04\x02ab\x04\x01c\x00\x00\x02\x01\x05\x00\x00"), b"abc");
        assert_eq!(length(b"\x30\x82\x01\x02"), Some(262));
        assert_eq!(length(b"\x30\x80"), None);
    }

    proptest! {
        #[test]
        fn any_bytes_have_an_answer(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(octets(&bytes).len() <= bytes.len());
            is_private_key(&bytes);
            is_encrypted_private_key(&bytes);
        }
    }
}

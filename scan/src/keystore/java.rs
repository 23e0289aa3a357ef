//! Key stores of Java, in the forms that the JDK called JKS and JCEKS.

const JKS: u32 = 0xfeed_feed;
const JCEKS: u32 = 0xcece_cece;

/// The kinds of entries. The end of a sealed one is known only to who reads Java's objects.
const PRIVATE_KEY: u32 = 1;
const CERTIFICATE: u32 = 2;
const SEALED_KEY: u32 = 3;

/// Whether `bytes` are such a store with a private or a secret key in it.
pub(super) fn has_key(bytes: &[u8]) -> bool {
    first_key(bytes).is_some()
}

/// Reads up to the first key: `None` if there is none.
fn first_key(bytes: &[u8]) -> Option<()> {
    let (JKS | JCEKS, rest) = number(bytes)? else { return None };
    let (version @ 1..=2, rest) = number(rest)? else { return None };
    let (entries, mut rest) = number(rest)?;
    // Each takes some bytes, so that a false number ends with them.
    for _ in 0..entries {
        let (kind, entry) = number(rest)?;
        let entry = behind_text(entry)?.get(TIME_BYTES..)?;
        rest = match kind {
            PRIVATE_KEY => {
                let (length, key) = number(entry)?;
                return key.get(..usize::try_from(length).ok()?).filter(|key| !key.is_empty()).map(|_| ());
            }
            SEALED_KEY => return (!entry.is_empty()).then_some(()),
            CERTIFICATE => {
                let (length, certificate) = number(if version == 2 { behind_text(entry)? } else { entry })?;
                certificate.get(usize::try_from(length).ok()?..)?
            }
            _ => return None,
        };
    }
    None
}

/// When an entry was made.
const TIME_BYTES: usize = 8;

/// A number of four bytes, and what follows.
fn number(bytes: &[u8]) -> Option<(u32, &[u8])> {
    let (number, rest) = bytes.split_first_chunk::<4>()?;
    Some((u32::from_be_bytes(*number), rest))
}

/// What follows a text with its length in two bytes.
fn behind_text(bytes: &[u8]) -> Option<&[u8]> {
    let (length, rest) = bytes.split_first_chunk::<2>()?;
    rest.get(usize::from(u16::from_be_bytes(*length))..)
}

#[cfg(test)]
mod tests {
    use super::has_key;
    use proptest::prelude::*;

    const CERTIFICATE: &[u8] = b"\0\0\0\x02\0\x01c\0\0\0\0\0\0\0\0\0\x05X.509\0\0\0\x04cert";
    const KEY: &[u8] = b"\0\0\0\x01\0\x01k\0\0\0\0\0\0\0\0\0\0\0\x03key\0\0\0\0";

    fn store(magic: u32, entries: &[&[u8]]) -> Vec<u8> {
        let number = u32::try_from(entries.len()).unwrap_or_default();
        [&magic.to_be_bytes()[..], &2u32.to_be_bytes(), &number.to_be_bytes(), &entries.concat()].concat()
    }

    #[test]
    fn a_store_of_certificates_is_told_from_one_with_a_key() {
        assert!(has_key(&store(0xfeed_feed, &[CERTIFICATE, KEY])));
        assert!(!has_key(&store(0xfeed_feed, &[CERTIFICATE, CERTIFICATE])));
        assert!(has_key(&store(0xcece_cece, &[CERTIFICATE, b"\0\0\0\x03\0\x01s\0\0\0\0\0\0\0\0\xac\xed"])));
        assert!(!has_key(&store(0xfeed_feed, &[&KEY[..18]])), "the key is missing");
        assert!(!has_key(&store(0xcafe_babe, &[KEY])), "a class of Java");
    }

    proptest! {
        #[test]
        fn any_bytes_have_an_answer(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            has_key(&store(0xfeed_feed, &[&bytes]));
        }
    }
}

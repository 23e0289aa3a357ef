//! PKCS#12 files, in DER or in BER.

use std::borrow::Cow;

use super::der::octets;

/// How deep within the file its first parts lie.
const HEAD_BYTES: usize = 64;

/// The object identifiers, as DER has them, of the outer content (RFC 7292, 4: PKCS #7 data) and of bags of keys, encrypted and
/// not (RFC 7292, 4.2). Files with certificates alone have none of these.
const DATA: &[u8] = b"\x2a\x86\x48\x86\xf7\x0d\x01\x07\x01";
const KEY_BAGS: [&[u8]; 2] =
    [b"\x2a\x86\x48\x86\xf7\x0d\x01\x0c\x0a\x01\x02", b"\x2a\x86\x48\x86\xf7\x0d\x01\x0c\x0a\x01\x01"];

/// So many strings of bytes lie in one another down to the bags: the outer content, and that of each part.
const DEPTH: usize = 2;

/// Whether `bytes` are such a file with a private key in it.
pub(super) fn has_key(bytes: &[u8]) -> bool {
    let head = bytes.get(..HEAD_BYTES).unwrap_or_default();
    // A sequence that begins with version 3. Its length may be left open, as that of all within.
    let is_sequence = matches!(head, [0x30, 0x80..=0x84, ..]);
    if !is_sequence || !holds(head, b"\x02\x01\x03\x30") || !holds(head, DATA) {
        return false;
    }
    // In BER a string of bytes may be cut into several, through whatever it holds.
    let mut level = Cow::Borrowed(bytes);
    for _ in 0..DEPTH {
        if KEY_BAGS.iter().any(|bag| holds(&level, bag)) {
            return true;
        }
        level = Cow::Owned(octets(&level));
    }
    KEY_BAGS.iter().any(|bag| holds(&level, bag))
}

fn holds(within: &[u8], part: &[u8]) -> bool {
    memchr::memmem::find(within, part).is_some()
}

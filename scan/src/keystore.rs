//! PKCS#12 files with a private key in them. What they hold is encrypted, often under a password that everybody knows; the file
//! is the credential, and is named by its hash.

use gix::hash::{Kind, hasher};

/// How deep within the file its first parts lie.
const HEAD_BYTES: usize = 64;

/// The object identifiers, as DER has them, of the outer content (RFC 7292, 4: PKCS #7 data) and of bags of keys, encrypted and
/// not (RFC 7292, 4.2). Files with certificates alone have none of these.
const DATA: &[u8] = b"\x2a\x86\x48\x86\xf7\x0d\x01\x07\x01";
const KEY_BAGS: [&[u8]; 2] =
    [b"\x2a\x86\x48\x86\xf7\x0d\x01\x0c\x0a\x01\x02", b"\x2a\x86\x48\x86\xf7\x0d\x01\x0c\x0a\x01\x01"];

/// A line for the rule `pkcs12-key`, if `bytes` are such a file.
pub(crate) fn text(bytes: &[u8]) -> Option<String> {
    let head = bytes.get(..HEAD_BYTES)?;
    // A sequence that begins with version 3.
    let is_sequence = matches!(head, [0x30, 0x81..=0x84, ..]);
    let holds = |part: &[u8], within: &[u8]| memchr::memmem::find(within, part).is_some();
    let is_store = is_sequence && holds(b"\x02\x01\x03\x30", head) && holds(DATA, head);
    if !is_store || !KEY_BAGS.iter().any(|bag| holds(bag, bytes)) {
        return None;
    }
    let mut hasher = hasher(Kind::Sha256);
    hasher.update(bytes);
    Some(format!("PKCS#12 private key, SHA-256 {}\n", hasher.try_finalize().ok()?.to_hex()))
}

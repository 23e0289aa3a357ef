//! Files that are a private key or hold one, without a form that a pattern could tell: PKCS#12 and Java key stores, and keys in
//! DER. Such a file is the credential, and is named by its hash; what is encrypted in it often is so under a password that
//! everybody knows. The same in base64, within a text.

mod der;
mod encoded;
mod java;
mod pkcs12;

use gix::hash::{Kind, hasher};

pub(crate) use encoded::own_part;

/// What a file is, in the words of the rule for it.
const PKCS12: &str = "PKCS#12 private key";
const JAVA: &str = "Java key store with a private key";
const DER: &str = "private key in DER";
const ENCRYPTED: &str = "encrypted private key in DER";

/// A line for the rule of such a file, if `bytes` are one. No text has a byte like its first: who quotes the line is no finding.
pub(crate) fn text(bytes: &[u8]) -> Option<String> {
    let kind = kind(bytes)?;
    let mut hasher = hasher(Kind::Sha256);
    hasher.update(bytes);
    Some(format!("\0{kind}, SHA-256 {}\n", hasher.try_finalize().ok()?.to_hex()))
}

fn kind(bytes: &[u8]) -> Option<&'static str> {
    if pkcs12::has_key(bytes) {
        Some(PKCS12)
    } else if java::has_key(bytes) {
        Some(JAVA)
    } else if der::is_private_key(bytes) {
        Some(DER)
    } else if der::is_encrypted_private_key(bytes) {
        Some(ENCRYPTED)
    } else {
        None
    }
}

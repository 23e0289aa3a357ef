//! Whether the left side of an assignment speaks of a credential.

/// Last words of names whose values are no credentials though the name speaks of one.
const HARMLESS_ENDS: &[&str] = &[
    "id",
    "ids",
    "name",
    "names",
    "version",
    "type",
    "size",
    "file",
    "files",
    "path",
    "paths",
    "url",
    "uri",
    "urls",
    "dir",
    "vault",
    "alias",
    "hash",
    "len",
    "length",
    "field",
    "label",
    "prefix",
    "suffix",
    "pattern",
    "count",
    "event",
    "date",
    "time",
    "expiry",
    "format",
    "host",
    "arn",
    "class",
    "method",
    "algorithm",
    "source",
    "uuid",
    "index",
    "digest",
    "checksum",
    "md5",
    "sha1",
    "sha256",
    "fingerprint",
    "thumbprint",
    "endpoint",
    "policy",
    "role",
    "group",
    "st",
    "test",
    "store",
    "secrets",
    "level",
    "code",
    "usage",
    "ref",
    "status",
    "provider",
    "server",
    "address",
    "mode",
    "kind",
    "sid",
    "identifier",
    "expression",
    "standard",
    "spec",
    "pair",
    "tag",
    "material",
    "algo",
    "curve",
];

/// Words anywhere in a name that make its value public or internal.
const HARMLESS_WORDS: &[&str] = &[
    "public",
    "pub",
    "publishable",
    "foreign",
    "primary",
    "csrf",
    "xsrf",
    "idempotency",
    "cache",
    "sort",
    "partition",
    "pubkey",
    "integrity",
    "commit",
    "anon",
];

/// Ends of words that speak of a credential.
const CREDENTIAL_ENDS: &[&str] = &[
    "key",
    "keys",
    "token",
    "tokens",
    "secret",
    "auth",
    "credential",
    "credentials",
    "access",
    "bearer",
    "password",
    "passwd",
    "pwd",
    "salt",
    "pass",
    "passphrase",
    "passwort",
];

/// Words that merely end like one.
const NO_CREDENTIALS: &[&str] =
    &["monkey", "donkey", "turkey", "hockey", "jockey", "whiskey", "hotkey", "keypress", "compass", "bypass"];

/// Whether `name`, the left side of an assignment, is one of a credential: `apiKey`, `DB_SECRET`, `bot-token`; not
/// `keyframe`, `credentialsId`, `publicKey`, `API_KEY_FILE`.
pub(crate) fn is_of_credential(name: &[u8]) -> bool {
    let words = words(name);
    let text = |word: &Vec<u8>| String::from_utf8_lossy(word).into_owned();
    let Some(last) = words.last().map(text) else { return false };
    let all: Vec<String> = words.iter().map(text).collect();
    let harmless =
        HARMLESS_ENDS.contains(&last.as_str()) || all.iter().any(|word| HARMLESS_WORDS.contains(&word.as_str()));
    !harmless
        && all.iter().any(|word| {
            CREDENTIAL_ENDS.iter().any(|end| word.ends_with(end)) && !NO_CREDENTIALS.contains(&word.as_str())
        })
}

/// Last words of names whose values are computed over something public.
const DIGEST_ENDS: &[&str] = &[
    "hash",
    "digest",
    "checksum",
    "md5",
    "sha",
    "sha1",
    "sha256",
    "sha512",
    "integrity",
    "commit",
    "revision",
    "etag",
];

/// Whether `name` is one of a digest of something public: `sha256`, `gitCommit`, `integrity`.
pub(crate) fn is_of_digest(name: &[u8]) -> bool {
    words(name).last().is_some_and(|last| DIGEST_ENDS.iter().any(|end| end.as_bytes() == last.as_slice()))
}

/// Whether a name of a credential goes on at the start of `text`, as in `boxtoken` behind `box`.
pub(crate) fn starts_with_credential(text: &[u8]) -> bool {
    const STARTS: &[&[u8]] =
        &[b"key", b"token", b"secret", b"api", b"auth", b"pass", b"pwd", b"access", b"client", b"cred"];
    STARTS.iter().any(|start| text.get(..start.len()).is_some_and(|part| part.eq_ignore_ascii_case(start)))
}

/// Longest left part of a name that is looked at.
const MAX_NAME_BYTES: usize = 60;

/// Bytes at the end of `text` that belong to a name.
pub(crate) fn before(text: &[u8]) -> usize {
    let near = text.get(text.len().saturating_sub(MAX_NAME_BYTES)..).unwrap_or_default();
    near.iter().rev().take_while(|byte| is_part(byte)).count()
}

/// The name at the start of `text`.
pub(crate) fn at(text: &[u8]) -> &[u8] {
    let end = text.iter().position(|byte| !is_part(byte)).unwrap_or(text.len());
    text.get(..end).unwrap_or_default()
}

fn is_part(byte: &u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-')
}

/// The words of a name in lower case: parted by separators, digits and capitals.
fn words(name: &[u8]) -> Vec<Vec<u8>> {
    let mut words: Vec<Vec<u8>> = vec![Vec::new()];
    let mut before = 0u8;
    for (at, byte) in name.iter().enumerate() {
        let ends_capitals = before.is_ascii_uppercase()
            && byte.is_ascii_uppercase()
            && name.get(at + 1).is_some_and(u8::is_ascii_lowercase);
        if !byte.is_ascii_alphanumeric() || (before.is_ascii_lowercase() && byte.is_ascii_uppercase()) || ends_capitals
        {
            words.push(Vec::new());
        }
        if let Some(word) = words.last_mut().filter(|_| byte.is_ascii_alphanumeric()) {
            word.push(byte.to_ascii_lowercase());
        }
        before = *byte;
    }
    words.retain(|word| !word.is_empty());
    words
}

#[cfg(test)]
mod tests {
    use super::is_of_credential;

    #[test]
    fn names_of_credentials_are_told_from_names_that_hold_such_a_word() {
        for name in
            ["apiKey", "DB_SECRET", "bot-token", "authtoken", "stripe.secret", "KEY", "GITHUBToken", "passwordSalt"]
        {
            assert!(is_of_credential(name.as_bytes()), "{name}");
        }
        for name in [
            "keyframe",
            "credentialsId",
            "publicKey",
            "API_KEY_FILE",
            "monkey",
            "key_vault_name",
            "csrf-token",
            "issuerKeyHash",
            "KeyCode",
            "",
        ] {
            assert!(!is_of_credential(name.as_bytes()), "{name}");
        }
    }
}

//! What the left side of an assignment says of its value.

pub use crate::catalogue::Kind;

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
    "chars",
    "charset",
    "alphabet",
    "str",
    "algo",
    "curve",
    "extern",
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
    "recv",
    "manager",
    "nonce",
    "signature",
];

/// Ends of words that speak of a password.
const PASSWORD_ENDS: &[&str] = &[
    "password",
    "passwords",
    "passwd",
    "pwd",
    "pass",
    "passphrase",
    "passwort",
    "passcode",
    "pswd",
    "pw",
    "senha",
    "kennwort",
    "psk",
];

/// Last words of names whose values are about a password and none: texts of forms, settings of policies.
const ABOUT_PASSWORDS: &[&str] = &[
    "label",
    "placeholder",
    "hint",
    "text",
    "title",
    "message",
    "msg",
    "error",
    "help",
    "description",
    "prompt",
    "regex",
    "rule",
    "rules",
    "min",
    "max",
    "strength",
    "input",
    "selector",
    "element",
    "button",
    "form",
    "validator",
    "validation",
    "reset",
    "page",
    "route",
    "link",
    "callback",
    "handler",
    "encoder",
    "manager",
    "service",
    "template",
    "view",
    "controller",
    "column",
    "param",
    "parameter",
    "header",
    "property",
    "prop",
    "variable",
    "var",
    "env",
    "attribute",
    "attr",
    "required",
    "enabled",
    "changed",
    "confirmation",
    "mismatch",
    "invalid",
    "incorrect",
    "expired",
    "forgotten",
    "forgot",
    "mgr",
    "management",
    "hashes",
    "hashed",
    "hasher",
    "encode",
    "decode",
];

/// Ends of words that speak of a credential.
const SECRET_ENDS: &[&str] = &[
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
    "salt",
    "authorization",
    "api",
    "private",
    "client",
];

/// Words that merely end like one.
const NO_CREDENTIALS: &[&str] = &[
    "monkey", "donkey", "turkey", "hockey", "jockey", "whiskey", "hotkey", "keypress", "compass", "bypass", "buypass",
    "keyless", "keyword",
];

/// What `name`, the left side of an assignment, says of its value; `None` if that is no credential, as with `keyframe`,
/// `credentialsId`, `publicKey`, `API_KEY_FILE`.
pub(crate) fn kind(name: &[u8]) -> Option<Kind> {
    let all: Vec<String> = words(name).iter().map(|word| String::from_utf8_lossy(word).into_owned()).collect();
    let among = |list: &[&str], word: &String| list.contains(&word.as_str());
    let last = all.last()?;
    if among(HARMLESS_ENDS, last) || all.iter().any(|word| among(HARMLESS_WORDS, word)) {
        return None;
    }
    // The nonce that opens a websocket; the keys of a keyboard.
    let holds = |end: &str| all.iter().any(|word| word.ends_with(end));
    if (last == "key" && holds("socket")) || (last == "keys" && all.iter().any(|word| word == "send")) {
        return None;
    }
    let speaks = |ends: &[&str]| {
        all.iter().any(|word| ends.iter().any(|end| word.ends_with(end)) && !among(NO_CREDENTIALS, word))
    };
    if speaks(PASSWORD_ENDS) {
        let near = all.len().saturating_sub(2);
        let at_the_end = all.iter().skip(near).any(|word| PASSWORD_ENDS.iter().any(|end| word.ends_with(end)));
        return (at_the_end && !among(ABOUT_PASSWORDS, last)).then_some(Kind::Password);
    }
    speaks(SECRET_ENDS).then_some(Kind::Secret)
}

/// Whether a name says of its value that it opens nothing: `wrongPassword`, `invalid_token`, `nonMatchingKey`, `key_invalid`. The
/// word that says so stands next to the last that speaks of a credential: `FAKE_GATEWAY_PASSWORD` is one of a gateway.
pub(crate) fn denies(name: &[u8]) -> bool {
    const DENIALS: &[&str] = &["wrong", "incorrect", "invalid", "bogus", "dummy", "fake", "nonexistent", "nonmatching"];
    const BEHIND_NON: &[&str] = &["matching", "existing", "existent", "valid"];
    let all: Vec<String> = words(name).iter().map(|word| String::from_utf8_lossy(word).into_owned()).collect();
    let speaks = |word: &String| [PASSWORD_ENDS, SECRET_ENDS].concat().iter().any(|end| word.ends_with(end));
    let Some(end) = all.iter().rposition(speaks).map(|at| at + 1) else { return false };
    let (before, behind) = all.split_at(end);
    let before = before.get(..before.iter().rposition(|word| !speaks(word)).map_or(0, |at| at + 1)).unwrap_or_default();
    let is_among = |list: &[&str], word: &String| list.contains(&word.as_str());
    before.last().is_some_and(|word| is_among(DENIALS, word))
        || matches!(before, [.., non, next] if non == "non" && is_among(BEHIND_NON, next))
        || matches!(behind, [word] if is_among(DENIALS, word))
}

/// Whether the last word of `name` is `secret`, which a person may have chosen: `jwt.secret`, `SESSION_SECRET`.
pub(crate) fn ends_with_secret(name: &[u8]) -> bool {
    words(name).last().is_some_and(|last| last.ends_with(b"secret"))
}

/// Whether the last word of `name` speaks of a credential: `setPassword`, not `password.encode`.
pub(crate) fn ends_with_credential(name: &[u8]) -> bool {
    let all = words(name);
    let Some(last) = all.last().map(|word| String::from_utf8_lossy(word)) else { return false };
    let ends = |list: &[&str]| list.iter().any(|end| last.ends_with(end));
    last == "equals" || ends(PASSWORD_ENDS) || ends(SECRET_ENDS)
}

/// Whether the last word of `name` is one that a sentence may have as its verb: `pass the_2nd_one`.
pub(crate) fn ends_with_verb(name: &[u8]) -> bool {
    words(name).last().is_some_and(|last| last == b"pass")
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
    "shasum",
    "rev",
    "reference",
    // Of lock files of Go and of Terraform.
    "h1",
    "zh",
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
        let begins = (before.is_ascii_lowercase() || before.is_ascii_digit()) && byte.is_ascii_uppercase();
        if !byte.is_ascii_alphanumeric() || begins || ends_capitals {
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
    use super::{Kind, denies, kind};

    #[test]
    fn names_of_credentials_are_told_from_names_that_hold_such_a_word() {
        for name in
            ["apiKey", "DB_SECRET", "bot-token", "authtoken", "stripe.secret", "KEY", "GITHUBToken", "NON_PROD_API_KEY"]
        {
            assert_eq!(kind(name.as_bytes()), Some(Kind::Secret), "{name}");
        }
        for name in ["DB_PASS", "keystorePassword", "ftp.pwd", "secret_password", "PGPASSWORD", "admin_pw"] {
            assert_eq!(kind(name.as_bytes()), Some(Kind::Password), "{name}");
        }
        for name in [
            "keyframe",
            "credentialsId",
            "publicKey",
            "pkcs1PublicKey",
            "API_KEY_FILE",
            "monkey",
            "key_vault_name",
            "csrf-token",
            "Sec-WebSocket-Key",
            "issuerKeyHash",
            "KeyCode",
            "passwordPlaceholder",
            "bypass",
            "Vim.SendKeys",
            "",
        ] {
            assert_eq!(kind(name.as_bytes()), None, "{name}");
        }
        assert_eq!(kind(b"RESEND_KEYS"), Some(Kind::Secret));
    }

    #[test]
    fn a_name_denies_its_credential_next_to_the_word_for_it() {
        for name in ["wrongPassword", "nonMatchingToken", "INVALID_API_KEY", "client.invalid_token", "token_invalid"] {
            assert!(denies(name.as_bytes()), "{name}");
        }
        for name in ["FAKE_GATEWAY_PASSWORD", "INVALID_TOKEN_ALERT_PASSWORD", "password", "NON_PROD_API_KEY", ""] {
            assert!(!denies(name.as_bytes()), "{name}");
        }
    }
}

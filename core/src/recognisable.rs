//! What of a stored secret can be recognised in a text: the part of a value that scanner and server both take the
//! fingerprint of, and which values are looked for at all.

/// Fewest bytes of a value that the scanner looks up; shorter ones occur in code by chance.
pub const MIN_VALUE_BYTES: usize = 8;

/// Most bytes of a value that the scanner looks up: a private key of 4,096 bits fits, written as one line.
pub const MAX_VALUE_BYTES: usize = 4096;

/// The part of a secret's value that scanner and server both take the fingerprint of: the trimmed value, or of a value
/// of several lines the longest line, the last among equals. `None` when that is shorter than [`MIN_VALUE_BYTES`] or
/// longer than [`MAX_VALUE_BYTES`].
///
/// The last, because the first line of a private key in PEM form says what kind of key it is, in the same bytes for all.
pub fn recognisable(value: &[u8]) -> Option<&[u8]> {
    let mut longest: &[u8] = &[];
    for line in value.split(|byte| *byte == b'\n') {
        let line = line.trim_ascii();
        if line.len() >= longest.len() {
            longest = line;
        }
    }
    (MIN_VALUE_BYTES..=MAX_VALUE_BYTES).contains(&longest.len()).then_some(longest)
}

/// Whether `value` in the field `field` of a secret is looked for. A store also holds what is no secret, such as host
/// and user beside a password; each appearance of `eu-central-1` in code would be reported as a leak.
pub fn is_looked_for(field: &str, value: &[u8]) -> bool {
    let word = last_word(field);
    // The secret id of a role is its password, whatever the name sounds like.
    let is_harmless = !field.to_ascii_lowercase().ends_with("secret_id")
        && HARMLESS_FIELDS.iter().any(|name| word.eq_ignore_ascii_case(name));
    // A connection string is called a URL or a host and holds a password all the same.
    let has_password = value.windows(3).position(|part| part == b"://").is_some_and(|at| {
        let rest = value.get(at + 3..).unwrap_or_default();
        let end = rest.iter().position(|byte| matches!(byte, b'/' | b'?' | b'#')).unwrap_or(rest.len());
        rest.get(..end).is_some_and(|authority| authority.contains(&b'@') && authority.contains(&b':'))
    });
    let is_common = COMMON_VALUES.iter().any(|common| value.eq_ignore_ascii_case(common.as_bytes()));
    (!is_harmless || has_password) && !is_common
}

/// The last word of a name in any of the usual spellings: `dbHost`, `DB_HOST` and `db-host` end in `host`.
fn last_word(name: &str) -> &str {
    let bytes = name.as_bytes();
    let mut start = 0;
    for (at, pair) in bytes.windows(2).enumerate() {
        if let [before, here] = pair
            && (!before.is_ascii_alphanumeric() || before.is_ascii_lowercase() && here.is_ascii_uppercase())
        {
            start = at + 1;
        }
    }
    name.get(start..).unwrap_or(name)
}

/// Last words of the names of fields that say where and as whom, not by what right.
const HARMLESS_FIELDS: &[&str] = &[
    "account",
    "address",
    "algorithm",
    "arn",
    "audience",
    "bucket",
    "comment",
    "database",
    "date",
    "dbname",
    "description",
    "domain",
    "driver",
    "email",
    "endpoint",
    "engine",
    "env",
    "environment",
    "expires",
    "expiry",
    "fingerprint",
    "host",
    "hostname",
    "hosts",
    "id",
    "issuer",
    "keyspace",
    "kind",
    "login",
    "mail",
    "mode",
    "name",
    "namespace",
    "note",
    "notes",
    "organisation",
    "organization",
    "owner",
    "path",
    "port",
    "project",
    "protocol",
    "provider",
    "region",
    "role",
    "schema",
    "scope",
    "scopes",
    "server",
    "servers",
    "service",
    "site",
    "sslmode",
    "tenant",
    "type",
    "uri",
    "url",
    "user",
    "username",
    "version",
    "vhost",
    "zone",
];

/// Passwords that are words of every program: where they stand says nothing of the store.
const COMMON_VALUES: &[&str] = &[
    "administrator",
    "changeit",
    "changeme",
    "database",
    "disabled",
    "kubernetes",
    "localhost",
    "minioadmin",
    "password",
    "passphrase",
    "postgres",
    "postgresql",
    "production",
    "rabbitmq",
    "required",
    "undefined",
    "username",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_recognisable_part_is_one_line_of_sensible_length() {
        assert_eq!(recognisable(b"  hunter2hunter2\n"), Some(&b"hunter2hunter2"[..]));
        assert_eq!(recognisable(b"short"), None);
        assert_eq!(recognisable(b"first line\nthe longest line\nlast"), Some(&b"the longest line"[..]));
        assert_eq!(recognisable(&[b'x'; MAX_VALUE_BYTES]).map(<[u8]>::len), Some(MAX_VALUE_BYTES));
        assert_eq!(recognisable(&[b'x'; MAX_VALUE_BYTES + 1]), None);
    }

    #[test]
    fn two_private_keys_of_one_kind_differ_in_their_recognisable_part() {
        let key = |own: &str| format!("-----BEGIN KEY-----\nthe same head of every key\n{own}\n-----END KEY-----\n");
        let (mine, yours) = (key("tlk_canary_key_that_is_mine"), key("tlk_canary_key_that_is_ours"));
        assert_ne!(recognisable(mine.as_bytes()), recognisable(yours.as_bytes()));
        let equal = key("tlk_canary_key_as_long_all");
        assert_eq!(recognisable(equal.as_bytes()), Some(&b"tlk_canary_key_as_long_all"[..]));
    }

    #[test]
    fn hosts_and_users_are_not_looked_for_and_passwords_are() {
        for field in ["username", "dbHost", "DB_HOST", "aws-region", "client_id", "url"] {
            assert!(!is_looked_for(field, b"eu-central-1"), "{field}");
        }
        for field in ["password", "key", "", "hostPassword", "token", "client_secret", "secret_id"] {
            assert!(is_looked_for(field, b"eu-central-1"), "{field}");
        }
        assert!(is_looked_for("url", b"postgres://app:tlk_canary_url@db/app"));
        assert!(!is_looked_for("url", b"https://host:8080/a@b"));
        assert!(!is_looked_for("password", b"ChangeMe"));
    }
}

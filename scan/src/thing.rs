//! Values that name a thing: a path, a host, a file, a public key. None of them is a credential.

use crate::letters;
use crate::shape;

/// Ends of names of files.
const EXTENSIONS: &[&str] = &[
    "pem",
    "key",
    "crt",
    "cer",
    "json",
    "yaml",
    "yml",
    "xml",
    "txt",
    "js",
    "ts",
    "py",
    "go",
    "java",
    "rb",
    "php",
    "html",
    "png",
    "svg",
    "css",
    "jks",
    "p12",
    "pfx",
    "pub",
    "asc",
    "gpg",
    "conf",
    "cfg",
    "ini",
    "env",
    "properties",
    "sh",
    "tf",
    "md",
    "lock",
    "log",
    "sql",
    "db",
    "rs",
    "c",
    "h",
    "cs",
];

/// A host, a file, a release, a date: text that names a thing.
pub(crate) fn is_thing(value: &[u8]) -> bool {
    let lower = value.to_ascii_lowercase();
    let holds = |part: &[u8]| memchr::memmem::find(&lower, part).is_some();
    if is_composite(value)
        || is_camel_name(value)
        || is_public_key(value)
        || holds(b"snapshot")
        || holds(b"aws4_request")
        || holds(b"base64.")
        || is_keyword_argument(value)
        || holds(b"://")
        || (value.len() < 48 && value.iter().filter(|byte| **byte == b'.').count() > 3)
    {
        return true;
    }
    if value.starts_with(b"/") && value.iter().any(|byte| matches!(byte, b'-' | b'.' | b'_')) {
        return true;
    }
    let labels: Vec<&[u8]> = lower.split(|byte| *byte == b'.').collect();
    let Some(last) = labels.last().filter(|_| labels.len() > 1) else { return false };
    let last = last.split(|byte| matches!(byte, b':' | b'/')).next().unwrap_or_default();
    EXTENSIONS.iter().any(|extension| extension.as_bytes() == last)
        || (labels.len() > 2
            && (2..=6).contains(&last.len())
            && last.iter().all(u8::is_ascii_lowercase)
            && labels.iter().all(|label| label.len() < 24))
        || labels
            .iter()
            .all(|label| label.first().is_some_and(u8::is_ascii_alphabetic) && !label.iter().any(u8::is_ascii_digit))
}

/// The start of a public key: what follows from its kind is the same in all of them.
pub(crate) fn is_public_key(value: &[u8]) -> bool {
    const STARTS: &[&[u8]] = &[
        b"MFkwEwYHKoZI",
        b"MHYwEAYHKoZI",
        b"MIIBIjANBgkq",
        b"MIICIjANBgkq",
        b"MIGfMA0GCSqG",
        b"MCowBQYDK2Vw",
        b"MCowBQYDK2Vu",
        b"AAAAB3NzaC1yc2",
        b"AAAAC3NzaC1lZDI1NTE5",
        b"AAAAE2VjZHNhLXNoYTI",
    ];
    STARTS.iter().any(|start| value.starts_with(start))
}

/// The id or the fingerprint of an OpenPGP key, as sentences and options name them: `0x7EC2DBB6F4DBF434`.
pub(crate) fn is_key_id(value: &[u8]) -> bool {
    let (hex, ids): (_, &[usize]) = match value.strip_prefix(b"0x") {
        Some(hex) => (hex, &[8, 16, 40]),
        None => (value, &[16, 40]),
    };
    ids.contains(&hex.len()) && hex.iter().all(|byte| byte.is_ascii_digit() || (b'A'..=b'F').contains(byte))
}

/// `eli:x:2098:1000:Eli`: fields of a record, or their names.
pub(crate) fn is_record(value: &[u8]) -> bool {
    value.iter().filter(|byte| **byte == b':').count() >= 3
}

/// A path, a URL or the version of a protocol.
pub(crate) fn is_place(value: &[u8]) -> bool {
    value.starts_with(b"/")
        || value.starts_with(b"./")
        || value.starts_with(b"../")
        || value.starts_with(b"~/")
        || value.get(..4).is_some_and(|start| start.eq_ignore_ascii_case(b"http"))
        || memchr::memmem::find(value, b"://").is_some()
}

/// A name of several parts: `random_ed25519_key_pair`, `KeySpec.RSA_2048`, `serverless/series/dev/2018`. Words make up
/// a good part of it, and no part alone could be random.
pub(crate) fn is_composite(value: &[u8]) -> bool {
    let parts: Vec<&[u8]> = value
        .split(|byte| matches!(byte, b'_' | b'.' | b'-' | b'/' | b':' | b'@' | b'+'))
        .filter(|part| !part.is_empty())
        .collect();
    let is_word = |part: &[u8]| part.iter().all(u8::is_ascii_alphabetic) && is_wordy(part);
    let harmless = |part: &&[u8]| part.iter().all(u8::is_ascii_digit) || is_word(part) || part.len() <= 9;
    let worded: usize = parts.iter().filter(|part| part.len() >= 3 && is_word(part)).map(|part| part.len()).sum();
    parts.len() >= 2 && parts.iter().all(harmless) && worded * 4 >= value.len()
}

/// `NewLabelKey2`, `serviceAccount2024`: several words, with a capital from the second on, and numbers.
pub(crate) fn is_camel_name(value: &[u8]) -> bool {
    const LEAST_WORD_BYTES: usize = 3;
    const MOST_WORD_BYTES: usize = 9;
    const MOST_DIGITS: usize = 4;
    let (mut words, mut rest) = (0, value);
    while let Some(first) = rest.first() {
        let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let small = rest.iter().skip(1).take_while(|byte| byte.is_ascii_lowercase()).count();
        let begins = first.is_ascii_uppercase() || (words == 0 && first.is_ascii_lowercase());
        let taken = match digits {
            0 if begins && (LEAST_WORD_BYTES..=MOST_WORD_BYTES).contains(&(small + 1)) => small + 1,
            1..=MOST_DIGITS => digits,
            _ => return false,
        };
        words += usize::from(digits == 0);
        rest = rest.get(taken..).unwrap_or_default();
    }
    words >= 2
}

/// `SOFTWARE\Vendor\Product`: the path of a file or of a key of a registry, as Windows writes them.
pub(crate) fn is_backslashed_path(value: &[u8]) -> bool {
    let parts: Vec<&[u8]> = value.split(|byte| *byte == b'\\').filter(|part| !part.is_empty()).collect();
    let is_word = |part: &&&[u8]| part.len() >= 4 && part.iter().all(u8::is_ascii_alphabetic) && is_wordy(part);
    parts.len() >= 3 && parts.iter().filter(is_word).count() >= 2
}

/// `AccessPointId=id2`, `sshpubkeys==3.1.0`, `-version=2`: a name, `=`, and nothing that could be random; any `--flag`.
pub(crate) fn is_keyword_argument(value: &[u8]) -> bool {
    if value.starts_with(b"--") {
        return true;
    }
    let value = value.strip_prefix(b"-").unwrap_or(value);
    let mut parts = value.splitn(2, |byte| *byte == b'=');
    let (Some(left), Some(right)) = (parts.next(), parts.next()) else { return false };
    let is_name = !left.is_empty() && left.iter().all(|byte| byte.is_ascii_alphabetic() || *byte == b'_');
    is_name && right.iter().any(|byte| *byte != b'=') && !shape::is_random(right)
}

/// Whether most of `value` is letters, and they read as words.
pub(crate) fn is_wordy(value: &[u8]) -> bool {
    let letters = value.iter().filter(|byte| byte.is_ascii_alphabetic()).count();
    letters * 5 >= value.len() * 3 && !letters::are_random(value)
}

#[cfg(test)]
mod tests {
    use super::{is_backslashed_path, is_camel_name, is_key_id, is_place, is_record};

    #[test]
    fn names_of_several_words_are_told_from_what_was_drawn() {
        for value in ["NewLabelKey2", "Rfc3565KeyWrapBlob", "serviceAccount2024"] {
            assert!(is_camel_name(value.as_bytes()), "{value}");
        }
        for value in ["q8Zr4Lk0Pw2Vx7Nd5Ty1", "vzihlaquknriqlht", "AbcQwe12345", "Tr0ubadour", "abcd1234efgh5678"] {
            assert!(!is_camel_name(value.as_bytes()), "{value}");
        }
        assert!(is_backslashed_path(br"SOFTWARE\WOW6432Node\Vendor\Product7"));
        assert!(!is_backslashed_path(br"q8\Zr4\Lk0Pw"));
    }

    #[test]
    fn ids_of_public_keys_are_told_from_secret_ones() {
        for value in ["0x7EC2DBB6F4DBF434", "C0FCF8642D830C53246211400346653590B3795B", "C9597E8F28359AE3"] {
            assert!(is_key_id(value.as_bytes()), "{value}");
        }
        for value in ["c0fcf8642d830c53246211400346653590b3795b", "C0FCF8642D830C532462114003466535"] {
            assert!(!is_key_id(value.as_bytes()), "{value}");
        }
        assert!(!is_key_id(["0x", &"7EC2DBB6F4DBF434".repeat(4)].concat().as_bytes()));
    }

    #[test]
    fn records_and_places_are_told_from_passwords() {
        assert!(is_record(b"eli:x:2098:1000:Eli") && is_record(b"pw_uid:pw_gid:pw_dir:pw_shell"));
        assert!(!is_record(b"q8:Zr4:Lk0Pw"));
        assert!(is_place(b"HTTP/1.1") && is_place(b"~/keys") && !is_place(b"hop/Zr4Lk0"));
    }
}

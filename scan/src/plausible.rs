//! Whether a value can be a credential that somebody uses, or only stands for one.

use crate::entropy;

/// Parts of words that authors of examples write where a credential would stand, in lower case.
const STAND_INS: &[&str] = &[
    "example",
    "changeme",
    "change_me",
    "change-me",
    "placeholder",
    "your_",
    "your-",
    "yourpass",
    "yourtoken",
    "yoursecret",
    "yourkey",
    "yourapi",
    "xxxxx",
    "*****",
    ".....",
    "-----",
    "_____",
    "#####",
    "dummy",
    "redacted",
    "insert",
    "todo",
    "fixme",
    "fake",
    "sample",
    "replace",
    "notreal",
    "not_real",
    "not-a-real",
    "deadbeef",
    "foobar",
    "undefined",
    "null",
    "goes_here",
    "goes-here",
    "enter_",
    "secret_here",
    "lorem",
    "my_secret",
    "my-secret",
    "mysecret",
    "my_password",
    "mypassword",
    "some_secret",
    "some-secret",
    "somesecret",
    "00000000",
    "11111111",
    "123456789",
    "abcdefgh",
    "qwertyui",
    "aaaaaa",
];

/// Values that are a word of the trade and no credential, in lower case.
const WORDS: &[&str] = &[
    "password",
    "passwd",
    "passphrase",
    "secret",
    "secrets",
    "token",
    "tokens",
    "apikey",
    "api_key",
    "api-key",
    "true",
    "false",
    "none",
    "nil",
    "bearer",
    "basic",
    "string",
    "username",
    "optional",
    "required",
    "default",
    "hidden",
    "private",
    "public",
    "credentials",
    "authorization",
    "text",
    "input",
    "localhost",
    "test",
    "testing",
    "testpass",
    "admin",
    "root",
    "postgres",
    "mysql",
    "guest",
    "user",
    "pass",
    "demo",
    "value",
    "enabled",
    "disabled",
    "unknown",
    "anonymous",
    "postgresql",
    "rabbitmq",
    "redis",
    "mongodb",
    "development",
    "production",
    "staging",
];

/// Whether `value` merely stands for a credential: a template, a word of the trade, one repeated character, a run of
/// the alphabet.
pub(crate) fn stands_in(value: &[u8]) -> bool {
    let lower = value.to_ascii_lowercase();
    let holds = |part: &str| memchr::memmem::find(&lower, part.as_bytes()).is_some();
    is_template(value)
        || WORDS.iter().any(|word| word.as_bytes() == lower.as_slice())
        || STAND_INS.iter().any(|part| holds(part))
        || distinct(&lower) < 4.min(value.len())
        || is_run(&lower)
}

/// A reference to a value elsewhere: `${X}`, `{{ x }}`, `<x>`, `%X%`, `$(x)`, `$X`, `[x]`, `env:X`.
pub(crate) fn is_template(value: &[u8]) -> bool {
    let holds = |part: &[u8]| memchr::memmem::find(value, part).is_some();
    let wrapped = |open: u8, close: u8| value.first() == Some(&open) && value.last() == Some(&close);
    holds(b"${")
        || holds(b"{{")
        || holds(b"}}")
        || holds(b"$(")
        || holds(b"#{")
        || holds(b"%(")
        || holds(b"<%")
        || holds(b"@{")
        || holds(b"$[")
        || wrapped(b'<', b'>')
        || wrapped(b'%', b'%')
        || wrapped(b'{', b'}')
        || wrapped(b'[', b']')
        || wrapped(b'(', b')')
        || wrapped(b'_', b'_')
        || (value.first() == Some(&b'$')
            && value.get(1).is_some_and(|byte| byte.is_ascii_alphabetic() || *byte == b'_')
            && is_name(value.get(1..).unwrap_or_default()))
        || value.starts_with(b"turnlock://")
        || value.starts_with(b"vault:")
        || value.starts_with(b"op://")
        || value.starts_with(b"env:")
        || value.starts_with(b"arn:aws:")
}

/// A name of several parts: `random_ed25519_key_pair`, `KeySpec.RSA_2048`, `serverless/series/dev/2018`. Words make up
/// a good part of it, and no part alone could be random.
fn is_composite(value: &[u8]) -> bool {
    let parts: Vec<&[u8]> = value
        .split(|byte| matches!(byte, b'_' | b'.' | b'-' | b'/' | b':' | b'@' | b'+'))
        .filter(|part| !part.is_empty())
        .collect();
    let is_letters = |part: &[u8]| part.iter().all(u8::is_ascii_alphabetic);
    let harmless =
        |part: &&[u8]| part.iter().all(u8::is_ascii_digit) || (is_letters(part) && is_wordy(part)) || part.len() <= 9;
    let worded: usize =
        parts.iter().filter(|part| part.len() >= 3 && is_letters(part) && is_wordy(part)).map(|part| part.len()).sum();
    parts.len() >= 2 && parts.iter().all(harmless) && worded * 4 >= value.len()
}

/// `AccessPointId=id2`, `sshpubkeys==3.1.0`, `-version=2`: a name, `=`, and nothing that could be random; any `--flag`.
fn is_keyword_argument(value: &[u8]) -> bool {
    if value.starts_with(b"--") {
        return true;
    }
    let value = value.strip_prefix(b"-").unwrap_or(value);
    let mut parts = value.splitn(2, |byte| *byte == b'=');
    let (Some(left), Some(right)) = (parts.next(), parts.next()) else { return false };
    let is_name = !left.is_empty() && left.iter().all(|byte| byte.is_ascii_alphabetic() || *byte == b'_');
    is_name && right.iter().any(|byte| *byte != b'=') && !is_random(right)
}

/// A host, a file, a release: text of dots and digits that names a thing.
fn names_thing(value: &[u8]) -> bool {
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
        "jks",
        "p12",
        "conf",
        "cfg",
        "ini",
        "properties",
        "sh",
    ];
    let lower = value.to_ascii_lowercase();
    let holds = |part: &[u8]| memchr::memmem::find(&lower, part).is_some();
    if is_composite(value)
        || holds(b"snapshot")
        || holds(b"aws4_request")
        || holds(b"base64.")
        || is_keyword_argument(value)
        || holds(b"-rc")
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

/// Whether `value` can be what a name of a credential is given: random, or random enough for its length.
pub(crate) fn is_random_for_name(value: &[u8]) -> bool {
    if value.len() >= 16 {
        return is_random(value) && !names_thing(value);
    }
    let digits = value.iter().filter(|byte| byte.is_ascii_digit()).count();
    let letters = value.iter().filter(|byte| byte.is_ascii_alphabetic()).count();
    value.len() >= 10
        && digits >= 2
        && letters >= 3
        && changes(value) >= 4
        && entropy::of(value) > 2.8
        && !is_wordy(value)
        && !names_thing(value)
}

/// How often letters and digits take turns.
fn changes(value: &[u8]) -> usize {
    value.iter().zip(value.iter().skip(1)).filter(|(a, b)| a.is_ascii_digit() != b.is_ascii_digit()).count()
}

/// Whether `value` looks drawn at random, as keys and tokens are: letters and digits mixed, no words, high entropy for
/// its length.
pub(crate) fn is_random(value: &[u8]) -> bool {
    let digits = value.iter().filter(|byte| byte.is_ascii_digit()).count();
    let letters = value.iter().filter(|byte| byte.is_ascii_alphabetic()).count();
    let mixed = value.iter().any(u8::is_ascii_uppercase) && value.iter().any(u8::is_ascii_lowercase);
    if value.len() < 16 || letters < 2 || digits < if mixed { 1 } else { 2 } {
        return false;
    }
    let hex = value.iter().all(u8::is_ascii_hexdigit);
    entropy::of(value) > if hex { 2.8 } else { 3.2 } && !is_wordy(value)
}

/// Whether the value of a setting named password, passphrase or the like can be one.
///
/// `quoted`: stood in quotes. Without quotes it may be code, so it must not look like an expression.
pub(crate) fn is_password(value: &[u8], quoted: bool) -> bool {
    if !(6..=128).contains(&value.len())
        || stands_in(value)
        || value.iter().any(|byte| !byte.is_ascii_graphic() && *byte != b' ')
    {
        return false;
    }
    let lower = value.iter().any(u8::is_ascii_lowercase);
    let upper = value.iter().any(u8::is_ascii_uppercase);
    let digit = value.iter().any(u8::is_ascii_digit);
    let mark = value.iter().any(|byte| byte.is_ascii_punctuation());
    let classes = [lower, upper, digit, mark].into_iter().filter(|present| *present).count();
    if value.contains(&b' ')
        || value.starts_with(b"/")
        || value.starts_with(b"./")
        || value.starts_with(b"http")
        || is_keyword_argument(value)
    {
        return false;
    }
    if !quoted && (is_expression(value) || !digit) {
        return false;
    }
    // A path, a dotted name or several words with separators: the name of something.
    let joined = value.iter().any(|byte| matches!(byte, b'.' | b'_' | b'-' | b'/' | b':'));
    if (!digit || joined) && is_name(value) {
        return false;
    }
    classes >= 2 && entropy::of(value) > 2.2 && (digit || (mark && upper) || classes >= 3)
}

/// Whether `value` reads as an expression of a programming language.
fn is_expression(value: &[u8]) -> bool {
    let holds = |part: &[u8]| memchr::memmem::find(value, part).is_some();
    value.iter().any(|byte| matches!(byte, b'(' | b')' | b'[' | b']' | b'{' | b'}' | b';' | b'|' | b'<' | b'>'))
        || holds(b"->")
        || holds(b"::")
        || holds(b"=>")
        || {
            // `settings.db_password1`: names joined by dots.
            value.contains(&b'.') && is_name(value)
        }
}

/// Whether `value` holds nothing but what names hold: letters, digits, `_`, `.`, `-`, `/`, `:`; and no long digit run.
fn is_name(value: &[u8]) -> bool {
    value.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-' | b'/' | b':'))
        && is_wordy(value)
}

/// Whether most of `value` is words: runs of letters with the rhythm of vowels, parted by separators or capitals.
fn is_wordy(value: &[u8]) -> bool {
    let mut in_words = 0usize;
    let mut run: Vec<u8> = Vec::new();
    let mut close = |run: &mut Vec<u8>| {
        let vowels = run
            .iter()
            .filter(|byte| matches!(byte.to_ascii_lowercase(), b'a' | b'e' | b'i' | b'o' | b'u' | b'y'))
            .count();
        if run.len() >= 3 && vowels * 6 >= run.len() && vowels * 4 <= run.len() * 3 {
            in_words += run.len();
        }
        run.clear();
    };
    let mut letters = 0usize;
    for byte in value {
        if byte.is_ascii_alphabetic() {
            letters += 1;
            let turns = byte.is_ascii_uppercase() && run.last().is_some_and(u8::is_ascii_lowercase);
            if turns {
                close(&mut run);
            }
            run.push(*byte);
        } else {
            close(&mut run);
        }
    }
    close(&mut run);
    // Random text also has a lucky run of letters here and there; words make up nearly all of a name.
    letters * 5 >= value.len() * 3 && in_words * 10 >= value.len() * 7
}

fn distinct(value: &[u8]) -> usize {
    let mut seen = [false; 256];
    value
        .iter()
        .filter(|byte| seen.get_mut(usize::from(**byte)).is_some_and(|seen| !std::mem::replace(seen, true)))
        .count()
}

/// Whether nearly every byte follows its neighbour by one: `abcdef`, `123456`.
fn is_run(value: &[u8]) -> bool {
    let steps = value.iter().zip(value.iter().skip(1)).filter(|(a, b)| b.wrapping_sub(**a) <= 1).count();
    value.len() >= 8 && steps * 10 >= (value.len() - 1) * 8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates_and_words_stand_for_a_value() {
        for value in [
            "${DB_PASSWORD}",
            "{{ .Values.key }}",
            "<your key>",
            "%SECRET%",
            "$DB_PASSWORD",
            "changeme",
            "xxxxxxxxxxxx",
            "password",
            "AKIAIOSFODNN7EXAMPLE",
            "abcdefghijklmnop",
        ] {
            assert!(stands_in(value.as_bytes()), "{value}");
        }
        for value in ["hV7$kq2Lw0z", "9f3c1e77ab0d4c5512ee8bd1", "Tr0ub4dor&3"] {
            assert!(!stands_in(value.as_bytes()), "{value}");
        }
    }

    #[test]
    fn names_and_expressions_are_no_passwords() {
        for value in [
            "request.form.get('x1')",
            "settings.db_password1",
            "getPassword()",
            "user_password_field",
            "config/secrets/db1",
            "-version=2",
            "self.password2",
        ] {
            assert!(!is_password(value.as_bytes(), false), "{value}");
        }
        for value in ["s3cr3tP4ss!", "k9dJ2mPq", "hunter2!x"] {
            assert!(is_password(value.as_bytes(), false), "{value}");
        }
    }

    #[test]
    fn random_text_is_told_from_names() {
        for value in ["9f3c1e77ab0d4c5512ee8bd1", "q8Zr4Lk0Pw2Vx7Nd5Ty1", "sccqe60k-nsak-h1m1-vzq8"] {
            assert!(is_random(value.as_bytes()), "{value}");
        }
        for value in
            ["com.example.service.token2.name1", "PdfEncryptionKeySize.Key128Bit", "aaaaaaaaaaaaaaaa11", "short1"]
        {
            assert!(!is_random(value.as_bytes()), "{value}");
        }
    }

    #[test]
    fn names_of_several_parts_are_not_random() {
        for value in [
            "random_ed25519_key_pair",
            "KeySpec.RSA_2048",
            "serverless/series/dev/1542744572309",
            "base64.b64decode",
            "sm02915.int.contoso.com",
            "s_rsa1024_priv.pem",
        ] {
            assert!(!is_random_for_name(value.as_bytes()), "{value}");
        }
        for value in [
            "ff083f76-7804-4ef1-80e4-fe975bb9141b",
            "sccqe60k-nsak-h1m1-vzq8-vr7u4gxihiwl",
            "q8Zr4Lk0Pw2Vx7Nd5Ty1",
            "v4k094d8ueairso",
        ] {
            assert!(is_random_for_name(value.as_bytes()), "{value}");
        }
    }

    #[test]
    fn nearly_all_random_tokens_are_recognised_as_random() {
        let mut state = 7u64;
        for length in [20, 32, 40] {
            let mut missed = 0;
            for _ in 0..2000 {
                let token: Vec<u8> = (0..length)
                    .map(|_| {
                        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                        b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"[(state >> 33) as usize % 62]
                    })
                    .collect();
                missed += usize::from(!is_random(&token));
            }
            assert!(missed < 2000 / 12, "{missed} of 2000 of length {length}");
        }
    }
}

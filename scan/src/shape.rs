//! What a credential looks like by its value: drawn at random, or chosen by a person; not a name, a path or an expression.

use crate::drawn;
use crate::entropy;
use crate::letters;
use crate::plausible::{names_none, stands_in};
use crate::setting::Form;
use crate::thing::{is_composite, is_keyword_argument, is_place, is_record, is_thing, is_wordy};

/// Whether `value` looks drawn at random, as keys and tokens are: letters and digits mixed, no words.
pub(crate) fn is_random(value: &[u8]) -> bool {
    let digits = value.iter().filter(|byte| byte.is_ascii_digit()).count();
    let letters = value.iter().filter(|byte| byte.is_ascii_alphabetic()).count();
    let mixed = value.iter().any(u8::is_ascii_uppercase) && value.iter().any(u8::is_ascii_lowercase);
    if value.len() < 16 || letters < 2 || digits < if mixed { 1 } else { 2 } {
        return false;
    }
    if value.iter().all(|byte| byte.is_ascii_hexdigit() || *byte == b'-') {
        return entropy::of(value) > 2.8;
    }
    entropy::of(value) > 3.2 && letters::are_random(value)
}

/// Whether `value` can be the key, token or secret that a name of one is given in this form.
pub(crate) fn is_secret(value: &[u8], form: Form) -> bool {
    /// So long a value may hold a run, as authors of examples type them, and be one all the same.
    const LONG_BYTES: usize = 20;
    if (form == Form::Quoted && (is_escaped_bytes(value) || is_random_with_marks(value)))
        || (is_data(form) && drawn::is_drawn_key(value))
    {
        return true;
    }
    let is_usual = |byte: &u8| byte.is_ascii_alphanumeric() || b".=+/~%!^*&$@_-".contains(byte);
    let empty = if value.len() < LONG_BYTES { stands_in(value) } else { names_none(value) };
    if !(10..=1000).contains(&value.len()) || !value.iter().all(is_usual) || empty || is_thing(value) {
        return false;
    }
    let digits = value.iter().filter(|byte| byte.is_ascii_digit()).count();
    if form == Form::Word && (digits < 3 || value.contains(&b'.')) {
        return false;
    }
    if value.len() >= 16 {
        return is_random(value) || is_random_letters(value, form);
    }
    let letters = value.iter().filter(|byte| byte.is_ascii_alphabetic()).count();
    form != Form::Word
        && digits >= 2
        && letters >= 3
        && changes(value) >= 3
        && entropy::of(value) > 2.8
        && letters::are_random(value)
}

/// `\xf9\x1c{H\xe5…`: random bytes as a literal of a program has them.
fn is_escaped_bytes(value: &[u8]) -> bool {
    const LEAST: usize = 8;
    let is_escape =
        |four: &&[u8]| matches!(four, [b'\\', b'x', a, b] if a.is_ascii_hexdigit() && b.is_ascii_hexdigit());
    value.len() <= 400 && value.windows(4).filter(is_escape).count() >= LEAST && entropy::of(value) > 3.2
}

/// Random text of all characters that can be typed, as frameworks make keys of: too long and too mixed for code.
fn is_random_with_marks(value: &[u8]) -> bool {
    const LEAST: usize = 32;
    let alphanumeric = value.iter().filter(|byte| byte.is_ascii_alphanumeric()).count();
    let marks = value.iter().filter(|byte| byte.is_ascii_punctuation() && !matches!(byte, b':' | b'_' | b'-')).count();
    (LEAST..=128).contains(&value.len())
        && value.iter().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'\\' | b'"' | b'\''))
        && alphanumeric * 2 >= value.len()
        && marks >= 2
        && entropy::of(value) > 4.3
        && is_random(value)
        && !names_none(value)
        && !is_thing(value)
}

/// Whether a value in this form is surely data and no code.
pub(crate) fn is_data(form: Form) -> bool {
    matches!(form, Form::Quoted | Form::Line)
}

/// Letters alone: only where they are surely data. Capitals among them must turn up as often as by chance, not at the start
/// of words.
fn is_random_letters(value: &[u8], form: Form) -> bool {
    const LONG_BYTES: usize = 16;
    let of_both_cases = || {
        let turns = value.windows(2).filter(|pair| pair.iter().filter(|byte| byte.is_ascii_uppercase()).count() == 1);
        value.len() >= LONG_BYTES
            && turns.count() * 3 >= value.len()
            && value.iter().all(|byte| byte.is_ascii_alphabetic() || matches!(byte, b'_' | b'-'))
    };
    is_data(form)
        && (value.iter().all(u8::is_ascii_lowercase) || of_both_cases())
        && entropy::of(value) > 3.2
        && letters::are_random(value)
}

/// Whether `value` reads as words, or as a name made of them.
pub(crate) fn is_words(value: &[u8]) -> bool {
    (!value.iter().any(u8::is_ascii_digit) && !letters::are_random(value)) || is_composite(value)
}

/// Whether a person wrote `fake` over a part of a random `value`: what is left of it may still be one's.
pub(crate) fn is_overwritten(value: &[u8]) -> bool {
    const MARK: &[u8] = b"fake";
    let mut rest = value.to_vec();
    let mut marks = 0;
    while let Some(at) = memchr::memmem::find(&rest.to_ascii_lowercase(), MARK) {
        rest.drain(at..at + MARK.len());
        marks += 1;
    }
    (1..=MARK.len()).contains(&marks) && is_random(&rest) && !names_none(&rest)
}

/// How often letters and digits take turns.
fn changes(value: &[u8]) -> usize {
    value.iter().zip(value.iter().skip(1)).filter(|(a, b)| a.is_ascii_digit() != b.is_ascii_digit()).count()
}

/// Whether `value` can be a password that a name of one is given in this form. Without quotes it may be code, so it must
/// not read as an expression.
pub(crate) fn is_password(value: &[u8], form: Form) -> bool {
    if is_data(form) && drawn::is_drawn(value) {
        return true;
    }
    if !(6..=128).contains(&value.len())
        || !value.iter().all(u8::is_ascii_graphic)
        || stands_in(value)
        || is_keyword_argument(value)
        || is_place(value)
        || is_record(value)
        || is_choice(value)
        || value.starts_with(b"-")
        || (value.contains(&b'/') && is_thing(value))
    {
        return false;
    }
    // What a URL escapes stands for one mark; it makes no password of words.
    if let Some(plain) = without_escapes(value) {
        return is_password(&plain, form);
    }
    let data = is_data(form);
    let digit = value.iter().any(u8::is_ascii_digit);
    let letter = value.iter().any(u8::is_ascii_alphabetic);
    let mark = value.iter().any(|byte| byte.is_ascii_punctuation() && !b"._-/:;,\\'\"()[]{}<>".contains(byte));
    let joined = value.iter().any(|byte| matches!(byte, b'.' | b'_' | b'-' | b'/' | b':'));
    // A path, a dotted name or several words with separators: the name of something.
    if (!digit || joined) && is_name(value) && !(is_data(form) && is_disguised(value)) {
        return false;
    }
    if !data && (is_expression(value) || !digit) {
        return false;
    }
    let lower = value.to_ascii_lowercase();
    let speaks_of_itself = memchr::memmem::find(&lower, b"passw").is_some();
    if speaks_of_itself && !digit {
        return false;
    }
    if form == Form::Word {
        return digit && letter && (mark || letters::are_random(value));
    }
    letter
        && entropy::of(value) > 2.2
        && (digit || (mark && !is_selector(value)) || (value.len() >= 10 && letters::are_random(value)))
}

/// Whether a person disguised words for a password: with a digit in the midst of one (`g4rden-Gn0me`), or capitals, small
/// letters and digits (`blauwe-Fiets77`). Names of things have such parts too, but those are words of the trade.
fn is_disguised(value: &[u8]) -> bool {
    const TRADE: &[&str] = &[
        "pass", "pwd", "secret", "token", "key", "login", "user", "form", "field", "auth", "cred", "label", "input",
        "config", "param", "base64", "utf8", "sha", "md5", "k8s", "i18n", "l10n", "oauth", "x509", "ed25519", "pkcs",
        "e2e", "v1", "v2", "http", "test", "type", "spec", "name", "value", "client", "server", "vault",
    ];
    let lower = value.to_ascii_lowercase();
    let holds = |word: &&str| memchr::memmem::find(&lower, word.as_bytes()).is_some();
    let is_within_word = |three: &[u8]| matches!(three, [a, digit, b] if a.is_ascii_alphabetic() && digit.is_ascii_digit() && b.is_ascii_lowercase());
    let parts = value.split(|byte| !byte.is_ascii_alphanumeric());
    let is_place = value.contains(&b'/') || value.contains(&b':');
    !is_place
        && parts.count() <= 3
        && (value.windows(3).any(is_within_word) || is_strong(value))
        && !TRADE.iter().any(holds)
}

/// A URL's `value` without its escapes such as `%20`, if it has any.
pub(crate) fn without_escapes(value: &[u8]) -> Option<Vec<u8>> {
    let is_hex = |at: usize| value.get(at).is_some_and(u8::is_ascii_hexdigit);
    let mut plain = Vec::with_capacity(value.len());
    let mut at = 0;
    while let Some(byte) = value.get(at) {
        if *byte == b'%' && is_hex(at + 1) && is_hex(at + 2) {
            at += 3;
        } else {
            plain.push(*byte);
            at += 1;
        }
    }
    (plain.len() < value.len()).then_some(plain)
}

/// Whether letters of both cases and digits make up `password`: nobody types that for an example.
pub(crate) fn is_strong(password: &[u8]) -> bool {
    let any = |class: fn(&u8) -> bool| password.iter().any(class);
    password.len() >= 8 && any(u8::is_ascii_digit) && any(u8::is_ascii_lowercase) && any(u8::is_ascii_uppercase)
}

/// Whether `value` can be a password of words; only what stands beside it tells.
pub(crate) fn is_word_password(value: &[u8]) -> bool {
    (6..=40).contains(&value.len())
        && value.iter().all(|byte| byte.is_ascii_lowercase() || *byte == b'_' || *byte == b'-')
        && !value.ends_with(b"_")
        && !stands_in(value)
        && !["pass", "pwd", "secret", "user", "login", "token", "field", "name"]
            .iter()
            .any(|word| memchr::memmem::find(value, word.as_bytes()).is_some())
}

/// `#login-form`, `.password`, `*:`: what selects an element of a page, or adorns a label.
fn is_selector(value: &[u8]) -> bool {
    value.first().is_some_and(|byte| matches!(byte, b'#' | b'.' | b'*' | b'$' | b'@' | b'&' | b'!' | b'?' | b'%'))
        || value.last().is_some_and(|byte| matches!(byte, b'?' | b'*' | b':' | b'='))
}

/// `true|false`: what may be chosen.
fn is_choice(value: &[u8]) -> bool {
    value.contains(&b'|') && value.split(|byte| *byte == b'|').all(|part| part.iter().all(u8::is_ascii_alphabetic))
}

/// Whether `value` reads as an expression of a programming language.
fn is_expression(value: &[u8]) -> bool {
    let holds = |part: &[u8]| memchr::memmem::find(value, part).is_some();
    value.iter().any(|byte| matches!(byte, b'(' | b')' | b'[' | b']' | b'{' | b'}' | b';' | b'|' | b'<' | b'>'))
        || holds(b"->")
        || holds(b"::")
        || holds(b"=>")
        || holds(b"&&")
        || {
            // `settings.db_password1`, `password2`: a name.
            let plain = value.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'$'));
            plain && !letters::are_random(value)
        }
}

/// Whether `value` holds nothing but what names hold: letters, digits, `_`, `.`, `-`, `/`, `:`; and reads as words.
fn is_name(value: &[u8]) -> bool {
    value.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-' | b'/' | b':'))
        && is_wordy(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_random_value_that_somebody_wrote_over_is_told_from_a_name() {
        for (value, overwritten) in [
            ("q8Zr4Lk0fakePw2Vx7Nd5Ty1", true),
            ("q8Zr4Lk0Pw2Vx7Nd5Ty1", false),
            ("my-fake-api-key-for-testing", false),
            ("fakefakefakefakefakefake", false),
        ] {
            assert_eq!(is_overwritten(value.as_bytes()), overwritten, "{value}");
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
            assert!(!is_password(value.as_bytes(), Form::Bare), "{value}");
        }
        for value in ["s3cr3tP4ss!", "k9dJ2mPq", "hunter2!x"] {
            assert!(is_password(value.as_bytes(), Form::Bare), "{value}");
        }
    }

    #[test]
    fn labels_and_selectors_in_quotes_are_no_passwords() {
        for value in
            ["#add-password", "Password:", "Passwort", "forgot_password", "input.password", "Password*", "/login/2"]
        {
            assert!(!is_password(value.as_bytes(), Form::Quoted), "{value}");
        }
        for value in ["secure%20words", "%F0%9F%92%A9", "eli:x:2098:1000:Eli", "HTTP/1.1"] {
            assert!(!is_password(value.as_bytes(), Form::Line), "{value}");
        }
        for value in ["q8Zr%40Lk0", "vzihlaquknriqlht", "development#product", "Summer2024", "hunter22"] {
            assert!(is_password(value.as_bytes(), Form::Quoted), "{value}");
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
            assert!(!is_secret(value.as_bytes(), Form::Quoted), "{value}");
        }
        for value in [
            "ff083f76-7804-4ef1-80e4-fe975bb9141b",
            "sccqe60k-nsak-h1m1-vzq8-vr7u4gxihiwl",
            "q8Zr4Lk0Pw2Vx7Nd5Ty1",
            "v4k094d8ueairso",
        ] {
            assert!(is_secret(value.as_bytes(), Form::Quoted), "{value}");
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
            assert!(missed < 2000 / 25, "{missed} of 2000 of length {length}");
        }
    }
}

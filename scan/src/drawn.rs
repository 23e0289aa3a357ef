//! Values so mixed that a generator drew them: whatever a name, a path or a template they hold by chance, they are credentials.

use crate::entropy;
use crate::plausible::{is_example, is_reference, is_run, is_typed, without_chance_words};
use crate::shape::is_strong;
use crate::thing::{is_backslashed_path, is_camel_name, is_public_key};

/// Shortest value that is told by its mixture alone.
const LEAST_BYTES: usize = 10;
const MOST_BYTES: usize = 128;

/// Bits a character that words and numbers joined by marks rarely reach.
const LEAST_BITS: f32 = 2.8;

/// Whether `value` is long and mixes three kinds of characters as no name does, also without the words that say it is none.
pub(crate) fn is_drawn(value: &[u8]) -> bool {
    let alphanumeric = value.iter().filter(|byte| byte.is_ascii_alphanumeric()).count();
    (LEAST_BYTES..=MOST_BYTES).contains(&value.len())
        && value.iter().all(u8::is_ascii_graphic)
        && alphanumeric * 2 >= value.len()
        && is_mixed(value)
        && entropy::of(value) > LEAST_BITS
        && !is_pattern(value)
        && !is_reference(value)
        && !is_example(value)
        && !is_typed(value)
        && !is_run(&value.to_ascii_lowercase())
        && !is_public_key(value)
        && !is_camel_name(value)
        && !is_backslashed_path(value)
        && memchr::memmem::find(value, b"://").is_none()
        && without_chance_words(value).is_none_or(|rest| is_mixed(&rest))
}

/// The same for a key or token, which holds letters of both cases and digits. A number and a colon before it make a format
/// that rules know whole.
pub(crate) fn is_drawn_key(value: &[u8]) -> bool {
    let begins_with_number =
        value.iter().position(|byte| *byte == b':') == value.iter().position(|byte| !byte.is_ascii_digit());
    is_strong(value) && !begins_with_number && is_drawn(value)
}

/// What a character is to the eye; `None` for one that joins parts of names.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Class {
    Small,
    Capital,
    Digit,
    Mark,
}

fn class(byte: u8) -> Option<Class> {
    match byte {
        b'a'..=b'z' => Some(Class::Small),
        b'A'..=b'Z' => Some(Class::Capital),
        b'0'..=b'9' => Some(Class::Digit),
        b'.' | b'_' | b'-' | b'/' | b':' | b'=' | b'+' | b',' => None,
        _ => Some(Class::Mark),
    }
}

/// Whether there are characters of three classes and the class changes at every fourth one at least. A small letter after a
/// capital is no change, for so do words begin, nor is what joins parts of a name.
fn is_mixed(value: &[u8]) -> bool {
    let holds = |one: Class| value.iter().any(|byte| class(*byte) == Some(one));
    let kinds = [Class::Small, Class::Capital, Class::Digit, Class::Mark].into_iter().filter(|one| holds(*one)).count();
    let changes = |pair: &&[u8]| match pair {
        [a, b] => match (class(*a), class(*b)) {
            (Some(Class::Capital), Some(Class::Small)) => false,
            (Some(a), Some(b)) => a != b,
            _ => false,
        },
        _ => false,
    };
    kinds >= 3 && value.windows(2).filter(changes).count() * 4 >= value.len()
}

/// A regular expression or a format: `[A-Za-z0-9]`, `%08x-%04X`.
fn is_pattern(value: &[u8]) -> bool {
    let holds = |part: &[u8]| memchr::memmem::find(value, part).is_some();
    holds(b"a-z")
        || holds(b"A-Z")
        || holds(b"0-9")
        || holds(b"\\d")
        || holds(b"%0")
        || holds(b"(?")
        || value.iter().filter(|byte| **byte == b'%').count() >= 2
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::is_drawn;
    use crate::setting::Form;
    use crate::shape::{is_password, is_secret};

    #[test]
    fn what_a_generator_drew_is_told_from_names() {
        for value in [
            "Kx=Zr4!Lk0Pw2",
            "aB3:dE6:gH9:jK2",
            "Httpq8Zr4!Lk0",
            "/Zr4!Lk0Pw2Vx",
            "-Zr4!Lk0Pw2Vx",
            "Zr`4!Lk`0Pw2",
            "Zr4!deadbeefLk0",
            "kQ7!inserted4Zr",
            "Sample!77Qz",
        ] {
            assert!(is_drawn(value.as_bytes()) && is_password(value.as_bytes(), Form::Quoted), "{value}");
        }
        for value in ["Annullieren77!", "mojitodo77!K"] {
            assert!(is_password(value.as_bytes(), Form::Quoted), "{value}");
        }
        for value in [
            "PdfEncryptionKeySize.Key128Bit",
            "eli:x:2098:1000:Eli",
            "AccessPointId=Id2",
            "Http2-Client/1.0",
            "^[A-Za-z0-9!]{8}$",
            "Changeme123!",
            "Ctrl+Shift+F12",
            "https://User1:Pw2!@Host3",
            "${Zr4}!Lk0Pw2",
            "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
            "a1b2c3d4e5f6G7H8",
        ] {
            assert!(!is_drawn(value.as_bytes()), "{value}");
        }
    }

    /// As many values of `length` characters out of `alphabet`, the same in each run.
    fn drawn(alphabet: &[u8], length: usize) -> Vec<Vec<u8>> {
        let mut state = 7u64;
        let mut next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            alphabet[(state >> 33) as usize % alphabet.len()]
        };
        (0..500).map(|_| (0..length).map(|_| next()).collect()).collect()
    }

    #[test]
    fn nearly_all_passwords_and_keys_of_generators_are_found() {
        let marked: Vec<u8> = (b'!'..=b'~').filter(|byte| !matches!(byte, b'"' | b'\'' | b'\\')).collect();
        let plain: Vec<u8> = (b'0'..=b'z').filter(u8::is_ascii_alphanumeric).collect();
        let of_password = |value: &Vec<u8>| is_password(value, Form::Quoted);
        let of_key = |value: &Vec<u8>| is_secret(value, Form::Quoted);
        let missed = |values: Vec<Vec<u8>>, found: &dyn Fn(&Vec<u8>) -> bool| {
            values
                .into_iter()
                .filter(|value| !found(value))
                .map(|value| String::from_utf8(value).unwrap())
                .collect::<Vec<_>>()
        };
        let kinds = [
            ("passwords of 12", missed(drawn(&marked, 12), &of_password)),
            ("passwords of 16", missed(drawn(&marked, 16), &of_password)),
            ("passwords of 20", missed(drawn(&marked, 20), &of_password)),
            ("passwords without marks", missed(drawn(&plain, 16), &of_password)),
            ("keys of 16", missed(drawn(&plain, 16), &of_key)),
            ("keys of 24", missed(drawn(&plain, 24), &of_key)),
        ];
        let counts = kinds.iter().map(|(kind, missed)| (kind, missed.len(), missed)).collect::<Vec<_>>();
        assert!(counts.iter().all(|(_, missed, _)| *missed <= 10), "of 500 each: {counts:?}");
    }
}

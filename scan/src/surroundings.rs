//! What stands around a setting and speaks for its value, or against it.

use std::ops::Range;
use std::sync::LazyLock;

use memchr::memmem::find;
use memchr::memrchr;
use regex::bytes::Regex;

use crate::setting::compile;

/// Bytes before a setting, and behind its name, in which other settings are beside it.
const BEFORE_BYTES: usize = 160;
const AFTER_BYTES: usize = 120;

/// A name of a user that is given a value.
static USER: LazyLock<Option<Regex>> = LazyLock::new(|| {
    compile(
        r#"(?i)(?:user(?:_?name)?|login|uid)\\?["'\]]{0,2}[ \t]*(?:=>|:?={1,3}|:)[ \t]*(?:\\?["'][^"'\s\\]{2,60}\\?["']|[\w.@+-]{2,60}[ \t]*(?:$|[\r\n;,&#]))"#,
    )
});

/// A user who needs no password: what such a one sends as one is an address by custom.
static ANONYMOUS: LazyLock<Option<Regex>> = LazyLock::new(|| {
    compile(r#"(?i)(?:user(?:_?name)?|login)\\?["'\]]{0,2}[ \t]*(?:=>|:?=|:|[ \t])[ \t]*\\?["']?(?:anonymous|ftp)\b"#)
});

/// Another field of a test vector of a cipher or a hash, at the start of its line.
static FIELD_OF_VECTOR: LazyLock<Option<Regex>> = LazyLock::new(|| {
    compile(
        r#"(?im)^[ \t]*(?:nonce|iv|input|in|out|output|tag|mac|msg|message|plaintext|ciphertext|pt|ct|ad|aad|count|digest)[ \t]*[=:]"#,
    )
});

/// Whether a user is named in the lines beside the setting at `name` of `text`.
pub(crate) fn is_beside_user(text: &[u8], name: &Range<usize>) -> bool {
    is_near(&USER, text, name.start, name.end)
}

/// Whether the code of `text` compares what has the `name` with the literal at `value`.
pub(crate) fn is_compared(text: &[u8], name: &Range<usize>, value: &Range<usize>) -> bool {
    let between = text.get(name.end..value.start).unwrap_or_default();
    between.windows(2).any(|pair| matches!(pair, b"==" | b"!="))
}

/// Whether what surrounds the setting says that its value guards nothing.
pub(crate) fn guards_nothing(text: &[u8], name: &Range<usize>, value: &Range<usize>) -> bool {
    is_result_of_test(text, name)
        || is_of_badge(text, name)
        || is_of_vector(text, name, value)
        || is_near(&ANONYMOUS, text, name.start, name.end)
}

fn is_near(pattern: &LazyLock<Option<Regex>>, text: &[u8], start: usize, end: usize) -> bool {
    let near = text.get(start.saturating_sub(BEFORE_BYTES)..(end + AFTER_BYTES).min(text.len()));
    pattern.as_ref().zip(near).is_some_and(|(pattern, near)| pattern.is_match(near))
}

/// `PASS: the name of a test`, `--- PASS: TestName`: a line of the results of tests, which no indentation makes a part of
/// anything else.
fn is_result_of_test(text: &[u8], name: &Range<usize>) -> bool {
    let before = text.get(name.start.saturating_sub(BEFORE_BYTES)..name.start).unwrap_or_default();
    let line = before.get(memrchr(b'\n', before).map_or(0, |at| at + 1)..).unwrap_or_default();
    let separated = text.get(name.end..).is_some_and(|rest| rest.starts_with(b": "));
    let starts = line.iter().all(|byte| *byte == b'#') || line.ends_with(b"# ") || line.ends_with(b"--- ");
    separated && starts && matches!(text.get(name.clone()), Some(b"PASS" | b"XPASS" | b"UXPASS"))
}

/// Whether the setting is in the address of a badge, which everybody who reads the page of a project fetches.
fn is_of_badge(text: &[u8], name: &Range<usize>) -> bool {
    let before = text.get(name.start.saturating_sub(BEFORE_BYTES)..name.start).unwrap_or_default();
    let ends = |byte: &u8| byte.is_ascii_whitespace() || matches!(byte, b'"' | b'\'' | b'(' | b'<' | b'[');
    let address = before.get(before.iter().rposition(ends).map_or(0, |at| at + 1)..).unwrap_or_default();
    find(address, b"/badge").is_some() || find(address, b".svg?").is_some()
}

/// Whether the value is the key of a test vector: `Key = 00…` between `Nonce = …` and `Tag = …`.
fn is_of_vector(text: &[u8], name: &Range<usize>, value: &Range<usize>) -> bool {
    text.get(name.clone()).is_some_and(|name| name.eq_ignore_ascii_case(b"key") || name.eq_ignore_ascii_case(b"k"))
        && text.get(value.clone()).is_some_and(|value| value.iter().all(u8::is_ascii_hexdigit))
        && is_near(&FIELD_OF_VECTOR, text, name.start, value.end)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]
    use super::{guards_nothing, is_beside_user, is_compared};

    /// Where `part` first stands in `text`.
    fn at(text: &str, part: &str) -> std::ops::Range<usize> {
        let start = text.find(part).unwrap();
        start..start + part.len()
    }

    #[test]
    fn a_user_beside_a_password_is_seen() {
        for text in [
            "user = joe\npassword = opensesame\n",
            "'username' => 'joe',\n'password' => 'opensesame',",
            "password: opensesame\nlogin: joe\n",
        ] {
            assert!(is_beside_user(text.as_bytes(), &at(text, "password")), "{text}");
        }
        for text in
            ["password = opensesame\n", "user = find_user(x)\npassword = opensesame\n", "users: 1\npassword: x\n"]
        {
            assert!(!is_beside_user(text.as_bytes(), &at(text, "password")), "{text}");
        }
    }

    #[test]
    fn a_comparison_is_told_from_an_assignment() {
        for (text, compared) in [
            ("if form.password == 'opensesame':", true),
            ("if (form['password'] !== 'opensesame') {", true),
            ("form.password = 'opensesame'", false),
            ("'password' => 'opensesame'", false),
        ] {
            assert_eq!(
                is_compared(text.as_bytes(), &at(text, "password"), &at(text, "opensesame")),
                compared,
                "{text}"
            );
        }
    }

    #[test]
    fn values_that_guard_nothing_are_told_by_what_surrounds_them() {
        for (text, name, value) in [
            ("ok\nPASS: ld-i386/pr23486d\n", "PASS", "ld-i386/pr23486d"),
            ("XPASS: q8zr4lk0pw\n", "XPASS", "q8zr4lk0pw"),
            ("--- PASS: TestQ8zr4lk0 (0.00s)\n", "PASS", "TestQ8zr4lk0"),
            ("[![c](https://cov.test/x/graph/badge.svg?token=3KQ3R2D9fV)]", "token", "3KQ3R2D9fV"),
            ("Nonce = 07\nKey = 9f3c1e77ab0d\nTag = 8f\n", "Key", "9f3c1e77ab0d"),
            ("user = \"anonymous\";\npassword = \"busybox@\";", "password", "busybox@"),
        ] {
            assert!(guards_nothing(text.as_bytes(), &at(text, name), &at(text, value)), "{text}");
        }
        for (text, name, value) in [
            ("  PASS: q8zr4lk0pw\n", "PASS", "q8zr4lk0pw"),
            ("DB_PASS: q8zr4lk0pw\n", "DB_PASS", "q8zr4lk0pw"),
            ("PASS=q8zr4lk0pw\n", "PASS", "q8zr4lk0pw"),
            ("see /badge https://api.test/x?token=3KQ3R2D9fV", "token", "3KQ3R2D9fV"),
            ("name = x\nKey = 9f3c1e77ab0d\n", "Key", "9f3c1e77ab0d"),
            ("user = \"ftpadmin\"\npassword = \"q8zr4lk0pw\"", "password", "q8zr4lk0pw"),
        ] {
            assert!(!guards_nothing(text.as_bytes(), &at(text, name), &at(text, value)), "{text}");
        }
    }
}

//! What stands around a setting and speaks for its value, or against it.

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::LazyLock;

use memchr::memmem::find;
use memchr::memrchr;
use regex::bytes::Regex;

use crate::drawn;
use crate::setting::compile;
use crate::{name, text};

/// Bytes before a setting, and behind its name, in which other settings are beside it.
const BEFORE_BYTES: usize = 160;
const AFTER_BYTES: usize = 120;

/// A name of a user that is given a value.
static USER: LazyLock<Option<Regex>> = LazyLock::new(|| {
    compile(
        r#"(?i)(?:user(?:_?name)?|login|uid)\\?["'\]]{0,2}[ \t]*(?:=>|:?={1,3}|:)[ \t]*(?:\\?["'][^"'\s\\]{2,60}\\?["']|[\w.@+-]{2,60}[ \t]*(?:$|[\r\n;,&#]))"#,
    )
});

/// A user who needs no password, up to the name of the next one: what such a one sends as one is an address by custom.
static ANONYMOUS: LazyLock<Option<Regex>> = LazyLock::new(|| {
    compile(r#"(?i)(?:user(?:_?name)?|login)\\?["'\]]{0,2}[ \t]*(?:=>|:?=|:|[ \t])[ \t]*\\?["']?(?:anonymous|ftp)\b"#)
});

/// What a person leaves as an address: `busybox@`, `me@host.internal`.
static ADDRESS: LazyLock<Option<Regex>> = LazyLock::new(|| compile(r"^[A-Za-z][\w.+-]{0,40}@[\w.-]{0,60}$"));

/// Another field of a test vector of a cipher or a hash: a line of its own, in hexadecimal, of a list or, with `code`, of
/// what programs are made of.
static FIELD_OF_VECTOR: LazyLock<Option<Regex>> = LazyLock::new(|| {
    compile(
        r#"(?i)^[ \t]*(?P<code>(?:let|const|var|auto)[ \t]+)?(?P<name>nonce|iv|input|in|output|out|tag|mac|msg|message|plaintext|ciphertext|pt|ct|ad|aad|digest)[ \t]*[=:][ \t]*(?P<quote>["'])?(?:0x)?[0-9a-f]{2,}(?:["']?[;,]?[ \t\r\\]*$|[0-9a-f]{40})"#,
    )
});

/// A word that says that what is beside it is for tests: `test_vector`, `RFC test case`, `expectedTag`.
static TOLD_TEST: LazyLock<Option<Regex>> = LazyLock::new(|| {
    compile(r"(?:\b|_)(?:[Tt]est|TEST|[Vv]ector|VECTOR|[Ee]xpected|EXPECTED)|[a-z](?:Test|Vector|Expected)")
});

/// A line as configurations have them beside others: `name: value`.
static ENTRY: LazyLock<Option<Regex>> = LazyLock::new(|| compile(r"^[ \t]*[A-Za-z_][\w.-]*:(?:[ \t]|\r?$)"));

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
    is_result_of_test(text, name, value)
        || is_of_public_address(text, name)
        || is_of_vector(text, name, value)
        || is_of_checksums(text, name, value)
        || is_of_anonymous(text, name, value)
}

fn is_near(pattern: &LazyLock<Option<Regex>>, text: &[u8], start: usize, end: usize) -> bool {
    pattern.as_ref().is_some_and(|pattern| pattern.is_match(near(text, start, end)))
}

fn near(text: &[u8], start: usize, end: usize) -> &[u8] {
    text.get(start.saturating_sub(BEFORE_BYTES)..(end + AFTER_BYTES).min(text.len())).unwrap_or_default()
}

/// Whether the value is the address that an anonymous user gives for a password, in the first setting of one behind the user.
fn is_of_anonymous(text: &[u8], name: &Range<usize>, value: &Range<usize>) -> bool {
    let before = text.get(name.start.saturating_sub(BEFORE_BYTES)..name.start).unwrap_or_default();
    let is_address =
        || ADDRESS.as_ref().zip(text.get(value.clone())).is_some_and(|(address, value)| address.is_match(value));
    let Some(user) = ANONYMOUS.as_ref().and_then(|user| user.find_iter(before).last()) else { return false };
    let between = before.get(user.end()..).unwrap_or_default().to_ascii_lowercase();
    find(&between, b"pass").is_none() && is_address()
}

/// `PASS: path/of/a/test`, `--- PASS: TestName`: a line of the results of tests, which stands among others such or by itself.
fn is_result_of_test(text: &[u8], name: &Range<usize>, value: &Range<usize>) -> bool {
    let before = text.get(name.start.saturating_sub(BEFORE_BYTES)..name.start).unwrap_or_default();
    let line = before.get(memrchr(b'\n', before).map_or(0, |at| at + 1)..).unwrap_or_default();
    let separated = text.get(name.end..).is_some_and(|rest| rest.starts_with(b": "));
    let marked = line.ends_with(b"--- ");
    // The same name twice in a row is no configuration.
    let is_among_results = || lines_beside(text, name, value).into_iter().any(|line| is_result(line) && !marked);
    let starts = line.iter().all(|byte| *byte == b'#') || line.ends_with(b"# ") || marked;
    let bytes = text.get(value.clone()).unwrap_or_default();
    let names_test =
        || bytes.contains(&b'/') || bytes.get(..4).is_some_and(|start| start.eq_ignore_ascii_case(b"test"));
    separated
        && starts
        && match text.get(name.clone()) {
            Some(b"XPASS" | b"UXPASS") => true,
            Some(b"PASS") => {
                is_among_results()
                    || (names_test() && (marked || !(drawn::is_drawn(bytes) || is_entry(text, name, value))))
            }
            _ => false,
        }
}

/// What a line of results of tests begins with, in front of a colon.
const RESULTS: &[&[u8]] = &[
    b"PASS",
    b"FAIL",
    b"XPASS",
    b"XFAIL",
    b"UXPASS",
    b"KPASS",
    b"KFAIL",
    b"SKIP",
    b"ERROR",
    b"WARNING",
    b"UNSUPPORTED",
    b"UNRESOLVED",
    b"UNTESTED",
];

/// Whether `line` is the result of a test: `XFAIL: name`.
fn is_result(line: &[u8]) -> bool {
    let colon = memchr::memchr(b':', line).filter(|at| line.get(at + 1) == Some(&b' '));
    colon.and_then(|at| line.get(..at)).is_some_and(|word| RESULTS.contains(&word))
}

/// The line before that of the setting and the one behind it, as far as they are near.
fn lines_beside<'a>(text: &'a [u8], name: &Range<usize>, value: &Range<usize>) -> [&'a [u8]; 2] {
    let start = name.start.saturating_sub(BEFORE_BYTES);
    let end = (value.end + AFTER_BYTES).min(text.len());
    let lines = |part: Range<usize>| text.get(part).unwrap_or_default().split(|byte| *byte == b'\n');
    let before = lines(start..name.start).rev().nth(1).unwrap_or_default();
    [before, lines(value.end..end).nth(1).unwrap_or_default()]
}

/// Whether a line beside that of the setting is an entry of a configuration and no other result of a test.
fn is_entry(text: &[u8], name: &Range<usize>, value: &Range<usize>) -> bool {
    let is_entry = |line: &[u8]| {
        let word = line.split(|byte| *byte == b':').next().unwrap_or_default();
        ENTRY.as_ref().is_some_and(|entry| entry.is_match(line)) && !RESULTS.contains(&word)
    };
    lines_beside(text, name, value).into_iter().any(is_entry)
}

/// Whether the setting is the token in the address of a badge, which everybody who reads the page of a project fetches, or the name
/// of a document of Google, which is no key. Other parameters of such an address may well be credentials.
fn is_of_public_address(text: &[u8], name: &Range<usize>) -> bool {
    let before = text.get(name.start.saturating_sub(BEFORE_BYTES)..name.start).unwrap_or_default();
    let ends = |byte: &u8| byte.is_ascii_whitespace() || matches!(byte, b'"' | b'\'' | b'(' | b'<' | b'[');
    let address = before.get(before.iter().rposition(ends).map_or(0, |at| at + 1)..).unwrap_or_default();
    match text.get(name.clone()) {
        Some(b"token") => find(address, b"/badge").is_some(),
        Some(b"key" | b"resourcekey") => {
            [&b"https://docs.google.com/"[..], b"http://docs.google.com/"].iter().any(|host| address.starts_with(host))
        }
        _ => false,
    }
}

/// Whether the setting is the checksum of a specification in the lock file of CocoaPods, a list of them: `  AppAuth: 9f3c…`. Their
/// heading is near, or three others are whose names do not speak of a credential, nor of what else has a checksum.
fn is_of_checksums(text: &[u8], name: &Range<usize>, value: &Range<usize>) -> bool {
    const HEADING: &[u8] = b"SPEC CHECKSUMS:";
    const LEAST: usize = 3;
    /// Of a new version of a file no more than this may be at hand in front of what is new.
    const REACH_BYTES: usize = 240;
    let line = text::line_bounds(text, &(name.start..value.end));
    if !text.get(line.clone()).is_some_and(is_checksum) {
        return false;
    }
    let before = text.get(line.start.saturating_sub(REACH_BYTES)..line.start).unwrap_or_default();
    let after = text.get(line.end..(line.end + REACH_BYTES).min(text.len())).unwrap_or_default();
    let (before, after) =
        (before.split(|byte| *byte == b'\n').rev().skip(1), after.split(|byte| *byte == b'\n').skip(1));
    let is_headed = before.clone().find(|line| !is_checksum(line)).is_some_and(|line| line.trim_ascii_end() == HEADING);
    let beside = before.take_while(|line| is_checksum(line)).chain(after.take_while(|line| is_checksum(line)));
    let of_others = |line: &&[u8]| {
        let name = line.trim_ascii_start().split(|byte| *byte == b':').next().unwrap_or_default();
        name::kind(name).is_none() && !name::is_of_digest(name)
    };
    is_headed || beside.filter(of_others).count() >= LEAST
}

/// `  Name: ` and a SHA-1.
fn is_checksum(line: &[u8]) -> bool {
    const DIGITS: usize = 40;
    let line = line.trim_ascii_end();
    let Some((start, sum)) = line.len().checked_sub(DIGITS).and_then(|at| line.split_at_checked(at)) else {
        return false;
    };
    let is_indented = matches!(start, [b' ', b' ', first, ..] if !first.is_ascii_whitespace());
    is_indented && start.ends_with(b": ") && sum.iter().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// Whether the value is the key of a test vector, `Key = 00…` between `Nonce = …` and `Tag = …`: two other fields at least, and
/// not just what a key is kept with. Programs that do decrypt something have the same fields: there more must speak for a test.
fn is_of_vector(text: &[u8], name: &Range<usize>, value: &Range<usize>) -> bool {
    let is_key = |name: &[u8]| name.eq_ignore_ascii_case(b"key") || name.eq_ignore_ascii_case(b"k");
    if !text.get(name.clone()).is_some_and(is_key)
        || !text.get(value.clone()).is_some_and(|value| value.iter().all(u8::is_ascii_hexdigit))
    {
        return false;
    }
    let Some(pattern) = FIELD_OF_VECTOR.as_ref() else { return false };
    let lines = starts_of_lines_around(text, name.start, value.end);
    let (mut listed, mut all) = (BTreeSet::new(), BTreeSet::new());
    for field in lines.iter().filter_map(|line| pattern.captures(line)) {
        let name = field.name("name").map(|name| name.as_bytes().to_ascii_lowercase()).unwrap_or_default();
        if field.name("code").is_none() && field.name("quote").is_none() {
            listed.insert(name.clone());
        }
        all.insert(name);
    }
    let beside = |fields: &BTreeSet<Vec<u8>>| {
        fields.iter().filter(|field| !matches!(field.as_slice(), b"iv" | b"nonce")).count()
    };
    let is_vector = |fields: &BTreeSet<Vec<u8>>| fields.len() >= 2 && beside(fields) >= 1;
    let is_told = || TOLD_TEST.as_ref().is_some_and(|told| lines.iter().any(|line| told.is_match(line)));
    is_vector(&listed) || beside(&all) >= 3 || (is_vector(&all) && is_told())
}

/// The starts of the lines around the one from `start` to `end`: what is long in a test vector is in lines of its own.
fn starts_of_lines_around(text: &[u8], start: usize, end: usize) -> Vec<&[u8]> {
    const LINES: usize = 4;
    const LINE_BYTES: usize = 160;
    /// A longer line ends the search.
    const REACH_BYTES: usize = 8 << 10;
    let part = |part: Range<usize>| text.get(part).unwrap_or_default().split(|byte| *byte == b'\n');
    let before = part(start.saturating_sub(REACH_BYTES)..start).rev().skip(1).take(LINES);
    let after = part(end..end.saturating_add(REACH_BYTES).min(text.len())).skip(1).take(LINES);
    before.chain(after).map(|line| line.get(..LINE_BYTES).unwrap_or(line)).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]
    use super::{guards_nothing, is_beside_user, is_compared};

    /// A part of a lock file, and settings that look like it.
    const CHECKSUMS: &str = "  Alamofire: 12ee8bd10a6f27c483d95e1b9f3c1e77ab0d4c55\n  SwiftToken: 9f3c1e77ab0d4c5512ee8bd10a6f27c483d95e1b\n  SnapKit: 0a6f27c483d95e1b9f3c1e77ab0d4c5512ee8bd1\n  nanopb: 27c483d95e1b9f3c1e77ab0d4c5512ee8bd10a6f\n";
    const REVISIONS: &str = "  core_commit: 12ee8bd10a6f27c483d95e1b9f3c1e77ab0d4c55\n  web_commit: 0a6f27c483d95e1b9f3c1e77ab0d4c5512ee8bd1\n  app_commit: 27c483d95e1b9f3c1e77ab0d4c5512ee8bd10a6f\n  token: 9f3c1e77ab0d4c5512ee8bd10a6f27c483d95e1b\n";
    const HEADED: &str = "SPEC CHECKSUMS:\n  AppAuth: 9f3c1e77ab0d4c5512ee8bd10a6f27c483d95e1b\n  SwiftToken: 12ee8bd10a6f27c483d95e1b9f3c1e77ab0d4c55\n  AuthToken: 0a6f27c483d95e1b9f3c1e77ab0d4c5512ee8bd1\n";
    const TOKENS: &str = "  BuildCommit: 12ee8bd10a6f27c483d95e1b9f3c1e77ab0d4c55\n  MailToken: 9f3c1e77ab0d4c5512ee8bd10a6f27c483d95e1b\n  ChatToken: 0a6f27c483d95e1b9f3c1e77ab0d4c5512ee8bd1\n";

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
            ("PASS: gdb.base/q8zr4lk0\nFAIL: gdb.base/x\n", "PASS", "gdb.base/q8zr4lk0"),
            ("FAIL: x\nPASS: x86-64 vers10\n", "PASS", "x86-64"),
            ("PASS: Zr4Lk0!Pw2Vx7\nPASS: b2\n", "PASS", "Zr4Lk0!Pw2Vx7"),
            (
                "fn test_gcm() {\nlet key = \"9f3c1e77ab0d\";\nlet iv = \"e496\";\nlet ciphertext = \"5b97a9\\\n",
                "key",
                "9f3c1e77ab0d",
            ),
            ("key = '9f3c1e77ab0d'\npt = 'e496'\naad = '11'\nct = '5b97'\n", "key", "9f3c1e77ab0d"),
            ("# RFC test case 4\nkey = '9f3c1e77ab0d'\niv = 'e496'\nmsg = '5b97'\n", "key", "9f3c1e77ab0d"),
            ("https://docs.google.com/sheet/ccc?key=0Ao1yRmX6PQQz", "key", "0Ao1yRmX6PQQz"),
            (
                "SPEC CHECKSUMS:\n  AuthKit: 9f3c1e77ab0d4c5512ee8bd10a6f27c483d95e1b\n",
                "AuthKit",
                "9f3c1e77ab0d4c5512ee8bd10a6f27c483d95e1b",
            ),
            (HEADED, "AuthToken", "0a6f27c483d95e1b9f3c1e77ab0d4c5512ee8bd1"),
            (CHECKSUMS, "SwiftToken", "9f3c1e77ab0d4c5512ee8bd10a6f27c483d95e1b"),
            ("user = \"anonymous\";\npassword = \"busybox@\";", "password", "busybox@"),
        ] {
            assert!(guards_nothing(text.as_bytes(), &at(text, name), &at(text, value)), "{text}");
        }
        for (text, name, value) in [
            ("  PASS: q8zr4lk0pw\n", "PASS", "q8zr4lk0pw"),
            ("DB_PASS: q8zr4lk0pw\n", "DB_PASS", "q8zr4lk0pw"),
            ("PASS=q8zr4lk0pw\n", "PASS", "q8zr4lk0pw"),
            ("see /badge https://api.test/x?token=3KQ3R2D9fV", "token", "3KQ3R2D9fV"),
            ("https://ci.test/badge.svg?api_key=3KQ3R2D9fV", "api_key", "3KQ3R2D9fV"),
            ("https://docs.google.com/x?access_token=3KQ3R2D9fV", "access_token", "3KQ3R2D9fV"),
            ("https://a.test/?u=https://docs.google.com/&key=3KQ3R2D9fV", "key", "3KQ3R2D9fV"),
            (
                "keys:\n  AuthKit: 9f3c1e77ab0d4c5512ee8bd10a6f27c483d95e1b\n  other: x\n",
                "AuthKit",
                "9f3c1e77ab0d4c5512ee8bd10a6f27c483d95e1b",
            ),
            (REVISIONS, "token", "9f3c1e77ab0d4c5512ee8bd10a6f27c483d95e1b"),
            (TOKENS, "MailToken", "9f3c1e77ab0d4c5512ee8bd10a6f27c483d95e1b"),
            ("https://g.internal/render/d.svg?token=3KQ3R2D9fV", "token", "3KQ3R2D9fV"),
            ("PASS: Zr4Lk0!Pw2Vx7\n", "PASS", "Zr4Lk0!Pw2Vx7"),
            ("USER: joe\nPASS: q8zr/lk0pw\n", "PASS", "q8zr/lk0pw"),
            ("name = x\nKey = 9f3c1e77ab0d\n", "Key", "9f3c1e77ab0d"),
            ("key: 9f3c1e77ab0d\niv: 8f07\n", "key", "9f3c1e77ab0d"),
            ("let key = \"9f3c1e77ab0d\";\nlet iv = \"e496\";\nlet out = cipher(key);\n", "key", "9f3c1e77ab0d"),
            ("let key = \"9f3c1e77ab0d\";\nlet iv = \"e496\";\nlet ciphertext = \"5b97a9\";\n", "key", "9f3c1e77ab0d"),
            ("# the latest\nkey = '9f3c1e77ab0d'\niv = 'e496'\nmsg = '5b97'\n", "key", "9f3c1e77ab0d"),
            ("key: 9f3c1e77ab0d\niv: 8f07\ntag: v2\n", "key", "9f3c1e77ab0d"),
            ("message: hello\ncount = 7\nkey: 9f3c1e77ab0d\nin:\n", "key", "9f3c1e77ab0d"),
            ("FTP_USER=anonymous\nFTP_PASSWORD=me@host\nDB_PASSWORD=joe@q8", "DB_PASSWORD", "joe@q8"),
            ("FTP_USER=anonymous\nAPI_TOKEN=q8zr4lk0pw", "API_TOKEN", "q8zr4lk0pw"),
            (r#"{"mqtt":{"username":"anonymous"},"db":{"password":"Zr4Lk0Pw2"}}"#, "password", "Zr4Lk0Pw2"),
            ("user = \"ftpadmin\"\npassword = \"q8zr4lk0pw\"", "password", "q8zr4lk0pw"),
        ] {
            assert!(!guards_nothing(text.as_bytes(), &at(text, name), &at(text, value)), "{text}");
        }
    }
}

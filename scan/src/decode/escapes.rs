//! Characters that are written as `%2F`, `\x2f`, `\u002f` or `\u{2f}`.

use memchr::memchr2_iter;

use super::{Encoded, Notation, is_readable};

/// What can be decoded in `text`, in order: escapes that follow each other together.
pub(super) fn find(text: &[u8]) -> Vec<Encoded> {
    let mut found = Vec::new();
    let mut done = 0;
    for start in memchr2_iter(b'%', b'\\', text) {
        if start < done {
            continue;
        }
        let percent = text.get(start) == Some(&b'%');
        let (length, decoded) = sequence(text.get(start..).unwrap_or_default(), percent);
        done = start + length;
        // A credential is written in characters of ASCII.
        if is_readable(&decoded) && decoded.iter().any(u8::is_ascii_graphic) {
            let notation = if percent { Notation::Percent } else { Notation::Unicode };
            found.push(Encoded { span: start..done, notation, is_packed: false, decoded });
        }
    }
    found
}

/// The escapes at the start of `text`: how many bytes they are, and what they say.
fn sequence(text: &[u8], percent: bool) -> (usize, Vec<u8>) {
    let mut rest = text;
    let mut decoded = Vec::new();
    let mut high: Option<u32> = None;
    while let Some((unit, after)) = if percent { percent_at(rest) } else { unicode_at(rest) } {
        rest = after;
        let character = match (unit, high.take()) {
            (Unit::Byte(byte), _) => {
                decoded.push(byte);
                continue;
            }
            (Unit::Character(low @ 0xdc00..=0xdfff), Some(high)) => 0x1_0000 + ((high - 0xd800) << 10) + (low - 0xdc00),
            (Unit::Character(unit @ 0xd800..=0xdbff), _) => {
                high = Some(unit);
                continue;
            }
            (Unit::Character(character), _) => character,
        };
        let character = char::from_u32(character).unwrap_or(char::REPLACEMENT_CHARACTER);
        decoded.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
    }
    (text.len() - rest.len(), decoded)
}

enum Unit {
    Byte(u8),
    Character(u32),
}

fn percent_at(text: &[u8]) -> Option<(Unit, &[u8])> {
    let (number, rest) = digits(text.strip_prefix(b"%")?, 2)?;
    Some((Unit::Byte(u8::try_from(number).ok()?), rest))
}

/// A text that was escaped more than once has several backslashes.
fn unicode_at(text: &[u8]) -> Option<(Unit, &[u8])> {
    /// Backslashes that are looked past: seven are a text that was escaped three times.
    const MAX_BACKSLASHES: usize = 8;
    let backslashes = text.iter().take(MAX_BACKSLASHES).take_while(|byte| **byte == b'\\').count();
    let (kind, rest) = text.get(backslashes..)?.split_first()?;
    if backslashes == 0 {
        return None;
    }
    match kind {
        b'x' => digits(rest, 2).and_then(|(number, rest)| Some((Unit::Byte(u8::try_from(number).ok()?), rest))),
        b'u' => match rest.strip_prefix(b"{") {
            Some(inner) => {
                let count = inner.iter().take(6).take_while(|byte| byte.is_ascii_hexdigit()).count();
                let (number, rest) = digits(inner, count)?;
                Some((Unit::Character(number), rest.strip_prefix(b"}")?))
            }
            None => digits(rest, 4).map(|(number, rest)| (Unit::Character(number), rest)),
        },
        b'U' => digits(rest, 8).map(|(number, rest)| (Unit::Character(number), rest)),
        _ => None,
    }
}

/// The number that the first `count` bytes are in hex, and what follows.
fn digits(text: &[u8], count: usize) -> Option<(u32, &[u8])> {
    let (digits, rest) = text.split_at_checked(count)?;
    if count == 0 || !digits.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    Some((u32::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?, rest))
}

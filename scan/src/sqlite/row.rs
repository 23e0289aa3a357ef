//! One row of a table as it is stored: the kinds of its values, then the values.

use std::borrow::Cow;

use super::tables::MAX_COLUMNS;
use crate::text;

/// How texts are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Encoding {
    Utf8,
    Utf16Little,
    Utf16Big,
    /// A log does not tell unless it has the first page.
    Unknown,
}

/// A value of a row.
#[derive(Debug, PartialEq)]
pub(super) enum Value<'v> {
    /// In UTF-8, also one that is stored as bytes.
    Text(Cow<'v, [u8]>),
    Blob(&'v [u8]),
    Number(i64),
    Other,
}

/// The values of a row, and whether it is whole; `None` if it is none. Of what the row promises and does not hold, there is what
/// it does.
pub(super) fn values(row: &[u8], encoding: Encoding) -> Option<(Vec<Value<'_>>, bool)> {
    let (header, rest) = varint(row)?;
    let skipped = row.len() - rest.len();
    let header = usize::try_from(header).ok()?;
    let (mut kinds, mut content) = (row.get(skipped..header)?, row.get(header..)?);
    let mut values = Vec::new();
    let mut is_whole = true;
    while !kinds.is_empty() {
        if values.len() == MAX_COLUMNS {
            return Some((values, false));
        }
        let Some((kind, rest)) = varint(kinds) else { return Some((values, false)) };
        kinds = rest;
        let length = match kind {
            0 | 8..=11 => 0,
            1..=4 => kind,
            5 => 6,
            6 | 7 => 8,
            _ => (kind - 12) / 2,
        };
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        is_whole &= length <= content.len();
        let (bytes, rest) = content.split_at(length.min(content.len()));
        content = rest;
        values.push(match kind {
            1..=4 => Value::Number(number(bytes).cast_signed()),
            8 => Value::Number(0),
            9 => Value::Number(1),
            12.. if kind % 2 == 1 => Value::Text(decoded(bytes, encoding)),
            12.. => of_bytes(bytes),
            _ => Value::Other,
        });
    }
    Some((values, is_whole))
}

fn decoded(bytes: &[u8], encoding: Encoding) -> Cow<'_, [u8]> {
    let wide = |unit: fn([u8; 2]) -> u16| {
        let units = bytes.as_chunks::<2>().0.iter().map(|pair| unit(*pair));
        let text: String = char::decode_utf16(units).map(|char| char.unwrap_or(char::REPLACEMENT_CHARACTER)).collect();
        Cow::Owned(text.into_bytes())
    };
    match encoding {
        Encoding::Utf8 => Cow::Borrowed(bytes),
        Encoding::Utf16Little => wide(u16::from_le_bytes),
        Encoding::Utf16Big => wide(u16::from_be_bytes),
        Encoding::Unknown => text::from_wide(bytes).map_or(Cow::Borrowed(bytes), Cow::Owned),
    }
}

/// Many programs store texts as bytes.
fn of_bytes(bytes: &[u8]) -> Value<'_> {
    let is_control = |byte: &u8| byte.is_ascii_control() && !byte.is_ascii_whitespace();
    if std::str::from_utf8(bytes).is_ok() && !bytes.iter().any(is_control) {
        return Value::Text(Cow::Borrowed(bytes));
    }
    text::from_wide(bytes).map_or(Value::Blob(bytes), |text| Value::Text(Cow::Owned(text)))
}

/// A number of up to eight bytes, the first the highest.
pub(super) fn number(bytes: &[u8]) -> u64 {
    bytes.iter().take(8).fold(0, |number, byte| number << 8 | u64::from(*byte))
}

/// A number of one to nine bytes at the start of `bytes`, and what follows it.
pub(super) fn varint(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let mut value = 0u64;
    for (at, byte) in bytes.iter().take(8).enumerate() {
        value = value << 7 | u64::from(byte & 0x7f);
        if byte & 0x80 == 0 {
            return Some((value, bytes.get(at + 1..)?));
        }
    }
    Some((value << 8 | u64::from(*bytes.get(8)?), bytes.get(9..)?))
}

#[cfg(test)]
mod tests {
    use super::{Encoding, Value, values, varint};

    #[test]
    fn numbers_have_one_to_nine_bytes() {
        assert_eq!(varint(b"\x05x"), Some((5, &b"x"[..])));
        assert_eq!(varint(b"\x81\x00"), Some((128, &b""[..])));
        assert_eq!(varint(&[0xff; 9]), Some((u64::MAX, &b""[..])));
        assert_eq!(varint(&[0xff; 3]), None);
    }

    #[test]
    fn a_row_has_texts_numbers_and_bytes() {
        let text = |text: &'static str| Value::Text(text.as_bytes().into());
        // Kinds: a text of three bytes, a number of one, three bytes, the number 1, three bytes that are text.
        let row = b"\x06\x13\x01\x12\x09\x12abc\x2a\xff\x00\x01xyz";
        let all = vec![text("abc"), Value::Number(42), Value::Blob(b"\xff\x00\x01"), Value::Number(1), text("xyz")];
        assert_eq!(values(row, Encoding::Utf8), Some((all, true)));
        assert_eq!(values(b"\x02\x13ab", Encoding::Utf8), Some((vec![text("ab")], false)), "the end is missing");
        assert_eq!(values(b"\x02\x15a\0b\0", Encoding::Utf16Little), Some((vec![text("ab")], true)));
        assert_eq!(values(b"\x02\x15\0a\0b", Encoding::Utf16Big), Some((vec![text("ab")], true)));
        assert_eq!(values(b"\x09\x13", Encoding::Utf8), None, "kinds beyond the end");
    }

    #[test]
    fn a_row_has_no_more_values_than_a_table_has_columns() {
        let row = |count: u16| [&b"\x82\x80\x03"[..], &vec![8; usize::from(count)]].concat();
        let read = |row: &[u8]| values(row, Encoding::Utf8).map(|(values, is_whole)| (values.len(), is_whole));
        assert_eq!(read(&row(32_768)), Some((32_767, false)));
    }
}
